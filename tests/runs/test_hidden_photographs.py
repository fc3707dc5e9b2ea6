"""The rerun of a code competition: a run attached read-only answers for photographs that nobody has seen."""

import shutil
from pathlib import Path

import pytest

from catsdogs.networks.table import BACKBONES
from tests.conftest import Command, need
from tests.support.datasets import jpeg
from tests.support.downloads import tree
from tests.support.runs import LITE0

KINDS = ("blast", "tungro", "smut")


@pytest.fixture(scope="module")
def attached(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A public competition of three classes; its photographs are noise, of which nothing is to be learnt."""
    root = tmp_path_factory.mktemp("public")
    for split, count in (("train", 18), ("test", 2)):
        (root / f"{split}_images").mkdir()
        for number in range(count):
            (root / f"{split}_images/{split}{number}.jpg").write_bytes(jpeg(number))
    rows = "".join(f"train{number}.jpg,{KINDS[number % 3]},{number}\n" for number in range(18))
    (root / "train.csv").write_text(f"image_id,label,age\n{rows}")
    (root / "sample_submission.csv").write_text("image_id,label\ntest0.jpg,blast\ntest1.jpg,blast\n")
    return root


def test_it_answers_for_what_the_sample_asks(
    attached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    need(str(BACKBONES[LITE0].package))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    for line in (
        ("features", "--data", str(attached)),
        ("train", "--name", "first", "--head", "ridge", "--folds", "3"),
    ):
        code, _, err = command(*line, "--backbones", LITE0)
        assert code == 0, err
    run = tmp_path / "home/submissions/first"
    hidden = tmp_path / "hidden"
    (hidden / "test_images").mkdir(parents=True)
    for number in (7, 8):
        (hidden / f"test_images/x{number}.jpg").write_bytes(jpeg(number))
    (hidden / "test_images/broken.jpg").write_bytes(b"no picture")
    asked = ("x8.jpg", "gone.jpg", "x7.jpg", "broken.jpg")
    sample = "image_id,label\n" + "".join(f"{id},blast\n" for id in asked)
    (hidden / "sample_submission.csv").write_text(sample)
    before, notebook = tree(run), tmp_path / "working"
    notebook.mkdir()
    monkeypatch.chdir(notebook)
    code, out, err = command("predict", "--name", str(run), "--data", str(hidden), "--out", "submission.csv")
    assert code == 0, err
    for id, reason in (("gone.jpg", "no such file"), ("broken.jpg", "not a picture")):
        assert f"unreadable, given the class prior: {id} ({reason})" in out
    header, *rows = (notebook / "submission.csv").read_text().splitlines()
    assert header == "image_id,label" and [row.split(",")[0] for row in rows] == list(asked)
    assert {row.split(",")[1] for row in rows} <= set(KINDS)
    assert sorted(tree(notebook)) == ["submission.csv"] and tree(run) == before

    shutil.rmtree(hidden / "test_images")
    (hidden / "test_images").mkdir()
    code, out, err = command("predict", "--name", str(run), "--data", str(hidden), "--out", "again.csv")
    assert code == 0 and len((notebook / "again.csv").read_text().splitlines()) == 5, err

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


def test_probabilities_repeat_the_submission_and_the_rest_is_the_prior(
    attached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    """A column for each class, in an order of its own, and ids without suffix; more are missing than are shown."""
    need(str(BACKBONES[LITE0].package))
    public, hidden, working = (tmp_path / name for name in ("public", "hidden", "working"))
    shutil.copytree(attached, public)
    columns = ("smut", "blast", "tungro")
    heading = ",".join(("photo", *columns))
    (public / "sample_submission.csv").write_text(f"{heading}\ntest1,0,0,0\ntest0,0,0,0\n")
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    assert command("features", "--data", str(public), "--backbones", LITE0)[0] == 0
    assert command("train", "--name", "first", "--head", "ridge", "--folds", "3", "--backbones", LITE0)[0] == 0
    run = tmp_path / "home/submissions/first"
    told = rows_of(run / "submission.csv")

    (hidden / "test_images").mkdir(parents=True)
    for name, seen in (("a.jpg", "test0.jpg"), ("b.jpg", "test1.jpg")):
        shutil.copyfile(public / "test_images" / seen, hidden / "test_images" / name)
    gone = [f"gone{number}" for number in range(7)]
    sample = heading + "".join(f"\n{id},0,0,0" for id in ("b", *gone, "a"))
    (hidden / "sample_submission.csv").write_text(sample)
    working.mkdir()
    monkeypatch.chdir(working)
    code, out, err = command("predict", "--name", str(run), "--data", str(hidden), "--out", "submission.csv")
    assert code == 0, err
    assert (working / "submission.csv").read_text().startswith(f"{heading}\n")
    answers = rows_of(working / "submission.csv")
    assert list(answers) == ["b", *gone, "a"]
    assert answers["a"] == pytest.approx(told["test0"], abs=1e-5)
    assert answers["b"] == pytest.approx(told["test1"], abs=1e-5)
    assert all(answers[id] == pytest.approx([1 / 3] * 3) for id in gone)
    assert "and 2 more like these; all 7 are listed in submission-unreadable.csv" in out
    assert sorted(tree(working)) == ["submission-unreadable.csv", "submission.csv"]


def rows_of(path: Path) -> dict[str, list[float]]:
    """Id -> numbers."""
    _, *rows = path.read_text().splitlines()
    return {row.split(",")[0]: [float(cell) for cell in row.split(",")[1:]] for row in rows}

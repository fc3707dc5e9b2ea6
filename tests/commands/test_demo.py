"""The demo with a drawn competition: the tour to the end, what it is told, and what `clean` removes of it."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from catsdogs.demo.competitions import KINDS
from catsdogs.networks import weights
from catsdogs.networks.table import BACKBONES
from tests.conftest import Command

ROOT = Path(__file__).parents[2]
LITE = BACKBONES["EfficientNetLite0"]


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def column(path: str) -> dict[str, str]:
    with Path(path).open(newline="") as file:
        _, *rows = csv.reader(file)
    return dict(rows)


def score(metric: str, right: Sequence[str], said: Sequence[str]) -> float:
    if metric == "accuracy":
        return float(accuracy_score(right, said))
    return float(roc_auc_score([int(value) for value in right], [float(value) for value in said]))


@pytest.mark.parametrize(("kind", "metric"), [("positive", "auc"), ("name", "accuracy")])
def test_the_tour_is_made_with_a_drawn_competition(inside: Path, command: Command, kind: str, metric: str) -> None:
    if weights.find_file(LITE, None) is None:
        pytest.skip(f"{LITE.package} is not installed")
    settings = (
        "labels: mine.csv",
        "images: mine",
        "positive: mine",
        "kind: mine",
        "groups: mine",
        "metric: map@5",
        "competition: mine",
    )
    (inside / "invoke.yaml").write_text("catsdogs:\n" + "".join(f"  {line}\n" for line in settings))
    code, out, err = command("demo", "--competition", kind)
    assert code == 0, err
    assert f"data/demo-{kind}/data: {KINDS[kind]}" in out and f"--metric {metric}" in out
    assert [line[:8] for line in out.splitlines() if line.startswith("[")] == [f"[{step} of 4]" for step in range(1, 5)]
    assert [path.name for path in Path(f"features/demo-{kind}").glob("*.h5")] == [f"{LITE.name}.h5"]

    said, right = column(f"submissions/demo-{kind}/submission.csv"), column(f"data/demo-{kind}/truth.csv")
    assert list(said) == list(right)
    out_of_fold, graded = (
        [float(number) for number in re.search(rf"^{metric} ([\d.]+%?) ± ([\d.]+).*{measured}", out, re.M).groups()]
        for measured in ("out of fold", "truth.csv")
    )
    assert graded[0] == pytest.approx(score(metric, list(right.values()), list(said.values())), abs=1e-5)
    assert abs(out_of_fold[0] - graded[0]) < 3 * (out_of_fold[1] ** 2 + graded[1] ** 2) ** 0.5
    run = json.loads(Path(f"submissions/demo-{kind}/run.json").read_text())
    assert (run["task"]["metric"], run["competition"]) == (metric, "")
    assert out.endswith("look --data DIR\n       catsdogs features --data DIR\n       catsdogs train --name first\n")

    (inside / "features/mine").mkdir()
    code, out, err = command("clean")
    assert code == 0, err
    left = {path.as_posix() for folder in ("data", "features", "submissions") for path in Path(folder).iterdir()}
    assert left == {"features/mine"} and f"removed data/demo-{kind}" in out


def test_clean_leaves_what_came_of_photographs_in_a_folder_called_as_a_kind(inside: Path, command: Command) -> None:
    for folder in ("features/demo-zips", "submissions/demo-zips"):
        (inside / folder).mkdir(parents=True)
    code, out, _ = command("clean")
    assert (code, out) == (0, "nothing to remove\n")


def test_a_competition_brings_its_own_pictures(inside: Path, command: Command) -> None:
    code, _, err = command("demo", "--competition", "zips", "--data", "mine")
    assert code == 2 and "--data mine would do nothing" in err
    code, _, err = command("demo", "--competition", "zip")
    assert code == 1 and f"No kind of competition is called 'zip'. Choose from: {', '.join(KINDS)}" in err
    assert not list(inside.iterdir())


def test_the_help_lists_every_kind() -> None:
    page = " ".join((ROOT / "docs/commands.md").read_text(encoding="utf-8").split())  # written from the tasks
    *most, last = KINDS
    assert f"to draw and make the tour with: {', '.join(most)} or {last} ##" in page

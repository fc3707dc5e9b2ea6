"""`submit` checks a run's CSV as its task asks, hands it to Kaggle's stand-in, and shows the score."""

from dataclasses import replace
from pathlib import Path

import pytest

from catsdogs.photographs.task import BEST_K, CLASSES, NAME, Task
from tests.conftest import Command
from tests.support.kaggle_server import StandIn
from tests.support.runs import features, train

COMPETITION = "trees-of-somewhere"
TREES = ("elm", "oak", "yew")
TASKS = {
    NAME: Task(CLASSES, NAME, targets=("kind",), metric="accuracy", competition=COMPETITION),
    BEST_K: Task(CLASSES, BEST_K, targets=("kind",), best=2, metric="map@5", competition=COMPETITION),
}


@pytest.fixture(params=TASKS)
def csv(request: pytest.FixtureRequest, signed_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The CSV of a run of names, whose photographs and sample submission are there."""
    monkeypatch.chdir(tmp_path)
    task, data = TASKS[request.param], Path("photographs")  # where the vectors say that they come from
    for name in [
        *(f"train/{tree}.{number}.jpg" for tree in TREES for number in range(20)),
        *map("test/{}.jpg".format, range(1, 7)),
    ]:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).touch()
    sample = "id,kind\n" + "".join(f"{id},{' '.join(TREES[: task.best or 1])}\n" for id in (6, 5, 4, 3, 2, 1))
    (data / "sample_submission.csv").write_text(sample)
    file = replace(features(Path("features"), classes=TREES), task=task)
    train([file], Path("submissions"), sample_submission=sample, competition=COMPETITION)
    return Path("submissions/run/submission.csv")


def test_names_are_checked_sent_to_the_runs_competition_and_scored(
    csv: Path, signed_in: StandIn, command: Command
) -> None:
    code, out, err = command("submit", "--name", "run", "--message", "first")
    assert code == 0, err
    assert f"{csv}: 6 rows, like the sample submission; to {COMPETITION}\n" in out
    assert "public score 0.04141" in out
    assert signed_in.uploaded == csv.read_bytes() and csv.read_text().startswith("id,kind\n6,")
    assert [(sent["competitionName"], sent["submissionDescription"]) for sent in signed_in.submitted] == [
        (COMPETITION, "first")
    ]


def test_another_competition_may_be_given(csv: Path, signed_in: StandIn, command: Command) -> None:
    assert command("submit", "--name", "run", "--competition", "another")[0] == 0
    assert [sent["competitionName"] for sent in signed_in.submitted] == ["another"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("elm", "birch"), "birch"),
        (("id,kind", "id,tree"), "the columns id, tree"),
        (("\n6,", "\n7,"), "ids of the sample submission are missing"),
    ],
)
def test_what_kaggle_would_reject_is_not_sent(
    csv: Path, signed_in: StandIn, command: Command, change: tuple[str, str], problem: str
) -> None:
    csv.write_text(csv.read_text().replace(*change))
    code, out, err = command("submit", "--name", "run")
    assert (code, out, signed_in.calls) == (1, "", []) and problem in err


def test_kaggles_rules_come_first(csv: Path, signed_in: StandIn, command: Command) -> None:
    signed_in.refuse["StartSubmissionUpload"] = (403, "Not accepted")
    code, _, err = command("submit", "--name", "run")
    assert code == 1 and f"https://www.kaggle.com/competitions/{COMPETITION}/rules" in err

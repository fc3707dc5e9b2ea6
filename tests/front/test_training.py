"""Labels that a person corrects from Python: whatever holds them, each is held against the rows."""

from pathlib import Path

import pandas
import pytest

import catsdogs as cd
from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.runs.run_card import read_run
from tests.conftest import Command, refused


def test_corrected_labels_are_learnt_and_stand_in_the_run(inside: Path, command: Command) -> None:
    features = cd.load()
    told = {"cat.0": "dog"}
    runs = [
        cd.train(features, "ridge", name=f"run-{number}", folds=2, relabel=given)
        for number, given in enumerate(
            [told, list(told.items()), pandas.Series(told), pandas.DataFrame({"label": told})]
        )
    ]
    assert all(run.card.relabelled == told for run in runs)
    assert len({run.score for run in runs}) == 1 and runs[0].score != cd.Run("first").score
    assert command("train", "--repeat", "run-0", "--name", "again")[0] == 0
    assert read_run(Path("submissions/again")).scores == runs[0].scores


@pytest.mark.parametrize(
    ("relabel", "match"),
    [
        ([("cat.0", "dog"), ("cat.0", "cat")], "The id cat.0 has two labels, dog and cat. Give each id one"),
        ({"cow.0": "dog"}, "The id 'cow.0' is the id of no training photograph. Give ids such as cat.0, cat.1"),
        ({"cat.0": "cow"}, "cat.0 cannot be relabelled as 'cow'"),
        (["cat.0"], "'cat.0' is no pair of id and label"),
    ],
)
def test_labels_that_cannot_be(inside: Path, relabel: object, match: str) -> None:
    with refused(UsageError, match):
        cd.train(cd.load(), "ridge", name="new", relabel=relabel)  # type: ignore[arg-type]
    assert not Path("submissions/new").exists()


def test_what_else_a_training_is_told(inside: Path) -> None:
    run = cd.train(cd.load(), "ridge", name="told", folds=2, repeats=2, refit=True, balance=True, metric="auc")
    assert (run.card.repeats, run.card.refit, run.card.balance, run.scores[0].metric) == (2, True, True, "auc")
    with refused(UnknownNameError, "No argument is called 'repeat'. Choose from: balance"):
        cd.train(cd.load(), "ridge", name="new", repeat=2)  # type: ignore[call-arg]


def test_a_frame_with_another_index(inside: Path) -> None:
    frame = pandas.DataFrame({"id": ["cat.0", "cat.1"], "label": ["dog", "dog"]})
    with refused(UsageError, r"The index '0' is the id of no training photograph \(1 more ids: 1\). Give ids such as"):
        cd.train(cd.load(), "ridge", name="new", relabel=frame)
    with refused(UsageError, "The frame has no column label, but class"):
        cd.train(cd.load(), "ridge", name="new", relabel=frame.set_index("id").rename(columns={"label": "class"}))


def test_a_run_shows_itself_and_writes_its_report(inside: Path) -> None:
    run = cd.Run("first")
    assert run.score == run.scores[0].value and "out of fold, 16 training photographs" in run._repr_html_()
    assert repr(run).startswith("<Run first: ridge on EfficientNetLite0, log loss ")
    assert run.submission and run.submission.read_text().splitlines()[0] == "id,label"
    assert "<!doctype html>" in run.report().read_text(encoding="utf-8")[:100]

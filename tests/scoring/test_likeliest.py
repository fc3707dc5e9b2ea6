"""Many classes: what is kept of each row says the same as a table of all classes would."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import TrainingError
from catsdogs.features.feature_file import Features
from catsdogs.photographs.task import BEST_K, CLASSES, NAME, Task
from catsdogs.runs import out_of_fold, run_card, training
from catsdogs.scoring import grades, likeliest, streaming
from catsdogs.scoring.likeliest import Likeliest
from catsdogs.scoring.training_plan import Plan
from tests.conftest import refused
from tests.scoring.test_rare_classes import uneven
from tests.support.runs import read_csv

NAMES = [f"c{number:02}" for number in range(30)]
BEST_FIVE = Task(CLASSES, BEST_K, "Image", targets=("Id",), best=5, metric="map@5")
BY_NAME = Task(CLASSES, NAME, "id", metric="accuracy")
MACRO = replace(BY_NAME, metric="f1-macro")


@given(seed=st.integers(0, 999), task=st.sampled_from([BEST_FIVE, BY_NAME]))
def test_a_grade_is_that_of_the_whole_table(seed: int, task: Task) -> None:
    random = np.random.default_rng(seed)
    probabilities, labels = random.dirichlet(np.full(40, 0.2), 12), random.integers(0, 40, 12)
    found = Likeliest.empty(12, 40)
    for rows in np.array_split(np.arange(12), 3):
        found.fill(rows, probabilities[rows], labels[rows])
    kept = likeliest.grade(found, labels, np.ones(12, bool), task, "drawn")
    whole = grades.score(probabilities, labels, "drawn", task.metric)
    assert (kept.value, kept.log_loss, kept.accuracy) == pytest.approx((whole.value, whole.log_loss, whole.accuracy))
    assert found.expected == pytest.approx(probabilities.sum(axis=0))


@pytest.fixture
def many(tmp_path: Path) -> Features:
    return uneven(tmp_path / "features", dict.fromkeys(NAMES, 6) | {"c07": 1})


@pytest.mark.parametrize("task", [BEST_FIVE, BY_NAME, MACRO])
def test_a_run_in_little_memory_answers_as_one_in_much(
    many: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: Task
) -> None:
    file, plan = replace(many, task=task), Plan("dropout-sigmoid", 3, 0, streamed=True)
    whole = training.train([file], plan, submissions=tmp_path, name="whole", command="")
    monkeypatch.setattr(streaming, "_memory", lambda: streaming.table_bytes(175, 30) - 1)
    monkeypatch.setattr(likeliest, "_BLOCK_CELLS", 200)
    run = training.train([file], plan, submissions=tmp_path, name="few", command="")
    assert (run.scores[0].rows, run.scores[0].metric) == (174, task.metric)
    assert run.scores[0].value == pytest.approx(whole.scores[-1].value, abs=0.02)
    written = [(tmp_path / name / run_card.SUBMISSION_FILE).read_text().splitlines() for name in ("few", "whole")]
    assert [row.split(",")[0] for row in written[0]] == [row.split(",")[0] for row in written[1]]
    assert sum(one == other for one, other in zip(*written, strict=True)) >= len(written[0]) - 1
    rows = read_csv(tmp_path / "few/oof.csv")
    assert [row["best"] for row in rows if row["id"] == "c07.0"] == [""]
    assert all(len(row["best"].split("|")) == likeliest.KEPT for row in rows if row["id"] != "c07.0")
    with refused(TrainingError, "has the likeliest of 30 classes alone"):
        out_of_fold.read_out_of_fold(tmp_path / "few", run, file)


def test_other_heads_and_other_answers_are_refused(
    many: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "_memory", lambda: 1000)
    with refused(TrainingError, "The head Blend needs the probabilities of all classes .*dropout-sigmoid"):
        training.train([replace(many, task=BY_NAME)], Plan("blend", 3, 0), submissions=tmp_path, name="x", command="")
    with refused(TrainingError, "175 photographs of 30 classes take 0.0 GB for their probabilities"):
        training.train([many], Plan("dropout-sigmoid", 3, 0), submissions=tmp_path, name="x", command="")

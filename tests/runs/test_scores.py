"""A run is scored by its task's metric, on what would be written of its probabilities."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as oracle

from catsdogs.features import joining
from catsdogs.features.feature_file import Features
from catsdogs.photographs.task import BEST_K, CLASSES, NAME, Task
from catsdogs.runs import out_of_fold, run_card
from catsdogs.scoring import decisions, metrics
from tests.support.runs import features, read_csv, train

THREE = ("ape", "bee", "cow")


def asked(file: Features, metric: str, **answer: object) -> Features:
    """The same file, of a competition with this metric and answer."""
    return replace(file, task=metrics.settle(replace(file.task, **answer), metric, ""))


@pytest.mark.parametrize("classes", [("cat", "dog"), THREE])
def test_ranks_are_not_clipped_and_log_loss_beside_them_is(tmp_path: Path, classes: tuple[str, ...]) -> None:
    metric = "auc" if len(classes) == 2 else "mean-auc"
    file = features(tmp_path, classes=classes, apart=2)
    run = train([asked(file, metric)], tmp_path, head="logistic")
    assert run_card.read_run(tmp_path / "run") == run and run.submitted_calibration.clip == 0
    calibrated, raw = run.scores
    assert calibrated.metric == raw.metric == metric
    values, _ = out_of_fold.read_out_of_fold(tmp_path / "run", run, file)
    sides = [file.labels == number for number in range(len(classes))]
    by_scikit_learn = [oracle.roc_auc_score(side, values[:, number]) for number, side in enumerate(sides)]
    assert raw.value == pytest.approx(np.mean(by_scikit_learn)) and 0 < raw.value_error < 0.1
    assert str(calibrated).startswith(f"{metric} {calibrated.value:.5f} ± ") and "log loss" in str(calibrated)
    assert f"for {metric} without a clip" in calibrated.measured_on
    plain = train([file], tmp_path, head="logistic", name="plain")
    assert plain.calibration == run.calibration == plain.submitted_calibration and run.calibration.clip > 0
    assert [score.log_loss for score in plain.scores] == [score.log_loss for score in run.scores]
    assert "clip" not in plain.scores[0].measured_on


def test_what_a_run_answers_where_only_an_order_counts_is_not_clipped(tmp_path: Path) -> None:
    file = features(tmp_path, apart=9)
    X = joining.Joined([file], "test").read()
    for metric in ("auc", "log-loss"):
        clip = train([asked(file, metric)], tmp_path, head="logistic", name=metric).calibration.clip
        probabilities = run_card.load_run(tmp_path / metric).predict(X)
        assert (probabilities.min() < clip) == (metric == "auc")
        written = {float(row["label"]) for row in read_csv(tmp_path / metric / "submission.csv")}
        assert (len(written) == len(X)) == (metric == "auc")


def test_a_name_is_scored_as_it_would_be_written(tmp_path: Path) -> None:
    file = features(tmp_path, classes=THREE, apart=1)
    named = asked(file, "f1-macro", kind=CLASSES, answer=NAME, targets=("label",))
    run = train([named], tmp_path, head="logistic", drop={"ape.1"}, relabel={"bee.2": "cow"})
    calibrated, _, corrected = run.scores
    assert {score.metric for score in run.scores} == {"f1-macro"} and run.calibration.clip > 0
    values, fold = out_of_fold.read_out_of_fold(tmp_path / "run", run, file)
    called = decisions.named(values, named.task, fold)
    assert run.scores[1].value == pytest.approx(oracle.f1_score(file.labels, called, average="macro"))
    assert (calibrated.rows, corrected.rows) == (60, 59) and corrected.value != calibrated.value


def test_the_best_few_are_scored_in_their_order(tmp_path: Path) -> None:
    file = features(tmp_path, classes=THREE, apart=1)
    best = asked(file, "map@2", kind=CLASSES, answer=BEST_K, targets=("label",), best=2)
    run = train([best], tmp_path, head="logistic")
    values, _ = out_of_fold.read_out_of_fold(tmp_path / "run", run, file)
    place = (values > values[np.arange(60), file.labels][:, None]).sum(axis=1)
    expected = np.where(place < 2, 1 / (place + 1), 0)
    assert run.scores[1].value == pytest.approx(expected.mean()) and run.submitted_calibration.clip == 0


def test_held_out_rows_are_scored_by_the_metric_too(tmp_path: Path) -> None:
    file = asked(features(tmp_path, apart=2), "auc")
    truth = {id: file.classes[number % 2] for number, id in enumerate(file.ids["test"].tolist())}
    run = train([file], tmp_path, head="logistic", truth=truth)
    values = run_card.load_run(tmp_path / "run").predict(joining.Joined([file], "test").read())
    right = [name == "dog" for name in truth.values()]
    assert run.scores[0].value == pytest.approx(oracle.roc_auc_score(right, values[:, 1]))


def test_a_run_of_before_there_were_metrics_is_read(folder: Path) -> None:
    run = run_card.read_run(folder)
    path = folder / run_card.RUN_FILE
    content = json.loads(path.read_text())
    del content["task"]
    for score in content["scores"]:
        for name in ("metric", "value", "value_error"):
            del score[name]
    path.write_text(json.dumps(content))
    assert run_card.read_run(folder) == run and run.task == Task.of_classes(run.classes)
    assert (run.scores[0].metric, run.scores[0].value) == ("log-loss", run.scores[0].log_loss)

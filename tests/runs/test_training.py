"""A run scores rows that its heads never saw, and is whole or not there at all."""

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catsdogs.competition import grading, submission
from catsdogs.errors import StoreError, SubmissionError, TrainingError
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache
from catsdogs.runs import run_card
from catsdogs.scoring import calibration, grades
from tests.conftest import refused
from tests.support.features import recipe, rows_of
from tests.support.runs import CLASSES, DAMAGED, digested, features, read_csv, train


def test_a_run_writes_what_it_says(tmp_path: Path) -> None:
    files = [features(tmp_path, name, unreadable=[DAMAGED]) for name in ("ResNet50", "Xception")]
    sample = "id,label\n" + "".join(f"{id},0.5\n" for id in (99, 6, 5, 4, 3, 2, 1))
    run = train(files, tmp_path / "runs", sample_submission=sample)
    folder = tmp_path / "runs" / "run"
    assert {path.name for path in folder.iterdir()} == {"run.json", "oof.csv", "heads.skops", "submission.csv"}
    assert [path.name for path in folder.parent.iterdir()] == ["run"]

    assert run_card.read_run(folder) == run
    assert run.scores[0].accuracy == 1 and run.scores[0].log_loss < math.log(2) / 2
    assert all(score.rows == 40 and "out of fold, 40 " in score.measured_on for score in run.scores)
    assert run.unreadable == {"99": "the file is empty"}
    assert list(run.backbones) == ["ResNet50", "Xception"] and run.widths == (5, 5)
    assert (run.train_rows, run.test_rows, run.protocol, run.head_digest) == (40, 6, "", "")

    rows = read_csv(folder / "submission.csv")
    assert submission.check_submission(folder / "submission.csv", sample, run.classes) == 7
    assert rows[0] == {"id": "99", "label": "0.5"}
    assert [float(row["label"]) > 0.5 for row in rows[1:]] == [True, False] * 3


def test_the_scores_are_those_of_the_out_of_fold_file(tmp_path: Path) -> None:
    file = features(tmp_path, apart=1)
    run = train([file], tmp_path)
    rows = read_csv(tmp_path / "run" / "oof.csv")
    assert [row["id"] for row in rows] == list(file.ids["train"])
    probabilities = np.array([[1 - float(row["p_dog"]), float(row["p_dog"])] for row in rows])
    labels = np.array([row["label"] == "dog" for row in rows], int)
    folds = np.array([int(row["fold"]) for row in rows])
    assert {(fold, label): 5 for fold in range(1, 5) for label in (0, 1)} == {
        (fold, label): int(np.sum((folds == fold) & (labels == label))) for fold in range(1, 5) for label in (0, 1)
    }
    after = calibration.cross_fitted(probabilities, labels, folds)
    assert grades.score(after, labels, "").log_loss == pytest.approx(run.scores[0].log_loss)
    assert grades.score(probabilities, labels, "").log_loss == pytest.approx(run.scores[1].log_loss)
    assert ["calibrated on the other folds" in score.measured_on for score in run.scores] == [True, False]
    assert "not calibrated" in run.scores[1].measured_on
    delivered = calibration.fit_calibration(probabilities, labels)
    assert run.calibration.clip == pytest.approx(delivered.clip, rel=1e-6)


def test_where_the_truth_is_known_the_first_score_is_measured_on_it(tmp_path: Path) -> None:
    file = features(tmp_path, test=8, apart=1)
    truth = {f"{n + 1}": CLASSES[n % 2] for n in range(8)}
    run = train([file], tmp_path, truth=truth)
    assert run.scores[0].measured_on == "held out, 8 labelled photographs" and run.scores[0].rows == 8
    assert all(score.measured_on.startswith("out of fold") for score in run.scores[1:])
    (tmp_path / "truth.csv").write_text("id,label\n" + "".join(f"{n + 1},{CLASSES[n % 2]}\n" for n in range(8)))
    grade = grading.grade_submission(tmp_path / "run" / "submission.csv", tmp_path / "truth.csv", run.classes)
    assert grade.log_loss == pytest.approx(run.scores[0].log_loss, abs=1e-9)


def test_the_missions_head_leaves_learning_curves(tmp_path: Path) -> None:
    train([features(tmp_path)], tmp_path, head="dropout-sigmoid", folds=2, settings={"min_updates": 50})
    folder = tmp_path / "run"
    assert (folder / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    for part in ("fold-1/train", "fold-1/validation", "fold-2/train", "fold-2/validation"):
        (events,) = (folder / "tensorboard" / part).iterdir()
        assert all(tag in events.read_bytes() for tag in (b"epoch_loss", b"epoch_accuracy", b"scalars"))


def test_without_test_photographs_there_is_no_submission(tmp_path: Path) -> None:
    assert train([features(tmp_path, test=0)], tmp_path).test_rows == 0
    assert not (tmp_path / "run" / "submission.csv").exists()


def test_a_name_is_taken_once_unless_forced(tmp_path: Path) -> None:
    files = [features(tmp_path)]
    train(files, tmp_path / "runs", command="first")
    with refused(TrainingError, r"runs/run already\. Choose another --name, or replace it with --force"):
        train(files, tmp_path / "runs", command="second")
    assert run_card.read_run(tmp_path / "runs" / "run").command == "first"
    run = tmp_path / "runs" / "run"
    (run / "notes").mkdir()
    for file in ("predictions.csv", "notes/oof.csv", "learning_curves.png"):
        (run / file).write_text(file)
    train(files, tmp_path / "runs", command="third", force=True)
    assert run_card.read_run(tmp_path / "runs" / "run").command == "third"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]
    assert all((run / file).read_text() == file for file in ("predictions.csv", "notes/oof.csv"))
    assert not (run / "learning_curves.png").exists()  # of the old run: the new head draws none
    (tmp_path / "runs" / "README.md").touch()
    with refused(TrainingError, "is not a run"):
        train(files, tmp_path / "runs", name="README.md", force=True)


def test_a_name_taken_while_training_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [features(tmp_path)]
    train(files, tmp_path / "elsewhere", command="the other")
    write = submission.write_submission

    def write_while_another_finishes(*arguments: Any) -> None:
        write(*arguments)
        shutil.copytree(tmp_path / "elsewhere" / "run", tmp_path / "runs" / "run")

    monkeypatch.setattr(submission, "write_submission", write_while_another_finishes)
    with refused(TrainingError, "There is a run at"):
        train(files, tmp_path / "runs", command="this")
    assert run_card.read_run(tmp_path / "runs" / "run").command == "the other"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]


def test_a_failure_on_the_way_leaves_the_old_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [features(tmp_path)]
    train(files, tmp_path / "runs")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(submission, "write_submission", full)
    with refused(StoreError, "disk is full"):
        train(files, tmp_path / "runs", command="again", force=True)
    assert run_card.read_run(tmp_path / "runs" / "run").command == "catsdogs train"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]


def test_each_head_is_calibrated_before_their_mean_is_taken(tmp_path: Path) -> None:
    """The temperature belongs to single heads; their mean is softer already."""
    file = features(tmp_path, rows=60, test=20, apart=1)
    train([file], tmp_path, folds=5)
    loaded = run_card.load_run(tmp_path / "run")
    X = file.vectors("test")
    for temperature, clip in ((2.5, 0.01), (0.4, 0.0)):
        one = replace(loaded.run, calibration=calibration.Calibration(temperature, clip))
        probabilities = run_card.TrainedRun(one, loaded.heads).predict(X)
        each = [one.calibration.apply(head.predict_proba(X)) for head in loaded.heads]
        np.testing.assert_allclose(probabilities, np.mean(each, axis=0), rtol=1e-12)
        afterwards = one.calibration.apply(np.mean([head.predict_proba(X) for head in loaded.heads], axis=0))
        assert np.abs(probabilities - afterwards).max() > 1e-4
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_classes_that_no_photograph_shows_are_left_out(tmp_path: Path) -> None:
    """As of a breed table of which a part of the photographs is there."""
    whole = features(tmp_path / "whole", classes=("ant", "bee", "cat"), test=6)
    rows = [(id, ["ape", "ant", "bat", "bee", "cat", "cow"].index(id.split(".")[0])) for id in whole.ids["train"]]
    known = rows_of(digested(rows, 6), 5, "ResNet50")
    cache = Cache(tmp_path, recipe("ResNet50"))
    vectors = np.concatenate((whole.vectors("train"), whole.vectors("test")))
    cache.write_shard(replace(known, vector=vectors), "none")
    cache.assemble(digested(rows, 6), ["ape", "ant", "bat", "bee", "cat", "cow"], [DAMAGED], "photographs")
    file = feature_file.read_features(cache.path)
    run = train([file], tmp_path / "runs")
    assert (run.classes, run.left_out) == (("ant", "bee", "cat"), ("ape", "bat", "cow"))
    plain = train([whole], tmp_path / "runs", name="plain", head="ridge")
    assert run.scores == plain.scores
    header = (tmp_path / "runs/run/submission.csv").read_text().splitlines()[0]
    assert header == "id,ant,bee,cat"
    run_card.rows_of(run, [file])

    sample = "id,bee,ape,cat,ant,cow\n" + "".join(f"{id},0.2,0.2,0.2,0.2,0.2\n" for id in (99, 3, 1, 2, 4, 5, 6))
    run = train([file], tmp_path / "runs", name="sampled", sample_submission=sample)
    path = tmp_path / "runs/sampled/submission.csv"
    assert submission.check_submission(path, sample, run.classes, run.left_out) == 7
    for row in read_csv(path):
        values = {name: float(value) for name, value in row.items() if name != "id"}
        assert sum(values.values()) == pytest.approx(1)
        assert values["ape"] == values["cow"] == pytest.approx(0.5 / (60 + 0.5 * 6))
    ids, probabilities = submission.read_submission(path, run.classes, run.left_out)
    assert ids[0] == "99" and probabilities.shape == (7, 3)
    (tmp_path / "truth.csv").write_text("id,label\n" + "".join(f"{n},{'cow' if n == 2 else 'ant'}\n" for n in ids))
    losses = -math.log(0.5 / 63) / 7
    assert grading.grade_submission(path, tmp_path / "truth.csv", run.classes, run.left_out).log_loss > losses
    with refused(SubmissionError, "are not the classes"):
        train([file], tmp_path / "runs", name="other", sample_submission=sample.replace("ape", "pug"))


def test_settings_that_run_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    """They would be lost, and the run could not be had again."""
    with refused(TrainingError, r"The setting hidden_layer_sizes of the head MLPClassifier cannot be written"):
        train([features(tmp_path)], tmp_path, head="MLPClassifier", settings={"hidden_layer_sizes": (3, 3)})

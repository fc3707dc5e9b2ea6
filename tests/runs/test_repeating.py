"""A run can be had again from its run.json and the same feature files, and on no others."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catsdogs.errors import StoreError, SubmissionError, TrainingError
from catsdogs.features import feature_file
from catsdogs.features.folds import fold_numbers
from catsdogs.runs import run_card, training
from catsdogs.scoring import replay, streaming, training_plan
from tests.conftest import refused
from tests.support.runs import NEAREST_MEAN, features, read_again, read_csv, train, with_copies


def train_as_planned(run: run_card.Run, submissions: Path, name: str) -> run_card.Run:
    """A run again from what its description says and from the feature files it names."""
    files, truth = read_again(run), dict[str, str]()
    run_card.rows_of(run, files)
    plan = run_card.plan_of(run)
    if plan.protocol:
        files, truth = replay.hold_out(files, plan.protocol)
    return training.train(files, plan, submissions=submissions, name=name, command="again", truth=truth)


@pytest.mark.parametrize("protocol", ["", "mlebench"])
@pytest.mark.parametrize(
    ("head", "settings"),
    [
        ("stack", {}),
        ("dropout-sigmoid", {"min_updates": 40, "learning_rate": 0.01}),
        ("RandomForestClassifier", {"n_estimators": 15, "max_features": None}),
        ("nearest_mean.py", {"softness": 0.7}),
    ],
)
def test_run_json_is_enough_to_repeat_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, settings: dict[str, Any], protocol: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nearest_mean.py").write_text(NEAREST_MEAN)
    files = [features(Path("features"), name, apart=1) for name in ("Xception", "ResNet50")]
    truth = dict[str, str]()
    if protocol:
        files, truth = replay.hold_out(files, protocol)
    corrections = {"drop": {"cat.4", "dog.5", "dog.6"}, "relabel": {"cat.7": "dog"}}
    first = train(
        files, tmp_path, truth=truth, head=head, settings=settings, seed=7, folds=3, protocol=protocol, **corrections
    )
    second = train_as_planned(run_card.read_run(tmp_path / "run"), tmp_path, "again")
    assert replace(second, name="run", command=first.command, created=first.created) == first
    for part in ("submission.csv", "oof.csv"):
        assert (tmp_path / "again" / part).read_bytes() == (tmp_path / "run" / part).read_bytes()
    other = train(files, tmp_path, name="other", head=head, settings=settings, seed=8, folds=3, **corrections)
    assert other.scores != first.scores


Change = tuple[Callable[[Path], object], str]
CHANGES: dict[str, Change] = {
    "more rows": (lambda folder: features(folder, rows=21), r"other rows .*: train rows: 42, not 40"),
    "test rows": (lambda folder: features(folder, test=5), r"other rows .*: test rows: 5, not 6"),
    "classes": (lambda folder: features(folder, classes=("cat", "fox")), r"classes: cat, fox, not cat, dog"),
    "ids": (lambda folder: features(folder, classes=("dog", "cat")), r"classes: dog, cat, not cat, dog"),
    "recipe": (lambda folder: features(folder, precision="bfloat16"), r"h5 is not .*precision: bfloat16, not float32"),
    "width": (lambda folder: features(folder, width=6), r"ResNet50\.h5 is not .*width: 6, not 5"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_is_not_repeated_on_other_features(tmp_path: Path, change: str) -> None:
    run = train([features(tmp_path)], tmp_path)
    make, message = CHANGES[change]
    shutil.rmtree(tmp_path / feature_file.SHARD_FOLDER)
    Path(run.features, "ResNet50.h5").unlink()
    make(tmp_path)
    with refused(StoreError, message):
        run_card.rows_of(run, read_again(run))


def test_a_run_is_not_repeated_on_changed_photographs_or_other_networks(tmp_path: Path) -> None:
    file, other = features(tmp_path), features(tmp_path, "Xception")
    run = train([file], tmp_path)
    digests = file.digests["train"].copy()
    digests[3] += 1
    with refused(
        StoreError, r"ResNet50\.h5 holds other rows .*as many, but of other ids, labels, groups or photographs"
    ):
        run_card.rows_of(run, [replace(file, digests={**file.digests, "train": digests})])
    for files in ([other], [file, other]):
        with refused(StoreError, "was trained on ResNet50, not on .*Xception"):
            run_card.rows_of(run, files)
    replayed = train(replay.hold_out([file], "mlebench")[0], tmp_path, name="replayed", protocol="mlebench")
    run_card.rows_of(replayed, [features(tmp_path / "fewer tests", test=5)])  # of which that run took none
    with refused(StoreError, "train rows: 37, not 36"):
        run_card.rows_of(replayed, [features(tmp_path / "more", rows=21)])


def test_a_run_is_not_repeated_with_a_changed_head_file(tmp_path: Path) -> None:
    path = tmp_path / "nearest_mean.py"
    path.write_text(NEAREST_MEAN)
    run = train([features(tmp_path)], tmp_path, head=str(path))
    assert run_card.plan_of(run).head == str(path)
    path.write_text(NEAREST_MEAN.replace("axis=2", "axis=2, ord=1"))
    with refused(TrainingError, r"nearest_mean\.py is gone, or not what it was for the run run"):
        run_card.plan_of(run)
    path.unlink()
    with refused(TrainingError, r"nearest_mean\.py is gone"):
        run_card.plan_of(run)


def test_a_run_says_whether_it_was_streamed_and_is_repeated_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, the memory of the machine decided each time anew."""
    file = features(tmp_path, rows=40, apart=1)
    for name, share, other in (("streamed", 0.0, 1.0), ("in-memory", 1.0, 0.0)):
        monkeypatch.setattr(streaming, "MEMORY_SHARE", share)
        run = train([file], tmp_path, name=name, head="dropout-sigmoid", settings={"min_updates": 40})
        assert run_card.read_run(tmp_path / name).streamed == run.streamed == (name == "streamed")
        monkeypatch.setattr(streaming, "MEMORY_SHARE", other)
        if run.streamed:
            train_as_planned(run, tmp_path, f"{name}-again")
            for part in ("submission.csv", "oof.csv"):
                ours, theirs = (tmp_path / folder / part for folder in (name, f"{name}-again"))
                assert ours.read_bytes() == theirs.read_bytes()
        else:
            with refused(TrainingError, "were in memory when this run was trained. Repeat it on a machine with more"):
                train_as_planned(run, tmp_path, f"{name}-again")


def as_version_2(folder: Path) -> None:
    """Rewrite a run's description as version 2 had it."""
    path = folder / "run.json"
    content = json.loads(path.read_text())
    for name in ("streamed", "copies", "left_out", "held_out", "sample_submission"):
        del content[name]
    path.write_text(json.dumps(content | {"version": 2}))


def test_a_run_of_version_2_answers_and_is_repeated_as_it_was(tmp_path: Path) -> None:
    file = with_copies(features(tmp_path, rows=30, apart=1), ["cat.1", "cat.2"], ["dog.5", "dog.9"])
    old = {"version": 2, "drop": {"cat.4"}, "relabel": {"dog.7": "cat"}}
    run = train([file], tmp_path, head="stack", copies=(), **old)
    as_version_2(tmp_path / "run")
    read = run_card.read_run(tmp_path / "run")
    assert (read.version, read.streamed, read.copies, read.left_out) == (2, None, (), ())
    assert replace(read, streamed=run.streamed, sample_submission=run.sample_submission) == run
    learnt = training_plan.TrainingRows.of([file], relabel=run.relabelled).learnt
    folds = fold_numbers(learnt, file.ids["train"] != "cat.4", 4, 0)
    assert [int(row["fold"]) - 1 for row in read_csv(tmp_path / "run" / "oof.csv")] == folds.tolist()
    loaded = run_card.load_run(tmp_path / "run")
    mean = np.mean([head.predict_proba(file.vectors("test")) for head in loaded.heads], axis=0)
    np.testing.assert_allclose(loaded.predict(file.vectors("test")), run.calibration.apply(mean), rtol=1e-12)
    training.train([file], run_card.plan_of(read), submissions=tmp_path, name="again", command="")
    for part in ("submission.csv", "oof.csv"):
        assert (tmp_path / "again" / part).read_bytes() == (tmp_path / "run" / part).read_bytes()


def test_a_run_is_not_repeated_after_another_sample_submission(tmp_path: Path) -> None:
    file = features(tmp_path)
    sample = "id,label\n" + "".join(f"{id},0.5\n" for id in (6, 5, 4, 3, 2, 1))
    run = train([file], tmp_path, sample_submission=sample)
    plan = run_card.plan_of(run_card.read_run(tmp_path / "run"))
    reordered = "\n".join(sample.splitlines()[:1] + sample.splitlines()[1:][::-1]) + "\n"
    assert run.sample_submission
    with refused(SubmissionError, "not the one that the run to repeat was written after"):
        training.train([file], plan, submissions=tmp_path, name="b", command="", sample_submission=reordered)
    training.train([file], plan, submissions=tmp_path, name="c", command="", sample_submission=sample)
    assert (tmp_path / "c/submission.csv").read_bytes() == (tmp_path / "run/submission.csv").read_bytes()

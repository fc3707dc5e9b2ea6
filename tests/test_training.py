"""A run scores rows that its heads never saw, is whole or not there at all, and can be had again from its run.json."""

import csv
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catsdogs import calibration, heads, images, replay, runs, store, submission, training
from catsdogs.dataset import Location, Photograph
from catsdogs.errors import CatsdogsError, StoreError, SubmissionError, TrainingError, UnknownNameError, UsageError
from catsdogs.shards import Cache, Entry
from catsdogs.store import RANDOM_WEIGHTS, Features, Unreadable
from tests.conftest import recipe, refused, rows_of

DAMAGED = Unreadable("test", "99", "the file is empty")
CLASSES = ("cat", "dog")
NEAREST_MEAN = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

class NearestMean(ClassifierMixin, BaseEstimator):
    def __init__(self, softness=2.0, random_state=None):
        self.softness, self.random_state = softness, random_state

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.means_ = np.stack([X[y == label].mean(axis=0) for label in self.classes_])
        return self

    def predict_proba(self, X):
        distances = np.linalg.norm(X[:, None] - self.means_, axis=2)
        closeness = np.exp(-distances / self.softness)
        return closeness / closeness.sum(axis=1, keepdims=True)
"""


def entries(train: Sequence[tuple[str, int]], test: int) -> list[Entry]:
    rows = [Photograph(id, "train", label, Location(Path("photographs"), id)) for id, label in train]
    rows += [Photograph(str(n + 1), "test", -1, Location(Path("photographs"), str(n + 1))) for n in range(test)]
    return [Entry(row, images.digest(f"{row.split}/{row.id}".encode())) for row in rows]


def features(
    folder: Path,
    name: str = "ResNet50",
    classes: Sequence[str] = CLASSES,
    rows: int = 20,
    test: int = 6,
    unreadable: Sequence[Unreadable] = (),
    apart: float = 4,
    width: int = 5,
    **other: object,
) -> Features:
    """A feature file in which the classes, of `rows` photographs each, lie `apart`; test rows take turns."""
    train = [(f"{class_name}.{n}", label) for label, class_name in enumerate(classes) for n in range(rows)]
    table = entries(train, test)
    known = rows_of(table, width, name)
    labels = np.array([label for _, label in train] + [n % len(classes) for n in range(test)])
    vectors = known.vector + apart * np.eye(len(classes), width, dtype=np.float32)[labels]
    cache = Cache(folder, recipe(name, **other))
    cache.write_shard(replace(known, vector=vectors), "none")
    cache.assemble(table, classes, unreadable, "photographs")
    return store.read(cache.path)


def train(files: Sequence[Features], submissions: Path, **other: Any) -> runs.Run:
    """A run of ridge regression, the quickest head; some of `other` belong to the plan."""
    of_plan = {field.name: other.pop(field.name) for field in fields(training.Plan) if field.name in other}
    plan = training.Plan(**{"head": "ridge", "folds": 4, "seed": 0, **of_plan})
    return training.train(files, plan, submissions=submissions, **{"name": "run", "command": "catsdogs train", **other})


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_writes_what_it_says(tmp_path: Path) -> None:
    files = [features(tmp_path, name, unreadable=[DAMAGED]) for name in ("ResNet50", "Xception")]
    sample = "id,label\n" + "".join(f"{id},0.5\n" for id in (99, 6, 5, 4, 3, 2, 1))
    run = train(files, tmp_path / "runs", sample_submission=sample)
    folder = tmp_path / "runs" / "run"
    assert {path.name for path in folder.iterdir()} == {"run.json", "oof.csv", "heads.skops", "submission.csv"}
    assert [path.name for path in folder.parent.iterdir()] == ["run"]

    assert runs.read_run(folder) == run
    assert run.scores[0].accuracy == 1 and run.scores[0].log_loss < math.log(2) / 2
    assert all(score.rows == 40 and "out of fold, 40 " in score.measured_on for score in run.scores)
    assert run.unreadable == {"99": "the file is empty"}
    assert list(run.backbones) == ["ResNet50", "Xception"] and run.widths == (5, 5)
    assert (run.train_rows, run.test_rows, run.protocol, run.head_digest) == (40, 6, "", "")

    rows = table(folder / "submission.csv")
    assert submission.check(folder / "submission.csv", sample, run.classes) == 7
    assert rows[0] == {"id": "99", "label": "0.5"}
    assert [float(row["label"]) > 0.5 for row in rows[1:]] == [True, False] * 3


def test_the_scores_are_those_of_the_out_of_fold_file(tmp_path: Path) -> None:
    file = features(tmp_path, apart=1)
    run = train([file], tmp_path)
    rows = table(tmp_path / "run" / "oof.csv")
    assert [row["id"] for row in rows] == list(file.ids["train"])
    probabilities = np.array([[1 - float(row["p_dog"]), float(row["p_dog"])] for row in rows])
    labels = np.array([row["label"] == "dog" for row in rows], int)
    folds = np.array([int(row["fold"]) for row in rows])
    assert {(fold, label): 5 for fold in range(1, 5) for label in (0, 1)} == {
        (fold, label): int(np.sum((folds == fold) & (labels == label))) for fold in range(1, 5) for label in (0, 1)
    }
    after = calibration.cross_fitted(probabilities, labels, folds)
    assert submission.score(after, labels, "").log_loss == pytest.approx(run.scores[0].log_loss)
    assert submission.score(probabilities, labels, "").log_loss == pytest.approx(run.scores[1].log_loss)
    assert ["calibrated on the other folds" in score.measured_on for score in run.scores] == [True, False]
    assert "not calibrated" in run.scores[1].measured_on
    delivered = calibration.fit(probabilities, labels)
    assert run.calibration.clip == pytest.approx(delivered.clip, rel=1e-6)


def learnt_from(folder: Path, file: Features, kept: np.ndarray, labels: np.ndarray) -> None:
    """Assert that each head of a run of ridge regression learnt from the kept rows of the other folds, so labelled."""
    X, fold = file.vectors("train"), np.array([int(row["fold"]) for row in table(folder / "oof.csv")])
    for number, head in enumerate(runs.load(folder).heads, start=1):
        rows = kept & (fold != number)
        oracle = heads.create("ridge").fit(X[rows], labels[rows])
        assert np.array_equal(head.predict_proba(X), oracle.predict_proba(X))


def test_dropped_rows_are_scored_but_never_learnt_from(tmp_path: Path) -> None:
    file = features(tmp_path)
    honest = train([file], tmp_path, name="honest")
    wrong = replace(file, labels=np.where(file.ids["train"] == "dog.3", 0, file.labels))
    drop = frozenset({"dog.3", "bird.7"})
    run = train([wrong], tmp_path, name="wrong", drop=drop)
    assert run.dropped == ("dog.3",)
    assert run.prior == (20 / 39, 19 / 39)
    everyone, _, kept = run.scores
    assert (kept.rows, everyone.rows) == (39, 40) and "1 dropped and 0 relabelled" in kept.measured_on
    assert everyone.log_loss > kept.log_loss  # the wrong label costs, and is not hidden
    assert not any("dropped" in score.measured_on for score in honest.scores)
    assert [row["id"] for row in table(tmp_path / "wrong" / "oof.csv") if row["dropped"] == "1"] == ["dog.3"]
    learnt_from(tmp_path / "wrong", file, file.ids["train"] != "dog.3", file.labels)


def test_relabelled_rows_are_learnt_as_told_and_scored_as_they_came(tmp_path: Path) -> None:
    file = features(tmp_path)
    mistaken = replace(file, labels=np.where(file.ids["train"] == "dog.3", 0, file.labels))
    run = train([mistaken], tmp_path, name="mended", relabel={"dog.3": "dog", "dog.99": "cat"})
    assert run.relabelled == {"dog.3": "dog"} and run.prior == (0.5, 0.5)
    as_given, _, as_learnt = run.scores
    assert "0 dropped and 1 relabelled" in as_learnt.measured_on
    assert as_given.accuracy == 39 / 40 and as_learnt.accuracy == 1
    learnt_from(tmp_path / "mended", file, np.ones(40, bool), file.labels)
    row = table(tmp_path / "mended" / "oof.csv")[23]
    assert (row["label"], row["relabelled"]) == ("cat", "dog")
    right = train([file], tmp_path, name="right")
    assert right.dropped == () and right.relabelled == {}


def test_where_the_truth_is_known_the_first_score_is_measured_on_it(tmp_path: Path) -> None:
    file = features(tmp_path, test=8, apart=1)
    truth = np.arange(8) % 2
    run = train([file], tmp_path, truth=truth)
    assert run.scores[0].measured_on == "held out, 8 labelled photographs" and run.scores[0].rows == 8
    assert all(score.measured_on.startswith("out of fold") for score in run.scores[1:])
    (tmp_path / "truth.csv").write_text("id,label\n" + "".join(f"{n + 1},{CLASSES[n % 2]}\n" for n in range(8)))
    grade = submission.grade(tmp_path / "run" / "submission.csv", tmp_path / "truth.csv", run.classes)
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


Refused = tuple[Callable[[Path], list[Features]], dict[str, Any], type[CatsdogsError], str]
ALL_DOGS = [f"dog.{n}" for n in range(20)]
REFUSED: dict[str, Refused] = {
    "random weights": (
        lambda folder: [features(folder, weights=RANDOM_WEIGHTS)], {}, TrainingError, "random weights"
    ),
    "one class": (lambda folder: [features(folder, classes=("cat",))], {}, TrainingError, "All 20 .* are cat"),
    "few rows": (
        lambda folder: [features(folder, rows=3)], {}, TrainingError, "class cat has 3 .* fewer than 4 folds"
    ),
    "few rows once dropped": (
        lambda folder: [features(folder)],
        {"drop": set(ALL_DOGS[3:])},
        TrainingError,
        "class dog has 3 .* fewer than 4 folds",
    ),
    "a class relabelled away": (
        lambda folder: [features(folder)],
        {"relabel": dict.fromkeys(ALL_DOGS, "cat")},
        TrainingError,
        "class dog has 0 .* fewer than 4 folds",
    ),
    "other rows": (
        lambda folder: [features(folder), features(folder, "Xception", rows=21)], {}, StoreError, "lacks 2 train rows"
    ),
    "a constant network": (
        lambda folder: [features(folder), constant(folder, "Xception")],
        {},
        TrainingError,
        r"Xception\.h5 says the same of every training photograph",
    ),
    "a head that refuses": (
        lambda folder: [features(folder, apart=-9)], {"head": "MultinomialNB"}, TrainingError, "MultinomialNB refuses"
    ),
    "a negative seed": (lambda folder: [features(folder)], {"seed": -1}, UsageError, "seed -1.*from 0"),
    "one fold": (lambda folder: [features(folder)], {"folds": 1}, UsageError, "1 folds"),
    "unknown head": (lambda folder: [features(folder)], {"head": "svm"}, UnknownNameError, "dropout-sigmoid"),
    "unknown setting": (lambda folder: [features(folder)], {"settings": {"D": 1}}, TrainingError, "cannot be made"),
    "a path for a name": (lambda folder: [features(folder)], {"name": "../run"}, UsageError, "run name"),
    "a hidden name": (lambda folder: [features(folder)], {"name": ".run"}, UsageError, "run name"),
    "no name": (lambda folder: [features(folder)], {"name": ""}, UsageError, "run name"),
    "another sample": (
        lambda folder: [features(folder)], {"sample_submission": "id,label\n7,0.5\n"}, SubmissionError, "1 ids .*: 7"
    ),
}  # fmt: skip


def constant(folder: Path, name: str) -> Features:
    """A feature file whose vectors are all the same."""
    file = features(folder, name)
    cache = Cache(folder / "constant", recipe(name))
    table = entries([(id, label) for id, label in zip(file.ids["train"], file.labels, strict=True)], 6)
    known = rows_of(table, 5, name)
    cache.write_shard(replace(known, vector=np.ones_like(known.vector)), "none")
    cache.assemble(table, CLASSES, [], "photographs")
    return store.read(cache.path)


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_on_is_refused_and_nothing_is_written(tmp_path: Path, case: str) -> None:
    make, other, error, message = REFUSED[case]
    with refused(error, message):
        train(make(tmp_path / "features"), tmp_path / "runs", **other)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("held", ["open(__file__)", "lambda: 1", "object()"])
def test_a_head_that_cannot_be_kept_without_pickle_is_refused(tmp_path: Path, held: str) -> None:
    path = tmp_path / "nearest_mean.py"
    path.write_text(NEAREST_MEAN.replace("return self", f"self.held = {held}; return self"))
    with refused(TrainingError, r"nearest_mean\.py cannot be kept without pickle"):
        train([features(tmp_path)], tmp_path / "runs", head=str(path))
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_name_is_taken_once_unless_forced(tmp_path: Path) -> None:
    files = [features(tmp_path)]
    train(files, tmp_path / "runs", command="first")
    with refused(TrainingError, r"runs/run already\. Choose another --name, or replace it with --force"):
        train(files, tmp_path / "runs", command="second")
    assert runs.read_run(tmp_path / "runs" / "run").command == "first"
    run = tmp_path / "runs" / "run"
    (run / "notes").mkdir()
    for file in ("predictions.csv", "notes/oof.csv", "learning_curves.png"):
        (run / file).write_text(file)
    train(files, tmp_path / "runs", command="third", force=True)
    assert runs.read_run(tmp_path / "runs" / "run").command == "third"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]
    assert all((run / file).read_text() == file for file in ("predictions.csv", "notes/oof.csv"))
    assert not (run / "learning_curves.png").exists()  # of the old run: the new head draws none
    (tmp_path / "runs" / "README.md").touch()
    with refused(TrainingError, "is not a run"):
        train(files, tmp_path / "runs", name="README.md", force=True)


def test_a_name_taken_while_training_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [features(tmp_path)]
    train(files, tmp_path / "elsewhere", command="the other")
    write = submission.write

    def write_while_another_finishes(*arguments: Any) -> None:
        write(*arguments)
        shutil.copytree(tmp_path / "elsewhere" / "run", tmp_path / "runs" / "run")

    monkeypatch.setattr(submission, "write", write_while_another_finishes)
    with refused(TrainingError, "There is a run at"):
        train(files, tmp_path / "runs", command="this")
    assert runs.read_run(tmp_path / "runs" / "run").command == "the other"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]


def test_a_failure_on_the_way_leaves_the_old_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [features(tmp_path)]
    train(files, tmp_path / "runs")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(submission, "write", full)
    with refused(StoreError, "disk is full"):
        train(files, tmp_path / "runs", command="again", force=True)
    assert runs.read_run(tmp_path / "runs" / "run").command == "catsdogs train"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]


def read_again(run: runs.Run) -> list[Features]:
    return [store.read(store.path_of(Path(run.features), name)) for name in run.backbones]


def train_as_planned(run: runs.Run, submissions: Path, name: str) -> runs.Run:
    """A run again from what its description says and from the feature files it names."""
    files, truth = read_again(run), None
    training.check_repeatable(run, files)
    plan = training.plan_of(run)
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
    truth = None
    if protocol:
        files, truth = replay.hold_out(files, protocol)
    corrections = {"drop": {"cat.4", "dog.5", "dog.6"}, "relabel": {"cat.7": "dog"}}
    first = train(
        files, tmp_path, truth=truth, head=head, settings=settings, seed=7, folds=3, protocol=protocol, **corrections
    )
    second = train_as_planned(runs.read_run(tmp_path / "run"), tmp_path, "again")
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
    shutil.rmtree(tmp_path / store.SHARD_FOLDER)
    Path(run.features, "ResNet50.h5").unlink()
    make(tmp_path)
    with refused(StoreError, message):
        training.check_repeatable(run, read_again(run))


def test_a_run_is_not_repeated_on_changed_photographs_or_other_networks(tmp_path: Path) -> None:
    file, other = features(tmp_path), features(tmp_path, "Xception")
    run = train([file], tmp_path)
    digests = file.digests["train"].copy()
    digests[3] += 1
    with refused(StoreError, r"ResNet50\.h5 holds other rows .*as many, but of other ids, labels or photographs"):
        training.check_repeatable(run, [replace(file, digests={**file.digests, "train": digests})])
    for files in ([other], [file, other]):
        with refused(StoreError, "was trained on ResNet50, not on .*Xception"):
            training.check_repeatable(run, files)
    replayed = train(replay.hold_out([file], "mlebench")[0], tmp_path, name="replayed", protocol="mlebench")
    training.check_repeatable(replayed, [features(tmp_path / "fewer tests", test=5)])  # of which that run took none
    with refused(StoreError, "train rows: 37, not 36"):
        training.check_repeatable(replayed, [features(tmp_path / "more", rows=21)])


def test_a_run_is_not_repeated_with_a_changed_head_file(tmp_path: Path) -> None:
    path = tmp_path / "nearest_mean.py"
    path.write_text(NEAREST_MEAN)
    run = train([features(tmp_path)], tmp_path, head=str(path))
    assert training.plan_of(run).head == str(path)
    path.write_text(NEAREST_MEAN.replace("axis=2", "axis=2, ord=1"))
    with refused(TrainingError, r"nearest_mean\.py is gone, or not what it was for the run run"):
        training.plan_of(run)
    path.unlink()
    with refused(TrainingError, r"nearest_mean\.py is gone"):
        training.plan_of(run)

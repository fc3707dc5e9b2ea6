"""A run scores rows that its heads never saw, is whole or not there at all, and can be had again from its run.json."""

import csv
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catsdogs import heads
from catsdogs.cleaning import duplicates
from catsdogs.competition import submission
from catsdogs.errors import CatsdogsError, StoreError, SubmissionError, TrainingError, UnknownNameError, UsageError
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache, DigestedPhotograph
from catsdogs.features.feature_file import Features, Unreadable
from catsdogs.features.folds import fold_numbers
from catsdogs.networks.weights import RANDOM_WEIGHTS
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Location, Photograph
from catsdogs.runs import run_card, training
from catsdogs.scoring import calibration, grades, replay, streaming, training_plan
from tests.cleaning.test_duplicates import again
from tests.conftest import opened, recipe, refused, rows_of
from tests.support.vectors import write_vectors as write

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


def entries(train: Sequence[tuple[str, int]], test: int) -> list[DigestedPhotograph]:
    rows = [Photograph(id, "train", label, Location(Path("photographs"), id)) for id, label in train]
    rows += [Photograph(str(n + 1), "test", -1, Location(Path("photographs"), str(n + 1))) for n in range(test)]
    return [DigestedPhotograph(row, images.digest(f"{row.split}/{row.id}".encode())) for row in rows]


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
    return feature_file.read_features(cache.path)


def train(files: Sequence[Features], submissions: Path, **other: Any) -> run_card.Run:
    """A run of ridge regression, the quickest head; some of `other` belong to the plan."""
    of_plan = {field.name: other.pop(field.name) for field in fields(training_plan.Plan) if field.name in other}
    plan = training_plan.Plan(**{"head": "ridge", "folds": 4, "seed": 0, **of_plan})
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

    assert run_card.read_run(folder) == run
    assert run.scores[0].accuracy == 1 and run.scores[0].log_loss < math.log(2) / 2
    assert all(score.rows == 40 and "out of fold, 40 " in score.measured_on for score in run.scores)
    assert run.unreadable == {"99": "the file is empty"}
    assert list(run.backbones) == ["ResNet50", "Xception"] and run.widths == (5, 5)
    assert (run.train_rows, run.test_rows, run.protocol, run.head_digest) == (40, 6, "", "")

    rows = table(folder / "submission.csv")
    assert submission.check_submission(folder / "submission.csv", sample, run.classes) == 7
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
    assert grades.score(after, labels, "").log_loss == pytest.approx(run.scores[0].log_loss)
    assert grades.score(probabilities, labels, "").log_loss == pytest.approx(run.scores[1].log_loss)
    assert ["calibrated on the other folds" in score.measured_on for score in run.scores] == [True, False]
    assert "not calibrated" in run.scores[1].measured_on
    delivered = calibration.fit_calibration(probabilities, labels)
    assert run.calibration.clip == pytest.approx(delivered.clip, rel=1e-6)


def learnt_from(folder: Path, file: Features, kept: np.ndarray, labels: np.ndarray) -> None:
    """Assert that each head of a run of ridge regression learnt from the kept rows of the other folds, so labelled."""
    X, fold = file.vectors("train"), np.array([int(row["fold"]) for row in table(folder / "oof.csv")])
    for number, head in enumerate(run_card.load_run(folder).heads, start=1):
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
    grade = submission.grade_submission(tmp_path / "run" / "submission.csv", tmp_path / "truth.csv", run.classes)
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
    return feature_file.read_features(cache.path)


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


def read_again(run: run_card.Run) -> list[Features]:
    return [feature_file.read_features(feature_file.path_of(Path(run.features), name)) for name in run.backbones]


def train_as_planned(run: run_card.Run, submissions: Path, name: str) -> run_card.Run:
    """A run again from what its description says and from the feature files it names."""
    files, truth = read_again(run), None
    run_card.check_repeatable(run, files)
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
    truth = None
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
        run_card.check_repeatable(run, read_again(run))


def test_a_run_is_not_repeated_on_changed_photographs_or_other_networks(tmp_path: Path) -> None:
    file, other = features(tmp_path), features(tmp_path, "Xception")
    run = train([file], tmp_path)
    digests = file.digests["train"].copy()
    digests[3] += 1
    with refused(StoreError, r"ResNet50\.h5 holds other rows .*as many, but of other ids, labels or photographs"):
        run_card.check_repeatable(run, [replace(file, digests={**file.digests, "train": digests})])
    for files in ([other], [file, other]):
        with refused(StoreError, "was trained on ResNet50, not on .*Xception"):
            run_card.check_repeatable(run, files)
    replayed = train(replay.hold_out([file], "mlebench")[0], tmp_path, name="replayed", protocol="mlebench")
    run_card.check_repeatable(replayed, [features(tmp_path / "fewer tests", test=5)])  # of which that run took none
    with refused(StoreError, "train rows: 37, not 36"):
        run_card.check_repeatable(replayed, [features(tmp_path / "more", rows=21)])


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


def dealt(run_folder: Path) -> dict[str, str]:
    return {row["id"]: row["fold"] for row in table(run_folder / "oof.csv")}


def with_copies(file: Features, *groups: Sequence[str]) -> Features:
    """The same file, in which the photographs of each group have the bytes of the group's first."""
    ids, digests = file.ids["train"].tolist(), file.digests["train"].copy()
    for first, *others in groups:
        digests[[ids.index(id) for id in others]] = digests[ids.index(first)]
    return replace(file, digests={**file.digests, "train": digests})


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_dropping_and_relabelling_move_no_other_row(dozens: Features, data: st.DataObject) -> None:
    """Before, the folds of a quarter to a half of all rows changed with one decision."""
    ids = dozens.ids["train"].tolist()
    plan = training_plan.Plan("GaussianNB", 3, data.draw(st.integers(0, 5)))
    before = training_plan.out_of_fold([dozens], plan).fold
    drop = data.draw(st.sets(st.sampled_from(ids), max_size=8))
    relabel = data.draw(st.dictionaries(st.sampled_from(ids), st.sampled_from(CLASSES), max_size=8))
    try:
        after = training_plan.out_of_fold([dozens], replace(plan, drop=drop, relabel=relabel)).fold
    except TrainingError:  # a class that is gone but for one fold
        return
    assert np.array_equal(before, after)


@pytest.fixture(scope="module")
def dozens(tmp_path_factory: pytest.TempPathFactory) -> Features:
    """Two dozen photographs of either class, of which some are copies."""
    file = features(tmp_path_factory.mktemp("dozens"), rows=24)
    return with_copies(file, ["cat.1", "cat.7", "cat.9"], ["dog.2", "dog.20"], ["cat.4", "dog.4"])


def test_copies_are_judged_by_heads_that_never_learnt_their_twins(tmp_path: Path) -> None:
    """A head that knows by heart what it learnt, on vectors without a pattern: half the rows are copies of others."""
    file = features(tmp_path, rows=40, apart=0, width=8)
    pairs = [(f"{name}.{n}", f"{name}.{n + 20}") for name in CLASSES for n in range(20)]
    ids, X = file.ids["train"].tolist(), file.vectors("train")
    with opened(file.path) as content:
        for one, other in pairs:
            content["train"][ids.index(other)] = X[ids.index(one)]
    copied = with_copies(file, *pairs)
    crossed = training_plan.out_of_fold(
        [copied], training_plan.Plan("KNeighborsClassifier", 4, 0, settings={"n_neighbors": 1})
    )
    assert all(crossed.fold[ids.index(one)] == crossed.fold[ids.index(other)] for one, other in pairs)
    right = crossed.probabilities.argmax(axis=1) == file.labels
    assert 0.25 < right.mean() < 0.75  # without a pattern in the vectors all else is a leak
    run = train([copied], tmp_path)
    assert {frozenset(group) for group in run.copies} == {frozenset(pair) for pair in pairs}
    assert "4 folds with copies in one" in run.scores[0].measured_on
    assert dealt(tmp_path / "run") == dealt_again(tmp_path, run)


def dealt_again(folder: Path, run: run_card.Run) -> dict[str, str]:
    """The folds of a run that is repeated on files that know of no copies: `run.json` alone determines them."""
    bare = [replace(file, digests={}) for file in read_again(run)]
    training.train(bare, run_card.plan_of(run), submissions=folder, name="again", command="")
    return dealt(folder / "again")


def test_near_copies_share_a_fold(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    train_rows = np.abs(random.normal(size=(60, 600))).astype(np.float32)
    train_rows[3], train_rows[8] = (again(train_rows[row]) for row in (1, 5))
    file = write(tmp_path, "ResNet50", train_rows, np.abs(random.normal(size=(6, 600))).astype(np.float32))
    groups = duplicates.find_copies([file])
    assert groups == (("cat.1", "cat.3"), ("cat.5", "cat.8"))
    run = train([file], tmp_path / "runs", folds=3)
    assert run.copies == groups
    folds = dealt(tmp_path / "runs" / "run")
    assert folds["cat.1"] == folds["cat.3"] and folds["cat.5"] == folds["cat.8"]
    trained_here = replace(file, path=tmp_path / "mine.h5")
    assert duplicates.find_copies([trained_here]) == ()  # it brings the photographs of a class together
    assert "no network of the table" in duplicates.why_not_near([trained_here])


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


def test_each_head_is_calibrated_before_their_mean_is_taken(tmp_path: Path) -> None:
    """The temperature belongs to single heads; their mean is softer already."""
    file = features(tmp_path, rows=60, test=20, apart=1)
    train([file], tmp_path, folds=5)
    loaded = run_card.load_run(tmp_path / "run")
    X = file.vectors("test")
    for temperature, clip in ((2.5, 0.01), (0.4, 0.0)):
        one = replace(loaded.run, calibration=calibration.Calibration(temperature, clip))
        said = run_card.TrainedRun(one, loaded.heads).predict_proba(X)
        each = [one.calibration.apply(head.predict_proba(X)) for head in loaded.heads]
        np.testing.assert_allclose(said, np.mean(each, axis=0), rtol=1e-12)
        assert np.abs(said - one.calibration.apply(np.mean([h.predict_proba(X) for h in loaded.heads], 0))).max() > 1e-4
        np.testing.assert_allclose(said.sum(axis=1), 1)


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
    learnt = training_plan.corrected_labels(file, run.relabelled)
    folds = fold_numbers(learnt, file.ids["train"] != "cat.4", 4, 0)
    assert [int(row["fold"]) - 1 for row in table(tmp_path / "run" / "oof.csv")] == folds.tolist()
    loaded = run_card.load_run(tmp_path / "run")
    mean = np.mean([head.predict_proba(file.vectors("test")) for head in loaded.heads], axis=0)
    np.testing.assert_allclose(loaded.predict_proba(file.vectors("test")), run.calibration.apply(mean), rtol=1e-12)
    training.train([file], run_card.plan_of(read), submissions=tmp_path, name="again", command="")
    for part in ("submission.csv", "oof.csv"):
        assert (tmp_path / "again" / part).read_bytes() == (tmp_path / "run" / part).read_bytes()


def test_classes_that_no_photograph_shows_are_left_out(tmp_path: Path) -> None:
    """As of a breed table of which a part of the photographs is there."""
    whole = features(tmp_path / "whole", classes=("ant", "bee", "cat"), test=6)
    rows = [(id, ["ape", "ant", "bat", "bee", "cat", "cow"].index(id.split(".")[0])) for id in whole.ids["train"]]
    known = rows_of(entries(rows, 6), 5, "ResNet50")
    cache = Cache(tmp_path, recipe("ResNet50"))
    vectors = np.concatenate((whole.vectors("train"), whole.vectors("test")))
    cache.write_shard(replace(known, vector=vectors), "none")
    cache.assemble(entries(rows, 6), ["ape", "ant", "bat", "bee", "cat", "cow"], [DAMAGED], "photographs")
    file = feature_file.read_features(cache.path)
    run = train([file], tmp_path / "runs")
    assert (run.classes, run.left_out) == (("ant", "bee", "cat"), ("ape", "bat", "cow"))
    plain = train([whole], tmp_path / "runs", name="plain", head="ridge")
    assert run.scores == plain.scores
    header = (tmp_path / "runs/run/submission.csv").read_text().splitlines()[0]
    assert header == "id,ant,bee,cat"
    run_card.check_repeatable(run, [file])

    sample = "id,bee,ape,cat,ant,cow\n" + "".join(f"{id},0.2,0.2,0.2,0.2,0.2\n" for id in (99, 3, 1, 2, 4, 5, 6))
    run = train([file], tmp_path / "runs", name="sampled", sample_submission=sample)
    path = tmp_path / "runs/sampled/submission.csv"
    assert submission.check_submission(path, sample, run.classes, run.left_out) == 7
    for row in table(path):
        values = {name: float(value) for name, value in row.items() if name != "id"}
        assert sum(values.values()) == pytest.approx(1)
        assert values["ape"] == values["cow"] == pytest.approx(0.5 / (60 + 0.5 * 6))
    ids, probabilities = submission.read_submission(path, run.classes, run.left_out)
    assert ids[0] == "99" and probabilities.shape == (7, 3)
    (tmp_path / "truth.csv").write_text("id,label\n" + "".join(f"{n},{'cow' if n == 2 else 'ant'}\n" for n in ids))
    losses = -math.log(0.5 / 63) / 7
    assert submission.grade_submission(path, tmp_path / "truth.csv", run.classes, run.left_out).log_loss > losses
    with refused(SubmissionError, "are not the classes"):
        train([file], tmp_path / "runs", name="other", sample_submission=sample.replace("ape", "pug"))


RARE: dict[str, tuple[list[int], dict[str, Any], int, str, int]] = {
    "a rare class": ([20, 3, 9], {}, 5, "class bee has 3 photographs to learn from, fewer than 5 folds", 3),
    "two rare classes": ([4, 20, 2], {}, 5, "class cat has 2 photographs to learn from, fewer than 5 folds", 2),
    "one photograph": ([20, 1, 2], {}, 3, "class bee has 1 photographs to learn from", 0),
    "dropped": ([20, 9, 9], {"drop": {f"cat.{n}" for n in range(6)}}, 4, "class cat has 3 .*drop or relabel fewer", 3),
    "relabelled": ([20, 9, 4], {"relabel": {"cat.0": "ant"}}, 4, "class cat has 3", 3),
}


@pytest.mark.parametrize("case", RARE)
def test_the_smallest_class_and_the_most_folds_are_named_at_once(tmp_path: Path, case: str) -> None:
    counts, corrections, folds, message, most = RARE[case]
    classes = ("ant", "bee", "cat")
    rows = [(f"{name}.{n}", label) for label, name in enumerate(classes) for n in range(counts[label])]
    known = rows_of(entries(rows, 2), 5, "ResNet50")
    cache = Cache(tmp_path, recipe("ResNet50"))
    cache.write_shard(known, "none")
    cache.assemble(entries(rows, 2), classes, [], "photographs")
    file = feature_file.read_features(cache.path)
    with pytest.raises(TrainingError, match=message) as caught:
        train([file], tmp_path / "runs", folds=folds, **corrections)
    assert caught.value.remedy.startswith(f"Give --folds {most}, the most" if most else "Add photographs of it")
    if most:
        assert train([file], tmp_path / "runs", folds=most, **corrections).folds == most
    plan = training_plan.Plan("ridge", folds, 0, **corrections)
    assert training_plan.most_folds([file], plan) == most


def test_copies_count_as_one_picture_of_a_rare_class(tmp_path: Path) -> None:
    file = with_copies(features(tmp_path, rows=5), ["dog.0", "dog.1", "dog.2"])
    with refused(TrainingError, "dog has 5 .*, which show 3 pictures, fewer than 4 folds. Give --folds 3, the most"):
        train([file], tmp_path / "runs")
    assert train([file], tmp_path / "runs", folds=3).scores[0].rows == 10


def test_settings_that_run_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    """They would be lost, and the run could not be had again."""
    with refused(TrainingError, r"The setting hidden_layer_sizes of the head MLPClassifier cannot be written"):
        train([features(tmp_path)], tmp_path, head="MLPClassifier", settings={"hidden_layer_sizes": (3, 3)})


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

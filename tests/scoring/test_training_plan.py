"""What is learnt from, which fold each row is held out in, and what cannot be trained on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_sample_weight

from catsdogs import heads
from catsdogs.cleaning import duplicates
from catsdogs.errors import CatsdogsError, StoreError, SubmissionError, TrainingError, UnknownNameError, UsageError
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.networks.weights import RANDOM_WEIGHTS
from catsdogs.runs import run_card, training
from catsdogs.scoring import training_plan
from tests.cleaning.test_duplicates import again
from tests.conftest import refused
from tests.support.features import opened, recipe, rows_of
from tests.support.kinds import OF_KINDS, features_of
from tests.support.runs import CLASSES, digested, features, read_again, read_csv, train, with_copies
from tests.support.vectors import write_vectors as write

Refused = tuple[Callable[[Path], list[Features]], dict[str, Any], type[CatsdogsError], str]
ALL_DOGS = [f"dog.{n}" for n in range(20)]
REFUSED: dict[str, Refused] = {
    "random weights": (
        lambda folder: [features(folder, weights=RANDOM_WEIGHTS)], {}, TrainingError, "random weights"
    ),
    "one class": (lambda folder: [features(folder, classes=("cat",))], {}, TrainingError, "All 20 .* are cat"),
    "few rows": (
        lambda folder: [features(folder, rows=3)], {"folds": 7}, TrainingError, "Of 7 folds, one would hold out nothing"
    ),
    "no rows once dropped": (
        lambda folder: [features(folder)],
        {"drop": set(ALL_DOGS)},
        TrainingError,
        "class dog has no photographs .*drop or relabel fewer",
    ),
    "a class relabelled away": (
        lambda folder: [features(folder)],
        {"relabel": dict.fromkeys(ALL_DOGS, "cat")},
        TrainingError,
        "class dog has no photographs to learn from",
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
    table = digested([(id, label) for id, label in zip(file.ids["train"], file.labels, strict=True)], 6)
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


def learnt_from(folder: Path, file: Features, kept: np.ndarray, labels: np.ndarray) -> None:
    """Assert that each head of a run of ridge regression learnt from the kept rows of the other folds, so labelled."""
    X, fold = file.vectors("train"), np.array([int(row["fold"]) for row in read_csv(folder / "oof.csv")])
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
    assert [row["id"] for row in read_csv(tmp_path / "wrong" / "oof.csv") if row["dropped"] == "1"] == ["dog.3"]
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
    row = read_csv(tmp_path / "mended" / "oof.csv")[23]
    assert (row["label"], row["relabelled"]) == ("cat", "dog")
    right = train([file], tmp_path, name="right")
    assert right.dropped == () and right.relabelled == {}


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
    except TrainingError:  # a class that is gone
        return
    moved = (after != before) & (after != ALWAYS_LEARNT)  # where a class is left in one fold alone, all heads learn it
    assert not moved.any()


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
    right = crossed.predictions.argmax(axis=1) == file.labels
    assert 0.25 < right.mean() < 0.75  # without a pattern in the vectors all else is a leak
    run = train([copied], tmp_path)
    assert {frozenset(group) for group in run.copies} == {frozenset(pair) for pair in pairs}
    assert "4 folds with copies in one" in run.scores[0].measured_on
    assert dealt(tmp_path / "run") == dealt_again(tmp_path, run)


def dealt(run_folder: Path) -> dict[str, str]:
    return {row["id"]: row["fold"] for row in read_csv(run_folder / "oof.csv")}


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
    assert "no pretrained network" in duplicates.why_not_near([trained_here])


@pytest.mark.parametrize("name", ["probabilities", "grade"])
def test_balancing_gives_each_class_and_each_side_of_a_label_the_same_sum(tmp_path: Path, name: str) -> None:
    rows = training_plan.TrainingRows.of([features_of(tmp_path, OF_KINDS[name])], drop={"row.0", "row.7"})
    weights = rows.balancing
    assert weights is not None
    if name == "grade":
        expected = compute_sample_weight("balanced", rows.learnt[rows.kept])
        np.testing.assert_allclose(weights[rows.kept], expected)
        return
    for column, of_label in zip(rows.to_learn[rows.kept].T, weights[rows.kept].T, strict=True):
        np.testing.assert_allclose(of_label, compute_sample_weight("balanced", column))


def test_numbers_have_no_balance(tmp_path: Path) -> None:
    rows = training_plan.check_trainable([features_of(tmp_path, OF_KINDS["number"])])
    assert rows.balancing is None
    with refused(UsageError, "--balance would do nothing"):
        training_plan.settle(rows, training_plan.Plan("ridge", 4, 0, balance=True))

"""Folds that share the rows out evenly, and heads that never saw what they are asked about."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from catsdogs import heads
from catsdogs.errors import TrainingError, UsageError
from catsdogs.features.folds import deal, fold_numbers
from catsdogs.heads import _linear
from catsdogs.scoring import crossval
from tests.conftest import refused


class Answer:
    """Says what it is told to, whatever it is shown."""

    def __init__(self, answer: list[float], fault: str = "") -> None:
        self.answer, self.fault = answer, fault

    def __repr__(self) -> str:
        return f"{self.answer} {self.fault}"

    def fit(self, X: NDArray[np.float32], y: NDArray[np.int64]) -> "Answer":
        if self.fault:
            raise ValueError(self.fault)
        return self

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.array([self.answer] * len(X))


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(2, 4), st.integers(0, 2**32 - 1), st.data())
def test_folds_share_out_classes_and_dropped_rows(folds: int, classes: int, seed: int, data: st.DataObject) -> None:
    each = data.draw(st.lists(st.integers(folds, 15), min_size=classes, max_size=classes))
    dropped = data.draw(st.integers(0, 20))
    order = np.random.default_rng(seed).permutation(sum(each) + dropped)
    kept = (np.arange(len(order)) >= dropped)[order]
    labels = np.repeat([0, *range(classes)], [dropped, *each])[order]
    fold = fold_numbers(labels, kept, folds, seed)
    assert np.array_equal(fold, fold_numbers(labels, kept, folds, seed))
    parts = [fold[kept & (labels == label)] for label in range(classes)] + [fold[~kept]]
    counts = np.array([np.bincount(part, minlength=folds) for part in parts])
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()


@pytest.mark.parametrize(
    ("folds", "seed", "message"),
    [(1, 0, "1 folds"), (0, 0, "0 folds"), (4, -1, "-1.*from 0"), (4, 2**32, "4294967295")],
)
def test_folds_and_seeds_that_cannot_be_used(folds: int, seed: int, message: str) -> None:
    with refused(UsageError, message):
        fold_numbers(np.arange(20) % 2, np.ones(20, bool), folds, seed)


def test_no_row_is_predicted_by_a_head_that_saw_it() -> None:
    """On labels without a pattern, whoever peeks is better than chance; here there are more columns than rows."""
    random = np.random.default_rng(0)
    X, labels = random.normal(size=(80, 200)).astype(np.float32), np.arange(80) % 2
    kept = np.arange(80) >= 20
    fold = fold_numbers(labels, kept, 4, 0)
    advanced: list[int] = []
    crossed = crossval.cross_validate(
        X, labels, kept, fold, lambda: heads.create("stack", 0, (120, 80)), lambda: advanced.append(1)
    )
    assert len(advanced) == 4 and crossed.seconds > 0 and np.array_equal(crossed.fold, fold)
    assert -np.log(crossed.predictions[np.arange(80), labels]).mean() > math.log(2)
    for number, head in enumerate(crossed.heads):
        learnt, held_out = kept & (fold != number), fold == number
        oracle = heads.create("stack", 0, (120, 80)).fit(X[learnt], labels[learnt])
        assert np.array_equal(head.predict_proba(X), oracle.predict_proba(X))
        assert np.allclose(crossed.predictions[held_out], oracle.predict_proba(X[held_out]), rtol=1e-12)


def test_a_head_that_watches_sees_the_kept_rows_that_are_held_out() -> None:
    seen = []

    class Watcher(Answer):
        def fit(self, X: NDArray, y: NDArray, validation: tuple[NDArray, NDArray] | None = None) -> "Watcher":
            assert validation is not None
            seen.append((X[:, 0].tolist(), validation[0][:, 0].tolist()))
            assert np.array_equal(X[:, 1], y) and np.array_equal(validation[0][:, 1], validation[1])
            return self

    labels, kept = np.arange(24) % 2, np.arange(24) != 5
    X = np.stack([np.arange(24), labels], axis=1).astype(np.float32)
    fold = fold_numbers(labels, kept, 3, 0)
    crossval.cross_validate(X, labels, kept, fold, lambda: Watcher([0.5, 0.5]), lambda: None)
    for number, (learnt, watched) in enumerate(seen):
        assert learnt == np.flatnonzero(kept & (fold != number)).tolist()
        assert watched == np.flatnonzero(kept & (fold == number)).tolist()


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (Answer([1.0]), "Answer gives no probabilities for 2 classes"),
        (Answer([0.2, 0.3, 0.5]), "no probabilities"),
        (Answer([1.5, -0.5]), "no probabilities"),
        (Answer([0.0, 0.0]), "no probabilities"),
        (Answer([math.nan, 1.0]), "no probabilities"),
        (Answer([0.5, 0.5], "Negative values\nin data"), "Answer refuses the vectors: Negative values in data"),
    ],
    ids=str,
)
def test_a_head_that_gives_no_probabilities_is_refused(head: Answer, message: str) -> None:
    labels, kept = np.arange(8) % 2, np.ones(8, bool)
    with refused(TrainingError, message):
        crossval.cross_validate(
            np.zeros((8, 3), np.float32),
            labels,
            kept,
            labels,
            lambda: head,
            lambda: None,  # type: ignore[arg-type, return-value]
        )


def test_a_head_that_splits_what_it_learns_from_is_told_of_copies() -> None:
    seen = []

    class Splitter(Answer):
        def fit(self, X: NDArray, y: NDArray, groups: NDArray | None = None) -> "Splitter":
            assert groups is not None
            seen.append((X[:, 0].tolist(), groups.tolist()))
            return self

    labels, kept = np.arange(24) % 2, np.arange(24) != 5
    pictures = np.arange(24) // 3
    X = np.stack([np.arange(24), labels], axis=1).astype(np.float32)
    fold = deal(labels, pictures, 3, 0)
    crossval.cross_validate(X, labels, kept, fold, lambda: Splitter([0.5, 0.5]), lambda: None, pictures)
    assert [groups for _, groups in seen] == [[row // 3 for row in rows] for rows, _ in seen]


@settings(deadline=None)
@given(st.integers(0, 10), st.lists(st.integers(1, 4), min_size=8, max_size=20))
def test_the_splits_of_heads_part_no_copies(seed: int, sizes: list[int]) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    target = groups % 2
    splits = _linear.inner_splits(target, seed, groups)
    assert len(splits) == min(5, len(sizes) // 2 + len(sizes) % 2)
    for learnt, held_out in splits:
        assert not set(groups[learnt]) & set(groups[held_out])
        assert len(held_out) and len(learnt) + len(held_out) == len(groups)
    assert np.array_equal(np.sort(_linear.held_out_rows(splits)), np.arange(len(groups)))


@pytest.mark.parametrize("head", [name for name in heads.names() if name not in ("notebook", "dropout-sigmoid")])
def test_copies_among_what_a_head_learns_make_it_no_surer(head: str) -> None:
    """Of rows without a pattern each is there three times: who parts them takes what it knows by heart for skill."""
    random = np.random.default_rng(0)
    X, labels = random.normal(size=(60, 200)).astype(np.float32), np.arange(60) % 2
    fresh, groups = random.normal(size=(200, 200)).astype(np.float32), np.tile(np.arange(60), 3)
    tripled = np.tile(X, (3, 1)), np.tile(labels, 3)
    parted, together = heads.create(head, 0, (200,)), heads.create(head, 0, (200,))
    surest = [
        np.abs(one.predict_proba(fresh) - 0.5).mean()
        for one in (parted.fit(*tripled), together.fit(*tripled, groups=groups))  # type: ignore[call-arg]
    ]
    assert surest[1] < surest[0]


def test_several_deals_give_each_row_the_mean_of_what_it_was_told() -> None:
    one, other = np.array([[0.2, 0.8], [0.6, 0.4], [math.nan] * 2]), np.array([[0.4, 0.6], [math.nan] * 2, [1, 0]])
    deals = [
        crossval.CrossValidation([], one, np.array([1, 0, -1]), 2.0, (3,)),
        crossval.CrossValidation([], other, np.array([0, -1, 1]), 1.0, (4,)),
    ]
    assert crossval.averaged(deals[:1]) is deals[0]
    found = crossval.averaged(deals)
    np.testing.assert_allclose(found.predictions[0], [0.3, 0.7])
    assert found.fold.tolist() == [1, -1, -1] and np.isnan(found.predictions[1:]).all()
    assert (found.seconds, found.pseudo) == (3.0, (3, 4))
    assert deals[0].predictions is one and one[0, 0] == 0.2

"""Pseudo-labels: test rows that heads agree on are learnt, and no held-out label comes back by way of them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from catsdogs import heads
from catsdogs.errors import TrainingError
from catsdogs.scoring import crossval, pseudo_labels
from catsdogs.scoring.crossval import CrossValidation
from tests.conftest import refused

FOLDS, CONFIDENCE = 4, 0.9


class Watched:
    """Ridge regression that notes how many rows it learnt."""

    def __init__(self, learnt: list[int]) -> None:
        self.learnt, self.head = learnt, heads.create("ridge")

    def fit(self, X: NDArray[np.float32], y: NDArray[np.int64], groups: Any = None) -> "Watched":
        self.learnt.append(len(X))
        assert groups is None or len(groups) == len(X)
        self.head.fit(X, y)
        return self

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        return self.head.predict_proba(X)


def rows(seed: int = 0, test: int = 30) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Vectors of 60 training rows and some test rows of two classes that overlap; classes of the training rows."""
    draw = np.random.default_rng(seed)
    labels = np.arange(60 + test) % 2
    X = (draw.normal(size=(len(labels), 4)) + 2.5 * labels[:, np.newaxis]).astype(np.float32)
    return X[:60], X[60:], labels[:60]


def crossed(
    X: NDArray[np.float32], test: NDArray[np.float32], target: NDArray[np.int64], fold: NDArray[np.int64], **more: Any
) -> tuple[CrossValidation, list[int]]:
    """A cross-validation, and how many rows each of its heads learnt in turn."""
    learnt: list[int] = []
    kept = more.pop("kept", np.ones(len(X), bool))
    confidence = more.pop("confidence", CONFIDENCE)
    found = pseudo_labels.cross_validate(
        X, test, target, kept, fold, lambda: Watched(learnt), lambda: None, confidence, **more
    )
    return found, learnt


@settings(deadline=None, max_examples=4)
@given(st.integers(0, 2**16), st.integers(0, FOLDS - 1))
def test_the_labels_of_a_fold_never_come_back_to_it(seed: int, number: int) -> None:
    """They may be anything: what is said of the fold's rows stays the same to the last bit."""
    X, test, target = rows(seed)
    fold = np.arange(60) // 2 % FOLDS
    before, _ = crossed(X, test, target, fold)
    turned = np.where(fold == number, 1 - target, target)
    after, _ = crossed(X, test, turned, fold)
    mine = fold == number
    assert np.array_equal(after.predictions[mine], before.predictions[mine])
    assert after.pseudo[number] == before.pseudo[number]
    assert not np.array_equal(after.predictions[~mine], before.predictions[~mine])


def test_test_rows_are_in_every_training_part_and_in_no_score() -> None:
    X, test, target = rows()
    fold, kept = np.arange(60) // 2 % FOLDS, np.arange(60) > 4
    found, learnt = crossed(X, test, target, fold, kept=kept, pictures=np.arange(60) // 2)
    pairs = pseudo_labels.count_pairs(FOLDS)
    assert len(learnt) == pairs + FOLDS == 10
    others = [int((kept & (fold != number)).sum()) for number in range(FOLDS)]
    assert [count - of_test for count, of_test in zip(learnt[pairs:], found.pseudo, strict=True)] == others
    assert all(0 < count < len(test) for count in found.pseudo)
    assert found.predictions.shape == (60, 2) and np.isfinite(found.predictions).all() and len(found.heads) == FOLDS


def test_where_nothing_is_certain_it_is_a_plain_cross_validation() -> None:
    X, test, target = rows()
    fold, kept = np.arange(60) // 2 % FOLDS, np.ones(60, bool)
    found, _ = crossed(X, test, target, fold, confidence=1 - 1e-12)
    plain = crossval.cross_validate(X, target, kept, fold, lambda: heads.create("ridge"), lambda: None)
    assert found.pseudo == (0,) * FOLDS and np.array_equal(found.predictions, plain.predictions)


def test_all_heads_have_to_agree() -> None:
    answers = [np.array([[0.95, 0.05], [0.95, 0.05], [0.5, 0.5]]), np.array([[0.9, 0.1], [0.1, 0.9], [0.02, 0.98]])]
    assert pseudo_labels.agreed(answers, 0.9).tolist() == [0, pseudo_labels.NONE, pseudo_labels.NONE]
    assert pseudo_labels.agreed(answers[:1], 0.9).tolist() == [0, 0, pseudo_labels.NONE]


def test_a_class_that_two_folds_hold_is_told() -> None:
    X, test, target = rows()
    fold = np.where(target == 0, np.arange(60) // 2 % FOLDS, np.arange(60) // 2 % 2)
    with refused(TrainingError, "leaves out two folds at once, and without some two of them a class"):
        crossed(X, test, target, fold)


@pytest.mark.parametrize("pictures", [None, np.array([5, 5, 7])])
def test_a_test_row_is_a_picture_of_its_own(pictures: NDArray[np.int64] | None) -> None:
    grouped = pseudo_labels.grouped(pictures, np.array([0, 2]), 2)
    assert (None if grouped is None else grouped.tolist()) == (None if pictures is None else [5, 7, 8, 9])

"""Pseudo-labels: test rows that all folds call the same are learnt as that, and no held-out label leaks through them.

D.-H. Lee, Pseudo-label, ICML workshop 2013. Were test rows labelled by the heads of all folds, what a fold's head
learns of them would come from heads that had learnt the very rows it holds out. So fold f has labels of its own: of the
heads that left out f and one other fold each. They are a cross-validation among the other folds, whose rows calibrate
them. A head without the folds f and g serves both, so k folds take k (k - 1) / 2 such heads besides the k that stay.
"""

import time
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import TrainingError
from catsdogs.features.scaling import Array, Labels, Vectors
from catsdogs.heads import Head, takes
from catsdogs.photographs.task import CLASSES
from catsdogs.scoring import crossval
from catsdogs.scoring.calibration import Calibration, fit_calibration
from catsdogs.scoring.crossval import CrossValidation

NONE = -1  # the label of a row that the heads do not agree on


def count_pairs(folds: int) -> int:
    """How many heads leave out two of the folds."""
    return folds * (folds - 1) // 2


def agreed(answers: Sequence[Array], confidence: float) -> Labels:
    """(n,) the class that every one of several (n, classes) answers gives `confidence` at least; `NONE` without."""
    surest = np.min(answers, axis=0)
    return np.where(surest.max(axis=1) >= confidence, surest.argmax(axis=1), NONE)


def cross_validate(
    X: Vectors,
    test: Vectors,
    target: Labels,
    kept: NDArray[np.bool_],
    fold: NDArray[np.int64],
    make: Callable[[], Head],
    advance: Callable[[], object],
    confidence: float,
    pictures: NDArray[np.int64] | None = None,
    kind: str = CLASSES,
) -> CrossValidation:
    """As `crossval.cross_validate`, but each head learns test rows, too, as what heads without its fold agree on.

    Args:
        test: (n_test, width) vectors of the test rows. They are in every fold's training part, and in no score.
        target: (n,) classes.
        confidence: the probability that each of those heads gives the class, calibrated by the temperature alone: the
            clip of log loss would cap all of them alike, with 40 rows below 0.99.

    Raises:
        TrainingError: as `crossval.cross_validate`; a class that is not known without two of the folds.
    """
    started, columns = time.perf_counter(), crossval.columns_of(target)
    inner, said = _without_two(X, test, target, kept, fold, make, advance, pictures, kind)
    predictions, fitted, counts = np.full((len(target), columns), np.nan), [], []
    for number in range(int(fold.max()) + 1):
        label = _labels_for(number, inner[number], said, target, kept, fold, confidence)
        learnt, chosen = np.flatnonzero(kept & (fold != number)), np.flatnonzero(label != NONE)
        watched, held_out = np.flatnonzero(kept & (fold == number)), np.flatnonzero(fold == number)
        head = make()
        validation = (X[watched], target[watched]) if takes(head, "validation") else None
        crossval.fit(
            head,
            *extended(X[learnt], target[learnt], test[chosen], label[chosen]),
            validation,
            grouped(pictures, learnt, len(chosen)),
        )
        predictions[held_out] = crossval.checked_predictions(head, X[held_out], columns, kind)
        fitted.append(head)
        counts.append(len(chosen))
        advance()
    return CrossValidation(fitted, predictions, fold, time.perf_counter() - started, tuple(counts))


def extended(X: Vectors, target: Labels, test: Vectors, label: Labels) -> tuple[Vectors, Labels]:
    """Training rows and their classes, followed by test rows and what they are taken for."""
    return np.concatenate((X, test)), np.concatenate((target, label))


def grouped(pictures: NDArray[np.int64] | None, learnt: NDArray[np.intp], more: int) -> NDArray[np.int64] | None:
    """The numbers of the pictures of training rows, followed by new ones: each test row is a picture of its own."""
    if pictures is None:
        return None
    return np.concatenate((pictures[learnt], pictures.max() + 1 + np.arange(more)))


def _without_two(
    X: Vectors,
    test: Vectors,
    target: Labels,
    kept: NDArray[np.bool_],
    fold: NDArray[np.int64],
    make: Callable[[], Head],
    advance: Callable[[], object],
    pictures: NDArray[np.int64] | None,
    kind: str,
) -> tuple[Array, dict[frozenset[int], Array]]:
    """What heads without two folds say.

    Returns:
        (folds, n, classes) of the training rows: number f, of a row of fold g, by the head without f and g; NaN where
        f is g. And of the test rows, by the pair of folds.
    """
    folds, columns = int(fold.max()) + 1, crossval.columns_of(target)
    inner, said = np.full((folds, len(target), columns), np.nan), {}
    for pair in combinations(range(folds), 2):
        learnt = np.flatnonzero(kept & ~np.isin(fold, pair))
        if len(np.unique(target[learnt])) < columns:
            raise TrainingError(
                "--pseudo leaves out two folds at once, and without some two of them a class has no photographs left",
                "Leave out --pseudo, or give more --folds",
            )
        head = make()
        crossval.fit(head, X[learnt], target[learnt], groups=grouped(pictures, learnt, 0))
        for one, other in (pair, pair[::-1]):
            held_out = fold == other
            inner[one, held_out] = crossval.checked_predictions(head, X[held_out], columns, kind)
        said[frozenset(pair)] = crossval.checked_predictions(head, test, columns, kind)
        advance()
    return inner, said


def _labels_for(
    number: int,
    inner: Array,
    said: dict[frozenset[int], Array],
    target: Labels,
    kept: NDArray[np.bool_],
    fold: NDArray[np.int64],
    confidence: float,
) -> Labels:
    """(n_test,) what heads without this fold agree on, calibrated by the kept rows of the other folds."""
    known = kept & np.isfinite(inner).all(axis=1)
    calibrated = certain(inner[known], target[known])
    return agreed([calibrated.apply(values) for pair, values in said.items() if number in pair], confidence)


def certain(answers: Array, target: Labels) -> Calibration:
    """The temperature that answers out of fold ask for, without a clip."""
    return fit_calibration(answers, target, with_clip=False)

"""Cross-validation: every row gets probabilities from a head that never saw it."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import TrainingError
from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.features.scaling import Array, Labels, Vectors
from catsdogs.heads import Head, is_of_a_file, takes

SUM_TOLERANCE = 1e-3  # of a row's probabilities


class CrossValidation(NamedTuple):
    """The heads of all folds, and what they gave.

    Attributes:
        heads: one for each fold, fitted to the kept rows of all other folds.
        probabilities: (n, classes), out of fold; NaN for rows that are never held out.
        fold: (n,) the number of each row's fold, or `folds.ALWAYS_LEARNT`.
        seconds: that all the fits took.
    """

    heads: list[Head]
    probabilities: Array
    fold: NDArray[np.int64]
    seconds: float

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(n,) whether a row was held out once."""
        return self.fold != ALWAYS_LEARNT


def cross_validate(
    X: Vectors,
    labels: Labels,
    kept: NDArray[np.bool_],
    fold: NDArray[np.int64],
    make: Callable[[], Head],
    advance: Callable[[], object],
    pictures: NDArray[np.int64] | None = None,
) -> CrossValidation:
    """For each fold, fit a head to the kept rows of all others, and predict all rows of that fold, kept or not.

    Args:
        X, labels, kept, fold: (n, width) vectors; (n,) classes, whether a row may be learnt from, and numbers of folds.
        make: a new head. If it watches a validation set, it is given the held-out kept rows; if it takes `groups`, it
            is given `pictures`.
        advance: called after each fold.
        pictures: (n,) numbers, the same for copies of a picture; without them there are no copies.

    Raises:
        TrainingError: the head refuses these vectors, or its answers are no probabilities.
    """
    classes = int(labels.max()) + 1
    probabilities = np.full((len(labels), classes), np.nan)
    fitted, seconds = [], 0.0
    for number in range(int(fold.max()) + 1):
        learnt = np.flatnonzero(kept & (fold != number))
        watched, not_kept = np.flatnonzero(kept & (fold == number)), np.flatnonzero(~kept & (fold == number))
        held_out = np.concatenate((watched, not_kept))
        head = make()
        more: dict[str, Any] = {}
        if takes(head, "validation"):
            more["validation"] = X[watched], labels[watched]
        if takes(head, "groups") and pictures is not None:
            more["groups"] = pictures[learnt]
        started = time.perf_counter()
        with refusals(head):
            head.fit(X[learnt], labels[learnt], **more)
        probabilities[held_out] = checked_probabilities(head, X[held_out], classes)
        seconds += time.perf_counter() - started
        fitted.append(head)
        advance()
    return CrossValidation(fitted, probabilities, fold, seconds)


@contextlib.contextmanager
def refusals(head: Head) -> Iterator[None]:
    """Turn the errors of a head that refuses its vectors into a TrainingError."""
    try:
        yield
    except Exception as error:
        # scikit-learn's heads raise a ValueError for data that they cannot take, a user's own head any error.
        if not isinstance(error, ValueError) and not is_of_a_file(type(head)):
            raise
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        problem = f"The head {type(head).__name__} refuses the vectors: {reason}"
        raise TrainingError(problem, "Choose another --head, or mend the file if it is yours") from None


def checked_probabilities(head: Head, X: Vectors, classes: int) -> Array:
    """(n, classes) probabilities of (n, width) vectors.

    Raises:
        TrainingError: the head refuses the vectors, or its answers are no probabilities.
    """
    with refusals(head):
        values = np.asarray(head.predict_proba(X))
    if values.shape != (len(X), classes) or values.min() < 0 or not (abs(values.sum(axis=1) - 1) < SUM_TOLERANCE).all():
        raise TrainingError(
            f"The head {type(head).__name__} gives no probabilities for {classes} classes", "Choose another --head"
        )
    return values

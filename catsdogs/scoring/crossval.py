"""Cross-validation: every row is judged by a head that never saw it."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import TrainingError
from catsdogs.features.folds import MAX_SEED as MAX_SEED
from catsdogs.features.folds import deal as deal
from catsdogs.features.folds import fold_numbers as fold_numbers
from catsdogs.heads import Head, is_of_a_file, takes

SUM_TOLERANCE = 1e-3  # of a row's probabilities


class CrossValidation(NamedTuple):
    """A head for each fold; for each row, out of fold, its (classes,) probabilities and the number of its fold.

    `seconds` is how long all the fits took.
    """

    heads: list[Head]
    probabilities: NDArray[np.float64]
    fold: NDArray[np.int64]
    seconds: float


def cross_validate(
    X: NDArray[np.float32],
    labels: NDArray[np.int64],
    kept: NDArray[np.bool_],
    fold: NDArray[np.int64],
    make: Callable[[], Head],
    advance: Callable[[], object],
    pictures: NDArray[np.int64] | None = None,
) -> CrossValidation:
    """Fit on the kept rows of all folds but one, predict the rows of that one, kept or not; for each fold.

    Args:
        X, labels, kept: (n, width) vectors, (n,) classes from 0, (n,) whether a row may be learnt from.
        make: a new head; it is given the held-out kept rows to watch, where it watches any, and `pictures` as `groups`,
            where it takes them.
        advance: called after each fold.
        pictures: (n,) numbers, the same for copies of a picture; without them there are no copies.

    Raises:
        TrainingError: the head refuses these vectors, or gives what are no probabilities.
    """
    classes = int(labels.max()) + 1
    probabilities = np.empty((len(labels), classes))
    fitted, seconds = [], 0.0
    for number in range(int(fold.max()) + 1):
        learnt = np.flatnonzero(kept & (fold != number))
        watched, unseen = np.flatnonzero(kept & (fold == number)), np.flatnonzero(~kept & (fold == number))
        held = np.concatenate((watched, unseen))
        head = make()
        more: dict[str, Any] = {}
        if takes(head, "validation"):
            more["validation"] = X[watched], labels[watched]
        if takes(head, "groups") and pictures is not None:
            more["groups"] = pictures[learnt]
        started = time.perf_counter()
        with refusals(head):
            head.fit(X[learnt], labels[learnt], **more)
        probabilities[held] = checked_probabilities(head, X[held], classes)
        seconds += time.perf_counter() - started
        fitted.append(head)
        advance()
    return CrossValidation(fitted, probabilities, fold, seconds)


@contextlib.contextmanager
def refusals(head: Head) -> Iterator[None]:
    """Raise a TrainingError for what a head raises of vectors that it cannot take."""
    try:
        yield
    except Exception as error:
        # scikit-learn's raise a ValueError for data that they cannot take, a head of the user's what it likes.
        if not isinstance(error, ValueError) and not is_of_a_file(type(head)):
            raise
        what = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        problem = f"The head {type(head).__name__} refuses the vectors: {what}"
        raise TrainingError(problem, "Choose another --head, or mend the file if it is yours") from None


def checked_probabilities(head: Head, X: NDArray[np.float32], classes: int) -> NDArray[np.float64]:
    """What a head says of (n, width) vectors; a TrainingError unless it is (n, classes) probabilities."""
    with refusals(head):
        said = np.asarray(head.predict_proba(X))
    if said.shape != (len(X), classes) or said.min() < 0 or not (abs(said.sum(axis=1) - 1) < SUM_TOLERANCE).all():
        raise TrainingError(
            f"The head {type(head).__name__} gives no probabilities for {classes} classes", "Choose another --head"
        )
    return said

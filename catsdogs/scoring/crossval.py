"""Cross-validation: every row is predicted by a head that never saw it."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import TrainingError
from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.features.scaling import Array, Labels, Vectors
from catsdogs.heads import Head, class_of, is_of_a_file, takes
from catsdogs.photographs.task import CLASSES, LABELS, NUMBER

SUM_TOLERANCE = 1e-3  # of a row's probabilities


class CrossValidation(NamedTuple):
    """The heads of all folds, and what they gave.

    Attributes:
        heads: one for each fold, fitted to the kept rows of all other folds; of several deals one after the other.
        predictions: (n, columns), out of fold: probabilities of classes or labels, or numbers; NaN for rows that are
            never held out.
        fold: (n,) the number of each row's fold, or `folds.ALWAYS_LEARNT`.
        seconds: that all the fits took.
        pseudo: how many test rows each head learnt, see `pseudo_labels`; empty where none was to.
    """

    heads: list[Head]
    predictions: Array
    fold: NDArray[np.int64]
    seconds: float
    pseudo: tuple[int, ...] = ()

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(n,) whether a row was held out once."""
        return self.fold != ALWAYS_LEARNT


def cross_validate(
    X: Vectors,
    target: Labels | Array,
    kept: NDArray[np.bool_],
    fold: NDArray[np.int64],
    make: Callable[[], Head],
    advance: Callable[[], object],
    pictures: NDArray[np.int64] | None = None,
    kind: str = CLASSES,
    weights: Array | None = None,
) -> CrossValidation:
    """For each fold, fit a head to the kept rows of all others, and predict all rows of that fold, kept or not.

    Args:
        X, kept, fold: (n, width) vectors; (n,) whether a row may be learnt from, and numbers of folds.
        target: (n,) classes or grades, or (n, k) labels of 0 and 1 or numbers, as the `kind` of task has them.
        make: a new head. If it watches a validation set, it is given the held-out kept rows; if it takes `groups`, it
            is given `pictures`.
        advance: called after each fold.
        pictures: (n,) numbers, the same for rows that hang together; without them each row is alone.
        weights: (n,), or (n, k) for labels: how much each row, or cell of the target, counts; all the same if None.

    Raises:
        TrainingError: the head refuses these vectors, or takes no weights, or its answers are not of the kind.
    """
    columns = columns_of(target)
    predictions = np.full((len(target), columns), np.nan)
    fitted, seconds = [], 0.0
    for number in range(int(fold.max()) + 1):
        learnt = np.flatnonzero(kept & (fold != number))
        watched, not_kept = np.flatnonzero(kept & (fold == number)), np.flatnonzero(~kept & (fold == number))
        held_out = np.concatenate((watched, not_kept))
        head = make()
        validation = (X[watched], target[watched]) if takes(head, "validation") else None
        groups, weighed = None if pictures is None else pictures[learnt], None if weights is None else weights[learnt]
        started = time.perf_counter()
        fit(head, X[learnt], target[learnt], validation, groups, weighed)
        predictions[held_out] = checked_predictions(head, X[held_out], columns, kind)
        seconds += time.perf_counter() - started
        fitted.append(head)
        advance()
    return CrossValidation(fitted, predictions, fold, seconds)


def fit(
    head: Head,
    X: Vectors,
    target: Labels | Array,
    validation: tuple[Vectors, Labels | Array] | None = None,
    groups: NDArray[np.int64] | None = None,
    weights: Array | None = None,
) -> None:
    """Fit a head to rows, with what it takes besides, which is of these rows; raises as `cross_validate`."""
    more: dict[str, Any] = {}
    if takes(head, "validation") and validation is not None:
        more["validation"] = validation
    if takes(head, "groups") and groups is not None:
        more["groups"] = groups
    if weights is not None:
        check_weighed(head)
        more["sample_weight"] = weights
    with refusals(head):
        head.fit(X, target, **more)


def averaged(deals: Iterable[CrossValidation]) -> CrossValidation:
    """Several deals of folds as one: each row has the mean of what the heads say that never saw it, one of each deal.

    Folds are those of the first deal. A row that one of the deals never holds out has no mean, and is never held out.
    """
    first, *others = deals
    if not others:
        return first
    predictions, scored = first.predictions.copy(), first.scored
    for deal in others:
        predictions += deal.predictions
        scored = scored & deal.scored
    predictions /= 1 + len(others)
    heads = [head for deal in (first, *others) for head in deal.heads]
    pseudo = tuple(count for deal in (first, *others) for count in deal.pseudo)
    seconds = sum(deal.seconds for deal in (first, *others))
    return CrossValidation(heads, predictions, np.where(scored, first.fold, ALWAYS_LEARNT), seconds, pseudo)


def check_weighed(head: Head) -> None:
    """A TrainingError for a head that cannot count some rows more than others."""
    if not takes(head, "sample_weight"):
        problem = f"The head {class_of(head).__name__} takes no weights"
        raise TrainingError(problem, "Leave out --balance, or choose another --head")


@contextlib.contextmanager
def refusals(head: Head) -> Iterator[None]:
    """Turn the errors of a head that refuses its vectors into a TrainingError."""
    try:
        yield
    except Exception as error:
        # scikit-learn's heads raise a ValueError for data that they cannot take, a user's own head any error.
        if not isinstance(error, ValueError) and not is_of_a_file(class_of(head)):
            raise
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        problem = f"The head {class_of(head).__name__} refuses the vectors: {reason}"
        raise TrainingError(problem, "Choose another --head, or mend the file if it is yours") from None


def columns_of(target: Labels | Array) -> int:
    """How many columns predictions have: the classes, from 0, or the labels or numbers of each row."""
    return int(target.max()) + 1 if target.ndim == 1 else target.shape[1]


def predict(head: Head, X: Vectors, kind: str) -> Array:
    """(n, columns) predictions of a head for (n, width) vectors, as the kind of task has them."""
    return np.asarray(head.predict(X) if kind == NUMBER else head.predict_proba(X), np.float64)


def checked_predictions(head: Head, X: Vectors, columns: int, kind: str = CLASSES) -> Array:
    """(n, columns) predictions of (n, width) vectors.

    Raises:
        TrainingError: the head refuses the vectors, or its answers are no probabilities, or no numbers.
    """
    with refusals(head):
        values = predict(head, X, kind)
    if values.shape != (len(X), columns) or not _are_of(values, kind):
        answers = "finite numbers" if kind == NUMBER else "probabilities"
        what = {NUMBER: "numbers", LABELS: "labels"}.get(kind, "classes")
        raise TrainingError(
            f"The head {class_of(head).__name__} gives no {answers} for {columns} {what}", "Choose another --head"
        )
    return values


def _are_of(values: Array, kind: str) -> bool:
    if kind == NUMBER:
        return bool(np.isfinite(values).all())
    is_whole = kind == LABELS or (abs(values.sum(axis=1) - 1) < SUM_TOLERANCE).all()
    return bool(is_whole and values.min(initial=0) >= 0 and not values.max(initial=0) > 1 + SUM_TOLERANCE)

"""The mission's head: standardised vectors -> dropout -> one sigmoid unit (a softmax for more classes)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self
from warnings import warn

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import FitWarning
from catsdogs.features.scaling import Array, Scaling, Vectors
from catsdogs.heads import _convex
from catsdogs.heads._convex import Target, dense, is_right
from catsdogs.heads._descent import Descent, Pace
from catsdogs.heads._linear import Lesson, SharesHead
from catsdogs.heads._penalties import STEP, prior_of, sums

NUMBERS_UPDATES = 4  # times those of classes: numbers are told to more digits
MOST_DROPOUT = 255 / 256  # masks are drawn from bytes
STEPS = np.arange(-6.0, 9.0, 2.0)  # of the penalties that are tried, see `_penalties`
# Penalties are told apart in a half of the epochs and updates; with so many rows in a quarter.
PART_TO_SEARCH, MANY_ROWS, PART_OF_MANY = 2, 10_000, 4
FEW_UNITS, MOST_UNITS = 64, 4096  # of heads that learn together: beyond the first for one split, beyond the other none


@dataclass(eq=False, repr=False)
class DropoutSigmoid(SharesHead):
    """Dropout and a dense layer, trained by Adam, see `_descent`.

    Columns are standardised, or those with large figures would learn long before the others. The learning rate falls to
    0 along a cosine, so that the last batches do not decide. The weights are drawn to 0 as in a logistic regression,
    for many updates overfit; so the number of epochs matters little. How strongly is chosen on held-out rows, from
    heads with eight penalties that learn for a shorter time. Hundreds of classes, and rows that are read in blocks,
    take the usual penalty.

    Attributes:
        dropout: the share of columns that is left out of each update, to the nearest 256th; below 1.
        learning_rate: of Adam, times a coefficient's standard deviation a priori: 0.001 for 3,600 columns.
        batch_size: rows to an update, at most a sixteenth of all.
        min_epochs, min_updates: as many epochs as give both; few photographs need more epochs.
        penalty: times the usual one; None chooses it.
        penalty_: (1,) what was taken; (k,) of shares, if it was chosen.
        history_: one figure per epoch for `loss` and `accuracy` (of the rows as they were learnt from, with dropout)
            and, with a validation set, `val_loss` and `val_accuracy`.
    """

    dropout: float = 0.5
    learning_rate: float = 0.006
    batch_size: int = 128
    min_epochs: int = 5
    min_updates: int = 400
    penalty: float | None = None
    random_state: int = 0

    def fit(
        self,
        X: Any,
        y: Any,
        validation: tuple[Any, Any] | None = None,
        *,
        groups: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """See `SharesHead.fit`; the validation set, vectors and labels, is watched, never learnt from."""
        return self._fit(X, y, validation, groups, sample_weight)

    def _learn(self, X: Vectors, lesson: Lesson) -> None:
        scaling, units, history = _convex.scaling_of(X), _convex.units_of(lesson.target), dict[str, list[float]]()
        self.penalty_ = self._chosen(X, lesson, scaling) if self.penalty is None else np.full(1, self.penalty)
        pace, every = self._pace(lesson.is_number), np.ones((1, len(X)), bool)
        descent = Descent(pace, scaling, units, np.array([len(X)]), self.penalty_)
        for _ in range(descent.epochs):
            descent.learn(X, lesson.target, every, 1, lesson.weights)
            self.coef_, self.intercept_ = descent.end_epoch()[0]
            if lesson.validation:
                logits, right = self._logits(lesson.validation[0]), lesson.validation[1]
                history.setdefault("val_loss", []).append(float(_convex.log_loss_of(right)(logits, right)[0].mean()))
                history.setdefault("val_accuracy", []).append(float(is_right(logits, right).mean()))
        self.history_ = descent.history(0) | history

    def _pace(self, is_number: bool, part: int = 1) -> Pace:
        """How to learn, in one `part` of the usual epochs and updates."""
        if not 0 <= self.dropout <= MOST_DROPOUT:
            raise ValueError(f"a dropout of {self.dropout:g}; it takes 0 to {MOST_DROPOUT:g}, or no column is left")
        penalty = 1 if self.penalty is None else self.penalty
        if not min(self.learning_rate, self.batch_size, self.min_epochs, self.min_updates, penalty) > 0:
            raise ValueError("a learning rate, batch size, penalty, or number of epochs or updates that is not above 0")
        updates = self.min_updates * (NUMBERS_UPDATES if is_number else 1)
        epochs, updates = math.ceil(self.min_epochs / part), math.ceil(updates / part)
        return Pace(self.dropout, self.learning_rate, self.batch_size, epochs, updates, self.random_state)

    def _chosen(self, X: Vectors, lesson: Lesson, scaling: Scaling) -> Array:
        """(1,) the penalty that serves held-out rows best, times the usual one; (k,) of shares, each its own.

        Heads with all penalties learn together, from what some splits leave of the rows.
        """
        target, units = lesson.target, _convex.units_of(lesson.target)
        at_once = max(1, FEW_UNITS // (len(STEPS) * units))
        try:
            splits = lesson.splits(self.random_state)[:at_once] if len(STEPS) * units <= MOST_UNITS else []
        except ValueError:  # every class has a single row, so none can be held out
            splits = []
        if not splits:
            return np.ones(1)
        learnt = [np.isin(np.arange(len(X)), rows) for rows, _ in splits]
        allowed, penalties = np.repeat(learnt, len(STEPS), axis=0), np.tile(STEP**STEPS, len(splits))
        pace = self._pace(lesson.is_number, PART_TO_SEARCH if len(X) < MANY_ROWS else PART_OF_MANY)
        descent = Descent(pace, scaling, units, allowed.sum(axis=1), penalties[:, np.newaxis])
        for _ in range(descent.epochs):
            descent.learn(X, target, allowed, 1, lesson.weights)
            found = descent.end_epoch()
        losses = np.array([[prior_of(step)] for step in STEPS.tolist()])
        for number, (_, rows) in enumerate(splits):
            own = None if lesson.weights is None else lesson.weights[rows]
            coefs, intercepts = zip(*found[number * len(STEPS) : (number + 1) * len(STEPS)], strict=True)
            scores = np.split(dense(X[rows], np.vstack(coefs).T, np.concatenate(intercepts)), len(STEPS), axis=1)
            losses = losses + [sums(_convex.log_loss_of(target), one, target[rows], own) for one in scores]
        best = losses.argmin(axis=0)
        at_end = best[(best == 0) | (best == len(STEPS) - 1)]
        if at_end.size:
            last = f"The penalty of dropout-sigmoid, {STEP ** STEPS[at_end[0]]:.3g} times the usual, is the last tried"
            warn(f"{last}: one beyond it may be better", FitWarning, stacklevel=2)
        return STEP ** STEPS[best]

    @staticmethod
    def streamed(
        heads: "Sequence[DropoutSigmoid]", scaling: Scaling, classes: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> "_Streamed":
        """Heads that learn together from blocks of rows; see `streaming.Learner`."""
        for head in heads:
            head.classes_ = classes
        return _Streamed(heads, scaling, _convex.units_of(classes), rows)

    @staticmethod
    def streamed_shares(
        heads: "Sequence[DropoutSigmoid]", scaling: Scaling, columns: int, rows: NDArray[np.int64], is_number: bool
    ) -> "_Streamed":
        """The same for the (n, columns) shares of `fit_shares`."""
        return _Streamed(heads, scaling, columns, rows, is_number)


class _Streamed:
    """Heads that learn together from blocks of rows, all with the usual penalty, unless they were given one."""

    def __init__(
        self,
        heads: Sequence[DropoutSigmoid],
        scaling: Scaling,
        units: int,
        rows: NDArray[np.int64],
        is_number: bool = False,
    ) -> None:
        penalty = np.ones(1) if heads[0].penalty is None else np.full(1, heads[0].penalty)
        self._heads, self._descent = heads, Descent(heads[0]._pace(is_number), scaling, units, rows, penalty)
        self.epochs = self._descent.epochs
        for head in heads:
            head.n_features_in_, head.penalty_ = len(scaling.mean), penalty

    def learn(self, X: Vectors, target: Target, allowed: NDArray[np.bool_], share: float) -> None:
        self._descent.learn(X, target, allowed, share)

    def end_epoch(self) -> None:
        """Give the heads what was learnt so far."""
        for number, (head, found) in enumerate(zip(self._heads, self._descent.end_epoch(), strict=True)):
            head.coef_, head.intercept_ = found
            head.history_ = self._descent.history(number)

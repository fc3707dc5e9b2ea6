"""The mission's head: standardised vectors -> dropout -> one sigmoid unit (a softmax for more classes)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from catsdogs.features.scaling import Array, Scaling, Vectors
from catsdogs.heads import _convex
from catsdogs.heads._adam import Adam, epochs_and_batches
from catsdogs.heads._convex import Target
from catsdogs.heads._linear import PRIOR_VARIANCE, Lesson, SharesHead

NUMBERS_UPDATES = 4  # times those of classes: numbers are told to more digits
_LEAST_SHARE = 1e-3


@dataclass(eq=False, repr=False)
class DropoutSigmoid(SharesHead):
    """Dropout and a dense layer, trained by Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980).

    It is written in NumPy, for the gradient of a single layer is one product: a fit takes a fraction of Keras's time
    and imports no deep-learning library. Columns are standardised, or those with large figures would learn long before
    the others. The learning rate falls to 0 along a cosine, so that the last batches do not decide. The weights are
    drawn to 0 as in a logistic regression of the same prior, for many updates overfit; so the number of epochs matters
    little.

    Attributes:
        dropout: the share of columns that is left out of each update, to the nearest 256th.
        learning_rate: of Adam, times a coefficient's standard deviation a priori: 0.001 for 3,600 columns.
        batch_size: rows to an update, at most a sixteenth of all.
        min_epochs, min_updates: as many epochs as give both; few photographs need more epochs.
        history_: one figure per epoch for `loss` and `accuracy` (of the rows as they were learnt from, with dropout)
            and, with a validation set, `val_loss` and `val_accuracy`.
    """

    dropout: float = 0.5
    learning_rate: float = 0.006
    batch_size: int = 128
    min_epochs: int = 5
    min_updates: int = 400
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
        target, allowed = lesson.target, np.ones((1, len(X)), bool)
        more = NUMBERS_UPDATES if lesson.is_number else 1
        descent = _Descent([self], _convex.scaling_of(X), _convex.units_of(target), allowed.sum(axis=1), more)
        for _ in range(descent.epochs):
            descent.learn(X, target, allowed, 1, lesson.weights)
            descent.end_epoch()
            if lesson.validation:
                logits, watched = self._logits(lesson.validation[0]), lesson.validation[1]
                losses = _convex.log_loss_of(watched)(logits, watched)[0]
                self._note("val_", losses, _is_right(logits, watched))

    @staticmethod
    def streamed(
        heads: "Sequence[DropoutSigmoid]", scaling: Scaling, classes: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> "_Descent":
        """Heads that learn together from blocks of rows; see `streaming.Learner`."""
        for head in heads:
            head.classes_, head.n_features_in_ = classes, len(scaling.mean)
        return _Descent(heads, scaling, _convex.units_of(classes), rows)

    @staticmethod
    def streamed_shares(
        heads: "Sequence[DropoutSigmoid]", scaling: Scaling, columns: int, rows: NDArray[np.int64], is_number: bool
    ) -> "_Descent":
        """The same for the (n, columns) shares of `fit_shares`."""
        for head in heads:
            head.n_features_in_ = len(scaling.mean)
        return _Descent(heads, scaling, columns, rows, NUMBERS_UPDATES if is_number else 1)

    def _note(self, prefix: str, losses: Array, right: NDArray[np.bool_]) -> None:
        for name, values in (("loss", losses), ("accuracy", right)):
            self.history_.setdefault(prefix + name, []).append(float(values.mean()))


class _Descent:
    """Adam on the weights of one or several heads at once: each column of `theta` is a unit of one of them.

    Heads that learn together share batches and masks, so that all their gradients are one product.

    Attributes:
        epochs: how often to go through all rows.
    """

    def __init__(
        self,
        heads: "Sequence[DropoutSigmoid]",
        scaling: Scaling,
        units: int,
        rows: NDArray[np.int64],
        more: int = 1,
    ) -> None:
        """`rows`: how many each head learns from; `more`: how many times the usual updates it takes."""
        first, fewest = heads[0], int(rows.min())
        least = more * first.min_updates
        self.epochs, self._updates = epochs_and_batches(fewest, first.batch_size, first.min_epochs, least)
        self._random = np.random.default_rng(first.random_state)
        self._heads, self._scaling, self._units, self._dropout = heads, scaling, units, first.dropout
        self._left_out = math.ceil(256 * first.dropout)
        self._theta = np.zeros((len(scaling.mean) + 1, len(heads) * units), np.float32)
        variance = PRIOR_VARIANCE / len(scaling.mean)
        rate = first.learning_rate * math.sqrt(variance)
        self._adam = Adam(self._theta, rate, self.epochs * self._updates)
        self._decay = np.repeat(1 / (variance * rows), units).astype(np.float32)
        self._seen: list[list[tuple[Array, NDArray[np.bool_]]]] = [[] for _ in heads]
        for head in heads:
            head.history_ = {}

    def learn(
        self, X: Vectors, target: Target, allowed: NDArray[np.bool_], share: float, weights: Array | None = None
    ) -> None:
        """One update after another from the rows of a block, which are `share` of all."""
        if target.ndim == 2 and not self._theta.any():
            self._start_at(np.concatenate([target[rows if rows.any() else ...].mean(axis=0) for rows in allowed]))
        for rows in np.array_split(self._random.permutation(len(X)), max(1, round(share * self._updates))):
            block, own = X[rows], None if weights is None else weights[rows]
            self._step(self._scaling.apply(block, out=block), target[rows], allowed[:, rows], own)

    def _start_at(self, shares: Array) -> None:
        """Begin with the mean shares of all units in place of one half, which rare labels would take long to leave."""
        self._theta[-1] = logit(np.clip(shares, _LEAST_SHARE, 1 - _LEAST_SHARE))

    def _step(self, kept: Vectors, target: Target, allowed: NDArray[np.bool_], weights: Array | None) -> None:
        """One update from standardised rows, which it overwrites; `allowed`, (heads, n): who may learn from which."""
        kept *= self._random.integers(0, 256, kept.shape, dtype=np.uint8) >= self._left_out
        # Inverted dropout: what is kept counts for what is left out.
        logits = (kept @ self._theta[:-1] / (1 - self._dropout) + self._theta[-1]).astype(np.float64)
        slopes = np.empty(logits.shape, np.float32)
        for number, rows in enumerate(allowed):
            columns = slice(number * self._units, (number + 1) * self._units)
            losses, residuals = _convex.log_loss_of(target)(logits[:, columns], target)
            if weights is not None:
                residuals = _convex.weighed(residuals, weights)
            slopes[:, columns] = residuals * rows[:, np.newaxis] / max(1, rows.sum())
            self._seen[number].append((losses[rows], _is_right(logits[:, columns], target)[rows]))
        gradient = kept.T @ (slopes / (1 - self._dropout)) + self._decay * self._theta[:-1]
        self._adam.update(np.vstack((gradient, slopes.sum(axis=0))))

    def end_epoch(self) -> None:
        """Give the heads what was learnt so far."""
        for number, head in enumerate(self._heads):
            theta = self._theta[:, number * self._units : (number + 1) * self._units].astype(np.float64)
            coef, head.intercept_ = self._scaling.unscaled(theta[:-1], theta[-1])
            head.coef_ = coef.T
            head._note("", *map(np.concatenate, zip(*self._seen[number], strict=True)))
            self._seen[number] = []


def _is_right(logits: Array, target: Target) -> NDArray[np.bool_]:
    """(n,) whether a class is right, or (n, k) whether a share is on its side of one half."""
    if target.ndim == 2:
        sides: NDArray[np.bool_] = (logits > 0) == (target > 0.5)
        return sides
    predicted = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(axis=1)
    is_right: NDArray[np.bool_] = predicted == target
    return is_right

"""Dropout and a dense layer, for several heads at once: they share batches and masks, so their gradients are a product.

Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980) on standardised columns, in NumPy: the gradient of a single
layer is one product, so a fit takes a fraction of Keras's time and imports no deep-learning library.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from catsdogs.features.scaling import Array, Scaling, Vectors
from catsdogs.heads import _convex
from catsdogs.heads._adam import Adam, epochs_and_batches
from catsdogs.heads._convex import Target
from catsdogs.heads._linear import PRIOR_VARIANCE

_LEAST_SHARE = 1e-3


class Pace(NamedTuple):
    """How heads learn: the settings of `DropoutSigmoid`, whose `updates` are as many as its `min_updates`, or more."""

    dropout: float
    learning_rate: float
    batch_size: int
    epochs: int
    updates: int
    seed: Any


class Descent:
    """Adam on the weights of one or several heads at once: each column of `theta` is a unit of one of them.

    Attributes:
        epochs: how often to go through all rows.
    """

    def __init__(self, pace: Pace, scaling: Scaling, units: int, rows: NDArray[np.int64], penalties: Array) -> None:
        """Of a head for each of `rows`, how many it learns from.

        `penalties` are times the usual one: (heads, units), or what NumPy makes it of.
        """
        fewest, width = int(rows.min()), len(scaling.mean)
        self.epochs, self._updates = epochs_and_batches(fewest, pace.batch_size, pace.epochs, pace.updates)
        self._random, self._scaling, self._units = np.random.default_rng(pace.seed), scaling, units
        self._dropout, self._left_out = pace.dropout, math.ceil(256 * pace.dropout)
        self._theta = np.zeros((width + 1, len(rows) * units), np.float32)
        variances = PRIOR_VARIANCE / width / np.broadcast_to(penalties, (len(rows), units))
        rates = np.tile((pace.learning_rate * np.sqrt(variances)).astype(np.float32).ravel(), (width + 1, 1))
        rates[-1] = pace.learning_rate * math.sqrt(PRIOR_VARIANCE / width)  # no penalty holds an intercept
        self._adam = Adam(self._theta, rates, self.epochs * self._updates)
        self._decay = (1 / (variances * rows[:, np.newaxis])).astype(np.float32).ravel()
        self._has_begun = False
        self._seen = np.zeros((3, len(rows)))
        self._losses: list[Array] = []
        self._right: list[Array] = []

    def learn(
        self, X: Vectors, target: Target, allowed: NDArray[np.bool_], share: float, weights: Array | None = None
    ) -> None:
        """One update after another from the rows of a block, which are `share` of all.

        `allowed`, (heads, n): which head may learn from a row.
        """
        if not self._has_begun:
            self._begin(target, allowed)
        for rows in np.array_split(self._random.permutation(len(X)), max(1, round(share * self._updates))):
            block, own = X[rows], None if weights is None else weights[rows]
            self._step(self._scaling.apply(block, out=block), target[rows], allowed[:, rows], own)

    def end_epoch(self) -> list[tuple[Array, Array]]:
        """(units, width) coefficients and (units,) intercepts of each head, of the vectors as they are."""
        losses, right, count = self._seen
        self._losses.append(losses / count)
        self._right.append(right / count)
        self._seen = np.zeros_like(self._seen)
        theta = self._theta.astype(np.float64)
        coef, intercept = self._scaling.unscaled(theta[:-1], theta[-1])
        bounds = range(0, theta.shape[1], self._units)
        return [(coef[:, start : start + self._units].T, intercept[start : start + self._units]) for start in bounds]

    def history(self, head: int) -> dict[str, list[float]]:
        """For each epoch `loss` and `accuracy` of the rows as a head learnt from them, with dropout."""
        seen = {"loss": self._losses, "accuracy": self._right}
        return {name: [float(values[head]) for values in epochs] for name, epochs in seen.items()}

    def _begin(self, target: Target, allowed: NDArray[np.bool_]) -> None:
        """Start with what is said of all rows alike, which rare labels would take long to reach from one half."""
        self._has_begun = True
        if target.ndim == 1 and self._units > 1:
            return  # classes are told apart before their numbers matter
        shares = [np.atleast_1d(target[rows if rows.any() else ...].mean(axis=0)) for rows in allowed]
        self._theta[-1] = logit(np.clip(np.concatenate(shares), _LEAST_SHARE, 1 - _LEAST_SHARE))

    def _step(self, kept: Vectors, target: Target, allowed: NDArray[np.bool_], weights: Array | None) -> None:
        """One update from standardised rows, which it overwrites."""
        kept *= self._random.integers(0, 256, kept.shape, dtype=np.uint8) >= self._left_out
        # Inverted dropout: what is kept counts for what is left out.
        logits = (kept @ self._theta[:-1] / (1 - self._dropout) + self._theta[-1]).astype(np.float64)
        cells = (len(kept), len(allowed), self._units)
        flat, targets = logits.reshape(-1, self._units), np.repeat(target, len(allowed), axis=0)
        losses, residuals = _convex.log_loss_of(target)(flat, targets)
        self._note(losses, _convex.is_right(flat, targets), allowed)
        slopes = residuals.reshape(cells)
        if weights is not None:
            slopes = slopes * weights.reshape(len(kept), 1, -1)
        learnt = allowed.T[:, :, np.newaxis] / np.maximum(1, allowed.sum(axis=1))[:, np.newaxis]
        slopes = (slopes * learnt).reshape(len(kept), -1).astype(np.float32)
        gradient = kept.T @ (slopes / (1 - self._dropout)) + self._decay * self._theta[:-1]
        self._adam.update(np.vstack((gradient, slopes.sum(axis=0))))

    def _note(self, losses: Array, right: NDArray[np.bool_], allowed: NDArray[np.bool_]) -> None:
        """Add (n x heads,) or (n x heads, k) losses, and whether answers were right, to what the epoch saw."""
        by_row = (values.reshape(allowed.shape[1], len(allowed), -1).mean(axis=2) for values in (losses, right))
        for seen, values in zip(self._seen, (*by_row, np.ones(allowed.T.shape)), strict=True):
            seen += (values * allowed.T).sum(axis=0)

"""The mission's head: standardised vectors -> dropout -> one sigmoid unit (a softmax for more classes)."""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from catsdogs.heads import _linear
from catsdogs.heads._adam import Adam
from catsdogs.heads._linear import PRIOR_VARIANCE, Array, LinearHead, Rows, Standardised

_MIN_BATCHES = 16  # to an epoch: a few hundred rows get smaller batches


@dataclass(eq=False, repr=False)
class DropoutSigmoid(LinearHead):
    """Dropout and a dense layer, trained by Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980).

    It is written in NumPy, for a single layer's gradient is one product: a fit takes a fraction of Keras's time and
    imports no deep-learning library. Columns are standardised, or those with large figures would learn long before the
    others. The learning rate falls to 0 along a cosine, so that the end does not depend on the last batches. Many
    updates overfit, so the weights are drawn to 0 as in a logistic regression of the same prior, and how many epochs
    there are matters little.

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

    def fit(self, X: Any, y: Any, validation: tuple[Any, Any] | None = None) -> Self:
        """See `LinearHead.fit`; the validation set, vectors and labels, is watched, never learnt from."""
        return self._fit(X, y, validation)

    def _learn(self, X: NDArray[np.float32], target: NDArray[np.int64], validation: Rows | None) -> None:
        vectors = Standardised(X)
        random = np.random.default_rng(self.random_state)
        batch = min(self.batch_size, math.ceil(len(X) / _MIN_BATCHES))
        per_epoch = math.ceil(len(X) / batch)
        epochs = max(self.min_epochs, math.ceil(self.min_updates / per_epoch))
        theta = np.zeros((X.shape[1] + 1, _linear.units_of(target)), np.float32)
        variance = PRIOR_VARIANCE / X.shape[1]
        adam = Adam(theta, self.learning_rate * math.sqrt(variance), epochs * per_epoch)
        decay = 1 / (variance * len(X))
        self.history_: dict[str, list[float]] = {}
        for _ in range(epochs):
            seen = []
            for rows in np.array_split(random.permutation(len(X)), per_epoch):
                kept = vectors.rows(rows)
                kept *= random.integers(0, 256, kept.shape, dtype=np.uint8) >= 256 * self.dropout
                # Inverted dropout: what is kept counts for what is left out.
                logits = (kept @ theta[:-1] / (1 - self.dropout) + theta[-1]).astype(np.float64)
                losses, residuals = _linear.log_loss(logits, target[rows])
                slopes = (residuals / len(rows)).astype(np.float32)
                gradient = kept.T @ (slopes / (1 - self.dropout)) + decay * theta[:-1]
                adam.update(np.vstack((gradient, slopes.sum(axis=0))))
                seen.append((losses, _is_right(logits, target[rows])))
            self._keep(vectors, theta[:-1].astype(np.float64), theta[-1].astype(np.float64))
            self._note("", *map(np.concatenate, zip(*seen, strict=True)))
            if validation:
                said = self._logits(validation[0])
                self._note("val_", _linear.log_loss(said, validation[1])[0], _is_right(said, validation[1]))

    def _note(self, prefix: str, losses: Array, right: NDArray[np.bool_]) -> None:
        for name, values in (("loss", losses), ("accuracy", right)):
            self.history_.setdefault(prefix + name, []).append(float(values.mean()))


def _is_right(logits: Array, target: NDArray[np.int64]) -> NDArray[np.bool_]:
    said = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(axis=1)
    right: NDArray[np.bool_] = said == target
    return right

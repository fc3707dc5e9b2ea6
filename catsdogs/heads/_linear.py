"""What the linear heads share: columns standardised, one weight per column and class, probabilities without Keras."""

from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

_BLOCK_ROWS = 1024  # 1,024 rows of 6,144 float64 are 50 MB: what standardising holds besides the vectors
_LEARNT = ("mean", "scale", "coef", "intercept")


@dataclass
class LinearHead:
    """A head whose logits are `(X - mean) / scale @ coef.T + intercept`; a subclass fits them.

    For two classes there is one unit, a sigmoid for the second class; for more a softmax over one unit each.

    Attributes:
        mean, scale: (width,) float64, of the rows it was fitted on; the scale of a constant column is 1.
        coef, intercept: (units, width) and (units,) float64.
    """

    seed: int = 0
    history: dict[str, list[float]] = field(default_factory=dict, init=False, repr=False)
    mean: NDArray[np.float64] = field(init=False, repr=False)
    scale: NDArray[np.float64] = field(init=False, repr=False)
    coef: NDArray[np.float64] = field(init=False, repr=False)
    intercept: NDArray[np.float64] = field(init=False, repr=False)

    @property
    def settings(self) -> dict[str, Any]:
        """See `heads.Head`."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.init and field.name != "seed"}

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `heads.Head`."""
        logits = np.empty((len(X), len(self.coef)))
        for start in range(0, len(X), _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            logits[rows] = (X[rows] - self.mean) / self.scale @ self.coef.T + self.intercept
        if logits.shape[1] == 1:
            logits = np.concatenate((np.zeros_like(logits), logits), axis=1)  # a sigmoid is a softmax against 0
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `heads.Head`."""
        return {name: getattr(self, name) for name in _LEARNT}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> Self:
        """See `heads.Head`.

        Raises:
            KeyError, TypeError, ValueError: an array is missing, or no finite numbers, or does not fit the others.
        """
        mean, scale, coef, intercept = (arrays[name] for name in _LEARNT)
        units, width = coef.shape
        if not (mean.shape == scale.shape == (width,) and intercept.shape == (units,)):
            raise ValueError(f"shapes {mean.shape}, {scale.shape}, {coef.shape} and {intercept.shape} do not fit")
        if not all(np.isfinite(arrays[name]).all() for name in _LEARNT) or not (scale > 0).all():
            raise ValueError("a number is not finite, or a scale not positive")
        self.mean, self.scale, self.coef, self.intercept = mean, scale, coef, intercept
        return self

    def _measure(self, X: NDArray[np.float32]) -> None:
        """Set `mean` and `scale`, block by block: in one go scikit-learn would hold two more copies of the vectors."""
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler()
        for start in range(0, len(X), _BLOCK_ROWS):
            scaler.partial_fit(X[start : start + _BLOCK_ROWS])
        self.mean, self.scale = scaler.mean_, scaler.scale_

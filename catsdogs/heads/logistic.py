"""Standardised logistic regression: no dropout, no epochs, the optimum of a convex loss."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from catsdogs.heads._linear import LinearHead

_MAX_ITERATIONS = 1000  # some dozens are enough; the limit is for columns that no standardising tames


@dataclass
class Logistic(LinearHead):
    """Scikit-learn's, on standardised columns.

    `C` divides the penalty ½ |coef|²; 0.01 is strong on purpose, there are more columns than rows in each fold.
    """

    C: float = 0.01

    def fit(
        self,
        X: NDArray[np.float32],
        y: NDArray[np.int64],
        validation: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None,
    ) -> Self:
        """See `heads.Head`; there are no epochs at whose ends to look at the validation set."""
        from sklearn.linear_model import LogisticRegression

        self._measure(X)
        scaled = X - self.mean.astype(X.dtype)
        scaled /= self.scale.astype(X.dtype)
        model = LogisticRegression(C=self.C, max_iter=_MAX_ITERATIONS, random_state=self.seed).fit(scaled, y)
        self.coef, self.intercept = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
        return self

"""A head of your own: `catsdogs train --head my_head.py`, or `catsdogs compare --heads blend,my_head.py`.

A head is a classifier after scikit-learn's conventions, and its class is called as its file is. `train` gives it the
vectors of all networks side by side, a fold left out each time, and calibrates what it answers.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer


class MyHead(ClassifierMixin, BaseEstimator):
    """A logistic regression on each network's vectors at length 1, the networks' log probabilities averaged.

    Args:
        C: how little the coefficients are held back, as scikit-learn has it.
        widths: how many columns each network has, in their order; `train` gives them to a head that asks.
    """

    def __init__(self, C: float = 30.0, widths: tuple[int, ...] = ()) -> None:
        self.C = C
        self.widths = widths

    def fit(self, X: NDArray[np.float32], y: NDArray[np.int64]) -> Self:
        """Learn from (n, sum of widths) vectors and (n,) class indices."""
        self.classes_ = np.unique(y)
        self.networks_ = [
            make_pipeline(Normalizer(), LogisticRegression(C=self.C)).fit(columns, y) for columns in self._split(X)
        ]
        return self

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, classes) probabilities."""
        pairs = zip(self.networks_, self._split(X), strict=True)
        logits = np.mean([network.predict_log_proba(columns) for network, columns in pairs], axis=0)
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    def _split(self, X: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The columns of each network."""
        return np.split(X, np.cumsum(self.widths)[:-1], axis=1) if self.widths else [X]

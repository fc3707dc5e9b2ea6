"""Least squares on ±1: Fisher's discriminant with a ridge; it errs on other photographs than `logistic` does."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from catsdogs.features.scaling import Array, Vectors
from catsdogs.heads import _penalties
from catsdogs.heads._convex import DesignMatrix
from catsdogs.heads._linear import Lesson, SharesHead

RIDGE = 0.1  # times width: a prior variance of 10 / width for each coefficient, and noise of variance 1


@dataclass(eq=False, repr=False)
class Ridge(SharesHead):
    """Ridge regression on standardised columns; logits are its scores, times a scale.

    Attributes:
        scale: None chooses it by the log loss of inner validation.
        penalty: times the usual one; None chooses it by inner validation, see `_penalties`.
        scale_: what was taken; (k,) for labels, if it was chosen, and then there is an offset, too.
    """

    scale: float | None = None
    penalty: float | None = None
    random_state: int = 0

    def _learn(self, X: Vectors, lesson: Lesson) -> None:
        splits = lesson.splits(self.random_state)
        fitted = _penalties.fit_squares(
            DesignMatrix(X), lesson, RIDGE * X.shape[1], splits, _penalties.steps_of(self.penalty)
        )
        self.is_number_ = lesson.is_number
        if lesson.is_number:
            self.scale_, offset = 1.0, 0.0
        elif self.scale:
            self.scale_, offset = self.scale, 0.0
        else:
            self.scale_, offset = lesson.logits_of(fitted.held_out, splits)
        self.coef_, self.intercept_ = (self.scale_ * fitted.coef).T, self.scale_ * fitted.intercept + offset

    def predict_shares(self, X: Any) -> Array:
        """(n, k) shares: those of numbers are the scores themselves, from -1 to 1."""
        if not self.is_number_:
            return super().predict_shares(X)
        shares: Array = np.clip((self._logits(X) + 1) / 2, 0, 1)
        return shares

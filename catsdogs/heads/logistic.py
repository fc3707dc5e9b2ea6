"""Standardised logistic regression: no dropout, no epochs, the optimum of a convex loss."""

from dataclasses import dataclass

import numpy as np

from catsdogs.features.scaling import Array, Vectors
from catsdogs.heads import _convex
from catsdogs.heads._convex import DesignMatrix
from catsdogs.heads._linear import PRIOR_VARIANCE, Lesson, SharesHead

GRID = (1 / 9, 1 / 3, 1.0, 3.0, 9.0)  # times PRIOR_VARIANCE / width


@dataclass(eq=False, repr=False)
class Logistic(SharesHead):
    """Least log loss + |coef|² / 2C on standardised columns.

    Attributes:
        C: None chooses it by inner validation, among five a factor of 3 apart; of shares each has its own.
        C_: what was taken; (k,) chosen for shares, see `_convex.choose_for_shares`.
    """

    C: float | None = None
    random_state: int = 0

    def _learn(self, X: Vectors, lesson: Lesson) -> None:
        usual, target = PRIOR_VARIANCE / X.shape[1], lesson.target
        matrix = DesignMatrix(X, _convex.log_loss_of(target), 1 / (self.C or usual))
        self.C_ = self.C or self._chosen(matrix, lesson, usual)
        coef, self.intercept_ = matrix.of_vectors(matrix.minimise(target, 1 / self.C_, weights=lesson.weights))
        self.coef_ = coef.T

    def _chosen(self, matrix: DesignMatrix, lesson: Lesson, usual: float) -> float | Array:
        target, weights, splits = lesson.target, lesson.weights, lesson.splits(self.random_state)
        if target.ndim == 2:
            return 1 / _convex.choose_for_shares(matrix, target, 1 / usual, splits, weights)[0]
        losses = np.zeros(len(GRID))
        for learnt, held_out in splits:
            theta = None
            for number, step in enumerate(GRID):  # from strong to weak, each starts where the last ended
                theta = matrix.minimise(target, 1 / (step * usual), learnt, theta, weights)
                found = _convex.log_loss(matrix.scores(theta)[held_out], target[held_out])[0]
                losses[number] += (found if weights is None else found * weights[held_out]).sum()
        return usual * GRID[int(np.argmin(losses))]

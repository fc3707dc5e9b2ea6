"""Standardised logistic regression: no dropout, no epochs, the optimum of a convex loss."""

from dataclasses import dataclass

import numpy as np

from catsdogs.features.scaling import Labels, Vectors
from catsdogs.heads import _convex, _linear
from catsdogs.heads._convex import DesignMatrix
from catsdogs.heads._linear import PRIOR_VARIANCE, Groups, LabelledRows, LinearHead

GRID = (1 / 9, 1 / 3, 1.0, 3.0, 9.0)  # times PRIOR_VARIANCE / width


@dataclass(eq=False, repr=False)
class Logistic(LinearHead):
    """Least log loss + |coef|² / 2C on standardised columns.

    Attributes:
        C: None chooses it by inner validation among five, a factor of 3 apart.
        C_: what was taken.
    """

    C: float | None = None
    random_state: int = 0

    def _learn(self, X: Vectors, target: Labels, validation: LabelledRows | None, groups: Groups) -> None:
        usual = PRIOR_VARIANCE / X.shape[1]
        matrix = DesignMatrix(X, _convex.log_loss, 1 / (self.C or usual))
        self.C_ = self.C or self._chosen(matrix, target, usual, groups)
        coef, self.intercept_ = matrix.of_vectors(matrix.minimise(target, 1 / self.C_))
        self.coef_ = coef.T

    def _chosen(self, matrix: DesignMatrix, target: Labels, usual: float, groups: Groups) -> float:
        losses = np.zeros(len(GRID))
        for learnt, held_out in _linear.inner_splits(target, self.random_state, groups):
            theta = None
            for number, step in enumerate(GRID):  # from strong to weak, each starts where the last ended
                theta = matrix.minimise(target, 1 / (step * usual), learnt, theta)
                losses[number] += _convex.log_loss(matrix.scores(theta)[held_out], target[held_out])[0].sum()
        return usual * GRID[int(np.argmin(losses))]

"""Standardised logistic regression: no dropout, no epochs, the optimum of a convex loss."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catsdogs.features.scaling import Labels, Vectors
from catsdogs.heads import _convex, _linear
from catsdogs.heads._convex import DesignMatrix, Standardised
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
        vectors = Standardised(X)
        matrix = _convex.compact(vectors)
        usual = PRIOR_VARIANCE / X.shape[1]
        factor = matrix.factor(_convex.log_loss, 1 / (self.C or usual))
        self.C_ = self.C or self._chosen(matrix, target, usual, factor, groups)
        theta = _convex.minimise(matrix, target, _convex.log_loss, 1 / self.C_, factor=factor)
        self._keep(vectors, matrix.expand(theta[:-1]), theta[-1])

    def _chosen(
        self, matrix: DesignMatrix, target: Labels, usual: float, factor: NDArray[np.float32] | None, groups: Groups
    ) -> float:
        losses = np.zeros(len(GRID))
        for learnt, held_out in _linear.inner_splits(target, self.random_state, groups):
            theta = None
            for number, step in enumerate(GRID):  # from strong to weak, each starts where the last ended
                penalty = 1 / (step * usual)
                theta = _convex.minimise(matrix, target, _convex.log_loss, penalty, learnt, theta, factor)
                scores = _convex.scores(matrix, theta)[held_out]
                losses[number] += _convex.log_loss(scores, target[held_out])[0].sum()
        return usual * GRID[int(np.argmin(losses))]

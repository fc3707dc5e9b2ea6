"""Standardised logistic regression: no dropout, no epochs, the optimum of a convex loss."""

from dataclasses import dataclass

from catsdogs.features.scaling import Vectors
from catsdogs.heads import _convex
from catsdogs.heads._convex import DesignMatrix
from catsdogs.heads._linear import NUMBERS_GRID, PRIOR_VARIANCE, Lesson, SharesHead

GRID = (1 / 9, 1 / 3, 1.0, 3.0, 9.0)  # times PRIOR_VARIANCE / width


@dataclass(eq=False, repr=False)
class Logistic(SharesHead):
    """Least log loss + |coef|² / 2C on standardised columns.

    Attributes:
        C: None chooses it by inner validation among five, a factor of 3 apart.
        C_: what was taken.
    """

    C: float | None = None
    random_state: int = 0

    def _learn(self, X: Vectors, lesson: Lesson) -> None:
        usual, target = PRIOR_VARIANCE / X.shape[1], lesson.target
        matrix = DesignMatrix(X, _convex.log_loss_of(target), 1 / (self.C or usual))
        self.C_ = self.C or self._chosen(matrix, lesson, usual)
        coef, self.intercept_ = matrix.of_vectors(matrix.minimise(target, 1 / self.C_, weights=lesson.weights))
        self.coef_ = coef.T

    def _chosen(self, matrix: DesignMatrix, lesson: Lesson, usual: float) -> float:
        grid = (1 / NUMBERS_GRID).tolist() if lesson.is_number else GRID
        penalties, patience = [1 / (step * usual) for step in grid], _convex.PATIENCE if lesson.is_number else None
        splits = lesson.splits(self.random_state)
        best, _ = _convex.choose(matrix, lesson.target, penalties, splits, lesson.weights, patience)
        return usual * float(grid[best])

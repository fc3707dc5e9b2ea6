"""Standardised logistic regression: no dropout, no epochs, the optimum of a convex loss."""

from dataclasses import dataclass

from catsdogs.features.scaling import Vectors
from catsdogs.heads import _convex, _penalties
from catsdogs.heads._convex import DesignMatrix
from catsdogs.heads._linear import PRIOR_VARIANCE, Lesson, SharesHead

FIVE = (2.0, 1.0, 0.0, -1.0, -2.0)  # steps


@dataclass(eq=False, repr=False)
class Logistic(SharesHead):
    """Least log loss + |coef|² / 2C on standardised columns.

    Attributes:
        C: None chooses it by inner validation, see `_penalties`.
        search: "wide", or "five": only five penalties a factor of 3 apart, as older runs chose.
        C_: what was taken; (k,) chosen for shares.
    """

    C: float | None = None
    search: str = "wide"
    random_state: int = 0

    def _learn(self, X: Vectors, lesson: Lesson) -> None:
        if self.C is not None and not self.C > 0:
            raise ValueError(f"a C of {self.C:g}, which has to be above 0")
        matrix = DesignMatrix(X)
        if self.C is None:
            splits = lesson.splits(self.random_state)
            among = FIVE if self.search == "five" else ()
            fitted = _penalties.fit(matrix, lesson, X.shape[1] / PRIOR_VARIANCE, splits, among)
            coef, self.intercept_ = fitted.coef, fitted.intercept
            self.C_ = 1 / fitted.penalty
        else:
            loss, self.C_ = _convex.log_loss_of(lesson.target), self.C
            theta = matrix.minimise(loss, lesson.target, 1 / self.C, weights=lesson.weights)
            coef, self.intercept_ = matrix.of_vectors(theta[:, 0])
        self.coef_ = coef.T

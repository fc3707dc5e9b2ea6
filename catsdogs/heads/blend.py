"""Blending: a head per network and one on all columns, averaged with weights fitted on rows that none of them saw."""

from dataclasses import dataclass

import numpy as np

from catsdogs.features.scaling import Vectors
from catsdogs.heads import _linear, _penalties
from catsdogs.heads._convex import DesignMatrix
from catsdogs.heads._linear import Lesson, SharesHead
from catsdogs.heads.ridge import RIDGE

# Of a weight from equal weights, a priori: a few hundred rows, of which a handful are doubtful, tell little.
DEVIATION_FROM_EQUAL = 0.2


@dataclass(eq=False, repr=False)
class Blend(SharesHead):
    """The weighted mean of logits: of a logistic regression for each network, and of least squares on all columns.

    They err on different photographs, so their mean errs less (a logarithmic opinion pool). Unlike `stack` no weight is
    negative, and all are drawn to equal ones. It is a linear model, since all its parts are.

    Attributes:
        widths: columns of each network, in their order; none means that there is one network.
        penalty: of each member, times the usual one; None chooses it by inner validation, see `_penalties`.
        weights_: (members,), the networks' in their order, then that of least squares.
    """

    widths: tuple[int, ...] = ()
    penalty: float | None = None
    random_state: int = 0

    def _learn(self, X: Vectors, lesson: Lesson) -> None:
        splits, matrix = lesson.splits(self.random_state), DesignMatrix(X)
        labels, weights = lesson.held_out(splits)
        columns = _linear.columns_of(self.widths, X.shape[1])
        steps = _penalties.steps_of(self.penalty)
        # Least squares first: the products that they need of the rows learnt and held out add up to the networks'.
        ridge = _penalties.fit_squares(matrix, lesson, RIDGE * X.shape[1], splits, steps)
        networks = _penalties.fit_networks((matrix.part(part) for part in columns), lesson, splits, steps)
        scale, offset = lesson.logits_of(ridge.held_out, splits)
        logits = np.stack([*(network.held_out for network in networks), scale * ridge.held_out + offset])
        self.weights_, offsets = _linear.joining_weights(
            logits, labels, 1 / len(logits), DEVIATION_FROM_EQUAL, least=0, weights=weights
        )
        coef = self.weights_[-1] * scale * ridge.coef
        self.intercept_ = offsets + self.weights_[-1] * scale * ridge.intercept + self.weights_[-1] * offset
        for part, network, weight in zip(columns, networks, self.weights_, strict=False):
            coef[part] += weight * network.coef
            self.intercept_ = self.intercept_ + weight * network.intercept
        self.coef_ = coef.T

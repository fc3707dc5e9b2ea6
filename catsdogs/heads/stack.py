"""Stacking: a logistic regression for each network, joined by another on the logits of rows they never saw."""

from dataclasses import dataclass

import numpy as np

from catsdogs.features.scaling import Vectors
from catsdogs.heads import _linear, _penalties
from catsdogs.heads._convex import DesignMatrix
from catsdogs.heads._linear import Lesson, SharesHead

WEIGHT_DEVIATION = 1.0  # of a network's weight from 0, a priori


@dataclass(eq=False, repr=False)
class Stack(SharesHead):
    """D. H. Wolpert, Stacked generalization, Neural Networks 5 (1992); a linear model, since all its parts are.

    Attributes:
        widths: columns of each network, in their order; none means that there is one network.
        penalty: of each member, times the usual one; None chooses it by inner validation, see `_penalties`.
        weights_: (networks,).
    """

    widths: tuple[int, ...] = ()
    penalty: float | None = None
    random_state: int = 0

    def _learn(self, X: Vectors, lesson: Lesson) -> None:
        splits = lesson.splits(self.random_state)
        columns = _linear.columns_of(self.widths, X.shape[1])
        matrices = (DesignMatrix(X[:, part]) for part in columns)
        parts = _penalties.fit_networks(matrices, lesson, splits, _penalties.steps_of(self.penalty))
        logits, (labels, weights) = np.stack([part.held_out for part in parts]), lesson.held_out(splits)
        self.weights_, offsets = _linear.joining_weights(
            logits, labels, expected=0, deviation=WEIGHT_DEVIATION, weights=weights
        )
        pairs = list(zip(parts, self.weights_, strict=True))
        self.coef_ = np.vstack([weight * part.coef for part, weight in pairs]).T
        self.intercept_ = offsets + sum(weight * part.intercept for part, weight in pairs)

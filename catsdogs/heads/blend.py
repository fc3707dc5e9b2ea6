"""Blending: a head per network and one on all columns, averaged with weights fitted on rows that none of them saw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from catsdogs.heads import _linear
from catsdogs.heads._linear import PRIOR_VARIANCE, Array, LinearHead, Rows
from catsdogs.heads.ridge import RIDGE

# Of a weight from equal weights, a priori: a few hundred rows, of which a handful are doubtful, tell little.
WEIGHT_DEVIATION = 0.2


@dataclass(eq=False, repr=False)
class Blend(LinearHead):
    """The weighted mean of logits: of a logistic regression for each network, and of least squares on all columns.

    They err on different photographs, so their mean errs less (a logarithmic opinion pool). Unlike `stack` no weight is
    negative, and all are drawn to equal ones. It is a linear model, since all its parts are.

    Attributes:
        widths: columns of each network, in their order; none means that there is one network.
        weights_: (members,), the networks' in their order, then that of least squares.
    """

    widths: tuple[int, ...] = ()
    random_state: int = 0

    def _learn(self, X: NDArray[np.float32], target: NDArray[np.int64], validation: Rows | None) -> None:
        splits = _linear.inner_splits(target, self.random_state)
        truth = target[_linear.held_rows(splits)]
        columns = _linear.columns_of(self.widths, X.shape[1])
        networks = [
            _linear.fit_and_hold_out(X[:, part], target, _linear.log_loss, width / PRIOR_VARIANCE, splits)
            for part, width in ((part, part.stop - part.start) for part in columns)
        ]
        ridge = _linear.fit_and_hold_out(X, target, _linear.squared_loss, RIDGE * X.shape[1], splits)
        scale = _linear.best_scale(ridge.held, truth)
        held = np.stack([*(network.held for network in networks), scale * ridge.held])
        self.weights_, offsets = fitted_weights(held, truth)
        coef = self.weights_[-1] * scale * ridge.coef
        self.intercept_ = offsets + self.weights_[-1] * scale * ridge.intercept
        for part, network, weight in zip(columns, networks, self.weights_, strict=False):
            coef[part] += weight * network.coef
            self.intercept_ = self.intercept_ + weight * network.intercept
        self.coef_ = coef.T


def fitted_weights(logits: Array, target: NDArray[np.int64]) -> tuple[Array, Array]:
    """(members,) weights of (members, n, units) logits and (units,) offsets: least log loss, drawn to equal weights."""
    count, _, units = logits.shape
    usual = np.append(np.full(count, 1 / count), np.zeros(units))

    def objective(theta: Array) -> tuple[float, Array]:
        losses, residuals = _linear.log_loss(np.tensordot(theta[:count], logits, axes=1) + theta[count:], target)
        away = (theta - usual) / WEIGHT_DEVIATION
        slopes = np.append(np.tensordot(logits, residuals, axes=2), residuals.sum(axis=0))
        return losses.sum() + (away**2).sum() / 2, slopes + away / WEIGHT_DEVIATION

    bounds = [(0, None)] * count + [(None, None)] * units
    found = minimize(objective, usual, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found[:count], found[count:]

"""Convex fits: losses, standardised rows in the coordinates that suit, and L-BFGS over them, for several fits at once.

They serve a head's many fits to parts of the same rows: fits to several parts, which differ in the rows that they
leave out, go through the rows together.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from warnings import warn

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.blas import ssyrk
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from catsdogs.errors import FitWarning
from catsdogs.features.scaling import Array, Labels, Scaling, Vectors

_ROWS_AT_ONCE = 1024  # 1,024 rows of 6,144 float32 are 25 MB: what standardising holds besides the vectors
_BLOCK_COLUMNS = 512
_JITTER = 1e-6  # of the mean squared length of a row
# Some dozens of steps are enough; the limit is for columns that no standardising tames.
_MOST_STEPS = 1000
TOLERANCE = 1e-7  # of the mean loss: a fit ends with a step that lowers it by no more
SEARCH_TOLERANCE = 1e-6  # of fits that only tell penalties apart
_LEAST_SLOPE = 1e-6  # of the mean loss by a coordinate: a fit ends where none is steeper
_ROUNDING = 1e-5  # of a mean square
_LEAST_CURVATURE = 0.002  # of a log loss by a score, where hardly a row is in doubt

InnerSplit = tuple[NDArray[np.intp], NDArray[np.intp]]  # the rows to learn from, and those held out
Target = NDArray[Any]  # (n,) classes, or (n, k) shares from 0 to 1: of labels 0 and 1, of numbers anything between
Loss = Callable[[Array, Any], tuple[Array, Array]]
Penalty = float | Array  # or (units,), one for each


def log_loss(logits: Array, target: Labels) -> tuple[Array, Array]:
    """(n,) -ln of the probability of the right class, and its (n, units) derivative by the logits."""
    if logits.shape[1] == 1:
        logit = logits[:, 0]
        return np.logaddexp(0, logit) - target * logit, (expit(logit) - target)[:, np.newaxis]
    residuals = softmax(logits, axis=1)
    rows = np.arange(len(target))
    residuals[rows, target] -= 1
    return -log_softmax(logits, axis=1)[rows, target], residuals


def share_loss(logits: Array, target: Array) -> tuple[Array, Array]:
    """(n, k) log losses of independent sigmoids that are to give shares from 0 to 1, and their derivatives.

    For labels they are k logistic regressions; for shares between 0 and 1 a quasi-likelihood: L. E. Papke and J. M.
    Wooldridge, Econometric methods for fractional response variables, Journal of Applied Econometrics 11(6), 1996.
    """
    return np.logaddexp(0, logits) - target * logits, expit(logits) - target


def squared_loss(scores: Array, target: Target) -> tuple[Array, Array]:
    """Half the squared distance to 1 for the right class and -1 for the others, and its derivative.

    (n,) over the classes; (n, k) of shares, which lie between -1 and 1 here.
    """
    residuals = scores - wanted_of(target, scores.shape[1])
    losses: Array = residuals**2 / 2
    return losses if target.ndim == 2 else losses.sum(axis=1), residuals


def is_right(scores: Array, target: Target) -> NDArray[np.bool_]:
    """(n,) whether a class is right, or (n, k) whether a share is on its side of one half."""
    if target.ndim == 2:
        return (scores > 0) == (target > 0.5)
    predicted = scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(axis=1)
    right: NDArray[np.bool_] = predicted == target
    return right


def wanted_of(target: Target, units: int) -> Array:
    """(n, units) scores that least squares aims at, see `squared_loss`."""
    if target.ndim == 2 or units == 1:
        wanted: Array = 2.0 * (target if target.ndim == 2 else target[:, np.newaxis]) - 1
        return wanted
    return np.where(target[:, np.newaxis] == np.arange(units), 1.0, -1.0)


def _batches(count: int, size: int = _ROWS_AT_ONCE) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))


def scaling_of(X: Vectors) -> Scaling:
    """The standardising of the columns of (n, width) vectors."""
    return Scaling(X[rows] for rows in _batches(len(X)))


def log_loss_of(target: Target) -> Loss:
    """That of classes, or of shares."""
    return share_loss if target.ndim == 2 else log_loss


def units_of(target: Target) -> int:
    """1 for two classes, which is a sigmoid; for more a softmax over a unit for each class; a unit for each share."""
    if target.ndim == 2:
        return target.shape[1]
    classes = int(target.max()) + 1
    return 1 if classes == 2 else classes


class DesignMatrix:
    """Vectors with their columns standardised, in coordinates that suit penalised convex losses.

    Where there are as many rows as columns, no second copy of them is made. Wider vectors get as many columns as rows.
    A penalised linear model sees only the products of rows, G = X Xᵀ = L Lᵀ, so the rows of L serve as well. L = X Q
    for the orthonormal Q = Xᵀ L⁻ᵀ, and Q turns coefficients of L into those of X.

    Columns are standardised over all rows, held out or not: that uses no labels, and saves a copy for each fit.

    Attributes:
        vectors: (n, width), as they are.
        columns: the number of coordinates.
    """

    def __init__(self, X: Vectors, products: NDArray[np.float32] | None = None) -> None:
        """Of (n, width) vectors; `products` are `products()`, where they are known."""
        self.vectors, self._scaling, self._products = X, scaling_of(X), products
        self._is_wide = len(X) < X.shape[1]
        if self._is_wide:
            self._X = self._scaling.apply(X)
            self._lower = _lower_of_products(self._X)
            self._rows, self._mean, self._scale = self._lower.astype(np.float32), np.zeros(len(X)), np.ones(len(X))
        else:
            self._rows, self._mean, self._scale = X, self._scaling.mean, self._scaling.scale
        self.columns: int = self._rows.shape[1]

    def part(self, columns: slice) -> "DesignMatrix":
        """That of some columns of the vectors; their products are taken from this one's."""
        return DesignMatrix(self.vectors[:, columns], None if self._is_wide else self.products()[columns, columns])

    def standardised(self, rows: NDArray[np.intp] | slice) -> Vectors:
        """(m, columns) coordinates of some rows."""
        return self._rows[rows] if self._is_wide else self._scaling.apply(self._rows[rows])

    def products(self, left_out: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        """(columns, columns) sums over the rows of the products of two coordinates; only the lower half is filled.

        Those without the rows `left_out` are the caller's to change.
        """
        if left_out is None or not len(left_out):
            if self._products is None:
                self._products = add_products(self, slice(0, len(self._rows)), self._no_products())
            return self._products
        if self._products is not None:  # the products of a few rows are taken away, rather than those of many added up
            return add_products(self, left_out, self._products.copy(order="F"), sign=-1)
        rest = add_products(self, np.delete(np.arange(len(self._rows)), left_out), self._no_products())
        self._products = add_products(self, left_out, rest.copy(order="F"))
        return rest

    def _no_products(self) -> NDArray[np.float32]:
        return np.zeros((self.columns, self.columns), np.float32, "F")

    def minimise(
        self,
        loss: Loss,
        target: Target,
        penalty: Penalty,
        learnt: Sequence[NDArray[np.intp] | slice] = (slice(None),),
        start: Array | None = None,
        weights: Array | None = None,
        tolerance: float = TOLERANCE,
    ) -> Array:
        """(columns + 1, fits, units) coefficients, intercepts last: one fit for each of the parts `learnt` of the rows.

        Each is that of the least loss of its rows + ½ penalty |coef|². L-BFGS takes some dozens of steps instead of
        hundreds in the coordinates Lᵀ coef, in which the loss is nearly round, for L Lᵀ is near its second derivative.
        It comes within about ten times the `tolerance` of the least mean loss, and warns where it does not.

        Args:
            start: what to begin with; 0 if None.
            weights: (n,), or (n, k) of shares: how often each loss counts; once if None.
            tolerance: it stops where a step lowers the mean loss by no more.
        """
        counts = [len(target[rows]) for rows in learnt]
        start = np.zeros((self.columns + 1, len(learnt), units_of(target))) if start is None else start
        share = float(np.mean(counts)) / len(target)
        lower = self._lower_of_curvature(share * _curvature(loss, self.scores(start)), float(np.mean(penalty)))

        def objective(flat: Array) -> tuple[float, Array]:
            theta = _divided(lower, flat.reshape(start.shape), "T")
            scores, residuals, value = self.scores(theta), np.zeros((len(target), *start.shape[1:])), 0.0
            for fit, rows in enumerate(learnt):
                losses, slopes = loss(scores[rows, fit], target[rows])
                if weights is not None:
                    losses, slopes = weighed(losses, weights[rows]), weighed(slopes, weights[rows])
                value += float(losses.sum())
                residuals[rows, fit] = slopes
            value += float((penalty * theta[:-1] ** 2).sum()) / 2
            slope = self.transposed_dot(residuals) + penalty * theta[:-1]
            gradient = np.concatenate((slope, residuals.sum(axis=0, keepdims=True)))
            return value / sum(counts), _divided(lower, gradient, "N").ravel() / sum(counts)

        first = np.concatenate((np.tensordot(lower.T, start[:-1], axes=1), start[-1:]))
        options = {"maxiter": _MOST_STEPS, "ftol": tolerance, "gtol": _LEAST_SLOPE}
        found = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", options=options)
        if found.nit >= _MOST_STEPS:
            warn(f"A fit stopped after {found.nit:,} steps, before its least loss was found", FitWarning, stacklevel=2)
        return _divided(lower, found.x.reshape(start.shape), "T")

    def scores(self, theta: Array) -> Array:
        """(n, ...) scores of all rows by (columns + 1, ...) coefficients, as `minimise` finds them."""
        flat = theta.reshape(len(theta), -1)
        scaled = flat[:-1] / self._scale[:, np.newaxis]
        scores = (self._rows @ scaled.astype(np.float32)).astype(np.float64) - self._mean @ scaled + flat[-1]
        result: Array = scores.reshape(-1, *theta.shape[1:])
        return result

    def of_vectors(self, theta: Array) -> tuple[Array, Array]:
        """(width, units) coefficients and (units,) intercepts of the vectors as they are, of (columns + 1, units)."""
        coef = theta[:-1]
        if self._is_wide:
            coef = self._X.T @ solve_triangular(self._lower, coef, lower=True, trans="T")
        return self._scaling.unscaled(coef, theta[-1])

    def transposed_dot(self, residuals: Array) -> Array:
        """(columns, ...) products of the coordinates with (n, ...) residuals."""
        flat = residuals.reshape(len(residuals), -1)
        raw = (self._rows.T @ flat.astype(np.float32)).astype(np.float64)
        products = (raw - np.outer(self._mean, flat.sum(axis=0))) / self._scale[:, np.newaxis]
        result: Array = products.reshape(-1, *residuals.shape[1:])
        return result

    def _lower_of_curvature(self, curvature: float, penalty: float) -> NDArray[np.float32]:
        return lower_of(np.multiply(self.products(), np.float32(curvature)), penalty)


def add_products(
    matrix: DesignMatrix, rows: NDArray[np.intp] | slice, products: NDArray[np.float32], sign: float = 1
) -> NDArray[np.float32]:
    """Add `sign` times the products of some rows to `DesignMatrix.products`, a block of rows at a time."""
    numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
    for block in _batches(len(numbers)):
        standardised = matrix.standardised(numbers[block])
        products = ssyrk(sign, standardised.T, beta=1, c=products, lower=1, overwrite_c=1)
    return products


def raised(penalty: float, products: NDArray[np.float32]) -> float:
    """The penalty, but not less than what float32 can tell from rounding beside the diagonal of (n, n) products."""
    return max(penalty, _ROUNDING * float(np.diagonal(products).mean()))


def lower_of(products: NDArray[np.float32], penalty: float) -> NDArray[np.float32]:
    """L, for which L Lᵀ = products + the penalty, `raised`, on the diagonal, in the place of the products."""
    products[np.diag_indices_from(products)] += raised(penalty, products)
    lower: NDArray[np.float32] = cholesky(products, lower=True, overwrite_a=True, check_finite=False)
    return lower


def _divided(lower: NDArray[np.float32], theta: Array, transposed: str) -> Array:
    """L⁻¹ theta or L⁻ᵀ theta, with the last row, the intercepts, as it was."""
    coef = theta[:-1].reshape(len(lower), -1).astype(np.float32)
    coef = solve_triangular(lower, coef, lower=True, trans=transposed, overwrite_b=True, check_finite=False)
    return np.concatenate((coef.reshape(theta[:-1].shape), theta[-1:]), dtype=np.float64)


def _curvature(loss: Loss, scores: Array) -> float:
    """About the mean second derivative of a loss by a score, from (n, fits, units) scores to begin with."""
    if loss is squared_loss:
        return 1.0
    shares = softmax(scores, axis=2) if loss is log_loss and scores.shape[2] > 1 else expit(scores)
    return max(_LEAST_CURVATURE, float((shares * (1 - shares)).mean()) / 2)  # it falls while the loss does


def _lower_of_products(X: Vectors) -> Array:
    products = np.zeros((len(X), len(X)))
    for columns in _batches(X.shape[1], _BLOCK_COLUMNS):  # in float32, L would not exist
        block = X[:, columns].astype(np.float64)
        products += block @ block.T
    products[np.diag_indices_from(products)] += _JITTER * np.trace(products) / len(products)
    lower: Array = cholesky(products, lower=True, overwrite_a=True)
    return lower


def weighed(values: Array, weights: Array) -> Array:
    """(n,) or (n, units) values times (n,) or (n, units) weights of their rows or cells."""
    result: Array = values * (weights[:, np.newaxis] if weights.ndim < values.ndim else weights)
    return result


def dense(X: Vectors, coef: Array, intercept: Array) -> Array:
    """(n, units) X @ coef + intercept in float64, of a block of rows at a time."""
    result = np.empty((len(X), coef.shape[1]))
    for rows in _batches(len(X)):
        result[rows] = X[rows] @ coef + intercept
    return result

"""Convex fits: losses, standardised rows in the coordinates that suit, and L-BFGS over them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.blas import ssyrk
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from catsdogs.features.scaling import Array, Labels, Scaling, Vectors

_ROWS_AT_ONCE = 1024  # 1,024 rows of 6,144 float32 are 25 MB: what standardising holds besides the vectors
_BLOCK_COLUMNS = 512
_JITTER = 1e-6  # of the mean squared length of a row
_MAX_ITERATIONS = 1000  # some dozens are enough; the limit is for columns that no standardising tames

InnerSplit = tuple[NDArray[np.intp], NDArray[np.intp]]  # the rows to learn from, and those held out
Loss = Callable[[Array, Labels], tuple[Array, Array]]


def log_loss(logits: Array, target: Labels) -> tuple[Array, Array]:
    """(n,) -ln of the probability of the right class, and its (n, units) derivative by the logits."""
    if logits.shape[1] == 1:
        logit = logits[:, 0]
        return np.logaddexp(0, logit) - target * logit, (expit(logit) - target)[:, np.newaxis]
    residuals = softmax(logits, axis=1)
    rows = np.arange(len(target))
    residuals[rows, target] -= 1
    return -log_softmax(logits, axis=1)[rows, target], residuals


def squared_loss(scores: Array, target: Labels) -> tuple[Array, Array]:
    """(n,) half the squared distance to 1 for the right class and -1 for the others, and its derivative."""
    wanted = np.where(target[:, np.newaxis] == np.arange(scores.shape[1]), 1.0, -1.0)
    if scores.shape[1] == 1:
        wanted = 2.0 * target[:, np.newaxis] - 1
    residuals = scores - wanted
    return (residuals**2).sum(axis=1) / 2, residuals


_CURVATURES: dict[Loss, float] = {log_loss: 0.1, squared_loss: 1.0}  # by a score; that of a log loss is from 0 to 1/4


class Standardised(Scaling):
    """(n, width) vectors with their columns standardised, without a second copy of them."""

    def __init__(self, X: Vectors) -> None:
        self.shape = X.shape
        self._X = X
        super().__init__(X[start : start + _ROWS_AT_ONCE] for start in range(0, len(X), _ROWS_AT_ONCE))

    def rows(self, chosen: Any = slice(None)) -> Vectors:
        """A standardised copy of some rows."""
        return self.apply(self._X[chosen])

    def dot(self, coef: Array) -> Array:
        """(n, units) products of the rows with (columns, units) coefficients."""
        scaled = coef / self.scale[:, np.newaxis]
        return (self._X @ scaled.astype(np.float32)).astype(np.float64) - self.mean @ scaled

    def transposed_dot(self, residuals: Array) -> Array:
        """(columns, units) products of the columns with (n, units) residuals."""
        raw = (self._X.T @ residuals.astype(np.float32)).astype(np.float64)
        return (raw - np.outer(self.mean, residuals.sum(axis=0))) / self.scale[:, np.newaxis]

    def expand(self, coef: Array) -> Array:
        """(width, units) coefficients of the standardised vectors."""
        return coef

    def factor(self, loss: Loss, penalty: float) -> NDArray[np.float32]:
        """L of a matrix L Lᵀ near the second derivative of the loss and its penalty.

        In the coordinates Lᵀ coef the loss is nearly round, and L-BFGS takes a dozen steps instead of hundreds.
        """
        products = np.zeros((self.shape[1], self.shape[1]), np.float32, order="F")
        for start in range(0, self.shape[0], _ROWS_AT_ONCE):
            block = self.rows(slice(start, start + _ROWS_AT_ONCE))
            products = ssyrk(_CURVATURES[loss], block.T, beta=1, c=products, lower=1, overwrite_c=1)
        products[np.diag_indices_from(products)] += penalty
        lower: NDArray[np.float32] = cholesky(products, lower=True, overwrite_a=True, check_finite=False)
        return lower


class Rotated:
    """The same rows with as many columns as rows, for vectors that are wider than that.

    A penalised linear model sees only the products of rows, G = X Xᵀ = L Lᵀ, so the rows of L serve as well. L = X Q
    for the orthonormal Q = Xᵀ L⁻ᵀ, and Q turns coefficients of L into those of X.
    """

    def __init__(self, vectors: Standardised) -> None:
        self._X = vectors.rows()
        products = np.zeros((len(self._X), len(self._X)))
        for start in range(0, vectors.shape[1], _BLOCK_COLUMNS):  # in float32, L would not exist
            columns = self._X[:, start : start + _BLOCK_COLUMNS].astype(np.float64)
            products += columns @ columns.T
        products[np.diag_indices_from(products)] += _JITTER * np.trace(products) / len(products)
        self._lower = cholesky(products, lower=True, overwrite_a=True)
        self._rows = self._lower.astype(np.float32)
        self.shape = self._rows.shape

    def dot(self, coef: Array) -> Array:
        return (self._rows @ coef.astype(np.float32)).astype(np.float64)

    def transposed_dot(self, residuals: Array) -> Array:
        return (self._rows.T @ residuals.astype(np.float32)).astype(np.float64)

    def factor(self, loss: Loss, penalty: float) -> None:
        return None

    def expand(self, coef: Array) -> Array:
        return self._X.T @ solve_triangular(self._lower, coef, lower=True, trans="T")


DesignMatrix = Standardised | Rotated  # the rows to learn from, in coordinates that suit


def compact(vectors: Standardised) -> DesignMatrix:
    """The rows with the fewest columns that they can have."""
    return Rotated(vectors) if vectors.shape[0] < vectors.shape[1] else vectors


def units_of(target: Labels) -> int:
    """1 for two classes, which is a sigmoid; for more a softmax over a unit for each class."""
    classes = int(target.max()) + 1
    return 1 if classes == 2 else classes


def minimise(
    matrix: DesignMatrix,
    target: Labels,
    loss: Loss,
    penalty: float,
    learnt: NDArray[np.intp] | slice = slice(None),
    start: Array | None = None,
    factor: NDArray[np.float32] | None = None,
) -> Array:
    """(columns + 1, units) coefficients, intercept last, of the least loss of the rows `learnt` + ½ penalty |coef|².

    L-BFGS comes within about 1e-6 of the least mean loss; see `Standardised.factor`.
    """
    units = units_of(target)
    start = np.zeros((matrix.shape[1] + 1, units)) if start is None else start
    rows = len(target[learnt])

    def objective(flat: Array) -> tuple[float, Array]:
        theta = _divided(factor, flat.reshape(start.shape), "T")
        losses, slopes = loss((matrix.dot(theta[:-1]) + theta[-1])[learnt], target[learnt])
        residuals = np.zeros((len(target), units))
        residuals[learnt] = slopes
        gradient = np.vstack((matrix.transposed_dot(residuals) + penalty * theta[:-1], residuals.sum(axis=0)))
        value = losses.sum() + penalty / 2 * (theta[:-1] ** 2).sum()
        return value / rows, _divided(factor, gradient, "N").ravel() / rows

    options = {"maxiter": _MAX_ITERATIONS, "ftol": 1e-8, "gtol": 1e-6}
    first = start if factor is None else np.vstack((factor.T @ start[:-1], start[-1:]))
    found = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    return _divided(factor, found.x.reshape(start.shape), "T")


def _divided(factor: NDArray[np.float32] | None, theta: Array, transposed: str) -> Array:
    """L⁻¹ theta or L⁻ᵀ theta, with the last row, the intercept, as it was."""
    if factor is None:
        return theta
    coef = solve_triangular(factor, theta[:-1].astype(np.float32), lower=True, trans=transposed, check_finite=False)
    return np.vstack((coef.astype(np.float64), theta[-1:]))


class Fitted(NamedTuple):
    """A fit to all rows, and the scores of held-out rows by fits that never saw them.

    Attributes:
        coef, intercept: (width, units) and (units,), of the vectors as they are.
        held_out: (held-out rows, units) scores, one split after the other.
    """

    coef: Array
    intercept: Array
    held_out: Array


def fit_and_hold_out(X: Vectors, target: Labels, loss: Loss, penalty: float, splits: Sequence[InnerSplit]) -> Fitted:
    """Standardise, fit to all rows, and score each split's held-out rows by a fit to its other rows.

    Columns are standardised over all rows, held out or not: that uses no labels, and saves a copy for each split.
    """
    vectors = Standardised(X)
    matrix = compact(vectors)
    factor = matrix.factor(loss, penalty)
    theta = minimise(matrix, target, loss, penalty, factor=factor)
    scored = [
        scores(matrix, minimise(matrix, target, loss, penalty, learnt, factor=factor))[held_out]
        for learnt, held_out in splits
    ]
    return Fitted(*vectors.unscaled(matrix.expand(theta[:-1]), theta[-1]), np.concatenate(scored))


def held_out_rows(splits: Sequence[InnerSplit]) -> NDArray[np.intp]:
    """The rows of `Fitted.held_out`."""
    return np.concatenate([held_out for _, held_out in splits])


def scores(matrix: DesignMatrix, theta: Array) -> Array:
    """(n, units) scores of all rows by the coefficients of `minimise`."""
    return matrix.dot(theta[:-1]) + theta[-1]


def dense(X: Vectors, coef: Array, intercept: Array) -> Array:
    """(n, units) X @ coef + intercept in float64, of a block of rows at a time."""
    result = np.empty((len(X), coef.shape[1]))
    for start in range(0, len(X), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        result[rows] = X[rows] @ coef + intercept
    return result

"""Convex fits: losses, standardised rows in the coordinates that suit, and L-BFGS over them.

They serve a head's many fits to parts of the same rows: the 26 of `logistic` take 0.87 s of processor time on
1,600 x 3,840 vectors of photographs and 5.0 s on 8,000 x 2,000 stand-ins for them, those of scikit-learn's
LogisticRegression 1.9 s and 14 s for the same loss. For a single fit it is quicker on the former (0.11 s, not 0.37 s)
and slower on the latter (1.0 s, not 0.66 s), but only `logistic` with a given C makes a single one.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.blas import ssyrk
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from catsdogs.features.scaling import Array, Labels, Scaling, Vectors

# Penalties of shares are tried in steps. Labels and numbers made of photographs asked for 1 to 3 in the middle, for 5
# and more where they were nearly all noise, and for -3 where they were cats or dogs.
STEP, FIRST_STEP, MOST_STEPS = 3.0, 2, 9
_ROWS_AT_ONCE = 1024  # 1,024 rows of 6,144 float32 are 25 MB: what standardising holds besides the vectors
_BLOCK_COLUMNS = 512
_JITTER = 1e-6  # of the mean squared length of a row
_MAX_ITERATIONS = 1000  # some dozens are enough; the limit is for columns that no standardising tames

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
    if target.ndim == 2:
        differences: Array = scores - (2 * target - 1)
        return differences**2 / 2, differences
    wanted = np.where(target[:, np.newaxis] == np.arange(scores.shape[1]), 1.0, -1.0)
    if scores.shape[1] == 1:
        wanted = 2.0 * target[:, np.newaxis] - 1
    residuals = scores - wanted
    return (residuals**2).sum(axis=1) / 2, residuals


# By a score; that of a log loss is from 0 to 1/4.
_CURVATURES: dict[Loss, float] = {log_loss: 0.1, share_loss: 0.1, squared_loss: 1.0}


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
    """Vectors with their columns standardised, in coordinates that suit a penalised convex loss.

    Where there are as many rows as columns, no second copy of them is made. In the coordinates Lᵀ coef the loss is
    nearly round, where L Lᵀ is near its second derivative, and L-BFGS takes a dozen steps instead of hundreds.

    Wider vectors get as many columns as rows. A penalised linear model sees only the products of rows, G = X Xᵀ = L Lᵀ,
    so the rows of L serve as well. L = X Q for the orthonormal Q = Xᵀ L⁻ᵀ, and Q turns coefficients of L into those of
    X.
    """

    def __init__(self, X: Vectors, loss: Loss, penalty: float) -> None:
        """Of (n, width) vectors; `penalty` is about that of the fits to come."""
        self.loss, self._scaling = loss, scaling_of(X)
        self._is_wide = len(X) < X.shape[1]
        if self._is_wide:
            self._X = self._scaling.apply(X)
            self._lower: NDArray[np.floating] = _lower_of_products(self._X)
            self._rows, self._mean, self._scale = self._lower.astype(np.float32), np.zeros(len(X)), np.ones(len(X))
        else:
            self._rows, self._mean, self._scale = X, self._scaling.mean, self._scaling.scale
            self._lower = self._lower_of_curvature(_CURVATURES[loss], penalty)

    def minimise(
        self,
        target: Target,
        penalty: Penalty,
        learnt: NDArray[np.intp] | slice = slice(None),
        start: Array | None = None,
        weights: Array | None = None,
    ) -> Array:
        """(columns + 1, units) coefficients, intercept last, of the least loss of rows `learnt` + ½ penalty |coef|².

        `weights`: (n,), or (n, k) of shares: how often each loss counts; once if None.

        L-BFGS comes within about 1e-6 of the least mean loss.
        """
        units, count = units_of(target), len(target[learnt])
        start = np.zeros((self._rows.shape[1] + 1, units)) if start is None else start

        def objective(flat: Array) -> tuple[float, Array]:
            theta = self._divided(flat.reshape(start.shape), "T")
            losses, slopes = self.loss(self.scores(theta)[learnt], target[learnt])
            if weights is not None:
                losses, slopes = weighed(losses, weights[learnt]), weighed(slopes, weights[learnt])
            residuals = np.zeros((len(target), units))
            residuals[learnt] = slopes
            gradient = np.vstack((self.transposed_dot(residuals) + penalty * theta[:-1], residuals.sum(axis=0)))
            squares = (theta[:-1] ** 2).sum(axis=0 if np.ndim(penalty) else None)
            value = losses.sum() + (penalty / 2 * squares).sum()
            return value / count, self._divided(gradient, "N").ravel() / count

        options = {"maxiter": _MAX_ITERATIONS, "ftol": 1e-8, "gtol": 1e-6}
        first = start if self._is_wide else np.vstack((self._lower.T @ start[:-1], start[-1:]))
        found = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", options=options)
        return self._divided(found.x.reshape(start.shape), "T")

    def scores(self, theta: Array) -> Array:
        """(n, units) scores of all rows by the coefficients of `minimise`."""
        scaled = theta[:-1] / self._scale[:, np.newaxis]
        return (self._rows @ scaled.astype(np.float32)).astype(np.float64) - self._mean @ scaled + theta[-1]

    def of_vectors(self, theta: Array) -> tuple[Array, Array]:
        """(width, units) coefficients and (units,) intercepts of the vectors as they are, by those of `minimise`."""
        coef = theta[:-1]
        if self._is_wide:
            coef = self._X.T @ solve_triangular(self._lower, coef, lower=True, trans="T")
        return self._scaling.unscaled(coef, theta[-1])

    def transposed_dot(self, residuals: Array) -> Array:
        """(columns, units) products of the columns with (n, units) residuals."""
        raw = (self._rows.T @ residuals.astype(np.float32)).astype(np.float64)
        return (raw - np.outer(self._mean, residuals.sum(axis=0))) / self._scale[:, np.newaxis]

    def _lower_of_curvature(self, curvature: float, penalty: float) -> NDArray[np.float32]:
        width = self._rows.shape[1]
        products = np.zeros((width, width), np.float32, order="F")
        for rows in _batches(len(self._rows)):
            block = self._scaling.apply(self._rows[rows])
            products = ssyrk(curvature, block.T, beta=1, c=products, lower=1, overwrite_c=1)
        products[np.diag_indices_from(products)] += penalty
        lower: NDArray[np.float32] = cholesky(products, lower=True, overwrite_a=True, check_finite=False)
        return lower

    def _divided(self, theta: Array, transposed: str) -> Array:
        """L⁻¹ theta or L⁻ᵀ theta, with the last row, the intercept, as it was."""
        if self._is_wide:
            return theta
        coef = theta[:-1].astype(np.float32)
        coef = solve_triangular(self._lower, coef, lower=True, trans=transposed, check_finite=False)
        return np.vstack((coef.astype(np.float64), theta[-1:]))


def _lower_of_products(X: Vectors) -> Array:
    products = np.zeros((len(X), len(X)))
    for columns in _batches(X.shape[1], _BLOCK_COLUMNS):  # in float32, L would not exist
        block = X[:, columns].astype(np.float64)
        products += block @ block.T
    products[np.diag_indices_from(products)] += _JITTER * np.trace(products) / len(products)
    lower: Array = cholesky(products, lower=True, overwrite_a=True)
    return lower


class Fitted(NamedTuple):
    """A fit to all rows, and the scores of held-out rows by fits that never saw them.

    Attributes:
        coef, intercept: (width, units) and (units,), of the vectors as they are.
        held_out: (held-out rows, units) scores, one split after the other.
    """

    coef: Array
    intercept: Array
    held_out: Array


def fit_and_hold_out(
    X: Vectors,
    target: Target,
    loss: Loss,
    usual: float,
    splits: Sequence[InnerSplit],
    weights: Array | None = None,
) -> Fitted:
    """Standardise, fit to all rows, and score each split's held-out rows by a fit to its other rows.

    Columns are standardised over all rows, held out or not: that uses no labels, and saves a copy for each split.

    Args:
        usual: the penalty; each share has one of its own, see `choose_for_shares`.
        weights: as in `DesignMatrix.minimise`.
    """
    matrix = DesignMatrix(X, loss, usual)
    if target.ndim == 2:
        penalty, held_out = choose_for_shares(matrix, target, usual, splits, weights)
        return Fitted(*matrix.of_vectors(matrix.minimise(target, penalty, weights=weights)), held_out)
    fitted = matrix.of_vectors(matrix.minimise(target, usual, weights=weights))
    thetas = (matrix.minimise(target, usual, learnt, weights=weights) for learnt, _ in splits)
    scored = [matrix.scores(theta)[held_out] for theta, (_, held_out) in zip(thetas, splits, strict=True)]
    return Fitted(*fitted, np.concatenate(scored))


def choose_for_shares(
    matrix: DesignMatrix, target: Array, usual: float, splits: Sequence[InnerSplit], weights: Array | None = None
) -> tuple[Array, Array]:
    """(k,) penalties, of each of the (n, k) shares that of the least held-out loss; and the held-out rows' scores.

    One share may be told to the last digit while another is all noise. Penalties grow from `FIRST_STEP` on as long as a
    share's loss falls; if it does not fall at all, they shrink.
    """

    def tried(step: int, shares: NDArray[np.intp], starts: Sequence[Array | None]) -> tuple[Array, Array, list[Array]]:
        own, counts = target[:, shares], weights[:, shares] if weights is not None and weights.ndim == 2 else weights
        thetas = [
            matrix.minimise(own, usual * STEP**step, learnt, start, counts)
            for (learnt, _), start in zip(splits, starts, strict=True)
        ]
        rows = held_out_rows(splits)
        scores = np.concatenate(
            [matrix.scores(theta)[held_out] for theta, (_, held_out) in zip(thetas, splits, strict=True)]
        )
        losses = matrix.loss(scores, own[rows])[0]
        return (losses if counts is None else weighed(losses, counts[rows])).sum(axis=0), scores, thetas

    steps = np.full(target.shape[1], FIRST_STEP)
    least, scores, first = tried(FIRST_STEP, np.arange(len(steps)), [None] * len(splits))
    for direction in (1, -1):
        shares = np.flatnonzero(steps == FIRST_STEP)
        thetas = [theta[:, shares] for theta in first]
        for distance in range(1, MOST_STEPS + 1):
            if not len(shares):
                break
            losses, found, thetas = tried(FIRST_STEP + direction * distance, shares, thetas)
            falls = losses < least[shares]
            shares, thetas = shares[falls], [theta[:, falls] for theta in thetas]
            steps[shares] += direction
            least[shares], scores[:, shares] = losses[falls], found[:, falls]
    return usual * STEP**steps, scores


def weighed(values: Array, weights: Array) -> Array:
    """(n,) or (n, units) values times (n,) or (n, units) weights of their rows or cells."""
    result: Array = values * (weights[:, np.newaxis] if weights.ndim < values.ndim else weights)
    return result


def held_out_rows(splits: Sequence[InnerSplit]) -> NDArray[np.intp]:
    """The rows of `Fitted.held_out`."""
    return np.concatenate([held_out for _, held_out in splits])


def dense(X: Vectors, coef: Array, intercept: Array) -> Array:
    """(n, units) X @ coef + intercept in float64, of a block of rows at a time."""
    result = np.empty((len(X), coef.shape[1]))
    for rows in _batches(len(X)):
        result[rows] = X[rows] @ coef + intercept
    return result

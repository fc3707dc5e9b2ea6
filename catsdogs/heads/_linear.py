"""What the heads share: standardised columns without a second copy, convex fits, and a linear model at the end."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.blas import ssyrk
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from catsdogs.features.folds import deal

# Penalties are set for a prior on the whole weight vector, whatever its length: the variance of a coefficient is
# PRIOR_VARIANCE / width. 100 is what 1,600 photographs on 3,840 and 5,888 columns ask for, each within a factor of 2.
PRIOR_VARIANCE = 100.0
INNER_FOLDS = 5
INNER_ROWS = 4000  # held-out rows after which a handful of numbers is known well enough
_BLOCK_ROWS = 1024  # 1,024 rows of 6,144 float32 are 25 MB: what standardising holds besides the vectors
_BLOCK_COLUMNS = 512
_LARGE = 2**25  # numbers: 128 MB of float32, beyond any processor's cache
_JITTER = 1e-6  # of the mean squared length of a row
_MAX_ITERATIONS = 1000  # some dozens are enough; the limit is for columns that no standardising tames

Array = NDArray[np.float64]
Split = tuple[NDArray[np.intp], NDArray[np.intp]]  # learnt and held rows
Rows = tuple[NDArray[np.float32], NDArray[np.int64]]
Groups = NDArray[np.int64] | None  # numbers, the same for copies of a picture
Loss = Callable[[Array, NDArray[np.int64]], tuple[Array, Array]]


class Matrix(Protocol):
    """Rows to learn from, in coordinates that suit: what `minimise` multiplies with."""

    shape: tuple[int, int]

    def dot(self, coef: Array) -> Array:
        """(n, units) products of the rows with (columns, units) coefficients."""
        ...

    def transposed_dot(self, residuals: Array) -> Array:
        """(columns, units) products of the columns with (n, units) residuals."""
        ...

    def expand(self, coef: Array) -> Array:
        """(width, units) coefficients of the standardised vectors."""
        ...

    def factor(self, loss: Loss, penalty: float) -> NDArray[np.float32] | None:
        """L of a matrix L Lᵀ that is about the second derivative of the loss and its penalty; None if there is no need.

        In the coordinates Lᵀ coef the loss is nearly round, so that L-BFGS takes a dozen steps instead of hundreds.
        """
        ...


class Scaling:
    """(X - mean) / scale of columns, found from blocks of rows; a constant column has scale 1.

    Attributes:
        mean, scale: (width,) float64.
        is_constant: (width,) whether all rows say the same.
    """

    def __init__(self, blocks: Iterable[NDArray[np.float32]]) -> None:
        count, first, total, squares = 0, np.empty(0, np.float32), np.zeros(()), np.zeros(())
        for rows in blocks:
            first = first if count else rows[0].copy()
            block = rows - first  # near 0, so that squares do not cancel
            count += len(block)
            total = total + block.sum(axis=0, dtype=np.float64)
            squares = squares + np.einsum("ij,ij->j", block, block, dtype=np.float64)
        shift = total / count
        deviation = np.sqrt(np.maximum(squares / count - shift**2, 0))
        self.is_constant: NDArray[np.bool_] = squares == 0
        self.mean: Array = first + shift
        self._mean = self.mean.astype(np.float32)
        self.scale: Array = np.where(deviation > 1e-6 * (1e-30 + np.abs(self.mean)), deviation, 1)
        self._inverse = (1 / self.scale).astype(np.float32)

    def apply(self, rows: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """(n, width) rows, standardised: a copy, or in the place of `out`."""
        standardised: NDArray[np.float32] = np.subtract(rows, self._mean, out=out)
        standardised *= self._inverse
        return standardised

    def unscaled(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """(width, units) coefficients and (units,) intercepts of the vectors as they are."""
        raw = coef / self.scale[:, np.newaxis]
        return raw, intercept - self.mean @ raw


class Standardised(Scaling):
    """(n, width) vectors, read as they are standardised."""

    def __init__(self, X: NDArray[np.float32]) -> None:
        self.shape = X.shape
        self._X = X
        super().__init__(X[start : start + _BLOCK_ROWS] for start in range(0, len(X), _BLOCK_ROWS))

    def rows(self, chosen: Any = slice(None)) -> NDArray[np.float32]:
        """A standardised copy of some rows."""
        return self.apply(self._X[chosen])

    def dot(self, coef: Array) -> Array:
        scaled = coef / self.scale[:, np.newaxis]
        return (self._X @ scaled.astype(np.float32)).astype(np.float64) - self.mean @ scaled

    def transposed_dot(self, residuals: Array) -> Array:
        raw = (self._X.T @ residuals.astype(np.float32)).astype(np.float64)
        return (raw - np.outer(self.mean, residuals.sum(axis=0))) / self.scale[:, np.newaxis]

    def expand(self, coef: Array) -> Array:
        return coef

    def factor(self, loss: Loss, penalty: float) -> NDArray[np.float32] | None:
        products = np.zeros((self.shape[1], self.shape[1]), np.float32, order="F")
        for start in range(0, self.shape[0], _BLOCK_ROWS):
            block = self.rows(slice(start, start + _BLOCK_ROWS))
            products = ssyrk(_CURVATURES[loss], block.T, beta=1, c=products, lower=1, overwrite_c=1)
        products[np.diag_indices_from(products)] += penalty
        lower: NDArray[np.float32] = cholesky(products, lower=True, overwrite_a=True, check_finite=False)
        return lower


class Rotated:
    """The same rows in as many coordinates as there are rows, for fewer rows than columns.

    A penalised linear model sees only the products of rows, G = X Xᵀ = L Lᵀ, so the rows of L serve as well. L = X Q
    for the orthonormal Q = Xᵀ L⁻ᵀ, and Q brings coefficients back.
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


def compact(vectors: Standardised) -> Matrix:
    """The rows in the fewest coordinates."""
    return Rotated(vectors) if vectors.shape[0] < vectors.shape[1] else vectors


def log_loss(logits: Array, target: NDArray[np.int64]) -> tuple[Array, Array]:
    """(n,) -ln of the probability of the right class, and its (n, units) derivative by the logits."""
    if logits.shape[1] == 1:
        logit = logits[:, 0]
        return np.logaddexp(0, logit) - target * logit, (expit(logit) - target)[:, np.newaxis]
    residuals = softmax(logits, axis=1)
    rows = np.arange(len(target))
    residuals[rows, target] -= 1
    return -log_softmax(logits, axis=1)[rows, target], residuals


def squared_loss(scores: Array, target: NDArray[np.int64]) -> tuple[Array, Array]:
    """(n,) half the squared distance to 1 for the right class and -1 for the others, and its derivative."""
    wanted = np.where(target[:, np.newaxis] == np.arange(scores.shape[1]), 1.0, -1.0)
    if scores.shape[1] == 1:
        wanted = 2.0 * target[:, np.newaxis] - 1
    residuals = scores - wanted
    return (residuals**2).sum(axis=1) / 2, residuals


_CURVATURES: dict[Loss, float] = {log_loss: 0.1, squared_loss: 1.0}  # by a score; that of a log loss is from 0 to 1/4


def minimise(
    matrix: Matrix,
    target: NDArray[np.int64],
    loss: Loss,
    penalty: float,
    learnt: NDArray[np.intp] | slice = slice(None),
    start: Array | None = None,
    factor: NDArray[np.float32] | None = None,
) -> Array:
    """(columns + 1, units) coefficients, intercept last: the least loss of the rows `learnt` + ½ penalty |coef|².

    Found by L-BFGS, to a mean loss within about 1e-6 of the least; see `Matrix.factor`.
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
    """L⁻¹ theta or L⁻ᵀ theta, but for its last row, the intercept."""
    if factor is None:
        return theta
    coef = solve_triangular(factor, theta[:-1].astype(np.float32), lower=True, trans=transposed, check_finite=False)
    return np.vstack((coef.astype(np.float64), theta[-1:]))


class Fitted(NamedTuple):
    """What `minimise` found on all rows, for vectors as they are; and the scores of rows by fits that never saw them.

    Attributes:
        coef, intercept: (width, units) and (units,).
        held: (held rows, units), one split after the other.
    """

    coef: Array
    intercept: Array
    held: Array


def fit_and_hold_out(
    X: NDArray[np.float32], target: NDArray[np.int64], loss: Loss, penalty: float, splits: Sequence[Split]
) -> Fitted:
    """Standardise, fit on all rows, and score each split's held rows by a fit on its others.

    The held rows have a part in the standardising, which knows nothing of labels, so that nothing is copied for them.
    """
    vectors = Standardised(X)
    matrix = compact(vectors)
    factor = matrix.factor(loss, penalty)
    theta = minimise(matrix, target, loss, penalty, factor=factor)
    held = [
        scores(matrix, minimise(matrix, target, loss, penalty, learnt, factor=factor))[held] for learnt, held in splits
    ]
    return Fitted(*vectors.unscaled(matrix.expand(theta[:-1]), theta[-1]), np.concatenate(held))


def held_rows(splits: Sequence[Split]) -> NDArray[np.intp]:
    """The rows of `Fitted.held`."""
    return np.concatenate([held for _, held in splits])


def scores(matrix: Matrix, theta: Array) -> Array:
    """(n, units) products of all rows with what `minimise` found."""
    return matrix.dot(theta[:-1]) + theta[-1]


def dense(X: NDArray[np.float32], coef: Array, intercept: Array) -> Array:
    """(n, units) X @ coef + intercept in float64, though not of all of `X` at once."""
    result = np.empty((len(X), coef.shape[1]))
    for start in range(0, len(X), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        result[rows] = X[rows] @ coef + intercept
    return result


def units_of(target: NDArray[np.int64]) -> int:
    """One sigmoid for two classes, else a softmax over a unit for each."""
    classes = int(target.max()) + 1
    return 1 if classes == 2 else classes


def inner_splits(target: NDArray[np.int64], random_state: int, groups: NDArray[np.int64] | None = None) -> list[Split]:
    """(learnt, held) rows by which a head chooses numbers of its own; `INNER_ROWS` are held out in all, or each one.

    Rows of one of the (n,) `groups` are copies of a picture, and are not parted. A class with fewer of them is missing
    from some folds, where its unit learns that it is rare.
    """
    rows = np.arange(len(target)) if groups is None else groups
    several = np.bincount(target[np.unique(rows, return_index=True)[1]])
    folds = min(INNER_FOLDS, int(several.max()))
    if folds < 2:
        raise ValueError("every class has a single row, so none can be held out")
    seed = random_state if isinstance(random_state, Integral) else check_random_state(random_state).randint(2**31)
    fold = deal(target, rows, folds, seed)
    splits = [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in np.unique(fold)]
    enough = next((n for n in range(1, len(splits)) if sum(len(held) for _, held in splits[:n]) >= INNER_ROWS), folds)
    return splits[:enough]


def columns_of(widths: Sequence[int], width: int) -> list[slice]:
    """The columns of each network; without widths all columns are of one."""
    bounds = np.cumsum((0, *(widths or (width,)))).tolist()
    if bounds[-1] != width:
        raise ValueError(f"networks of {bounds[-1]} columns, and vectors of {width}")
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def best_scale(scores: Array, target: NDArray[np.int64]) -> float:
    """What to multiply (n, units) scores with, so that they are logits of least log loss.

    An answer counts as right with probability (m + 1) / (m + 2) only, m being the rows of its class, or rows without a
    mistake would ask for certainty: J. Platt, Probabilistic outputs for support vector machines, 1999.
    """
    rows = np.arange(len(target))
    doubt = 1 / (np.bincount(target)[target] + 2)
    logits = np.hstack((np.zeros_like(scores), scores)) if scores.shape[1] == 1 else scores

    def objective(power: float) -> float:
        logarithms = log_softmax(np.exp(power) * logits, axis=1)
        right = logarithms[rows, target]
        wrong = (logarithms.sum(axis=1) - right) / (logits.shape[1] - 1)
        return -float(((1 - doubt) * right + doubt * wrong).mean())

    return float(np.exp(minimize_scalar(objective, bounds=(-5, 10), method="bounded").x))


def joining_weights(
    logits: Array, target: NDArray[np.int64], expected: float, deviation: float, least: float | None = None
) -> tuple[Array, Array]:
    """What makes one head of several: a weight for each member, the same for all classes, and an offset for each unit.

    Least log loss of (members, n, units) logits, with normal priors: of weights around `expected`, of offsets around 0.

    Returns:
        (members,) weights, none below `least`, and (units,) offsets.
    """
    count, _, units = logits.shape
    usual = np.append(np.full(count, expected), np.zeros(units))

    def objective(theta: Array) -> tuple[float, Array]:
        losses, residuals = log_loss(np.tensordot(theta[:count], logits, axes=1) + theta[count:], target)
        away = (theta - usual) / deviation
        slopes = np.append(np.tensordot(logits, residuals, axes=2), residuals.sum(axis=0))
        return losses.sum() + (away**2).sum() / 2, slopes + away / deviation

    bounds = [(least, None)] * count + [(None, None)] * units
    found = minimize(objective, usual, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found[:count], found[count:]


class LinearHead(ClassifierMixin, BaseEstimator):
    """A scikit-learn classifier whose logits are `X @ coef_.T + intercept_`; a subclass fits them.

    For two classes there is one unit, a sigmoid for the second class; for more a softmax over one unit each.

    Attributes:
        classes_: (classes,) labels in order.
        coef_, intercept_: (units, width) and (units,) float64, of the vectors as they are: standardising is in them.
        n_features_in_: width.
    """

    def fit(self, X: Any, y: Any, *, groups: Any = None) -> Self:
        """Learn from (n, width) vectors and (n,) labels; rows of one of the (n,) `groups` are copies of a picture.

        Raises:
            ValueError: as scikit-learn's classifiers.
        """
        return self._fit(X, y, groups=groups)

    def decision_function(self, X: Any) -> Array:
        """(n,) logits of the second class for two classes, else (n, classes)."""
        logits = self._logits(X)
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def predict_proba(self, X: Any) -> Array:
        """(n, classes) probabilities."""
        logits = self._logits(X)
        if logits.shape[1] == 1:
            logits = np.concatenate((np.zeros_like(logits), logits), axis=1)  # a sigmoid is a softmax against 0
        probabilities: Array = softmax(logits, axis=1)
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """(n,) labels."""
        most_probable = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[most_probable]
        return labels

    def _fit(self, X: Any, y: Any, validation: tuple[Any, Any] | None = None, groups: Any = None) -> Self:
        X, target = self._checked(X, y)
        watched = (validation[0], np.searchsorted(self.classes_, validation[1])) if validation else None
        # Products with few rows end sooner than a second thread wakes up: twenty times sooner beside other work.
        with threadpool_limits(1 if X.size < _LARGE else None):
            self._learn(X, target, watched, None if groups is None else np.asarray(groups))
        return self

    def _learn(
        self, X: NDArray[np.float32], target: NDArray[np.int64], validation: Rows | None, groups: Groups
    ) -> None:
        """Set `coef_` and `intercept_`; labels are class indices here."""
        raise NotImplementedError

    def _keep(self, vectors: Scaling, coef: Array, intercept: Array) -> None:
        raw, raw_intercept = vectors.unscaled(coef, intercept)
        self.coef_, self.intercept_ = raw.T, raw_intercept

    def _checked(self, X: Any, y: Any) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, target = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("The number of classes has to be greater than one; got 1 class")
        return X, target

    def _logits(self, X: Any) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False, ensure_min_samples=0)
        return dense(X, self.coef_.T, self.intercept_)

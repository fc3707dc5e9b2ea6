"""What the heads share: a linear model at the end, inner validation, and weights that join several members."""

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from catsdogs.features.folds import bins_of, deal, deal_labels
from catsdogs.features.scaling import Array, Vectors
from catsdogs.heads._convex import InnerSplit, Target, dense, log_loss_of, share_loss, units_of, weighed

# Penalties are set for a prior on the whole weight vector, whatever its length: the variance of a coefficient is
# PRIOR_VARIANCE / width. 100 is what 1,600 photographs on 3,840 and 5,888 columns ask for, each within a factor of 2.
PRIOR_VARIANCE = 100.0
UNSEEN = 0.5  # rows of each side that are added to a label of one side only, as at `calibration.UNSEEN_MISTAKES`
INNER_FOLDS = 5
# Held-out rows of two classes after which a handful of numbers is known well enough. A row of K classes tells of K - 1
# scores, so fewer such rows will do.
INNER_ROWS = 3000
_BEYOND_CACHES = 2**25  # numbers, times units: 128 MB of float32, beyond any processor's cache


def inner_splits(target: Target, random_state: int, groups: NDArray[np.int64] | None = None) -> list[InnerSplit]:
    """Splits by which a head chooses numbers of its own: as many as hold out `INNER_ROWS`, or every row once.

    Rows of one of the (n,) `groups` are copies of a picture, and stay together. A class of fewer pictures than folds is
    held out from some of them only; the one picture of a class from none, for what is chosen without it would have to
    answer for a class that it does not know.

    Raises:
        ValueError: every class has a single picture, or there is one picture alone.
    """
    rows = np.arange(len(target)) if groups is None else groups
    if target.ndim == 2:
        return _until_enough(_splits_of_shares(target, rows, _seed_of(random_state)), 1)
    several = np.bincount(target[np.unique(rows, return_index=True)[1]], minlength=int(target.max()) + 1)
    alone = several[target] < 2
    folds = min(INNER_FOLDS, int(several.max()))
    if folds < 2:
        raise ValueError("every class has a single row, so none can be held out")
    fold = deal(target, rows, folds, _seed_of(random_state))
    numbers = np.unique(fold[~alone])
    splits = [(np.flatnonzero((fold != n) | alone), np.flatnonzero((fold == n) & ~alone)) for n in numbers]
    return _until_enough(splits, len(several) - 1)


def _seed_of(random_state: Any) -> int:
    seed: Any = random_state if isinstance(random_state, Integral) else check_random_state(random_state).randint(2**31)
    return int(seed)


def _splits_of_shares(target: Array, rows: NDArray[np.int64], seed: int) -> list[InnerSplit]:
    folds = min(INNER_FOLDS, len(np.unique(rows)))
    if folds < 2:
        raise ValueError("there is a single row, so none can be held out")
    are_labels = bool(((target == 0) | (target == 1)).all())
    fold = deal_labels(target, rows, folds, seed) if are_labels else deal(bins_of(target, folds), rows, folds, seed)
    return [(np.flatnonzero(fold != n), np.flatnonzero(fold == n)) for n in np.unique(fold)]


def _until_enough(splits: list[InnerSplit], scores: int) -> list[InnerSplit]:
    """The first splits, if they hold out enough rows that each tell of so many scores."""
    held_out = scores * np.cumsum([len(rows) for _, rows in splits])
    enough = next((n for n in range(1, len(splits)) if held_out[n - 1] >= INNER_ROWS), len(splits))
    return splits[:enough]


def held_out_rows(splits: Sequence[InnerSplit]) -> NDArray[np.intp]:
    """The held-out rows of splits, one split after the other."""
    return np.concatenate([held_out for _, held_out in splits])


def columns_of(widths: Sequence[int], width: int) -> list[slice]:
    """The columns of each network; without widths all columns are of one network."""
    bounds = np.cumsum((0, *(widths or (width,)))).tolist()
    if bounds[-1] != width:
        raise ValueError(f"networks of {bounds[-1]} columns, and vectors of {width}")
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def best_scale(scores: Array, target: Target, weights: Array | None = None) -> float:
    """The factor that makes (n, units) scores logits of least log loss; see `platt` for shares.

    A label counts as right with probability (m + 1) / (m + 2) only, where its class has m rows; else rows without a
    mistake would ask for certainty. J. Platt, Probabilistic outputs for support vector machines, 1999.
    """
    rows = np.arange(len(target))
    doubt = 1 / (np.bincount(target)[target] + 2)
    logits = np.hstack((np.zeros_like(scores), scores)) if scores.shape[1] == 1 else scores

    def objective(power: float) -> float:
        logarithms = log_softmax(np.exp(power) * logits, axis=1)
        right = logarithms[rows, target]
        wrong = (logarithms.sum(axis=1) - right) / (logits.shape[1] - 1)
        losses = (1 - doubt) * right + doubt * wrong
        return -float((losses if weights is None else weighed(losses, weights)).mean())

    return float(np.exp(minimize_scalar(objective, bounds=(-5, 10), method="bounded").x))


def platt(scores: Array, target: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """(k,) factors and (k,) offsets that make (n, k) scores logits of least log loss, softened as in `best_scale`.

    Scores of rare labels need the offset: least squares draws them all towards the mean.
    """
    right = target.sum(axis=0)
    least, most = 1 / (len(target) - right + 2), (right + 1) / (right + 2)
    softened, columns = least + (most - least) * target, target.shape[1]

    def objective(theta: Array) -> tuple[float, Array]:
        losses, slopes = share_loss(theta[:columns] * scores + theta[columns:], softened)
        if weights is not None:
            losses, slopes = weighed(losses, weights), weighed(slopes, weights)
        return losses.sum(), np.append((slopes * scores).sum(axis=0), slopes.sum(axis=0))

    start = np.append(np.ones(columns), np.zeros(columns))
    bounds = [(0, None)] * columns + [(None, None)] * columns
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found[:columns], found[columns:]


def joining_weights(
    logits: Array,
    target: Target,
    expected: float,
    deviation: float,
    least: float | None = None,
    weights: Array | None = None,
) -> tuple[Array, Array]:
    """A weight for each member, the same for all classes, and an offset for each unit, that make one head of several.

    They give the least log loss of (members, n, units) logits, under normal priors around `expected` and around 0.

    Returns:
        (members,) weights, none below `least`, and (units,) offsets.
    """
    (count, _, units), loss = logits.shape, log_loss_of(target)
    usual = np.append(np.full(count, expected), np.zeros(units))

    def objective(theta: Array) -> tuple[float, Array]:
        losses, residuals = loss(np.tensordot(theta[:count], logits, axes=1) + theta[count:], target)
        if weights is not None:
            losses, residuals = weighed(losses, weights), weighed(residuals, weights)
        away = (theta - usual) / deviation
        slopes = np.append(np.tensordot(logits, residuals, axes=2), residuals.sum(axis=0))
        return losses.sum() + (away**2).sum() / 2, slopes + away / deviation

    bounds = [(least, None)] * count + [(None, None)] * units
    found = minimize(objective, usual, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found[:count], found[count:]


class Lesson(NamedTuple):
    """What a head learns from besides vectors.

    Attributes:
        target: (n,) class indices, or (n, k) shares, see `_convex.Target`.
        is_number: whether shares are numbers, not labels; their noise is not that of a coin.
        groups: (n,) numbers, the same for rows that hang together; None if each is alone.
        weights: (n,), or (n, k) of shares: how much a row or cell counts; None if all count alike.
        validation: vectors and target to watch and never to learn from.
    """

    target: Target
    is_number: bool = False
    groups: NDArray[np.int64] | None = None
    weights: Array | None = None
    validation: tuple[Vectors, Target] | None = None

    def only(self, shares: NDArray[np.intp]) -> "Lesson":
        """The lesson of some of the shares; that of classes as it is."""
        if self.target.ndim == 1:
            return self
        weights = self.weights[:, shares] if self.weights is not None and self.weights.ndim == 2 else self.weights
        return self._replace(target=self.target[:, shares], weights=weights)

    def held_out(self, splits: Sequence[InnerSplit]) -> tuple[Target, Array | None]:
        """The target and weights of the held-out rows of splits, one after the other."""
        rows = held_out_rows(splits)
        return self.target[rows], None if self.weights is None else self.weights[rows]

    def splits(self, random_state: int) -> list[InnerSplit]:
        """See `inner_splits`."""
        return inner_splits(self.target, random_state, self.groups)

    def logits_of(self, held_out: Array, splits: Sequence[InnerSplit]) -> tuple[Any, Any]:
        """The factor that makes scores logits, and the offset; of shares (k,) each, see `platt`."""
        target, weights = self.held_out(splits)
        if target.ndim == 2:
            return platt(held_out, target, weights)
        return best_scale(held_out, target, weights), 0.0


class LinearHead(ClassifierMixin, BaseEstimator):
    """A scikit-learn classifier whose logits are `X @ coef_.T + intercept_`; a subclass fits them in `_learn`.

    For two classes there is one unit, a sigmoid for the second class; for more a softmax over a unit for each class.

    Attributes:
        classes_: (classes,) labels in order.
        coef_, intercept_: (units, width) and (units,) float64, of the vectors as they are, not standardised.
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

    def _fit(
        self, X: Any, y: Any, validation: tuple[Any, Any] | None = None, groups: Any = None, weights: Any = None
    ) -> Self:
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, target = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("The number of classes has to be greater than one; got 1 class")
        if weights is not None:
            weights = _check_sample_weight(weights, X, dtype=np.float64)
        watched = (validation[0], np.searchsorted(self.classes_, validation[1])) if validation else None
        self._learn_all(X, Lesson(target, groups=_optional(groups), weights=weights, validation=watched))
        return self

    def _learn_all(self, X: Vectors, lesson: Lesson) -> None:
        # Products with few rows end sooner than a second thread wakes up: twenty times sooner beside other work.
        with threadpool_limits(1 if X.size * units_of(lesson.target) < _BEYOND_CACHES else None):
            self._learn(X, lesson)

    def _learn(self, X: Vectors, lesson: Lesson) -> None:
        """Set `coef_` and `intercept_`."""
        raise NotImplementedError

    def _logits(self, X: Any) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False, ensure_min_samples=0)
        return dense(X, self.coef_.T, self.intercept_)


class SharesHead(LinearHead):
    """A linear head that can count rows by weights, and learn several labels or numbers of a row at once.

    Then there is a sigmoid for each of them.
    """

    def fit(self, X: Any, y: Any, *, groups: Any = None, sample_weight: Any = None) -> Self:
        """See `LinearHead.fit`; `sample_weight`, (n,), is how much rows count."""
        return self._fit(X, y, groups=groups, weights=sample_weight)

    def fit_shares(
        self,
        X: Any,
        target: Array,
        is_number: bool = False,
        validation: tuple[Any, Array] | None = None,
        groups: Any = None,
        weights: Any = None,
    ) -> Self:
        """Learn (n, k) shares from 0 to 1, each column for itself, from (n, width) vectors; see `Lesson`."""
        X = validate_data(self, X, dtype=np.float32)
        self._learn_all(X, Lesson(target, is_number, _optional(groups), _optional(weights), validation))
        if not is_number:
            self._doubt_constant(target)
        return self

    def _doubt_constant(self, target: Array) -> None:
        """A label that all rows have, or none, is not answered with certainty: it may have come by chance."""
        is_constant = target.min(axis=0) == target.max(axis=0)
        self.coef_[is_constant] = 0
        self.intercept_[is_constant] = logit(smoothed_share(target))[is_constant]

    def predict_shares(self, X: Any) -> Array:
        """(n, k) shares from 0 to 1."""
        shares: Array = expit(self._logits(X))
        return shares


def smoothed_share(target: Array) -> Array:
    """(k,) share of 1 in (n, k) labels, after `UNSEEN` rows of each side were added."""
    share: Array = (target.sum(axis=0) + UNSEEN) / (len(target) + 2 * UNSEEN)
    return share


def _optional(values: Any) -> NDArray[Any] | None:
    return None if values is None else np.asarray(values)

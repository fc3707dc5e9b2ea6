"""Heads for several labels, grades and numbers, made of the heads and scikit-learn estimators that there are.

Linear heads learn all labels or numbers of a row at once; of any other estimator there is one for each column.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone, is_regressor

from catsdogs.features.scaling import Array, Scaling, Vectors
from catsdogs.heads._linear import smoothed_share
from catsdogs.photographs.task import LABELS, NUMBER, ORDINAL


def learns_shares(estimator: Any) -> bool:
    """Whether a head, or its class, learns all labels or numbers of a row at once."""
    return hasattr(estimator, "fit_shares")


@dataclass(eq=False, repr=False)
class _OfKind(BaseEstimator, ABC):
    """A head around another one, the `estimator`, whose settings are its own.

    Attributes:
        parts_: the fitted estimators, one for each column, or one for all; for a column that is the same in all rows,
            the number that is answered.
    """

    estimator: Any = None

    @property
    def history_(self) -> dict[str, list[float]]:
        """Of heads that learn in epochs, see `Head`."""
        history: dict[str, list[float]] = getattr(self.parts_[0], "history_", {})
        return history

    @property
    def streamed(self) -> Any:
        """How such heads learn together from blocks of rows, see `streaming.Learner`; absent where they cannot."""
        if not hasattr(self.estimator, "streamed_shares"):
            raise AttributeError("streamed")
        return _Streamed

    @abstractmethod
    def shares(self, target: NDArray[Any]) -> Array:
        """(n, k) shares from 0 to 1 that a linear head learns, of a target as `fit` takes it."""

    def _fit_shares(self, X: Vectors, target: Array, is_number: bool = False, **more: Any) -> None:
        whole = clone(self.estimator)
        weights = more.pop("sample_weight", None)
        self.parts_ = [whole.fit_shares(X, target, is_number, weights=weights, **more)]

    @property
    def _is_linear(self) -> bool:
        return learns_shares(self.estimator)


@dataclass(eq=False, repr=False)
class OfLabels(_OfKind):
    """Probabilities of several labels, each for itself."""

    def fit(
        self,
        X: Vectors,
        y: NDArray[Any],
        validation: tuple[Vectors, Array] | None = None,
        groups: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Learn from (n, width) vectors and (n, k) labels of 0 and 1; `sample_weight`, (n, k), is of each of them."""
        if self._is_linear:
            more = {"validation": validation, "groups": groups, "sample_weight": sample_weight}
            self._fit_shares(X, self.shares(y), **more)
            return self
        self.parts_ = []
        for column, labels in enumerate(np.asarray(y, np.int64).T):
            if labels.min() == labels.max():
                self.parts_.append(float(smoothed_share(labels)))
                continue
            more = {} if sample_weight is None else {"sample_weight": sample_weight[:, column]}
            self.parts_.append(clone(self.estimator).fit(X, labels, **more))
        return self

    def shares(self, target: NDArray[Any]) -> Array:
        """(n, k) labels, as they are."""
        return np.asarray(target, np.float64)

    def predict_proba(self, X: Vectors) -> Array:
        """(n, k) probabilities."""
        if self._is_linear:
            shares: Array = self.parts_[0].predict_shares(X)
            return shares
        return np.stack(
            [
                part.predict_proba(X)[:, 1] if isinstance(part, BaseEstimator) else np.full(len(X), part)
                for part in self.parts_
            ],
            axis=1,
        )


@dataclass(eq=False, repr=False)
class OfNumbers(_OfKind):
    """Numbers, kept within the range of those that were learnt.

    A linear head learns them as shares of that range; see `_convex.share_loss`.

    Attributes:
        least_, most_: (k,) the range.
    """

    def fit(self, X: Vectors, y: Array, validation: tuple[Vectors, Array] | None = None, groups: Any = None) -> Self:
        """Learn from (n, width) vectors and (n, k) numbers."""
        y = np.asarray(y, np.float64)
        self.see_range(y)
        if self._is_linear:
            watched = (validation[0], self.shares(validation[1])) if validation else None
            self._fit_shares(X, self.shares(y), is_number=True, validation=watched, groups=groups)
        else:
            self.parts_ = [clone(self.estimator).fit(X, column) for column in y.T]
        return self

    def predict(self, X: Vectors) -> Array:
        """(n, k) numbers."""
        if self._is_linear:
            numbers: Array = self.least_ + (self.most_ - self.least_) * self.parts_[0].predict_shares(X)
        else:
            numbers = np.stack([part.predict(X) for part in self.parts_], axis=1).astype(np.float64)
        return np.clip(numbers, self.least_, self.most_)

    def see_range(self, numbers: Array) -> None:
        """Take up the range of (n, k) numbers; whoever gives them block by block has them seen first."""
        self.least_, self.most_ = numbers.min(axis=0), numbers.max(axis=0)

    def shares(self, target: Array) -> Array:
        """(n, k) numbers as shares of the range of each."""
        width = np.where(self.most_ > self.least_, self.most_ - self.least_, 1)
        shares: Array = np.clip((target - self.least_) / width, 0, 1)
        return shares


@dataclass(eq=False, repr=False)
class OfGrades(_OfKind):
    """Probabilities of grades, from 0.

    Linear heads answer for each grade but the lowest whether a photograph has it or a higher one: E. Frank and M. Hall,
    A simple approach to ordinal classification, ECML 2001. The probabilities are brought into order before they are
    subtracted. Classifiers answer for each grade as for a class. A regressor's number lies between two grades, which
    share the probability so that it is their mean.

    Attributes:
        classes_: (K,) the grades.
    """

    def fit(
        self,
        X: Vectors,
        y: NDArray[np.int64],
        validation: tuple[Vectors, NDArray[np.int64]] | None = None,
        groups: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Learn from (n, width) vectors and (n,) grades."""
        self.classes_ = np.arange(int(y.max()) + 1)
        if self._is_linear:
            watched = (validation[0], self.shares(validation[1])) if validation else None
            more = {"validation": watched, "groups": groups, "sample_weight": sample_weight}
            self._fit_shares(X, self.shares(y), **more)
            return self
        more = {} if sample_weight is None else {"sample_weight": sample_weight}
        self.parts_ = [clone(self.estimator).fit(X, y, **more)]
        return self

    def predict_proba(self, X: Vectors) -> Array:
        """(n, K) probabilities."""
        (part,) = self.parts_
        if self._is_linear:
            reached = np.minimum.accumulate(part.predict_shares(X), axis=1)
            ends = np.hstack((np.ones((len(X), 1)), reached, np.zeros((len(X), 1))))
            return -np.diff(ends, axis=1)
        if is_regressor(self.estimator):
            numbers = np.clip(part.predict(X), 0, self.classes_[-1])
            return np.clip(1 - abs(numbers[:, np.newaxis] - self.classes_), 0, 1)
        probabilities = np.zeros((len(X), len(self.classes_)))
        probabilities[:, part.classes_] = part.predict_proba(X)
        return probabilities

    def shares(self, target: NDArray[np.int64]) -> Array:
        """(n, K - 1) whether each grade but the last was passed."""
        return (np.asarray(target)[:, np.newaxis] > self.classes_[:-1]).astype(np.float64)


class _Streamed:
    """A `streaming.Learner` of heads around linear ones."""

    def __init__(
        self, heads: Sequence[_OfKind], scaling: Scaling, classes: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> None:
        """`classes`: (columns,) numbers of what predictions have columns for."""
        for head in heads:
            head.parts_ = [clone(head.estimator)]
            if isinstance(head, OfGrades):
                head.classes_ = classes
        first, parts = heads[0], [head.parts_[0] for head in heads]
        columns = len(classes) - isinstance(first, OfGrades)
        self._first = first
        self._learner = parts[0].streamed_shares(parts, scaling, columns, rows, isinstance(first, OfNumbers))
        self.epochs: int = self._learner.epochs

    def learn(self, X: Vectors, target: NDArray[Any], allowed: NDArray[np.bool_], share: float) -> None:
        self._learner.learn(X, self._first.shares(target), allowed, share)

    def end_epoch(self) -> None:
        self._learner.end_epoch()


OF_KIND = {LABELS: OfLabels, NUMBER: OfNumbers, ORDINAL: OfGrades}

"""Nearest neighbours: the classes, labels or numbers of the learnt rows that are most like a row, by cosine.

Rows are compared by the principal components of standardised columns: a twentieth of the memory, and no worse
(docs/heads.md). Above `neighbours.INDEX_ROWS` rows they are looked up in an index.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from catsdogs.features.neighbours import Neighbours
from catsdogs.features.scaling import Array, Vectors
from catsdogs.heads import _linear
from catsdogs.heads._components import Components
from catsdogs.heads._convex import InnerSplit

COUNTS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89)  # of neighbours, to choose from
DOUBTS = (0.01, 0.03, 0.1, 0.3, 1.0)  # how many neighbours the shares among all rows count for, to choose from
_ROWS_AT_ONCE = 1024
_LEAST_LENGTH = 1e-12


@dataclass(eq=False, repr=False)
class Knn(ClassifierMixin, BaseEstimator):
    """The mean of the nearest rows' targets, each by how near it is, and of some rows' worth of the mean of all.

    A neighbour counts as exp(cosine / temperature): Z. Wu et al., Unsupervised feature learning via non-parametric
    instance discrimination, 2018. Their 0.07 is of features learnt for it; of few columns it asks too few neighbours.
    The mean of all smooths it, so that no probability is 0.

    Attributes:
        k: of neighbours; None chooses it, and how much the mean of all counts, on held-out rows.
        components: that rows are compared by, or as many as there are.
        temperature: of cosines.
        k_, doubt_: what was taken.
        axes_, offset_: see `Components`.
        classes_: (classes,) labels in order, of classes.
        rows_: (n, components) of length 1.
        targets_: (n,) numbers of classes, or (n, columns) shares.
        weights_: (n,) or (n, columns), how much rows or their cells count; None if all count alike.
        mean_: (columns,) of the targets.
    """

    k: int | None = None
    components: int = 256
    temperature: float = 0.2
    random_state: int = 0

    def fit(self, X: Any, y: Any, *, groups: Any = None, sample_weight: Any = None) -> Self:
        """Learn from (n, width) vectors and (n,) labels; rows of one of the (n,) `groups` are copies of a picture."""
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self.targets_: NDArray[Any] = labels
        if len(self.classes_) < 2:
            raise ValueError("The number of classes has to be greater than one; got 1 class")
        self.weights_ = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=np.float64)
        counts = np.bincount(self.targets_, self.weights_, len(self.classes_))
        self.mean_ = counts / counts.sum()
        return self._learn(X, groups)

    def fit_shares(
        self,
        X: Any,
        target: Array,
        is_number: bool = False,
        validation: Any = None,
        groups: Any = None,
        weights: Any = None,
    ) -> Self:
        """Learn (n, k) shares from 0 to 1, see `SharesHead.fit_shares`; nothing is watched."""
        X = validate_data(self, X, dtype=np.float32)
        self.targets_, self.is_number_ = np.asarray(target, np.float64), is_number
        self.weights_ = None
        if weights is not None:  # of rows, or of each of their cells
            self.weights_ = np.broadcast_to(np.transpose(weights), target.T.shape).T.astype(np.float64)
        self.mean_ = target.mean(axis=0) if is_number else _linear.smoothed_share(self.targets_)
        return self._learn(X, groups)

    def predict_proba(self, X: Any) -> Array:
        """(n, classes) probabilities."""
        return self._means_near(X)

    def predict(self, X: Any) -> NDArray[Any]:
        """(n,) labels."""
        most_probable = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[most_probable]
        return labels

    def predict_shares(self, X: Any) -> Array:
        """(n, k) shares from 0 to 1."""
        return self._means_near(X)

    def _learn(self, X: Vectors, groups: Any) -> Self:
        self.axes_, self.offset_ = Components.of(X, self.components, self.random_state)
        near = self._directions(X)
        self.rows_ = near.astype(np.float32)
        self._search = Neighbours(self.rows_)
        groups = None if groups is None else np.asarray(groups)
        self._choose(near, _linear.inner_splits(self.targets_, self.random_state, groups))
        return self

    def _choose(self, near: Array, splits: list[InnerSplit]) -> None:
        """Set `k_` and `doubt_`, by the loss of rows that are held out; `near` are the directions of all rows."""
        fewest = min(len(learnt) for learnt, _ in splits)
        counts = [self.k] if self.k else [count for count in COUNTS if count <= fewest]
        losses = np.zeros((len(counts), len(DOUBTS)))
        for learnt, held_out in splits:
            rows, cosines = Neighbours(self.rows_[learnt]).nearest(near[held_out], counts[-1])
            for start in range(0, len(held_out), _ROWS_AT_ONCE):
                part = slice(start, start + _ROWS_AT_ONCE)
                losses += self._losses(held_out[part], learnt[rows[part]], cosines[part], counts)
        best = np.unravel_index(losses.argmin(), losses.shape)
        self.k_, self.doubt_ = int(counts[best[0]]), float(DOUBTS[best[1]])

    def _losses(self, held_out: NDArray[np.intp], rows: NDArray[np.intp], cosines: Array, counts: list[int]) -> Array:
        """(counts, doubts) sums of the losses of held-out rows, whose neighbours are given."""
        right = self.targets_[held_out]
        if right.ndim == 1:  # whether a neighbour is of the right class is all that counts
            found = (self.targets_[rows] == right[:, np.newaxis])[..., np.newaxis]
            mean = self.mean_[right][:, np.newaxis]
            right = np.ones((len(right), 1))
        else:
            found, mean = self.targets_[rows], self.mean_
        weights = self._weights(rows, cosines)
        votes, all_votes, own = np.cumsum(weights * found, 1), np.cumsum(weights, 1), self._own_weights(held_out)
        losses = np.empty((len(counts), len(DOUBTS)))
        for row, count in enumerate(counts):
            last = min(count, rows.shape[1]) - 1
            for column, doubt in enumerate(DOUBTS):
                share = (votes[:, last] + doubt * mean) / (all_votes[:, last] + doubt)
                losses[row, column] = (own * self._loss(share, right)).sum()
        return losses

    def _loss(self, share: Array, right: Array) -> Array:
        if self.targets_.ndim == 2 and self.is_number_:
            squares: Array = (share - right) ** 2
            return squares
        logarithms: Array = -np.log(np.where(right > 0, share, 1 - share))
        return logarithms

    def _means_near(self, X: Any) -> Array:
        """(n, columns) smoothed means of the targets of near rows."""
        check_is_fitted(self)
        near = self._directions(validate_data(self, X, dtype=np.float32, reset=False, ensure_min_samples=0))
        rows, cosines = self._search.nearest(near, self.k_)
        means = np.empty((len(near), len(self.mean_)))
        for start in range(0, len(near), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            weights, found = self._weights(rows[part], cosines[part]), self.targets_[rows[part]]
            if found.ndim == 3:
                votes = (weights * found).sum(axis=1)
            else:
                votes = np.zeros((len(found), len(self.mean_)))
                np.add.at(votes, (np.arange(len(found))[:, np.newaxis], found), weights[..., 0])
            means[part] = (votes + self.doubt_ * self.mean_) / (weights.sum(axis=1) + self.doubt_)
        return means

    def _weights(self, rows: NDArray[np.intp], cosines: Array) -> Array:
        """(n, neighbours, columns or 1) how much neighbours count; the nearest 1, but for the weights of rows."""
        weights: Array = np.exp((cosines - cosines[:, :1]) / self.temperature)[..., np.newaxis]
        return weights * self._own_weights(rows)

    def _own_weights(self, rows: NDArray[np.intp]) -> Array:
        """(…, columns or 1) how much rows count."""
        if self.weights_ is None:
            return np.ones((*rows.shape, 1))
        weights: Array = self.weights_[rows]
        return weights[..., np.newaxis] if self.weights_.ndim == 1 else weights

    def _directions(self, X: Vectors) -> Array:
        """(n, components) of length 1."""
        found = Components(self.axes_, self.offset_).apply(X)
        directions: Array = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), _LEAST_LENGTH)
        return directions

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_search"}  # which is made of `rows_`

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if hasattr(self, "rows_"):
            self._search = Neighbours(self.rows_)

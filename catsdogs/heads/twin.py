"""Twin networks on cached vectors: one path for two rows, and a bilinear layer that says whether they show the same."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.utils.validation import check_is_fitted, validate_data

from catsdogs.features.scaling import Array, Labels, Scaling, Vectors
from catsdogs.heads import _convex, _linear
from catsdogs.heads._adam import Adam, epochs_and_batches
from catsdogs.heads._linear import Lesson, LinearHead

EMBEDDING = 32
GAIN = 8.0  # the logit of a pair of equal embeddings before anything is learnt: of unlike ones it is around 0
_JOIN_RATE = 10.0  # times that of the path, whose many weights add up
_INNER_FITS = 3  # their held-out rows, three fifths of all, give the scales of logits
_LEAST_LENGTH = 1e-12

Matrix = NDArray[np.floating]  # float32 while it learns, float64 once it answers


class Weights(NamedTuple):
    """The weights that pairs teach.

    Attributes:
        path: (width + 1, 32), the dense layer that both twins share, its bias last.
        join: (32, 32), symmetric.
        bias: (1,).
    """

    path: Matrix
    join: Matrix
    bias: Matrix


@dataclass(eq=False, repr=False)
class Twin(LinearHead):
    """Whether two rows show the same: each standardised -> dropout -> 32 units -> length 1; joined as a'Wb + bias.

    The idea is that of J. Bromley et al., Signature verification using a "Siamese" time delay neural network, 1993. It
    learns by Adam from pairs of the training rows, drawn anew for each epoch; see `balanced_pairs`. A pair counts in
    both orders, so that W, which starts as a multiple of the unit matrix, remains symmetric.

    The mean of a class's embedded examples is its prototype, and a row is likened to prototypes as to any other
    embedding. That makes it a classifier, also of classes it never learnt from: see `embed` and `likeness`. Rows held
    out of a few first fits give the scales of the logits.

    Attributes:
        dropout: the share of columns that is left out of each update, for both of all its pairs.
        learning_rate: of Adam.
        batch_size: pairs to an update, at most a sixteenth of all rows.
        min_epochs, min_updates: as many epochs as give both; an epoch has a pair for each row.
        path_, join_, bias_: as `Weights`, but the path is of the vectors as they are, not standardised.
        prototypes_: (classes, 32).
        pair_scale_, class_scale_: what logits of pairs, and of rows with prototypes, are multiplied with.
    """

    dropout: float = 0.5
    learning_rate: float = 0.001
    batch_size: int = 128
    min_epochs: int = 5
    min_updates: int = 200
    random_state: int = 0

    def embed(self, X: Any) -> Matrix:
        """(n, 32) float64 embeddings of (n, width) vectors, each of length 1."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False, ensure_min_samples=0)
        return self._embedded(X)

    def likeness(self, left: Matrix, right: Matrix) -> Array:
        """(n, m) logits that embeddings or prototypes, (n, 32) and (m, 32), are of one class, if half of pairs are."""
        return (left @ self.join_ @ right.T + self.bias_).astype(np.float64)

    def same(self, A: Any, B: Any) -> Array:
        """(n,) probability that rows i of two (n, width) arrays show the same class, if half of all pairs do."""
        logits = paired_logits(self.embed(A), self.embed(B), self.join_, self.bias_)
        probabilities: Array = expit(self.pair_scale_ * logits)
        return probabilities

    def _learn(self, X: Vectors, lesson: Lesson) -> None:
        target = lesson.target
        random = np.random.default_rng(self.random_state)
        scaling = _convex.scaling_of(X)  # over all rows, held out or not: that uses no labels
        splits = lesson.splits(self.random_state)[:_INNER_FITS]
        class_logits, pair_logits, same = [], [], []
        for learnt, held_out in splits:
            embedded, labels = self._train(scaling, X, target, learnt, random)[held_out], target[held_out]
            class_logits.append(self._units(embedded))
            left, right = balanced_pairs(labels, random)
            pair_logits.append(paired_logits(embedded[left], embedded[right], self.join_, self.bias_))
            same.append(labels[left] == labels[right])
        self.class_scale_ = _linear.best_scale(np.concatenate(class_logits), target[_linear.held_out_rows(splits)])
        self.pair_scale_ = _linear.best_scale(
            np.concatenate(pair_logits)[:, np.newaxis], np.concatenate(same).astype(np.int64)
        )
        self._train(scaling, X, target, np.arange(len(X)), random)

    def _train(
        self,
        scaling: Scaling,
        X: Vectors,
        target: Labels,
        learnt: NDArray[np.intp],
        random: np.random.Generator,
    ) -> Matrix:
        """Learn from pairs of some rows, and embed all."""
        epochs, batches = epochs_and_batches(len(learnt), self.batch_size, self.min_epochs, self.min_updates)
        weights = started(X.shape[1], random)
        rates = (self.learning_rate, *[_JOIN_RATE * self.learning_rate] * 2)
        adams = [Adam(array, rate, epochs * batches) for array, rate in zip(weights, rates, strict=True)]
        for _ in range(epochs):
            left, right = (learnt[side] for side in balanced_pairs(target[learnt], random))
            for pairs in np.array_split(np.arange(len(learnt)), batches):
                # Both of a pair lose the same columns: they are to be compared by what both still show.
                kept = (random.random(X.shape[1]) >= self.dropout) / np.float32(1 - self.dropout)
                rows = scaling.apply(X[np.concatenate((left[pairs], right[pairs]))]) * kept
                same = target[left[pairs]] == target[right[pairs]]
                for adam, slopes in zip(adams, pair_loss(weights, rows, same)[1], strict=True):
                    adam.update(slopes)
        path, offset = scaling.unscaled(weights.path[:-1].astype(np.float64), weights.path[-1].astype(np.float64))
        self.path_ = np.vstack((path, offset))
        self.join_, self.bias_ = weights.join, weights.bias
        embedded = self._embedded(X)
        self.prototypes_ = prototypes(embedded[learnt], target[learnt], len(self.classes_))
        return embedded

    def _embedded(self, X: Vectors) -> Matrix:
        # In float64: a product of few rows is rounded otherwise than one of many, and scales enlarge what differs.
        path = np.asarray(self.path_, np.float64)
        return unit(_convex.dense(X, path[:-1], path[-1]))

    def _units(self, embedded: Matrix) -> Array:
        """Logits of classes as a linear head has them: for two classes one, of the second against the first."""
        logits = self.likeness(embedded, self.prototypes_)
        return logits[:, 1:] - logits[:, :1] if logits.shape[1] == 2 else logits

    def _logits(self, X: Any) -> Array:
        return self._units(self.embed(X)) * self.class_scale_


def balanced_pairs(labels: Labels, random: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Left and right rows of n pairs, (n,) each, in random order: every row is the left one of one pair.

    In every other pair the right row is another row of the same class, else any row of another class. Where a class has
    no other row, or there is no other class, it is not so: only `labels` tell whether a pair is of one class.
    """
    by_class = np.argsort(labels, kind="stable")
    place = np.argsort(by_class)
    sizes = np.bincount(labels)
    left = random.permutation(len(labels))
    size, first = sizes[labels[left]], (np.cumsum(sizes) - sizes)[labels[left]]
    same = first + (place[left] - first + random.integers(1, np.maximum(size, 2))) % size
    other = first + size + random.integers(0, np.maximum(len(labels) - size, 1))
    right = np.where(np.arange(len(labels)) % 2 == 0, same, other % len(labels))
    return left, by_class[right]


def unit(vectors: Matrix) -> Matrix:
    """Rows divided by their length."""
    return vectors / _lengths(vectors)


def prototypes(embedded: Matrix, labels: Labels, classes: int) -> Matrix:
    """(classes, 32) directions in which the examples of each class lie in the mean; 0 for a class without examples."""
    member = (labels == np.arange(classes)[:, np.newaxis]).astype(np.float32)
    return unit(member @ embedded)


def started(width: int, random: np.random.Generator) -> Weights:
    """Weights before the first pair: the path's are Glorot's, and two embeddings are as alike as their cosine."""
    limit = math.sqrt(6 / (width + EMBEDDING))
    path = random.uniform(-limit, limit, (width + 1, EMBEDDING)).astype(np.float32)
    path[-1] = 0
    return Weights(path, GAIN * np.eye(EMBEDDING, dtype=np.float32), np.zeros(1, np.float32))


def paired_logits(left: Matrix, right: Matrix, join: Matrix, bias: Matrix) -> NDArray[Any]:
    """(n,) a'Wb + bias for rows a and b of two (n, 32) arrays."""
    logits: NDArray[Any] = np.einsum("ij,ij->i", left @ join, right) + bias
    return logits


def pair_loss(weights: Weights, rows: Matrix, same: NDArray[np.bool_]) -> tuple[float, Weights]:
    """The mean log loss of n pairs, and its derivative.

    Args:
        rows: (2n, width), the left rows and then the right ones.
        same: (n,) whether a pair is of one class.
    """
    n = len(same)
    dense = rows @ weights.path[:-1] + weights.path[-1]
    embedded = unit(dense)
    left, right = embedded[:n], embedded[n:]
    logits = paired_logits(left, right, weights.join, weights.bias)
    losses = np.logaddexp(0, logits) - same * logits
    slopes = ((expit(logits) - same) / n)[:, np.newaxis]
    join = (left * slopes).T @ right
    outer = np.concatenate((slopes * (right @ weights.join.T), slopes * (left @ weights.join)))
    along = np.einsum("ij,ij->i", outer, embedded)[:, np.newaxis]  # a change of length changes no embedding
    inner = (outer - along * embedded) / _lengths(dense)
    path = np.vstack((rows.T @ inner, inner.sum(axis=0)))
    return float(losses.mean()), Weights(path, (join + join.T) / 2, slopes.sum(axis=0))


def _lengths(vectors: Matrix) -> Matrix:
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, np.newaxis]
    return np.maximum(lengths, np.float32(_LEAST_LENGTH))

"""The figures behind the diagrams: how far probabilities hold, who is taken for whom, where vectors lie on a map."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.features import joining
from catsdogs.features.feature_file import Features

BINS = 10
_Z = 1.959964  # of a normal distribution, 95 % lie within as many standard deviations
_SEED = 0


class Bin(NamedTuple):
    """Answers of nearly the same probability.

    Attributes:
        low, high: the probabilities that fall into it, `high` only into the last one.
        rows: how many answers they are.
        said: the mean of the probabilities given.
        happened: the share of them that came true, and `least` and `most` it may be in the long run, 95 times of 100.
    """

    low: float
    high: float
    rows: int
    said: float
    happened: float
    least: float
    most: float


class Confusion(NamedTuple):
    """So many rows labelled `label` are called `answer`; both are indices of classes."""

    label: int
    answer: int
    rows: int


def reliability(said: NDArray[np.float64], came_true: NDArray[np.bool_], bins: int = BINS) -> list[Bin]:
    """The bins, of equal width, that hold any of the (n,) answers, from 0 to 1."""
    number = np.minimum((said * bins).astype(np.int64), bins - 1)
    found = []
    for place in range(bins):
        inside = number == place
        count = int(inside.sum())
        if count:
            happened = float(came_true[inside].mean())
            interval = wilson(happened, count)
            found.append(Bin(place / bins, (place + 1) / bins, count, float(said[inside].mean()), happened, *interval))
    return found


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share seen `count` times: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212."""
    scale = 1 + _Z**2 / count
    centre = (share + _Z**2 / (2 * count)) / scale
    half = _Z / scale * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def calibration_error(bins: Sequence[Bin]) -> float:
    """How far, on average over the answers, what was said in a bin is from what happened.

    M. P. Naeini, G. F. Cooper, M. Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015.
    """
    rows = sum(bin.rows for bin in bins)
    return sum(bin.rows * abs(bin.said - bin.happened) for bin in bins) / rows


def confusion_matrix(labels: NDArray[np.int64], answers: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """(classes, classes) counts: a row for each label, a column for each answer."""
    counts: NDArray[np.int64] = np.bincount(labels * classes + answers, minlength=classes**2).reshape(classes, classes)
    return counts


def confusions(matrix: NDArray[np.int64]) -> list[Confusion]:
    """Which classes are taken for which others, the most frequent first."""
    wrong = matrix - np.diag(np.diag(matrix))
    pairs = [Confusion(int(row), int(column), int(wrong[row, column])) for row, column in np.argwhere(wrong)]
    return sorted(pairs, key=lambda pair: -pair.rows)


def margins(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) by how much the most probable class leads the next one; 0 is an even choice."""
    best = np.partition(probabilities, -2, axis=1)[:, -2:]
    result: NDArray[np.float64] = best[:, 1] - best[:, 0]
    return result


class Projection(NamedTuple):
    """(n, 2) places, and of the spread of the vectors the two shares that they show."""

    places: NDArray[np.float64]
    shown: tuple[float, float]


def project_vectors(files: Sequence[Features], rows: NDArray[np.intp]) -> Projection:
    """The two principal components of some train rows, given as in the first file.

    Each network's vectors are divided by their length, so that all networks count alike. Only these rows of one network
    after another stay in memory. Signs are arbitrary in themselves: here the first class lies to the left and below.

    Raises:
        StoreError: a file is damaged.
    """
    from sklearn.decomposition import PCA

    parts = []
    for file in files:
        vectors = file.vectors("train")[np.arange(len(file.labels))[joining.rows_by_id(files[0], file, "train")][rows]]
        parts.append(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny))
        del vectors
    X = np.concatenate(parts, axis=1)
    known = min(2, *X.shape)
    pca = PCA(known, svd_solver="randomized", random_state=_SEED)
    places = np.zeros((len(rows), 2))
    places[:, :known] = pca.fit_transform(X)
    shown = np.zeros(2)
    shown[:known] = np.nan_to_num(pca.explained_variance_ratio_)
    labels = files[0].labels[rows]
    of_first = places[labels == labels.min()].mean(axis=0)
    return Projection(places * np.where(of_first > 0, -1, 1), (float(shown[0]), float(shown[1])))

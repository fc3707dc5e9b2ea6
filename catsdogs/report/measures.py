"""The numbers behind the diagrams: reliability of probabilities, confusions of classes, and places on a map.

Bins are counted here: scikit-learn's `calibration_curve` tells no counts, and its means differ by 9e-16, SciPy's Wilson
intervals by 4e-9, from those of the pages written so far.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.features import joining
from catsdogs.features.feature_file import Features

BINS = 10
_Z = 1.959964  # of a normal distribution, 95 % lie within as many standard deviations
_PCA_SEED = 0


class Bin(NamedTuple):
    """Predictions of nearly the same probability.

    Attributes:
        low, high: the probabilities that fall into it, `high` only into the last one.
        rows: how many predictions they are.
        mean_probability: of these predictions.
        observed: the share of them that came true; 95 times of 100 it lies, in the long run, from `least` to `most`.
    """

    low: float
    high: float
    rows: int
    mean_probability: float
    observed: float
    least: float
    most: float


def reliability(probabilities: NDArray[np.float64], came_true: NDArray[np.bool_], bins: int = BINS) -> list[Bin]:
    """The bins, of equal width, that hold any of the (n,) probabilities, from 0 to 1."""
    number = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    filled = []
    for place in np.unique(number).tolist():
        inside = number == place
        count, mean, observed = int(inside.sum()), float(probabilities[inside].mean()), float(came_true[inside].mean())
        filled.append(Bin(place / bins, (place + 1) / bins, count, mean, observed, *wilson(observed, count)))
    return filled


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share seen `count` times: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212."""
    scale = 1 + _Z**2 / count
    centre = (share + _Z**2 / (2 * count)) / scale
    half = _Z / scale * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def calibration_error(bins: Sequence[Bin]) -> float:
    """How far, on average over the predictions, a bin's mean probability is from the share that came true.

    M. P. Naeini, G. F. Cooper, M. Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015.
    """
    rows = sum(bin.rows for bin in bins)
    return sum(bin.rows * abs(bin.mean_probability - bin.observed) for bin in bins) / rows


def confusions(matrix: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Label, predicted class and rows of the mistakes, the most frequent first; a row of the matrix is a label."""
    wrong = matrix - np.diag(np.diag(matrix))
    labels, predicted = np.nonzero(wrong)
    pairs = zip(labels.tolist(), predicted.tolist(), wrong[labels, predicted].tolist(), strict=True)
    return sorted(pairs, key=lambda pair: -pair[2])


class LabelQuality(NamedTuple):
    """How well a label is told, out of fold.

    Attributes:
        rows: photographs that are given it, `share` of all.
        area: under the ROC curve; None where all photographs have the label, or none.
        f1, precision, recall: of the photographs that are named it; 0 where there is nothing to count.
        threshold: the probability from which on it is named.
    """

    name: str
    rows: int
    share: float
    area: float | None
    f1: float
    precision: float
    recall: float
    threshold: float


def label_qualities(
    names: Sequence[str],
    probabilities: NDArray[np.float64],
    named: NDArray[np.bool_],
    given: NDArray[np.bool_],
    thresholds: Sequence[float],
) -> list[LabelQuality]:
    """Of each label, from (n, k) probabilities, and whether rows are named and were given it."""
    from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

    found = []
    for place, name in enumerate(names):
        right, called = given[:, place], named[:, place]
        has_both = right.any() and not right.all()
        area = float(roc_auc_score(right, probabilities[:, place])) if has_both else None
        precision, recall, f1, _ = precision_recall_fscore_support(right, called, average="binary", zero_division=0)
        figures = float(f1), float(precision), float(recall), float(thresholds[place])
        found.append(LabelQuality(name, int(right.sum()), float(right.mean()), area, *figures))
    return found


def parts_of(x: NDArray[np.float64], y: NDArray[np.float64], parts: int) -> list[tuple[float, float, float]]:
    """The middle of each filled part of the range of `x`, and mean and standard deviation of the `y` there; (n,) each.

    The parts hold about as many of the numbers each; equal ones stay together.
    """
    edges = np.unique(np.quantile(x, np.linspace(0, 1, parts + 1)))
    number = np.searchsorted(edges[1:-1], x, side="right")
    groups = [number == place for place in np.unique(number).tolist()]
    return [(float(x[inside].mean()), float(y[inside].mean()), float(y[inside].std())) for inside in groups]


def explained(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """The share of the variance of (n,) numbers that predictions explain; 0 where there is none to explain."""
    from sklearn.metrics import r2_score

    return float(r2_score(true, predicted)) if np.ptp(true) else 0.0


def shown_probabilities(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) the probability that the diagrams are about: that of the second of two classes, of many of the likeliest."""
    result: NDArray[np.float64] = probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities.max(axis=1)
    return result


def margins(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) by how much the most probable class leads the next one; 0 is an even choice."""
    best = np.partition(probabilities, -2, axis=1)[:, -2:]
    result: NDArray[np.float64] = best[:, 1] - best[:, 0]
    return result


class Projection(NamedTuple):
    """(n, 2) points, and the shares of the vectors' variance that their two coordinates explain."""

    points: NDArray[np.float64]
    explained: tuple[float, float]


def project_vectors(files: Sequence[Features], rows: NDArray[np.intp]) -> Projection:
    """The two principal components of some train rows, given as in the first file.

    Each network's vectors are divided by their length, so that all networks count alike. Only these rows of one network
    after another stay in memory. Signs are arbitrary, and chosen so
    that the first class lies to the left and below.

    Raises:
        StoreError: a file is damaged.
    """
    from sklearn.decomposition import PCA

    parts = []
    for file in files:
        vectors = joining.Joined([file], "train", first=files[0]).read(rows)
        parts.append(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny))
        del vectors
    X = np.concatenate(parts, axis=1)
    components = min(2, *X.shape)
    pca = PCA(components, svd_solver="randomized", random_state=_PCA_SEED)
    points = np.zeros((len(rows), 2))
    points[:, :components] = pca.fit_transform(X)
    explained = np.zeros(2)
    explained[:components] = np.nan_to_num(pca.explained_variance_ratio_)
    labels = files[0].labels[rows]
    of_first = points[labels == labels.min()].mean(axis=0)
    return Projection(points * np.where(of_first > 0, -1, 1), (float(explained[0]), float(explained[1])))

"""Photographs far from their nearest neighbours, where no vote on pets can tell who does not belong.

The distance to the k nearest neighbours is the outlier score of S. Ramaswamy, R. Rastogi and K. Shim, Efficient
algorithms for mining outliers from large data sets, SIGMOD 2000; here the mean distance, as of F. Angiulli and C.
Pizzuti, Fast outlier detection in high dimensional spaces, PKDD 2002.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import median_abs_deviation

from catsdogs.cleaning.suspect_table import Doubt, Place, Reason, places
from catsdogs.features.feature_file import Features
from catsdogs.features.neighbours import Crowd

FAR_FROM_ALL = "far from all others"
# So many nearest photographs, or a tenth of all: outliers may be of one kind, and near one another.
NEIGHBOURS = 50
# A photograph is an outlier whose mean distance to them lies so many standard deviations, estimated by the median
# one, above the median. docs/cleaning.md says what that finds.
FAR = 2.5
MAX_SCORE = 0.5  # a photograph may be strange and fine
_OWN_NEIGHBOURS = 10  # of its class, of which a rare one may have few more
_SAMPLED, _SEED = 1000, 2018  # rows that stand for all


def find_knn_outliers(crowd: Crowd | None, first: Features) -> Iterator[Doubt]:
    """A reason for each photograph of `first` far from all others, scored by its deviations, 0.25 at `FAR`.

    Args:
        crowd: its rows, see `duplicates.crowd_of`; None, which finds nothing, where none can be compared.
    """
    place_of = places(first)
    if crowd is None or len(place_of) < 2:
        return
    count = min(NEIGHBOURS, max(1, len(place_of) // 10))
    distances = crowd.distances(count)
    usual, spread = float(np.median(distances)), float(median_abs_deviation(distances, scale="normal"))
    least = max(FAR * spread, float(np.finfo(np.float32).eps))  # no spread, as of copies of one picture, is rounding
    for row in np.flatnonzero(distances - usual > least).tolist():
        score = MAX_SCORE * min(1.0, float(distances[row] - usual) / (2 * least))
        nearness = f"its {count:,} nearest have a mean cosine of {1 - distances[row]:.2f}, usually {1 - usual:.2f}"
        yield place_of[row], Reason(score, f"{FAR_FROM_ALL}: {nearness}")


def deviations(crowd: Crowd | None, first: Features, asked: Sequence[Place]) -> NDArray[np.float64]:
    """(m,) by how many deviations rows lie farther than usual from the nearest ones of their class, or of all.

    Train rows are compared with those of their class, test rows, texts of labels and numbers with all. Usual is the
    median of the train rows, the deviation estimated by the median one; 0 where nothing can be compared, or all are
    alike.
    """
    place_of, rows = places(first), len(first.labels)
    if crowd is None or not asked or rows < 2:
        return np.zeros(len(asked))
    kinds = np.full(len(place_of), -1)
    if first.task.has_classes:
        kinds[:rows] = first.labels
    number = {place: row for row, place in enumerate(place_of)}
    sample = np.sort(np.random.default_rng(_SEED).choice(rows, min(_SAMPLED, rows), replace=False))
    every = np.concatenate((sample, [number[place] for place in asked])).astype(np.intp)
    distances = crowd.distances_within(every, kinds, _OWN_NEIGHBOURS)
    usual = distances[: len(sample)]
    spread = float(median_abs_deviation(usual, scale="normal"))
    off: NDArray[np.float64] = (distances[len(sample) :] - float(np.median(usual))) / max(spread, 1e-9)
    return off if spread > float(np.finfo(np.float32).eps) else np.zeros(len(asked))

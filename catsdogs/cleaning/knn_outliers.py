"""Photographs far from their nearest neighbours, where no vote on pets can tell who does not belong.

The distance to the k nearest neighbours is the outlier score of S. Ramaswamy, R. Rastogi and K. Shim, Efficient
algorithms for mining outliers from large data sets, SIGMOD 2000; here the mean distance, as of F. Angiulli and C.
Pizzuti, Fast outlier detection in high dimensional spaces, PKDD 2002.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import median_abs_deviation

from catsdogs.cleaning.duplicates import comparable
from catsdogs.cleaning.suspect_table import Doubt, Reason, places
from catsdogs.features import feature_file
from catsdogs.features.feature_file import Features
from catsdogs.features.joining import Joined
from catsdogs.features.neighbours import Crowd

FAR_FROM_ALL = "far from all others"
# So many nearest photographs, or a tenth of all: outliers may be of one kind, and near one another.
NEIGHBOURS = 50
# A photograph is an outlier whose mean distance to them lies so many standard deviations, estimated by the median
# one, above the median. docs/cleaning.md says what that finds.
FAR = 2.5
MAX_SCORE = 0.5  # a photograph may be strange and fine


def find_knn_outliers(files: Sequence[Features], first: Features) -> Iterator[Doubt]:
    """A reason for each photograph of `first` far from all others, scored by its deviations, 0.25 at `FAR`.

    Raises:
        StoreError: the rows of the files differ, or vectors cannot be read.
        UsageError: so many rows that they need an index, and none is installed.
    """
    telling, place_of = comparable(files), places(first)
    if not telling or len(place_of) < 2:
        return
    count = min(NEIGHBOURS, max(1, len(place_of) // 10))
    distances = Crowd(Joined(telling, *feature_file.SPLITS, first=first, normalised=True)).distances(count)
    usual, spread = float(np.median(distances)), float(median_abs_deviation(distances, scale="normal"))
    least = max(FAR * spread, float(np.finfo(np.float32).eps))  # no spread, as of copies of one picture, is rounding
    for row in np.flatnonzero(distances - usual > least).tolist():
        score = MAX_SCORE * min(1.0, float(distances[row] - usual) / (2 * least))
        nearness = f"its {count:,} nearest have a mean cosine of {1 - distances[row]:.2f}, usually {1 - usual:.2f}"
        yield place_of[row], Reason(score, f"{FAR_FROM_ALL}: {nearness}")

"""Odd pixels: photographs that are too small, too flat, of too few colours, or of an odd shape."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning.suspect_table import Doubt, Reason, places
from catsdogs.features import feature_file
from catsdogs.features.feature_file import Features

# Where a picture stops being a usable photograph. Of 2,000 photographs of Dogs vs. Cats, whose extremes are given
# behind each line, only a logo of 195 x 33 pixels falls below any of them.
MIN_SIDE = 40  # pixels of the shorter side; 59 for the smallest photograph
MIN_CONTRAST = 10.0  # grey levels of standard deviation; 18.3 for the flattest photograph
MIN_COLOURS = 16  # of 32³; 32 grey levels for a black-and-white photograph
MIN_SQUARENESS = 0.25  # shorter side by longer; 0.38 for the widest photograph
# J. W. Tukey, Exploratory Data Analysis (1977), calls what lies 3 interquartile ranges outside the quartiles "far out".
FENCE = 3.0
MAX_SCORE = 0.5  # a photograph may be odd and fine

# For each statistic that is odd when low: the kind of the reason, the line, and how a value reads.
_STATISTICS = (
    ("small", MIN_SIDE, "{:.0f} pixels at its shorter side"),
    ("near-uniform", MIN_CONTRAST, "a contrast of {:.1f} grey levels"),
    ("few colours", MIN_COLOURS, "{:.0f} of 32,768"),
    ("odd shape", MIN_SQUARENESS, "its shorter side is {:.2f} of the longer"),
)
KINDS = frozenset(kind for kind, _, _ in _STATISTICS)


def find_odd_pixels(file: Features, quartiles: bool) -> Iterator[Doubt]:
    """A reason for each statistic of a photograph that lies below its line; none from a file without statistics.

    Scored (1 - value / line) / 2. With `quartiles` the line is Tukey's far-out fence of this data set, on a log scale,
    where that is higher.
    """
    if not file.statistics:
        return
    place_of = places(file)
    width, height, contrast, colours = np.concatenate([file.statistics[split] for split in feature_file.SPLITS]).T
    short, long = np.minimum(width, height), np.maximum(width, height)
    values_of = (short, contrast, colours, short / np.maximum(long, 1))
    for (kind, line, form), values in zip(_STATISTICS, values_of, strict=True):
        lowest = max(line, _far_out_below(values)) if quartiles else line
        for index in np.flatnonzero(values < lowest).tolist():
            value = float(values[index])
            score = MAX_SCORE * (1 - value / lowest)
            yield place_of[index], Reason(score, f"{kind}: {form.format(value)}, below {lowest:.4g}")


def _far_out_below(values: NDArray[np.float32]) -> float:
    """Tukey's lower outer fence on a log scale, since sizes and counts spread by ratios; 0 if nothing spreads."""
    if not values.size:
        return 0.0
    first, third = np.quantile(np.log(np.maximum(values, 1e-3)), (0.25, 0.75))
    return float(np.exp(first - FENCE * (third - first))) if third > first else 0.0

"""Cut points: from a score, such as an expected grade, to the grade of greatest quadratic weighted kappa."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from catsdogs.scoring.isotonic import isotonic_blocks

_Floats = NDArray[np.float64]
_Grades = NDArray[np.int64]


def fit_cut_points(scores: _Floats, grades: _Grades, count: int) -> tuple[float, ...]:
    """The `count` - 1 cut points, none below the one before, of the greatest quadratic weighted kappa on these rows.

    It is the greatest that any cut points reach. Kappa is 1 - N / D, where rows are called y and are g:

        N = sum of (g - y)^2        D = sum of y^2 - 2 y mean(g) + mean(g^2)

    Both are sums over rows, so the least N / D is found by W. Dinkelbach, "On nonlinear fractional programming",
    Management Science 13(7), 1967: for a ratio r the least N - r D, until r gets no less. But for a constant that is
    (1 - r) times the squared distance of y from (g - r mean(g)) / (1 - r). The nearest y that rise with the score are
    the isotonic fit of that, rounded: grade k is passed where the fit is above k - 1/2.

    Where no score tells grades apart, all rows get the grade next to the mean. Grades that no row is called have
    coinciding cut points; those beyond the rows lie 1 + (their range) away from them.

    Args:
        scores: (n,) finite numbers.
        grades: (n,) from 0 to count - 1.
    """
    lowest, highest = float(scores.min()), float(scores.max())
    reach = 2 * (1 + highest - lowest)  # twice, for a cut is midway
    blocks = isotonic_blocks(scores, grades.astype(np.float64), lowest - reach, highest + reach)
    mean, mean_square = float(grades.mean()), float((grades**2).mean())
    called, ratio = np.full(len(blocks.sums), np.floor(mean + 0.5)), 1.0  # as of all that are called the same
    proposed = np.where(blocks.means > mean, count - 1.0, 0.0)  # the least N - D
    while np.ptp(proposed):
        squares = float(blocks.counts @ proposed**2)
        distance = squares - 2 * float(blocks.sums @ proposed) + len(grades) * mean_square
        by_chance = squares - 2 * mean * float(blocks.counts @ proposed) + len(grades) * mean_square
        if distance / by_chance >= ratio:
            break
        called, ratio = proposed, distance / by_chance
        proposed = np.clip(np.floor((blocks.means - ratio * mean) / (1 - ratio) + 0.5), 0, count - 1)
    return tuple(blocks.cuts[np.searchsorted(called, np.arange(1, count))].tolist())


def graded(scores: _Floats, cut_points: Sequence[float]) -> _Grades:
    """(n,) grades: how many of the cut points are at or below each score."""
    grades: _Grades = np.searchsorted(np.asarray(cut_points, np.float64), scores, side="right").astype(np.int64)
    return grades

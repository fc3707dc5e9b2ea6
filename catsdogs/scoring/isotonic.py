"""Where rows are best cut by their score: between the blocks of an isotonic regression.

Of all sets of rows that a cut can choose, those of the greatest sum of (value - level) are made of whole blocks: the
blocks whose mean is above the level, R. E. Barlow et al., Statistical Inference under Order Restrictions, 1972,
chapter 1. So cuts that are the best of all follow from one fit, whatever the level.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]


class Blocks(NamedTuple):
    """Rows in blocks, of increasing scores and increasing mean values.

    Attributes:
        sums, counts: (b,) of the values, and of the rows.
        cuts: (b + 1,) the lowest score that is taken for that of block i or later; the last one is above all rows.
    """

    sums: _Floats
    counts: NDArray[np.int64]
    cuts: _Floats

    @property
    def means(self) -> _Floats:
        """(b,) increasing."""
        return self.sums / self.counts


def isotonic_blocks(scores: _Floats, values: _Floats, below: float, above: float) -> Blocks:
    """The blocks of the increasing function of (n,) scores that is nearest to (n,) values, by squared distance.

    A cut is midway between two blocks; the first is midway between `below` and the rows, the last between them and
    `above`.
    """
    from scipy.optimize import isotonic_regression

    distinct, of_row, counts = np.unique(scores, return_inverse=True, return_counts=True)
    sums = np.bincount(of_row, values)
    starts = isotonic_regression(sums / counts, weights=counts).blocks[:-1]
    ends = np.append(starts, len(distinct))
    cuts = midway(np.append(below, distinct)[ends], np.append(distinct, above)[ends])
    return Blocks(np.add.reduceat(sums, starts), np.add.reduceat(counts, starts), cuts)


def midway(low: _Floats, high: _Floats) -> _Floats:
    """A number above `low` and at most `high`: the one in the middle, unless rounding makes it `low`."""
    middle = low / 2 + high / 2
    return np.where(middle > low, middle, high)

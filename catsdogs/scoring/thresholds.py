"""Thresholds of labels, by which probabilities become the labels of a row: those of the greatest F1."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from catsdogs.scoring import threshold_search
from catsdogs.scoring.isotonic import Blocks, isotonic_blocks
from catsdogs.scoring.metrics import F1_MACRO, F1_MICRO

_Floats = NDArray[np.float64]
_Bools = NDArray[np.bool_]


def fit_thresholds(
    probabilities: _Floats, targets: NDArray[np.generic], metric: str, at_least_one: bool = False
) -> tuple[float, ...]:
    """The k thresholds of the greatest F1 on these rows, see `chosen`.

    For `f1-micro` and `f1-macro` they are the best that there are. F1 is 2 H / (S + P), of S labels chosen, H of them
    right, and P to be found; the greatest is found by W. Dinkelbach, "On nonlinear fractional programming", Management
    Science 13(7), 1967: for a ratio r the greatest 2 H - r S, until r gets no greater. So a label is chosen where the
    isotonic fit of its targets is above r / 2, half of the greatest F1, as Z. C. Lipton et al., "Optimal thresholding
    of classifiers to maximize F1 measure", ECML 2014, have it. For macro-F1 each label has a ratio of its own.

    For `f1-samples`, and wherever a row gets at least one label, see `threshold_search`. But for macro-F1 they are
    fitted as if rows might get none.

    Of a label without any positive row nothing can be learnt: its threshold lies above all its rows, who do not get it.

    Args:
        probabilities: (n, k) from 0 to 1.
        targets: (n, k) 0 or 1.
        metric: `f1-micro`, `f1-macro` or `f1-samples`.

    Returns:
        Numbers from 0 to 1, midway between neighbouring probabilities, or one of them and 0 or 1. One that not even a
        probability of 1 is to reach is the next float above 1.
    """
    right = np.asarray(targets) > 0
    fits = [
        isotonic_blocks(values, labels.astype(np.float64), 0.0, threshold_search.above(values))
        for values, labels in zip(probabilities.T, right.T, strict=True)
    ]
    by_label = np.array([_greatest([fit])[0] for fit in fits])
    if metric == F1_MACRO:
        return tuple(by_label.tolist())
    together = _greatest(fits)
    if metric == F1_MICRO and not at_least_one:
        return tuple(together.tolist())
    search = threshold_search.Search(probabilities, right, metric, at_least_one)
    return tuple(search.best([together, by_label]).tolist())


def chosen(probabilities: _Floats, thresholds: Sequence[float], at_least_one: bool = False) -> _Bools:
    """(n, k) whether rows get labels: where the probability is at least the label's threshold.

    Args:
        probabilities: (n, k) from 0 to 1.
        at_least_one: a row that would get none gets the label whose probability is the most of its threshold.
    """
    limits = np.asarray(thresholds, np.float64)
    result: _Bools = probabilities >= limits
    if at_least_one:
        bare = np.flatnonzero(~result.any(axis=1))
        result[bare, (probabilities[bare] / limits).argmax(axis=1)] = True
    return result


def _greatest(fits: Sequence[Blocks]) -> _Floats:
    """The thresholds of the greatest F1 of some labels taken together."""
    positives = sum(float(fit.sums.sum()) for fit in fits)
    best, level, result = -1.0, 0.0, np.zeros(len(fits))
    while True:
        places = [int(np.searchsorted(fit.means, level, side="right")) for fit in fits]
        hits = sum(float(fit.sums[place:].sum()) for fit, place in zip(fits, places, strict=True))
        size = sum(int(fit.counts[place:].sum()) for fit, place in zip(fits, places, strict=True))
        f1 = 2 * hits / (size + positives) if positives else 0.0
        if f1 <= best:
            return result
        best, level = f1, f1 / 2
        result = np.array([fit.cuts[place] for fit, place in zip(fits, places, strict=True)])

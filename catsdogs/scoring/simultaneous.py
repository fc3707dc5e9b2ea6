"""How far apart the entries of a table must lie for none to be called worse by chance, the best chosen among them.

Each of K entries is measured on the same photographs. The first of the table is the one that came out best on them, so
luck flatters it, and a difference to it is larger than one between two entries that were named beforehand. Here a
difference counts only beyond `Family.limit` of its standard errors, which chance alone exceeds between any two of the
entries in one comparison of twenty: the single-step max-t of T. Hothorn, F. Bretz and P. Westfall, Simultaneous
inference in general parametric models, Biometrical Journal 50, 2008, by a bootstrap of photographs as in P. Westfall
and S. Young, Resampling-based multiple testing, 1993. All pairs are looked at, not only those with the best of each
resample: where one entry is far noisier than the others, it is the best of half the resamples, and the limit for the
others would be too low. Statistical packages offer the max-t of linear models, not of a paired bootstrap.

A few photographs may make most of a difference. Then its variance is known badly, and the limit is wider, see
`_freedom`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catsdogs.scoring import measuring
from catsdogs.scoring.measuring import Measurement

CHANCE = 0.05  # of a comparison in which all are equal that it calls any of them worse
BEFOREHAND = 2.0  # standard errors: the limit for one difference that was named before anything was measured
# Of a mean: the 95th percentile of so many resamples is exceeded by 5.0 ± 0.5 % of others. Other metrics cost more to
# measure again, and have the `DRAWS` that they were measured on: 5.0 ± 1.5 %, and right on average over tables.
_DRAWS_OF_MEANS = 2000
_SEED = 0
_LEAST_ROOT = 0.1  # the approximation of chi squared falls below 0 for few degrees of freedom

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Family:
    """What tells differences between K entries from chance.

    Attributes:
        errors: (K, K) standard errors of the differences of each two; 0 where they agree on every photograph.
        limit: of how many of them a difference is beyond chance; `BEFOREHAND` of a single entry, which has none, and
            where errors are NaN: of a single photograph or group, and where resamples lack what the metric needs.
    """

    errors: _Floats
    limit: float


def family(measurements: Sequence[Measurement], deals: _Floats, folds: int) -> Family:
    """The family of K entries, from what each is worth on the same photographs.

    The variance of a difference is that over photographs and, where there are R > 1 deals of the folds, that between
    the deals too: s² (1 / R + 1 / (folds - 1)), where s² is the variance of the R differences. The second term is that
    of C. Nadeau and Y. Bengio, Inference for the generalization error, Machine Learning 52, 2003: deals share the
    photographs that heads learn from, so more of them do not average everything out; rows tested / rows learnt from is
    1 / (folds - 1). A few deals hardly tell s² of two entries, so it is the mean over all pairs where that is more.

    Args:
        measurements: of K entries by one metric, means over the deals; rows that hang together are one part of them,
            see `Measurement.together`.
        deals: (K, R) the values of each deal.
        folds: of each deal, 2 or more.
    """
    if len(measurements) < 2:
        return Family(np.zeros((1, 1)), BEFOREHAND)
    random = np.random.default_rng(_SEED)
    drawn, variance, freedom = _over_photographs(measurements)
    rows = measurements[0].rows
    if len(drawn) < 2 or rows < 2:
        return Family(np.full_like(variance, np.nan), BEFOREHAND)
    share = 1 / deals.shape[1] + 1 / (folds - 1)
    shifts, spread = _drawn_deals(deals, share, len(drawn), random)
    # The variance over photographs is an estimate too: chi squared says how much too small it may be.
    doubt = _chi_squared(freedom, random.standard_normal((len(drawn), 1, 1))) / freedom
    # Resamples of n spread by sqrt(1 - 1 / n) too little.
    centred = (drawn - drawn.mean(axis=0)) * np.sqrt(rows / (rows - 1)) + shifts
    apart, errors = abs(centred[:, :, np.newaxis] - centred[:, np.newaxis]), np.sqrt(doubt * variance + spread)
    largest = np.divide(apart, errors, out=np.zeros_like(apart), where=errors > 0).max(axis=(1, 2))
    limit = float(np.quantile(largest, 1 - CHANCE, method="weibull"))
    return Family(np.sqrt(variance + share * _spread(deals[np.newaxis])[0]), limit)


def _over_photographs(measurements: Sequence[Measurement]) -> tuple[_Floats, _Floats, _Floats]:
    """(B, K) values on resamples of the photographs; (K, K) the variance of the differences, and its `_freedom`."""
    parts, rows = np.stack([one.parts for one in measurements]), measurements[0].rows
    if not measurements[0].is_mean:
        drawn = parts.T[np.isfinite(parts).all(axis=0)]  # a rare class may be missing from a resample
        return drawn, _of_pairs(drawn.T), np.full((len(parts), len(parts)), float(rows - 1))
    drawn = np.stack([parts @ counts for counts in measuring.resampled(rows, _DRAWS_OF_MEANS)]) / rows
    return drawn, _of_pairs(parts) / rows, _freedom(parts)


def _freedom(parts: _Floats) -> _Floats:
    """(K, K) degrees of freedom of the variances of each two entries' differences over (K, n) values.

    An estimated variance has itself the variance (κ - 1) / n of its square, where κ is the kurtosis (H. Cramér,
    Mathematical Methods of Statistics, 1946, 27.4). Chi squared with 2 n / (κ - 1) degrees has as much: about n - 1 of
    normal values, for which κ is 3, and a handful where a few photographs make most of a difference.
    """
    n = parts.shape[1]
    freedom = np.full((len(parts), len(parts)), float(n - 1))
    for entry, one in enumerate(parts):
        squares = (parts - one - (parts - one).mean(axis=1, keepdims=True)) ** 2
        total = squares.sum(axis=1) ** 2
        kurtosis = np.divide(n * (squares**2).sum(axis=1), total, out=np.full(len(parts), 3.0), where=total > 0)
        freedom[entry] = np.minimum(n - 1, 2 * n / np.maximum(kurtosis - 1, 1.0))
    return freedom


def _chi_squared(freedom: _Floats, normal: _Floats) -> _Floats:
    """Chi squared of these degrees of freedom, from normal numbers: E. Wilson and M. Hilferty, PNAS 17, 1931.

    One normal number serves all pairs: photographs that a resample lacks are missing from all of them.
    """
    share = 2 / (9 * freedom)
    result: _Floats = freedom * np.maximum(1 - share + normal * np.sqrt(share), _LEAST_ROOT) ** 3
    return result


def _of_pairs(values: _Floats) -> _Floats:
    """(K, K) the variance of each two entries' differences over (K, n) values; NaN of fewer than two."""
    if values.shape[1] < 2:
        return np.full((len(values), len(values)), np.nan)
    return np.stack([(values - one).var(axis=1, ddof=1) for one in values])


def _drawn_deals(deals: _Floats, share: float, draws: int, random: np.random.Generator) -> tuple[_Floats, _Floats]:
    """(B, K) what other deals might have added to the values, and (B, K, K) the variance that they would have shown.

    They are normal and independent, with the variance of each entry's (K, R) deals, or the mean of all entries' if that
    is more; what a deal adds to all entries alike is left out. A few deals may lie close together by luck, which makes
    too much of a difference; that they show a variance of their own counts that in.
    """
    entries, repeats = deals.shape
    if repeats == 1:
        return np.zeros((1, entries)), np.zeros((1, entries, entries))
    own = (deals - deals.mean(axis=0)).var(axis=1, ddof=1, keepdims=True) * entries / (entries - 1)
    others = np.sqrt(np.maximum(own, own.mean())) * random.standard_normal((draws, entries, repeats))
    return others.mean(axis=2) * np.sqrt(repeats * share), share * _spread(others)


def _spread(deals: _Floats) -> _Floats:
    """(B, K, K) the variance of each two entries' differences over the deals of (B, K, R), or the pairs' mean if more.

    0 where two entries do not differ in any deal, and where there is one deal only.
    """
    _, entries, repeats = deals.shape
    if repeats == 1:
        return np.zeros((len(deals), entries, entries))
    own = np.stack([(deals - deals[:, [one]]).var(axis=2, ddof=1) for one in range(entries)], axis=1)
    mean = own.sum(axis=(1, 2), keepdims=True) / (entries * (entries - 1))
    result: _Floats = np.where(own > 0, np.maximum(own, mean), 0.0)
    return result

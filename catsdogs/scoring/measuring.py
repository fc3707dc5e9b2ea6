"""Probabilities measured by a metric, with standard errors: from the rows, or by a bootstrap over photographs.

The areas under resampled curves are our own: scikit-learn sorts anew at each call, which is a hundred times slower.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from catsdogs.photographs.task import BEST_K
from catsdogs.scoring import decisions, metrics

KAGGLE_EPSILON = 1e-15  # what Kaggle's pages on log loss say probabilities are kept from 0 and 1
# Resamples of the photographs. They tell a standard error to 1 / sqrt(2 * 200) = 5 % of itself; more are very seldom
# needed, say B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 6.
DRAWS = 200

_DRAW_SEED = 0

_Floats = NDArray[np.float64]
_Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Measurement:
    """A metric's value, with what its standard error comes from.

    Attributes:
        parts: (n,) values of the rows, where the metric is their mean; else (DRAWS,) values on resampled rows, the same
            resamples for whoever measures as many rows. NaN for a resample that lacks what the metric needs.
        is_mean: which of the two.
        rows: n, or the number of groups that were drawn together, see `together`.
        of_counts: the metric of (n,) counts of the rows; None of a mean of the rows, and where it is no longer kept.
    """

    value: float
    parts: _Floats
    is_mean: bool
    rows: int
    of_counts: Callable[[_Floats], float] | None = field(default=None, repr=False, compare=False)

    @property
    def standard_error(self) -> float:
        """NaN where it is not known, as of a single row."""
        return self._error(self.parts)

    def together(self, pictures: NDArray[np.int64]) -> "Measurement":
        """The same value, with parts of which rows that hang together are drawn together.

        Of a mean the parts are then those of the groups: the value, and by how much more or less than that the rows of
        a group add up to, times groups / rows. Their mean is the value, and their standard error that of a ratio of
        sums over groups (W. Cochran, Sampling Techniques, 1977, section 6.4).

        Args:
            pictures: (n,) numbers, the same for rows that hang together.
        """
        _, number, sizes = np.unique(pictures, return_inverse=True, return_counts=True)
        groups = len(sizes)
        if groups == self.rows:
            return self
        if self.is_mean:
            excess = np.bincount(number, self.parts - self.value) * groups / self.rows
            return of_rows(self.value + excess)
        if self.of_counts is None:
            raise ValueError("a mean over deals is of resamples that were drawn already")
        parts = np.array([self.of_counts(counts[number]) for counts in resampled(groups)])
        return Measurement(self.value, parts, False, groups)

    def minus(self, other: "Measurement") -> tuple[float, float]:
        """The difference of two measurements of the same rows by one metric, and its standard error, rows paired."""
        difference = self.parts - other.parts
        return (float(difference.mean()) if self.is_mean else self.value - other.value), self._error(difference)

    def _error(self, parts: _Floats) -> float:
        if self.is_mean:
            return mean_and_error(parts)[1]
        known = parts[np.isfinite(parts)]
        return float(known.std(ddof=1)) if len(known) > 1 else math.nan


def measure(metric: str, probabilities: _Floats, labels: _Labels, named: _Labels | None = None) -> Measurement:
    """What (n, C) probabilities are worth, where `labels`, (n,), are the classes that are right.

    Args:
        metric: one of those of classes, see `metrics.fitting`; for others see `measuring_targets`.
        named: (n,) the classes that are written, which metrics of names look at; those of `decisions.names` if None.
    """
    wanted = metrics.find(metric)
    if metric == metrics.LOG_LOSS:
        return of_rows(log_losses(probabilities, labels))
    if wanted.wants == BEST_K:
        hits = decisions.best(probabilities, wanted.best) == labels[:, np.newaxis]
        return of_rows((hits / np.arange(1, hits.shape[1] + 1)).sum(axis=1))
    if wanted.wants == metrics.RANKS:
        sides = (np.arange(probabilities.shape[1])[:, np.newaxis] == labels).T
        columns = slice(1, 2) if metric == metrics.AUC else slice(None)
        return mean_area(decisions.ranked(probabilities)[:, columns], sides[:, columns])
    named = decisions.names(probabilities, metric) if named is None else named
    if metric == metrics.F1_MACRO:
        return macro_f1(named, labels, probabilities.shape[1])
    return of_rows((named == labels).astype(np.float64))  # micro-F1 is accuracy where a row has one class


def mean_of(measurements: Sequence[Measurement]) -> Measurement:
    """The mean of one metric's measurements of the same rows, as by repeated cross-validation."""
    parts = np.zeros_like(measurements[0].parts)
    for one in measurements:
        parts += one.parts / len(measurements)
    if measurements[0].is_mean:
        return of_rows(parts)
    return Measurement(float(np.mean([one.value for one in measurements])), parts, False, measurements[0].rows)


def mean_and_error(values: _Floats) -> tuple[float, float]:
    """The mean of (n,) values and its standard error; NaN for that of a single one."""
    deviation = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return float(values.mean()), deviation / math.sqrt(len(values))


def log_losses(probabilities: _Floats, labels: _Labels) -> _Floats:
    """(n,) losses, as Kaggle's: -ln of the probability of the right class, rows divided by their sum, clipped."""
    right = probabilities[np.arange(len(labels)), labels] / probabilities.sum(axis=1)
    losses: _Floats = -np.log(np.clip(right, KAGGLE_EPSILON, 1 - KAGGLE_EPSILON))
    return losses


def of_rows(values: _Floats) -> Measurement:
    """The mean of (n,) values of the rows."""
    return Measurement(float(values.mean()), values, True, len(values))


def of_resamples(value: float, rows: int, of_counts: Callable[[_Floats], float]) -> Measurement:
    """A value of so many rows that is no mean of theirs: `of_counts` has it of (n,) counts of the rows."""
    parts = np.array([of_counts(counts) for counts in resampled(rows)])
    return Measurement(value, parts, False, rows, of_counts)


def resampled(rows: int, draws: int = DRAWS) -> Iterator[_Floats]:
    """(n,) how often each row is in a resample of as many rows, for each draw, the same for as many rows."""
    draw = np.random.default_rng(_DRAW_SEED)
    for _ in range(draws):
        yield np.bincount(draw.integers(rows, size=rows), minlength=rows).astype(np.float64)


def macro_f1(named: _Labels, labels: _Labels, classes: int) -> Measurement:
    """Macro-F1 of (n,) names, where `labels`, (n,), are right."""
    from sklearn.metrics import f1_score

    right = np.flatnonzero(named == labels)

    def value(counts: _Floats) -> float:
        hits = np.bincount(labels[right], counts[right], classes)
        ends = np.bincount(labels, counts, classes) + np.bincount(named, counts, classes)
        return float((2 * hits[ends > 0] / ends[ends > 0]).mean())

    return of_resamples(float(f1_score(labels, named, average="macro")), len(labels), value)


def mean_area(scores: _Floats, sides: NDArray[np.bool_]) -> Measurement:
    """The mean area under the ROC curves of those columns that have both sides; NaN where none has.

    Args:
        scores, sides: (n, C) numbers that are to be larger where the side is true.
    """
    from sklearn.metrics import roc_auc_score

    columns = [(side, score) for side, score in zip(sides.T, scores.T, strict=True) if side.any() and not side.all()]
    if not columns:
        return Measurement(math.nan, np.full(DRAWS, math.nan), False, len(sides), lambda _: math.nan)
    value = np.mean([roc_auc_score(side, score) for side, score in columns])
    curves = [_area_by_counts(side, score) for side, score in columns]

    def mean(counts: _Floats) -> float:
        areas = np.array([area(counts) for area in curves])
        known = areas[np.isfinite(areas)]  # a rare class may be missing from a resample
        return float(known.mean()) if len(known) else math.nan

    return of_resamples(float(value), len(sides), mean)


def _area_by_counts(positive: NDArray[np.bool_], scores: _Floats) -> Callable[[_Floats], float]:
    """A function of (n,) counts of the rows: the share of pairs of both sides in their right order, ties half."""
    order = np.argsort(scores, kind="stable")
    of_negatives = order[~positive[order]].astype(np.int32)  # of many classes, all are kept at a time
    of_positives = np.flatnonzero(positive)
    negatives = scores[of_negatives]
    below = np.searchsorted(negatives, scores[of_positives], "left")
    up_to = np.searchsorted(negatives, scores[of_positives], "right")

    def area(counts: _Floats) -> float:
        passed = np.append(0.0, np.cumsum(counts[of_negatives]))
        pairs = counts[of_positives].sum() * passed[-1]
        return float(counts[of_positives] @ (passed[below] + passed[up_to])) / (2 * pairs) if pairs else math.nan

    return area

"""Labels, numbers and grades measured by their metrics, with standard errors as in `measuring`.

The values are scikit-learn's. They are counted here, for its functions look at all rows anew at each of the resamples.
"""

import math

import numpy as np
from numpy.typing import NDArray

from catsdogs.scoring import metrics
from catsdogs.scoring.measuring import KAGGLE_EPSILON, Measurement, mean_area, of_resamples, of_rows

_Floats = NDArray[np.float64]
_Bools = NDArray[np.bool_]
_Grades = NDArray[np.int64]


def measure_labels(metric: str, probabilities: _Floats, targets: _Floats, chosen: _Bools | None = None) -> Measurement:
    """What probabilities of labels are worth, each label for itself.

    Log loss and the area are the means over the labels; the area leaves out labels that all rows have, or none. F1 is 0
    where nothing is chosen and nothing right: of a row by `f1-samples`, of a label by `f1-macro`.

    Args:
        metric: `log-loss`, `mean-auc`, `f1-micro`, `f1-macro` or `f1-samples`.
        probabilities: (n, k) from 0 to 1.
        targets: (n, k) 0 or 1.
        chosen: (n, k) the labels that are written, which F1 looks at; those of at least 1/2 if None.
    """
    right = targets > 0
    if metric == metrics.LOG_LOSS:
        of_truth = np.where(right, probabilities, 1 - probabilities)
        return of_rows(-np.log(np.clip(of_truth, KAGGLE_EPSILON, 1 - KAGGLE_EPSILON)).mean(axis=1))
    if metric == metrics.MEAN_AUC:
        return mean_area(probabilities, right)
    return _f1(metric, probabilities >= 0.5 if chosen is None else chosen, right)


def measure_numbers(metric: str, predicted: _Floats, targets: _Floats) -> Measurement:
    """What (n, k) numbers are worth beside (n, k) true ones, by `rmse` or `mae`: the mean over the k columns."""
    errors = np.abs(predicted - targets)
    if metric == metrics.MAE:
        return of_rows(errors.mean(axis=1))
    squares = errors**2

    def value(counts: _Floats) -> float:
        return float(np.sqrt(counts @ squares / counts.sum()).mean())

    return of_resamples(value(np.ones(len(squares))), len(squares), value)


def measure_grades(named: _Grades, grades: _Grades, count: int) -> Measurement:
    """The quadratic weighted kappa of (n,) grades that rows are called and (n,) true ones, from 0 to count - 1.

    It is 0 where rows are all called the same, and NaN where they also are all the same, which leaves 0 / 0.
    """
    squares = np.subtract.outer(np.arange(count), np.arange(count)) ** 2.0

    def value(counts: _Floats) -> float:
        together = np.bincount(grades * count + named, counts, count**2).reshape(count, count)
        by_chance = together.sum(axis=1) @ squares @ together.sum(axis=0) / counts.sum()
        return 1 - float((squares * together).sum() / by_chance) if by_chance else math.nan

    return of_resamples(value(np.ones(len(grades))), len(grades), value)


def _f1(metric: str, chosen: _Bools, right: _Bools) -> Measurement:
    """F1 of (n, k) labels: of all of them, the mean over the labels, or the mean over the rows."""
    from scipy.sparse import csr_array

    hits = chosen & right
    if metric == metrics.F1_SAMPLES:
        return of_rows(_ratio(hits.sum(axis=1), chosen.sum(axis=1) + right.sum(axis=1)))
    # Of many labels a row has few, so sparse tables take a hundredth of the time.
    hits_of, all_of = (csr_array(table.T.astype(np.float64)) for table in (hits, chosen * 1.0 + right))

    def value(counts: _Floats) -> float:
        found, both = hits_of @ counts, all_of @ counts
        if metric == metrics.F1_MICRO:
            found, both = found.sum(keepdims=True), both.sum(keepdims=True)
        return float(_ratio(found, both).mean())

    return of_resamples(value(np.ones(len(right))), len(right), value)


def _ratio(hits: NDArray[np.number], both: NDArray[np.number]) -> _Floats:
    """F1 of hits, and of the sum of what is chosen and what is right; 0 where that is nothing."""
    result: _Floats = np.divide(2.0 * hits, both, out=np.zeros(np.shape(hits)), where=both > 0)
    return result

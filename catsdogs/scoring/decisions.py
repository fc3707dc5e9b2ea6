"""What is written of probabilities, which follows from the metric: names of classes, the best few, or ranks."""

import numpy as np
from numpy.typing import NDArray

from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.photographs.task import PROBABILITIES, PROBABILITY, Task

CANDIDATES = 20  # classes that a row may be called for macro-F1, the likeliest
FARTHEST = float(np.log(1e9))  # log-odds: nine digits of what lacks to 1 are left, where float64 has sixteen

_F1_MACRO = "f1-macro"
_SUM_BITS = 42  # of float64's 53, that a sum of some thousand shares has right
_LEAST_GAIN = 1e-12  # of the sum of F1; below it rounding could lead in circles


def named(probabilities: NDArray[np.float64], task: Task, fold: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """(n,) the classes that (n, C) probabilities are scored by where a metric looks at names.

    Args:
        task: where it asks for probabilities, a competition takes the likelier class itself, whatever the metric.
        fold: (n,) numbers; each fold's rows are decided on without the others, by whose labels its head was fitted.
    """
    metric = "" if task.answer in (PROBABILITY, PROBABILITIES) else task.metric
    if fold is None:
        return names(probabilities, metric)
    result = np.zeros(len(probabilities), np.int64)
    for number in np.setdiff1d(fold, [ALWAYS_LEARNT]):
        result[fold == number] = names(probabilities[fold == number], metric)
    return result


def names(probabilities: NDArray[np.float64], metric: str) -> NDArray[np.int64]:
    """(n,) the class that each row of (n, C) calibrated probabilities is called; of equal ones the first.

    Accuracy, and micro-F1, which is the same where each row has one class: the most probable, for each row counts by
    itself, with the probability that its class is right.

    Macro-F1: the classes that together have the largest expected macro-F1, with expected counts in the place of counts:

        1 / C * sum over classes c of 2 N_c / (S_c + P_c)

    where S_c rows are called c, N_c is the sum of their probabilities of c, and P_c that of all rows. A class counts as
    much as any other however rare, so a doubtful row may gain more as the rare one of two. Rows are called something
    else one by one while that gains: once from the most probable classes, once from those that are the most probable
    beside their own P_c. The better end is taken. No label is looked at, so the rule can be judged on rows with labels.
    N. Ye et al., "Optimizing F-measures: a tale of two approaches", ICML 2012, call this the decision-theoretic one.
    """
    if metric == _F1_MACRO:
        return _for_macro_f1(probabilities)
    chosen: NDArray[np.int64] = probabilities.argmax(axis=1)
    return chosen


def best(probabilities: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """(n, k) the likeliest classes of (n, C) probabilities, most probable first; all of them where there are fewer.

    MAP@K gives 1 / place for the right class, so the expected score is the sum of probability / place over the places.
    That is largest when the larger probability has the earlier place.
    """
    k = min(k, probabilities.shape[1])
    likeliest = np.sort(np.argpartition(-probabilities, k - 1, axis=1)[:, :k], axis=1)  # equal ones by their number
    order = np.argsort(-np.take_along_axis(probabilities, likeliest, axis=1), axis=1, kind="stable")
    result: NDArray[np.int64] = np.take_along_axis(likeliest, order, axis=1)
    return result


def ranked(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, C) probabilities -> (n, C) numbers in (0, 1) that keep apart, in each column, what differs.

    For metrics that look at ranks only. A clip would tie the surest rows, and float64 itself ties what is nearer to 1
    than 1e-16: 1 - 1e-20 and 1 - 1e-25 are both 1. What other classes got tells them apart, so the order in a column is
    that of the odds p / (sum of the row's others). Where the log-odds go beyond `FARTHEST`, one temperature brings all
    of them within it: a larger one keeps every order, and CSV readers that round the last digits keep the rest. What
    still meets in one number is moved apart by the smallest step. Without a temperature the numbers are, but for
    these steps, the probabilities; with one, rows need not add up to 1.
    """
    rest = _sums_of_others(probabilities)
    with np.errstate(divide="ignore"):
        log_odds = np.log(probabilities) - np.log(rest)
    finite = np.isfinite(log_odds)
    farthest = float(np.abs(log_odds[finite]).max(initial=0.0))
    log_odds = np.clip(log_odds, -farthest - 1, farthest + 1)  # certainty is one beyond all that is not
    temperature = max(1.0, (farthest + (not finite.all())) / FARTHEST)
    result = np.exp(-np.logaddexp(0.0, -log_odds / temperature))
    for column, values in enumerate(result.T):
        values[:] = _apart(values, probabilities[:, column], rest[:, column])
    return result


def _sums_of_others(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, C) the sum of each row without this column, to full precision where this column has nearly all of it."""
    rows, largest = np.arange(len(probabilities)), probabilities.argmax(axis=1)
    others = probabilities.copy()
    others[rows, largest] = 0.0
    result: NDArray[np.float64] = probabilities.sum(axis=1, keepdims=True) - probabilities
    result[rows, largest] = others.sum(axis=1)
    return result


def _apart(
    values: NDArray[np.float64], probability: NDArray[np.float64], rest: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) values brought into the strict order of the odds by the smallest steps; equal only where answers are."""
    rest = _without_noise(rest)
    # Of the two numbers the smaller one says it to the last digit.
    order_of = np.where(probability > rest, 1 - rest, probability), np.where(probability > rest, -rest, -1.0)
    order = np.lexsort(order_of[::-1])
    keys = np.stack(order_of)[:, order]
    is_new = np.append(True, (keys[:, 1:] != keys[:, :-1]).any(axis=0))[: len(order)]
    # Positive floats are in the order of their bits, and the next larger float is one more.
    steps = np.arange(np.count_nonzero(is_new))
    bits = np.maximum.accumulate(values[order][is_new].view(np.int64) - steps) + steps
    result = np.empty_like(values)
    result[order] = bits.view(np.float64)[np.cumsum(is_new) - 1]
    return result


def _without_noise(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums without their last bits, which depend on the order of what was added: else equal answers would differ."""
    mantissa, exponent = np.frexp(sums)
    result: NDArray[np.float64] = np.ldexp(np.round(np.ldexp(mantissa, _SUM_BITS)), exponent - _SUM_BITS)
    return result


def _for_macro_f1(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,) the classes of `names` for macro-F1."""
    candidates = best(probabilities, CANDIDATES)
    shares = np.take_along_axis(probabilities, candidates, axis=1)
    return named_for_macro_f1(candidates, shares, probabilities.sum(axis=0))


def named_for_macro_f1(
    candidates: NDArray[np.int64], shares: NDArray[np.float64], expected: NDArray[np.float64]
) -> NDArray[np.int64]:
    """(n,) the classes of `names` for macro-F1.

    Args:
        candidates, shares: (n, k) classes that rows may be called, and the rows' probabilities of them.
        expected: (C,) the sum of each class's probabilities.
    """
    expected = np.maximum(expected, np.finfo(float).tiny)  # a class that none can be divides by nothing
    starts = (np.zeros(len(shares), np.int64), (shares / expected[candidates]).argmax(axis=1))
    reached = [_improved(candidates, shares, expected, places) for places in starts]
    return max(reached, key=lambda outcome: outcome[1])[0]


def _improved(
    candidates: NDArray[np.int64], shares: NDArray[np.float64], expected: NDArray[np.float64], places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], float]:
    """(n,) classes and half their sum of F1, after no row alone would gain by another name.

    Args:
        candidates, shares: (n, k) classes that rows may be called, and the rows' probabilities of them.
        expected: (C,) rows of each class.
        places: (n,) of the candidates to start from.
    """
    every = np.arange(len(candidates))
    chosen, own = candidates[every, places], shares[every, places]
    called = np.bincount(chosen, minlength=len(expected)).astype(np.float64)
    hits = np.bincount(chosen, own, len(expected))

    def gains(row: NDArray[np.intp]) -> NDArray[np.float64]:
        """(m, k) what each of m rows would gain alone."""
        old, new = chosen[row, None], candidates[row]
        f1 = hits / (called + expected)
        less = (hits[old] - own[row, None]) / (called[old] - 1 + expected[old]) - f1[old]
        more = (hits[new] + shares[row]) / (called[new] + 1 + expected[new]) - f1[new]
        return np.where(old == new, 0.0, less + more)

    while len(gaining := np.flatnonzero(gains(every).max(axis=1, initial=0.0) > _LEAST_GAIN)):
        for row in gaining:
            (gain,) = gains(np.array([row]))
            place = int(gain.argmax())
            if gain[place] <= _LEAST_GAIN:  # no longer, after those before it
                continue
            for step, class_, share in ((-1, chosen[row], own[row]), (1, candidates[row, place], shares[row, place])):
                called[class_] += step
                hits[class_] += step * share
            chosen[row], own[row] = candidates[row, place], shares[row, place]
    return chosen, float((hits / (called + expected)).sum())

"""A search for the thresholds of the greatest F1 where labels do not go by themselves.

Of F1 by rows (`f1-samples`), and where rows without a label get their likeliest, what a label's threshold is worth
depends on all others. Each threshold in turn is moved to where F1 is greatest beside the others, until none moves. The
search starts from several places, and on few rows, where it may end in many, again and again from near its best end:
H. R. Lourenço et al., "Iterated local search", in Handbook of Metaheuristics, 2003.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from catsdogs.scoring.isotonic import midway
from catsdogs.scoring.metrics import F1_MICRO

_LEAST_GAIN = 1e-12  # of F1; below it rounding could lead in circles
_ROUNDING = 1e-12  # of thresholds: those that a row's other label gives are quotients
_LEAST_OF_ALL = 1e-6  # that moving each threshold once must gain to go on: the last digits of F1 are not worth it
_CELLS = 2_000_000  # rows x labels of all restarts together: some seconds
_MOST_RESTARTS = 60
_MOST_MOVED = 4
_SEED = 0
_COMMON = 64  # thresholds tried for all labels in common

_Floats = NDArray[np.float64]
_Bools = NDArray[np.bool_]


def above(probabilities: _Floats) -> float:
    """The end of thresholds of these (n,) probabilities: 1, unless that is one of them."""
    return max(1.0, float(np.nextafter(probabilities.max(), 2)))


@dataclass
class _State:
    """Thresholds, and what they are worth.

    Attributes:
        on: (n, k) labels whose thresholds are reached.
        hits, size: (n,) the right ones of these, and all.
        f1: with the label of rows that reach none, where rows get at least one.
    """

    thresholds: _Floats
    on: _Bools
    hits: _Floats
    size: _Floats
    f1: float = -1.0


@dataclass(frozen=True)
class Search:
    """Of (n, k) probabilities and labels that are right; `metric` is `f1-micro` or `f1-samples`."""

    probabilities: _Floats
    right: _Bools
    metric: str
    at_least_one: bool

    def best(self, starts: Sequence[_Floats]) -> _Floats:
        """(k,) the best thresholds found from these, and from one that all labels have in common.

        A label that no row has keeps the threshold of the first start.
        """
        random = np.random.default_rng(_SEED)
        ends = [self._climbed(start) for start in (*starts, self._in_common(starts[0]))]
        best = max(ends, key=lambda end: end.f1)
        for _ in range(min(_MOST_RESTARTS, _CELLS // self.right.size)):
            end = self._climbed(self._beside(best.thresholds, random))
            best = end if end.f1 > best.f1 + _LEAST_GAIN else best
        return best.thresholds

    @cached_property
    def _learnt(self) -> NDArray[np.intp]:
        """The labels that some row has."""
        return np.flatnonzero(self.right.any(axis=0))

    @cached_property
    def _positives(self) -> _Floats:
        """(n,) how many labels rows have."""
        return self.right.sum(axis=1).astype(np.float64)

    @cached_property
    def _orders(self) -> list[NDArray[np.intp]]:
        """Of each label the rows, the most probable first."""
        return [np.argsort(-column, kind="stable") for column in self.probabilities.T]

    def _in_common(self, thresholds: _Floats) -> _Floats:
        """The best of some thresholds that all labels have in common, but for those that no row has."""
        grid = np.unique(np.quantile(self.probabilities, np.linspace(0, 1, _COMMON)))
        tried = []
        for limit in (0.5, *midway(grid[:-1], grid[1:])):
            common = thresholds.copy()
            common[self._learnt] = limit
            state = self._of(common)
            tried.append((self._f1(state.hits, state.size), limit, common))
        return max(tried, key=lambda one: one[:2])[2]

    def _beside(self, thresholds: _Floats, random: np.random.Generator) -> _Floats:
        """Thresholds of which a few are drawn anew: probabilities of their labels, or one that no row reaches."""
        result = thresholds.copy()
        moved = random.permutation(self._learnt)[: random.integers(2, _MOST_MOVED + 1)]
        for label in moved:
            values = self.probabilities[:, label]
            result[label] = random.choice(np.append(values, above(values)))
        return result

    def _of(self, thresholds: _Floats) -> _State:
        on = self.probabilities >= thresholds
        hits, size = (on & self.right).sum(axis=1), on.sum(axis=1)
        return _State(thresholds.copy(), on, hits.astype(np.float64), size.astype(np.float64))

    def _climbed(self, thresholds: _Floats) -> _State:
        """Where no threshold alone is better elsewhere."""
        state, reached = self._of(thresholds), -2.0
        while state.f1 > reached + _LEAST_OF_ALL:
            reached = state.f1
            for label in self._learnt:
                self._move(state, label)
        return state

    def _move(self, state: _State, label: int) -> None:
        """Bring one threshold to its best place beside the others, if that is better than its own."""
        values, right = self.probabilities[:, label], self.right[:, label]
        hits, size = state.hits - (state.on[:, label] & right), state.size - state.on[:, label]  # without the label
        off_hits, off_size, limits, order = hits, size, values, self._orders[label]
        if self.at_least_one and len(bare := np.flatnonzero(size == 0)):
            other, limit = self._instead(state, bare, label)
            off_hits, off_size, limits = hits.copy(), size.copy(), values.copy()
            off_hits[bare], off_size[bare], limits[bare] = self.right[bare, other], 1, limit
            order = np.argsort(-limits, kind="stable")
        limits = limits[order]
        f1 = self._f1_along(order, (hits + right, size + 1), (off_hits, off_size))
        end = above(values)
        upper, lower = np.append(end, np.minimum(limits, end)), np.append(limits, 0.0)
        is_equal = upper - lower <= _ROUNDING * upper
        is_equal[0] = upper[0] <= lower[0]  # the float above 1 is no rounding
        f1[is_equal & (np.arange(len(f1)) < len(values))] = -1.0  # a threshold parts no equal ones
        place = int(f1.argmax())
        if f1[place] <= state.f1 + _LEAST_GAIN:
            return
        state.f1 = float(f1[place])
        state.thresholds[label] = midway(lower[place], upper[place])
        state.on[:, label] = on = values >= state.thresholds[label]
        state.hits, state.size = hits + (on & right), size + on

    def _instead(self, state: _State, rows: NDArray[np.intp], label: int) -> tuple[NDArray[np.intp], _Floats]:
        """(m,) the labels that rows which reach no other's threshold get instead of one, and its threshold for that."""
        values = self.probabilities[rows]
        thresholds = state.thresholds.copy()
        thresholds[label] = np.inf  # of this one's probability no share
        shares = values / thresholds
        other = shares.argmax(axis=1)
        most = shares[np.arange(len(rows)), other]
        limits = np.full(len(rows), np.inf)
        np.divide(values[:, label], most, out=limits, where=most > 0)
        return other, limits

    def _f1_along(self, order: NDArray[np.intp], on: tuple[_Floats, _Floats], off: tuple[_Floats, _Floats]) -> _Floats:
        """(n + 1,) F1 if none of the rows, the first in this order, the first two, and so on, get the label.

        Args:
            on, off: right labels and labels of each row with it, and without it.
        """
        if self.metric == F1_MICRO:
            hits, size = (
                np.append(0.0, np.cumsum((gets - lacks)[order])) + lacks.sum()
                for gets, lacks in zip(on, off, strict=True)
            )
            result: _Floats = 2 * hits / np.maximum(size + self._positives.sum(), 1)
            return result
        lacking = self._of_rows(*off)
        gains = self._of_rows(*on) - lacking
        return (lacking.sum() + np.append(0.0, np.cumsum(gains[order]))) / len(order)

    def _f1(self, hits: _Floats, size: _Floats) -> float:
        if self.metric == F1_MICRO:
            return float(2 * hits.sum() / max(size.sum() + self._positives.sum(), 1))
        return float(self._of_rows(hits, size).mean())

    def _of_rows(self, hits: _Floats, size: _Floats) -> _Floats:
        result: _Floats = 2 * hits / np.maximum(size + self._positives, 1)  # without any label 0, as scikit-learn's
        return result

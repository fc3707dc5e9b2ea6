"""Temperature and clip: what out-of-fold errors say of how far probabilities can be believed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Confident mistakes that are added to those that were seen. Krichevsky and Trofimov, "The performance of universal
# encoding", IEEE Trans. Inf. Theory 27(2), 1981, 199-207: their 1/2 makes the log loss asymptotically minimax.
UNSEEN_MISTAKES = 0.5
MAX_CLIP = 0.1
MAX_TEMPERATURE = 4.0  # and 1/4 is the least
FOLDS = 5
STANDARD_ERRORS = 2

_SEED = 0
_STEPS = np.linspace(-1, 1, 13)
# From 1/4 to 4 by way of 1, dense around 1: only there is it hard to see whether a temperature helps.
_TEMPERATURES = MAX_TEMPERATURE ** (_STEPS * abs(_STEPS))
_UNCHANGED = len(_STEPS) // 2
_GRID = 12
_TOLERANCE = 1e-3  # of the logarithm
_BLOCK = 2**17  # numbers that a processor's cache holds, which makes many classes twice as fast


@dataclass(frozen=True)
class Calibration:
    """What is done to a head's probabilities, in this order.

    Attributes:
        temperature: p is replaced by p ** (1 / temperature), divided by the row's sum; above 1 makes probabilities less
            certain. Guo et al., "On Calibration of Modern Neural Networks", 2017, who divide the logits.
        clip: see `clipped`.
    """

    temperature: float = 1.0
    clip: float = 0.0

    def apply(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """(n, classes) -> (n, classes), rows adding up to 1, the most probable class still the most probable."""
        values = np.asarray(probabilities, np.float64)
        if self.temperature != 1:
            values = _tempered(_logarithms(values), self.temperature)
        return clipped(values, self.clip)


def clipped(probabilities: NDArray[np.float64], clip: float) -> NDArray[np.float64]:
    """(n, classes) probabilities from clip / (classes - 1) to 1 - clip, rows then divided by their sum.

    `clip` is thus what is kept for all other classes together when one seems certain, whatever their number.
    """
    kept_away = _kept_away(probabilities, clip)
    result: NDArray[np.float64] = kept_away / kept_away.sum(axis=1, keepdims=True)
    return result


def fit(probabilities: ArrayLike, labels: NDArray[np.int64]) -> Calibration:
    """The calibration of least expected log loss; the temperature is 1 unless another helps beyond doubt.

    Args:
        probabilities: (n, classes), out of fold: none of a head that learnt from the row.
        labels: (n,) the classes that are right.
    """
    logarithms = _logarithms(np.asarray(probabilities, np.float64))
    temperature = _helping_temperature(logarithms, labels)
    return Calibration(temperature, _best_clip(_tempered(logarithms, temperature), labels))


def cross_fitted(probabilities: ArrayLike, labels: NDArray[np.int64], fold: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, classes): each fold's rows by the calibration that is fitted on the rows of all other folds.

    A score of them is honest, for no row took part in choosing what is done to it. `fold`, (n,), numbers the folds.
    """
    values = np.asarray(probabilities, np.float64)
    result = np.empty_like(values)
    for number in np.unique(fold):
        held = fold == number
        result[held] = fit(values[~held], labels[~held]).apply(values[held])
    return result


def _kept_away(probabilities: NDArray[np.float64], clip: float) -> NDArray[np.float64]:
    return np.clip(probabilities, clip / (probabilities.shape[1] - 1), 1 - clip)


def _logarithms(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.log(probabilities)


def _tempered(logarithms: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    powers = np.exp((logarithms - logarithms.max(axis=1, keepdims=True)) / temperature)
    result: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return result


def _losses(probabilities: NDArray[np.float64], labels: NDArray[np.int64], clip: float) -> NDArray[np.float64]:
    """(n,) -ln of what `clipped` gives the right class, without dividing all others too."""
    kept_away = _kept_away(probabilities, clip)
    result: NDArray[np.float64] = np.log(kept_away.sum(axis=1)) - np.log(kept_away[np.arange(len(labels)), labels])
    return result


def _cost_of_the_unseen(clip: float, classes: int) -> float:
    return -UNSEEN_MISTAKES * float(np.log(clip / (classes - 1)))


def _clip_grid(rows: int) -> NDArray[np.float64]:
    """Clips among which the best one lies: without any mistake it is 1/2 / (rows + 1/2), and it is never below that."""
    return np.geomspace(min(UNSEEN_MISTAKES / (rows + 1), MAX_CLIP / 2), MAX_CLIP, _GRID)


def _best_clip(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The clip of least cost; the grid comes first, for there may be several valleys."""
    grid = _clip_grid(len(labels))
    return _clip_near(
        probabilities, labels, grid, int(np.argmin([_cost(probabilities, labels, clip) for clip in grid]))
    )


def _clip_near(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], grid: NDArray[np.float64], lowest: int
) -> float:
    return _refined(lambda clip: _cost(probabilities, labels, clip), grid, lowest)


def _cost(probabilities: NDArray[np.float64], labels: NDArray[np.int64], clip: float) -> float:
    """The summed loss when `UNSEEN_MISTAKES` rows are added in which the right class has the floor."""
    return float(_losses(probabilities, labels, clip).sum()) + _cost_of_the_unseen(clip, probabilities.shape[1])


def _helping_temperature(logarithms: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The best temperature if, cross-fitted, it gains more than `STANDARD_ERRORS` of the paired gain; otherwise 1."""
    rows, classes = logarithms.shape
    if rows < FOLDS:
        return 1.0
    fold = np.random.default_rng(_SEED).permutation(rows) % FOLDS
    clips = _clip_grid(rows)
    sums = _summed_losses(logarithms, labels, clips, fold)
    total = sums.sum(axis=2) + np.array([_cost_of_the_unseen(clip, classes) for clip in clips])
    unchanged, gains = _tempered(logarithms, 1.0), np.zeros(rows)
    for number in range(FOLDS):
        held = fold == number
        learnt = total - sums[..., number]
        best = int(learnt.min(axis=1).argmin())
        if best != _UNCHANGED:
            tempered = _tempered(logarithms, _TEMPERATURES[best])
            gains[held] = _held_out_losses(unchanged, labels, held, clips, int(learnt[_UNCHANGED].argmin()))
            gains[held] -= _held_out_losses(tempered, labels, held, clips, int(learnt[best].argmin()))
    if gains.mean() <= STANDARD_ERRORS * gains.std(ddof=1) / np.sqrt(rows):
        return 1.0
    best, clip = divmod(int(total.argmin()), len(clips))

    def cost(temperature: float) -> float:
        return float(_losses(_tempered(logarithms, temperature), labels, clips[clip]).sum())

    return _refined(cost, _TEMPERATURES, best)


def _held_out_losses(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    held: NDArray[np.bool_],
    clips: NDArray[np.float64],
    lowest: int,
) -> NDArray[np.float64]:
    """Of the held rows, with the clip of the others; refined, or a temperature would get credit for a better clip."""
    clip = _clip_near(probabilities[~held], labels[~held], clips, lowest)
    return _losses(probabilities[held], labels[held], clip)


def _summed_losses(
    logarithms: NDArray[np.float64], labels: NDArray[np.int64], clips: NDArray[np.float64], fold: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(temperatures, clips, folds): one pass gives what every fold's rows cost, and so all but one fold's."""
    sums = np.zeros((len(_TEMPERATURES), len(clips), FOLDS))
    step = max(1, _BLOCK // logarithms.shape[1])
    for start in range(0, len(labels), step):
        block = slice(start, start + step)
        for row, temperature in enumerate(_TEMPERATURES):
            probabilities = _tempered(logarithms[block], temperature)
            for column, clip in enumerate(clips):
                losses = _losses(probabilities, labels[block], clip)
                sums[row, column] += np.bincount(fold[block], losses, FOLDS)
    return sums


def _refined(cost: Callable[[float], float], grid: NDArray[np.float64], lowest: int) -> float:
    """Where cost is least between the neighbours, on an increasing positive grid, of its lowest point."""
    from scipy.optimize import minimize_scalar

    ends = np.log(grid[[max(lowest - 1, 0), min(lowest + 1, len(grid) - 1)]])
    found = minimize_scalar(lambda x: cost(np.exp(x)), bounds=ends, method="bounded", options={"xatol": _TOLERANCE})
    return float(np.exp(found.x))

"""Calibration: the temperature and the clip of probabilities, fitted to out-of-fold ones."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.features.scaling import Array, Labels

# Confident mistakes that are added to those observed. Krichevsky and Trofimov, "The performance of universal
# encoding", IEEE Trans. Inf. Theory 27(2), 1981, 199-207: their 1/2 makes the log loss asymptotically minimax.
UNSEEN_MISTAKES = 0.5
MAX_CLIP = 0.1
MAX_TEMPERATURE = 4.0  # and 1/4 is the least
FOLDS = 5
GAIN_ERRORS = 2  # standard errors of a gain beyond doubt

_FOLD_SEED = 0
_STEPS = np.linspace(-1, 1, 13)
# From 1/4 to 4 by way of 1, dense around 1, where it is hardest to see whether a temperature helps.
_TEMPERATURES = MAX_TEMPERATURE ** (_STEPS * abs(_STEPS))
_UNCHANGED = len(_STEPS) // 2
_GRID = 12
_TOLERANCE = 1e-3  # of the logarithm
_BLOCK = 2**17  # numbers that fit a processor's cache: many classes are twice as fast by that


@dataclass(frozen=True)
class Calibration:
    """Corrections of a head's probabilities, made in this order.

    Attributes:
        temperature: p is replaced by p ** (1 / temperature), divided by the row's sum. Above 1, probabilities get less
            certain. Guo et al., "On Calibration of Modern Neural Networks", 2017, divide the logits instead.
        clip: see `clipped`.
    """

    temperature: float = 1.0
    clip: float = 0.0

    def apply(self, probabilities: ArrayLike) -> Array:
        """(n, classes) -> (n, classes), rows adding up to 1, the most probable class still the most probable."""
        values = np.asarray(probabilities, np.float64)
        if self.temperature != 1:
            values = _tempered(_logarithms(values), self.temperature)
        return clipped(values, self.clip)


def clipped(probabilities: Array, clip: float) -> Array:
    """(n, classes) probabilities from clip / (classes - 1) to 1 - clip, rows then divided by their sum.

    So all other classes together keep `clip` when one seems certain, whatever their number.
    """
    kept_away = _kept_away(probabilities, clip)
    result: Array = kept_away / kept_away.sum(axis=1, keepdims=True)
    return result


def fit_calibration(probabilities: ArrayLike, labels: Labels, with_clip: bool = True) -> Calibration:
    """The calibration of least expected log loss; the temperature is 1 unless another one helps beyond doubt.

    Args:
        probabilities: (n, classes), out of fold.
        labels: (n,) the right classes.
        with_clip: False where only an order counts, which a clip would tie: then there is the temperature alone.
    """
    logarithms = _logarithms(np.asarray(probabilities, np.float64))
    temperature = _helping_temperature(logarithms, labels)
    if not with_clip:
        return Calibration(temperature)
    cost, grid = partial(_cost, _tempered(logarithms, temperature), labels), _clip_grid(len(labels))
    lowest = int(np.argmin([cost(clip) for clip in grid]))  # a grid comes first, for there may be several local minima
    return Calibration(temperature, _refined(cost, grid, lowest))


def cross_fitted(probabilities: ArrayLike, labels: Labels, fold: NDArray[np.int64], with_clip: bool = True) -> Array:
    """(n, classes) probabilities: each fold's rows calibrated by a fit to the rows of all other folds.

    Rows that are never held out, see `folds.ALWAYS_LEARNT`, have none to be calibrated, and stay NaN.

    So their score is honest: no row took part in choosing its own calibration. `fold`, (n,), numbers the folds;
    `with_clip` is as in `fit_calibration`.
    """
    values = np.asarray(probabilities, np.float64)
    result = np.full_like(values, np.nan)
    scored = fold != ALWAYS_LEARNT
    for number in np.unique(fold[scored]):
        held_out = fold == number
        others = scored & ~held_out
        fitted = fit_calibration(values[others], labels[others], with_clip)
        result[held_out] = fitted.apply(values[held_out])
    return result


def _kept_away(probabilities: Array, clip: float) -> Array:
    return np.clip(probabilities, clip / (probabilities.shape[1] - 1), 1 - clip)


def _logarithms(probabilities: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(probabilities)


def _tempered(logarithms: Array, temperature: float) -> Array:
    powers = np.exp((logarithms - logarithms.max(axis=1, keepdims=True)) / temperature)
    result: Array = powers / powers.sum(axis=1, keepdims=True)
    return result


def _losses(probabilities: Array, labels: Labels, clip: float) -> Array:
    """(n,) -ln of the right class's probability in `clipped`, without computing those of all others."""
    kept_away = _kept_away(probabilities, clip)
    result: Array = np.log(kept_away.sum(axis=1)) - np.log(kept_away[np.arange(len(labels)), labels])
    return result


def _cost_of_unseen_mistakes(clip: float, classes: int) -> float:
    return -UNSEEN_MISTAKES * float(np.log(clip / (classes - 1)))


def _clip_grid(rows: int) -> Array:
    """Clips around the best one, which is never below that of rows without a mistake, 1/2 / (rows + 1/2)."""
    return np.geomspace(min(UNSEEN_MISTAKES / (rows + 1), MAX_CLIP / 2), MAX_CLIP, _GRID)


def _cost(probabilities: Array, labels: Labels, clip: float) -> float:
    """The summed loss, with `UNSEEN_MISTAKES` rows added whose right class has the least probability."""
    return float(_losses(probabilities, labels, clip).sum()) + _cost_of_unseen_mistakes(clip, probabilities.shape[1])


def _helping_temperature(logarithms: Array, labels: Labels) -> float:
    """The best temperature if, cross-fitted, it gains more than `GAIN_ERRORS` of the paired gain; otherwise 1."""
    rows, classes = logarithms.shape
    if rows < FOLDS:
        return 1.0
    fold = np.random.default_rng(_FOLD_SEED).permutation(rows) % FOLDS
    clips = _clip_grid(rows)
    sums = _summed_losses(logarithms, labels, clips, fold)
    total = sums.sum(axis=2) + np.array([_cost_of_unseen_mistakes(clip, classes) for clip in clips])
    unchanged, gains = _tempered(logarithms, 1.0), np.zeros(rows)
    for number in range(FOLDS):
        held_out = fold == number
        learnt = total - sums[..., number]
        best = int(learnt.min(axis=1).argmin())
        if best != _UNCHANGED:
            tempered = _tempered(logarithms, _TEMPERATURES[best])
            gains[held_out] = _held_out_losses(unchanged, labels, held_out, clips, int(learnt[_UNCHANGED].argmin()))
            gains[held_out] -= _held_out_losses(tempered, labels, held_out, clips, int(learnt[best].argmin()))
    if gains.mean() <= GAIN_ERRORS * gains.std(ddof=1) / np.sqrt(rows):
        return 1.0
    best, clip = divmod(int(total.argmin()), len(clips))

    def cost(temperature: float) -> float:
        return float(_losses(_tempered(logarithms, temperature), labels, clips[clip]).sum())

    return _refined(cost, _TEMPERATURES, best)


def _held_out_losses(
    probabilities: Array,
    labels: Labels,
    held_out: NDArray[np.bool_],
    clips: Array,
    lowest: int,
) -> Array:
    """Losses of the held-out rows with the clip of the others, refined: else a temperature may win by a better clip."""
    clip = _refined(partial(_cost, probabilities[~held_out], labels[~held_out]), clips, lowest)
    return _losses(probabilities[held_out], labels[held_out], clip)


def _summed_losses(logarithms: Array, labels: Labels, clips: Array, fold: NDArray[np.int64]) -> Array:
    """(temperatures, clips, folds) losses of each fold's rows; the sum over all folds but one follows from them."""
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


def _refined(cost: Callable[[float], float], grid: Array, lowest: int) -> float:
    """Where the cost is least between the neighbours of its lowest point on an increasing positive grid."""
    from scipy.optimize import minimize_scalar

    ends = np.log(grid[[max(lowest - 1, 0), min(lowest + 1, len(grid) - 1)]])
    found = minimize_scalar(lambda x: cost(np.exp(x)), bounds=ends, method="bounded", options={"xatol": _TOLERANCE})
    return float(np.exp(found.x))

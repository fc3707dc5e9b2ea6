"""Pooling: the answers of several runs made one, with a weight for each that is fitted to answers out of fold.

Answers are averaged in the space that the metric asks for. Weights are not negative and add up to 1. A run has one
weight for all its classes or labels: rare labels have too few rows to tell weights of their own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_softmax, logit, softmax
from scipy.stats import rankdata

from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.photographs.task import LABELS, NUMBER, Task
from catsdogs.scoring import judging, metrics
from catsdogs.scoring.calibration import Calibration
from catsdogs.scoring.judging import Truth
from catsdogs.scoring.measuring import KAGGLE_EPSILON

LOGITS, PROBABILITIES, RANKS, NUMBERS = "logits", "probabilities", "ranks", "numbers"
SPACES = (LOGITS, PROBABILITIES, RANKS, NUMBERS)
LEAST_WEIGHT = 0.01  # a run of less is left out
# Of a fitted weight from equal ones, a priori, as in the head `blend`: some hundred rows tell little of weights.
DEVIATION_FROM_EQUAL = 0.2

_LEAST_SLOPE = 1e-3  # a run that is wrong more often than right is not turned round
_PARTS = 5  # of rows that all come from one fold, to choose by
_Floats = NDArray[np.float64]
_Labels = NDArray[np.int64]
Lines = tuple[tuple[float, float], ...]


def space_of(task: Task, columns: int) -> str:
    """What is averaged: of numbers the numbers, where an order is scored ranks, else logits.

    Of grades with cut points it is probabilities, whose mean has the mean of the expected grades. The ranks of more
    than two classes would not add up to 1, so these have logits (a logarithmic opinion pool).
    """
    if task.kind == NUMBER:
        return NUMBERS
    if judging.is_cut(task):
        return PROBABILITIES
    is_each = task.kind == LABELS or columns == 2
    return RANKS if is_each and metrics.find(task.metric).wants == metrics.RANKS else LOGITS


class Scale(NamedTuple):
    """How a run's answers come into the space.

    Attributes:
        calibration: of the probabilities that become logits; fitted to the same rows as the weights.
        steps: in the space of ranks, for each column that is ranked, answers in order and the share of rows below
            each. From 0 to 1, so that an answer beyond all others keeps a place of its own.
    """

    calibration: Calibration = Calibration()
    steps: tuple[tuple[_Floats, _Floats], ...] = ()


def scale_of(answers: _Floats, right: Truth, task: Task, space: str) -> Scale:
    """The scale of a run by (n, columns) answers of rows that no head learnt."""
    if space == RANKS:
        return steps_of(answers, task)
    return Scale(judging.fit_calibration(answers, right, task)) if space == LOGITS else Scale()


def steps_of(answers: _Floats, task: Task) -> Scale:
    """The scale of ranks by (n, columns) answers of rows that no head learnt."""
    return Scale(steps=tuple(_steps(column) for column in _each(answers, task).T))


def _steps(column: _Floats) -> tuple[_Floats, _Floats]:
    known, counts = np.unique(column, return_counts=True)
    places = (np.cumsum(counts) - counts / 2) / len(column)
    inside = (known > 0) & (known < 1)
    return np.concatenate(([0], known[inside], [1])), np.concatenate(([0], places[inside], [1]))


def _each(answers: _Floats, task: Task) -> _Floats:
    """The columns that are judged each for itself: all labels, or the second of two classes."""
    return answers if task.kind == LABELS else answers[:, 1:]


@dataclass(frozen=True)
class Pool:
    """Several runs' weights and scales, in the order in which their answers are given.

    Attributes:
        lines: in the space of ranks, for each column that is ranked, the slope and offset that make a mean of ranks a
            logit, so that probabilities come of it; the order stays.
    """

    task: Task
    space: str
    weights: tuple[float, ...]
    scales: tuple[Scale, ...]
    lines: Lines = ()

    def join(self, answers: Sequence[_Floats]) -> _Floats:
        """(n, columns) answers of one from those of each run, of the same kind."""
        weights = np.array(self.weights)
        if self.space == LOGITS and weights.max() == 1:  # a run alone needs no clip before that of what comes of it
            alone = int(weights.argmax())
            tempered = replace(self.scales[alone].calibration, clip=0.0)
            return judging.apply(tempered, answers[alone], self.task)
        placed = np.stack([_placed(*pair, self.task, self.space) for pair in zip(answers, self.scales, strict=True)])
        mean = np.tensordot(weights, placed, axes=1)
        if self.space == LOGITS:
            return expit(mean) if self.task.kind == LABELS else softmax(mean, axis=1)
        if self.space != RANKS:
            return mean
        slopes, offsets = np.array(self.lines).T
        each = expit(mean * slopes + offsets)
        return each if self.task.kind == LABELS else np.hstack((1 - each, each))


def _placed(answers: _Floats, scale: Scale, task: Task, space: str) -> _Floats:
    """(n, columns) answers in the space in which means are taken."""
    if space in (NUMBERS, PROBABILITIES):
        return answers
    if space == RANKS:
        columns = zip(_each(answers, task).T, scale.steps, strict=True)
        return np.stack([np.interp(column, *steps) for column, steps in columns], axis=1)
    return _logits(judging.apply(judging.as_submitted(scale.calibration, task), answers, task), task)


def _logits(probabilities: _Floats, task: Task) -> _Floats:
    kept_away = np.clip(probabilities, KAGGLE_EPSILON, 1 - KAGGLE_EPSILON)
    return logit(kept_away) if task.kind == LABELS else np.log(kept_away)


def join_fixed(answers: Sequence[_Floats], weights: Sequence[float], task: Task, space: str) -> _Floats:
    """One from several (n, columns) answers for the same photographs, with weights that nobody fitted.

    Ranks are those among these photographs. A certainty that is not ours is taken for 1 - 1e-15, as by Kaggle.
    """
    if space == LOGITS:
        mean = sum(w * _logits(one, task) for w, one in zip(weights, answers, strict=True))
        return expit(mean) if task.kind == LABELS else softmax(mean, axis=1)
    if space != RANKS:
        return sum((w * one for w, one in zip(weights, answers, strict=True)), start=np.zeros_like(answers[0]))
    ranked = [(rankdata(_each(one, task), axis=0) - 0.5) / len(one) for one in answers]
    each = sum((w * one for w, one in zip(weights, ranked, strict=True)), start=np.zeros_like(ranked[0]))
    return each if task.kind == LABELS else np.hstack((1 - each, each))


class CrossFitted(NamedTuple):
    """What came of a blend.

    Attributes:
        pool: fitted to all rows that were held out once.
        answers: (n, columns): each fold's rows by weights and scales that did not see them.
    """

    pool: Pool
    answers: _Floats


class Pooling:
    """Answers out of fold of several runs on the same rows and folds, to be joined in several ways."""

    def __init__(
        self, answers: Sequence[_Floats], right: Truth, fold: _Labels, task: Task, values: tuple[float, ...] = ()
    ) -> None:
        """Take (n, columns) answers of each run, what is right, and the (n,) folds; see `judging`."""
        self.answers, self.right, self.fold, self.task, self.values = answers, right, fold, task, values
        self.space = space_of(task, answers[0].shape[1])
        self._scored = fold != ALWAYS_LEARNT
        self._scales: dict[int, list[Scale]] = {}

    def cross_fit(self, members: Sequence[int]) -> CrossFitted:
        """The blend of these runs."""
        blended, whole = np.full_like(self.answers[0], np.nan), self._fit(members, ALWAYS_LEARNT)
        for number in np.unique(self.fold[self._scored]).tolist():
            held_out = self.fold == number
            # The line is the same for all folds: one that the others tell leans to the side that this fold has less of.
            pool = replace(self._fit(members, number), lines=whole.lines)
            blended[held_out] = pool.join([self.answers[member][held_out] for member in members])
        return CrossFitted(whole, blended)

    def _fit(self, members: Sequence[int], left_out: int) -> Pool:
        """The pool by all held-out rows but those of one fold."""
        rows = self._scored & (self.fold != left_out)
        if left_out not in self._scales:
            self._scales[left_out] = [
                scale_of(one[rows], self.right[rows], self.task, self.space) for one in self.answers
            ]
        scales = tuple(self._scales[left_out][member] for member in members)
        placed = [
            _placed(self.answers[member][rows], scale, self.task, self.space)
            for member, scale in zip(members, scales, strict=True)
        ]
        lesson = _lesson_of(np.stack(placed), self.right[rows], self.task, self.space, self.values)
        weights = _weights(lesson, self.fold[rows])
        lines = _lines(np.tensordot(weights, np.stack(placed), axes=1), lesson.target) if self.space == RANKS else ()
        return Pool(self.task, self.space, tuple(weights.tolist()), scales, lines)


class _Lesson(NamedTuple):
    """What weights learn from.

    Attributes:
        placed: (runs, n, k) answers in the space; of grades the expected ones.
        target: (n,) classes, or (n, k) labels or numbers.
        noise: (k,) variance of numbers about the mean answer; None for what has a log loss.
    """

    placed: _Floats
    target: NDArray[Any]
    noise: _Floats | None = None

    def rows(self, chosen: NDArray[np.bool_]) -> "_Lesson":
        return self._replace(placed=self.placed[:, chosen], target=self.target[chosen])

    def loss(self, weights: _Floats) -> tuple[float, _Floats]:
        """The summed loss, in nats, and its slopes."""
        scores = np.tensordot(weights, self.placed, axes=1)
        if self.noise is not None:
            away = scores - self.target
            loss, slopes = float((away**2 / self.noise).sum()) / 2, away / self.noise
        elif self.target.ndim == 2:
            loss = -float((self.target * log_expit(scores) + (1 - self.target) * log_expit(-scores)).sum())
            slopes = expit(scores) - self.target
        else:
            logarithms, every = log_softmax(scores, axis=1), np.arange(len(scores))
            loss, slopes = -float(logarithms[every, self.target].sum()), np.exp(logarithms)
            slopes[every, self.target] -= 1
        return loss, np.tensordot(self.placed, slopes, axes=2)


def _lesson_of(placed: _Floats, right: Truth, task: Task, space: str, values: tuple[float, ...]) -> _Lesson:
    if space == RANKS:
        target = right if task.kind == LABELS else right[:, np.newaxis]
        slopes, offsets = np.array(_lines(placed.mean(axis=0), target)).T  # the same for all runs
        return _Lesson(placed * slopes + offsets, target.astype(np.float64))
    if space == LOGITS:
        return _Lesson(placed, right if task.kind == LABELS else right.astype(np.int64))
    target = right
    if space == PROBABILITIES:
        grades = np.array(values)
        placed, target = (placed @ grades)[..., np.newaxis], grades[right.astype(np.int64)][:, np.newaxis]
    noise = ((placed.mean(axis=0) - target) ** 2).mean(axis=0)
    return _Lesson(placed, target, np.maximum(noise, np.finfo(float).tiny))


def _lines(ranks: _Floats, target: NDArray[Any]) -> Lines:
    """For each column of (n, k) ranks the slope and offset of the logistic regression on it."""
    from sklearn.linear_model import LogisticRegression

    lines = []
    for column, right in zip(ranks.T, target.T, strict=True):
        if not 0 < right.sum() < len(right):
            lines.append((1.0, 0.0))
            continue
        fitted = LogisticRegression().fit(column[:, np.newaxis], right)
        slope = max(float(fitted.coef_[0, 0]), _LEAST_SLOPE)
        lines.append((slope, float(fitted.intercept_[0])))
    return tuple(lines)


def _weights(lesson: _Lesson, fold: _Labels) -> _Floats:
    """(runs,) weights: the mean of fitted ones, of equal ones, and of each run alone, by how well each does.

    How well is told by rows of a fold when the others tell the weights, and counts as a likelihood: Yao et al., "Using
    stacking to average Bayesian predictive distributions", Bayesian Analysis 13(3), 2018, 917-1007, call it
    pseudo-BMA. Where the rows do not support a blend, that is nearly the best run alone; nothing is chosen, so nothing
    jumps from fold to fold.
    """
    count = len(lesson.placed)
    if count == 1:
        return np.ones(1)
    simple = np.vstack((np.full((1, count), 1 / count), np.eye(count)))
    parts = fold if len(np.unique(fold)) > 1 else np.arange(len(fold)) % _PARTS
    costs = [0.0, *(lesson.loss(one)[0] for one in simple)]
    for number in np.unique(parts):
        costs[0] += lesson.rows(parts == number).loss(_fitted(lesson.rows(parts != number)))[0]
    mean: _Floats = softmax(-np.array(costs)) @ np.vstack((_fitted(lesson), simple))
    mean[mean < LEAST_WEIGHT] = 0
    return mean / mean.sum()


def _fitted(lesson: _Lesson) -> _Floats:
    """(runs,) weights of least loss under a normal prior around equal ones."""
    count, rows = len(lesson.placed), max(len(lesson.target), 1)

    def objective(weights: _Floats) -> tuple[float, _Floats]:
        loss, slopes = lesson.loss(weights)
        away = (weights - 1 / count) / DEVIATION_FROM_EQUAL
        return (loss + (away**2).sum() / 2) / rows, (slopes + away / DEVIATION_FROM_EQUAL) / rows

    found = minimize(
        objective,
        np.full(count, 1 / count),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-10, "maxiter": 200},
    ).x
    weights = np.clip(found, 0, None)
    total = float(weights.sum())
    if not (math.isfinite(total) and total > 0):
        return np.full(count, 1 / count)
    result: _Floats = weights / total
    return result

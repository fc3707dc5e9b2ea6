"""Out-of-fold answers made what a submission would say, by kind of task, and measured: nothing judged by its own fit.

Answers are (n, columns): probabilities of classes or grades, those of labels, or numbers. What is right of them is (n,)
classes, or (n, k) targets of labels and numbers.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.features.feature_file import Features
from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.photographs import label_texts
from catsdogs.photographs.task import LABELS, NUMBER, ORDINAL, Task
from catsdogs.scoring import calibration, cut_points, decisions, measuring, measuring_targets, metrics, thresholds
from catsdogs.scoring.calibration import Calibration
from catsdogs.scoring.grades import Grade
from catsdogs.scoring.measuring import Measurement

_Floats = NDArray[np.float64]
_Flags = NDArray[np.bool_]
_Labels = NDArray[np.int64]
Truth = NDArray[Any]  # (n,) classes, or (n, k) targets
Decided = NDArray[Any]  # see `Rule.decide`


def truth_of(file: Features) -> Truth:
    """What is right of the training rows: (n,) classes, or (n, k) targets where a row has more than a class."""
    return file.labels if file.task.has_classes else file.targets


def grades_of(task: Task, classes: tuple[str, ...]) -> tuple[float, ...]:
    """The values of the grades, in the order of the classes; none for other kinds."""
    return tuple(label_texts.table_of(task, classes)[:, 0].tolist()) if task.kind == ORDINAL else ()


@dataclass(frozen=True)
class Rule:
    """How answers become what is written, fitted to answers out of fold.

    Attributes:
        calibration: of probabilities.
        thresholds: from which probability on each label is named; or the cut points of expected grades. Empty where
            nothing of the kind is decided.
        values: of the grades, see `grades_of`.
        names_one: whether a row is given a label at least, for no training photograph is without.
    """

    task: Task
    calibration: Calibration = field(default_factory=Calibration)
    thresholds: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    names_one: bool = False

    @property
    def submitted(self) -> Calibration:
        """`calibration`, without its clip where the metric looks at an order only, which a clip would tie."""
        return as_submitted(self.calibration, self.task)

    def decide(self, answers: _Floats, fold: _Labels | None = None) -> Decided:
        """What is named of calibrated answers: (n,) classes, or (n, k) whether a label is; numbers as they are."""
        if self.task.kind == LABELS:
            return thresholds.chosen(answers, self.thresholds, self.names_one)
        if self.task.kind == NUMBER:
            return answers
        if self.thresholds:
            return cut_points.graded(answers @ np.array(self.values), self.thresholds)
        return decisions.named(answers, self.task, fold)


def is_cut(task: Task) -> bool:
    """Whether grades are found by cut points; else the likeliest one, or what macro-F1 asks for, is taken."""
    return task.kind == ORDINAL and task.metric == metrics.QWK


def in_words(task: Task) -> str:
    """How answers out of fold were made what a submission would say, see `cross_fitted`."""
    if task.kind == NUMBER:
        return "within the range seen"
    how = "calibrated on the other folds"
    if task.kind == LABELS and task.metric in metrics.OF_LABELS:
        return f"{how}, as their thresholds are"
    if is_cut(task):
        return f"{how}, as their cut points are"
    return how if metrics.find(task.metric).takes_a_clip else f"{how}, for {task.metric} without a clip"


def fit(answers: _Floats, right: Truth, task: Task, values: tuple[float, ...], calibrate: bool = True) -> Rule:
    """The rule for answers of rows that no head learnt; without `calibrate` probabilities stay as they are."""
    if task.kind == NUMBER:
        return Rule(task)
    fitted = fit_calibration(answers, right, task) if calibrate else Calibration()
    calibrated = apply(as_submitted(fitted, task), answers, task)
    if task.kind == LABELS:
        names_one = bool((right.sum(axis=1) > 0).all())
        metric = task.metric if task.metric in metrics.OF_LABELS else metrics.F1_MACRO
        found = thresholds.fit_thresholds(calibrated, right, metric, names_one)
        return Rule(task, fitted, found, names_one=names_one)
    if is_cut(task):
        expected = calibrated @ np.array(values)
        found = cut_points.fit_cut_points(expected, right.astype(np.int64), len(values))
        return Rule(task, fitted, found, values)
    return Rule(task, fitted, values=values)


def fit_calibration(answers: _Floats, right: Truth, task: Task) -> Calibration:
    """The calibration of probabilities of rows that no head learnt; of labels one for all of them."""
    cells = answers if task.has_classes else _as_two_classes(answers)
    return calibration.fit_calibration(cells, right.ravel().astype(np.int64))


def as_submitted(fitted: Calibration, task: Task) -> Calibration:
    """A calibration without its clip where the metric looks at an order only, which a clip would tie."""
    by_threshold = task.kind == LABELS and task.metric in metrics.OF_LABELS
    takes_a_clip = metrics.find(task.metric).takes_a_clip and not by_threshold
    return fitted if takes_a_clip else replace(fitted, clip=0.0)


def apply(calibrated: Calibration, answers: _Floats, task: Task) -> _Floats:
    """Calibrated (n, columns) answers; each label's probability is calibrated as one of two classes."""
    if task.kind == NUMBER:
        return answers
    if task.kind != LABELS:
        return calibrated.apply(answers)
    return calibrated.apply(_as_two_classes(answers))[:, 1].reshape(answers.shape)


def _as_two_classes(probabilities: _Floats) -> _Floats:
    """(n k, 2): each of (n, k) probabilities of labels as a row of two classes."""
    return np.stack((1 - probabilities.ravel(), probabilities.ravel()), axis=1)


class Judged(NamedTuple):
    """Answers out of fold as they would be submitted.

    Attributes:
        answers: calibrated, with the clip of log loss.
        unclipped: what the metric looks at: the same, but for metrics that only look at an order.
        decided: see `Rule.decide`.
    """

    answers: _Floats
    unclipped: _Floats
    decided: Decided


def cross_fitted(
    answers: _Floats, right: Truth, fold: _Labels, task: Task, values: tuple[float, ...] = (), calibrate: bool = True
) -> Judged:
    """Each fold's rows by a rule that was fitted to the rows of all other folds; rows never held out stay NaN."""
    if task.kind == NUMBER:
        return Judged(answers, answers, answers)
    if task.kind == LABELS or is_cut(task):
        return _by_thresholds(answers, right, fold, task, values, calibrate)
    if not calibrate:
        return Judged(answers, answers, decisions.named(answers, task, fold))
    classes = right.astype(np.int64)
    after = unclipped = calibration.cross_fitted(answers, classes, fold)
    if not metrics.find(task.metric).takes_a_clip:
        unclipped = calibration.cross_fitted(answers, classes, fold, with_clip=False)
    return Judged(after, unclipped, decisions.named(unclipped, task, fold))


def _by_thresholds(
    answers: _Floats, right: Truth, fold: _Labels, task: Task, values: tuple[float, ...], calibrate: bool
) -> Judged:
    after, unclipped = np.full_like(answers, np.nan), np.full_like(answers, np.nan)
    decided: Decided = np.zeros(answers.shape, bool) if task.kind == LABELS else np.zeros(len(answers), np.int64)
    scored = fold != ALWAYS_LEARNT
    for number in np.unique(fold[scored]):
        held_out = fold == number
        others = scored & ~held_out
        rule = fit(answers[others], right[others], task, values, calibrate)
        after[held_out] = apply(rule.calibration, answers[held_out], task)
        unclipped[held_out] = apply(rule.submitted, answers[held_out], task)
        decided[held_out] = rule.decide(unclipped[held_out])
    return Judged(after, unclipped, decided)


def measure(judged: Judged, right: Truth, task: Task, rows: _Flags | slice = slice(None)) -> Measurement:
    """What some rows are worth by the metric of the task."""
    return _measured(task.metric, judged, right, task, rows)


def measure_log_loss(judged: Judged, right: Truth, task: Task, rows: _Flags | slice = slice(None)) -> Measurement:
    """The log loss of some rows; NaN for numbers, which have none."""
    if task.kind == NUMBER:
        return measuring.of_rows(np.full(len(judged.answers[rows]), np.nan))
    return _measured(metrics.LOG_LOSS, judged, right, task, rows)


def _measured(metric: str, judged: Judged, right: Truth, task: Task, rows: _Flags | slice) -> Measurement:
    answers = (judged.answers if metric == metrics.LOG_LOSS else judged.unclipped)[rows]
    named = judged.decided[rows]
    if task.kind == NUMBER:
        return measuring_targets.measure_numbers(metric, answers, right[rows])
    if task.kind == LABELS:
        return measuring_targets.measure_labels(metric, answers, right[rows], named)
    classes = right[rows].astype(np.int64)
    if metric == metrics.QWK:
        return measuring_targets.measure_grades(named, classes, answers.shape[1])
    return measuring.measure(metric, answers, classes, named)


def accuracy(judged: Judged, right: Truth, task: Task, rows: _Flags | slice = slice(None)) -> float:
    """The share of rows whose likeliest class is right, or that are given the right grade; NaN for other kinds."""
    if not task.has_classes:
        return math.nan
    likeliest = judged.decided if is_cut(task) else judged.answers.argmax(axis=1)
    return float((likeliest[rows] == right[rows]).mean())


def grade(judged: Judged, right: Truth, task: Task, measured_on: str, rows: _Flags | slice = slice(None)) -> Grade:
    """The grade of some rows by the metric of the task, with log loss and accuracy where the kind has them."""
    losses = by_metric = measure_log_loss(judged, right, task, rows)
    if task.metric != metrics.LOG_LOSS:
        by_metric = measure(judged, right, task, rows)
    return Grade(
        log_loss=losses.value,
        standard_error=losses.standard_error,
        accuracy=accuracy(judged, right, task, rows),
        rows=len(judged.answers[rows]),
        measured_on=measured_on,
        metric=task.metric,
        value=by_metric.value,
        value_error=by_metric.standard_error,
    )

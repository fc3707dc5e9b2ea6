"""The grade of probabilities: by the task's metric, by log loss and accuracy, with how they were measured."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from catsdogs.photographs.task import BEST_K, NAME
from catsdogs.scoring import measuring, metrics
from catsdogs.scoring.metrics import ACCURACY, F1_MACRO, LOG_LOSS


@dataclass(frozen=True)
class Grade:
    """How good probabilities are, and on what that was measured.

    Attributes:
        log_loss: NaN for answers that have none, such as names and numbers.
        standard_error: that of the mean log loss; NaN where it is not known, as of a single row.
        accuracy: the share of rows whose most probable class, or grade, is right; NaN for labels and numbers.
        metric, value, value_error: what it is to be quoted by, its value and its standard error. Those of log loss are
            the ones above.
    """

    log_loss: float
    standard_error: float
    accuracy: float
    rows: int
    measured_on: str
    metric: str = LOG_LOSS
    value: float = math.nan
    value_error: float = math.nan

    def __post_init__(self) -> None:
        if self.metric == LOG_LOSS:
            object.__setattr__(self, "value", self.log_loss)
            object.__setattr__(self, "value_error", self.standard_error)

    def __str__(self) -> str:
        figures = [f"log loss {self.log_loss:.5f}{self.doubt}"] if math.isfinite(self.log_loss) else []
        if self.metric != LOG_LOSS:
            figures.insert(0, f"{self.metric} {self.value:.5f}{self.value_doubt}")
        if self.metric != ACCURACY and math.isfinite(self.accuracy):
            figures.append(f"accuracy {self.accuracy:.2%}")
        return f"{', '.join(figures)} ({self.measured_on})"

    @property
    def doubt(self) -> str:
        """The standard error as it follows the log loss; empty where it is not known."""
        return _doubt(self.standard_error)

    @property
    def value_doubt(self) -> str:
        """The standard error as it follows the metric's value; empty where it is not known."""
        return _doubt(self.value_error)


def score(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    measured_on: str,
    metric: str = LOG_LOSS,
    named: NDArray[np.int64] | None = None,
    unclipped: NDArray[np.float64] | None = None,
) -> Grade:
    """The grade of (n, classes) probabilities where `labels`, (n,), are the classes that are right.

    Args:
        metric, named: as in `measuring.measure`.
        unclipped: (n, classes) what the metric is measured on, if not on the probabilities: where only an order counts,
            they are written without the clip that log loss needs.
    """
    losses = by_metric = measuring.measure(LOG_LOSS, probabilities, labels)
    if metric != LOG_LOSS:
        by_metric = measuring.measure(metric, probabilities if unclipped is None else unclipped, labels, named)
    return Grade(
        log_loss=losses.value,
        standard_error=losses.standard_error,
        accuracy=float((probabilities.argmax(axis=1) == labels).mean()),
        rows=len(labels),
        measured_on=measured_on,
        metric=metric,
        value=by_metric.value,
        value_error=by_metric.standard_error,
    )


def beside_unscored(grade: Grade, rows: int) -> Grade:
    """A grade that also says what it would be, were further rows that are in no score all wrong.

    That is known of the means over rows, accuracy, micro-F1 and MAP@K; others stay as they are.
    """
    if not rows or grade.metric == F1_MACRO or metrics.find(grade.metric).wants not in (NAME, BEST_K):
        return grade
    least = grade.value * grade.rows / (grade.rows + rows)
    told = f"{grade.measured_on}; {least:.5f} were those not scored all wrong"
    return replace(grade, measured_on=told)


def _doubt(error: float) -> str:
    return f" ± {error:.5f}" if math.isfinite(error) else ""

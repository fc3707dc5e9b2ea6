"""Log loss and accuracy of probabilities, with how they were measured."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KAGGLE_EPSILON = 1e-15  # what Kaggle's pages on log loss say probabilities are kept from 0 and 1


@dataclass(frozen=True)
class Grade:
    """How good probabilities are, and on what that was measured.

    The standard error is that of the mean log loss; NaN where it is not known, as of a single row.
    """

    log_loss: float
    standard_error: float
    accuracy: float
    rows: int
    measured_on: str

    def __str__(self) -> str:
        return f"log loss {self.log_loss:.5f}{self.doubt}, accuracy {self.accuracy:.2%} ({self.measured_on})"

    @property
    def doubt(self) -> str:
        """The standard error as it follows the log loss; empty where it is not known."""
        return f" ± {self.standard_error:.5f}" if math.isfinite(self.standard_error) else ""


def score(probabilities: NDArray[np.float64], labels: NDArray[np.int64], measured_on: str) -> Grade:
    """The grade of (n, classes) probabilities where `labels`, (n,), are the classes that are right."""
    losses = log_losses(probabilities, labels)
    deviation = float(losses.std(ddof=1)) if len(losses) > 1 else math.nan
    return Grade(
        log_loss=float(losses.mean()),
        standard_error=deviation / math.sqrt(len(losses)),
        accuracy=float((probabilities.argmax(axis=1) == labels).mean()),
        rows=len(losses),
        measured_on=measured_on,
    )


def mean_and_error(values: NDArray[np.float64]) -> tuple[float, float]:
    """The mean of (n,) values and its standard error."""
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))


def log_losses(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) losses, as Kaggle's: -ln of the probability of the right class, rows divided by their sum, clipped."""
    right = probabilities[np.arange(len(labels)), labels] / probabilities.sum(axis=1)
    losses: NDArray[np.float64] = -np.log(np.clip(right, KAGGLE_EPSILON, 1 - KAGGLE_EPSILON))
    return losses

"""A grade says what it is measured by, and how."""

import math
from dataclasses import replace

import numpy as np
import pytest

from catsdogs.scoring import grades
from catsdogs.scoring.grades import Grade

LOG_LOSS = Grade(0.0205, 0.0031, 0.993, 1000, "out of fold")


def test_log_loss_is_said_as_ever() -> None:
    assert str(LOG_LOSS) == "log loss 0.02050 ± 0.00310, accuracy 99.30% (out of fold)"
    assert (LOG_LOSS.metric, LOG_LOSS.value, LOG_LOSS.value_error) == ("log-loss", 0.0205, 0.0031)


def test_another_metric_comes_first() -> None:
    by_area = replace(LOG_LOSS, metric="auc", value=0.98312, value_error=0.00412)
    assert str(by_area) == ("auc 0.98312 ± 0.00412, log loss 0.02050 ± 0.00310, accuracy 99.30% (out of fold)")
    assert str(replace(by_area, value_error=math.nan)).startswith("auc 0.98312, log loss")
    of_numbers = Grade(math.nan, math.nan, math.nan, 40, "out of fold", "rmse", 17.5, 0.25)
    assert str(of_numbers) == "rmse 17.50000 ± 0.25000 (out of fold)"
    by_accuracy = replace(LOG_LOSS, metric="accuracy", value=0.993, value_error=0.0026)
    assert str(by_accuracy) == "accuracy 0.99300 ± 0.00260, log loss 0.02050 ± 0.00310 (out of fold)"


@pytest.mark.parametrize("metric", ["log-loss", "auc", "accuracy", "f1-macro", "f1-micro", "map@2"])
def test_log_loss_stands_beside_every_metric(metric: str) -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 2], 40)
    labels = (rng.random(40) < probabilities[:, 1]).astype(np.int64)
    plain, graded = grades.score(probabilities, labels, "drawn"), grades.score(probabilities, labels, "drawn", metric)
    assert (graded.log_loss, graded.standard_error, graded.accuracy) == (
        plain.log_loss, plain.standard_error, plain.accuracy
    )  # fmt: skip
    assert graded.metric == metric and math.isfinite(graded.value) and graded.value_error > 0

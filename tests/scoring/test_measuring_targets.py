"""Measurements of labels, numbers and grades, against scikit-learn's and against resampled rows."""

import math
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import sem
from sklearn import metrics as oracle

from catsdogs.scoring import measuring
from catsdogs.scoring.measuring import Measurement
from catsdogs.scoring.measuring_targets import measure_grades, measure_labels, measure_numbers

F1 = {"f1-micro": "micro", "f1-macro": "macro", "f1-samples": "samples"}
OF_LABELS = ("log-loss", "mean-auc", *F1)
OF_ROWS = {"log-loss", "f1-samples", "mae"}
CASES = 1000
Labels = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]


def labels(seed: int, rows: int | None = None) -> Labels:
    """Probabilities, targets, and labels that are chosen; some are constant, some probabilities 0 or 1."""
    random = np.random.default_rng(seed)
    shape = (rows or random.integers(1, 30), random.integers(2, 5))
    targets = (random.random(shape) < random.random(shape[1])) * 1.0
    probabilities = np.clip(0.5 * random.random(shape) + 0.4 * targets + random.normal(scale=0.2, size=shape), 0, 1)
    if seed % 2:
        probabilities = np.round(probabilities, 1)
    return probabilities, targets, random.random(shape) < random.choice([0.1, 0.5], size=shape[1])


def by_scikit_learn(metric: str, rows: Labels) -> float:
    probabilities, targets, chosen = rows
    if metric in F1:
        return float(oracle.f1_score(targets, chosen, average=F1[metric], zero_division=0))
    columns = list(zip(targets.T, probabilities.T, strict=True))
    if metric == "log-loss":
        kept = [(truth, np.clip(np.stack([1 - share, share], 1), 1e-15, 1 - 1e-15)) for truth, share in columns]
        return float(np.mean([oracle.log_loss(truth, share, labels=[0, 1]) for truth, share in kept]))
    areas = [oracle.roc_auc_score(truth, share) for truth, share in columns if np.ptp(truth)]
    return float(np.mean(areas)) if areas else math.nan


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resamples are not looked at."""
    monkeypatch.setattr(measuring, "DRAWS", 2)


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize("metric", OF_LABELS)
def test_of_labels_the_value_is_scikit_learns(metric: str) -> None:
    for seed in range(CASES):
        rows = labels(seed)
        expected = by_scikit_learn(metric, rows)
        assert measure_labels(metric, *rows).value == pytest.approx(expected, rel=1e-9, nan_ok=True)


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize("metric", ["rmse", "mae"])
def test_of_numbers_the_value_is_scikit_learns(metric: str) -> None:
    function = {"rmse": oracle.root_mean_squared_error, "mae": oracle.mean_absolute_error}[metric]
    for seed in range(CASES):
        random = np.random.default_rng(seed)
        predicted, targets = random.normal(scale=100, size=(2, random.integers(1, 30), random.integers(1, 4)))
        assert measure_numbers(metric, predicted, targets).value == pytest.approx(function(targets, predicted))


@pytest.mark.usefixtures("few_draws")
def test_of_grades_the_value_is_scikit_learns() -> None:
    for seed in range(CASES):
        random = np.random.default_rng(seed)
        count, rows = random.integers(2, 7), random.integers(1, 30)
        grades, named = random.integers(0, random.integers(1, count + 1), (2, rows))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where it is 0 / 0
            expected = oracle.cohen_kappa_score(grades, named, weights="quadratic", labels=range(count))
        undefined = len({*grades.tolist(), *named.tolist()}) == 1
        assert measure_grades(named, grades, int(count)).value == pytest.approx(
            math.nan if undefined else expected, nan_ok=True
        )


def test_a_constant_grade_is_worth_nothing_and_undefined_where_it_is_all_there_is() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert measure_grades(np.full(4, 2), np.array([0, 1, 2, 4]), 5).value == 0
        found = measure_grades(np.full(4, 2), np.full(4, 2), 5)
        assert math.isnan(found.value) and math.isnan(found.standard_error)


def test_nothing_chosen_where_nothing_is_right_is_zero() -> None:
    nothing = np.zeros((3, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in F1:
            assert measure_labels(metric, nothing, nothing).value == 0


def test_without_a_choice_labels_of_at_least_a_half_are_chosen() -> None:
    probabilities, targets = np.array([[0.5, 0.49], [0.6, 0.2]]), np.array([[1.0, 1.0], [1.0, 0.0]])
    chosen = np.array([[True, False], [True, False]])
    for metric in F1:
        explicit = measure_labels(metric, probabilities, targets, chosen)
        assert measure_labels(metric, probabilities, targets).minus(explicit) == (0, 0)


def measured(metric: str, seed: int, rows: int, noise: float = 0.0) -> Measurement:
    """Of random rows; the truth is the same whatever the noise."""
    random = np.random.default_rng(seed)
    if metric == "qwk":
        grades = random.integers(0, 4, rows)
        called = np.clip(np.rint(grades + random.normal(scale=0.7 + noise, size=rows)), 0, 3).astype(np.int64)
        return measure_grades(called, grades, 4)
    if metric in ("rmse", "mae"):
        targets = random.normal(size=(rows, 2))
        return measure_numbers(metric, targets + random.normal(scale=1 + noise, size=(rows, 2)), targets)
    targets = (random.random((rows, 3)) < (0.2, 0.5, 0.4)) * 1.0
    logits = 2 * targets - 1 + random.normal(scale=1 + noise, size=targets.shape)
    return measure_labels(metric, 1 / (1 + np.exp(-logits)), targets)


@pytest.mark.parametrize("metric", [*OF_LABELS, "qwk", "rmse", "mae"])
def test_errors_are_how_far_other_photographs_would_have_led(metric: str) -> None:
    sets = 60
    pairs = [(measured(metric, seed, 250), measured(metric, seed, 250, 0.5)) for seed in range(sets)]
    assert all(one.is_mean == (metric in OF_ROWS) for one, _ in pairs)
    spread = np.std([one.value for one, _ in pairs], ddof=1)
    assert np.mean([one.standard_error for one, _ in pairs]) == pytest.approx(spread, rel=0.3)
    differences = [two.minus(one) for one, two in pairs]
    assert [difference for difference, _ in differences] == pytest.approx([two.value - one.value for one, two in pairs])
    spread = np.std([difference for difference, _ in differences], ddof=1)
    assert np.mean([error for _, error in differences]) == pytest.approx(spread, rel=0.3)
    assert pairs[0][0].minus(measured(metric, 0, 250)) == (0, 0)


@pytest.mark.parametrize("metric", ["mean-auc", "f1-micro", "f1-macro"])
def test_the_values_of_resamples_are_those_of_the_rows_drawn_again(metric: str) -> None:
    rows = labels(1, rows=20)
    random = np.random.default_rng(0)
    drawn = [random.integers(20, size=20) for _ in range(measuring.DRAWS)]
    expected = [by_scikit_learn(metric, (rows[0][one], rows[1][one], rows[2][one])) for one in drawn]
    np.testing.assert_allclose(measure_labels(metric, *rows).parts, expected)


def test_the_parts_of_means_are_their_rows() -> None:
    probabilities, targets, chosen = labels(2, rows=9)
    for metric in ("log-loss", "f1-samples"):
        found = measure_labels(metric, probabilities, targets, chosen)
        alone = [measure_labels(metric, probabilities[[row]], targets[[row]], chosen[[row]]).value for row in range(9)]
        assert found.parts == pytest.approx(alone) and found.standard_error == pytest.approx(sem(alone))

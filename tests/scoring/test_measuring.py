"""Metrics and their standard errors, against scikit-learn's, and against what other data would have given."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import sem, ttest_rel
from sklearn import metrics as oracle

from catsdogs.scoring import measuring
from catsdogs.scoring.measuring import measure

Rows = tuple[NDArray[np.float64], NDArray[np.int64]]
OF_ROWS = ("log-loss", "accuracy", "f1-micro", "map@2")
RESAMPLED = ("f1-macro", "mean-auc")


def drawn(seed: int, rows: int, classes: int, sharpness: float = 1.0, rounded: bool = False) -> Rows:
    """Probabilities and labels drawn from them; rounded ones have ties, and classes may have no row."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(rows, classes)) - np.arange(classes)
    powers = np.exp(logits)
    labels = (powers.cumsum(axis=1) < rng.random((rows, 1)) * powers.sum(axis=1, keepdims=True)).sum(axis=1)
    sharp = np.exp(sharpness * logits)
    probabilities = sharp / sharp.sum(axis=1, keepdims=True)
    if rounded:  # to 64ths, whose sums have no rounding that would break a tie
        probabilities = (rng.multinomial(64 - classes, probabilities) + 1) / 64
    return probabilities, labels


def by_scikit_learn(metric: str, probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    classes, likeliest = range(probabilities.shape[1]), probabilities.argmax(axis=1)
    sides = [number for number in classes if 0 < (labels == number).sum() < len(labels)]
    of: dict[str, Callable[[], float]] = {
        "log-loss": lambda: oracle.log_loss(labels, probabilities, labels=classes),
        "auc": lambda: oracle.roc_auc_score(labels, probabilities[:, 1]),
        "mean-auc": lambda: np.mean([oracle.roc_auc_score(labels == one, probabilities[:, one]) for one in sides]),
        "accuracy": lambda: oracle.accuracy_score(labels, likeliest),
        "f1-macro": lambda: oracle.f1_score(labels, likeliest, average="macro"),
        "f1-micro": lambda: oracle.f1_score(labels, likeliest, average="micro"),
        "map@1": lambda: oracle.top_k_accuracy_score(labels, probabilities, k=1, labels=classes),
        "map@9": lambda: oracle.label_ranking_average_precision_score(np.eye(len(classes))[labels], probabilities),
    }
    return float(of[metric]())


@pytest.mark.parametrize("metric", ["log-loss", "mean-auc", "accuracy", "f1-macro", "f1-micro", "map@1", "map@9"])
@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(3, 6), st.booleans())
def test_a_value_is_scikit_learns(metric: str, seed: int, rows: int, classes: int, rounded: bool) -> None:
    probabilities, labels = drawn(seed, rows, classes, 1.0, rounded and "map" not in metric)  # it breaks ties otherwise
    if len(set(labels.tolist())) < 2:
        return
    found = measure(metric, probabilities, labels, probabilities.argmax(axis=1))
    assert found.value == pytest.approx(by_scikit_learn(metric, probabilities, labels))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(2, 60), st.booleans())
def test_the_area_of_two_classes_is_scikit_learns_from_either_side(seed: int, rows: int, rounded: bool) -> None:
    probabilities, labels = drawn(seed, rows, 2, rounded=rounded)
    if len(set(labels.tolist())) < 2:
        return
    found = measure("auc", probabilities, labels)
    assert found.value == pytest.approx(by_scikit_learn("auc", probabilities, labels))
    assert measure("auc", probabilities[:, ::-1], 1 - labels).value == pytest.approx(found.value)


def test_the_area_tells_apart_what_a_float_near_one_does_not() -> None:
    probabilities = np.array([[1e-30, 1], [1e-20, 1], [0.9, 0.1], [1e-25, 1]])
    labels = np.array([1, 0, 0, 1])
    assert oracle.roc_auc_score(labels, probabilities[:, 1]) == 0.75
    assert measure("auc", probabilities, labels).value == 1


def test_a_class_that_all_rows_or_none_have_leaves_no_area() -> None:
    for labels in (np.zeros(4, np.int64), np.ones(4, np.int64)):
        for metric in ("auc", "mean-auc"):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = measure(metric, np.full((4, 2), 0.5), labels)
                assert math.isnan(found.value) and math.isnan(found.standard_error)


def test_the_values_of_resamples_are_those_of_the_rows_drawn_again() -> None:
    probabilities, labels = drawn(1, 50, 3, rounded=True)
    named = probabilities.argmax(axis=1)
    generator = np.random.default_rng(0)
    rows = [generator.integers(50, size=50) for _ in range(measuring.DRAWS)]
    for metric in RESAMPLED:
        expected = [by_scikit_learn(metric, probabilities[drawn], labels[drawn]) for drawn in rows]
        np.testing.assert_allclose(measure(metric, probabilities, labels, named).parts, expected, rtol=1e-12)


@pytest.mark.parametrize("metric", OF_ROWS)
def test_errors_of_means_are_those_of_their_rows(metric: str) -> None:
    probabilities, labels = drawn(1, 300, 3)
    other, _ = drawn(1, 300, 3, sharpness=0.5)
    one, two = measure(metric, probabilities, labels), measure(metric, other, labels)
    assert one.standard_error == pytest.approx(sem(one.parts))
    difference, error = two.minus(one)
    assert difference == pytest.approx(two.value - one.value)
    assert error == 0 or difference / error == pytest.approx(ttest_rel(two.parts, one.parts).statistic)


@pytest.mark.parametrize("metric", ["auc", *RESAMPLED])
def test_errors_of_resamples_are_how_far_other_photographs_would_have_led(metric: str) -> None:
    classes, rows, sets = 2 if metric == "auc" else 4, 400, 200
    pairs = []
    for seed in range(sets):
        probabilities, labels = drawn(seed, rows, classes)
        noise = np.exp(np.random.default_rng(seed).normal(size=probabilities.shape))
        named = [values.argmax(axis=1) for values in (probabilities, probabilities * noise)]
        noisy = probabilities * noise / (probabilities * noise).sum(axis=1, keepdims=True)
        pairs.append([measure(metric, probabilities, labels, named[0]), measure(metric, noisy, labels, named[1])])
    spread = np.std([one.value for one, _ in pairs], ddof=1)
    assert np.mean([one.standard_error for one, _ in pairs]) == pytest.approx(spread, rel=0.2)
    differences = [other.minus(one) for one, other in pairs]
    spread = np.std([difference for difference, _ in differences], ddof=1)
    assert np.mean([error for _, error in differences]) == pytest.approx(spread, rel=0.2)


def test_a_measurement_is_no_better_than_itself_and_the_same_at_every_call() -> None:
    rows = drawn(3, 80, 3)
    for metric in (*OF_ROWS, *RESAMPLED):
        assert measure(metric, *rows).minus(measure(metric, *rows)) == (0, 0)


@pytest.mark.parametrize("metric", [*OF_ROWS, *RESAMPLED])
def test_the_mean_of_repeats(metric: str) -> None:
    probabilities, labels = drawn(4, 90, 3)
    repeats = [measure(metric, drawn(4, 90, 3, sharpness)[0], labels) for sharpness in (1, 2, 4)]
    mean = measuring.mean_of(repeats)
    assert mean.value == pytest.approx(np.mean([one.value for one in repeats]))
    np.testing.assert_allclose(mean.parts, np.mean([one.parts for one in repeats], axis=0))
    assert measuring.mean_of(repeats[:1]).value == repeats[0].value == measure(metric, probabilities, labels).value


def test_rows_that_hang_together_are_drawn_together() -> None:
    """All rows twice, of which each two hang together: as if there were no copies."""
    probabilities, labels = drawn(5, 60, 2)
    twice = np.tile(np.arange(60), 2)
    for metric in (*OF_ROWS, "auc", *RESAMPLED):
        once, copied = (
            measure(metric, probabilities, labels),
            measure(metric, np.tile(probabilities, (2, 1)), labels[twice]),
        )
        assert once.together(np.arange(60)) is once
        together = copied.together(twice)
        assert together.rows == 60 and together.value == pytest.approx(once.value)
        np.testing.assert_allclose(together.parts, once.parts, rtol=1e-9, atol=1e-12)


def test_groups_of_other_sizes_have_the_error_of_a_ratio() -> None:
    random = np.random.default_rng(0)
    groups, errors, values = np.repeat(np.arange(40), random.integers(1, 9, 40)), [], []
    for _ in range(300):
        of_groups = random.normal(size=40)
        losses = measuring.of_rows(of_groups[groups] + 0.1 * random.normal(size=len(groups)))
        together = losses.together(groups)
        assert together.parts.mean() == pytest.approx(losses.value)
        errors.append(together.standard_error)
        values.append(losses.value)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.1)
    assert losses.standard_error < 0.6 * np.mean(errors)
    with pytest.raises(ValueError, match="drawn already"):
        measuring.mean_of([measure("auc", *drawn(0, 20, 2))] * 2).together(np.arange(20) // 2)

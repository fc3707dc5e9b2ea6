"""Thresholds of labels, against all thresholds that there are."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from catsdogs.scoring.measuring_targets import measure_labels
from catsdogs.scoring.thresholds import chosen, fit_thresholds

Rows = tuple[NDArray[np.float64], NDArray[np.bool_]]
F1 = ("f1-micro", "f1-macro", "f1-samples")
MOST_ROWS = {1: 60, 2: 40, 3: 16, 4: 7}  # so that all thresholds can be tried


def drawn(seed: int, rows: int, labels: int) -> Rows:
    """Labels, some of which no row has, and probabilities that tell of them, some with ties or constant."""
    random = np.random.default_rng(seed)
    targets = random.random((rows, labels)) < random.choice([0.1, 0.3, 0.6], size=labels)
    logits = targets * random.choice([0, 1, 2]) + random.normal(size=(rows, labels))
    probabilities = 1 / (1 + np.exp(-logits))
    if seed % 3 == 0:
        probabilities = np.round(probabilities, 1)
    if seed % 5 == 0:
        probabilities[:, 0] = random.choice([0, 0.4, 1])
    return probabilities, targets


def f1_of(metric: str, on: NDArray[np.bool_], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(m,) F1 of (m, n, k) labels where (n, k) are right; 0 where there is nothing."""
    axes = {"f1-micro": (1, 2), "f1-macro": (1,), "f1-samples": (2,)}[metric]
    both = on.sum(axis=axes) + np.broadcast_to(right, on.shape).sum(axis=axes)
    f1 = 2 * (on & right).sum(axis=axes) / np.maximum(both, 1)
    return f1.reshape(len(on), -1).mean(axis=1)


def best_of_all(metric: str, probabilities: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    limits = [[*np.unique(column), 2] for column in probabilities.T]
    every = np.array(list(itertools.product(*limits)))
    return float(f1_of(metric, probabilities >= every[:, np.newaxis], right).max())


@pytest.mark.parametrize("metric", F1)
@settings(deadline=None, max_examples=120)
@given(st.integers(0, 100_000), st.sampled_from(sorted(MOST_ROWS)), st.data())
def test_no_thresholds_are_better(metric: str, seed: int, labels: int, data: st.DataObject) -> None:
    probabilities, right = drawn(seed, data.draw(st.integers(1, MOST_ROWS[labels])), labels)
    thresholds = fit_thresholds(probabilities, right.astype(np.float64), metric)
    assert len(thresholds) == labels and all(0 <= limit <= np.nextafter(1, 2) for limit in thresholds)
    found = f1_of(metric, chosen(probabilities, thresholds)[np.newaxis], right)[0]
    best = best_of_all(metric, probabilities, right)
    assert found == pytest.approx(best, abs=1e-3 if metric == "f1-samples" else 1e-12)


@pytest.mark.parametrize("metric", ["f1-micro", "f1-samples"])
@settings(deadline=None, max_examples=25)
@example(20670, 3, 13)  # two limits of a label differ by rounding
@given(st.integers(0, 100_000), st.integers(1, 3), st.integers(1, 25))
def test_where_rows_get_a_label_no_thresholds_of_a_thousand_are_better(
    metric: str, seed: int, labels: int, rows: int
) -> None:
    probabilities, right = drawn(seed, rows, labels)
    found = chosen(probabilities, fit_thresholds(probabilities, right, metric, at_least_one=True), at_least_one=True)
    others = np.random.default_rng(seed).uniform(0.001, 1, size=(1000, labels))
    on = np.stack([chosen(probabilities, limits, at_least_one=True) for limits in others.tolist()])
    assert f1_of(metric, found[np.newaxis], right)[0] >= f1_of(metric, on, right).max() - 1e-3


def test_rows_get_the_labels_whose_thresholds_they_reach_or_the_nearest_to_it() -> None:
    probabilities = np.array([[0.5, 0.2], [0.4, 0.1], [0.1, 0.15]])
    assert chosen(probabilities, (0.5, 0.2)).tolist() == [[True, True], [False, False], [False, False]]
    assert chosen(probabilities, (0.5, 0.2), True).tolist() == [[True, True], [True, False], [False, True]]


@pytest.mark.parametrize("metric", F1)
def test_thresholds_are_midway(metric: str) -> None:
    probabilities = np.array([[0.9, 0.3], [0.7, 0.1], [0.1, 0.6]])
    assert fit_thresholds(probabilities, np.array([[1, 0], [1, 0], [0, 1]]), metric) == pytest.approx((0.4, 0.45))


@pytest.mark.parametrize("metric", F1)
@pytest.mark.parametrize("at_least_one", [False, True])
def test_a_label_that_no_row_has_is_never_chosen(metric: str, at_least_one: bool) -> None:
    probabilities = np.array([[0.9, 0.8, 1.0], [0.2, 0.9, 1.0], [0.3, 0.1, 1.0]])
    targets = np.array([[1, 0, 0], [0, 0, 0], [1, 0, 0]])
    thresholds = fit_thresholds(probabilities, targets, metric, at_least_one)
    assert thresholds[1:] == (0.95, np.nextafter(1, 2))
    assert not (probabilities >= thresholds)[:, 1:].any()
    assert not chosen(probabilities, fit_thresholds(probabilities, 0 * targets, metric)).any()
    assert chosen(probabilities, fit_thresholds(probabilities, 0 * targets + 1, metric)).all()


def test_of_many_rows_they_are_no_worse_than_any_in_common_and_no_better_than_by_rows() -> None:
    random = np.random.default_rng(0)
    right = random.random((3000, 12)) < 0.1
    probabilities = 1 / (1 + np.exp(3 - 2 * right - random.normal(size=right.shape)))
    found = chosen(probabilities, fit_thresholds(probabilities, right, "f1-samples"))
    common = max(f1_of("f1-samples", (probabilities >= limit)[np.newaxis], right)[0] for limit in np.arange(0, 1, 0.01))
    value = f1_score(right, found, average="samples", zero_division=0)
    assert value == pytest.approx(measure_labels("f1-samples", probabilities, right * 1.0, found).value)
    assert value >= common


@pytest.mark.parametrize("metric", F1)
def test_of_labels_by_chance_the_other_half_shows_no_skill(metric: str) -> None:
    gains = []
    for seed in range(30):
        random = np.random.default_rng(seed)
        probabilities, right = random.random((400, 3)), random.random((400, 3)) < (0.1, 0.3, 0.5)
        found = chosen(probabilities[200:], fit_thresholds(probabilities[:200], right[:200], metric))
        constant = np.stack([np.broadcast_to(row, (200, 3)) for row in itertools.product([False, True], repeat=3)])
        gains.append(f1_of(metric, found[np.newaxis], right[200:])[0] - f1_of(metric, constant, right[200:]).max())
    assert np.mean(gains) <= 0

"""Cut points, against all grades that could be given in the order of the scores."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from catsdogs.scoring.cut_points import fit_cut_points, graded
from catsdogs.scoring.measuring_targets import measure_grades


def kappa(called: NDArray[np.int64], grades: NDArray[np.int64]) -> float:
    """By its definition as a ratio of two mean squared differences; 0 where nothing differs."""
    by_chance = np.subtract.outer(grades, called) ** 2
    return float(1 - ((grades - called) ** 2).mean() / by_chance.mean()) if by_chance.any() else 0.0


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 100_000), st.integers(1, 8), st.integers(1, 5), st.integers(0, 2), st.sampled_from([-1, 0, 1]))
def test_no_grades_in_the_order_of_the_scores_are_better(
    seed: int, rows: int, count: int, digits: int, skill: int
) -> None:
    random = np.random.default_rng(seed)
    grades = random.integers(0, count, rows)
    scores = np.round(skill * grades + random.normal(size=rows), digits)  # few digits have ties
    distinct, place = np.unique(scores, return_inverse=True)
    rising = itertools.combinations_with_replacement(range(count), len(distinct))
    best = max(kappa(np.array(given)[place], grades) for given in rising)
    cut_points = fit_cut_points(scores, grades, count)
    assert len(cut_points) == count - 1 and list(cut_points) == sorted(cut_points) and np.isfinite(cut_points).all()
    assert kappa(graded(scores, cut_points), grades) == pytest.approx(best, abs=1e-12)


def test_a_cut_is_midway_between_two_scores() -> None:
    scores, grades = np.array([0.0, 1.0, 2.0, 4.0]), np.array([0, 0, 1, 2])
    assert fit_cut_points(scores, grades, 3) == (1.5, 3.0)
    assert graded(np.array([-9, 1.49, 1.5, 3, 99]), (1.5, 3.0)).tolist() == [0, 0, 1, 2, 2]


def test_neighbouring_floats_are_parted() -> None:
    scores = np.array([1.0, np.nextafter(1.0, 2)])
    assert graded(scores, fit_cut_points(scores, np.array([0, 1]), 2)).tolist() == [0, 1]


def test_grades_that_no_row_is_called_have_coinciding_cut_points() -> None:
    scores, grades = np.array([0.0, 1.0, 2.0, 3.0]), np.array([1, 1, 4, 4])
    assert fit_cut_points(scores, grades, 7) == (-4.0, 1.5, 1.5, 1.5, 7.0, 7.0)


@pytest.mark.parametrize("scores", [np.full(5, 2.0), -np.arange(5.0)])
def test_scores_that_tell_nothing_give_all_rows_the_grade_next_to_the_mean(scores: NDArray[np.float64]) -> None:
    grades = np.array([0, 1, 1, 2, 4])
    assert graded(scores, fit_cut_points(scores, grades, 5)).tolist() == [2] * 5
    assert graded(scores, fit_cut_points(scores, np.full(5, 3), 5)).tolist() == [3] * 5


def test_many_grades_are_no_matter() -> None:
    random = np.random.default_rng(0)
    grades = random.integers(0, 100, 30_000)
    scores = grades + random.normal(scale=5, size=30_000)
    cut_points = fit_cut_points(scores, grades, 100)
    plain = graded(scores, np.arange(99) + 0.5)
    assert kappa_of(graded(scores, cut_points), grades) >= kappa_of(plain, grades) > 0.9


def kappa_of(called: NDArray[np.int64], grades: NDArray[np.int64]) -> float:
    return measure_grades(called, grades, 100).value


def test_of_grades_by_chance_the_other_half_shows_no_skill() -> None:
    found = []
    for seed in range(100):
        random = np.random.default_rng(seed)
        scores, grades = random.normal(size=600), random.integers(0, 5, 600)
        cut_points = fit_cut_points(scores[:300], grades[:300], 5)
        assert kappa(graded(scores[:300], cut_points), grades[:300]) >= 0
        found.append(kappa(graded(scores[300:], cut_points), grades[300:]))
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))

"""Of heads equal in truth few comparisons call any worse, whatever the metric, and limits are those of known tables."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import binom, sem, studentized_range, t

from catsdogs.scoring import measuring, simultaneous
from catsdogs.scoring.measuring import Measurement
from catsdogs.scoring.simultaneous import Family

COMPARISONS, HEADS, ROWS = 300, 12, 200
AT_MOST = int(binom.ppf(0.95, COMPARISONS, 0.06))  # of comparisons that are wrong 6 times of 100

Floats = NDArray[np.float64]


def family_of(losses: Floats) -> Family:
    """Of (K, R, n) losses in R deals of five folds."""
    means = [measuring.mean_of([measuring.of_rows(row) for row in one]) for one in losses]
    return simultaneous.family(means, losses.mean(axis=2), 5)


def drawn(seed: int, heads: int = HEADS, rows: int = ROWS, repeats: int = 1, between: float = 0.0) -> Floats:
    """Losses of heads that are equal in truth: photographs are hard for all, and each deal has a part of its own."""
    random = np.random.default_rng(seed)
    own = random.exponential(size=(1, 1, rows)) + 0.3 * random.normal(size=(heads, 1, rows))
    return own + 0.3 * between / np.sqrt(rows) * random.normal(size=(heads, repeats, 1))


def calls_any_worse(values: Floats, family: Family) -> bool:
    best = int(values.argmin())
    return bool((values - values[best] > family.limit * family.errors[best]).any())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simultaneous, "_DRAWS_OF_MEANS", 300)


@pytest.mark.parametrize(("repeats", "between"), [(1, 0.0), (3, 1.5)], ids=["one deal", "deals that differ"])
def test_few_comparisons_of_equal_heads_call_any_worse(quick: None, repeats: int, between: float) -> None:
    wrong = before = 0
    for seed in range(COMPARISONS):
        losses = drawn(seed, repeats=repeats, between=between)
        means, values = losses.mean(axis=1), losses.mean(axis=(1, 2))
        wrong += calls_any_worse(values, family_of(losses))
        plain = np.sqrt((means[:, np.newaxis] - means).var(axis=2, ddof=1) / ROWS)
        before += calls_any_worse(values, Family(plain, 2))
    assert wrong <= AT_MOST
    assert before > 0.5 * COMPARISONS  # two standard errors, as of a difference that was named beforehand


def test_a_few_photographs_that_make_most_of_the_losses_widen_the_limit(quick: None) -> None:
    """As real ones do: of one photograph in a hundred a head is confidently wrong, another time another head."""
    wrong, limits = 0, []
    for seed in range(COMPARISONS):
        random = np.random.default_rng(seed)
        shape = (HEADS, 1, 2 * ROWS)
        losses = 0.02 * random.random(shape) + (random.random(shape) < 0.01) * random.exponential(3, shape)
        family = family_of(losses)
        wrong += calls_any_worse(losses.mean(axis=(1, 2)), family)
        limits.append(family.limit)
    assert wrong <= AT_MOST
    assert np.mean(limits) > 3.6  # of normal differences it is 3.3


def test_of_metrics_that_are_no_means_too() -> None:
    wrong = 0
    for seed in range(COMPARISONS // 3):
        random = np.random.default_rng(seed)
        labels = (random.random(80) < 0.3).astype(np.int64)
        dogs = expit(random.normal(size=80) + labels + random.normal(size=(6, 80)))
        found = [measuring.measure("auc", np.stack((1 - one, one), axis=1), labels) for one in dogs]
        values = np.array([one.value for one in found])
        wrong += calls_any_worse(-values, simultaneous.family(found, values[:, np.newaxis], 5))
    assert wrong <= binom.ppf(0.95, COMPARISONS // 3, 0.06)


@pytest.mark.parametrize("heads", [2, 3, 12, 20])
def test_the_limit_is_that_of_the_studentised_range(heads: int) -> None:
    """Tukey's, which knows that all entries are equally noisy."""
    random = np.random.default_rng(heads)
    found = family_of(random.normal(size=(heads, 1, 3000)))
    assert found.limit == pytest.approx(studentized_range.ppf(0.95, heads, np.inf) / math.sqrt(2), rel=0.04)


def test_of_two_heads_on_few_photographs_it_is_students() -> None:
    found = [family_of(np.random.default_rng(seed).normal(size=(2, 1, 8))).limit for seed in range(30)]
    assert np.mean(found) == pytest.approx(t.ppf(0.975, 7), rel=0.06)


def test_one_noisy_head_does_not_make_the_others_look_apart() -> None:
    losses = drawn(1, rows=2000)
    alone = family_of(losses).limit
    losses[0] += np.random.default_rng(0).normal(size=2000) * 10
    assert family_of(losses).limit > alone - 0.1


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000), st.permutations(range(5)), st.integers(1, 3))
def test_neither_the_order_of_heads_nor_a_constant_matters(seed: int, order: list[int], repeats: int) -> None:
    losses = drawn(seed, 5, 40, repeats, between=1.0)
    one, other = family_of(losses), family_of(losses[order] + np.arange(5.0)[:, np.newaxis, np.newaxis])
    np.testing.assert_allclose(other.errors, one.errors[np.ix_(order, order)], rtol=1e-6)
    assert other.limit == pytest.approx(one.limit, rel=1e-6 if repeats == 1 else 0.05)  # deals are drawn anew


def test_the_spread_between_deals_enters_the_errors() -> None:
    losses = drawn(3, 3, 50, 4, between=2.0)
    means, deals = losses.mean(axis=1), losses.mean(axis=2)
    spread = np.array([[(one - other).var(ddof=1) for other in deals] for one in deals])
    mean = spread.sum() / 6
    expected = [
        math.sqrt(sem(means[i] - means[j]) ** 2 + max(spread[i, j], mean) * (1 / 4 + 1 / 4))
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert family_of(losses).errors[[0, 0, 1], [1, 2, 2]] == pytest.approx(expected)
    # Two deals tell less of their spread than ten, and the limit says so.
    two, ten = (family_of(drawn(3, 3, 50, repeats, between=6.0)).limit for repeats in (2, 10))
    assert two > ten


def test_heads_that_are_one_and_the_same_are_apart_by_nothing() -> None:
    losses = drawn(4, 3, 50, 3, between=1.0)
    losses[1] = losses[0]
    found = family_of(losses)
    assert found.errors[0, 1] == 0 and found.errors[0, 2] > 0 and math.isfinite(found.limit)
    same = family_of(losses[:2])
    assert (same.errors == 0).all() and same.limit == 0


def test_copies_count_once() -> None:
    """All rows twice, of which each two hang together: as if there were no copies."""
    losses, twice = drawn(5, 4, 60)[:, 0], np.tile(np.arange(60), 2)
    once = [measuring.of_rows(row) for row in losses]
    copied = [measuring.of_rows(np.tile(row, 2)).together(twice) for row in losses]
    deals = np.array([[one.value] for one in once])
    found, expected = (simultaneous.family(some, deals, 5) for some in (copied, once))
    np.testing.assert_allclose(found.errors, expected.errors)
    assert found.limit == pytest.approx(expected.limit)
    apart = simultaneous.family([measuring.of_rows(np.tile(row, 2)) for row in losses], deals, 5)
    assert apart.errors[0, 1] == pytest.approx(expected.errors[0, 1] / math.sqrt(2), rel=0.02)


def test_of_a_single_entry_and_of_what_cannot_be_measured_nothing_is_said() -> None:
    one = measuring.of_rows(np.arange(5.0))
    assert simultaneous.family([one], np.zeros((1, 1)), 5).limit == simultaneous.BEFOREHAND
    unknown = measuring.measure("auc", np.full((4, 2), 0.5), np.zeros(4, np.int64))
    found = simultaneous.family([unknown, unknown], np.full((2, 1), np.nan), 5)
    assert np.isnan(found.errors).all() and found.limit == simultaneous.BEFOREHAND
    rare = Measurement(
        0.5, np.where(np.arange(measuring.DRAWS) % 3, np.linspace(0, 1, measuring.DRAWS), np.nan), False, 9
    )
    other = Measurement(0.5, np.linspace(1, 0, measuring.DRAWS), False, 9)
    found = simultaneous.family([rare, other], np.full((2, 1), 0.5), 5)
    assert found.errors[0, 1] > 0 and math.isfinite(found.limit)
    alone = simultaneous.family([one.together(np.zeros(5, np.int64))] * 2, np.zeros((2, 1)), 5)  # all in one group
    assert not calls_any_worse(np.array([0.0, 1.0]), alone)

"""What is written of probabilities, against all that could be written instead."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import rankdata

from catsdogs.photographs.task import BINARY, CLASSES, NAME, PROBABILITY, Task
from catsdogs.scoring import decisions, measuring

Probabilities = NDArray[np.float64]


def draw(seed: int, rows: int, classes: int) -> Probabilities:
    """Probabilities of classes of which some are rare."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(rng.choice([0.2, 1, 3]) * (rng.random(classes) + 0.1), rows)


def expected_macro_f1(probabilities: Probabilities, chosen: NDArray[np.int64]) -> float:
    """With expected counts in the place of counts, class by class."""
    total = 0.0
    for number in range(probabilities.shape[1]):
        called = chosen == number
        total += 2 * probabilities[called, number].sum() / (called.sum() + probabilities[:, number].sum())
    return total / probabilities.shape[1]


@pytest.mark.parametrize("metric", ["accuracy", "f1-micro"])
def test_by_accuracy_each_row_is_called_its_most_probable_class(metric: str) -> None:
    probabilities = draw(0, 5, 3)
    share_right = {
        called: probabilities[range(5), called].sum() for called in itertools.product(range(3), repeat=5)
    }  # in expectation, of every way to call all rows
    assert tuple(decisions.names(probabilities, metric)) == max(share_right, key=lambda called: share_right[called])


def test_by_macro_f1_no_other_names_are_expected_to_score_more() -> None:
    behind, better = [], 0
    for seed in range(200):
        size = np.random.default_rng(seed).integers((2, 2), (7, 4))
        probabilities = draw(seed, *size)
        rows, classes = probabilities.shape
        reached = expected_macro_f1(probabilities, decisions.names(probabilities, "f1-macro"))
        ways = itertools.product(range(classes), repeat=rows)
        behind.append(max(expected_macro_f1(probabilities, np.array(way)) for way in ways) - reached)
        better += reached > expected_macro_f1(probabilities, probabilities.argmax(axis=1)) + 1e-9
    # Row by row is not always the way to the very best, but nearly, and often better than the most probable.
    assert np.mean(np.array(behind) < 1e-9) >= 0.98 and max(behind) < 0.02
    assert better > 60


def test_the_names_for_macro_f1_score_more_on_labels_drawn_from_the_probabilities() -> None:
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet([4, 2, 0.5, 0.3], 20_000)
    labels = (probabilities.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    plain = measuring.measure("f1-macro", probabilities, labels, probabilities.argmax(axis=1))
    chosen = measuring.measure("f1-macro", probabilities, labels)
    difference, error = chosen.minus(plain)
    assert difference > 5 * error > 0


def test_each_fold_is_decided_on_alone_and_probabilities_are_scored_by_the_likelier_class() -> None:
    probabilities, fold = draw(3, 60, 3), np.arange(60) % 3
    by_name, by_probability = Task(CLASSES, NAME, metric="f1-macro"), Task(BINARY, PROBABILITY, metric="f1-macro")
    chosen = decisions.named(probabilities, by_name, fold)
    for number in range(3):
        alone = decisions.names(probabilities[fold == number], "f1-macro")
        assert np.array_equal(chosen[fold == number], alone)
    assert np.array_equal(decisions.named(probabilities, by_name), decisions.names(probabilities, "f1-macro"))
    assert np.array_equal(decisions.named(probabilities, by_probability, fold), probabilities.argmax(axis=1))
    assert not np.array_equal(chosen, probabilities.argmax(axis=1))


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 6))
def test_no_other_order_of_k_names_is_expected_to_score_more(seed: int, classes: int, k: int) -> None:
    probabilities = draw(seed, 3, classes)
    chosen = decisions.best(probabilities, k)
    assert chosen.shape == (3, min(k, classes))
    for row, order in zip(probabilities, chosen, strict=True):
        expected = {
            way: sum(row[name] / place for place, name in enumerate(way, start=1))
            for way in itertools.permutations(range(classes), min(k, classes))
        }
        assert expected[tuple(order.tolist())] == max(expected.values())


def test_equal_probabilities_are_in_the_order_of_classes() -> None:
    assert decisions.best(np.full((2, 7), 1 / 7), 3).tolist() == [[0, 1, 2]] * 2


UNITS = st.fractions(0, 1, max_denominator=10**6)
NEAR_AN_END = st.builds(lambda digits, power: Fraction(digits, 10**power), st.integers(1, 10**6), st.integers(6, 320))
SHARES = st.one_of(UNITS, NEAR_AN_END, NEAR_AN_END.map(lambda share: 1 - share))


@given(st.lists(SHARES, min_size=1, max_size=30))
def test_ranks_are_those_of_exact_arithmetic(shares: list[Fraction]) -> None:
    probabilities = np.array([[float(1 - share), float(share)] for share in shares])
    # Which answers differ: those of which float64 says one or the other side in other numbers.
    exact = {tuple(row): share for row, share in zip(probabilities.tolist(), shares, strict=True)}
    of_row = [exact[tuple(row)] for row in probabilities.tolist()]
    place = {share: number for number, share in enumerate(sorted(set(of_row)))}
    written = decisions.ranked(probabilities)
    assert ((written > 0) & (written < 1)).all()
    for column, sign in ((1, 1), (0, -1)):
        expected = rankdata([sign * place[share] for share in of_row])
        assert np.array_equal(rankdata(written[:, column]), expected)


@given(st.integers(0, 10_000), st.integers(2, 6), st.floats(0.1, 300))
def test_ranks_of_many_columns_are_those_of_the_log_odds(seed: int, classes: int, spread: float) -> None:
    scores = np.random.default_rng(seed).normal(scale=spread, size=(40, classes))
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    written = decisions.ranked(probabilities)
    assert ((written > 0) & (written < 1)).all()
    for column in range(classes):
        others = np.logaddexp.reduce(np.delete(scores, column, axis=1), axis=1)
        log_odds = scores[:, column] - others
        seen = np.abs(log_odds) < 700  # float64 has no smaller number than 1e-308 to full precision
        assert np.array_equal(rankdata(written[seen, column]), rankdata(log_odds[seen]))


def test_what_float64_keeps_apart_stays_the_probabilities() -> None:
    probabilities = draw(1, 200, 3).clip(1e-6)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(decisions.ranked(probabilities), probabilities, rtol=1e-12)


def test_rows_that_are_equal_stay_so_and_certain_ones_come_last() -> None:
    probabilities = np.array([[0.5, 0.5], [0, 1], [1e-30, 1], [0.5, 0.5], [1, 0], [0, 1]])
    written = decisions.ranked(probabilities)[:, 1]
    assert rankdata(written).tolist() == [2.5, 5.5, 4, 2.5, 1, 5.5]


def test_equal_answers_stay_equal_in_whatever_order_the_others_add_up() -> None:
    rows = np.array([[0.7, 0.1, 0.2], [0.7, 0.15, 0.15], [0.7, 0.2, 0.1], [0.6, 0.1, 0.3]])
    first = decisions.ranked(rows)[:, 0]
    assert len(set(first[:3])) == 1 and first[3] < first[0]

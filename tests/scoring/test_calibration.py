"""Clip and temperature against data sets whose error rate and calibration are known, for they were drawn."""

import functools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from catsdogs.scoring import calibration
from catsdogs.scoring.calibration import Calibration, clipped

PAGE = Path(__file__).parents[2] / "docs" / "calibration.md"
SURE = 1e-7  # what a head that is sure leaves to the other classes
DRAWS = 10_000
CASES = [(rows, rate) for rows in (2_500, 12_500, 25_000) for rate in (0, 1e-4, 1e-3, 1e-2)]
Rows = tuple[NDArray[np.float64], NDArray[np.int64]]


def certain(rows: int, mistakes: int, classes: int = 2, rest: float = SURE) -> Rows:
    """Rows of one prediction, of which the first few are mistakes."""
    probabilities = np.full((rows, classes), rest / (classes - 1))
    probabilities[:, 0] = 1 - rest
    labels = np.zeros(rows, int)
    labels[:mistakes] = classes - 1
    return probabilities, labels


def drawn(seed: int, rows: int, classes: int = 2, spread: float = 5, sharpness: float = 1, wrong: float = 0) -> Rows:
    """Calibrated rows; their logits are then multiplied by `sharpness`, and of `wrong` the label is any other class."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=spread, size=(rows, classes))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    labels = (labels + (rng.random(rows) < wrong) * rng.integers(1, classes, rows)) % classes
    powers = np.exp(sharpness * (logits - logits.max(axis=1, keepdims=True)))
    return powers / powers.sum(axis=1, keepdims=True), labels


def log_loss(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())


def expected_loss(clip: float, rate: float) -> float:
    """Of a fresh draw without end, of which `rate` are mistakes: the loss of a hit and of a mistake, weighed."""
    hit, mistake = clipped(certain(1, 0)[0], clip)[0]
    return -(1 - rate) * math.log(hit) - rate * math.log(mistake)


def rule(rows: int, mistakes: int) -> float:
    """The clip of certain rows in closed form, which tests below compare with what is fitted."""
    return (mistakes + 1 / 2) / (rows + 1 / 2)


@functools.cache
def simulated(rows: int, rate: float) -> dict[str, float]:
    """Mean expected loss over the clips chosen on `DRAWS` data sets, above that of a clip equal to the true rate.

    All rows are certain, so a data set is drawn by its number of mistakes.
    """
    seen, times = np.unique(np.random.default_rng(rows).binomial(rows, rate, DRAWS), return_counts=True)
    oracle = expected_loss(rate, rate)
    # All predictions alike, the clip that makes their own loss least is the share of mistakes among them.
    naive = [expected_loss(mistakes / rows, rate) for mistakes in seen]
    return {
        "oracle": oracle,
        "rule": float(np.average([expected_loss(rule(rows, k), rate) for k in seen], weights=times)) - oracle,
        "naive": float(np.average(naive, weights=times)) - oracle,
        "no clip": expected_loss(0, rate) - oracle,
    }


def table() -> list[list[float]]:
    """The numbers of the page's table: rows, rate, then losses in millionths."""
    lines = re.findall(r"^\|( [\d,]+ \|.*)\|$", PAGE.read_text(), re.MULTILINE)
    return [[float(cell.replace(",", "").replace(" %", "e-2")) for cell in line.split("|")] for line in lines]


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(("rows", "mistakes"), [(40, 0), (40, 3), (12_500, 1), (25_000, 0), (25_000, 300)])
def test_clip_counts_half_a_mistake_more_than_was_seen(rows: int, mistakes: int, classes: int) -> None:
    fitted = calibration.fit_calibration(*certain(rows, mistakes, classes))
    assert fitted.temperature == 1
    assert fitted.clip == pytest.approx(rule(rows, mistakes), rel=3e-3)


@pytest.mark.parametrize("rate", [0, 0.001, 0.01])
def test_clip_of_drawn_mistakes(rate: float) -> None:
    """Wherever in the data set the mistakes are."""
    for seed in range(10):
        probabilities, labels = certain(2_500, 0)
        labels[np.random.default_rng(seed).random(2_500) < rate] = 1
        fitted = calibration.fit_calibration(probabilities, labels)
        assert fitted.temperature == 1
        assert fitted.clip == pytest.approx(rule(2_500, int(labels.sum())), rel=3e-3)


def test_one_confident_mistake() -> None:
    probabilities, labels = certain(12_500, 1)
    assert log_loss(probabilities, labels) == pytest.approx(0.0013, abs=0.00005)
    assert log_loss(calibration.fit_calibration(probabilities, labels).apply(probabilities), labels) < 0.0009


@pytest.mark.parametrize(("rows", "rate"), CASES)
def test_regret_of_simulated_error_rates(rows: int, rate: float) -> None:
    losses = simulated(rows, rate)
    assert losses["rule"] < 0.54 / rows  # 0.511 but for the chance of the draws
    if rate:
        assert losses["rule"] < losses["no clip"]
        assert losses["rule"] < losses["naive"]
    if 0 < rate * rows < 3:
        assert losses["rule"] < losses["naive"] / 1.4


def test_page_shows_what_is_simulated() -> None:
    shown = table()
    assert [(rows, rate) for rows, rate, *_ in shown] == pytest.approx(np.array(CASES))
    for (rows, rate), (_, _, *losses) in zip(CASES, shown, strict=True):
        assert losses == pytest.approx([1e6 * loss for loss in simulated(rows, rate).values()], rel=0.02, abs=0.5)


@pytest.mark.parametrize("expected", [0.1, 1, 5, 20])
def test_expected_regret_is_about_half_a_row(expected: float) -> None:
    """Over every number of mistakes weighed by its chance: Krichevskiy's bound, which no rule of this kind is below."""
    rows, rate = 2_500, expected / 2_500
    counts = [k for k in range(rows) if binom.pmf(k, rows, rate) > 1e-9]
    mean = sum(binom.pmf(k, rows, rate) * expected_loss(rule(rows, k), rate) for k in counts)
    assert 0 < mean - expected_loss(rate, rate) < 0.515 / rows


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("wrong", [0.001, 0.01])
def test_clip_of_predictions_of_all_kinds(classes: int, wrong: float) -> None:
    spread = 15  # many rows are certain, some are not
    gained, regret = [], []
    fresh, answers = drawn(99, 100_000, classes, spread, wrong=wrong)
    oracle = min(log_loss(clipped(fresh, clip), answers) for clip in np.geomspace(1e-5, 0.1, 60))
    plain = log_loss(fresh, answers)
    for seed in range(8):
        fitted = calibration.fit_calibration(*drawn(seed, 2_500, classes, spread, wrong=wrong))
        loss = log_loss(clipped(fresh, fitted.clip), answers)
        gained.append(plain - loss)
        regret.append(loss - oracle)
    assert min(gained) > 0
    assert np.mean(regret) < 1 / 2_500


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_no_other_clip_costs_less(seed: int, classes: int) -> None:
    probabilities, labels = drawn(seed, 800, classes, 15, wrong=0.01)

    def cost(clip: float) -> float:
        return 800 * log_loss(clipped(probabilities, clip), labels) - math.log(clip / (classes - 1)) / 2

    fitted = calibration.fit_calibration(probabilities, labels)
    assert fitted.temperature == 1
    assert cost(fitted.clip) <= min(cost(clip) for clip in np.geomspace(1e-6, 0.1, 400)) + 1e-6


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("sharpness", [0.5, 3])
def test_temperature_mends(sharpness: float, classes: int) -> None:
    fitted = calibration.fit_calibration(*drawn(0, 4_000, classes, sharpness=sharpness))
    assert fitted.temperature == pytest.approx(sharpness, rel=0.1)
    fresh, answers = drawn(1, 50_000, classes, sharpness=sharpness)
    truth, _ = drawn(1, 50_000, classes)
    assert log_loss(fitted.apply(fresh), answers) < 1.01 * log_loss(truth, answers)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("spread", [1, 5, 15])
def test_temperature_of_calibrated_rows_is_left_alone(spread: float, classes: int) -> None:
    fitted = [calibration.fit_calibration(*drawn(seed, 1_000, classes, spread)).temperature for seed in range(10)]
    assert fitted == [1.0] * 10


def test_cross_fitted_rows_take_no_part_in_their_own_calibration() -> None:
    probabilities, labels = drawn(0, 600, 3, sharpness=3)
    fold = np.arange(600) % 3
    before = calibration.cross_fitted(probabilities, labels, fold)
    held_out = fold == 1
    fitted = calibration.fit_calibration(probabilities[~held_out], labels[~held_out])
    assert (before[held_out] == fitted.apply(probabilities[held_out])).all()
    labels[held_out] = (labels[held_out] + 1) % 3
    after = calibration.cross_fitted(probabilities, labels, fold)
    assert (before[held_out] == after[held_out]).all()
    assert (before[~held_out] != after[~held_out]).any()


@pytest.mark.parametrize("rows", [0, 1, 4, 5, 7])
def test_few_rows(rows: int) -> None:
    fitted = calibration.fit_calibration(*certain(rows, 0, 3, rest=0))
    assert fitted.temperature == 1
    assert 0 < fitted.clip <= calibration.MAX_CLIP


def test_zeros_and_ones_are_fitted_without_nan() -> None:
    with np.errstate(invalid="raise"):
        fitted = calibration.fit_calibration(*certain(1_000, 10, 4, rest=0))
    assert fitted.clip == pytest.approx(rule(1_000, 10), rel=3e-3)


def test_floor_is_shared_by_the_other_classes() -> None:
    sure = np.eye(5)[:2]
    assert clipped(sure, 0.04)[0] == pytest.approx([0.96, 0.01, 0.01, 0.01, 0.01])
    assert clipped(np.array([[0.999, 0.001], [0.3, 0.7]]), 0.01) == pytest.approx(np.array([[0.99, 0.01], [0.3, 0.7]]))
    assert (clipped(sure, 0) == sure).all()


@settings(max_examples=200, deadline=None)
@given(
    weights=st.integers(2, 6).flatmap(
        lambda classes: st.lists(
            st.lists(st.just(0.0) | st.floats(1e-300, 1), min_size=classes, max_size=classes).filter(any),
            min_size=1,
            max_size=5,
        )
    ),
    temperature=st.just(1.0) | st.floats(1 / 4, 4),
    clip=st.just(0.0) | st.floats(1e-9, 0.1),
)
def test_apply_keeps_rows_whole_and_the_most_probable_class(
    weights: list[list[float]], temperature: float, clip: float
) -> None:
    probabilities = np.array(weights) / np.sum(weights, axis=1, keepdims=True)
    result = Calibration(temperature, clip).apply(probabilities)
    assert result.sum(axis=1) == pytest.approx(1)
    before = probabilities.argmax(axis=1)
    assert (result[np.arange(len(result)), before] >= result.max(axis=1) * (1 - 1e-12)).all()
    assert (result >= clip / (result.shape[1] - 1) / (1 + clip) * (1 - 1e-12)).all()
    assert (result <= 1).all()

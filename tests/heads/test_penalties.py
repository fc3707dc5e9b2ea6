"""Penalties are chosen on rows that fits never saw, by a search that can be repeated by hand."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from catsdogs import heads
from catsdogs.errors import FitWarning
from catsdogs.heads import _convex, _penalties, dropout_sigmoid
from catsdogs.heads._convex import DesignMatrix
from catsdogs.heads._linear import PRIOR_VARIANCE, Lesson, best_scale
from catsdogs.photographs.task import LABELS

USUAL = 0.4  # of 40 columns, as `PRIOR_VARIANCE` has it
CHOOSING = ("blend", "dropout-sigmoid", "logistic", "ridge", "stack")


def drawn(rows: int = 400, noise: float = 1.0, width: int = 40, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Vectors of which the first columns tell the class, the less the more noise there is."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, width)).astype(np.float32)
    return X, (X[:, :4].sum(axis=1) + noise * random.normal(size=rows) > 0).astype(np.int64)


def held_out_loss(matrix: DesignMatrix, lesson: Lesson, splits: Any, penalty: float) -> float:
    """By fits of one split after the other."""
    total = 0.0
    for learnt, rows in splits:
        theta = matrix.minimise(_convex.log_loss, lesson.target, penalty, [learnt])[:, 0]
        total += float(_convex.log_loss(matrix.scores(theta)[rows], lesson.target[rows])[0].sum())
    return total


@pytest.mark.parametrize("rows", [400, 30])  # more rows than columns, and fewer
@pytest.mark.parametrize("noise", [0.1, 3.0])
def test_the_penalty_taken_has_worse_neighbours(rows: int, noise: float) -> None:
    X, y = drawn(rows, noise)
    matrix, lesson = DesignMatrix(X), Lesson(y)
    splits = lesson.splits(0)
    found = _penalties.fit(matrix, lesson, USUAL, splits)
    step = np.log(found.penalty / USUAL) / np.log(_penalties.STEP)
    assert abs(step - round(step)) < 1e-9
    here, *others = (
        held_out_loss(matrix, lesson, splits, USUAL * _penalties.STEP**one) + _penalties.prior_of(one)
        for one in (step, step - 1, step + 1)
    )
    assert here <= min(others) + 1e-3
    scores = _convex.log_loss(found.held_out, y[np.concatenate([rows for _, rows in splits])])[0].sum()
    assert scores + _penalties.prior_of(step) == pytest.approx(here, rel=3e-3)  # a search fits less exactly


def test_least_squares_are_judged_as_logits() -> None:
    X, y = drawn()
    matrix, lesson = DesignMatrix(X), Lesson(y)
    splits = lesson.splits(0)
    found = _penalties.fit_squares(matrix, lesson, USUAL, splits)
    target = lesson.held_out(splits)[0]
    losses = []
    for step in (-1, 0, 1):
        one = _penalties.fit_squares(matrix, lesson, found.penalty, splits, among=[step])
        scale = best_scale(one.held_out, target)
        away = np.log(one.penalty / USUAL) / np.log(_penalties.STEP)
        losses.append(_convex.log_loss(scale * one.held_out, target)[0].sum() + _penalties.prior_of(away))
    assert losses[1] == min(losses)


def test_weights_of_one_change_nothing() -> None:
    X, y = drawn()
    matrix, splits = DesignMatrix(X), Lesson(y).splits(0)
    plain, weighted = (
        _penalties.fit_squares(matrix, lesson, USUAL, splits) for lesson in (Lesson(y), Lesson(y, weights=np.ones(400)))
    )
    assert plain.penalty == weighted.penalty
    np.testing.assert_allclose(weighted.coef, plain.coef, atol=2e-3)
    np.testing.assert_allclose(weighted.held_out, plain.held_out, atol=5e-3)


@pytest.mark.parametrize("head", CHOOSING)
def test_noise_asks_for_stronger_penalties(head: str) -> None:
    """With a fifth of the labels flipped, other rows are told as well as with the best of some penalties."""
    fixed = "C" if head == "logistic" else "penalty"
    chosen, others = [], []
    for seed in range(3):
        X, y = drawn(600, 0.1, width=300, seed=seed)
        told = np.where(np.random.default_rng(1).random(300) < 0.2, 1 - y[:300], y[:300])
        usual = 1 / 3 if head == "logistic" else 1.0
        settings: list[dict[str, Any]] = [{}, *({fixed: usual * 3.0**step} for step in range(-6, 7, 3))]
        losses = [
            -np.log(
                heads.create(head, 0, (100, 200), **one)
                .fit(X[:300], told)
                .predict_proba(X[300:])[np.arange(300), y[300:]]
            )
            for one in settings
        ]
        chosen.append(losses[0].mean())
        others.append([one.mean() for one in losses[1:]])
    assert np.mean(chosen) < np.mean(others, axis=0).min() + 0.02 < np.mean(others, axis=0).max() - 0.02


def test_each_label_has_a_penalty_of_its_own() -> None:
    X, y = drawn(noise=0.1)
    chance = np.random.default_rng(3).integers(0, 2, len(y))
    head: Any = heads.create("logistic", kind=LABELS).fit(X, np.stack((y, chance), axis=1))
    assert head.parts_[0].C_[0] > 9 * head.parts_[0].C_[1]


@pytest.mark.parametrize("rows", [400, 30])
def test_least_squares_of_another_penalty_are_refined_from_the_last(rows: int) -> None:
    X, y = drawn(rows)
    matrix, lesson, learnt = DesignMatrix(X), Lesson(y), np.arange(5, rows)
    squares = _penalties.Squares(matrix, lesson, learnt)
    squares.solve(10.0)
    factor = squares.factor
    for penalty in (1.0, 3.0, 30.0, 200.0):
        anew = _penalties.Squares(matrix, lesson, learnt).solve(penalty)
        np.testing.assert_allclose(squares.solve(penalty), anew, atol=1e-3)
    assert squares.factor is factor
    squares.solve(1e4)
    assert squares.factor is not factor  # too far away


@pytest.mark.parametrize("tells", [True, False])
def test_the_search_of_other_networks_goes_on_from_the_penalty_of_the_first(
    monkeypatch: pytest.MonkeyPatch, tells: bool
) -> None:
    """But where the first step is better, as of columns that tell nothing, it goes on from there."""
    X, y = drawn(noise=0.1)
    X[:, 20:24] = X[:, :4] if tells else X[:, 20:24]
    lesson, tried, old = Lesson(y), list[float](), _penalties._Search._try

    def noting(self: Any, step: float, *arguments: Any) -> Any:
        tried.append(float(step))
        return old(self, step, *arguments)

    parts = [DesignMatrix(X[:, :20]), DesignMatrix(X[:, 20:])]
    alone = _penalties.fit(parts[1], lesson, 20 / PRIOR_VARIANCE, lesson.splits(0))
    monkeypatch.setattr(_penalties._Search, "_try", noting)
    first, second = _penalties.fit_networks(parts, lesson, lesson.splits(0))
    assert second.penalty == alone.penalty
    if tells:
        second_tried = tried[tried.index(_penalties.FIRST_STEP, 1) :]
        assert second_tried[:3] == [_penalties.FIRST_STEP, first.step, first.step + 1]


def test_the_last_penalty_tried_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = drawn(noise=0.1)
    monkeypatch.setattr(_penalties, "MOST_STEPS", 1)
    with pytest.warns(FitWarning, match="is the last that was tried: one beyond it may be better"):
        heads.create("ridge").fit(X, y)
    monkeypatch.setattr(dropout_sigmoid, "STEPS", np.array([4.0, 6.0, 8.0]))
    with pytest.warns(FitWarning, match=r"The penalty of dropout-sigmoid, 81 times the usual, is the last tried"):
        heads.create("dropout-sigmoid").fit(X, y)


def test_a_fit_that_does_not_converge_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = drawn()
    monkeypatch.setattr(_convex, "_MOST_STEPS", 2)
    with pytest.warns(FitWarning, match="A fit stopped after 2 steps, before its least loss was found"):
        heads.create("logistic", C=10.0).fit(X, y)


@pytest.mark.parametrize("dropout", [1.0, 0.9999, -0.1, float("nan")])
def test_dropout_that_leaves_nothing_is_refused(dropout: float) -> None:
    with pytest.raises(ValueError, match=r"a dropout of .*; it takes 0 to 0\.996094, or no column is left"):
        heads.create("dropout-sigmoid", dropout=dropout).fit(*drawn(40))


def test_several_classes_and_single_rows_are_learnt() -> None:
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(5), 12)
    X = (random.normal(size=(60, 40)) + 3 * np.eye(5, 40)[y]).astype(np.float32)
    for name in CHOOSING:
        probabilities = heads.create(name).fit(X, y).predict_proba(X)
        assert (probabilities.argmax(axis=1) == y).mean() > 0.9
    single = heads.create("dropout-sigmoid").fit(X[::12], y[::12])  # no row can be held out
    assert single.penalty_.tolist() == [1]  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def nothing_else_is_warned_of() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def test_a_sigmoid_is_told_from_its_slope() -> None:
    """The curvature that preconditions is that of the scores to begin with."""
    scores = np.random.default_rng(0).normal(size=(50, 1, 1))
    shares = expit(scores)
    assert _convex._curvature(_convex.log_loss, scores) == pytest.approx((shares * (1 - shares)).mean() / 2)

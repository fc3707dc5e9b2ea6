"""Heads of several labels, grades and numbers: against separate fits and closed forms, and what a kind asks for."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from catsdogs import heads
from catsdogs.errors import TrainingError
from catsdogs.heads import _convex
from catsdogs.photographs.task import CLASSES, LABELS, NUMBER, ORDINAL
from catsdogs.scoring import crossval
from tests.conftest import refused

LINEAR = ("blend", "dropout-sigmoid", "logistic", "ridge", "stack")
WIDTHS = (6, 14)

Floats = NDArray[np.float64]


def drawn(rows: int = 240, width: int = 20, columns: int = 3, noise: float = 0.7, seed: int = 0) -> tuple[Any, Floats]:
    """Vectors in columns of different sizes, and (n, columns) scores that they tell."""
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(rows, width))
    scores = X @ draw.normal(size=(width, columns)) / np.sqrt(width) + noise * draw.normal(size=(rows, columns))
    return (X * np.geomspace(0.01, 100, width) + 3).astype(np.float32), scores


def test_labels_learnt_at_once_are_those_learnt_one_by_one() -> None:
    """The loss of k sigmoids is the sum of k logistic regressions, each penalised alike."""
    X, scores = drawn()
    target = (scores > 0.3).astype(float)
    head = heads.create("logistic", kind=LABELS, C=0.05)
    scaled = StandardScaler().fit_transform(X.astype(np.float64))
    found = head.fit(X, target).predict_proba(X)
    for column, labels in zip(found.T, target.T, strict=True):
        alone = LogisticRegression(C=0.05, tol=1e-10, max_iter=10_000).fit(scaled, labels)
        np.testing.assert_allclose(column, alone.predict_proba(scaled)[:, 1], atol=2e-3)


def test_numbers_by_least_squares_are_ridge_regression() -> None:
    X, scores = drawn(noise=0.2)
    design = _convex.DesignMatrix(X, _convex.squared_loss, 5.0)
    shares = (scores - scores.min()) / np.ptp(scores)
    theta = design.minimise(shares, 5.0)
    scaled = StandardScaler().fit_transform(X.astype(np.float64))
    oracle = Ridge(5.0).fit(scaled, 2 * shares - 1)
    np.testing.assert_allclose(design.scores(theta), oracle.predict(scaled), atol=2e-3)


@pytest.mark.parametrize("loss", [_convex.share_loss, _convex.squared_loss])
def test_slopes_are_those_of_the_loss(loss: Any) -> None:
    draw = np.random.default_rng(0)
    logits, target, step = draw.normal(size=(5, 3)), draw.random((5, 3)), 1e-6
    numeric = (loss(logits + step, target)[0] - loss(logits - step, target)[0]) / (2 * step)
    np.testing.assert_allclose(loss(logits, target)[1], numeric, atol=1e-8)


@pytest.mark.parametrize("name", [*LINEAR, "LogisticRegression", "GaussianNB"])
def test_what_weighs_more_is_answered_more(name: str) -> None:
    X, scores = drawn(columns=2)
    target = (scores > np.array([0.8, 1.2])).astype(float)
    head = heads.create(name, 1, WIDTHS if name in ("blend", "stack") else (), LABELS)
    assert heads.takes(head, "sample_weight")
    plain = clone(head).fit(X, target).predict_proba(X)  # type: ignore[call-overload]
    weights = np.where(target > 0, 5.0, 1.0)
    weighed = clone(head).fit(X, target, sample_weight=weights).predict_proba(X)  # type: ignore[call-overload]
    assert (weighed.mean(axis=0) > plain.mean(axis=0) + 0.02).all()


@pytest.mark.parametrize("name", [*LINEAR, "LogisticRegression", "RandomForestClassifier"])
def test_labels_are_told(name: str) -> None:
    X, scores = drawn(noise=0.3)
    target = (scores > 0.3).astype(float)
    head = heads.create(name, 1, WIDTHS if name in ("blend", "stack") else (), LABELS).fit(X[:160], target[:160])
    answers = head.predict_proba(X[160:])
    assert answers.shape == (80, 3) and 0 <= answers.min() <= answers.max() <= 1
    for column, labels in zip(answers.T, target[160:].T, strict=True):
        assert column[labels == 1].mean() > column[labels == 0].mean() + 0.15


@pytest.mark.parametrize("name", [*LINEAR, "LogisticRegression"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_label_of_one_side_is_answered_as_it_is(name: str, value: float) -> None:
    X, scores = drawn()
    target = (scores > 0.3).astype(float)
    target[:, 1] = value
    answers = heads.create(name, 1, kind=LABELS).fit(X, target).predict_proba(X)
    assert (abs(answers[:, 1] - value) < 0.1).all() and np.isfinite(answers).all()
    assert ((answers > 0) & (answers < 1)).all() or name == "ridge"


@pytest.mark.parametrize("name", [*LINEAR, "Ridge", "SVR", "RandomForestRegressor", "KNeighborsRegressor"])
@pytest.mark.parametrize("columns", [1, 2])
def test_numbers_are_told_and_stay_within_the_range_seen(name: str, columns: int) -> None:
    X, scores = drawn(noise=0.2, columns=columns)
    X = (X - 3) / np.geomspace(0.01, 100, 20).astype(np.float32)
    target = 50 + 20 * scores
    head = heads.create(name, 1, WIDTHS if name in ("blend", "stack") else (), NUMBER).fit(X[:160], target[:160])
    answers = head.predict(X[160:])
    assert answers.shape == (80, columns)
    assert (answers >= target[:160].min(axis=0)).all() and (answers <= target[:160].max(axis=0)).all()
    blind = np.sqrt(((target[160:] - target[:160].mean(axis=0)) ** 2).mean())
    assert np.sqrt(((answers - target[160:]) ** 2).mean()) < (0.6 if name in LINEAR else 0.95) * blind
    wild = head.predict(1000 * X)
    assert (wild >= target[:160].min(axis=0)).all() and (wild <= target[:160].max(axis=0)).all()


@pytest.mark.parametrize("name", LINEAR)
def test_a_number_that_is_always_the_same_is_answered(name: str) -> None:
    X, _ = drawn()
    target = np.full((len(X), 1), 7.0)
    np.testing.assert_allclose(heads.create(name, 1, kind=NUMBER).fit(X, target).predict(X), target)


def test_noise_asks_for_a_strong_penalty() -> None:
    """Numbers that vectors do not tell are answered with their mean, or nearly so."""
    X, _ = drawn(rows=400)
    target = np.random.default_rng(5).normal(size=(400, 1))
    for name in ("blend", "logistic", "ridge", "stack"):
        answers = heads.create(name, 1, WIDTHS if name in ("blend", "stack") else (), NUMBER).fit(X, target).predict(X)
        assert answers.std() < 0.5 * target.std()


@pytest.mark.parametrize("name", [*LINEAR, "LogisticRegression", "RandomForestClassifier", "SVR"])
def test_grades_are_told_in_order(name: str) -> None:
    X, scores = drawn(noise=0.2, columns=1)
    X = (X - 3) / np.geomspace(0.01, 100, 20).astype(np.float32)
    grades = np.searchsorted([-0.8, 0, 0.3, 1.1], scores[:, 0])
    head = heads.create(name, 1, WIDTHS if name in ("blend", "stack") else (), ORDINAL).fit(X[:160], grades[:160])
    answers = head.predict_proba(X[160:])
    assert answers.shape == (80, 5) and (answers >= 0).all()
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-6)
    assert np.corrcoef(answers @ np.arange(5), grades[160:])[0, 1] > 0.7


def test_a_regressor_shares_a_number_between_two_grades() -> None:
    X, scores = drawn(noise=0.1, columns=1)
    grades = np.searchsorted([-0.8, 0, 0.3, 1.1], scores[:, 0])
    answers = heads.create("Ridge", kind=ORDINAL).fit(X, grades).predict_proba(X)
    assert (np.count_nonzero(answers, axis=1) <= 2).all()
    expected = np.clip(Ridge(random_state=0).fit(X, grades).predict(X), 0, 4)
    np.testing.assert_allclose(answers @ np.arange(5), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "kind", "why"),
    [
        ("notebook", NUMBER, "notebook tells classes apart, and numbers are asked for"),
        ("GaussianNB", NUMBER, "tells classes apart"),
        ("twin", LABELS, "twin learns one class for each photograph"),
        ("SVR", LABELS, "answers with a number, and labels are asked for"),
        ("Ridge", CLASSES, "answers with a number, and classes are asked for"),
    ],
)
def test_heads_that_cannot_serve_say_why(name: str, kind: str, why: str) -> None:
    assert why in heads.serves(name, kind)
    with refused(TrainingError, why):
        heads.create(name, kind=kind)


@pytest.mark.parametrize("kind", [LABELS, NUMBER, ORDINAL])
def test_settings_are_those_of_the_head_within(kind: str) -> None:
    head = heads.create("logistic", 3, kind=kind, C=0.5)
    assert heads.settings_of(head) == {"C": 0.5}
    assert heads.class_of(head) is heads.find("logistic")
    assert heads.settings_of(heads.create("logistic", 3, kind=kind, **heads.settings_of(head))) == {"C": 0.5}


def test_predictions_of_another_kind_are_refused() -> None:
    X, _ = drawn()

    class Odd:
        def predict(self, X: Any) -> Floats:
            return np.full((len(X), 1), np.nan)

        def predict_proba(self, X: Any) -> Floats:
            return np.full((len(X), 2), 1.5)

    with refused(TrainingError, "gives no finite numbers for 1 numbers"):
        crossval.checked_predictions(Odd(), X, 1, NUMBER)  # type: ignore[arg-type]
    with refused(TrainingError, "gives no probabilities for 2 labels"):
        crossval.checked_predictions(Odd(), X, 2, LABELS)  # type: ignore[arg-type]

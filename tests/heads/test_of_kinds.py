"""Heads of several labels, grades and numbers: against separate fits and closed forms, and what a kind asks for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from catsdogs import heads
from catsdogs.errors import TrainingError
from catsdogs.features.scaling import Scaling
from catsdogs.heads import _convex, _linear
from catsdogs.heads._linear import Lesson
from catsdogs.heads._penalties import Squares
from catsdogs.photographs.task import CLASSES, LABELS, NUMBER, ORDINAL
from catsdogs.scoring import crossval, kept_heads
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
    design = _convex.DesignMatrix(X)
    shares = (scores - scores.min()) / np.ptp(scores)
    theta = design.minimise(_convex.squared_loss, shares, 5.0)[:, 0]
    scaled = StandardScaler().fit_transform(X.astype(np.float64))
    oracle = Ridge(5.0).fit(scaled, 2 * shares - 1)
    np.testing.assert_allclose(design.scores(theta), oracle.predict(scaled), atol=2e-3)
    closed = Squares(design, Lesson(shares, is_number=True), np.arange(len(X))).solve(5.0)
    np.testing.assert_allclose(design.scores(closed), oracle.predict(scaled), atol=1e-4)


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
    np.testing.assert_allclose(answers[:, 1], (240 * value + 0.5) / 241, rtol=1e-6)  # one more row, half of each side
    assert ((answers > 0) & (answers < 1)).all()


def test_each_label_has_the_penalty_that_a_grid_search_finds() -> None:
    X, scores = drawn(rows=300, width=60, columns=2, noise=0)
    scores[:, 1] += 3 * np.random.default_rng(3).normal(size=300)  # a label that is told, and one that hardly is
    target = (scores > 0.2).astype(float)
    head = heads.create("logistic", kind=LABELS).fit(X, target)
    chosen = head.parts_[0].C_  # type: ignore[attr-defined]
    scaled = StandardScaler().fit_transform(X.astype(np.float64))
    grid = [100 / 60 / 3.0**step for step in range(-5, 8)]
    for own, labels in zip(chosen, target.T, strict=True):
        splits = _linear.inner_splits(target, 0)
        search = GridSearchCV(LogisticRegression(max_iter=5000), {"C": grid}, scoring="neg_log_loss", cv=splits)
        losses = -search.fit(scaled, labels).cv_results_["mean_test_score"]
        assert losses[np.argmin(abs(np.log(grid) - np.log(own)))] == pytest.approx(losses.min(), abs=1e-3)
    assert chosen[0] > 3 * chosen[1]


def test_scores_become_logits_as_by_logistic_regression_on_softened_labels() -> None:
    """A softened label is a row of each side, weighed."""
    _, scores = drawn(columns=2)
    target = (scores + np.random.default_rng(1).normal(size=scores.shape) > [0.3, 1.5]).astype(float)
    factors, offsets = _linear.platt(scores, target)
    for column, (own, labels) in enumerate(zip(scores.T, target.T, strict=True)):
        right, wrong = labels.sum(), (1 - labels).sum()
        soft = np.where(labels == 1, (right + 1) / (right + 2), 1 / (wrong + 2))
        twice = np.append(own, own)[:, np.newaxis], np.repeat([1, 0], len(own))
        oracle = LogisticRegression(C=1e9, tol=1e-8).fit(*twice, sample_weight=np.append(soft, 1 - soft))
        expected = oracle.coef_[0, 0], oracle.intercept_[0]
        np.testing.assert_allclose((factors[column], offsets[column]), expected, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("name", ["blend", "dropout-sigmoid", "logistic", "ridge", "stack"])
def test_rare_labels_are_answered_with_their_share(name: str) -> None:
    X, scores = drawn(rows=1200, columns=2)
    target = (scores > np.quantile(scores, [0.97, 0.9], axis=0).diagonal()).astype(float)
    head = heads.create(name, 1, WIDTHS if name in ("blend", "stack") else (), LABELS).fit(X[:800], target[:800])
    answers = head.predict_proba(X[800:])
    np.testing.assert_allclose(answers.mean(axis=0), target.mean(axis=0), atol=0.03)
    losses = _convex.share_loss(logit(answers), target[800:])[0].mean(axis=0)
    share = target[:800].mean(axis=0)
    assert (losses < -(share * np.log(share) + (1 - share) * np.log(1 - share))).all()


@pytest.mark.parametrize("kind", [LABELS, NUMBER, ORDINAL])
def test_dropout_sigmoid_learns_from_blocks_as_from_all_rows(kind: str) -> None:
    X, scores = drawn(rows=1200, columns=1 if kind == ORDINAL else 2, noise=0.2)
    X = (X - 3) / np.geomspace(0.01, 100, 20).astype(np.float32)
    of_kind = {LABELS: (scores > 1).astype(float), NUMBER: 50 + 20 * scores}
    target: Any = of_kind.get(kind, np.searchsorted([-0.8, 0, 0.3, 1.1], scores[:, 0]))
    made = [heads.create("dropout-sigmoid", 1, kind=kind) for _ in range(2)]
    if kind == NUMBER:
        for head in made:
            head.see_range(target)  # type: ignore[attr-defined]
    allowed = np.arange(1200) % 3 != np.arange(2)[:, np.newaxis]
    columns = np.arange(5 if kind == ORDINAL else 2)
    learner = made[0].streamed(made, Scaling([X]), columns, allowed.sum(axis=1))  # type: ignore[attr-defined]
    for _ in range(learner.epochs):
        for rows in np.split(np.random.default_rng(0).permutation(1200), 4):
            learner.learn(X[rows], target[rows], allowed[:, rows], 0.25)
        learner.end_epoch()
    for head, rows in zip(made, allowed, strict=True):
        alone = heads.create("dropout-sigmoid", 1, kind=kind).fit(X[rows], target[rows])
        found, expected = (crossval.predict(one, X, kind) for one in (head, alone))
        spread = np.ptp(target, axis=0).max() if kind == NUMBER else 1
        assert abs(found - expected).mean() < 0.03 * spread
    with pytest.raises(AttributeError):
        heads.create("ridge", kind=kind).streamed  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("kind", [LABELS, NUMBER, ORDINAL])
@pytest.mark.parametrize("name", [*LINEAR, "RandomForestClassifier", "RandomForestRegressor", "KNeighborsClassifier"])
def test_heads_of_every_kind_are_kept_to_the_last_digit(tmp_path: Path, name: str, kind: str) -> None:
    if heads.serves(name, kind):
        return
    X, scores = drawn(rows=90)
    target: Any = {LABELS: (scores > 0).astype(float), NUMBER: scores}.get(kind, np.digitize(scores[:, 0], [-0.5, 0.5]))
    fitted = [heads.create(name, seed, WIDTHS if name in ("blend", "stack") else (), kind) for seed in range(2)]
    kept_heads.write_heads(tmp_path / "heads.skops", name, [head.fit(X, target) for head in fitted])
    read = kept_heads.read_heads(tmp_path / "heads.skops", name, (2, 20, 3), "run", "Train again", kind)
    for head, again in zip(fitted, read, strict=True):
        assert np.array_equal(crossval.predict(head, X, kind), crossval.predict(again, X, kind))


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
    head, settings = heads.create("logistic", 3, kind=kind, C=0.5), {"C": 0.5, "search": "wide"}
    assert heads.settings_of(head) == settings
    assert heads.class_of(head) is heads.find("logistic")
    assert heads.settings_of(heads.create("logistic", 3, kind=kind, **heads.settings_of(head))) == settings


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

"""Pipelines give what scikit-learn's own give, and hand their last all that it takes."""

from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, RobustScaler, StandardScaler
from sklearn.svm import SVC

from catsdogs import heads
from catsdogs.heads._pipelines import Piped, column_scores
from catsdogs.photographs.task import LABELS, NUMBER, ORDINAL
from catsdogs.scoring import kept_heads
from tests.heads.test_heads import WIDTHS, blobs


@pytest.mark.parametrize(
    ("steps", "oracle"),
    [
        ("standard", [StandardScaler()]),
        ("robust+pca:3", [RobustScaler(), PCA(3, random_state=1)]),
        ("l2", [Normalizer()]),
        ("standard+select:4", [StandardScaler(), SelectKBest(f_classif, k=4)]),
        ("raw", []),
    ],
)
def test_scikit_learns_pipeline_gives_the_same(steps: str, oracle: list[Any]) -> None:
    X, y = blobs(3)
    head = heads.create(f"{steps}+LogisticRegression", 1, WIDTHS).fit(X, y)
    plain = make_pipeline(*oracle, LogisticRegression(random_state=1)).fit(X, y)
    np.testing.assert_allclose(head.predict_proba(X), plain.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize("name", ["quantile+logistic", "standard+pca:300+knn", "pca:4+blend", "normalize+SVC"])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_pipeline_learns_and_is_kept(name: str, classes: int) -> None:
    (X, y), (unseen, truth) = blobs(classes), blobs(classes, seed=1)
    X, unseen = (np.ascontiguousarray(one[:, :-1] / np.geomspace(0.01, 100, 12)[:-1]) for one in (X, unseen))
    head = heads.create(name, 1, (5, 6)).fit(X, y)
    answers = head.predict_proba(unseen)
    assert (answers.argmax(axis=1) == truth).mean() > 0.85 and np.allclose(answers.sum(axis=1), 1)
    again = skops.io.loads(skops.io.dumps(head), trusted=kept_heads._trusted(heads.find(name)))
    assert np.array_equal(again.predict_proba(unseen), answers)
    assert np.array_equal(heads.create(name, 1, (5, 6)).fit(X, y).predict_proba(unseen), answers)


@pytest.mark.parametrize("last", ["logistic", "GaussianNB", "LinearSVC"])
def test_labels_and_grades_come_through(last: str) -> None:
    X, y = blobs(3)
    labels = np.stack([y == 0, y > 0, y >= 0], axis=1).astype(int)
    answers = heads.create(f"standard+select:5+{last}", kind=LABELS).fit(X, labels).predict_proba(X)
    assert ((answers > 0.5) == labels).mean() > 0.9
    grades = heads.create(f"standard+pca:5+{last}", kind=ORDINAL).fit(X, y).predict_proba(X)
    assert (grades.argmax(axis=1) == y).mean() > 0.8


def test_numbers_come_through() -> None:
    X, y = blobs(3)
    numbers = np.stack([10.0 * y, X[:, 3]], axis=1)
    for last in ("ridge", "SVR"):
        answers = heads.create(f"standard+select:9+{last}", kind=NUMBER).fit(X, numbers).predict(X)
        assert np.corrcoef(answers[:, 0], numbers[:, 0])[0, 1] > 0.8


class Witness(ClassifierMixin, BaseEstimator):
    """A head that remembers what it was given."""

    def __init__(self, widths: tuple[int, ...] = (), random_state: int = 0) -> None:
        self.widths = widths
        self.random_state = random_state

    def fit(self, X: Any, y: Any, validation: Any = None, groups: Any = None, sample_weight: Any = None) -> "Witness":
        self.given_ = X.shape, validation[0].shape, groups, sample_weight
        return self

    def predict_proba(self, X: Any) -> Any:
        return np.full((len(X), 2), 0.5)


def test_a_head_is_given_all_that_it_takes() -> None:
    X, y = blobs(2)
    head: Any = Piped(("standard", "pca:3"), Witness())
    assert all(heads.takes(head, name) for name in ("validation", "groups", "sample_weight"))
    head.fit(X, y, (X[:5], y[:5]), np.arange(120), np.ones(120))
    shape, watched, groups, weights = head.head_.given_
    assert (shape, watched) == ((120, 3), (5, 3)) and groups[-1] == 119 and weights.sum() == 120
    plain: Any = heads.create("standard+GaussianNB")
    assert not heads.takes(plain, "groups") and heads.takes(plain, "sample_weight")


def test_widths_are_of_columns_as_they_came() -> None:
    assert heads.create("standard+blend", widths=WIDTHS).get_params()["estimator__widths"] == WIDTHS
    assert heads.create("standard+pca:3+blend", widths=WIDTHS).get_params()["estimator__widths"] == ()


def test_scores_become_probabilities() -> None:
    """In the order of the scores, and no worse than scikit-learn's own way to make them so."""
    X, y = blobs(2, rows=200)
    unseen, truth = blobs(2, rows=200, seed=1)
    head = heads.create("standard+SVC", 1).fit(X, y)
    plain = make_pipeline(StandardScaler(), SVC()).fit(X, y)
    order = np.argsort(plain.decision_function(unseen))
    answers = head.predict_proba(unseen)
    assert (np.diff(answers[order, 1]) > -1e-6).all()
    assert -np.log(answers[np.arange(200), truth]).mean() < 0.2


def test_columns_are_chosen_by_what_they_tell() -> None:
    random = np.random.default_rng(0)
    X, targets = random.normal(size=(90, 4)), random.integers(0, 2, (90, 2)).astype(float)
    X[:, 2] += 3 * targets[:, 1]
    X[:, 3] = 1
    assert column_scores(X, targets[:, 1].astype(int)).argmax() == 2
    scores = column_scores(X, targets)
    assert scores.argmax() == 2 and np.isfinite(scores).all()

"""Nearest neighbours: who is near is what scikit-learn says, and their mean is smoothed."""

from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from catsdogs import heads
from catsdogs.photographs.task import LABELS, NUMBER, ORDINAL
from catsdogs.scoring import crossval
from tests.heads.test_heads import blobs


def test_with_all_neighbours_alike_it_is_scikit_learns() -> None:
    (X, y), (unseen, _) = blobs(3), blobs(3, seed=1)
    head: Any = heads.create("knn", k=7, temperature=1e9).fit(X, y)
    scaler = StandardScaler().fit(X)
    plain = KNeighborsClassifier(7, metric="cosine").fit(scaler.transform(X), y)
    share = (7 * plain.predict_proba(scaler.transform(unseen)) + head.doubt_ / 3) / (7 + head.doubt_)
    np.testing.assert_allclose(head.predict_proba(unseen), share, atol=1e-6)


def test_the_number_of_neighbours_comes_from_the_data() -> None:
    """One is enough where classes lie apart; of what is mostly noise many have to be asked."""
    random = np.random.default_rng(0)
    X, y = blobs(2, 400)
    noisy = np.where(random.random(400) < 0.35, 1 - y, y)
    sure: Any = heads.create("knn").fit(X, y)
    doubtful: Any = heads.create("knn").fit(X, noisy)
    assert doubtful.k_ > 20
    assert doubtful.predict_proba(X).max(axis=1).mean() < sure.predict_proba(X).max(axis=1).mean()


def test_no_class_is_impossible() -> None:
    X, y = blobs(4)
    answers = heads.create("knn").fit(X, y).predict_proba(X)
    assert answers.min() > 0 and np.allclose(answers.sum(axis=1), 1)


@pytest.mark.parametrize("kind", [LABELS, ORDINAL, NUMBER])
def test_other_kinds_of_task(kind: str) -> None:
    (X, y), (unseen, truth) = blobs(3, 240), blobs(3, 240, seed=1)
    if kind == NUMBER:
        head = heads.create("knn", kind=kind).fit(X, np.stack([10.0 * y, 5 - y], axis=1))
        assert np.abs(head.predict(unseen)[:, 0] - 10 * truth).mean() < 3  # 6.7 for who always says 10
    elif kind == LABELS:
        head = heads.create("knn", kind=kind).fit(X, np.stack([y == 0, y > 0, y >= 0], axis=1).astype(int))
        assert (
            (head.predict_proba(unseen) > 0.5) == np.stack([truth == 0, truth > 0, truth >= 0], axis=1)
        ).mean() > 0.9
    else:
        head = heads.create("knn", kind=kind).fit(X, y)
        assert (head.predict_proba(unseen).argmax(axis=1) == truth).mean() > 0.9


def test_copies_do_not_flatter() -> None:
    """Each row five times, under labels of pure chance: its copies would make one neighbour seem perfect."""
    random = np.random.default_rng(0)
    X, y = (
        np.repeat(random.normal(size=(60, 12)), 5, axis=0).astype(np.float32),
        np.repeat(random.integers(0, 2, 60), 5),
    )
    heeded, ignored = heads.create("knn"), heads.create("knn")
    crossval.fit(heeded, X, y, groups=np.arange(300) // 5)
    crossval.fit(ignored, X, y)
    unseen = random.normal(size=(100, 12)).astype(np.float32)
    assert heeded.predict_proba(unseen).max(axis=1).mean() < ignored.predict_proba(unseen).max(axis=1).mean()


def test_weights_count() -> None:
    X, y = blobs(2, 240)
    lies = np.arange(240) % 3 == 0
    head = heads.create("knn")
    crossval.fit(head, X, np.where(lies, 1 - y, y), weights=np.where(lies, 1e-6, 1.0))
    assert (head.predict_proba(X).argmax(axis=1) == y).mean() > 0.95

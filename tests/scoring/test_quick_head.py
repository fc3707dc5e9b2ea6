"""The quick head: it is ridge regression that leaves folds out, and learns corrections."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from catsdogs.errors import TrainingError
from catsdogs.features.feature_file import Features
from catsdogs.photographs.task import CLASSES, LABELS, NUMBER
from catsdogs.scoring import quick_head
from catsdogs.scoring.quick_head import QuickHead
from tests.support.vectors import clusters, write_vectors


def of_width(folder: Path, rows: int, width: int) -> tuple[Features, np.ndarray, np.ndarray]:
    vectors = clusters(rows, width)
    file = write_vectors(folder, "ResNet50", vectors, vectors[:2])
    return file, StandardScaler().fit_transform(vectors), np.arange(rows) % 5


@pytest.mark.parametrize(("rows", "width"), [(200, 30), (60, 300)])
def test_numbers_are_those_of_ridge_regression_without_the_fold(tmp_path: Path, rows: int, width: int) -> None:
    file, X, fold = of_width(tmp_path, rows, width)
    target = X[:, :2] + np.random.default_rng(0).normal(size=(rows, 2))
    found = QuickHead([file], fold, NUMBER).out_of_fold(target)
    for number in range(5):
        known = fold != number
        head = Ridge(quick_head.RIDGE * width).fit(X[known], target[known])
        # Its columns are centred over all rows, so that folds differ a little.
        assert np.corrcoef(found[~known].ravel(), head.predict(X[~known]).ravel())[0, 1] > 0.95


@pytest.mark.parametrize("kind", [CLASSES, LABELS])
def test_probabilities_are_calibrated_and_a_left_out_row_pulls_nowhere(tmp_path: Path, kind: str) -> None:
    file, X, fold = of_width(tmp_path, 300, 40)
    right = (X[:, 0] > 0).astype(int)
    target = np.eye(2)[right]
    head = QuickHead([file], fold, kind)
    clean = head.out_of_fold(target)
    assert ((clean[:, 1] > 0.5) == right).mean() > 0.85 and clean.mean() == pytest.approx(0.5, abs=0.05)
    if kind == CLASSES:
        assert clean.sum(axis=1) == pytest.approx(1)
    wrong = np.zeros(300, bool)
    wrong[np.random.default_rng(1).choice(300, 60, replace=False)] = True
    spoiled = np.where(wrong[:, None], 1 - target, target)
    off = [np.abs(head.out_of_fold(spoiled, left_out) - clean).mean() for left_out in (None, wrong)]
    assert off[1] < off[0] / 2


def test_what_is_always_learnt_is_not_judged_and_wide_rows_are_projected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick_head, "MOST_CELLS", 400 * 100)
    file, X, fold = of_width(tmp_path, 400, 200)
    fold[7] = -1
    target = np.eye(2)[(X[:, 0] > 0).astype(int)]
    found = QuickHead([file], fold, CLASSES).out_of_fold(target)
    assert np.isnan(found[7]).all() and np.isfinite(np.delete(found, 7, axis=0)).all()
    assert (found.argmax(axis=1) == target.argmax(axis=1)).mean() > 0.7


def test_a_network_that_says_nothing_is_refused(tmp_path: Path) -> None:
    file = write_vectors(tmp_path, "ResNet50", np.ones((20, 600), np.float32), np.ones((2, 600), np.float32))
    with pytest.raises(TrainingError):
        quick_head.of_files([dataclasses.replace(file, labels=np.arange(20) % 2)], (), 5, 0)

"""Every head, found by its file: it learns, is restored without pickle, and repeats itself."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from catsdogs import heads
from catsdogs.errors import TrainingError, UnknownNameError

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]
FEW = {"dropout-sigmoid": {"min_updates": 60}}


def blobs(classes: int, rows: int = 120, width: int = 12, seed: int = 0) -> Blobs:
    """Classes that a plane can tell apart, in columns of very different sizes, one of them constant."""
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    X = random.normal(size=(rows, width)) + 3 * np.eye(classes, width)[labels]
    X = X * np.geomspace(0.01, 100, width) + 5
    X[:, -1] = 7
    return X.astype(np.float32), labels


def create(name: str, **settings: object) -> heads.Head:
    return heads.create(name, 1, **(FEW.get(name, {}) | settings))


def test_names_come_from_the_files_alone() -> None:
    code = "import sys; from catsdogs import heads; print(heads.names(), {'keras', 'sklearn'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['dropout-sigmoid', 'logistic'] set()"


@pytest.mark.parametrize("name", heads.names())
@pytest.mark.parametrize("classes", [2, 4])
def test_a_head_learns_what_can_be_learnt(name: str, classes: int) -> None:
    X, y = blobs(classes)
    unseen, truth = blobs(classes, seed=1)
    head = create(name).fit(X, y)
    probabilities = head.predict_proba(unseen)
    assert probabilities.shape == (len(unseen), classes)
    assert np.allclose(probabilities.sum(axis=1), 1) and probabilities.min() >= 0
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.85
    assert head.predict_proba(unseen[:0]).shape == (0, classes)


@pytest.mark.parametrize("name", heads.names())
@pytest.mark.parametrize("classes", [2, 3])
def test_settings_and_arrays_are_the_whole_head(name: str, classes: int) -> None:
    X, y = blobs(classes)
    head = create(name).fit(X, y)
    arrays = {key: array.copy() for key, array in head.arrays().items()}
    assert all(array.dtype != object for array in arrays.values())
    restored = heads.create(name, 1, **head.settings).restore(arrays)
    assert restored.settings == head.settings
    assert np.array_equal(restored.predict_proba(X), head.predict_proba(X))


@pytest.mark.parametrize("name", heads.names())
@pytest.mark.parametrize(
    ("part", "array"),
    [
        ("mean", np.zeros(1)),
        ("scale", np.ones(11)),
        ("scale", np.zeros(12)),
        ("coef", np.zeros(12)),
        ("coef", np.full((1, 12), np.nan)),
        ("coef", np.full((1, 12), b"text", object)),
        ("intercept", np.zeros(2)),
        ("intercept", None),
    ],
)
def test_arrays_that_are_no_head_are_refused(name: str, part: str, array: NDArray[np.float64] | None) -> None:
    arrays = {"mean": np.zeros(12), "scale": np.ones(12), "coef": np.zeros((1, 12)), "intercept": np.zeros(1)}
    assert np.allclose(create(name).restore(arrays).predict_proba(np.zeros((3, 12), np.float32)), 0.5)
    damaged = {key: value for key, value in (arrays | {part: array}).items() if value is not None}
    with pytest.raises((KeyError, TypeError, ValueError)):
        create(name).restore(damaged)


@pytest.mark.parametrize("name", heads.names())
def test_the_validation_set_is_watched_only_and_the_same_seed_gives_the_same_head(name: str) -> None:
    X, y = blobs(2)
    before = X.copy()
    first, second = create(name).fit(X, y, blobs(2, seed=1)), create(name).fit(X, y)
    assert np.array_equal(first.predict_proba(X), second.predict_proba(X))
    assert np.array_equal(X, before)


def test_the_seed_matters_to_dropout() -> None:
    X, y = blobs(2)
    first, second = (heads.create("dropout-sigmoid", seed, min_updates=60).fit(X, y) for seed in (1, 2))
    assert not np.array_equal(first.predict_proba(X), second.predict_proba(X))


@pytest.mark.parametrize("classes", [2, 3])
def test_dropout_sigmoid_keeps_learning_curves(classes: int) -> None:
    X, y = blobs(classes)
    validation = blobs(classes, seed=1)
    head = create("dropout-sigmoid").fit(X, y, validation)
    assert set(head.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len({len(figures) for figures in head.history.values()}) == 1
    assert head.history["loss"][-1] < head.history["loss"][0]
    # What Keras saw in the last epoch is what the head says without Keras.
    probabilities = head.predict_proba(validation[0])
    losses = -np.log(probabilities[np.arange(len(probabilities)), validation[1]])
    assert head.history["val_loss"][-1] == pytest.approx(losses.mean(), rel=1e-3)
    assert head.history["val_accuracy"][-1] == pytest.approx((probabilities.argmax(axis=1) == validation[1]).mean())
    assert "val_loss" not in create("dropout-sigmoid").fit(X, y).history


def test_without_dropout_it_comes_to_the_optimum_of_the_logistic_head() -> None:
    X, y = blobs(2)
    dropout = heads.create("dropout-sigmoid", dropout=0.0, C=0.1, learning_rate=0.03, min_updates=450)
    logistic = heads.create("logistic", C=0.1)
    assert np.allclose(dropout.fit(X, y).predict_proba(X), logistic.fit(X, y).predict_proba(X), atol=0.01)


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_is_scikit_learns(classes: int) -> None:
    X, y = blobs(classes)
    oracle = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)).fit(X.astype(np.float64), y)
    assert np.allclose(heads.create("logistic").fit(X, y).predict_proba(X), oracle.predict_proba(X), atol=1e-3)


def test_a_new_head_is_one_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "coin_toss.py").write_text(
        "class CoinToss:\n"
        "    def __init__(self, seed, odds=0.5): self.settings, self.history = {'odds': odds}, {}\n"
        "    def fit(self, X, y, validation=None): return self\n"
        "    def predict_proba(self, X): return [[1 - self.settings['odds'], self.settings['odds']]] * len(X)\n"
        "    def arrays(self): return {}\n"
        "    def restore(self, arrays): return self\n"
    )
    (tmp_path / "half_done.py").write_text("class HalfDone:\n    def fit(self, X, y, validation=None): return self\n")
    (tmp_path / "misnamed.py").write_text("class Other: pass\n")
    monkeypatch.setattr(heads, "__path__", [*heads.__path__, str(tmp_path)])
    assert heads.names() == ["coin-toss", "dropout-sigmoid", "half-done", "logistic", "misnamed"]
    assert heads.create("coin-toss", odds=0.25).predict_proba(np.zeros((1, 3), np.float32)) == [[0.75, 0.25]]
    with pytest.raises(TrainingError, match=r"half_done\.py lacks HalfDone\.predict_proba"):
        heads.create("half-done")
    with pytest.raises(TrainingError, match=r"misnamed\.py lacks the class Misnamed"):
        heads.create("misnamed")


def test_an_unknown_head_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(UnknownNameError, match="dropout-sigmoid, logistic"):
        heads.create("svm")

"""Every head, found by its name: a scikit-learn classifier that learns, is kept without pickle, and repeats itself."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as RidgeRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from catsdogs import heads
from catsdogs.errors import TrainingError, UnknownNameError
from catsdogs.heads import _convex, _linear
from catsdogs.heads._convex import DesignMatrix

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]
NAMES = heads.names()
WITHOUT_KERAS = [name for name in NAMES if name != "notebook"]
WIDTHS = (5, 7)


def blobs(classes: int, rows: int = 120, width: int = 12, seed: int = 0) -> Blobs:
    """Classes that a plane can tell apart, in columns of very different sizes, one of them constant."""
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    X = random.normal(size=(rows, width)) + 3 * np.eye(classes, width)[labels]
    X = X * np.geomspace(0.01, 100, width) + 5
    X[:, -1] = 7
    return X.astype(np.float32), labels


def create(name: str, **other: object) -> heads.Head:
    return heads.create(name, 1, WIDTHS, **other)


def log_loss(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())


def test_names_come_from_the_files_alone() -> None:
    code = "import sys; from catsdogs import heads; print(heads.names(), {'keras', 'sklearn'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shipped = ["blend", "dropout-sigmoid", "knn", "logistic", "notebook", "ridge", "stack", "twin"]
    assert result.stdout.strip() == f"{shipped} set()"


@pytest.mark.parametrize("name", WITHOUT_KERAS)
def test_scikit_learn_takes_it_for_one_of_its_own(name: str) -> None:
    # Inner validation parts rows, not weights, as that of scikit-learn's LogisticRegressionCV does.
    expected = {"check_sample_weight_equivalence_on_dense_data": "a row of weight 2 is not parted as two rows are"}
    results = check_estimator(heads.create(name), on_skip=None, on_fail=None, expected_failed_checks=expected)
    assert len(results) > 40
    assert [result["check_name"] for result in results if result["status"] == "failed"] == []


@pytest.mark.parametrize("name", WITHOUT_KERAS)
@pytest.mark.parametrize("classes", [2, 4])
def test_an_answer_does_not_depend_on_the_rows_beside_it(name: str, classes: int) -> None:
    """Nor on their number or order; processors multiply few rows by other instructions than many."""
    X, y = blobs(classes, rows=150, width=70)
    head = create(name).fit(X, y) if name not in ("stack", "blend") else heads.create(name, 1, (30, 40)).fit(X, y)
    together = head.predict_proba(X)
    backwards = head.predict_proba(np.ascontiguousarray(X[::-1]))[::-1]
    alone = np.concatenate([head.predict_proba(X[row : row + 1]) for row in range(len(X))])
    parts = np.concatenate([head.predict_proba(X[start : start + 7]) for start in range(0, len(X), 7)])
    for other in (backwards, alone, parts):
        np.testing.assert_allclose(np.log(other), np.log(together), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", WITHOUT_KERAS)
@pytest.mark.parametrize("classes", [2, 4])
def test_a_head_learns_what_can_be_learnt(name: str, classes: int) -> None:
    X, y = blobs(classes)
    unseen, truth = blobs(classes, seed=1)
    head = create(name).fit(X, y)
    probabilities = head.predict_proba(unseen)
    assert probabilities.shape == (len(unseen), classes)
    assert np.allclose(probabilities.sum(axis=1), 1) and probabilities.min() >= 0
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.85
    assert log_loss(probabilities, truth) < np.log(classes) / 2
    assert head.predict_proba(unseen[:0]).shape == (0, classes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 3])
def test_what_is_kept_is_the_whole_head(name: str, classes: int) -> None:
    X, y = blobs(classes)
    head = create(name).fit(X, y)
    kept = skops.io.dumps(head)
    (own,) = skops.io.get_untrusted_types(data=kept)
    assert own == f"{type(head).__module__}.{type(head).__qualname__}"
    restored = skops.io.loads(kept, trusted=[own])
    assert np.array_equal(restored.predict_proba(X), head.predict_proba(X))
    again = create(name, **heads.settings_of(head))
    assert clone(again).get_params() == head.get_params()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_changed_and_the_same_seed_gives_the_same_head(name: str) -> None:
    X, y = blobs(2)
    before = X.copy()
    first, second = create(name), create(name)
    if heads.takes(first, "validation"):
        first.fit(X, y, validation=blobs(2, seed=1))  # type: ignore[call-arg]
    else:
        first.fit(X, y)
    assert np.array_equal(first.predict_proba(X), second.fit(X, y).predict_proba(X))
    assert np.array_equal(X, before)


def test_the_seed_matters_to_dropout() -> None:
    X, y = blobs(2)
    first, second = (heads.create("dropout-sigmoid", seed).fit(X, y) for seed in (1, 2))
    assert not np.array_equal(first.predict_proba(X), second.predict_proba(X))


@pytest.mark.parametrize("classes", [2, 3])
def test_dropout_sigmoid_keeps_learning_curves(classes: int) -> None:
    X, y = blobs(classes)
    validation = blobs(classes, seed=1)
    head = create("dropout-sigmoid")
    head.fit(X, y, validation=validation)  # type: ignore[call-arg]
    history = head.history_  # type: ignore[attr-defined]
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len({len(figures) for figures in history.values()}) == 1
    assert history["loss"][-1] < history["loss"][0]
    probabilities = head.predict_proba(validation[0])
    assert history["val_loss"][-1] == pytest.approx(log_loss(probabilities, validation[1]))
    assert history["val_accuracy"][-1] == pytest.approx((probabilities.argmax(axis=1) == validation[1]).mean())
    assert "val_loss" not in create("dropout-sigmoid").fit(X, y).history_  # type: ignore[attr-defined]


def test_without_dropout_it_comes_to_the_optimum_of_the_logistic_head() -> None:
    X, y = blobs(2)
    dropout = create("dropout-sigmoid", dropout=0.0, learning_rate=0.05, min_updates=600, penalty=1.0).fit(X, y)
    logistic = create("logistic", C=_linear.PRIOR_VARIANCE / X.shape[1]).fit(X, y)
    assert np.allclose(dropout.predict_proba(X), logistic.predict_proba(X), atol=0.02)


def test_notebook_is_the_recipe_of_the_notebooks() -> None:
    """The same layers, seeds and order in Keras, by hand."""
    import keras
    from sklearn.utils import shuffle

    X, y = blobs(2, rows=300)
    X = X / np.abs(X).max(axis=0)
    head = create("notebook").fit(X, y)
    keras.utils.set_random_seed(1)
    X, y = shuffle(X, y, random_state=2018)
    model = keras.Sequential(
        [keras.Input((12,)), keras.layers.Dropout(0.5), keras.layers.Dense(1, activation="sigmoid")]
    )
    model.compile(keras.optimizers.Adadelta(1.0, epsilon=1e-8), "binary_crossentropy", metrics=["accuracy"])
    log = model.fit(X, y[:, None], batch_size=128, epochs=8, validation_split=0.2, verbose=0).history
    assert head.history_ == {name: pytest.approx(values) for name, values in log.items()}  # type: ignore[attr-defined]
    assert np.allclose(head.predict_proba(X)[:, 1], model.predict(X, verbose=0)[:, 0], atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("rows", [90, 9])  # more rows than columns, and fewer: two ways to the same optimum
def test_logistic_is_scikit_learns(classes: int, rows: int) -> None:
    X, y = blobs(classes, rows)
    oracle = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=5000, tol=1e-8))
    expected = oracle.fit(X.astype(np.float64), y).predict_proba(X)
    assert np.allclose(create("logistic", C=0.3).fit(X, y).predict_proba(X), expected, atol=2e-3)


@pytest.mark.parametrize("rows", [90, 9])
def test_ridge_is_scikit_learns(rows: int) -> None:
    X, y = blobs(2, rows)
    oracle = make_pipeline(StandardScaler(), RidgeRegression(alpha=0.1 * X.shape[1]))
    expected = oracle.fit(X.astype(np.float64), 2 * y - 1).predict(X)
    head = create("ridge", scale=3.0, penalty=1.0).fit(X, y)
    assert np.allclose(head.decision_function(X), 3 * expected, atol=1e-3)  # type: ignore[attr-defined]


def test_logistic_chooses_c_as_a_grid_search_does() -> None:
    """On many noisy columns weak penalties overfit; the grid search knows nothing of how the head goes about it."""
    random = np.random.default_rng(0)
    X = random.normal(size=(200, 60)).astype(np.float32)
    y = (X[:, :3].sum(axis=1) + random.normal(size=200) > 0).astype(int)
    head = create("logistic").fit(X, y)
    grid = [step * 100 / 60 for step in (1 / 9, 1 / 3, 1, 3, 9)]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    search = GridSearchCV(pipeline, {"logisticregression__C": grid}, scoring="neg_log_loss").fit(X, y)
    assert pytest.approx(search.best_params_["logisticregression__C"]) == head.C_  # type: ignore[attr-defined]


def test_stack_and_blend_listen_to_the_network_that_knows() -> None:
    """One network sees the class, the other, wider one nothing; to `logistic` all columns are alike."""
    random = np.random.default_rng(0)
    y = np.arange(400) % 2
    seeing = random.normal(size=(400, 20)) + 0.5 * y[:, np.newaxis]
    X = np.concatenate((seeing, random.normal(size=(400, 200))), axis=1).astype(np.float32)
    learnt, unseen = slice(0, 300), slice(300, 400)
    losses = {}
    for name in ("logistic", "stack", "blend"):
        head = heads.create(name, 0, (20, 200)).fit(X[learnt], y[learnt])
        losses[name] = log_loss(head.predict_proba(X[unseen]), y[unseen])
    assert losses["stack"] < losses["logistic"] and losses["blend"] < losses["logistic"]
    weights = heads.create("blend", 0, (20, 200)).fit(X[learnt], y[learnt]).weights_  # type: ignore[attr-defined]
    assert weights[0] > weights[1] >= 0


@pytest.mark.parametrize("name", WITHOUT_KERAS)
def test_forty_classes_of_few_rows_are_better_than_chance(name: str) -> None:
    """Of rows never seen: whatever a head fits for each pair of classes, it fits to a handful of rows."""
    random = np.random.default_rng(0)
    centres, y = random.normal(size=(40, 60)), np.arange(400) % 40
    X, unseen = ((random.normal(size=(400, 60)) + centres[y]).astype(np.float32) for _ in range(2))
    probabilities = heads.create(name, 0, (30, 30)).fit(X, y).predict_proba(unseen)
    assert log_loss(probabilities, y) < np.log(40) / 2


@pytest.mark.parametrize("name", ["ridge", "blend", "stack"])
@pytest.mark.parametrize("classes", [2, 3])
def test_classes_that_a_plane_parts_are_no_reason_for_certainty(name: str, classes: int) -> None:
    random = np.random.default_rng(0)
    y = np.arange(120) % classes
    X = (random.normal(size=(120, 64)) + 4 * np.eye(classes, 64)[y]).astype(np.float32)
    probabilities = heads.create(name, 0, (32, 32)).fit(X, y).predict_proba(X)
    assert (probabilities.argmax(axis=1) == y).all()
    assert probabilities.min() > 1e-10 and np.log(probabilities[np.arange(120), y]).mean() > -0.1


@pytest.mark.parametrize("name", ["stack", "blend"])
def test_widths_must_be_those_of_the_vectors(name: str) -> None:
    with pytest.raises(ValueError, match="networks of 11 columns, and vectors of 12"):
        heads.create(name, 0, (5, 6)).fit(*blobs(2))


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), members=st.integers(1, 4), units=st.sampled_from((1, 3)))
def test_weights_are_never_negative_and_no_worse_than_equal_ones(seed: int, members: int, units: int) -> None:
    random = np.random.default_rng(seed)
    target = np.arange(60) % max(2, units)
    logits = random.normal(size=(members, 60, units))
    weights, offsets = _linear.joining_weights(logits, target, 1 / members, 0.2, least=0)
    assert (weights >= 0).all()
    blended = _convex.log_loss(np.tensordot(weights, logits, axes=1) + offsets, target)[0]
    assert blended.mean() <= _convex.log_loss(logits.mean(axis=0), target)[0].mean() + 1e-9


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 12), width=st.integers(13, 40))
def test_rotating_keeps_the_products_of_rows(seed: int, rows: int, width: int) -> None:
    X = np.random.default_rng(seed).normal(3, 2, size=(rows, width)).astype(np.float32)
    rotated = DesignMatrix(X)
    theta = np.random.default_rng(seed + 1).normal(size=(rows + 1, 2))
    coef, intercept = rotated.of_vectors(theta)
    # Q's columns are orthonormal but for the rows' common mean, which standardising has taken away.
    assert np.allclose(rotated.scores(theta), X @ coef + intercept, atol=0.05 * np.abs(theta).sum())
    assert rotated.transposed_dot(np.ones((rows, 1))).shape == (rows, 1)


def test_standardising_is_scikit_learns_and_takes_no_copy() -> None:
    X, _ = blobs(2)
    vectors, oracle = DesignMatrix(X), StandardScaler().fit(X.astype(np.float64))
    coef, residuals = np.random.default_rng(0).normal(size=(12, 3)), np.random.default_rng(1).normal(size=(120, 3))
    expected = oracle.transform(X)
    scaling = _convex.scaling_of(X)
    assert np.allclose(scaling.apply(X), expected, atol=1e-3)
    assert np.allclose(vectors.scores(np.vstack((coef, np.zeros(3)))), expected @ coef, atol=1e-3)
    assert np.allclose(vectors.transposed_dot(residuals), expected.T @ residuals, atol=1e-2)
    assert scaling.scale[-1] == 1  # of the constant column


def test_any_classifier_of_scikit_learns_serves_too() -> None:
    X, y = blobs(2)
    head = heads.create("RandomForestClassifier", 3, WIDTHS)
    assert head.get_params()["random_state"] == 3
    assert head.fit(X, y).predict_proba(X).shape == (120, 2)
    assert heads.create("GaussianNB", 3, WIDTHS).fit(X, y).predict_proba(X).shape == (120, 2)
    assert not heads.takes(head, "validation") and heads.takes(heads.create("dropout-sigmoid"), "validation")
    with pytest.raises(TrainingError, match=r"lacks SelfTrainingClassifier\.predict_proba\."):
        heads.create("SelfTrainingClassifier")
    with pytest.raises(TrainingError, match=r"VotingClassifier cannot be made: .*estimators"):
        heads.create("VotingClassifier")


COIN = """
from sklearn.dummy import DummyClassifier

class CoinTOSS(DummyClassifier):
    def __init__(self, strategy="uniform", random_state=None):
        super().__init__(strategy=strategy, random_state=random_state)
"""


def test_a_head_of_ones_own_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "coin_toss.py").write_text(COIN)
    (tmp_path / "half_done.py").write_text("class HalfDone:\n    def fit(self, X, y): return self\n")
    (tmp_path / "misnamed.py").write_text("class Other: pass\n")
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    X, y = blobs(2)
    head = heads.create(str(tmp_path / "coin_toss.py"), 5)
    assert head.get_params()["random_state"] == 5
    assert np.allclose(head.fit(X, y).predict_proba(X), 0.5)
    with pytest.raises(TrainingError, match=r"half_done\.py lacks HalfDone\.get_params, .*predict_proba"):
        heads.create(str(tmp_path / "half_done.py"))
    with pytest.raises(TrainingError, match=r"misnamed\.py lacks the class Misnamed"):
        heads.create(str(tmp_path / "misnamed.py"))
    with pytest.raises(TrainingError, match=r"broken\.py cannot be imported: No module named 'nothing_of_that_name'"):
        heads.create(str(tmp_path / "broken.py"))
    with pytest.raises(TrainingError, match=r"No head file .*none\.py"):
        heads.create(str(tmp_path / "none.py"))


MORE_SETTINGS = """
from sklearn.dummy import DummyClassifier

class Boosted(DummyClassifier):
    def __init__(self, {parameters}):
        super().__init__(strategy="prior")

    def get_params(self, deep=True):
        return {{"trees": 5, "missing": float("nan"), "strategy": "prior"}}
"""


@pytest.mark.parametrize(("parameters", "settings"), [("trees=5", {"trees": 5}), ("missing=float('nan')", {})])
def test_settings_are_those_that_a_class_takes(tmp_path: Path, parameters: str, settings: dict[str, object]) -> None:
    """LightGBM's and XGBoost's classes also name what their own constructor takes, where a derived one does not."""
    name = str(tmp_path / "boosted.py")
    Path(name).write_text(MORE_SETTINGS.format(parameters=parameters))
    assert heads.settings_of(heads.create(name)) == settings
    heads.create(name, 0, (), **settings)
    Path(name).write_text(MORE_SETTINGS.format(parameters="**others"))
    assert heads.settings_of(heads.create(name)) == {"trees": 5, "strategy": "prior"}


@pytest.mark.parametrize("name", ["svm", "NoSuchClassifier"])
def test_an_unknown_head_is_refused_with_the_valid_ones(name: str) -> None:
    with pytest.raises(UnknownNameError, match="dropout-sigmoid, knn, logistic"):
        heads.create(name)


@pytest.mark.parametrize(
    ("head", "setting"), [("logistic", "C"), ("blend", "penalty"), ("dropout-sigmoid", "penalty"), ("ridge", "penalty")]
)
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_penalties_that_mean_nothing_are_refused(head: str, setting: str, value: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        heads.create(head, **{setting: value}).fit(*blobs(2))

"""Boosted trees of LightGBM, XGBoost and CatBoost, on the principal components of standardised columns.

Trees look at each of some thousand columns for each split, and no column of a pretrained network says much by itself:
128 components say as much, in a tenth of the time (docs/heads.md). The number of rounds is chosen on rows that
are held out inside; then all rows are learnt for as many. A fitted model is kept as the text or bytes of the library's
own format, and read by its own reader.
"""

import hashlib
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from catsdogs.features.scaling import Array, Vectors
from catsdogs.files.cores import usable
from catsdogs.heads import _linear
from catsdogs.heads._components import Components
from catsdogs.heads._linear import smoothed_share

PATIENCE = 20  # rounds without a better loss of held-out rows, after which learning ends
# Numbers, times classes, below which a second thread costs more than it does: beside other work, a hundred times more.
FEW_NUMBERS = 2**25


class Rows(NamedTuple):
    """Rows to learn from or to watch: (n, components), what is right of them, and how much each counts."""

    X: Vectors
    y: Array
    weights: Array | None

    def only(self, rows: NDArray[np.intp]) -> "Rows":
        """Some of them."""
        return Rows(self.X[rows], self.y[rows], None if self.weights is None else self.weights[rows])


class Lesson(NamedTuple):
    """What the models of a head have in common.

    Attributes:
        classes: 0 for numbers, 2 for a class and another or a label, else as many as there are.
        threads, seed: of the library.
    """

    classes: int
    threads: int
    seed: int


@dataclass(eq=False, repr=False)
class Boosted(ClassifierMixin, BaseEstimator):
    """Boosted trees that a subclass has learnt and asked.

    Attributes:
        components: principal components of the standardised columns, or as many as there are.
        rounds: the most that are tried.
        learning_rate: what a round adds.
        depth: of a tree.
        columns: the share of the components that a tree sees.
        rounds_: (models,) what was chosen.
        models_: of classes one; of labels and numbers one for each, or the share of a label that all rows have or none.
        digests_: SHA-256 of each.
        classes_: (classes,) labels in order, of classes.
        axes_, offset_: see `Components`.
    """

    components: int = 128
    rounds: int = 300
    learning_rate: float = 0.3
    depth: int = 3
    columns: float = 0.2
    random_state: int = 0

    def fit(self, X: Any, y: Any, *, groups: Any = None, sample_weight: Any = None) -> Self:
        """Learn from (n, width) vectors and (n,) labels; rows of one of the (n,) `groups` stay together."""
        self.classes_, target = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("The number of classes has to be greater than one; got 1 class")
        splits = _linear.inner_splits(target, self.random_state, groups)
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
        rows = Rows(self._reduced(X), target.astype(np.float64), weights)
        self._learn([rows], len(self.classes_), splits[0])
        return self

    def fit_shares(
        self,
        X: Any,
        target: Array,
        is_number: bool = False,
        validation: Any = None,
        groups: Any = None,
        weights: Any = None,
    ) -> Self:
        """Learn (n, k) shares from 0 to 1, each column for itself, see `SharesHead.fit_shares`; nothing is watched."""
        splits = _linear.inner_splits(target, self.random_state, groups)
        components, self.is_number_ = self._reduced(X), is_number
        each: Sequence[Array | None] = [None] * target.shape[1]
        if weights is not None:  # of rows, or of each of their cells
            each = list(np.broadcast_to(np.transpose(weights), target.T.shape))
        rows = [Rows(components, share, weight) for share, weight in zip(target.T, each, strict=True)]
        self._learn(rows, 0 if is_number else 2, splits[0])
        return self

    def predict_proba(self, X: Any) -> Array:
        """(n, classes) probabilities."""
        scores = self._answers(X)[0]
        probabilities: Array = softmax(np.stack((0 * scores, scores), 1) if scores.ndim == 1 else scores, axis=1)
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """(n,) labels."""
        most_probable = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[most_probable]
        return labels

    def predict_shares(self, X: Any) -> Array:
        """(n, k) shares from 0 to 1."""
        answers = np.stack(self._answers(X), axis=1)
        shares: Array = np.clip(answers, 0, 1) if self.is_number_ else expit(answers)
        return shares

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_read"}  # what was read of `models_`

    def _learn(self, each: list[Rows], classes: int, split: tuple[NDArray[np.intp], NDArray[np.intp]]) -> None:
        size = each[0].X.size * max(1, classes)
        lesson = Lesson(classes, 1 if size < FEW_NUMBERS else usable(), int(self.random_state))
        self.models_, self.rounds_ = list[Any](), np.zeros(len(each), np.int64)
        for number, rows in enumerate(each):
            if rows.y.min() == rows.y.max():
                self.models_.append(float(rows.y[0] if classes == 0 else logit(smoothed_share(rows.y))))
                continue
            learnt, held_out = rows.only(split[0]), rows.only(split[1])
            self.rounds_[number] = max(1, self._count_rounds(learnt, held_out, lesson))
            self.models_.append(self._fitted(rows, int(self.rounds_[number]), lesson))
        self.digests_ = [_digest(model) for model in self.models_]
        self.__dict__.pop("_read", None)

    def _answers(self, X: Any) -> list[Array]:
        """Of each model (n,) or (n, classes) scores: logits, or numbers."""
        check_is_fitted(self)
        if not hasattr(self, "_read"):
            self._check_whole()
            self._read = [model if isinstance(model, float) else self._reader(model) for model in self.models_]
        X = validate_data(self, X, dtype=np.float32, reset=False)
        components = Components(self.axes_, self.offset_).apply(X).astype(np.float32)
        return [np.full(len(X), one) if isinstance(one, float) else one(components) for one in self._read]

    def _check_whole(self) -> None:
        """Raise ValueError for models that are not what was learnt: the libraries' readers crash on some of them."""
        if self.digests_ != [_digest(model) for model in self.models_]:
            raise ValueError("models that are not those that were learnt")

    def _reduced(self, X: Any) -> Vectors:
        """(n, components) of the rows to learn from, after which others can be reduced alike."""
        X = validate_data(self, X, dtype=np.float32)
        found = Components.of(X, self.components, self.random_state)
        self.axes_, self.offset_ = found
        return found.apply(X).astype(np.float32)

    @abstractmethod
    def _count_rounds(self, learnt: Rows, held_out: Rows, lesson: Lesson) -> int:
        """After how many rounds the loss of held-out rows is least."""

    @abstractmethod
    def _fitted(self, rows: Rows, rounds: int, lesson: Lesson) -> Any:
        """A model after so many rounds, in the library's own format: a text, or (bytes,) uint8."""

    @abstractmethod
    def _reader(self, model: Any) -> Callable[[Vectors], Array]:
        """What gives the scores of rows, read from that format."""


class LightGBM(Boosted):
    """https://lightgbm.readthedocs.io; the text that `Booster.model_to_string` writes."""

    def _parameters(self, lesson: Lesson) -> dict[str, Any]:
        objective = {0: "regression", 2: "binary"}.get(lesson.classes, "multiclass")
        return {
            "objective": objective, "num_class": lesson.classes if lesson.classes > 2 else 1,
            "learning_rate": self.learning_rate, "max_depth": self.depth, "num_leaves": 2**self.depth,
            "feature_fraction": self.columns, "min_data_in_leaf": 10, "lambda_l2": 1.0,
            "seed": lesson.seed % 2**31, "num_threads": lesson.threads, "deterministic": True, "force_row_wise": True,
            "verbosity": -1,
        }  # fmt: skip

    def _count_rounds(self, learnt: Rows, held_out: Rows, lesson: Lesson) -> int:
        import lightgbm

        parameters = self._parameters(lesson)
        data = lightgbm.Dataset(learnt.X, learnt.y, weight=learnt.weights, params=parameters)
        watched = lightgbm.Dataset(held_out.X, held_out.y, weight=held_out.weights, reference=data)
        stop = lightgbm.early_stopping(PATIENCE, verbose=False)
        return int(lightgbm.train(parameters, data, self.rounds, [watched], callbacks=[stop]).best_iteration)

    def _fitted(self, rows: Rows, rounds: int, lesson: Lesson) -> str:
        import lightgbm

        parameters = self._parameters(lesson)
        data = lightgbm.Dataset(rows.X, rows.y, weight=rows.weights, params=parameters)
        text: str = lightgbm.train(parameters, data, rounds).model_to_string()
        return text

    def _reader(self, model: str) -> Callable[[Vectors], Array]:
        import lightgbm

        booster = lightgbm.Booster(model_str=model)
        return lambda X: np.asarray(booster.predict(X, raw_score=True, num_threads=1))


class XGBoost(Boosted):
    """https://xgboost.readthedocs.io; the bytes of its UBJSON."""

    def _parameters(self, lesson: Lesson) -> dict[str, Any]:
        objective = {0: "reg:squarederror", 2: "binary:logistic"}.get(lesson.classes, "multi:softprob")
        several = {"num_class": lesson.classes} if lesson.classes > 2 else {}
        return several | {
            "objective": objective, "eta": self.learning_rate, "max_depth": self.depth,
            "colsample_bytree": self.columns, "tree_method": "hist", "seed": lesson.seed % 2**31,
            "nthread": lesson.threads, "verbosity": 0,
        }  # fmt: skip

    def _count_rounds(self, learnt: Rows, held_out: Rows, lesson: Lesson) -> int:
        import xgboost

        data, watched = (xgboost.DMatrix(one.X, one.y, weight=one.weights) for one in (learnt, held_out))
        found = xgboost.train(
            self._parameters(lesson), data, self.rounds, evals=[(watched, "held_out")],
            early_stopping_rounds=PATIENCE, verbose_eval=False,
        )  # fmt: skip
        return int(found.best_iteration) + 1

    def _fitted(self, rows: Rows, rounds: int, lesson: Lesson) -> NDArray[np.uint8]:
        import xgboost

        data = xgboost.DMatrix(rows.X, rows.y, weight=rows.weights)
        found = xgboost.train(self._parameters(lesson), data, rounds)
        return np.frombuffer(found.save_raw("ubj"), np.uint8).copy()

    def _reader(self, model: NDArray[np.uint8]) -> Callable[[Vectors], Array]:
        import xgboost

        booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(model.tobytes()))
        return lambda X: np.asarray(booster.predict(xgboost.DMatrix(X), output_margin=True), np.float64)


class CatBoost(Boosted):
    """https://catboost.ai; the bytes of its own binary format. Classes share their trees, one for all in a round."""

    def _model(self, lesson: Lesson, rounds: int) -> Any:
        import catboost

        loss = {0: "RMSE", 2: "Logloss"}.get(lesson.classes, "MultiClass")
        return catboost.CatBoost({
            "loss_function": loss, "iterations": rounds, "learning_rate": self.learning_rate, "depth": self.depth,
            "rsm": self.columns, "random_seed": lesson.seed % 2**31, "thread_count": lesson.threads, "verbose": False,
            "allow_writing_files": False,
        })  # fmt: skip

    def _count_rounds(self, learnt: Rows, held_out: Rows, lesson: Lesson) -> int:
        found = self._model(lesson, self.rounds)
        found.fit(_pool(learnt), eval_set=_pool(held_out), early_stopping_rounds=PATIENCE)
        return int(found.tree_count_)

    def _fitted(self, rows: Rows, rounds: int, lesson: Lesson) -> NDArray[np.uint8]:
        found = self._model(lesson, rounds).fit(_pool(rows))
        with tempfile.TemporaryDirectory() as folder:  # it writes files only
            path = Path(folder) / "model.cbm"
            found.save_model(str(path), format="cbm")
            return np.frombuffer(path.read_bytes(), np.uint8).copy()

    def _reader(self, model: NDArray[np.uint8]) -> Callable[[Vectors], Array]:
        import catboost

        found = catboost.CatBoost().load_model(blob=model.tobytes())
        return lambda X: np.asarray(found.predict(X, prediction_type="RawFormulaVal", thread_count=1))


def _digest(model: Any) -> str:
    """SHA-256 of a model's text or bytes."""
    return hashlib.sha256(model.tobytes() if isinstance(model, np.ndarray) else str(model).encode()).hexdigest()


def _pool(rows: Rows) -> Any:
    """Rows as CatBoost takes them."""
    import catboost

    return catboost.Pool(rows.X, rows.y, weight=rows.weights)

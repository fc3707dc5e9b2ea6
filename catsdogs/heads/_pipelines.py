"""Pipelines: transformers of scikit-learn's by short names, then any head; and scores that become probabilities.

scikit-learn's own `Pipeline` hands no groups, seeds or rows to watch to its last step, and cannot ask for fewer
components than it was told where there are few rows.
"""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_classif, f_regression
from sklearn.preprocessing import Normalizer, QuantileTransformer, RobustScaler, StandardScaler
from sklearn.utils.metaestimators import available_if

from catsdogs.features.scaling import Array, Scaling, Vectors
from catsdogs.heads import _linear
from catsdogs.heads._lookup import RAW

QUANTILES = 100  # of each column; a thousand, as is usual, would fill tens of megabytes for each fold
KEEPING = ("standard", "robust", "quantile", "l2", "normalize", RAW)  # steps after which columns are what they were


def keeps_columns(steps: tuple[str, ...]) -> bool:
    """Whether after these steps each column is still one of the networks', in their order."""
    return all(step in KEEPING for step in steps)


def column_scores(X: Vectors, target: NDArray[Any]) -> Array:
    """(width,) how much columns tell of a target: F of the classes, or of numbers; of several the mean.

    Of labels and numbers, (n, k), a column's F is that of a regression on each.
    """
    if target.ndim == 1:
        scores: Array = f_classif(X, target)[0]
    else:
        scores = np.mean([f_regression(X, column)[0] for column in target.T if column.min() < column.max()], axis=0)
    return np.nan_to_num(scores, posinf=float(np.finfo(np.float32).max))  # of constant columns


class Piped(BaseEstimator):
    """Steps, then a head that learns what they make of the vectors.

    Attributes:
        steps: such as ("standard", "pca:256"). Of fewer rows or columns than a step is told, it takes all.
        estimator: the head, whose settings, seed and kind of task are its own.
        transformers_, head_: as they were fitted.
    """

    def __init__(self, steps: tuple[str, ...] = (), estimator: Any = None, random_state: int = 0) -> None:
        self.steps = steps
        self.estimator = estimator
        self.random_state = random_state

    def fit(
        self,
        X: Vectors,
        y: NDArray[Any],
        validation: tuple[Vectors, NDArray[Any]] | None = None,
        groups: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Learn from (n, width) vectors and what is right of them; what the head does not take is not to be given."""
        self.transformers_ = []
        for step in self.steps:
            transformer = _transformer(step, X.shape, self.random_state)
            X = np.asarray(transformer.fit_transform(X, y), np.float32)
            self.transformers_.append(transformer)
        given = {"groups": groups, "sample_weight": sample_weight}
        if validation is not None:
            given["validation"] = (self._transformed(validation[0]), validation[1])
        self.head_ = clone(self.estimator)
        self.head_.fit(X, y, **{name: value for name, value in given.items() if value is not None})
        return self

    @available_if(lambda self: hasattr(self.estimator, "predict_proba"))
    def predict_proba(self, X: Vectors) -> Array:
        """(n, columns) probabilities."""
        probabilities: Array = self.head_.predict_proba(self._transformed(X))
        return probabilities

    @available_if(lambda self: hasattr(self.estimator, "predict"))
    def predict(self, X: Vectors) -> Array:
        """What the head answers with."""
        answers: Array = self.head_.predict(self._transformed(X))
        return answers

    @property
    def history_(self) -> dict[str, list[float]]:
        """Of heads that learn in epochs, see `Head`."""
        history: dict[str, list[float]] = getattr(self.head_, "history_", {})
        return history

    @available_if(lambda self: set(self.steps) <= {"standard"} and hasattr(self.estimator, "partial_fit"))
    def partial_fit(self, X: Vectors, y: NDArray[Any], classes: NDArray[Any]) -> Self:
        """Learn from a block of rows, after `see_scaling`."""
        self.head_.partial_fit(self._transformed(X), y, classes=classes)
        return self

    def see_scaling(self, scaling: Scaling) -> None:
        """Take up the standardising of columns; whoever gives rows block by block has it seen first."""
        scaler = StandardScaler()
        scaler.mean_, scaler.scale_ = scaling.mean, scaling.scale
        scaler.n_features_in_ = len(scaling.mean)
        self.transformers_, self.head_ = [scaler], clone(self.estimator)

    def _transformed(self, X: Vectors) -> Vectors:
        for transformer in self.transformers_:
            X = np.asarray(transformer.transform(X), np.float32)
        return X


def _transformer(step: str, shape: tuple[int, ...], seed: int) -> Any:
    """A transformer that has learnt nothing yet; `shape` is that of the vectors to come."""
    (rows, width), (word, _, number) = shape, step.partition(":")
    count = int(number or 0)
    of_step: dict[str, Callable[[], Any]] = {
        "standard": StandardScaler,
        "robust": RobustScaler,
        "quantile": lambda: QuantileTransformer(
            n_quantiles=min(QUANTILES, rows), output_distribution="normal", random_state=seed
        ),
        "l2": Normalizer,
        "normalize": Normalizer,
        "pca": lambda: PCA(min(count, rows, width), random_state=seed),
        "select": lambda: SelectKBest(column_scores, k=min(count, width)),
    }
    return of_step[word]()


class Scored(ClassifierMixin, BaseEstimator):
    """Probabilities of a classifier that gives scores only, such as `SVC`: a factor makes logits of them.

    The factor is that of least log loss on rows held out inside, as `_linear.best_scale` says; copies stay together,
    which scikit-learn's `CalibratedClassifierCV` does not see to.

    Attributes:
        estimator: the classifier.
        scale_: the factor.
    """

    def __init__(self, estimator: Any = None, random_state: int = 0) -> None:
        self.estimator = estimator
        self.random_state = random_state

    def fit(self, X: Vectors, y: NDArray[Any], *, groups: Any = None, sample_weight: Any = None) -> Self:
        """Learn from (n, width) vectors and (n,) labels."""
        self.classes_, target = np.unique(y, return_inverse=True)
        splits = _linear.inner_splits(target, self.random_state, groups)
        scores = [_scores(self._fitted(X, y, sample_weight, learnt), X[held_out]) for learnt, held_out in splits]
        rows = _linear.held_out_rows(splits)
        weights = None if sample_weight is None else np.asarray(sample_weight)[rows]
        self.scale_ = _linear.best_scale(np.concatenate(scores), target[rows], weights)
        self.estimator_ = self._fitted(X, y, sample_weight, np.arange(len(y)))
        return self

    def predict_proba(self, X: Vectors) -> Array:
        """(n, classes) probabilities."""
        logits = self.scale_ * _scores(self.estimator_, X)
        if logits.shape[1] == 1:
            logits = np.hstack((np.zeros_like(logits), logits))
        probabilities: Array = softmax(logits, axis=1)
        return probabilities

    def predict(self, X: Vectors) -> NDArray[Any]:
        """(n,) labels."""
        labels: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels

    def _fitted(self, X: Vectors, y: NDArray[Any], weights: Any, rows: NDArray[np.intp]) -> Any:
        more = {} if weights is None else {"sample_weight": np.asarray(weights)[rows]}
        return clone(self.estimator).fit(X[rows], y[rows], **more)


def _scores(estimator: Any, X: Vectors) -> Array:
    """(n, units) scores: one for two classes, else one for each."""
    scores = np.asarray(estimator.decision_function(X), np.float64)
    return scores[:, np.newaxis] if scores.ndim == 1 else scores

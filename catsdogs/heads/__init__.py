"""Small models on cached vectors, all of them scikit-learn estimators: a file each, or any other of scikit-learn's."""

import importlib
import inspect
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import TrainingError
from catsdogs.heads import _lookup
from catsdogs.heads._lookup import canonical, find, names
from catsdogs.photographs.task import CLASSES, LABELS, NUMBER, ORDINAL

__all__ = [
    "Head",
    "canonical",
    "class_of",
    "create",
    "find",
    "is_linear",
    "is_of_a_file",
    "is_seeded",
    "linear_names",
    "logistic",
    "names",
    "serves",
    "settings_of",
    "settled",
    "takes",
    "twin",
]

METHODS = ("get_params", "set_params", "fit")


class Head(Protocol):
    """An estimator after scikit-learn's conventions: https://scikit-learn.org/stable/developers/develop.html.

    What it learns from and answers with goes by the kind of task: of classes and grades (n,) numbers from 0 and (n, C)
    probabilities; of labels (n, k) 0 or 1 and (n, k) probabilities, each for itself; of numbers (n, k) and (n, k).

    What a head may have besides, and is then given or asked for:
        parameter `random_state`: its seed.
        parameter `widths`: how many columns each network has, in their order.
        argument `validation` of `fit`: vectors and labels to watch and never to learn from.
        argument `groups` of `fit`: (n,) numbers, the same for copies of a picture and for rows of one group, such as a
            patient's, which no split of its own may part.
        argument `sample_weight` of `fit`: how much each row, or each of its labels, counts.
        attribute `history_`: a list with one figure per epoch for each of `loss`, `accuracy`, `val_loss` and
            `val_accuracy`.
    """

    def fit(self, X: NDArray[np.float32], y: NDArray[Any]) -> Self:
        """Learn from (n, width) vectors and what is right of them."""

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities, where the task is not of numbers."""

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Numbers, where the task is of numbers."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Its settings by name."""


def create(name: str, seed: int = 0, widths: tuple[int, ...] = (), kind: str = CLASSES, **settings: Any) -> Head:
    """A head that has learnt nothing yet.

    Args:
        name: one of `names()`; `lightgbm`, `xgboost` or `catboost`; the path of a Python file such as `my_head.py`,
            whose class is then `MyHead`; the name of a scikit-learn classifier such as `GaussianNB`, or regressor such
            as `SVR`, on columns as they are; or a pipeline such as `pca:256+logistic`, whose last is one of these.
        seed, widths: given to heads that take them; no widths where steps of a pipeline mix the columns.
        kind: of the task, see `photographs.task`.
        settings: of the head, of a pipeline's last.

    Raises:
        UnknownNameError: no such head, or step of a pipeline.
        TrainingError: its file cannot be imported, lacks the class, or the class lacks a method or needs arguments; its
            package is not installed; or it does not serve the kind.
    """
    steps = tuple(step for step in _lookup.split(name)[0] if step != _lookup.RAW)
    head = _made(name, settings)
    is_scored = kind != NUMBER and _gives_scores_alone(head)
    _check_methods(name, head, kind, is_scored)
    if reason := serves(name, kind):
        raise TrainingError(f"The head {name} does not serve: {reason}", "Choose another --head")
    if steps and not _inside("_pipelines").keeps_columns(steps):
        widths = ()
    taken = head.get_params(deep=False)
    head.set_params(**{key: value for key, value in (("random_state", seed), ("widths", widths)) if key in taken})
    if is_scored:
        head = _inside("_pipelines").Scored(head, seed)
    of_kind = _inside("_of_kind").OF_KIND
    head = head if kind not in of_kind else of_kind[kind](head)
    return cast(Head, _inside("_pipelines").Piped(steps, head, seed) if steps else head)


def _made(name: str, settings: dict[str, Any]) -> Any:
    head_class: Any = find(name)
    try:
        return head_class(**settings)
    except (TypeError, ValueError, AttributeError) as error:
        raise TrainingError(f"The head {name} cannot be made: {error}", "Give every setting a default") from None


def _check_methods(name: str, head: Any, kind: str, is_scored: bool) -> None:
    """A TrainingError for a head that lacks a method."""
    answer = "predict" if kind == NUMBER or _is_regressor(type(head)) else "predict_proba"
    wanted = METHODS if is_scored else (*METHODS, answer)
    try:
        missing = [method for method in wanted if not callable(getattr(head, method, None))]
    except (TypeError, ValueError, AttributeError) as error:
        raise TrainingError(f"The head {name} cannot be made: {error}", "Give every setting a default") from None
    if missing:
        raise TrainingError(
            f"The head {name} lacks {', '.join(f'{type(head).__name__}.{method}' for method in missing)}",
            f"Derive it from sklearn.base.{'RegressorMixin' if kind == NUMBER else 'ClassifierMixin'} and "
            f"BaseEstimator, and give it fit and {answer}",
        )


def _gives_scores_alone(head: Any) -> bool:
    """Whether a classifier of scikit-learn's has scores and no probabilities, as `SVC` has."""
    if not type(head).__module__.startswith("sklearn."):
        return False
    return hasattr(head, "decision_function") and not hasattr(head, "predict_proba")


def settled(text: str, given: Sequence[str] = ()) -> tuple[str, dict[str, Any]]:
    """A head's name without the settings that it brings in brackets, such as `logistic[C=0.1]`; and all its settings.

    Args:
        given: further settings, such as `C=0.1`.

    Raises:
        UnknownNameError, TrainingError: as `find`; the head has no such setting.
        UsageError: a setting that is none, is given twice, or is of the wrong type.
    """
    reading = _inside("_settings")
    name, inside = reading.divide(text)
    given = (*inside, *given)
    if not given:
        return name, {}
    head = _made(name, {})
    return name, reading.parse(name, head, _names_of_settings(head), given)


def is_seeded(head: Head) -> bool:
    """Whether a head takes a seed, so that another one may give other answers."""
    return "random_state" in _within(head).get_params(deep=False)


def serves(name: str, kind: str) -> str:
    """Why a head is of no use for a kind of task; empty if it serves; raises as `find`."""
    head_class: Any = find(name)
    if kind == NUMBER:
        can = _is_regressor(head_class) or _inside("_of_kind").learns_shares(head_class) or is_of_a_file(head_class)
        return "" if can else f"{name} tells classes apart, and numbers are asked for"
    if kind == LABELS and _lookup.split(name)[1] in names() and not _inside("_of_kind").learns_shares(head_class):
        return f"{name} learns one class for each photograph, and several labels are asked for"
    if _is_regressor(head_class) and kind != ORDINAL:
        return f"{name} answers with a number, and {'labels' if kind == LABELS else 'classes'} are asked for"
    return ""


def class_of(head: Head) -> type:
    """The class of a head, whatever kind of task it was created for; see `find`."""
    return type(_within(head))


def _within(head: Head) -> Any:
    """The estimator that wrappers of pipelines, kinds of task and scores are around; other heads themselves."""
    pipelines = _inside("_pipelines")
    wrappers = (*_inside("_of_kind").OF_KIND.values(), pipelines.Piped, pipelines.Scored)
    inner: Any = head
    while isinstance(inner, wrappers) and getattr(inner, "estimator", None) is not None:
        inner = inner.estimator
    return inner


def _inside(module: str) -> ModuleType:
    """A module that needs this one's modules, and scikit-learn, which takes a while to import."""
    return importlib.import_module(f"{__name__}.{module}")


def is_linear(head: Any) -> bool:
    """Whether a fitted head's logits are `X @ coef_.T + intercept_`, of the vectors as they are."""
    from catsdogs.heads._linear import LinearHead

    return isinstance(head, LinearHead)


def linear_names() -> list[str]:
    """The heads of this folder that are a matrix, whatever the task: their logits are `X @ coef_.T + intercept_`."""
    from catsdogs.heads._linear import LinearHead

    found = {name: find(name) for name in names()}
    return [name for name, kind in found.items() if getattr(kind, "_logits", None) is LinearHead._logits]


def _is_regressor(head_class: type) -> bool:
    from sklearn.base import RegressorMixin

    return issubclass(head_class, RegressorMixin)


def settings_of(head: Head) -> dict[str, Any]:
    """What `create` needs to make this head again, besides name, seed, widths and kind; texts and finite numbers."""
    head = _within(head)
    names = _names_of_settings(head)
    return {key: value for key, value in head.get_params(deep=False).items() if key in names and _is_plain(value)}


def _names_of_settings(head: Any) -> set[str]:
    """What an estimator takes, besides its seed and widths."""
    parameters = inspect.signature(type(head)).parameters.values()
    taken = {parameter.name for parameter in parameters}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        taken |= head.get_params(
            deep=False
        ).keys()  # else boosted trees name settings that a class derived from them need not take
    return taken - {"random_state", "widths"}


def _is_plain(value: Any) -> bool:
    """Whether JSON can hold a setting."""
    return math.isfinite(value) if isinstance(value, float) else isinstance(value, str | int | bool | None)


def takes(head: Head, argument: str) -> bool:
    """Whether `fit` takes an argument besides vectors and labels, see `Head`."""
    asked: Any = head.estimator if isinstance(head, _inside("_pipelines").Piped) else head
    asked = _within(asked) if argument == "sample_weight" else asked  # which is handed on to the estimator as it is
    return argument in inspect.signature(asked.fit).parameters


def is_of_a_file(head_class: type) -> bool:
    """Whether a head is the user's own."""
    return head_class.__module__.startswith(_lookup.FILE_PREFIX)

"""Small models on cached vectors, all of them scikit-learn estimators: a file each, or any other of scikit-learn's."""

import ast
import functools
import importlib
import inspect
import math
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import TrainingError, UnknownNameError, UsageError
from catsdogs.photographs.task import CLASSES, LABELS, NUMBER, ORDINAL

__all__ = [
    "Head",
    "class_of",
    "create",
    "find",
    "is_linear",
    "is_of_a_file",
    "is_seeded",
    "logistic",
    "names",
    "read_settings",
    "serves",
    "settings_of",
    "takes",
    "twin",
]

FILE_PREFIX = "catsdogs_head_"  # of the modules that head files become
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


def names() -> list[str]:
    """The heads of this folder: `dropout_sigmoid.py` is `dropout-sigmoid`; a leading underscore hides a file."""
    modules = [module.name for module in pkgutil.iter_modules(__path__)]
    return sorted(name.replace("_", "-") for name in modules if not name.startswith("_"))


def create(name: str, seed: int = 0, widths: tuple[int, ...] = (), kind: str = CLASSES, **settings: Any) -> Head:
    """A head that has learnt nothing yet.

    Args:
        name: one of `names()`; the path of a Python file such as `my_head.py`, whose class is then `MyHead`; or the
            name of a scikit-learn classifier such as `GaussianNB`, or regressor such as `SVR`.
        seed, widths: given to heads that take them.
        kind: of the task, see `photographs.task`.

    Raises:
        UnknownNameError: no such head.
        TrainingError: its file cannot be imported, lacks the class, or the class lacks a method or needs arguments; or
            it does not serve the kind.
    """
    head_class: Any = find(name)
    try:
        head = head_class(**settings)
        wanted = (*METHODS, "predict" if kind == NUMBER or _is_regressor(head_class) else "predict_proba")
        missing = [method for method in wanted if not callable(getattr(head, method, None))]
    except (TypeError, ValueError, AttributeError) as error:
        raise TrainingError(f"The head {name} cannot be made: {error}", "Give every setting a default") from None
    if missing:
        raise TrainingError(
            f"The head {name} lacks {', '.join(f'{head_class.__name__}.{method}' for method in missing)}",
            f"Derive it from sklearn.base.{'RegressorMixin' if kind == NUMBER else 'ClassifierMixin'} and "
            f"BaseEstimator, and give it fit and {wanted[-1]}",
        )
    if reason := serves(name, kind):
        raise TrainingError(f"The head {name} does not serve: {reason}", "Choose another --head")
    taken = head.get_params(deep=False)
    head.set_params(**{key: value for key, value in (("random_state", seed), ("widths", widths)) if key in taken})
    return cast(Head, head if kind not in _kinds().OF_KIND else _kinds().OF_KIND[kind](head))


def is_seeded(head: Head) -> bool:
    """Whether a head takes a seed, so that another one may give other answers."""
    return "random_state" in _within(head).get_params(deep=False)


def serves(name: str, kind: str) -> str:
    """Why a head is of no use for a kind of task; empty if it serves; raises as `find`."""
    head_class: Any = find(name)
    if kind == NUMBER:
        can = _is_regressor(head_class) or _kinds().learns_shares(head_class) or is_of_a_file(head_class)
        return "" if can else f"{name} tells classes apart, and numbers are asked for"
    if kind == LABELS and name in names() and not _kinds().learns_shares(head_class):
        return f"{name} learns one class for each photograph, and several labels are asked for"
    if _is_regressor(head_class) and kind != ORDINAL:
        return f"{name} answers with a number, and {'labels' if kind == LABELS else 'classes'} are asked for"
    return ""


def class_of(head: Head) -> type:
    """The class of a head, whatever kind of task it was created for; see `find`."""
    return type(_within(head))


def _within(head: Head) -> Any:
    """The estimator that a head of labels, grades or numbers is around; other heads themselves."""
    return getattr(head, "estimator", head) if isinstance(head, tuple(_kinds().OF_KIND.values())) else head


def _kinds() -> ModuleType:
    """The module that needs this one's modules, and scikit-learn, which takes a while to import."""
    return importlib.import_module(f"{__name__}._of_kind")


def is_linear(head: Any) -> bool:
    """Whether a fitted head's logits are `X @ coef_.T + intercept_`, of the vectors as they are."""
    from catsdogs.heads._linear import LinearHead

    return isinstance(head, LinearHead)


def _is_regressor(head_class: type) -> bool:
    from sklearn.base import RegressorMixin

    return issubclass(head_class, RegressorMixin)


def settings_of(head: Head) -> dict[str, Any]:
    """What `create` needs to make this head again, besides name, seed, widths and kind; texts and finite numbers."""
    head = _within(head)
    settings = head.get_params(deep=False)
    parameters = inspect.signature(type(head)).parameters.values()
    taken = {parameter.name for parameter in parameters}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        taken |= settings.keys()  # else boosted trees name settings that a class derived from them need not take
    return {
        key: value for key, value in settings.items() if key in taken - {"random_state", "widths"} and _is_plain(value)
    }


def read_settings(name: str, texts: Sequence[str], kind: str = CLASSES) -> dict[str, Any]:
    """Settings of a head as a person writes them, such as `C=0.1` or `n_estimators=300`.

    Raises:
        UsageError, UnknownNameError: no such setting, or a value that is not of its type; further as `create`.
    """
    known, settings = settings_of(create(name, kind=kind)), dict[str, Any]()
    for text in texts:
        setting, is_given, value = text.partition("=")
        if not is_given:
            raise UsageError(f"--set {text} gives no value", "Write NAME=VALUE, such as C=0.1")
        if setting not in known:
            raise UnknownNameError(f"setting of {name}", setting, sorted(known))
        try:
            settings[setting] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[setting] = value
        if not _is_of_type(settings[setting], known[setting]):
            default = (
                "one may be a number or a text" if known[setting] is None else f"the default is {known[setting]!r}"
            )
            raise UsageError(f"--set {text} is not of that setting's type", f"Give another value; {default}")
    return settings


def _is_of_type(value: Any, default: Any) -> bool:
    """Whether a setting may have a value, by its default; those of None may be whatever can be kept."""
    if default is None or value is None:
        return _is_plain(value)
    if isinstance(default, float):
        return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)
    return type(value) is type(default)


def _is_plain(value: Any) -> bool:
    """Whether JSON can hold a setting."""
    return math.isfinite(value) if isinstance(value, float) else isinstance(value, str | int | bool | None)


def takes(head: Head, argument: str) -> bool:
    """Whether `fit` takes an argument besides vectors and labels, see `Head`."""
    asked = _within(head) if argument == "sample_weight" else head  # which is handed on to the estimator as it is
    return argument in inspect.signature(asked.fit).parameters


def find(name: str) -> type:
    """The class that a name stands for; raises as `create`."""
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise TrainingError(f"No head file {path}", f"Choose from: {', '.join(names())}")
        return _class_in(_module_at(path, path.read_bytes()), path.stem)
    if name in names():
        stem = name.replace("-", "_")
        return _class_in(importlib.import_module(f"{__name__}.{stem}"), stem)
    if name[:1].isupper() and name in _estimators():
        return _estimators()[name]
    raise UnknownNameError("head", name, [*names(), "a file my_head.py", "an estimator of scikit-learn's"])


def is_of_a_file(head_class: type) -> bool:
    """Whether a head is the user's own."""
    return head_class.__module__.startswith(FILE_PREFIX)


@functools.cache
def _estimators() -> dict[str, type]:
    from sklearn.utils import all_estimators

    return dict(all_estimators(type_filter=["classifier", "regressor"]))


@functools.cache
def _module_at(path: Path, content: bytes) -> ModuleType:
    """The user's file as a module, run once for all folds; `content` is what is in it."""
    module = ModuleType(FILE_PREFIX + path.stem)
    module.__file__ = str(path)
    try:
        sys.modules[module.__name__] = module  # where reading a kept head looks for it
        exec(compile(content, path, "exec"), module.__dict__)  # noqa: S102 - the user's own code, as an import would
    except Exception as error:  # a file of the user's raises what it likes
        del sys.modules[module.__name__]
        raise TrainingError(f"The head file {path} cannot be imported: {error}", "Mend the file") from None
    return module


def _class_in(module: ModuleType, stem: str) -> type:
    """The class that is called as the file is, whatever its capitals: `MySVM` in `my_svm.py` or `my-svm.py`."""
    wanted = stem.replace("_", "").replace("-", "").lower()
    found = [value for name, value in vars(module).items() if isinstance(value, type) and name.lower() == wanted]
    if not found:
        class_name = "".join(word.capitalize() for word in stem.replace("-", "_").split("_"))
        raise TrainingError(f"The head file {module.__file__} lacks the class {class_name}", "Name it after the file")
    return found[0]

"""Small models on cached vectors: one file of this folder for each, found by its name and imported when asked for."""

import importlib
import pkgutil
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import TrainingError, UnknownNameError

METHODS = ("fit", "predict_proba", "arrays", "restore")


class Head(Protocol):
    """What a head file's class offers, after scikit-learn's conventions; it is called `create(name, seed, **settings)`.

    Attributes:
        settings: its keyword arguments but the seed, as JSON knows them; with the seed and `arrays` they are the head.
        history: after `fit`, a list with one figure per epoch for each of `loss`, `accuracy` and, with a validation
            set, `val_loss` and `val_accuracy`; empty for a head that does not learn in epochs.
    """

    settings: dict[str, Any]
    history: dict[str, list[float]]

    def fit(
        self,
        X: NDArray[np.float32],
        y: NDArray[np.int64],
        validation: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None,
    ) -> Self:
        """Learn from (n, width) vectors and (n,) classes 0, 1, …; the validation set is watched, never learnt from."""
        ...

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, classes) probabilities."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that was learnt, to be kept without pickle."""
        ...

    def restore(self, arrays: dict[str, NDArray[Any]]) -> Self:
        """Become the head that gave these arrays."""
        ...


def names() -> list[str]:
    """The heads there are: `dropout_sigmoid.py` is `dropout-sigmoid`; a leading underscore hides a file."""
    modules = [module.name for module in pkgutil.iter_modules(__path__)]
    return sorted(name.replace("_", "-") for name in modules if not name.startswith("_"))


def create(name: str, seed: int = 0, **settings: Any) -> Head:
    """A head that has learnt nothing yet: the class `DropoutSigmoid` of `dropout_sigmoid.py`, for example.

    Raises:
        UnknownNameError: no such head.
        TrainingError: its file lacks the class, or the class lacks a method.
    """
    if name not in names():
        raise UnknownNameError("head", name, names())
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    class_name = "".join(word.capitalize() for word in name.split("-"))
    head_class: Any = getattr(module, class_name, None)
    missing = [method for method in METHODS if not callable(getattr(head_class, method, None))]
    if missing:
        lacking = f"the class {class_name}" if head_class is None else f"{class_name}.{missing[0]}"
        raise TrainingError(f"The head file {module.__file__} lacks {lacking}", f"A head needs {', '.join(METHODS)}")
    head: Head = head_class(seed=seed, **settings)
    return head

"""Pretrained features once, many heads: a feature-extraction ensemble for image competitions.

From Python, `import catsdogs as cd` offers the names in `__all__`, which docs/python.md describes; other names are
private. `errors` apart, none of them nor anything heavy is imported before it is used.
"""

import importlib
import os
from typing import TYPE_CHECKING

from catsdogs import errors

if TYPE_CHECKING:
    from catsdogs.front.comparing import Comparison as Comparison
    from catsdogs.front.comparing import compare as compare
    from catsdogs.front.extracting import extract as extract
    from catsdogs.front.predicting import Predictions as Predictions
    from catsdogs.front.predicting import predict as predict
    from catsdogs.front.reading import look as look
    from catsdogs.front.runs import Run as Run
    from catsdogs.front.suspects import Suspects as Suspects
    from catsdogs.front.suspects import outliers as outliers
    from catsdogs.front.training import train as train
    from catsdogs.front.transformer import PretrainedFeatures as PretrainedFeatures
    from catsdogs.front.vectors import Features as Features
    from catsdogs.front.vectors import load as load
    from catsdogs.photographs.task import Task as Task

# OpenBLAS's threads wait 2^n cycles for more to do, 2^26 if not told, before they sleep. NumPy and SciPy bring an
# OpenBLAS each, so the waiting threads of one take the cores from the other: docs/heads.md has what that costs.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

__version__ = "0.1.0"
_PLACES = {
    "Comparison": "front.comparing",
    "Features": "front.vectors",
    "Predictions": "front.predicting",
    "PretrainedFeatures": "front.transformer",
    "Run": "front.runs",
    "Suspects": "front.suspects",
    "Task": "photographs.task",
    "compare": "front.comparing",
    "extract": "front.extracting",
    "load": "front.vectors",
    "look": "front.reading",
    "outliers": "front.suspects",
    "predict": "front.predicting",
    "train": "front.training",
}
__all__ = ["__version__", "errors", *_PLACES]


if not TYPE_CHECKING:  # a checker of types, which would take any name for one, has those above

    def __getattr__(name: str) -> object:
        """A name of the front door, imported when it is first used; see PEP 562."""
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from catsdogs.files import interrupts

        with interrupts.later():
            found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Heads by name: those of this folder, boosted trees, files of the user's, scikit-learn's estimators; pipelines.

`pca:256+logistic` is a step and a head: the steps are those of `_pipelines`, in their order, the head comes last.
"""

import difflib
import functools
import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from catsdogs.errors import TrainingError, UnknownNameError

FILE_PREFIX = "catsdogs_head_"  # of the modules that head files become
# The heads of `_boosted`, each an extra of that name, and the class of each.
BOOSTED = {"lightgbm": "LightGBM", "xgboost": "XGBoost", "catboost": "CatBoost"}
RAW = "raw"  # a step that does nothing
# A step's name, and whether it is told a number of columns: `pca:256`.
STEPS = {
    "standard": False, "robust": False, "quantile": False, "l2": False, "normalize": False, RAW: False,
    "pca": True, "select": True,
}  # fmt: skip
_NEAR = 3  # names that are offered for one that is none


def names() -> list[str]:
    """The heads of this folder: `dropout_sigmoid.py` is `dropout-sigmoid`; a leading underscore hides a file."""
    modules = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    return sorted(name.replace("_", "-") for name in modules if not name.startswith("_"))


def split(name: str) -> tuple[tuple[str, ...], str]:
    """The steps of a pipeline, and the head's name; `standard+SVC` is (("standard",), "SVC").

    Raises:
        UnknownNameError: no such step.
        TrainingError: a step lacks its number, or has one that it cannot use.
    """
    *steps, last = name.split("+")
    if not steps or (name.endswith(".py") and steps[0].partition(":")[0] not in STEPS):  # a file may be called anything
        return (), name
    for step in steps:
        _check_step(step, name)
    return tuple(steps), last


def _check_step(step: str, name: str) -> None:
    word, colon, number = step.partition(":")
    if word not in STEPS:
        raise UnknownNameError(f"step of the pipeline {name}", step, _with_number(STEPS))
    wants = STEPS[word]
    if bool(colon) != wants or (wants and not (number.isdecimal() and int(number) > 0)):
        remedy = f"Write it as {word}:256" if wants else f"Write {word} alone"
        raise TrainingError(f"The step {step} of the pipeline {name} needs {'a' if wants else 'no'} number", remedy)


def _with_number(steps: dict[str, bool]) -> list[str]:
    return [f"{word}:256" if wants else word for word, wants in steps.items()]


def find(name: str) -> type:
    """The class of a head, of a pipeline's last.

    Raises:
        UnknownNameError: no such head, or no such step.
        TrainingError: its file cannot be imported, or lacks the class; its package is not installed.
    """
    name = split(name)[1]
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise TrainingError(f"No head file {path}", f"Choose from: {', '.join([*names(), *BOOSTED])}")
        return _class_in(_module_at(path, path.read_bytes()), path.stem)
    if name in names():
        stem = name.replace("-", "_")
        return _class_in(importlib.import_module(f"{__package__}.{stem}"), stem)
    if name in BOOSTED:
        if importlib.util.find_spec(name) is None:
            problem = f"The head {name} needs the package {name}, which is not installed"
            raise TrainingError(problem, f"Run: pip install 'catsdogs[{name}]'")
        found: type = getattr(importlib.import_module(f"{__package__}._boosted"), BOOSTED[name])
        return found
    return _estimators()[_estimator_called(name)]


def canonical(name: str) -> str:
    """A head's name as runs keep it: of scikit-learn's estimators as they write it, and on standardised columns.

    Other steps, or `raw` where columns are to stay as they are, have to be written. Settings in brackets stay there.
    Raises as `find`.
    """
    plain, bracket, settings = name.partition("[") if name.endswith("]") else (name, "", "")
    steps, last = split(plain)
    if last in names() or last in BOOSTED or last.endswith(".py"):
        return name
    return "+".join((*(steps or ("standard",)), _estimator_called(last))) + bracket + settings


def _estimator_called(name: str) -> str:
    """The name of an estimator of scikit-learn's, whatever its capitals."""
    known = {estimator.lower(): estimator for estimator in _estimators()} if name.isidentifier() else {}
    if name.lower() in known:
        return known[name.lower()]
    ours = [*names(), *BOOSTED]
    spelled = {one.lower(): one for one in ours} | known
    near = [spelled[one] for one in difflib.get_close_matches(name.lower(), spelled, _NEAR)]
    others = ["a file my_head.py", "an estimator of scikit-learn's", "a pipeline such as pca:256+logistic"]
    raise UnknownNameError("head", name, list(dict.fromkeys((*near, *ours, *others))))


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

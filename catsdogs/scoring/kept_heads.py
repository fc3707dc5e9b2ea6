"""Fitted heads kept in a file without pickle, and read back."""

import errno
import hashlib
import io
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs import heads
from catsdogs.errors import CatsdogsError, TrainingError
from catsdogs.features import joining
from catsdogs.features.feature_file import Features
from catsdogs.files import storage
from catsdogs.heads import Head
from catsdogs.photographs.task import CLASSES
from catsdogs.scoring import crossval

HEAD_FILE = "heads.skops"
_FEW_CLASSES, _FEW_ROWS = 3, 12  # of each: what shows in a second whether a head can be kept
# What scikit-learn's classifiers keep besides what skops knows to be harmless. Nothing else is ever taken from a file.
_TYPES = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)
_AROUND = (  # what heads of kinds of task, of scores and of pipelines are wrapped in
    *(f"catsdogs.heads._of_kind.{name}" for name in ("OfGrades", "OfLabels", "OfNumbers")),
    *(f"catsdogs.heads._pipelines.{name}" for name in ("Piped", "Scored", "column_scores")),
)
# What boosted trees consist of, which a head of the user's may be or hold. They take themselves apart into the text or
# bytes of their own formats, and are made again by their own readers. None is taken for any other head.
_BOOSTED = (
    "catboost.core.CatBoost", "catboost.core.CatBoostClassifier", "catboost.core.CatBoostRegressor",
    "collections.OrderedDict",
    "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier", "lightgbm.sklearn.LGBMRegressor",
    "xgboost.callback.EarlyStopping", "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBRegressor",
    "xgboost.sklearn.XGBRFClassifier", "xgboost.sklearn.XGBRFRegressor",
)  # fmt: skip


def check_heads(
    files: Sequence[Features],
    kept: NDArray[np.bool_],
    head_names: Sequence[str],
    seed: int,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Refuse heads that no run could keep, before any fold is fitted: each learns a handful of the `kept` rows.

    Those of this program can be kept.

    Raises:
        TrainingError: as `write_heads`, or a head cannot be read back.
        StoreError: the files hold different rows, or are damaged.
    """
    others = [name for name in head_names if name not in heads.names()]
    if not others:
        return
    rows, y = _few_rows(files[0], kept)
    X, widths = joining.Joined(files, "train").read(rows), tuple(file.width for file in files)
    for name in others:
        _check_kept(name, heads.create(name, seed, widths, files[0].task.kind, **settings), X, y)


def _few_rows(first: Features, kept: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """The numbers of a handful of rows, and what is right of them."""
    if not first.task.has_classes:
        rows = np.flatnonzero(kept)[: _FEW_CLASSES * _FEW_ROWS]
        return rows, first.targets[rows]
    labels = np.where(kept, first.labels, -1)
    largest = np.argsort(-np.bincount(labels[kept]), kind="stable")[:_FEW_CLASSES]
    rows = np.sort(np.concatenate([np.flatnonzero(labels == label)[:_FEW_ROWS] for label in largest]))
    return rows, np.unique(labels[rows], return_inverse=True)[1]


def head_digest(head: str) -> str:
    """SHA-256 of a head's file, if it is one of the user's that is there; else empty."""
    path = Path(head)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.suffix == ".py" and path.is_file() else ""


def write_heads(file: Path | io.BytesIO, name: str, fitted: Sequence[Head]) -> None:
    """Keep the heads that answer, without pickle.

    Raises:
        TrainingError: they hold what `read_heads` would not take from a file.
    """
    import skops.io

    try:
        skops.io.dump(list(fitted), file)
    except Exception as error:  # of what cannot be taken apart, such as an open file, or what a head's own code raises
        if isinstance(error, OSError) and isinstance(file, Path):
            raise  # the disk's
        raise _not_kept(name, str(error) or type(error).__name__) from None
    foreign = set(skops.io.get_untrusted_types(file=file)) - set(_trusted(heads.find(name)))
    if foreign:
        raise _not_kept(name, f"it holds {', '.join(sorted(foreign))}")


def read_heads(
    path: Path, head: str, shape: tuple[int, int, int], run: str, remedy: str, kind: str = CLASSES
) -> list[Head]:
    """The heads of a run, see `TrainedRun`; nothing is unpickled, and only types that `write_heads` keeps are taken.

    Args:
        head: its name, or the file that defines it.
        shape: how many heads, the width of the vectors, the columns of predictions.
        run, remedy: what the run is called, and what to do about a damaged file.
        kind: of the run's task.

    Raises:
        TrainingError: the file is gone, damaged, or not that of these heads; a package is not installed.
    """
    count, width, classes = shape
    head_class, wanted = heads.find(head), type(heads.create(head, kind=kind))
    try:
        found = _read_trusted(path, head_class)
        alike = isinstance(found, list) and all(isinstance(one, wanted) for one in found)
        if not alike or [heads.class_of(one) for one in found] != [head_class] * count:
            raise ValueError(f"not {count} of them")
        for one in found:
            answer = np.shape(crossval.predict(one, np.zeros((1, width), np.float32), kind))
            if answer != (1, classes):
                raise ValueError(f"a head that gives {answer}, not {(1, classes)}")
    except CatsdogsError:
        raise
    except Exception as error:  # a damaged file makes skops, zip, JSON and NumPy raise nearly anything
        raise _not_read(path, error, run, remedy) from None
    return found


def _not_read(path: Path, error: Exception, run: str, remedy: str) -> CatsdogsError:
    """Why heads could not be read: a package that is not installed, the disk's failure, or damage."""
    package = str(error.name).partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package in {name.partition(".")[0] for name in _BOOSTED}:
        problem = f"The run {run} needs the package {package}, which is not installed"
        return TrainingError(problem, f"Run: pip install {package}")
    of_content = isinstance(error, ModuleNotFoundError | FileNotFoundError) or not storage.reason_of(error)
    if of_content or getattr(error, "errno", None) == errno.EINVAL:  # which is a place before a file's start
        return TrainingError(f"{path} is damaged ({type(error).__name__}: {error})", remedy)
    return storage.read_error(path, error, TrainingError)


def _check_kept(name: str, head: Head, X: NDArray[np.float32], y: NDArray[Any]) -> None:
    """Fit a head to a few rows, (n, width) and what is right of them, only to see whether it is kept and comes back.

    One that cannot learn from so few rows is not judged by them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how few rows they are
        try:
            head.fit(X, y, **({"validation": (X, y)} if heads.takes(head, "validation") else {}))
            _ask(head, X)
        except Exception:  # a head of the user's raises what it likes; on all rows it may well learn
            return
        write_heads(file := io.BytesIO(), name, [head])
        try:
            _ask(_read_trusted(file, heads.class_of(head))[0], X)
        except Exception as error:  # its own code may raise what it likes
            raise _not_kept(name, f"read back, it raises {type(error).__name__}: {error}") from None


def _ask(head: Head, X: NDArray[np.float32]) -> None:
    head.predict_proba(X) if hasattr(head, "predict_proba") else head.predict(X)


def _read_trusted(file: Path | io.BytesIO, kind: type) -> Any:
    import skops.io

    return skops.io.load(file, trusted=_trusted(kind))


def _trusted(kind: type) -> list[str]:
    """The types that may come from a file of such heads; with a head of the user's, all that its file defines."""
    own = [kind]
    others: tuple[str, ...] = (*_TYPES, *_AROUND)
    if heads.is_of_a_file(kind):
        there = vars(sys.modules[kind.__module__]).values()
        own = [value for value in there if isinstance(value, type) and value.__module__ == kind.__module__]
        others += _BOOSTED
    return [*others, *(f"{value.__module__}.{value.__qualname__}" for value in own)]


def _not_kept(head: str, reason: str) -> TrainingError:
    mend = "Let its __getstate__ give arrays, numbers and texts, or choose another --head"
    remedy = mend if head.endswith(".py") else "Choose another --head"
    return TrainingError(f"The head {head} cannot be kept without pickle: {reason}", remedy)

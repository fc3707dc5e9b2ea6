"""Fitted heads kept in a file without pickle, and read back."""

import hashlib
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs import heads
from catsdogs.errors import TrainingError
from catsdogs.features.feature_file import Features
from catsdogs.files.atomic import write_error
from catsdogs.heads import Head
from catsdogs.scoring import streaming

_FEW_CLASSES, _FEW_ROWS = 3, 12  # of each: what shows in a second whether a head can be kept


HEAD_FILE = "heads.skops"
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
# What boosted trees consist of, which a head of the user's may be or hold. They take themselves apart into the text or
# bytes of their own formats, and are made again by their own readers. None is taken for any other head.
_BOOSTED = (
    "catboost.core.CatBoost",
    "catboost.core.CatBoostClassifier",
    "catboost.core.CatBoostRegressor",
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "xgboost.callback.EarlyStopping",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRFClassifier",
    "xgboost.sklearn.XGBRFRegressor",
    "xgboost.sklearn.XGBRegressor",
)


def check_heads(
    files: Sequence[Features],
    kept: NDArray[np.bool_],
    head_names: Sequence[str],
    seed: int,
    settings: Mapping[str, Any] = MappingProxyType({}),
    submissions: Path | None = None,
) -> None:
    """Refuse heads that no run could keep, before any fold is fitted: each learns a handful of the `kept` rows.

    Those of this program can be kept.

    Raises:
        TrainingError, StoreError: as `runs.check_kept`; the files hold different rows, or are damaged.
    """
    others = [name for name in head_names if name not in heads.names()]
    if not others:
        return
    labels = np.where(kept, files[0].labels, -1)
    largest = np.argsort(-np.bincount(labels[kept]), kind="stable")[:_FEW_CLASSES]
    rows = np.sort(np.concatenate([np.flatnonzero(labels == label)[:_FEW_ROWS] for label in largest]))
    X, y = streaming.VectorBlocks(files, "train").read(rows), np.unique(labels[rows], return_inverse=True)[1]
    widths = tuple(file.width for file in files)
    for name in others:
        check_kept(name, heads.create(name, seed, widths, **settings), X, y, submissions)


def head_digest(head: str) -> str:
    """SHA-256 of a head's file, if it is one of the user's that is there; else empty."""
    path = Path(head)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.suffix == ".py" and path.is_file() else ""


def write_heads(folder: Path, name: str, fitted: Sequence[Head]) -> None:
    """Keep the folds' heads, without pickle.

    Raises:
        TrainingError: they hold what `load` would not take from a file.
    """
    import skops.io

    path = folder / HEAD_FILE
    try:
        skops.io.dump(list(fitted), path)
    except OSError:
        raise
    except Exception as error:  # of what cannot be taken apart, such as an open file, or what a head's own code raises
        raise _not_kept(name, str(error) or type(error).__name__) from None
    foreign = set(skops.io.get_untrusted_types(file=path)) - set(_trusted(heads.find(name)))
    if foreign:
        raise _not_kept(name, f"it holds {', '.join(sorted(foreign))}")


def check_kept(
    name: str, head: Head, X: NDArray[np.float32], y: NDArray[np.int64], submissions: Path | None = None
) -> None:
    """Fit a head to a few rows, (n, width) and (n,), only to see whether such a head is kept and comes back.

    One that cannot learn from so few rows is not judged by them. It is written where runs will be, if that is given,
    which shows in time whether that folder can be written.

    Raises:
        TrainingError: as `write_heads`, or it cannot be read back.
        StoreError: the folder cannot be written.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how few rows they are
        try:
            if heads.watches(head):
                head.fit(X, y, validation=(X, y))  # type: ignore[call-arg]
            else:
                head.fit(X, y)
            head.predict_proba(X)
        except Exception:  # a head of the user's raises what it likes; on all rows it may well learn
            return
        try:
            if submissions:
                submissions.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".trial-", dir=submissions) as folder:
                write_heads(Path(folder), name, [head])
                _try_again(Path(folder) / HEAD_FILE, name, type(head), X)
        except OSError as error:
            raise write_error(submissions or Path(tempfile.gettempdir()), error) from None


def _try_again(path: Path, name: str, kind: type, X: NDArray[np.float32]) -> None:
    try:
        for head in _read_heads(path, kind):
            head.predict_proba(X)
    except Exception as error:  # its own code may raise what it likes
        raise _not_kept(name, f"read back, it raises {type(error).__name__}: {error}") from None


def _read_heads(path: Path, kind: type) -> Any:
    import skops.io

    return skops.io.load(path, trusted=_trusted(kind))


def _trusted(kind: type) -> list[str]:
    """The types that may come from a file of such heads; with a head of the user's, all that its file defines."""
    own = [kind]
    others: tuple[str, ...] = _TYPES
    if heads.is_of_a_file(kind):
        there = vars(sys.modules[kind.__module__]).values()
        own = [value for value in there if isinstance(value, type) and value.__module__ == kind.__module__]
        others += _BOOSTED
    return [*others, *(f"{value.__module__}.{value.__qualname__}" for value in own)]


def _not_kept(head: str, reason: str) -> TrainingError:
    own = "Let its __getstate__ give arrays, numbers and texts" if head.endswith(".py") else ""
    remedy = f"{own}, or choose another --head" if own else "Choose another --head"
    return TrainingError(f"The head {head} cannot be kept without pickle: {reason}", remedy)

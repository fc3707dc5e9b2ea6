"""What a run is: the folder `submissions/<name>/`, its `run.json`, and taking up its trained heads again."""

import errno
import hashlib
import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs import heads, storage, store
from catsdogs.calibration import MAX_CLIP, MAX_TEMPERATURE, Calibration
from catsdogs.errors import CatsdogsError, TrainingError, UnknownNameError
from catsdogs.files import write_error
from catsdogs.heads import Head
from catsdogs.submission import Grade
from catsdogs.typed import typed

FORMAT = "catsdogs run"
VERSION = 3
OLDEST = 2  # whose folds were dealt over the kept rows, and whose heads' mean was calibrated, not each
RUN_FILE = "run.json"
SUBMISSION_FILE = "submission.csv"
OUT_OF_FOLD_FILE = "oof.csv"
TRUTH_FILE = "truth.csv"
HEAD_FILE = "heads.skops"
CURVES_FILE = "learning_curves.png"
TENSORBOARD_FOLDER = "tensorboard"
REPORT_FILE = "report.html"

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


@dataclass(frozen=True)
class Run:
    """What `run.json` says of a run.

    Attributes:
        created: the time, UTC, ISO 8601.
        command: what the user typed.
        versions: of what the numbers depend on besides this package: Python and the libraries.
        head_digest: SHA-256 of the head's file, where it is one of the user's, else empty.
        settings: the head's, see `heads.settings_of`.
        features: the folder of feature files.
        backbones: name of the feature file -> its recipe.
        rows_digest: SHA-256 of what the rows are, see `store.rows_digest`.
        widths: columns of each network.
        prior: the share of each class among the rows that were learnt from.
        source: the data set the features were made from.
        protocol: how rows were held out to be the test rows, see `replay`; empty if they are the data set's own.
        dropped: ids of training photographs that were not learnt from.
        relabelled: id of a training photograph -> the class it was learnt as.
        calibration: what is done to each head's probabilities, before their mean is taken.
        scores: the first is the one to quote; each says what it was measured on.
        unreadable: id of a test photograph that got the class prior -> why.
        competition: Kaggle's name of the one it is for; empty if nothing told.
        version: of the rules by which it was trained. What follows is since version 3, and has defaults before.
        streamed: whether heads read their rows in blocks; None if the memory of that machine decided and nobody knows.
        copies: of each picture that occurs again, the ids of the training photographs that share a fold.
        left_out: classes that no photograph shows, so that no head knows them.
        held_out: ids of the rows that the protocol hid, where copies moved some; else it draws the same again.
        sample_submission: SHA-256 of the text that `submission.csv` has its columns and order from; empty if of none.
    """

    name: str
    created: str
    command: str
    package_version: str
    versions: dict[str, str]
    head: str
    head_digest: str
    settings: dict[str, Any]
    seed: int
    folds: int
    features: str
    backbones: dict[str, dict[str, Any]]
    rows_digest: str
    widths: tuple[int, ...]
    classes: tuple[str, ...]
    prior: tuple[float, ...]
    source: str
    train_rows: int
    test_rows: int
    protocol: str
    dropped: tuple[str, ...]
    relabelled: dict[str, str]
    calibration: Calibration
    scores: tuple[Grade, ...]
    unreadable: dict[str, str]
    competition: str = ""
    version: int = VERSION
    streamed: bool | None = None
    copies: tuple[tuple[str, ...], ...] = ()
    left_out: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    sample_submission: str = ""


_SINCE_3 = {field.name: field.default for field in fields(Run) if field.default is not MISSING}


@dataclass(frozen=True)
class TrainedRun:
    """A run and its heads, one for each fold."""

    run: Run
    heads: Sequence[Head]

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, classes) probabilities for (n, width) vectors: the mean of what the folds' heads say, each calibrated.

        The temperature was fitted on what single heads say. Their mean is softer already.

        Raises:
            TrainingError: the vectors have another width.
        """
        if X.shape[1] != sum(self.run.widths):
            raise TrainingError(
                f"The run {self.run.name} takes vectors of width {sum(self.run.widths):,}, not {X.shape[1]:,}",
                f"Give it the features of {', '.join(self.run.backbones)}, in this order",
            )
        said = (np.asarray(head.predict_proba(X), np.float64) for head in self.heads)
        if self.run.version == OLDEST:
            return self.run.calibration.apply(sum(said, start=self._nothing(X)) / len(self.heads))
        return sum(map(self.run.calibration.apply, said), start=self._nothing(X)) / len(self.heads)

    def _nothing(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.zeros((len(X), len(self.run.classes)))


class Listing(NamedTuple):
    """The runs of a folder, and an error for each whose `run.json` cannot be used."""

    runs: list[Run]
    damaged: list[TrainingError]


def read_run(folder: Path) -> Run:
    """What `run.json` says, without the heads; raises as `load`."""
    path = folder / RUN_FILE
    if not storage.exists(path):
        raise UnknownNameError("run", folder.name, [run.name for run in list_runs(folder.parent).runs])
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"the format is {content['format']!r}")
        if content["version"] > VERSION:
            raise TrainingError(f"{path} has version {content['version']}, newer than {VERSION}", "Upgrade catsdogs")
        if content["version"] < OLDEST:
            raise TrainingError(
                f"{path} was written by catsdogs {content['package_version']} before heads were kept as they are now",
                f"Train again with --name {folder.name} --force",
            )
        if content["version"] == OLDEST:
            content = {name: list(value) if value == () else value for name, value in _SINCE_3.items()} | content
        run: Run = typed(Run, {field.name: content[field.name] for field in fields(Run)}, "run")
        for name, recipe in run.backbones.items():
            typed(store.Recipe, {"vector": store.POOLED} | recipe, name)  # older runs do not say
        _check_numbers(run)
    except OSError as error:
        raise storage.read_error(path, error, TrainingError) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, error) from None
    return run


def load(folder: Path) -> TrainedRun:
    """Take up a run again, heads and all; nothing is unpickled, and no types but the head's own and `_TYPES` are taken.

    A head file of the user's is run, to find its class, but only if it is the one that was trained.

    Raises:
        UnknownNameError: no such run.
        TrainingError: the run is damaged or of another version, or its head file has changed.
    """
    run = read_run(folder)
    check_head(run)
    kind = heads.find(run.head)
    path = folder / HEAD_FILE
    try:
        heads_found = _read_heads(path, kind)
        if not isinstance(heads_found, list) or [type(head) for head in heads_found] != [kind] * run.folds:
            raise ValueError("not a head for each fold")
        for head in heads_found:
            shape = np.shape(head.predict_proba(np.zeros((1, sum(run.widths)), np.float32)))
            if shape != (1, len(run.classes)):
                raise ValueError(f"a head that gives {shape}, not {(1, len(run.classes))}")
    except CatsdogsError:
        raise
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package not in {name.partition(".")[0] for name in _BOOSTED}:
            raise _damaged(path, error) from None
        problem = f"The run {run.name} needs the package {package}, which is not installed"
        raise TrainingError(problem, f"Run: pip install {package}") from None
    except FileNotFoundError as error:
        raise _damaged(path, error) from None
    except Exception as error:  # a damaged file makes skops, zip, JSON and NumPy raise nearly anything
        if storage.reason_of(error) and getattr(error, "errno", None) != errno.EINVAL:  # of a place before its start
            raise storage.read_error(path, error, TrainingError) from None
        raise _damaged(path, error) from None
    return TrainedRun(run, heads_found)


def head_digest(head: str) -> str:
    """SHA-256 of a head's file, if it is one of the user's that is there; else empty."""
    path = Path(head)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.suffix == ".py" and path.is_file() else ""


def check_head(run: Run) -> None:
    """Raise TrainingError if the head's file is not the one that was trained."""
    if run.head_digest != head_digest(run.head):
        raise TrainingError(
            f"{run.head} is gone, or not what it was for the run {run.name}", "Bring that file back, or train again"
        )


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


def list_runs(submissions: Path) -> Listing:
    """The runs in a folder, by name; only their `run.json` are read."""
    listing = Listing([], [])
    for path in sorted(submissions.glob(f"[!.]*/{RUN_FILE}")):
        try:
            listing.runs.append(read_run(path.parent))
        except TrainingError as error:
            listing.damaged.append(error)
    return listing


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


def _check_numbers(run: Run) -> None:
    """ValueError for a run whose parts have the right types but cannot be what `train` wrote."""
    for wrong, what in (
        (len(run.classes) < 2 or len(run.prior) != len(run.classes), "not a prior for each class"),
        (not all(0 <= share <= 1 for share in run.prior), "prior not from 0 to 1"),
        (not 0 <= run.calibration.clip <= MAX_CLIP, f"clip {run.calibration.clip}"),
        (
            not 1 / MAX_TEMPERATURE <= run.calibration.temperature <= MAX_TEMPERATURE,
            f"temperature {run.calibration.temperature}",
        ),
        (run.folds < 2 or len(run.widths) != len(run.backbones) or not run.backbones, "no folds, columns or backbones"),
        (not all(width > 0 for width in run.widths), f"widths {run.widths}"),
        (not run.scores, "no scores"),
    ):
        if wrong:
            raise ValueError(what)


def _not_kept(head: str, reason: str) -> TrainingError:
    own = "Let its __getstate__ give arrays, numbers and texts" if head.endswith(".py") else ""
    remedy = f"{own}, or choose another --head" if own else "Choose another --head"
    return TrainingError(f"The head {head} cannot be kept without pickle: {reason}", remedy)


def _damaged(path: Path, error: Exception) -> TrainingError:
    return TrainingError(
        f"{path} is damaged ({type(error).__name__}: {error})", f"Train again with --name {path.parent.name} --force"
    )

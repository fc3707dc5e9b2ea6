"""What a run is: the folder `submissions/<name>/`, its `run.json`, and taking up its trained heads again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import h5py
import numpy as np
from numpy.typing import NDArray

from catsdogs import heads, store
from catsdogs.errors import TrainingError, UnknownNameError
from catsdogs.heads import Head
from catsdogs.submission import Grade

FORMAT = "catsdogs run"
VERSION = 1
RUN_FILE = "run.json"
SUBMISSION_FILE = "submission.csv"
OUT_OF_FOLD_FILE = "oof.csv"
HEAD_FILE = "head.h5"
CURVES_FILE = "learning_curves.png"
TENSORBOARD_FOLDER = "tensorboard"

_JSON_TYPES: dict[type, tuple[type, ...]] = {tuple: (list,), float: (int, float), dict: (dict,)}


@dataclass(frozen=True)
class Run:
    """What `run.json` says of a run.

    Attributes:
        created: the time, UTC, ISO 8601.
        command: what the user typed.
        settings: the head's, see `heads.Head`.
        backbones: name of the feature file -> its recipe.
        width: columns of the vectors that the head takes.
        prior: the share of each class among the rows that were learnt from.
        source: the data set the features were made from.
        dropped: ids of training photographs that were not learnt from.
        clip: the distance that probabilities keep from 0 and 1.
        scores: the first is the one to quote; each says what it was measured on.
        unreadable: id of a test photograph that got the class prior -> why.
    """

    name: str
    created: str
    command: str
    package_version: str
    head: str
    settings: dict[str, Any]
    seed: int
    folds: int
    backbones: dict[str, dict[str, Any]]
    width: int
    classes: tuple[str, ...]
    prior: tuple[float, ...]
    source: str
    train_rows: int
    test_rows: int
    dropped: tuple[str, ...]
    clip: float
    scores: tuple[Grade, ...]
    unreadable: dict[str, str]


@dataclass(frozen=True)
class TrainedRun:
    """A run and its heads, one for each fold."""

    run: Run
    heads: Sequence[Head]

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, classes) probabilities for (n, width) vectors, averaged over the folds' heads, then clipped.

        Raises:
            TrainingError: the vectors have another width.
        """
        if X.shape[1] != self.run.width:
            raise TrainingError(
                f"The run {self.run.name} takes vectors of width {self.run.width:,}, not {X.shape[1]:,}",
                f"Give it the features of {', '.join(self.run.backbones)}, in this order",
            )
        total = np.zeros((len(X), len(self.run.classes)))
        for head in self.heads:
            total += head.predict_proba(X)
        return clipped(total / len(self.heads), self.run.clip)


class Listing(NamedTuple):
    """The runs of a folder, and an error for each whose `run.json` cannot be used."""

    runs: list[Run]
    damaged: list[TrainingError]


def read_run(folder: Path) -> Run:
    """What `run.json` says, without the heads; raises as `load`."""
    path = folder / RUN_FILE
    if not path.exists():
        raise UnknownNameError("run", folder.name, [run.name for run in list_runs(folder.parent).runs])
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"the format is {content['format']!r}")
        if content["version"] > VERSION:
            raise TrainingError(f"{path} has version {content['version']}, newer than {VERSION}", "Upgrade catsdogs")
        run: Run = _typed(Run, {field.name: content[field.name] for field in fields(Run)}, "run")
        for name, recipe in run.backbones.items():
            _typed(store.Recipe, recipe, name)
        _check_numbers(run)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from None
    return run


def load(folder: Path) -> TrainedRun:
    """Take up a run again, heads and all; nothing of it is unpickled.

    Raises:
        UnknownNameError: no such run.
        TrainingError: the run is damaged, or of another version.
    """
    run = read_run(folder)
    path = folder / HEAD_FILE
    try:
        with h5py.File(path) as file:
            groups = [file[fold_group(number)] for number in range(run.folds)]
            arrays = [{name: group[name][...] for name in group} for group in groups]
        restored = [heads.create(run.head, run.seed, **run.settings).restore(learnt) for learnt in arrays]
        for head in restored:
            columns = np.shape(head.predict_proba(np.zeros((1, run.width), np.float32)))[1]
            if columns != len(run.classes):
                raise ValueError(f"a head for {columns} classes, not {len(run.classes)}")
    except (OSError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None
    return TrainedRun(run, restored)


def list_runs(submissions: Path) -> Listing:
    """The runs in a folder, by name; only their `run.json` are read."""
    listing = Listing([], [])
    for path in sorted(submissions.glob(f"[!.]*/{RUN_FILE}")):
        try:
            listing.runs.append(read_run(path.parent))
        except TrainingError as error:
            listing.damaged.append(error)
    return listing


def clipped(probabilities: NDArray[np.float64], clip: float) -> NDArray[np.float64]:
    """(n, classes) probabilities kept `clip` away from 0 and 1, rows adding up to 1."""
    kept_away = np.clip(probabilities, clip, 1 - clip)
    result: NDArray[np.float64] = kept_away / kept_away.sum(axis=1, keepdims=True)
    return result


def fold_group(number: int) -> str:
    """Where `head.h5` keeps the head of a fold, counted from 0."""
    return f"fold-{number + 1}"


def _typed(kind: Any, value: Any, name: str) -> Any:
    """A value as JSON gives it -> as `kind`, a dataclass or the type of a field; TypeError or KeyError if it is not."""
    origin, inside = get_origin(kind) or kind, get_args(kind)
    if kind is not Any and type(value) not in _JSON_TYPES.get(dict if is_dataclass(kind) else origin, (origin,)):
        raise TypeError(f"{name} is of type {type(value).__name__}")
    if is_dataclass(kind):
        kinds = get_type_hints(kind)
        return origin(**{key: _typed(kinds[key], item, key) for key, item in value.items()})
    if origin is tuple:
        return tuple(_typed(inside[0], item, name) for item in value)
    if origin is dict:
        return {key: _typed(inside[1], item, name) for key, item in value.items()}
    return value


def _check_numbers(run: Run) -> None:
    """ValueError for a run whose parts have the right types but cannot be what `train` wrote."""
    for wrong, what in (
        (len(run.classes) < 2 or len(run.prior) != len(run.classes), "not a prior for each class"),
        (not all(0 <= share <= 1 for share in run.prior), "prior not from 0 to 1"),
        (not 0 <= run.clip < 0.5, f"clip {run.clip}"),
        (run.folds < 2 or run.width < 1 or not run.backbones, "no folds, columns or backbones"),
        (not run.scores, "no scores"),
    ):
        if wrong:
            raise ValueError(what)


def _damaged(path: Path, error: Exception) -> TrainingError:
    return TrainingError(
        f"{path} is damaged ({type(error).__name__}: {error})", f"Train again with --name {path.parent.name} --force"
    )

"""A run: the folder `submissions/<name>/`, its `run.json` written and read back, its heads taken up again."""

import json
import math
import platform
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs import heads
from catsdogs.competition.grading import TRUTH_FILE
from catsdogs.errors import StoreError, TrainingError, UnknownNameError, to_choose_from
from catsdogs.features import joining, recipes
from catsdogs.features.feature_file import Features
from catsdogs.features.recipes import Recipe
from catsdogs.files import storage
from catsdogs.files.cards import as_json, typed
from catsdogs.heads import Head
from catsdogs.photographs.task import KINDS, NUMBER, Task
from catsdogs.runs.blend_card import Blend
from catsdogs.scoring import crossval, judging, metrics, refitting, replay
from catsdogs.scoring.calibration import MAX_CLIP, MAX_TEMPERATURE, Calibration
from catsdogs.scoring.curves import TENSORBOARD_FOLDER
from catsdogs.scoring.grades import Grade
from catsdogs.scoring.judging import Rule
from catsdogs.scoring.kept_heads import HEAD_FILE, head_digest, read_heads
from catsdogs.scoring.training_plan import NEWEST, OLDEST, Plan, occupied

RUN_FORMAT = "catsdogs run"
RUN_FILE = "run.json"
SUBMISSION_FILE = "submission.csv"
OUT_OF_FOLD_FILE = "oof.csv"
LEARNING_CURVES_FILE = "learning_curves.png"
REPORT_FILE = "report.html"
EXPORT_FOLDER = "export"  # a folder for each format
FILES = (
    *(RUN_FILE, SUBMISSION_FILE, OUT_OF_FOLD_FILE, HEAD_FILE, TRUTH_FILE),
    *(LEARNING_CURVES_FILE, TENSORBOARD_FOLDER, REPORT_FILE, EXPORT_FOLDER),
)
_VERSIONED = ("numpy", "scipy", "scikit-learn", "skops", "keras")


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
        rows_digest: SHA-256 of what the rows are, see `joining.rows_digest`.
        widths: columns of each network.
        classes: what predictions are of, see `Features.columns`: classes, or labels, or the names of the numbers.
        prior: the share of each class or label among the rows that were learnt from; of numbers their mean.
        source: the data set the features were made from.
        protocol: how rows were held out to be the test rows, see `replay`; empty if they are the data set's own.
        dropped: ids of training photographs that were not learnt from.
        relabelled: id of a training photograph -> the class it was learnt as.
        calibration: what is done to each head's probabilities, before their mean is taken; where the task's metric
            looks at an order only, without the clip.
        scores: the first is the one to quote; each says what it was measured on.
        unreadable: id of a test photograph that got the class prior -> why.
        task: what the competition asks for; runs written before there were tasks have that of their classes.
        competition: Kaggle's name of the one it is for; empty if not known.
        version: of the rules by which it was trained. What follows is since version 3, and has defaults before.
        streamed: whether heads read their rows in blocks; None if the memory of that machine decided and nobody knows.
        copies: of each picture that occurs again, the ids of the training photographs that share a fold.
        left_out: classes that no photograph shows, so that no head knows them.
        held_out: ids of the rows that the protocol hid, where copies moved some; else it draws the same again.
        sample_submission: SHA-256 of the text that `submission.csv` has its columns and order from; empty if of none.
        thresholds, names_one: see `judging.Rule`.
        grouped_by: what no fold parts, see `Features.groups`, as it was given; empty without groups.
        balance: whether rare classes and labels counted for as much as frequent ones.
        repeats, refit, pseudo: see `Plan`.
        blend: of what runs it is made; None for a run that was trained.
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
    task: Task
    competition: str = ""
    version: int = NEWEST
    streamed: bool | None = None
    copies: tuple[tuple[str, ...], ...] = ()
    left_out: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    sample_submission: str = ""
    thresholds: tuple[float, ...] = ()
    names_one: bool = False
    grouped_by: str = ""
    balance: bool = False
    repeats: int = 1
    refit: bool = False
    pseudo: float = 0.0
    blend: Blend | None = None

    @property
    def kept_heads(self) -> int:
        """How many heads answer for other photographs."""
        if not self.refit:
            return self.folds * self.repeats
        return refitting.count(heads.create(self.head, kind=self.task.kind), self.repeats)

    @property
    def submitted_calibration(self) -> Calibration:
        """`calibration`, without its clip where the metric looks at an order only, which a clip would tie."""
        return judging.as_submitted(self.calibration, self.task)

    @property
    def rule(self) -> Rule:
        """How predictions become what is written."""
        values = judging.grades_of(self.task, self.classes)
        return Rule(self.task, self.calibration, self.thresholds, values, self.names_one)


_DEFAULTS = {field.name: field.default for field in fields(Run) if field.default is not MISSING}
_SINCE_KINDS = (
    "thresholds",
    "names_one",
    "grouped_by",
    "balance",
    "repeats",
    "refit",
    "pseudo",
    "blend",
)  # other fields with defaults are since version 3
_WITHOUT_METRIC = {"metric": metrics.LOG_LOSS, "value": None, "value_error": None}  # scores of before there were tasks


@dataclass(frozen=True)
class TrainedRun:
    """A run and its heads: one for each fold, deal by deal where there are several; or those refitted to all rows."""

    run: Run
    heads: Sequence[Head]

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, columns) probabilities or numbers for (n, width) vectors: the mean over the folds' heads.

        Probabilities of each head are calibrated before: the temperature was fitted to single heads, and their mean is
        softer already. Of several deals it was fitted to means of one head of each. So the heads of as many are
        averaged before: those of the first fold of each deal, and so on; or all refitted ones.

        Raises:
            TrainingError: the vectors have another width.
        """
        if X.shape[1] != sum(self.run.widths):
            raise TrainingError(
                f"The run {self.run.name} takes vectors of width {sum(self.run.widths):,}, not {X.shape[1]:,}",
                f"Give it the features of {', '.join(self.run.backbones)}, in this order",
            )
        run, nothing = self.run, np.zeros((len(X), len(self.run.classes)))

        def mean_of(heads: Sequence[Head]) -> NDArray[np.float64]:
            return sum((crossval.predict(head, X, run.task.kind) for head in heads), start=nothing) / len(heads)

        calibrate = partial(judging.apply, run.submitted_calibration, task=run.task)
        if run.version == OLDEST:
            return calibrate(mean_of(self.heads))
        groups = 1 if run.refit else len(self.heads) // run.repeats
        by_group = (mean_of(self.heads[number::groups]) for number in range(groups))
        return sum(map(calibrate, by_group), start=nothing) / groups


class Listing(NamedTuple):
    """The runs of a folder, and an error for each whose `run.json` cannot be used."""

    runs: list[Run]
    damaged: list[TrainingError]


def write_run(folder: Path, run: Run) -> None:
    """Write `run.json`, which `read_run` reads back."""
    (folder / RUN_FILE).write_text(as_json({"format": RUN_FORMAT, **asdict(run)}), encoding="utf-8")


def read_run(folder: Path) -> Run:
    """What `run.json` says, without the heads; raises as `load_run`."""
    path = folder / RUN_FILE
    if not storage.exists(path):
        raise UnknownNameError("run", folder.name, [run.name for run in list_runs(folder.parent).runs])
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != RUN_FORMAT:
            raise ValueError(f"the format is {content['format']!r}")
        if content["version"] > NEWEST:
            raise TrainingError(f"{path} has version {content['version']}, newer than {NEWEST}", "Upgrade catsdogs")
        if content["version"] < OLDEST:
            raise TrainingError(
                f"{path} was written by catsdogs {content['package_version']} before heads were kept as they are now",
                f"Train again with --name {folder.name} --force",
            )
        known = _DEFAULTS if content["version"] == OLDEST else {name: _DEFAULTS[name] for name in _SINCE_KINDS}
        content = {name: list(value) if value == () else value for name, value in known.items()} | content
        content["scores"] = [_WITHOUT_METRIC | score for score in content["scores"]]
        content.setdefault("task", json.loads(as_json(asdict(Task.of_classes(content["classes"])))))
        run: Run = typed(Run, {field.name: content[field.name] for field in fields(Run)}, "run")
        for name, recipe in run.backbones.items():
            typed(recipes.Recipe, recipes.DEFAULTS | recipe, name)  # older runs do not say
        _check_numbers(run)
    except OSError as error:
        raise storage.read_error(path, error, TrainingError) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TrainingError(f"{path} is damaged ({type(error).__name__}: {error})", train_again(path)) from None
    return run


def load_run(folder: Path) -> TrainedRun:
    """Take up a run again, heads and all; nothing is unpickled, see `kept_heads.read_heads`.

    A head file of the user's is run, to find its class, but only if it is the one that was trained. A blended run takes
    the heads of the runs beside it that it is made of.

    Raises:
        UnknownNameError: no such run.
        TrainingError: the run is damaged or of another version, or its head file has changed; so of a blended run's
            parts.
    """
    from catsdogs.runs import blended_heads  # which takes up runs with this function

    run = read_run(folder)
    if run.blend:
        return TrainedRun(run, blended_heads.read_blended(folder, run, run.blend))
    check_head_file(run)
    path, shape = folder / HEAD_FILE, (run.kept_heads, sum(run.widths), len(run.classes))
    return TrainedRun(run, read_heads(path, run.head, shape, run.name, train_again(path), run.task.kind))


def must_exist(path: Path) -> None:
    """TrainingError for a file of a run that is not there."""
    if not path.exists():
        raise TrainingError(f"{path} is gone", train_again(path))


def train_again(path: Path) -> str:
    """What to do about a damaged file of a run."""
    return f"Train again with --name {path.parent.name} --force"


def check_head_file(run: Run) -> None:
    """Raise TrainingError if the head's file is not the one that was trained."""
    if run.head_digest != head_digest(run.head):
        raise TrainingError(
            f"{run.head} is gone, or not what it was for the run {run.name}", "Bring that file back, or train again"
        )


def list_runs(submissions: Path) -> Listing:
    """The runs in a folder, by name; only their `run.json` are read."""
    listing = Listing([], [])
    for path in sorted(submissions.glob(f"[!.]*/{RUN_FILE}")):
        try:
            listing.runs.append(read_run(path.parent))
        except TrainingError as error:
            listing.damaged.append(error)
    return listing


def _check_numbers(run: Run) -> None:
    """ValueError for a run whose parts have the right types but cannot be what `train` wrote."""
    clip, temperature = run.calibration.clip, run.calibration.temperature
    for wrong, what in (
        (len(run.classes) < (2 if run.task.has_classes else 1), f"{len(run.classes)} classes"),
        (len(run.prior) != len(run.classes), "not a prior for each class"),
        (not all(math.isfinite(share) for share in run.prior), "prior not finite"),
        (run.task.kind != NUMBER and not all(0 <= share <= 1 for share in run.prior), "prior not from 0 to 1"),
        (run.task.kind not in KINDS, f"kind {run.task.kind!r}"),
        (not 0 <= clip <= MAX_CLIP, f"clip {clip}"),
        (not 1 / MAX_TEMPERATURE <= temperature <= MAX_TEMPERATURE, f"temperature {temperature}"),
        (run.folds < 2 or len(run.widths) != len(run.backbones) or not run.backbones, "no folds, columns or backbones"),
        (run.repeats < 1 or not 0 <= run.pseudo < 1, f"{run.repeats} repeats, pseudo-labels from {run.pseudo}"),
        (not all(width > 0 for width in run.widths), f"widths {run.widths}"),
        (not run.scores, "no scores"),
        (not metrics.is_known(run.task.metric), f"metric {run.task.metric!r}"),
    ):
        if wrong:
            raise ValueError(what)


def plan_of(run: Run) -> Plan:
    """What would give this run again.

    Raises:
        TrainingError: the user's own head file has changed since.
    """
    if run.blend:
        parts = [part.name + (f":{part.weight:g}" if part.is_fixed else "") for part in run.blend.parts]
        problem = f"The run {run.name} was blended, not trained"
        raise TrainingError(problem, f"Blend again with --runs {','.join(parts)}")
    check_head_file(run)
    alike = {field.name: getattr(run, field.name) for field in fields(Plan) if hasattr(run, field.name)}
    sample = None if run.version == OLDEST else run.sample_submission
    alike["settings"] = _settings_of(run)
    return Plan(**alike, drop=set(run.dropped), relabel=run.relabelled, sample_digest=sample)


_BEFORE_SEARCHES = {"penalty": 1.0, "search": "five"}  # what heads did before they searched for penalties


def _settings_of(run: Run) -> dict[str, Any]:
    """Its head's settings, also those that there were not yet when it was trained."""
    known = heads.settings_of(heads.create(run.head, kind=run.task.kind))
    return {name: value for name, value in _BEFORE_SEARCHES.items() if name in known} | dict(run.settings)


def check_vectors(run: Run, files: Sequence[Features]) -> None:
    """Raise a StoreError for files of other networks or recipes than the run was trained on."""
    names = [file.name for file in files]
    if names != list(run.backbones):
        raise StoreError(
            f"The run {run.name} was trained on {', '.join(run.backbones)}, not on {', '.join(names)}",
            "Give --backbones these networks, in this order",
        )
    for file, recipe, width in zip(files, run.backbones.values(), run.widths, strict=True):
        differences = file.recipe.differences(Recipe(**recipe))
        if file.width != width:
            differences.append(f"width: {file.width}, not {width}")
        if differences:
            raise StoreError(
                f"{file.path} is not what the run {run.name} was trained on: {'; '.join(differences)}",
                f"Bring that file back, or write it so again with `catsdogs features --backbones {file.name}`",
            )


def rows_of(run: Run, files: Sequence[Features]) -> list[Features]:
    """Feature files, as they were read, with the rows and classes that the run was trained on.

    On other files `train` with `plan_of` would not give this run again.

    Raises:
        StoreError: other networks, recipes or rows than the run was trained on.
    """
    check_vectors(run, files)
    files = occupied(replay.split(files, run.held_out) if run.protocol else files, run.relabelled)
    first = files[0]
    if joining.rows_digest(first) != run.rows_digest:
        counts = len(first.labels), len(first.ids["test"]), to_choose_from(first.columns)
        trained = run.train_rows, run.test_rows, to_choose_from(run.classes)
        named = zip(("train rows", "test rows", "classes"), counts, trained, strict=True)
        differences = [f"{what}: {here}, not {there}" for what, here, there in named if here != there]
        raise StoreError(
            f"{first.path} holds other rows than the run {run.name} was trained on: "
            f"{'; '.join(differences) or 'as many, but of other ids, labels, groups or photographs'}",
            f"Bring back that file, or the photographs that were in {run.source}",
        )
    return files


def versions() -> dict[str, str]:
    """Of what a run's numbers depend on besides its files and this package."""
    return {"python": platform.python_version(), **{package: version(package) for package in _VERSIONED}}

"""Cross-validates a head on cached vectors, and keeps what came of it: the run folder `submissions/<name>/`."""

import contextlib
import csv
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import h5py
import numpy as np
from numpy.typing import NDArray

from catsdogs import __version__, curves, heads, store, submission
from catsdogs.errors import TrainingError, UnknownNameError, UsageError
from catsdogs.files import write_error
from catsdogs.heads import Head
from catsdogs.progress import Progress
from catsdogs.store import Features
from catsdogs.submission import Grade

FORMAT = "catsdogs run"
VERSION = 1
RUN_FILE = "run.json"
SUBMISSION_FILE = "submission.csv"
OUT_OF_FOLD_FILE = "oof.csv"
HEAD_FILE = "head.h5"
CURVES_FILE = "learning_curves.png"
TENSORBOARD_FOLDER = "tensorboard"
WRITTEN = (RUN_FILE, SUBMISSION_FILE, OUT_OF_FOLD_FILE, HEAD_FILE, CURVES_FILE, TENSORBOARD_FOLDER)
MAX_SEED = 2**32 - 1  # NumPy's legacy generator takes no larger one
CLIPS = (0.0, 1e-7, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 2e-3, 5e-3, 1e-2)

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


class CrossValidation(NamedTuple):
    """A head for each fold; and for each row, out of fold, its (classes,) probabilities and the number of its fold."""

    heads: list[Head]
    probabilities: NDArray[np.float64]
    fold: NDArray[np.int64]


def train(
    files: Sequence[Features],
    *,
    head: str,
    folds: int,
    seed: int,
    name: str,
    submissions: Path,
    command: str,
    drop: AbstractSet[str] = frozenset(),
    sample_submission: str | None = None,
    force: bool = False,
) -> Run:
    """Cross-validate a head on the vectors of several networks, and write the run folder, whole or not at all.

    Args:
        drop: ids of training photographs not to learn from. They are predicted all the same, by the head of a fold,
            and scored apart, so that dropping what is hard cannot flatter.
        sample_submission: its text, see `submission.write`.
        force: replace the run of that name, all but the files in its folder that are not ours.

    Raises:
        UnknownNameError, UsageError: no such head; a name, seed or number of folds that cannot be used.
        TrainingError: the name is taken, random weights, one class only, a class with fewer rows than folds.
        StoreError: the files hold different rows, or are damaged; the run cannot be written.
        SubmissionError: the sample submission has other ids.
    """
    target = _target(submissions, name, force)
    settings = heads.create(head, seed).settings
    kept = _check(files, folds, seed, drop)
    first = files[0]
    unreadable = {row.id: row.reason for file in files for row in file.unreadable if row.split == "test"}
    submission.order(first.ids["test"], first.classes, sample_submission, unreadable)

    crossed = cross_validate(store.join(files, "train")[1], first.labels, kept, head, folds, seed)
    clip = choose_clip(crossed.probabilities, first.labels)
    run = Run(
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        package_version=__version__,
        head=head,
        settings=settings,
        seed=seed,
        folds=folds,
        backbones={file.name: asdict(file.recipe) for file in files},
        width=sum(file.width for file in files),
        classes=first.classes,
        prior=tuple((np.bincount(first.labels[kept]) / kept.sum()).tolist()),
        source=first.source,
        train_rows=len(kept),
        test_rows=len(first.ids["test"]),
        dropped=tuple(first.ids["train"][~kept]),
        clip=clip,
        scores=_scores(crossed, first.labels, kept, clip),
        unreadable=unreadable,
    )
    with _appearing(target, force) as folder:
        _write_run(folder, run, crossed, first, kept)
        if run.test_rows or unreadable:
            probabilities = TrainedRun(run, crossed.heads).predict_proba(store.join(files, "test")[1])
            path = folder / SUBMISSION_FILE
            ids, missing = first.ids["test"].tolist(), dict.fromkeys(unreadable, run.prior)
            submission.write(path, ids, probabilities, first.classes, sample_submission, missing)
    return run


def cross_validate(
    X: NDArray[np.float32], labels: NDArray[np.int64], kept: NDArray[np.bool_], head: str, folds: int, seed: int
) -> CrossValidation:
    """Stratified k-fold: fit on the kept rows of all folds but one, predict the rows of that one, kept or not.

    Args:
        X, labels, kept: (n, width) vectors, (n,) classes, (n,) whether a row may be learnt from.
    """
    from sklearn.model_selection import StratifiedKFold

    rows = np.flatnonzero(kept)
    fold = np.arange(len(labels)) % folds  # for the rows not kept, that is; the others follow
    for number, (_, held) in enumerate(
        StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, labels[rows])
    ):
        fold[rows[held]] = number
    probabilities = np.empty((len(labels), int(labels.max()) + 1))
    fitted = []
    with Progress(total=folds, description=head, unit="fold") as progress:
        for number in range(folds):
            learnt = np.flatnonzero(kept & (fold != number))
            watched, unseen = np.flatnonzero(kept & (fold == number)), np.flatnonzero(~kept & (fold == number))
            held = np.concatenate((watched, unseen))
            vectors = X[held]
            validation = vectors[: len(watched)], labels[watched]
            fitted.append(heads.create(head, seed).fit(X[learnt], labels[learnt], validation))
            probabilities[held] = fitted[-1].predict_proba(vectors)
            progress.update()
    return CrossValidation(fitted, probabilities, fold)


def clipped(probabilities: NDArray[np.float64], clip: float) -> NDArray[np.float64]:
    """(n, classes) probabilities kept `clip` away from 0 and 1, rows adding up to 1."""
    kept_away = np.clip(probabilities, clip, 1 - clip)
    result: NDArray[np.float64] = kept_away / kept_away.sum(axis=1, keepdims=True)
    return result


def choose_clip(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Which of `CLIPS` gives these out-of-fold probabilities the lowest log loss; the smallest of equals.

    Rows that are not learnt from belong here too: the test set has such photographs, and there nobody drops them.
    """
    losses = [submission.log_losses(clipped(probabilities, clip), labels).mean() for clip in CLIPS]
    return CLIPS[int(np.argmin(losses))]


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
            groups = [file[_group(number)] for number in range(run.folds)]
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


def _target(submissions: Path, name: str, force: bool) -> Path:
    """The run folder to be, after a look at what is there."""
    target = submissions / name
    if name.startswith(".") or target.name != name or target.parent != submissions:
        raise UsageError(f"The run name {name!r} is not that of a folder", "Give --name letters, digits and hyphens")
    _refuse_taken(target, force)
    if target.exists() and not (target / RUN_FILE).exists():
        raise TrainingError(f"{target} is not a run, so --force does not replace it", "Choose another --name")
    return target


def _refuse_taken(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise TrainingError(f"There is a run at {target} already", "Choose another --name, or replace it with --force")


def _check(files: Sequence[Features], folds: int, seed: int, drop: AbstractSet[str]) -> NDArray[np.bool_]:
    """Refuse what cannot be trained on; whether each training row may be learnt from."""
    if folds < 2:
        raise UsageError(f"{folds} folds", "Give --folds a number of 2 or more")
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"The seed {seed}", f"Give --seed a number from 0 to {MAX_SEED}")
    for file in files:
        if file.recipe.weights == store.RANDOM_WEIGHTS:
            raise TrainingError(
                f"{file.path} comes from random weights, and they never yield a score",
                "Extract its features with real weights into another folder, see --weights-dir and --out",
            )
    store.check_joinable(files)
    first = files[0]
    kept = np.array([id not in drop for id in first.ids["train"]], bool)
    if len(first.classes) < 2:
        raise TrainingError(
            f"All {len(kept):,} training photographs of {first.path} are {''.join(first.classes) or 'missing'}",
            "Extract the features of photographs of two classes or more",
        )
    for name, count in zip(first.classes, np.bincount(first.labels[kept], minlength=len(first.classes)), strict=True):
        if count < folds:
            raise TrainingError(
                f"The class {name} has {count} photographs to learn from, fewer than {folds} folds",
                "Give --folds a smaller number, add photographs, or drop fewer",
            )
    return kept


def _scores(
    crossed: CrossValidation, labels: NDArray[np.int64], kept: NDArray[np.bool_], clip: float
) -> tuple[Grade, ...]:
    """The kept rows first, as they are submitted; then, where it differs, without the clip, and with dropped rows."""
    after = clipped(crossed.probabilities, clip)
    everyone = np.ones_like(kept)
    dropped = np.count_nonzero(~kept)
    how = f"clipped at {clip:g}, which was chosen on them" if clip else "not clipped"
    measures = [(kept, after, how)]
    if clip:
        measures.append((kept, crossed.probabilities, "not clipped"))
    if dropped:
        measures.append((everyone, after, f"{how}, with the {dropped:,} dropped photographs"))
    return tuple(
        submission.score(
            probabilities[rows],
            labels[rows],
            f"out of fold, {rows.sum():,} training photographs, {len(crossed.heads)} folds, {how}",
        )
        for rows, probabilities, how in measures
    )


def _write_run(folder: Path, run: Run, crossed: CrossValidation, first: Features, kept: NDArray[np.bool_]) -> None:
    """All files of a run but the submission."""
    content = {"format": FORMAT, "version": VERSION, **asdict(run)}
    (folder / RUN_FILE).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _write_out_of_fold(folder / OUT_OF_FOLD_FILE, crossed, first, kept)
    with store.writing(folder / HEAD_FILE) as file:
        for number, head in enumerate(crossed.heads):
            for name, array in head.arrays().items():
                file[f"{_group(number)}/{name}"] = array
    histories = [head.history for head in crossed.heads]
    if any(histories):
        title = f"{run.name}: {run.head} on {' + '.join(run.backbones)}\n{run.scores[0]}"
        curves.draw(folder / CURVES_FILE, histories, title)
        curves.write_tensorboard(folder / TENSORBOARD_FOLDER, histories)


def _write_out_of_fold(path: Path, crossed: CrossValidation, first: Features, kept: NDArray[np.bool_]) -> None:
    """A row per training photograph: id, label, `p_<class>` before the clip, fold from 1, dropped as 0 or 1."""
    columns = range(len(first.classes)) if len(first.classes) > 2 else (1,)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "label", *(f"p_{first.classes[column]}" for column in columns), "fold", "dropped"])
        rows = zip(first.ids["train"], first.labels, crossed.probabilities, crossed.fold, kept, strict=True)
        for id, label, probabilities, fold, is_kept in rows:
            numbers = (submission.as_text(probabilities[column]) for column in columns)
            writer.writerow([id, first.classes[label], *numbers, fold + 1, int(not is_kept)])


def _group(number: int) -> str:
    return f"fold-{number + 1}"


@contextlib.contextmanager
def _appearing(target: Path, force: bool) -> Iterator[Path]:
    """A new folder that takes its name only once everything is in it; with `force`, from a run that bore it.

    What others put into that run's folder, such as notes, is carried over; what we wrote, like old curves, is not.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _refuse_taken(target, force)  # again, for training takes a while and another process may use the name
        if target.exists():
            _carry_over(target, temporary)
            target.rename(old)
        temporary.rename(target)
    except OSError as error:
        raise write_error(target, error) from None
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


def _carry_over(old: Path, new: Path) -> None:
    """Copy what is in a run folder but was not written by us."""

    def ours(folder: str, _: list[str]) -> Sequence[str]:
        return WRITTEN if Path(folder) == old else ()

    shutil.copytree(old, new, symlinks=True, ignore=ours, dirs_exist_ok=True)


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

"""Cross-validates a head on cached vectors, and keeps what came of it: the run folder `submissions/<name>/`."""

import contextlib
import functools
import hashlib
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs import (
    __version__,
    calibration,
    crossval,
    curves,
    duplicates,
    folders,
    heads,
    replay,
    runs,
    store,
    streaming,
    submission,
    tables,
)
from catsdogs.crossval import CrossValidation
from catsdogs.duplicates import Copies
from catsdogs.errors import StoreError, SubmissionError, TrainingError, UsageError
from catsdogs.files import write_error
from catsdogs.heads import Head
from catsdogs.listing import to_choose_from
from catsdogs.progress import Progress
from catsdogs.runs import Run, TrainedRun
from catsdogs.store import Features, Recipe
from catsdogs.submission import Grade
from catsdogs.typed import as_json

WRITTEN = (
    runs.RUN_FILE,
    runs.SUBMISSION_FILE,
    runs.OUT_OF_FOLD_FILE,
    runs.HEAD_FILE,
    runs.TRUTH_FILE,
    runs.CURVES_FILE,
    runs.TENSORBOARD_FOLDER,
    runs.REPORT_FILE,
)
_OUT_OF_FOLD_COLUMNS = ("fold", "dropped", "relabelled")
_FEW_CLASSES, _FEW_ROWS = 3, 12  # of each: what shows in a second whether a head can be kept
_VERSIONED = ("numpy", "scipy", "scikit-learn", "skops", "keras")


@dataclass(frozen=True)
class Plan:
    """All that a run depends on besides the feature files.

    Attributes:
        settings: the head's own, see `heads.settings_of`; none are its defaults.
        drop: ids of training photographs not to learn from. They are predicted all the same, by the head of a fold, and
            scored, so that dropping what is hard cannot flatter.
        relabel: id of a training photograph -> the class to learn it as. It is scored by the label it came with.
        protocol: how rows were held out to be the test rows, see `replay`; empty if they are the data set's own.
        held_out: ids of the rows that the protocol held out, where it is not to draw them.
        copies: the training photographs that share a fold, see `duplicates.copies`, which finds them if this is None.
        streamed: whether heads read their rows in blocks; None if that is for this machine's memory to decide.
        version: of the rules to train by, see `runs.OLDEST`.
        sample_digest: SHA-256 of the sample submission that is to be obeyed, see `digest_of`; None for any.
    """

    head: str
    folds: int
    seed: int
    drop: AbstractSet[str] = frozenset()
    relabel: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    protocol: str = ""
    held_out: tuple[str, ...] = ()
    copies: Copies | None = None
    streamed: bool | None = None
    version: int = runs.VERSION
    sample_digest: str | None = None


class _Prepared(NamedTuple):
    """What heads learn from, and where each row is held out; all arrays are (n_train,).

    Attributes:
        files: without the classes that no photograph shows.
        kept: whether a row may be learnt from.
        learnt: the corrected labels.
        copies, pictures: see `duplicates`.
        streamed: whether heads read their rows in blocks.
    """

    files: list[Features]
    kept: NDArray[np.bool_]
    learnt: NDArray[np.int64]
    copies: Copies
    pictures: NDArray[np.int64]
    fold: NDArray[np.int64]
    streamed: bool


def plan_of(run: Run) -> Plan:
    """What would give this run again.

    Raises:
        TrainingError: the user's own head file has changed since.
    """
    runs.check_head(run)
    return Plan(
        head=run.head,
        folds=run.folds,
        seed=run.seed,
        drop=set(run.dropped),
        relabel=run.relabelled,
        settings=run.settings,
        protocol=run.protocol,
        held_out=run.held_out,
        copies=run.copies,
        streamed=run.streamed,
        version=run.version,
        sample_digest=None if run.version == runs.OLDEST else run.sample_submission,
    )


def rows_of(run: Run, files: Sequence[Features]) -> list[Features]:
    """The feature files with the rows and classes that the run was trained on."""
    if run.protocol:
        files = replay.split(files, run.held_out)
    return occupied(files, run.relabelled)


def occupied(files: Sequence[Features], relabel: Mapping[str, str] = MappingProxyType({})) -> list[Features]:
    """The files without the classes that no training photograph shows, as given or as it is to be learnt."""
    first = files[0]
    shown = {first.classes[label] for label in np.unique(first.labels)}
    shown |= {relabel[id] for id in first.ids["train"].tolist() if id in relabel}
    found = []
    for file in files:
        classes = tuple(name for name in file.classes if name in shown)
        if classes != file.classes:
            number = np.cumsum([name in shown for name in file.classes]) - 1
            file = replace(file, classes=classes, labels=number[file.labels])
        found.append(file)
    return found


def check_repeatable(run: Run, files: Sequence[Features]) -> None:
    """Refuse feature files, as they were read, on which `train` with `plan_of` would not give this run again.

    Raises:
        StoreError: other networks, recipes or rows than the run was trained on.
    """
    names = [file.name for file in files]
    if names != list(run.backbones):
        raise StoreError(
            f"The run {run.name} was trained on {', '.join(run.backbones)}, not on {', '.join(names)}",
            "Give it the features of these networks, in this order",
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
    first = rows_of(run, files)[0]
    if store.rows_digest(first) != run.rows_digest:
        counts = len(first.labels), len(first.ids["test"]), to_choose_from(first.classes)
        trained = run.train_rows, run.test_rows, to_choose_from(run.classes)
        named = zip(("train rows", "test rows", "classes"), counts, trained, strict=True)
        differences = [f"{what}: {here}, not {there}" for what, here, there in named if here != there]
        raise StoreError(
            f"{first.path} holds other rows than the run {run.name} was trained on: "
            f"{'; '.join(differences) or 'as many, but of other ids, labels or photographs'}",
            f"Bring back that file, or the photographs that were in {run.source}",
        )


def train(
    files: Sequence[Features],
    plan: Plan,
    *,
    name: str,
    submissions: Path,
    command: str,
    sample_submission: str | None = None,
    truth: NDArray[np.int64] | None = None,
    competition: str = "",
    force: bool = False,
) -> Run:
    """Cross-validate a head on the vectors of several networks, and write the run folder, whole or not at all.

    Args:
        sample_submission: its text, see `submission.write`.
        truth: (n_test,) classes of the test rows, where they are known: then the first score is measured on them.
        competition: Kaggle's name of the one it is for, if it is known.
        force: replace the run of that name, all but the files in its folder that are not ours.

    Raises:
        UnknownNameError, UsageError: no such head; a name, seed or number of folds that cannot be used.
        TrainingError: the name is taken, random weights, one class only, a class with fewer rows than folds, columns
            that are all constant, or a head that cannot take these vectors.
        StoreError: the files hold different rows, or are damaged; the run cannot be written.
        SubmissionError: the sample submission has other ids.
    """
    target = target_of(submissions, name, force)
    given, files = files[0], occupied(files, plan.relabel)
    _refuse_unwritten(plan)
    if plan.sample_digest not in (None, digest_of(sample_submission)) and sample_submission is not None:
        raise SubmissionError(
            "The sample submission is not the one that the run to repeat was written after",
            "Bring that file back, or train anew without --repeat",
        )
    kept = check(files, plan.folds, plan.drop, plan.relabel, [plan.seed])
    first = files[0]
    left_out = [name for name in given.classes if name not in first.classes]
    answers = set() if truth is None else {given.classes[label] for label in truth}
    asked = [name for name in left_out if sample_submission is not None or name in answers]
    unreadable = {row.id: row.reason for file in files for row in file.unreadable if row.split == "test"}
    header, _, _ = submission.order(first.ids["test"], first.classes, sample_submission, unreadable, asked)
    check_heads(files, kept, [plan.head], plan.seed, plan.settings, submissions)
    streaming.check_readable(files, "test")  # so that no fit is lost to a row that turns out damaged after it

    prepared, crossed = _crossed(files, plan)
    run = _described(prepared, plan, crossed)
    run = replace(run, name=name, command=command, unreadable=unreadable, left_out=tuple(left_out))
    run = replace(run, sample_submission=digest_of(sample_submission), competition=competition)
    probabilities = np.empty((0, len(first.classes)))
    if run.test_rows:
        probabilities = streaming.predicted(TrainedRun(run, crossed.heads).predict_proba, files, "test")
    share = _share_of_the_unseen(int(kept.sum()), len(given.classes))
    if truth is not None:
        names, further = [*first.classes, *left_out], [share] * len(left_out)
        right = np.array([names.index(given.classes[label]) for label in truth], np.int64)
        said = submission.widened(probabilities, further) if left_out else probabilities
        how = f"held out{replay.in_words(given)}, {len(truth):,} labelled photographs"
        held_out = submission.score(said, right, how)
        run = replace(run, scores=(held_out, *run.scores))
    with _appearing(target, force) as folder:
        _write_run(folder, run, crossed, first)
        if truth is not None:
            replay.write_truth(folder / runs.TRUTH_FILE, replay.named(given, truth))
        if run.test_rows or unreadable:
            path = folder / runs.SUBMISSION_FILE
            ids, missing = first.ids["test"].tolist(), dict.fromkeys(unreadable, run.prior)
            rare = {name: share for name in asked if name in header}
            submission.write(path, ids, probabilities, first.classes, sample_submission, missing, rare)
    return run


def digest_of(sample_submission: str | None) -> str:
    """SHA-256 of a sample submission's text; empty without one."""
    return hashlib.sha256(sample_submission.encode()).hexdigest() if sample_submission is not None else ""


def _share_of_the_unseen(rows: int, classes: int) -> float:
    """The probability of a class that none of so many rows shows: half a row is counted for each of all classes.

    The rule of Krichevsky and Trofimov, see `calibration.UNSEEN_MISTAKES`.
    """
    return calibration.UNSEEN_MISTAKES / (rows + calibration.UNSEEN_MISTAKES * classes)


def _refuse_unwritten(plan: Plan) -> None:
    """A TrainingError for settings that `run.json` could not hold, so that nobody could repeat the run."""
    written = heads.settings_of(heads.create(plan.head, plan.seed, **plan.settings))
    for name in plan.settings:
        if name not in written:
            raise TrainingError(
                f"The setting {name} of the head {plan.head} cannot be written to {runs.RUN_FILE}",
                "Give it a text or a number, or write a head file that has it as its default",
            )


def _described(prepared: _Prepared, plan: Plan, crossed: CrossValidation) -> Run:
    """What can be said of a run once its heads are fitted; the rest is empty."""
    files, kept, learnt = prepared.files, prepared.kept, prepared.learnt
    first = files[0]
    return Run(
        name="",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command="",
        package_version=__version__,
        versions=versions(),
        head=plan.head,
        head_digest=runs.head_digest(plan.head),
        settings=heads.settings_of(crossed.heads[0]),
        seed=plan.seed,
        folds=plan.folds,
        features=str(first.path.parent),
        backbones={file.name: asdict(file.recipe) for file in files},
        rows_digest=store.rows_digest(first),
        widths=tuple(file.width for file in files),
        classes=first.classes,
        prior=tuple((np.bincount(learnt[kept], minlength=len(first.classes)) / kept.sum()).tolist()),
        source=first.source,
        train_rows=len(kept),
        test_rows=len(first.ids["test"]),
        protocol=plan.protocol,
        dropped=tuple(first.ids["train"][~kept]),
        relabelled={id: plan.relabel[id] for id in first.ids["train"] if id in plan.relabel},
        calibration=calibration.fit(crossed.probabilities, first.labels),
        scores=_scores(crossed, first.labels, prepared),
        unreadable={},
        version=plan.version,
        streamed=prepared.streamed,
        copies=prepared.copies,
        held_out=replay.to_remember(first) if plan.protocol else (),
    )


def versions() -> dict[str, str]:
    """Of what a run's numbers depend on besides its files and this package."""
    return {"python": platform.python_version(), **{package: version(package) for package in _VERSIONED}}


def check(
    files: Sequence[Features],
    folds: int,
    drop: AbstractSet[str],
    relabel: Mapping[str, str] = MappingProxyType({}),
    seeds: Sequence[int] = (0,),
) -> NDArray[np.bool_]:
    """(n_train,) whether each training row may be learnt from, after what cannot be trained on has been refused.

    Args:
        seeds: that folds will be dealt with, so that the most that can be are named where there are too many.

    Raises:
        TrainingError: random weights, a network that learnt from these very rows, one class only, or a class with fewer
            rows to learn from than folds.
        StoreError: the files hold different rows.
    """
    for file in files:
        if file.recipe.weights == store.RANDOM_WEIGHTS:
            raise TrainingError(
                f"{file.path} comes from random weights, and they never yield a score",
                "Extract its features with real weights into another folder, see --weights-dir and --out",
            )
        if file.learnt:
            raise TrainingError(
                f"The network {file.name} has learnt from {file.learnt:,} of the photographs in {file.path}: "
                "no score on them would be out of fold",
                "Train it with `catsdogs finetune --folds 5`, or on other photographs",
            )
    store.check_joinable(files)
    files = occupied(files, relabel)
    first = files[0]
    kept = np.array([id not in drop for id in first.ids["train"]], bool)
    if len(first.classes) < 2:
        raise TrainingError(
            f"All {len(kept):,} training photographs of {first.path} are {''.join(first.classes) or 'missing'}",
            "Extract the features of photographs of two classes or more",
        )
    learnt = corrected_labels(first, relabel)
    if np.bincount(learnt[kept], minlength=len(first.classes)).min() < folds:
        pictures = duplicates.pictures(first.ids["train"], duplicates.copies(files))
        check_folds(first, learnt, kept, pictures, folds, seeds)
    return kept


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
    X, y = streaming.Joined(files, "train").read(rows), np.unique(labels[rows], return_inverse=True)[1]
    widths = tuple(file.width for file in files)
    for name in others:
        runs.check_kept(name, heads.create(name, seed, widths, **settings), X, y, submissions)


def check_folds(
    first: Features,
    learnt: NDArray[np.int64],
    kept: NDArray[np.bool_],
    pictures: NDArray[np.int64],
    folds: int,
    seeds: Sequence[int],
) -> None:
    """Refuse more folds than the smallest class has pictures to learn from, or a fold without which a class is gone.

    Args:
        learnt, kept, pictures: (n_train,) corrected labels, whether a row is learnt from, the same number for copies.

    Raises:
        TrainingError: it names the smallest class, and the most folds that can be.
    """
    several = _pictures_of(first, learnt, kept, pictures)
    smallest = int(several.argmin())
    if several[smallest] >= folds:
        gone = _gone_without(first, learnt, kept, pictures, folds, seeds)
        if not gone:
            return
        smallest = gone[0]
    rows, count = np.count_nonzero(kept & (learnt == smallest)), several[smallest]
    problem = f"The class {first.classes[smallest]} has {rows} photographs to learn from"
    if count < rows:
        problem += f", which show {count} pictures"
    problem += f", fewer than {folds} folds" if count < folds else f", all in one of {folds} folds"
    most = _most_folds(first, learnt, kept, pictures, folds - 1, seeds)
    instead = f"Give --folds {most}, the most that can be, add" if most else "Add"
    fewer = ", drop or relabel fewer" if np.count_nonzero(first.labels == smallest) > rows else ""
    raise TrainingError(
        problem, f"{instead} photographs of it{fewer}, or leave it out with `catsdogs features --classes`"
    )


def most_folds(files: Sequence[Features], plan: Plan) -> int:
    """The folds of a plan, or as many as there can be where a class has too few pictures; 0 if there can be none.

    Copies are those of the plan.
    """
    files = occupied(files, plan.relabel)
    first, learnt = files[0], corrected_labels(files[0], plan.relabel)
    kept = np.array([id not in plan.drop for id in first.ids["train"]], bool)
    pictures = duplicates.pictures(first.ids["train"], plan.copies or ())
    return _most_folds(first, learnt, kept, pictures, plan.folds, [plan.seed]) if len(first.classes) > 1 else 0


def of_single_pictures(first: Features, copies: Copies) -> list[str]:
    """The ids of the photographs of all classes that show a single picture."""
    pictures = duplicates.pictures(first.ids["train"], copies)
    several = _pictures_of(first, first.labels, np.ones(len(pictures), bool), pictures)
    ids: list[str] = first.ids["train"][several[first.labels] < 2].tolist()
    return ids


def _most_folds(
    first: Features,
    learnt: NDArray[np.int64],
    kept: NDArray[np.bool_],
    pictures: NDArray[np.int64],
    at_most: int,
    seeds: Sequence[int],
) -> int:
    """The largest number of folds, up to `at_most`, that `check_folds` takes; 0 if there is none."""
    most = min(at_most, int(_pictures_of(first, learnt, kept, pictures).min()))
    each = (folds for folds in range(most, 1, -1) if not _gone_without(first, learnt, kept, pictures, folds, seeds))
    return next(each, 0)


def _pictures_of(
    first: Features, learnt: NDArray[np.int64], kept: NDArray[np.bool_], pictures: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(classes,) how many pictures of each class there are to learn from."""
    shown = np.unique(np.stack((learnt[kept], pictures[kept])), axis=1)[0]
    return np.bincount(shown, minlength=len(first.classes))


def _gone_without(
    first: Features,
    learnt: NDArray[np.int64],
    kept: NDArray[np.bool_],
    pictures: NDArray[np.int64],
    folds: int,
    seeds: Sequence[int],
) -> list[int]:
    """The classes that a head would not know, for all that is to be learnt of them lies in the fold it leaves out."""
    gone = np.zeros(len(first.classes), bool)
    for seed in seeds:
        fold = crossval.deal(first.labels, pictures, folds, seed)
        there = np.zeros((len(first.classes), folds), bool)
        there[learnt[kept], fold[kept]] = True
        gone |= there.sum(axis=1) < 2
    return np.flatnonzero(gone).tolist()


def out_of_fold(files: Sequence[Features], plan: Plan) -> CrossValidation:
    """Cross-validate as `train` does; raises as `train`, and writes nothing."""
    return _crossed(files, plan)[1]


def _crossed(files: Sequence[Features], plan: Plan) -> tuple[_Prepared, CrossValidation]:
    """Deal the folds, and cross-validate."""
    widths = tuple(file.width for file in files)
    make = functools.partial(heads.create, plan.head, plan.seed, widths, **plan.settings)
    head = make()  # refused before anything is read
    prepared = _prepared(files, plan, head)
    if prepared.streamed:
        _, kept, learnt, _, _, fold, _ = prepared
        return prepared, streaming.cross_validate(prepared.files, learnt, kept, fold, make, plan.seed)
    with Progress(total=plan.folds, description=plan.head, unit="fold") as progress:
        X = training_vectors(prepared.files)
        groups = prepared.pictures if prepared.copies else None
        crossed = crossval.cross_validate(
            X, prepared.learnt, prepared.kept, prepared.fold, make, progress.update, groups
        )
    return prepared, crossed


def _prepared(files: Sequence[Features], plan: Plan, head: Head) -> _Prepared:
    """Everything but the vectors; raises as `train`."""
    kept = check(files, plan.folds, plan.drop, plan.relabel, [plan.seed])
    files = occupied(files, plan.relabel)
    streamed = streaming.is_needed(files) if plan.streamed is None else plan.streamed
    if streamed:
        streaming.check_head(head, files)
    elif plan.streamed is not None:
        streaming.check_memory(files)
    first, learnt = files[0], corrected_labels(files[0], plan.relabel)
    if plan.version == runs.OLDEST:
        fold = crossval.fold_numbers(learnt, kept, plan.folds, plan.seed)
        return _Prepared(files, kept, learnt, (), np.arange(len(kept)), fold, streamed)
    copies = duplicates.copies(files) if plan.copies is None else plan.copies
    pictures = duplicates.pictures(first.ids["train"], copies)
    check_folds(first, learnt, kept, pictures, plan.folds, [plan.seed])
    fold = crossval.deal(first.labels, pictures, plan.folds, plan.seed)
    return _Prepared(files, kept, learnt, copies, pictures, fold, streamed)


def training_vectors(files: Sequence[Features]) -> NDArray[np.float32]:
    """(n_train, sum of widths) vectors of all networks, rows as in the first file.

    Raises:
        StoreError: the files are damaged, or hold different rows.
        TrainingError: every column of a network is constant.
    """
    X = store.join(files, "train")[1]
    streaming.refuse_constant(files, X.min(axis=0) == X.max(axis=0))
    return X


def corrected_labels(first: Features, relabel: Mapping[str, str]) -> NDArray[np.int64]:
    """(n_train,) the classes to learn: those of the file, but for the ids that are to be another class."""
    labels = first.labels.copy()
    for row, id in enumerate(first.ids["train"]):
        if id in relabel:
            labels[row] = first.classes.index(relabel[id])
    return labels


def target_of(submissions: Path, name: str, force: bool) -> Path:
    """The run folder to be, after a look at what is there.

    Raises:
        UsageError: a name that is not that of a folder.
        TrainingError: the name is taken.
    """
    target = submissions / name
    if name.startswith(".") or target.name != name or target.parent != submissions:
        raise UsageError(f"The run name {name!r} is not that of a folder", "Give --name letters, digits and hyphens")
    folders.clear(target)
    _refuse_taken(target, force)
    if target.exists() and not (target / runs.RUN_FILE).exists():
        raise TrainingError(f"{target} is not a run, so --force does not replace it", "Choose another --name")
    return target


def _refuse_taken(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise TrainingError(f"There is a run at {target} already", "Choose another --name, or replace it with --force")


def _scores(crossed: CrossValidation, labels: NDArray[np.int64], prepared: _Prepared) -> tuple[Grade, ...]:
    """All rows first, as they came and as they are submitted; then without calibration; then as they were learnt."""
    kept, learnt = prepared.kept, prepared.learnt
    after = calibration.cross_fitted(crossed.probabilities, labels, crossed.fold)
    dropped, relabelled = np.count_nonzero(~kept), np.count_nonzero(learnt != labels)
    corrected = f", learnt with {dropped:,} dropped and {relabelled:,} relabelled" if dropped or relabelled else ""
    folds = f"{len(crossed.heads)} folds" + (" with copies in one" if prepared.copies else "")
    how = f"calibrated on the other folds{corrected}"
    everyone = np.ones_like(kept)
    measures = [
        (everyone, labels, after, how),
        (everyone, labels, crossed.probabilities, f"not calibrated{corrected}"),
    ]
    if corrected:
        measures.append((kept, learnt, after, f"{how} and scored as corrected"))
    return tuple(
        submission.score(
            probabilities[rows],
            right[rows],
            f"out of fold, {rows.sum():,} training photographs, {folds}, {how}",
        )
        for rows, right, probabilities, how in measures
    )


def _write_run(folder: Path, run: Run, crossed: CrossValidation, first: Features) -> None:
    """All files of a run but the submission."""
    content = {"format": runs.FORMAT, **asdict(run)}
    (folder / runs.RUN_FILE).write_text(as_json(content), encoding="utf-8")
    _write_out_of_fold(folder / runs.OUT_OF_FOLD_FILE, run, crossed, first)
    runs.write_heads(folder, run.head, crossed.heads)
    histories = [getattr(head, "history_", {}) for head in crossed.heads]
    if any(histories):
        title = f"{run.name}: {run.head} on {' + '.join(run.backbones)}\n{run.scores[0]}"
        curves.draw(folder / runs.CURVES_FILE, histories, title)
        curves.write_tensorboard(folder / runs.TENSORBOARD_FOLDER, histories)


def _write_out_of_fold(path: Path, run: Run, crossed: CrossValidation, first: Features) -> None:
    """A row per training photograph; docs/runs.md lists the columns."""
    columns = range(len(first.classes)) if len(first.classes) > 2 else (1,)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = tables.Writer(file)
        writer.writerow(["id", "label", *(f"p_{first.classes[column]}" for column in columns), *_OUT_OF_FOLD_COLUMNS])
        dropped = set(run.dropped)
        rows = zip(first.ids["train"], first.labels, crossed.probabilities, crossed.fold, strict=True)
        for id, label, probabilities, fold in rows:
            numbers = (repr(float(probabilities[column])) for column in columns)  # what comes back is the same number
            marks = (fold + 1, int(id in dropped), run.relabelled.get(id, ""))
            writer.writerow([id, first.classes[label], *numbers, *marks])


@contextlib.contextmanager
def _appearing(target: Path, force: bool) -> Iterator[Path]:
    """A new folder that takes its name only once everything is in it; with `force`, from a run that bore it.

    What others put into that run's folder, such as notes, is carried over; what we wrote, like old curves, is not.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _refuse_taken(target, force)  # again, for training takes a while and another process may use the name
        if target.exists():
            _carry_over(target, temporary)
        folders.put(temporary, target)
    except OSError as error:
        raise write_error(target, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _carry_over(old: Path, new: Path) -> None:
    """Copy what is in a run folder but was not written by us."""

    def ours(folder: str, _: list[str]) -> Sequence[str]:
        return WRITTEN if Path(folder) == old else ()

    shutil.copytree(old, new, symlinks=True, ignore=ours, dirs_exist_ok=True)

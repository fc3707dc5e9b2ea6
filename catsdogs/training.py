"""Cross-validates a head on cached vectors, and keeps what came of it: the run folder `submissions/<name>/`."""

import contextlib
import csv
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs import __version__, curves, heads, runs, store, submission
from catsdogs.errors import TrainingError, UsageError
from catsdogs.files import write_error
from catsdogs.heads import Head
from catsdogs.progress import Progress
from catsdogs.runs import Run, TrainedRun
from catsdogs.store import Features
from catsdogs.submission import Grade

WRITTEN = (
    runs.RUN_FILE,
    runs.SUBMISSION_FILE,
    runs.OUT_OF_FOLD_FILE,
    runs.HEAD_FILE,
    runs.CURVES_FILE,
    runs.TENSORBOARD_FOLDER,
)
MAX_SEED = 2**32 - 1  # NumPy's legacy generator takes no larger one
CLIPS = (0.0, 1e-7, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 2e-3, 5e-3, 1e-2)


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
            path = folder / runs.SUBMISSION_FILE
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


def choose_clip(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Which of `CLIPS` gives these out-of-fold probabilities the lowest log loss; the smallest of equals.

    Rows that are not learnt from belong here too: the test set has such photographs, and there nobody drops them.
    """
    losses = [submission.log_losses(runs.clipped(probabilities, clip), labels).mean() for clip in CLIPS]
    return CLIPS[int(np.argmin(losses))]


def _target(submissions: Path, name: str, force: bool) -> Path:
    """The run folder to be, after a look at what is there."""
    target = submissions / name
    if name.startswith(".") or target.name != name or target.parent != submissions:
        raise UsageError(f"The run name {name!r} is not that of a folder", "Give --name letters, digits and hyphens")
    _refuse_taken(target, force)
    if target.exists() and not (target / runs.RUN_FILE).exists():
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
    after = runs.clipped(crossed.probabilities, clip)
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
    content = {"format": runs.FORMAT, "version": runs.VERSION, **asdict(run)}
    (folder / runs.RUN_FILE).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _write_out_of_fold(folder / runs.OUT_OF_FOLD_FILE, crossed, first, kept)
    with store.writing(folder / runs.HEAD_FILE) as file:
        for number, head in enumerate(crossed.heads):
            for name, array in head.arrays().items():
                file[f"{runs.fold_group(number)}/{name}"] = array
    histories = [head.history for head in crossed.heads]
    if any(histories):
        title = f"{run.name}: {run.head} on {' + '.join(run.backbones)}\n{run.scores[0]}"
        curves.draw(folder / runs.CURVES_FILE, histories, title)
        curves.write_tensorboard(folder / runs.TENSORBOARD_FOLDER, histories)


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

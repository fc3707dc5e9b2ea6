"""Cross-validates a head on cached vectors, and keeps what came of it: the run folder `submissions/<name>/`."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catsdogs import __version__, heads
from catsdogs.competition import submission
from catsdogs.competition import submission as submission_module
from catsdogs.errors import SubmissionError, TrainingError, UsageError
from catsdogs.features import joining
from catsdogs.features.feature_file import Features
from catsdogs.files import atomic
from catsdogs.files.atomic import write_error
from catsdogs.files.cards import as_json
from catsdogs.runs import run_card
from catsdogs.runs.out_of_fold import write_out_of_fold
from catsdogs.runs.run_card import Run, TrainedRun, versions
from catsdogs.scoring import calibration, curves, grades, kept_heads, replay, streaming
from catsdogs.scoring.crossval import CrossValidation
from catsdogs.scoring.grades import Grade
from catsdogs.scoring.kept_heads import check_heads
from catsdogs.scoring.training_plan import Plan, Prepared, check_trainable, cross_validate_plan, occupied

WRITTEN = (
    run_card.RUN_FILE,
    run_card.SUBMISSION_FILE,
    run_card.OUT_OF_FOLD_FILE,
    kept_heads.HEAD_FILE,
    run_card.TRUTH_FILE,
    run_card.CURVES_FILE,
    run_card.TENSORBOARD_FOLDER,
    run_card.REPORT_FILE,
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
        sample_submission: its text, see `submission.write_submission`.
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
    kept = check_trainable(files, plan.folds, plan.drop, plan.relabel, [plan.seed])
    first = files[0]
    left_out = [name for name in given.classes if name not in first.classes]
    answers = set() if truth is None else {given.classes[label] for label in truth}
    asked = [name for name in left_out if sample_submission is not None or name in answers]
    unreadable = {row.id: row.reason for file in files for row in file.unreadable if row.split == "test"}
    header, _, _ = submission.order(first.ids["test"], first.classes, sample_submission, unreadable, asked)
    check_heads(files, kept, [plan.head], plan.seed, plan.settings, submissions)
    streaming.check_readable(files, "test")  # so that no fit is lost to a row that turns out damaged after it

    prepared, crossed = cross_validate_plan(files, plan)
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
        how = f"held out{replay.protocol_in_words(given)}, {len(truth):,} labelled photographs"
        held_out = grades.score(said, right, how)
        run = replace(run, scores=(held_out, *run.scores))
    with _appearing(target, force) as folder:
        _write_run(folder, run, crossed, first)
        if truth is not None:
            submission_module.write_truth(folder / run_card.TRUTH_FILE, replay.named(given, truth))
        if run.test_rows or unreadable:
            path = folder / run_card.SUBMISSION_FILE
            ids, missing = first.ids["test"].tolist(), dict.fromkeys(unreadable, run.prior)
            rare = {name: share for name in asked if name in header}
            submission.write_submission(path, ids, probabilities, first.classes, sample_submission, missing, rare)
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
                f"The setting {name} of the head {plan.head} cannot be written to {run_card.RUN_FILE}",
                "Give it a text or a number, or write a head file that has it as its default",
            )


def _described(prepared: Prepared, plan: Plan, crossed: CrossValidation) -> Run:
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
        head_digest=kept_heads.head_digest(plan.head),
        settings=heads.settings_of(crossed.heads[0]),
        seed=plan.seed,
        folds=plan.folds,
        features=str(first.path.parent),
        backbones={file.name: asdict(file.recipe) for file in files},
        rows_digest=joining.rows_digest(first),
        widths=tuple(file.width for file in files),
        classes=first.classes,
        prior=tuple((np.bincount(learnt[kept], minlength=len(first.classes)) / kept.sum()).tolist()),
        source=first.source,
        train_rows=len(kept),
        test_rows=len(first.ids["test"]),
        protocol=plan.protocol,
        dropped=tuple(first.ids["train"][~kept]),
        relabelled={id: plan.relabel[id] for id in first.ids["train"] if id in plan.relabel},
        calibration=calibration.fit_calibration(crossed.probabilities, first.labels),
        scores=_scores(crossed, first.labels, prepared),
        unreadable={},
        version=plan.version,
        streamed=prepared.streamed,
        copies=prepared.copies,
        held_out=replay.to_remember(first) if plan.protocol else (),
    )


def target_of(submissions: Path, name: str, force: bool) -> Path:
    """The run folder to be, after a look at what is there.

    Raises:
        UsageError: a name that is not that of a folder.
        TrainingError: the name is taken.
    """
    target = submissions / name
    if name.startswith(".") or target.name != name or target.parent != submissions:
        raise UsageError(f"The run name {name!r} is not that of a folder", "Give --name letters, digits and hyphens")
    atomic.clear_leftovers(target)
    _refuse_taken(target, force)
    if target.exists() and not (target / run_card.RUN_FILE).exists():
        raise TrainingError(f"{target} is not a run, so --force does not replace it", "Choose another --name")
    return target


def _refuse_taken(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise TrainingError(f"There is a run at {target} already", "Choose another --name, or replace it with --force")


def _scores(crossed: CrossValidation, labels: NDArray[np.int64], prepared: Prepared) -> tuple[Grade, ...]:
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
        grades.score(
            probabilities[rows],
            right[rows],
            f"out of fold, {rows.sum():,} training photographs, {folds}, {how}",
        )
        for rows, right, probabilities, how in measures
    )


def _write_run(folder: Path, run: Run, crossed: CrossValidation, first: Features) -> None:
    """All files of a run but the submission."""
    content = {"format": run_card.FORMAT, **asdict(run)}
    (folder / run_card.RUN_FILE).write_text(as_json(content), encoding="utf-8")
    write_out_of_fold(folder / run_card.OUT_OF_FOLD_FILE, run, crossed, first)
    kept_heads.write_heads(folder, run.head, crossed.heads)
    histories = [getattr(head, "history_", {}) for head in crossed.heads]
    if any(histories):
        title = f"{run.name}: {run.head} on {' + '.join(run.backbones)}\n{run.scores[0]}"
        curves.draw_curves(folder / run_card.CURVES_FILE, histories, title)
        curves.write_tensorboard(folder / run_card.TENSORBOARD_FOLDER, histories)


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
        atomic.put_folder(temporary, target)
    except OSError as error:
        raise write_error(target, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _carry_over(old: Path, new: Path) -> None:
    """Copy what is in a run folder but was not written by us."""

    def ours(folder: str, _: list[str]) -> Sequence[str]:
        return WRITTEN if Path(folder) == old else ()

    shutil.copytree(old, new, symlinks=True, ignore=ours, dirs_exist_ok=True)

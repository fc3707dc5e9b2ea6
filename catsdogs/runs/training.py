"""Cross-validates a head on cached vectors, and keeps what came of it: the run folder `submissions/<name>/`."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs import __version__, heads
from catsdogs.competition import grading, submission
from catsdogs.errors import SubmissionError, TrainingError, UsageError
from catsdogs.features import joining
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.files import atomic
from catsdogs.files.atomic import write_errors
from catsdogs.runs import run_card, scores
from catsdogs.runs.out_of_fold import write_likeliest, write_out_of_fold
from catsdogs.runs.run_card import Run, TrainedRun, versions
from catsdogs.scoring import curves, grades, kept_heads, likeliest, refitting, replay, streaming
from catsdogs.scoring.calibration import UNSEEN_MISTAKES
from catsdogs.scoring.crossval import CrossValidation
from catsdogs.scoring.grades import Grade
from catsdogs.scoring.judging import Rule
from catsdogs.scoring.kept_heads import check_heads
from catsdogs.scoring.training_plan import Plan, TrainingRows, check_trainable, cross_validate_plan, settle

_Floats = NDArray[np.float64]
_LONGEST_NAME = 200  # bytes; file systems take 255, and a run that is being written has a longer name


def train(
    files: Sequence[Features],
    plan: Plan,
    *,
    name: str,
    submissions: Path,
    command: str,
    sample_submission: str | None = None,
    truth: Mapping[str, str] = MappingProxyType({}),
    competition: str = "",
    force: bool = False,
) -> Run:
    """Cross-validate a head on the vectors of several networks, and write the run folder, whole or not at all.

    Args:
        sample_submission: its text, see `submission.write_submission`.
        truth: id -> class of the test rows, where they are known: then the first score is measured on them.
        competition: Kaggle's name of the one it is for, if it is known.
        force: replace the run of that name, all but the files in its folder that are not ours.

    Raises:
        UnknownNameError, UsageError: no such head; a name, seed or number of folds that cannot be used.
        TrainingError: the name is taken, random weights, one class only, columns that are all constant, or a head that
            cannot take these vectors; as `TrainingRows.check_folds`.
        StoreError: the files hold different rows, or are damaged; the run cannot be written.
        SubmissionError: the sample submission has other ids.
    """
    target = target_of(submissions, name, force)
    _refuse_unrepeatable(plan, sample_submission, files[0].task.kind)
    rows = check_trainable(files, plan.drop, plan.relabel)
    unreadable = {row.id: row.reason for file in rows.files for row in file.unreadable if row.split == "test"}
    left_out = _left_out(files[0], rows) if rows.task.has_classes else {}
    columns = columns_left_out(rows.first, left_out, sample_submission, unreadable, set(truth.values()))
    keeps_likeliest = not truth and likeliest.are_kept(rows.task, len(rows.kept), len(rows.first.columns))
    rows, plan = settle(rows, plan, keeps_likeliest)
    check_heads(rows.files, rows.kept, [plan.head], plan.seed, plan.settings)
    streaming.check_readable(rows.files, "test")  # 0.2 s for 12,500 x 3,840: no fit is lost to a row damaged after it
    told: dict[str, Any] = {"name": name, "command": command, "competition": competition, "unreadable": unreadable}
    told |= {"left_out": tuple(left_out), "sample_submission": digest_of(sample_submission)}
    if keeps_likeliest:
        return _train_likeliest(rows, plan, target, force, sample_submission, told)
    trained, crossed = _trained(rows, plan, told)
    run, predictions = trained.run, streaming.predicted(trained.predict, rows.files, "test")
    if truth:
        run = replace(run, scores=(scores.held_out_score(run, rows.first, predictions, left_out, truth), *run.scores))
    with appearing(target, force) as folder:
        _write_run(folder, run, crossed, trained.heads, rows.first, truth)
        write_answers(folder, run, rows.first, predictions, sample_submission, columns)
    return run


def _trained(rows: TrainingRows, plan: Plan, told: Mapping[str, Any]) -> tuple[TrainedRun, CrossValidation]:
    """A run with the heads that answer for the test rows, and the cross-validation that says what it is worth."""
    crossed = cross_validate_plan(rows, plan)
    rule, measured = scores.judged(rows, plan, crossed)
    kept = refitting.refit(rows, plan, crossed, rule.calibration) if plan.refit else crossed.heads
    return TrainedRun(_run_of(rows, plan, kept, rule, measured, **told), kept), crossed


def _left_out(given: Features, rows: TrainingRows) -> dict[str, float]:
    """Class that no training photograph shows -> its probability, by the rule at `calibration.UNSEEN_MISTAKES`."""
    share = UNSEEN_MISTAKES / (int(rows.kept.sum()) + UNSEEN_MISTAKES * len(given.classes))  # half a photograph each
    return {name: share for name in given.classes if name not in rows.first.classes}


def columns_left_out(
    first: Features, left_out: Mapping[str, float], sample: str | None, unreadable: Collection[str], shown: set[str]
) -> dict[str, float]:
    """Those of the classes left out that the submission has a column for; raises as `submission.order`."""
    wanted = [name for name in left_out if sample is not None or name in shown]
    form = submission.order(first.ids["test"], first.columns, sample, unreadable, wanted, first.task)
    return {name: left_out[name] for name in wanted if name in form.sheet.header and form.columns}


def digest_of(sample_submission: str | None) -> str:
    """SHA-256 of a sample submission's text; empty without one."""
    return hashlib.sha256(sample_submission.encode()).hexdigest() if sample_submission is not None else ""


def _refuse_unrepeatable(plan: Plan, sample: str | None, kind: str) -> None:
    """An error for settings that `run.json` could not hold, or a sample other than that of the run to repeat."""
    written = heads.settings_of(heads.create(plan.head, plan.seed, kind=kind, **plan.settings))
    for name in plan.settings:
        if name not in written:
            raise TrainingError(
                f"The setting {name} of the head {plan.head} cannot be written to {run_card.RUN_FILE}",
                "Give it a text or a number, or write a head file that has it as its default",
            )
    if sample is not None and plan.sample_digest not in (None, digest_of(sample)):
        raise SubmissionError(
            "The sample submission is not the one that the run to repeat was written after",
            "Bring that file back, or train anew without --repeat",
        )


def write_answers(
    folder: Path, run: Run, first: Features, predictions: _Floats, sample: str | None, columns: Mapping[str, float]
) -> None:
    """The submission, if there is anything to answer for."""
    ids, missing = first.ids["test"].tolist(), dict.fromkeys(run.unreadable, run.prior)
    if ids or missing:
        path = folder / run_card.SUBMISSION_FILE
        submission.write_submission(path, ids, predictions, run.classes, sample, missing, columns, run.task, run.rule)


def _train_likeliest(
    rows: TrainingRows, plan: Plan, target: Path, force: bool, sample: str | None, told: Mapping[str, Any]
) -> Run:
    """The end of `train` where a table of all classes would not fit into memory: no row has more than a few of them."""
    first, task = rows.first, rows.task
    heads_, out_of_fold, fold = likeliest.cross_validate(rows, plan)
    scored = fold != ALWAYS_LEARNT
    how = f"out of fold, {np.count_nonzero(scored):,} training photographs, {plan.folds} folds, not calibrated"
    score = likeliest.grade(out_of_fold, first.labels, scored, task, how)
    score = grades.beside_unscored(score, int(np.count_nonzero(~scored)))
    run = _run_of(rows, plan, heads_, Rule(task), (score,), **told)
    ids = first.ids["test"].tolist()
    blocks = streaming.blocks(joining.Joined(rows.files, "test"))
    answers = likeliest.predicted(TrainedRun(run, heads_).predict, blocks, len(ids), len(run.classes))
    missing = likeliest.of_prior(np.array(run.prior), len(run.unreadable))
    names = dict(zip(run.unreadable, missing.cells(task, run.classes), strict=True))
    names |= dict(zip(ids, answers.cells(task, run.classes), strict=True))
    with appearing(target, force) as folder:
        run_card.write_run(folder, run)
        write_likeliest(folder, run, first, out_of_fold, fold)
        kept_heads.write_heads(folder / kept_heads.HEAD_FILE, run.head, heads_)
        if names:
            submission.write_names(folder / run_card.SUBMISSION_FILE, names, run.classes, sample, task)
    return run


def _run_of(
    rows: TrainingRows,
    plan: Plan,
    fitted: Sequence[heads.Head],
    rule: Rule,
    scores: tuple[Grade, ...],
    **told: Any,
) -> Run:
    """What can be said of a run once its heads are fitted; `told` are fields that only the caller knows."""
    files, first, kept = rows.files, rows.first, rows.kept
    return Run(
        **told,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        package_version=__version__,
        versions=versions(),
        head=plan.head,
        head_digest=kept_heads.head_digest(plan.head),
        settings=heads.settings_of(fitted[0]),
        seed=plan.seed,
        folds=plan.folds,
        features=str(first.path.parent),
        backbones={file.name: file.recipe.as_dict() for file in files},
        rows_digest=joining.rows_digest(first),
        widths=tuple(file.width for file in files),
        classes=first.columns,
        prior=_prior(rows),
        source=first.source,
        task=first.task,
        train_rows=len(kept),
        test_rows=len(first.ids["test"]),
        protocol=plan.protocol,
        dropped=tuple(first.ids["train"][~kept]),
        relabelled={id: plan.relabel[id] for id in first.ids["train"] if id in plan.relabel},
        calibration=rule.calibration,
        thresholds=rule.thresholds,
        names_one=rule.names_one,
        grouped_by=rows.grouped_by,
        balance=plan.balance,
        repeats=plan.repeats,
        refit=plan.refit,
        pseudo=plan.pseudo,
        scores=scores,
        version=plan.version,
        streamed=plan.streamed,
        copies=plan.copies or (),
        held_out=replay.to_remember(first) if plan.protocol else (),
    )


def _prior(rows: TrainingRows) -> tuple[float, ...]:
    """What is said of a photograph of which nothing is known: the shares of the classes or labels, the mean number."""
    if not rows.task.has_classes:
        return tuple(rows.to_learn[rows.kept].mean(axis=0).tolist())
    counts = np.bincount(rows.learnt[rows.kept], minlength=len(rows.first.classes))
    return tuple((counts / rows.kept.sum()).tolist())


def target_of(submissions: Path, name: str, force: bool) -> Path:
    """The run folder to be, after a look at what is there.

    Raises:
        UsageError: a name that is not that of a folder.
        TrainingError: the name is taken.
    """
    target = submissions / name
    is_long = len(os.fsencode(name)) > _LONGEST_NAME
    if name.startswith(".") or target.name != name or target.parent != submissions or is_long:
        raise UsageError(f"The run name {name!r} is not that of a folder", "Give --name letters, digits and hyphens")
    atomic.clear_leftovers(target)
    _refuse_taken(target, force)
    if target.exists() and not (target / run_card.RUN_FILE).exists():
        raise TrainingError(f"{target} is not a run, so --force does not replace it", "Choose another --name")
    return target


def _refuse_taken(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise TrainingError(f"There is a run at {target} already", "Choose another --name, or replace it with --force")


def _write_run(
    folder: Path,
    run: Run,
    crossed: CrossValidation,
    kept: Sequence[heads.Head],
    first: Features,
    truth: Mapping[str, str],
) -> None:
    """All files of a run but the submission."""
    run_card.write_run(folder, run)
    write_out_of_fold(folder, run, crossed, first)
    kept_heads.write_heads(folder / kept_heads.HEAD_FILE, run.head, kept)
    if truth:
        grading.write_truth(folder / grading.TRUTH_FILE, truth)
    histories = [getattr(head, "history_", {}) for head in crossed.heads]
    if any(histories):
        title = f"{run.name}: {run.head} on {' + '.join(run.backbones)}\n{run.scores[0]}"
        curves.draw_curves(folder / run_card.LEARNING_CURVES_FILE, histories, title)
        curves.write_tensorboard(folder / curves.TENSORBOARD_FOLDER, histories)


@contextlib.contextmanager
def appearing(target: Path, force: bool) -> Iterator[Path]:
    """A new folder that takes its name only once everything is in it; with `force`, from a run that bore it.

    What others put into that run's folder, such as notes, is carried over; what we wrote, like old curves, is not.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")

    def ours(folder: str, _: list[str]) -> Sequence[str]:
        return run_card.FILES if Path(folder) == target else ()

    try:
        with write_errors(target):
            temporary.mkdir(parents=True)
            yield temporary
            _refuse_taken(target, force)  # again, for training takes a while and another process may use the name
            if target.exists():
                shutil.copytree(target, temporary, symlinks=True, ignore=ours, dirs_exist_ok=True)
            try:
                atomic.put_folder(temporary, target, replaces=force)
            except OSError:
                _refuse_taken(target, force)  # another process was quicker by a moment
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

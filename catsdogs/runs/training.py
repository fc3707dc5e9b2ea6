"""Cross-validates a head on cached vectors, and keeps what came of it: the run folder `submissions/<name>/`."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from catsdogs import __version__, heads
from catsdogs.competition import grading, submission
from catsdogs.errors import SubmissionError, TrainingError, UsageError
from catsdogs.features import joining
from catsdogs.features.feature_file import Features
from catsdogs.files import atomic
from catsdogs.files.atomic import write_error
from catsdogs.runs import run_card
from catsdogs.runs.out_of_fold import write_out_of_fold
from catsdogs.runs.run_card import Run, TrainedRun, versions
from catsdogs.scoring import calibration, curves, grades, kept_heads, replay, streaming
from catsdogs.scoring.calibration import UNSEEN_MISTAKES
from catsdogs.scoring.crossval import CrossValidation
from catsdogs.scoring.grades import Grade
from catsdogs.scoring.kept_heads import check_heads
from catsdogs.scoring.training_plan import Plan, Prepared, TrainingRows, check_trainable, cross_validate_plan


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
    _refuse_unrepeatable(plan, sample_submission)
    rows = check_trainable(files, plan.folds, plan.drop, plan.relabel, [plan.seed])
    test = _TestRows.of(files[0], rows, sample_submission, truth)
    check_heads(rows.files, rows.kept, [plan.head], plan.seed, plan.settings, submissions)
    streaming.check_readable(rows.files, "test")  # so that no fit is lost to a row that turns out damaged after it

    prepared, crossed = cross_validate_plan(rows.files, plan)
    run = _describe(prepared, plan, crossed, test, name=name, command=command, competition=competition)
    probabilities = np.empty((0, len(run.classes)))
    if run.test_rows:
        probabilities = streaming.predicted(TrainedRun(run, crossed.heads).predict_proba, rows.files, "test")
    if truth is not None:
        run = replace(run, scores=(test.score(probabilities, truth), *run.scores))
    with _appearing(target, force) as folder:
        _write_run(folder, run, crossed, rows.first)
        test.write(folder, run, probabilities)
    return run


@dataclass(frozen=True)
class _TestRows:
    """What is known of the test rows before a head is fitted, and what is written of them.

    Attributes:
        given: the first feature file, with all of its classes.
        sample, truth: as `train` takes them.
        unreadable: id of a photograph that cannot be read -> why.
        left_out: class that no training photograph shows -> its probability.
        columns: those of them that the submission has a column for.
    """

    given: Features
    sample: str | None
    truth: NDArray[np.int64] | None
    unreadable: dict[str, str]
    left_out: dict[str, float]
    columns: dict[str, float]

    @classmethod
    def of(cls, given: Features, rows: TrainingRows, sample: str | None, truth: NDArray[np.int64] | None) -> Self:
        """After a look at the sample submission; raises as `submission.order`."""
        classes = rows.first.classes
        unreadable = {row.id: row.reason for file in rows.files for row in file.unreadable if row.split == "test"}
        # Of each class half a photograph more is counted, by the rule at `calibration.UNSEEN_MISTAKES`.
        share = UNSEEN_MISTAKES / (int(rows.kept.sum()) + UNSEEN_MISTAKES * len(given.classes))
        left_out = {name: share for name in given.classes if name not in classes}
        answers = set() if truth is None else {given.classes[label] for label in truth}
        wanted = [name for name in left_out if sample is not None or name in answers]
        header, _, _ = submission.order(given.ids["test"], classes, sample, unreadable, wanted)
        return cls(given, sample, truth, unreadable, left_out, {name: share for name in wanted if name in header})

    def score(self, probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> Grade:
        """Of (n_test, classes) probabilities."""
        names = sorted(self.given.classes, key=lambda name: name in self.left_out)
        right = np.array([names.index(self.given.classes[label]) for label in truth], np.int64)
        if self.left_out:
            probabilities = submission.widened(probabilities, [*self.left_out.values()])
        how = f"held out{replay.protocol_in_words(self.given)}, {len(truth):,} labelled photographs"
        return grades.score(probabilities, right, how)

    def write(self, folder: Path, run: Run, probabilities: NDArray[np.float64]) -> None:
        """The submission, and the truth where it is known."""
        if self.truth is not None:
            grading.write_truth(folder / run_card.TRUTH_FILE, replay.truth_by_id(self.given, self.truth))
        if run.test_rows or self.unreadable:
            path, ids = folder / run_card.SUBMISSION_FILE, self.given.ids["test"].tolist()
            missing = dict.fromkeys(self.unreadable, run.prior)
            submission.write_submission(path, ids, probabilities, run.classes, self.sample, missing, self.columns)


def digest_of(sample_submission: str | None) -> str:
    """SHA-256 of a sample submission's text; empty without one."""
    return hashlib.sha256(sample_submission.encode()).hexdigest() if sample_submission is not None else ""


def _refuse_unrepeatable(plan: Plan, sample: str | None) -> None:
    """An error for settings that `run.json` could not hold, or a sample other than that of the run to repeat."""
    written = heads.settings_of(heads.create(plan.head, plan.seed, **plan.settings))
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


def _describe(prepared: Prepared, plan: Plan, crossed: CrossValidation, test: _TestRows, **told: str) -> Run:
    """What can be said of a run once its heads are fitted; `told` are fields that only the caller knows."""
    rows = prepared.rows
    files, first, kept = rows.files, rows.first, rows.kept
    return Run(
        **told,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
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
        prior=tuple((np.bincount(rows.learnt[kept], minlength=len(first.classes)) / kept.sum()).tolist()),
        source=first.source,
        train_rows=len(kept),
        test_rows=len(first.ids["test"]),
        protocol=plan.protocol,
        dropped=tuple(first.ids["train"][~kept]),
        relabelled={id: plan.relabel[id] for id in first.ids["train"] if id in plan.relabel},
        calibration=calibration.fit_calibration(crossed.probabilities, first.labels),
        scores=_out_of_fold_scores(crossed, first.labels, prepared),
        unreadable=test.unreadable,
        version=plan.version,
        streamed=prepared.streamed,
        copies=prepared.copies,
        left_out=tuple(test.left_out),
        held_out=replay.to_remember(first) if plan.protocol else (),
        sample_submission=digest_of(test.sample),
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


def _out_of_fold_scores(crossed: CrossValidation, labels: NDArray[np.int64], prepared: Prepared) -> tuple[Grade, ...]:
    """All rows first, as they came and as they are submitted; then without calibration; then as they were learnt."""
    kept, learnt = prepared.rows.kept, prepared.rows.learnt
    after = calibration.cross_fitted(crossed.probabilities, labels, crossed.fold)
    dropped, relabelled = np.count_nonzero(~kept), np.count_nonzero(learnt != labels)
    corrected = f", learnt with {dropped:,} dropped and {relabelled:,} relabelled" if dropped or relabelled else ""
    folds = f"{len(crossed.heads)} folds" + (" with copies in one" if prepared.copies else "")
    how = f"calibrated on the other folds{corrected}"

    def score(right: NDArray[np.int64], probabilities: NDArray[np.float64], how: str) -> Grade:
        measured_on = f"out of fold, {len(right):,} training photographs, {folds}, {how}"
        return grades.score(probabilities, right, measured_on)

    scores = [score(labels, after, how), score(labels, crossed.probabilities, f"not calibrated{corrected}")]
    if corrected:
        scores.append(score(learnt[kept], after[kept], f"{how} and scored as corrected"))
    return tuple(scores)


def _write_run(folder: Path, run: Run, crossed: CrossValidation, first: Features) -> None:
    """All files of a run but the submission."""
    run_card.write_run(folder, run)
    write_out_of_fold(folder, run, crossed, first)
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

    def ours(folder: str, _: list[str]) -> Sequence[str]:
        return run_card.FILES if Path(folder) == target else ()

    try:
        temporary.mkdir(parents=True)
        yield temporary
        _refuse_taken(target, force)  # again, for training takes a while and another process may use the name
        if target.exists():
            shutil.copytree(target, temporary, symlinks=True, ignore=ours, dirs_exist_ok=True)
        atomic.put_folder(temporary, target)
    except OSError as error:
        raise write_error(target, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

"""Blends several runs into one: weights fitted out of fold, judged by folds that they did not see."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs import __version__
from catsdogs.competition import grading, submission
from catsdogs.errors import TrainingError, UsageError, in_short
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.photographs.names import Names
from catsdogs.photographs.task import PROBABILITIES, Task
from catsdogs.runs import blended_heads, out_of_fold, run_card, scores, training
from catsdogs.runs.blend_card import Blend, Part
from catsdogs.runs.run_card import Run, TrainedRun
from catsdogs.scoring import judging, metrics, pooling, replay, streaming
from catsdogs.scoring.calibration import UNSEEN_MISTAKES
from catsdogs.scoring.crossval import CrossValidation
from catsdogs.scoring.grades import Grade
from catsdogs.scoring.judging import Judged, Rule
from catsdogs.scoring.measuring import Measurement
from catsdogs.scoring.pooling import CrossFitted, Pooling

_Floats = NDArray[np.float64]


class Given(NamedTuple):
    """A run to be blended, and the feature files of its networks, as they were read."""

    run: Run
    files: Sequence[Features]


class _Table(NamedTuple):
    """What the runs said out of fold of the same rows, and what is right.

    Attributes:
        answers: of each run.
        values: of the grades, see `judging.grades_of`.
    """

    answers: list[_Floats]
    right: judging.Truth
    fold: NDArray[np.int64]
    task: Task
    values: tuple[float, ...]

    def judged(self, answers: _Floats) -> Judged:
        return judging.cross_fitted(answers, self.right, self.fold, self.task, self.values)

    def measured(self, answers: _Floats) -> Measurement:
        return judging.measure(self.judged(answers), self.right, self.task, self.fold != ALWAYS_LEARNT)

    def gain(self, better: Measurement, other: Measurement) -> tuple[float, float]:
        """What the metric gains, above 0 if it does, and the standard error, rows paired."""
        difference, error = better.minus(other)
        return (difference if metrics.find(self.task.metric).higher_is_better else -difference), error


def blend(
    given: Sequence[Given],
    fixed: Mapping[str, float] = MappingProxyType({}),
    *,
    name: str,
    submissions: Path,
    command: str,
    force: bool = False,
) -> Run:
    """Join runs of the same rows and folds, and write the run folder, whole or not at all.

    Args:
        fixed: path of a CSV of ids and answers -> its weight; the weights of the runs are a share of what is left.
        force: replace the run of that name, all but the files in its folder that are not ours.

    Raises:
        UsageError: a run twice, or one that would replace itself; weights that leave nothing to the runs.
        TrainingError: runs of other rows, folds or tasks; the name is taken; a damaged run.
        StoreError: the feature files are not those of a run.
        SubmissionError: a CSV is none, or lacks test photographs.
    """
    target = training.target_of(submissions, name, force)
    _check_parts([one.run.name for one in given], fixed, name)
    for one in given[1:]:
        _check_alike(given[0].run, one.run)
        _check_rows(submissions, given[0].run, one.run)
    files = _joined_files(given)
    first, main = next(iter(files.values())), given[0].run
    of_csv = [_read_csv(Path(path), main, first) for path in fixed]
    table = _read_tables(given, submissions, first)
    pooled = Pooling(*table)
    found = pooled.cross_fit(range(len(given)))
    rule = judging.fit(*_scored(table, found.answers), table.task, table.values)
    blended = _blend_of(submissions, given, fixed, table, pooled, found)
    run = _run_of(main, files, blended, rule, _scores(table, found, blended), name=name, command=command)
    parts = [run_card.load_run(submissions / one.run.name) for one in given]
    trained = TrainedRun(run, blended_heads.pooled_heads(run, parts, found.pool))
    predictions = streaming.predicted(trained.predict, list(files.values()), "test")
    if of_csv and len(predictions):
        weights = [1 - sum(fixed.values()), *fixed.values()]
        predictions = pooling.join_fixed([predictions, *of_csv], weights, table.task, blended.space)
    _write(target, force, run, given[0], (first, predictions), (table, found))
    return run_card.read_run(target)


def _check_parts(names: Sequence[str], fixed: Mapping[str, float], name: str) -> None:
    if twice := [one for place, one in enumerate(names) if one in names[:place]]:
        raise UsageError(f"--runs names {twice[0]} twice", "Name each run once")
    if name in names:
        raise UsageError(f"The blend would replace its part {name}", "Choose another --name")
    if not names or len(names) + len(fixed) < 2:
        raise UsageError("--runs names too few to blend", "Name two runs, or a run and a CSV with its weight")
    if not all(weight > 0 for weight in fixed.values()) or not sum(fixed.values()) < 1:
        total = f"{sum(fixed.values()):g}"
        raise UsageError(f"The weights of CSVs add up to {total}", "Give each more than 0, and all together below 1")


def _check_alike(first: Run, other: Run) -> None:
    """TrainingError for runs that answer something else, or whose rows were held out in another way."""
    for run in (first, other):
        if run.repeats > 1 or run.refit:
            said = f"The run {run.name} has heads of {'all rows' if run.refit else 'several deals of folds'}"
            raise TrainingError(f"{said}, and a blend takes one of each fold", "Train it without --repeats and --refit")
    tasks = [replace(run.task, competition="", given={}) for run in (first, other)]
    for what, ours, theirs in (
        ("the metric", first.task.metric, other.task.metric),
        ("what is asked for", *tasks),
        ("the classes", (first.classes, first.left_out), (other.classes, other.left_out)),
        ("the held-out photographs", (first.protocol, first.held_out), (other.protocol, other.held_out)),
        ("the sample submission", first.sample_submission, other.sample_submission),
    ):
        if ours != theirs:
            are = f" ({theirs}, not {ours})" if what == "the metric" else ""
            problem = f"The run {other.name} differs from {first.name} in {what}{are}"
            raise TrainingError(problem, f"Train {other.name} again as {first.name} was")


def _check_rows(submissions: Path, first: Run, other: Run) -> None:
    """TrainingError that names the first row in which two runs' tables differ in the photograph, label or fold."""
    ours, theirs = (out_of_fold.read_rows(submissions / run.name) for run in (first, other))
    table = submissions / other.name / run_card.OUT_OF_FOLD_FILE
    alike = f"Train {other.name} again on the rows of {first.name}, with --folds {first.folds} --seed {first.seed}"
    for what in out_of_fold.Row._fields:  # other rows are dealt to other folds, so the fold comes last
        for row, (here, there) in enumerate(zip(ours, theirs, strict=False)):
            if (one := getattr(here, what)) != (another := getattr(there, what)):
                are = "Folds disagree" if what == "fold" and len(ours) == len(theirs) else "Runs of other rows"
                place = f"{table}, row {row + 2} has the {what} {another}"
                of = f" for {there.id}" if what != "id" else ""
                raise TrainingError(f"{are}: {place}{of}, where {first.name} has {one}", alike)
    if len(ours) != len(theirs):
        problem = f"Runs of other rows: {table}, row {min(len(ours), len(theirs)) + 2} is in one of them only"
        raise TrainingError(f"{problem}: {len(theirs):,} rows, and {first.name} has {len(ours):,}", alike)
    if first.rows_digest != other.rows_digest:
        problem = f"Runs of other rows: {other.name} has the same training photographs as {first.name}, but other"
        raise TrainingError(f"{problem} bytes, groups or test photographs", alike)


def _joined_files(given: Sequence[Given]) -> dict[str, Features]:
    """Name -> feature file of all networks, with the rows of the runs; raises as `run_card.rows_of`."""
    joined: dict[str, Features] = {}
    for run, files in given:
        of_task = [replace(file, task=run.task) for file in files]
        for file in run_card.rows_of(run, of_task):
            known = joined.setdefault(file.name, file)
            if differences := file.recipe.differences(known.recipe):
                problem = f"The run {run.name} has other vectors of {file.name} than a run before it"
                raise TrainingError(f"{problem}: {'; '.join(differences)}", "Train both on one feature file")
    return joined


def _read_tables(given: Sequence[Given], submissions: Path, first: Features) -> _Table:
    read = [out_of_fold.read_out_of_fold(submissions / run.name, run, first) for run, _ in given]
    task = given[0].run.task
    values = judging.grades_of(task, given[0].run.classes)
    return _Table([answers for answers, _ in read], judging.truth_of(first), read[0][1], task, values)


def _scored(table: _Table, answers: _Floats) -> tuple[_Floats, judging.Truth]:
    rows = table.fold != ALWAYS_LEARNT
    return answers[rows], table.right[rows]


def _read_csv(path: Path, run: Run, first: Features) -> _Floats:
    """(n_test, columns) answers of a CSV for the test photographs.

    Raises:
        SubmissionError: it is no such table, or lacks some of them.
    """
    task = run.task
    if task.answer in submission.OF_NAMES:  # names have no shares that could be averaged
        task = replace(task, answer=PROBABILITIES, targets=run.classes, metric=metrics.LOG_LOSS)
    ids, values = submission.read_submission(path, run.classes, run.left_out, task)
    known = Names(ids)
    places = {id: place for place, id in enumerate(ids)}
    found = {id: known.find(id) for id in first.ids["test"].tolist()}
    absent = [id for id, other in found.items() if other is None]
    submission.refuse_ids(absent, f"test photographs are not in {path}", "Give a CSV that answers for all of them")
    return values[[places[str(other)] for other in found.values()]]


def _blend_of(
    submissions: Path,
    given: Sequence[Given],
    fixed: Mapping[str, float],
    table: _Table,
    pooled: Pooling,
    found: CrossFitted,
) -> Blend:
    """What each part is worth: the blend with it against the blend without it, and against the best of them."""
    members, names = range(len(given)), [run.name for run, _ in given]
    whole = table.measured(found.answers)
    added, best, gain = [(math.nan, math.nan)], names[0], (math.nan, math.nan)
    if len(given) > 1:
        without = (pooled.cross_fit([other for other in members if other != one]).answers for one in members)
        added = [table.gain(whole, table.measured(answers)) for answers in without]
        alone = [table.measured(answers) for answers in table.answers]
        sign = 1 if metrics.find(table.task.metric).higher_is_better else -1
        place = max(members, key=lambda member: sign * alone[member].value)
        best, gain = names[place], table.gain(whole, alone[place])
    left, parts = 1 - sum(fixed.values()), []
    for name, weight, scale, worth in zip(names, found.pool.weights, found.pool.scales, added, strict=True):
        digest = blended_heads.digest_of(submissions / name / run_card.OUT_OF_FOLD_FILE)
        parts.append(Part(name, digest, left * weight, False, scale.calibration, *worth))
    for path, weight in fixed.items():
        digest = blended_heads.digest_of(Path(path))
        parts.append(Part(path, digest, weight, True, run_card.Calibration(), math.nan, math.nan))
    return Blend(pooled.space, tuple(parts), best, *gain, found.pool.lines)


def _scores(table: _Table, found: CrossFitted, blended: Blend) -> tuple[Grade, ...]:
    """Out of fold, of the runs alone: a CSV has no answers for training photographs."""
    rows = table.fold != ALWAYS_LEARNT
    folds = len(np.unique(table.fold[rows]))
    runs = in_short([part.name for part in blended.parts if not part.is_fixed])
    others = [part.name for part in blended.parts if part.is_fixed]
    how = f"out of fold, {np.count_nonzero(rows):,} training photographs, {folds} folds, "
    how += f"{runs} with the weights of other folds, {judging.in_words(table.task)}"
    if others:
        how += f"; of the runs alone, without {in_short(others)}, whose share nobody can score out of fold"
    return (judging.grade(table.judged(found.answers), table.right, table.task, how, rows),)


def _run_of(
    main: Run, files: Mapping[str, Features], blended: Blend, rule: Rule, scores: tuple[Grade, ...], **told: Any
) -> Run:
    """What can be said of a blend; what its parts have in common is that of the first."""
    return replace(
        main,
        **told,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        package_version=__version__,
        versions=run_card.versions(),
        head=f"blend of {', '.join(part.name for part in blended.parts)}",
        head_digest="",
        settings={},
        backbones={name: file.recipe.as_dict() for name, file in files.items()},
        widths=tuple(file.width for file in files.values()),
        calibration=rule.calibration,
        thresholds=rule.thresholds,
        names_one=rule.names_one,
        scores=scores,
        version=run_card.NEWEST,
        balance=False,
        blend=blended,
    )


def _write(
    target: Path,
    force: bool,
    run: Run,
    main: Given,
    tested: tuple[Features, _Floats],
    judged: tuple[_Table, CrossFitted],
) -> None:
    """The run folder: the submission in the form of the first run's, the table, and `run.json`."""
    (first, predictions), (table, found) = tested, judged
    written = target.with_name(main.run.name) / run_card.SUBMISSION_FILE
    if run.test_rows:
        run_card.must_exist(written)
    sample = written.read_text(encoding="utf-8-sig") if run.test_rows else None
    kept = main.run.train_rows - len(main.run.dropped)
    share = UNSEEN_MISTAKES / (kept + UNSEEN_MISTAKES * (len(run.classes) + len(run.left_out)))
    left_out, truth = dict.fromkeys(run.left_out, share), dict[str, str]()
    if run.protocol:
        _, truth = replay.hold_out(main.files, run.protocol, run.held_out)
        run = replace(run, scores=(scores.held_out_score(run, first, predictions, left_out, truth), *run.scores))
    columns = training.columns_left_out(first, left_out, sample, run.unreadable, set(truth.values()))
    with training.appearing(target, force) as folder:
        run_card.write_run(folder, run)
        out_of_fold.write_out_of_fold(folder, run, CrossValidation([], found.answers, table.fold, 0.0), first)
        if truth:
            grading.write_truth(folder / grading.TRUTH_FILE, truth)
        training.write_answers(folder, run, first, predictions, sample, columns)

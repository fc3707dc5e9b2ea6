"""What a run is worth: the rule that its predictions out of fold ask for, and its scores."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from catsdogs.competition import submission
from catsdogs.features.feature_file import Features
from catsdogs.photographs import label_texts
from catsdogs.photographs.task import NUMBER
from catsdogs.runs.run_card import Run
from catsdogs.scoring import calibration, grades, judging, metrics, replay
from catsdogs.scoring.crossval import CrossValidation
from catsdogs.scoring.grades import Grade
from catsdogs.scoring.judging import Judged, Rule
from catsdogs.scoring.training_plan import Plan, TrainingRows, cross_validate_plan


def judged(rows: TrainingRows, plan: Plan, crossed: CrossValidation) -> tuple[Rule, tuple[Grade, ...]]:
    """The rule that predictions out of fold ask for, and their scores."""
    scored = crossed.scored
    values = judging.grades_of(rows.task, rows.first.classes)
    judged = judging.cross_fitted(crossed.predictions, rows.truth, crossed.fold, rows.task, values)
    rule = judging.fit(crossed.predictions[scored], rows.truth[scored], rows.task, values)
    scores = _out_of_fold_scores(rows, plan, crossed, judged, values)
    if rows.is_grouped:
        scores += (_score_by_plain_folds(rows, plan, judged, values),)
    return rule, scores


def held_out_score(
    run: Run, first: Features, predictions: NDArray[np.float64], left_out: Mapping[str, float], truth: Mapping[str, str]
) -> Grade:
    """Of (n_test, columns) predictions as submitted, by the label of each row, a class or a text of labels."""
    how = f"held out{replay.protocol_in_words(first)}, {len(truth):,} labelled photographs"
    if not run.task.has_classes:
        right: judging.Truth = label_texts.table_of(run.task, [*truth.values()])
    else:
        names = [*first.classes, *left_out]
        right = np.array([names.index(name) for name in truth.values()], np.int64)
    if left_out:
        predictions = submission.widened(predictions, [*left_out.values()])
    decided, clipped = run.rule.decide(predictions), predictions
    if run.submitted_calibration != run.calibration and run.task.has_classes:
        clipped = calibration.clipped(predictions, run.calibration.clip)
    return judging.grade(judging.Judged(clipped, predictions, decided), right, run.task, how)


def _out_of_fold_scores(
    rows: TrainingRows, plan: Plan, crossed: CrossValidation, judged: Judged, values: tuple[float, ...]
) -> tuple[Grade, ...]:
    """All rows first, as they came and as they are submitted; then without calibration; then as they were learnt.

    Rows that were never held out are in no score, and counted.
    """
    task, every = rows.task, crossed.scored
    dropped, relabelled = np.count_nonzero(~rows.kept), np.count_nonzero(rows.learnt != rows.first.labels)
    corrected = f", learnt with {dropped:,} dropped and {relabelled:,} relabelled" if dropped or relabelled else ""
    together = [*(["copies"] if plan.copies else []), *(["groups"] if rows.is_grouped else [])]
    several = f"{plan.repeats} x " if plan.repeats > 1 else ""
    folds = f"{several}{len(crossed.heads) // plan.repeats} folds" + (
        f" with {' and '.join(together)} in one" if together else ""
    )
    if always := int(np.count_nonzero(~every)):
        folds += f", {always:,} more learnt in each and not scored"
    if crossed.pseudo:
        folds += f", each head with {_from_to(crossed.pseudo)} test photographs under pseudo-labels"
    if plan.refit:
        folds += ", while another head, of all rows, is submitted"
    how = f"{judging.in_words(task)}{corrected}"

    def score(judged: Judged, right: judging.Truth, how: str, rows: NDArray[np.bool_] = every) -> Grade:
        measured_on = f"out of fold, {np.count_nonzero(rows):,} training photographs, {folds}, {how}"
        return grades.beside_unscored(judging.grade(judged, right, task, measured_on, rows), always)

    scores = [score(judged, rows.truth, how)]
    if task.kind != NUMBER:
        raw = judging.cross_fitted(crossed.predictions, rows.truth, crossed.fold, task, values, calibrate=False)
        scores.append(score(raw, rows.truth, f"not calibrated{corrected}"))
    if corrected:
        scores.append(score(judged, rows.to_learn, f"{how} and scored as corrected", rows.kept & every))
    return tuple(scores)


def _from_to(counts: tuple[int, ...]) -> str:
    least, most = min(counts), max(counts)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _score_by_plain_folds(rows: TrainingRows, plan: Plan, judged: Judged, values: tuple[float, ...]) -> Grade:
    """What folds that part the groups would say of the same head, and whether they flatter it."""
    plain, task = rows.with_copies(plan.copies or (), is_grouped=False), rows.task
    crossed = cross_validate_plan(plain, plan)
    by_plain = judging.cross_fitted(crossed.predictions, plain.truth, crossed.fold, task, values)
    both = crossed.scored & np.isfinite(judged.answers).all(axis=1)
    pair = (judging.measure(one, rows.truth, task, both) for one in (by_plain, judged))
    difference, error = next(pair).minus(next(pair))
    gain = difference if metrics.find(task.metric).higher_is_better else -difference
    verdict = f"they flatter by {gain:.5f} ± {error:.5f}" if gain > 2 * error else "no better, beyond noise"
    how = f"out of fold by plain folds, which part the groups by {rows.grouped_by}: {verdict}"
    return judging.grade(by_plain, plain.truth, task, how, both)

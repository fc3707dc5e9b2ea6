"""A submission graded against a truth CSV, and where on Kaggle's leaderboard such a score would stand."""

import math
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catsdogs.competition import submission
from catsdogs.competition.sheet import Sheet, rows_error
from catsdogs.errors import DatasetError, SubmissionError, in_short
from catsdogs.files import tables
from catsdogs.photographs import label_texts
from catsdogs.photographs.names import Names, one_form
from catsdogs.photographs.task import BEST_K, ID_COLUMN, LABEL_COLUMN, LABELS, NAME, NAMES, ORDINAL, Task
from catsdogs.scoring import decisions, judging, measuring, measuring_targets, metrics
from catsdogs.scoring.grades import Grade, score
from catsdogs.scoring.judging import Decided, Judged, Rule

TRUTH_FILE = "truth.csv"
_DIGIT_OF = {"true": "1", "false": "0"}  # as pandas and spreadsheets write what is 1 or 0


def grade_submission(
    path: Path,
    truth: Path,
    classes: Sequence[str],
    left_out: Collection[str] = (),
    task: Task | None = None,
    rule: Rule | None = None,
) -> Grade:
    """The grade of a submission against a CSV of what is right, matched by id.

    That has the columns of the sample submission, or of ids and labels. A label is the name of a class, or 0 or 1. One
    column is the probability of the class it is named after, else of the one that the task asks for, else of the second
    class; a label of 1 stands for the same class. A name has no log loss.

    Args:
        classes: the names in order.
        left_out, task: as in `submission.order`.
        rule: by which labels are named where the metric looks at names and the submission has probabilities.

    Raises:
        SubmissionError: either file is no such table, or they hold different ids or classes.
    """
    task = task or Task.of_classes(classes)
    sheet = Sheet.read(path, task.id_column)
    answers = Sheet.read(truth, task.id_column)
    if task.has_sample:  # whose columns are all that counts, not a patient's id beside them
        answers = answers.only(sheet.targets)
    for absent, name in zip(submission.differences(answers.rows, sheet.rows), (path, truth), strict=True):
        submission.refuse_ids(absent, f"ids are missing from {name}", "Grade against the truth of the same photographs")
    measured_on = f"{truth.name}, {len(sheet.rows):,} rows"
    if not task.has_classes:
        return _grade_targets(path, sheet, answers, classes, rule or Rule(task), measured_on)
    if task.answer in (NAME, BEST_K):
        return _grade_names(path, sheet, _labels_of(answers), classes, task, measured_on)
    values = submission.values_of(sheet, task, "Write it again with `catsdogs train`")
    labels = _right_columns(answers, sheet, classes, left_out, task)
    return score(values, labels, measured_on, task.metric, decisions.named(values, task))


def write_truth(path: Path, truth: Mapping[str, str]) -> None:
    """Write the hidden classes of test rows, id -> class: a CSV that `grade_submission` takes.

    Raises:
        StoreError: the file cannot be written.
    """
    tables.write_table(path, (ID_COLUMN, LABEL_COLUMN), truth.items())


def _grade_names(
    path: Path, sheet: Sheet, labels: Mapping[str, str], classes: Sequence[str], task: Task, measured_on: str
) -> Grade:
    """The grade of names; a class that the run never saw can be right of a photograph, and is never named."""
    _, shares = submission.read_submission(path, classes, task=task)
    known = [*classes, *dict.fromkeys(label for label in labels.values() if Names(classes).find(label) is None)]
    shares = np.hstack((shares, np.zeros((len(shares), len(known) - len(classes)))))
    if task.kind == ORDINAL:
        order = _in_order(known)
        known, shares = [known[place] for place in order], shares[:, order]
    names, ids = Names(known), Names(labels)
    right = np.array([known.index(str(names.find(labels[str(ids.find(id))]))) for id in sheet.rows], np.int64)
    if task.metric == metrics.QWK:
        measured = measuring_targets.measure_grades(shares.argmax(axis=1), right, len(known))
    else:
        measured = measuring.measure(task.metric, shares, right, shares.argmax(axis=1))
    accuracy = float((shares.argmax(axis=1) == right).mean())
    return Grade(
        math.nan, math.nan, accuracy, len(right), measured_on, task.metric, measured.value, measured.standard_error
    )


def _in_order(grades: Sequence[str]) -> list[int]:
    """The places of grades, the lowest first; a SubmissionError if one is no number."""
    try:
        values = [tables.parse_number(grade) for grade in grades]
    except ValueError as error:
        raise SubmissionError(f"The truth holds what is no grade: {error}", "Give the truth the grades") from None
    return np.argsort(values, kind="stable").tolist()


def _grade_targets(
    path: Path, sheet: Sheet, answers: Sheet, classes: Sequence[str], rule: Rule, measured_on: str
) -> Grade:
    """The grade of labels or numbers, whose truth has their columns, or one of names or of texts of labels."""
    task = rule.task
    ids, values = submission.read_submission(path, classes, task=task)
    remedy = "Give the truth the columns of the sample submission, or of ids and labels"
    place, known = Names(answers.rows), Names(answers.targets)
    columns = [known.find(name) for name in classes]
    if None not in columns:
        order = [answers.targets.index(str(name)) for name in columns]
        of = (lambda value: value in (0, 1)) if task.kind == LABELS else math.isfinite
        right = answers.numbers(remedy, of, "0 or 1" if task.kind == LABELS else "a finite number")[:, order]
    else:
        right = _targets_in_texts(answers, classes, task, remedy)
    row_of = {id: row for row, id in enumerate(answers.rows)}
    right = right[[row_of[str(place.find(id))] for id in ids]]
    by_half = task.answer == NAMES or (task.kind == LABELS and not rule.thresholds)  # a name is written as 1
    decided: Decided = values > 0.5 if by_half else rule.decide(values)
    graded = judging.grade(Judged(values, values, decided), right, task, measured_on)
    return replace(graded, log_loss=math.nan, standard_error=math.nan) if task.answer == NAMES else graded


def _targets_in_texts(answers: Sheet, classes: Sequence[str], task: Task, remedy: str) -> NDArray[np.float64]:
    """(n, k) of a single column of labels or of a number."""
    texts = [values[0].strip() for values in answers.rows.values()]
    if task.kind == LABELS and task.separator:
        parted = [text.replace(task.separator, label_texts.SEPARATOR) for text in texts]  # our own truth has its own
        texts = [label_texts.SEPARATOR.join(filter(None, text.split(label_texts.SEPARATOR))) for text in parted]
        texts = [text or label_texts.NO_LABEL for text in texts]
    if len(answers.targets) != 1:
        problem = f"{answers.name} has the columns {in_short(answers.header)}, and the submission {in_short(classes)}"
        raise SubmissionError(problem, remedy)
    try:
        return label_texts.table_of(task, texts)
    except DatasetError as error:
        raise SubmissionError(f"{answers.name}: {error.problem}", remedy) from None


def _labels_of(answers: Sheet) -> dict[str, str]:
    """Id -> label, of a column of labels or of a column of 0 and 1 for each class.

    Raises:
        SubmissionError: a row without a 1, or with several.
    """
    if len(answers.targets) == 1:
        return {id: values[0].strip() for id, values in answers.rows.items()}
    labels = {}
    for id, values in answers.rows.items():
        right = [name.strip() for name, value in zip(answers.targets, values, strict=True) if _as_digits(value) == "1"]
        if len(right) != 1:
            problem = f": {id} has {len(right)} right classes, not one"
            remedy = f"A truth has {ID_COLUMN},{LABEL_COLUMN}, or a column for each class with a single 1 in a row"
            raise rows_error(answers.name, problem, remedy, [(answers.lines[id], ",".join(values))])
        labels[id] = right[0]
    return labels


def _right_columns(
    answers: Sheet, sheet: Sheet, classes: Sequence[str], left_out: Collection[str], task: Task
) -> NDArray[np.int64]:
    """The right class of each row of `sheet`, as a column of its probabilities."""
    names = Names((*sheet.targets, *classes, *left_out))
    texts = _labels_of(answers)
    texts = {id: names.find(text) or _as_digits(text) for id, text in texts.items()}
    known = _names_of_columns(sheet.targets, set(texts.values()), classes, left_out, task)
    places = {one_form(name): place for place, name in enumerate(known)}
    wrong = [id for id, text in texts.items() if one_form(text) not in places]
    if wrong:
        problem = f": the label {texts[wrong[0]]!r} of {wrong[0]} is none of {in_short(known)}"
        remedy = "Name each class as the submission does, or give 0 and 1 for two classes"
        raise rows_error(answers.name, problem, remedy, [(answers.lines[id], texts[id]) for id in wrong])
    ids = Names(texts)
    return np.array([places[one_form(texts[str(ids.find(id))])] for id in sheet.rows], np.int64)


def _as_digits(text: str) -> str:
    """`1` for 1.0, 1,0 and TRUE, as spreadsheets and pandas write what was 1; any other text as it is."""
    try:
        value = tables.parse_number(text)
        return str(int(value)) if value.is_integer() else text
    except (ValueError, OverflowError):
        return _DIGIT_OF.get(text.lower(), text)


def _names_of_columns(
    columns: Sequence[str], labels: AbstractSet[str], classes: Sequence[str], left_out: Collection[str], task: Task
) -> list[str]:
    """What a truth calls the columns of `Sheet.probabilities`; of two, a single column is the second."""
    columns = [one_form(column.strip()) for column in columns]
    places = submission.places_of(columns, classes, left_out, task)
    if len(columns) > 1:
        return list(columns)
    if labels <= {"0", "1"} and not labels <= set(classes):
        return ["0", "1"]
    return list(classes if places == [1] else reversed(classes))

"""The submission CSV: as it was typed, written in the sample's order, checked as Kaggle checks it, and read back."""

import io
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.competition.sheet import Sheet, rows_error
from catsdogs.errors import SubmissionError, in_short
from catsdogs.files import tables
from catsdogs.files.atomic import replacing
from catsdogs.photographs.names import Names, natural_key
from catsdogs.photographs.task import (
    BEST_K,
    ID_COLUMN,
    LABEL_COLUMN,
    LABELS,
    NAME,
    NAMES,
    NUMBERS,
    PROBABILITY,
    Task,
)
from catsdogs.scoring import decisions, metrics
from catsdogs.scoring.judging import Rule

_TRAIN_AGAIN = "Write it again with `catsdogs train`"
OF_NAMES = (NAME, BEST_K, NAMES)  # answers that have one column of names
_DIGITS = 12  # a float32 sigmoid comes within 6e-8 of 1; fewer digits would round it to a certainty


def classes_of(columns: Sequence[str], classes: Sequence[str], left_out: Collection[str] = ()) -> list[int]:
    """Which class each probability column is of: its namesake, or the second where one column serves two classes.

    Columns may be missing of those that are `left_out`, which are numbered after the classes.

    Raises:
        SubmissionError: the columns are those of other classes.
    """
    known = [*classes, *left_out]
    names = Names(known)
    found = [names.find(column) for column in columns]
    if len(columns) == 1 and len(classes) == 2:
        return [classes.index(found[0]) if found[0] in classes else 1]
    namesakes = [name for name in found if name is not None]
    if len(set(namesakes)) < len(found) or not set(classes) <= set(namesakes):
        raise SubmissionError(
            f"The columns {in_short(columns)} of the submission are not the classes {in_short(classes)}",
            "Give the sample submission of this data set",
        )
    return [known.index(name) for name in namesakes]


def differences(expected: Collection[str], given: Collection[str]) -> tuple[list[str], list[str]]:
    """The ids that only the first has, and those that only the second has."""
    in_given, in_expected = Names(given), Names(expected)
    absent = [id for id in expected if in_given.find(id) is None]
    return absent, [id for id in given if in_expected.find(id) is None]


def refuse_ids(ids: Sequence[str], what: str, remedy: str) -> None:
    """A SubmissionError that counts and names these ids, if there are any."""
    if ids:
        raise SubmissionError(f"{len(ids):,} {what}: {in_short(ids)}", remedy, ids)


class Form(NamedTuple):
    """What a submission will look like.

    Attributes:
        sheet: the sample's, or an empty one of the same columns.
        columns: the class that each column but that of ids is of; empty where names are asked for.
        ids: row by row.
    """

    sheet: Sheet
    columns: list[int]
    ids: list[str]


def order(
    ids: Collection[str],
    classes: Sequence[str],
    sample: str | None,
    missing: Collection[str],
    left_out: Collection[str] = (),
    task: Task | None = None,
) -> Form:
    """The form that a submission will have.

    `sample` is the text of a sample submission; without one, ids follow each other in natural order. `missing` are
    the ids of photographs that were there but could not be read. `left_out` are classes that no head knows, numbered
    after the others: a sample may have columns for them, and without a sample they have. `task` is that of the
    competition, if there is one.

    Raises:
        SubmissionError: the sample has other ids or classes than we, or is no table.
    """
    task = task or Task.of_classes(classes)
    names = task.answer in OF_NAMES
    if sample is None:
        is_one = names or (task.has_classes and len(classes) == 2 and not left_out)
        columns = [LABEL_COLUMN] if is_one else [*classes, *left_out]
        empty = Sheet("The submission", [ID_COLUMN, *columns], {}, {})
        places = [] if names else places_of(columns, classes, left_out, task)
        return Form(empty, places, sorted({*ids, *missing}, key=natural_key))
    sheet = Sheet.parse("The sample submission", sample, task.id_column)
    photographs = Names({*ids, *missing})
    photograph_of = {id: photographs.find(id) for id in sheet.rows}
    refuse_ids(
        [id for id, found in photograph_of.items() if found is None],
        "ids of the sample submission are not among the test photographs",
        "Extract the features of all test photographs, or give the sample submission of this data set",
    )
    rows_of = Counter(photograph_of.values())
    refuse_ids(
        [id for id in ids if id not in rows_of],
        "test photographs are not in the sample submission",
        "Give the sample submission of this data set, or remove the photographs that are not part of it",
    )
    refuse_ids(
        [id for id, found in photograph_of.items() if rows_of[found] > 1],
        "ids of the sample submission mean a photograph that another one means, too",
        "Keep one row for each id",
    )
    return Form(sheet, [] if names else places_of(sheet.targets, classes, left_out, task), list(sheet.rows))


def places_of(columns: Sequence[str], classes: Sequence[str], left_out: Collection[str], task: Task) -> list[int]:
    """The class of each column; of a single one for two classes, that whose probability the task asks for."""
    is_named = Names(classes).find(columns[0]) is not None
    if len(columns) == 1 and task.answer == PROBABILITY and task.positive in classes and not is_named:
        return [classes.index(task.positive)]
    return classes_of(columns, classes, left_out)


def write_submission(
    path: Path,
    ids: Sequence[str],
    predictions: NDArray[np.float64],
    classes: Sequence[str],
    sample: str | None,
    missing: Mapping[str, Sequence[float]],
    left_out: Mapping[str, float] = MappingProxyType({}),
    task: Task | None = None,
    rule: Rule | None = None,
) -> None:
    """Write the CSV, whole or not at all: what the task asks for, as `scoring.judging` decides.

    Without a task, for two classes the one column is the probability of the second class, for more there is a column
    per class.

    Args:
        predictions: (n, classes), rows as `ids`; of numbers they are the numbers.
        classes: or labels, or the names of the numbers, see `Features.columns`.
        missing: id -> (classes,) predictions of a photograph that could not be read, such as the class prior.
        left_out: classes that no head knows, with a probability for each, where `order` gives them columns.
        rule: by which names of labels and grades are decided on.

    Raises:
        SubmissionError: as `order`, or a probability is not finite or outside [0, 1].
        StoreError: the disk is full, or the folder cannot be written.
    """
    task = task or Task.of_classes(classes)
    sheet, columns, rows = order(ids, classes, sample, missing, left_out, task)
    known = dict(missing) | dict(zip(ids, predictions, strict=True))
    values = np.array([*known.values()], np.float64).reshape(len(known), len(classes))
    if len(columns) > len(classes):
        values = widened(values, [*left_out.values()])
    cells = _cells(values, columns, classes, rule or Rule(task))
    names, row_of = Names(known), {id: row for row, id in enumerate(known)}
    text = io.StringIO(newline="")
    lines = (sheet.row(id, cells[row_of[str(names.find(id))]]) for id in rows)
    tables.write_rows(text, (sheet.header, *lines))
    written = Sheet.parse(str(path), text.getvalue(), sheet.header[sheet.place].strip())
    _check_values(written, classes, task, "Train again: the head gave a number that is no answer")
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")


def write_names(
    path: Path, names_of: Mapping[str, str], classes: Sequence[str], sample: str | None, task: Task
) -> None:
    """Write the CSV of a task that asks for names, given for each id; raises as `write_submission`."""
    sheet, _, rows = order(names_of, classes, sample, (), task=task)
    names, text = Names(names_of), io.StringIO(newline="")
    tables.write_rows(text, (sheet.header, *(sheet.row(id, [names_of[str(names.find(id))]]) for id in rows)))
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")


def widened(probabilities: NDArray[np.float64], shares: Sequence[float]) -> NDArray[np.float64]:
    """(n, classes) probabilities and those of further classes, the same in each row: (n, classes + further)."""
    more = np.tile(np.array(shares, np.float64), (len(probabilities), 1))
    return np.hstack((probabilities.reshape(len(more), -1) * (1 - sum(shares)), more))


def as_text(probability: float) -> str:
    """How probabilities are written: rounded, but never to a certainty."""
    text = f"{probability:.{_DIGITS}g}"
    return repr(float(probability)) if float(text) == 1 != probability else text


def check_submission(
    path: Path,
    sample: str | None = None,
    classes: Sequence[str] | None = None,
    left_out: Collection[str] = (),
    task: Task | None = None,
) -> int:
    """Look for all that Kaggle would reject, and return the number of rows; `left_out` and `task` as in `order`.

    Raises:
        SubmissionError: no such file, another header, an id twice, missing or foreign, a value that is not what is
            asked for.
    """
    id_column = task.id_column if task and sample is not None else ""
    sheet = Sheet.read(path, id_column)
    if sample is not None:
        expected = Sheet.parse("The sample submission", sample, id_column)
        if sheet.columns != expected.columns:
            raise SubmissionError(
                f"{path} has the columns {in_short(sheet.header)}, the sample submission {in_short(expected.header)}",
                _TRAIN_AGAIN,
            )
        absent, foreign = differences(expected.rows, sheet.rows)
        refuse_ids(absent, f"ids of the sample submission are missing from {path}", _TRAIN_AGAIN)
        refuse_ids(foreign, f"ids of {path} are not in the sample submission", _TRAIN_AGAIN)
    if classes is not None and (task is None or task.answer not in OF_NAMES):
        classes_of(sheet.targets, classes, left_out)
    _check_values(sheet, classes or (), task or Task.of_classes(classes or ()), _TRAIN_AGAIN)
    return len(sheet.rows)


def read_submission(
    path: Path, classes: Sequence[str], left_out: Collection[str] = (), task: Task | None = None
) -> tuple[list[str], NDArray[np.float64]]:
    """The ids of a submission in the order of its rows, and their (n, classes) probabilities in that of `classes`.

    Columns of classes that were `left_out`, see `order`, are not returned. Of names, the best has the largest share, so
    that what they are scored by follows from the numbers as well.

    Raises:
        SubmissionError: no such file, no such table, columns of other classes, a value that is no answer.
    """
    task = task or Task.of_classes(classes)
    sheet = Sheet.read(path, task.id_column)
    if task.answer in OF_NAMES:
        numbers = _numbers_of_names(sheet, classes, task, _TRAIN_AGAIN)
        return list(sheet.rows), _shares(sheet, numbers, len(classes), is_each=task.answer == NAMES)
    columns = places_of(sheet.targets, classes, left_out, task)
    values = values_of(sheet, task, _TRAIN_AGAIN)
    if len(columns) == 1 and values.shape[1] == 2:
        return list(sheet.rows), values if columns == [1] else values[:, ::-1]
    return list(sheet.rows), values[:, np.argsort(columns)[: len(classes)]]


def values_of(sheet: Sheet, task: Task, remedy: str) -> NDArray[np.float64]:
    """The probabilities or numbers of a sheet, see `Sheet.probabilities`; raises as that."""
    if task.answer == NUMBERS:
        return sheet.numbers(remedy, math.isfinite, "a finite number")
    return sheet.probabilities(remedy, add_up=task.kind != LABELS and not wants_ranks(task))


def wants_ranks(task: Task) -> bool:
    """Whether only the order of probabilities counts."""
    return metrics.find(task.metric).wants == metrics.RANKS


def _cells(values: NDArray[np.float64], columns: Sequence[int], classes: Sequence[str], rule: Rule) -> list[list[str]]:
    """What stands in each row besides the id, of (n, classes) predictions."""
    task = rule.task
    if task.answer in (NAME, NAMES):
        decided = rule.decide(values)
        if task.answer == NAME:
            return [[classes[number]] for number in decided]
        named = [[name for name, is_named in zip(classes, row, strict=True) if is_named] for row in decided]
        return [[task.separator.join(names)] for names in named]
    if task.answer == BEST_K:
        return [[" ".join(classes[number] for number in row)] for row in decisions.best(values, task.best)]
    if wants_ranks(task) and task.kind != LABELS:
        return [[repr(value) for value in row] for row in decisions.ranked(values)[:, columns].tolist()]
    return [[as_text(value) for value in row] for row in values[:, columns].tolist()]


def _check_values(sheet: Sheet, classes: Sequence[str], task: Task, remedy: str) -> None:
    """SubmissionError if a value is not what the task asks for."""
    if task.answer in OF_NAMES:
        _numbers_of_names(sheet, classes, task, remedy)
    else:
        values_of(sheet, task, remedy)


def _numbers_of_names(sheet: Sheet, classes: Sequence[str], task: Task, remedy: str) -> list[list[int]]:
    """The classes that each row names, in order.

    Raises:
        SubmissionError: a row names what is no class, one twice, none, or more than are asked for.
    """
    known = Names(classes)
    numbers = {name: number for number, name in enumerate(classes)}
    least, most = (0, len(classes)) if task.answer == NAMES else (1, max(task.best, 1))
    found, wrong = [], []
    for id, values in sheet.rows.items():
        text = values[0] if len(values) == 1 else ""
        words = _words(text, task)
        named = [known.find(word) for word in words]
        if len(values) != 1 or None in named or len(set(named)) < len(named) or not least <= len(named) <= most:
            wrong.append((sheet.lines[id], text))
        found.append([numbers[name] for name in named if name is not None])
    if wrong:
        asked = {BEST_K: f"the names of at most {task.best} classes", NAMES: "the names of labels"}
        problem = f": {wrong[0][1]!r} is not {asked.get(task.answer, 'the name of a class')}"
        raise rows_error(sheet.name, problem, remedy, wrong)
    return found


def _words(text: str, task: Task) -> list[str]:
    if task.answer == BEST_K:
        return text.split()
    if task.answer == NAMES:
        return [word.strip() for word in text.split(task.separator) if word.strip()]
    return [text]


def _shares(sheet: Sheet, named: Sequence[Sequence[int]], classes: int, is_each: bool) -> NDArray[np.float64]:
    """(n, classes) numbers that have the order of the names and add up to 1, or are 1 each; others have 0."""
    values = np.zeros((len(sheet.rows), classes))
    for row, numbers in enumerate(named):
        places = np.arange(len(numbers), 0, -1)
        values[row, numbers] = 1 if is_each else places / places.sum()
    return values

"""The submission CSV: written in the sample's order, checked as Kaggle checks it, graded against a truth CSV."""

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import SubmissionError
from catsdogs.files import replacing
from catsdogs.labels import natural_key

ID_COLUMN = "id"
LABEL_COLUMN = "label"
KAGGLE_EPSILON = 1e-15  # what Kaggle's pages on log loss say probabilities are kept from 0 and 1
ROW_SUM_TOLERANCE = 1e-3
_DIGITS = 12  # a float32 sigmoid comes within 6e-8 of 1; fewer digits would round it to a certainty
_SHOWN = 5


class Line(NamedTuple):
    """A score that separates places of the leaderboard."""

    name: str
    log_loss: float
    rank: int | None


# Dogs vs. Cats Redux, private leaderboard: https://www.kaggle.com/c/dogs-vs-cats-redux-kernels-edition
MEDAL_LINES = (
    Line("best", 0.03302, 1),
    Line("gold", 0.03882, 12),
    Line("silver", 0.05038, 65),
    Line("bronze", 0.06127, 131),
    Line("median", 0.12216, None),
)


@dataclass(frozen=True)
class Grade:
    """How good probabilities are, and on what that was measured; the standard error is that of the mean log loss."""

    log_loss: float
    standard_error: float
    accuracy: float
    rows: int
    measured_on: str

    def __str__(self) -> str:
        figures = f"log loss {self.log_loss:.5f} ± {self.standard_error:.5f}, accuracy {self.accuracy:.2%}"
        return f"{figures} ({self.measured_on})"


class _Sheet(NamedTuple):
    """A CSV as text: its header, and id -> the other columns and the line in the file, in the order of the rows."""

    name: str
    header: list[str]
    rows: dict[str, list[str]]
    lines: dict[str, int]


def order(
    ids: Collection[str],
    classes: Sequence[str],
    sample: str | None,
    missing: Collection[str],
    left_out: Collection[str] = (),
) -> tuple[list[str], list[int], list[str]]:
    """What a submission will look like: its header, the class each further column is of, and the ids, row by row.

    `sample` is the text of a sample submission; without one, ids follow each other in natural order. `missing` are
    the ids of photographs that were there but could not be read. `left_out` are classes that no head knows, numbered
    after the others: a sample may have columns for them, and without a sample they have.

    Raises:
        SubmissionError: the sample has other ids or classes than we, or is no table.
    """
    if sample is None:
        columns = [LABEL_COLUMN] if len(classes) == 2 and not left_out else [*classes, *left_out]
        return [ID_COLUMN, *columns], _classes_of(columns, classes, left_out), sorted({*ids, *missing}, key=natural_key)
    sheet = _parse("The sample submission", sample)
    photographs = {*ids, *missing}
    _refuse_difference(
        [id for id in sheet.rows if id not in photographs],
        "ids of the sample submission are not among the test photographs",
        "Extract the features of all test photographs, or give the sample submission of this data set",
    )
    _refuse_difference(
        [id for id in ids if id not in sheet.rows],
        "test photographs are not in the sample submission",
        "Give the sample submission of this data set, or remove the photographs that are not part of it",
    )
    return sheet.header, _classes_of(sheet.header[1:], classes, left_out), list(sheet.rows)


def write(
    path: Path,
    ids: Sequence[str],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    sample: str | None,
    missing: Mapping[str, Sequence[float]],
    left_out: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Write the CSV, whole or not at all.

    For two classes the one column is the probability of the second class, for more there is a column per class.

    Args:
        probabilities: (n, classes), rows as `ids`.
        missing: id -> (classes,) probabilities of a photograph that could not be read, such as the class prior.
        left_out: classes that no head knows, with a probability for each, where `order` gives them columns.

    Raises:
        SubmissionError: as `order`, or a probability is not finite or outside [0, 1].
        StoreError: the disk is full, or the folder cannot be written.
    """
    header, columns, rows = order(ids, classes, sample, missing, left_out)
    known = dict(missing) | dict(zip(ids, probabilities, strict=True))
    if len(columns) > len(classes):
        known = dict(zip(known, widened(np.array([*known.values()]), [*left_out.values()]), strict=True))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([id, *(as_text(known[id][column]) for column in columns)] for id in rows)
    _check_values(_parse(str(path), text.getvalue()), "Train again: the head gave a number that is no probability")
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def widened(probabilities: NDArray[np.float64], shares: Sequence[float]) -> NDArray[np.float64]:
    """(n, classes) probabilities and those of further classes, the same in each row: (n, classes + further)."""
    more = np.tile(np.array(shares, np.float64), (len(probabilities), 1))
    return np.hstack((probabilities.reshape(len(more), -1) * (1 - sum(shares)), more))


def as_text(probability: float) -> str:
    """How probabilities are written."""
    return f"{probability:.{_DIGITS}g}"


def check(
    path: Path,
    sample: str | None = None,
    classes: Sequence[str] | None = None,
    left_out: Collection[str] = (),
) -> int:
    """Look for all that Kaggle would reject, and return the number of rows; `left_out` as in `order`.

    Raises:
        SubmissionError: no such file, another header, an id twice, missing or foreign, a value that is no probability.
    """
    sheet = _read(path)
    remedy = "Write it again with `catsdogs train`"
    if sample is not None:
        expected = _parse("The sample submission", sample)
        if sheet.header != expected.header:
            raise SubmissionError(
                f"{path} has the columns {_shown(sheet.header)}, the sample submission {_shown(expected.header)}",
                remedy,
            )
        absent = [id for id in expected.rows if id not in sheet.rows]
        _refuse_difference(absent, f"ids of the sample submission are missing from {path}", remedy)
        foreign = [id for id in sheet.rows if id not in expected.rows]
        _refuse_difference(foreign, f"ids of {path} are not in the sample submission", remedy)
    if classes is not None:
        _classes_of(sheet.header[1:], classes, left_out)
    _check_values(sheet, remedy)
    return len(sheet.rows)


def read(path: Path, classes: Sequence[str], left_out: Collection[str] = ()) -> tuple[list[str], NDArray[np.float64]]:
    """The ids of a submission in the order of its rows, and their (n, classes) probabilities in that of `classes`.

    Columns of classes that were `left_out`, see `order`, are not returned.

    Raises:
        SubmissionError: no such file, no such table, columns of other classes, a value that is no probability.
    """
    sheet = _read(path)
    columns = _classes_of(sheet.header[1:], classes, left_out)
    values = _check_values(sheet, "Write it again with `catsdogs train`")
    if len(columns) == 1:
        return list(sheet.rows), values if columns == [1] else values[:, ::-1]
    return list(sheet.rows), values[:, np.argsort(columns)[: len(classes)]]


def grade(path: Path, truth: Path, classes: Sequence[str] | None = None, left_out: Collection[str] = ()) -> Grade:
    """Log loss and accuracy of a submission against a CSV with the columns `id,label`, matched by id.

    A label is the name of a class, or 0 or 1. One column is the probability of the class it is named after, or else of
    the second class; a label of 1 stands for the same class.

    Args:
        classes: the names in order; without them, two different names in the truth are taken for all there are.
        left_out: as in `order`.

    Raises:
        SubmissionError: either file is no such table, or they hold different ids or classes.
    """
    sheet, answers = _read(path), _read(truth)
    for absent, name in (
        ([id for id in answers.rows if id not in sheet.rows], path),
        ([id for id in sheet.rows if id not in answers.rows], truth),
    ):
        _refuse_difference(absent, f"ids are missing from {name}", "Grade against the truth of the same photographs")
    values = _check_values(sheet, "Write it again with `catsdogs train`")
    labels = _labels(answers, sheet, classes, left_out)
    return score(values, labels, f"{truth.name}, {len(labels):,} rows")


def score(probabilities: NDArray[np.float64], labels: NDArray[np.int64], measured_on: str) -> Grade:
    """The grade of (n, classes) probabilities where `labels`, (n,), are the classes that are right."""
    losses = log_losses(probabilities, labels)
    deviation = float(losses.std(ddof=1)) if len(losses) > 1 else math.nan
    return Grade(
        log_loss=float(losses.mean()),
        standard_error=deviation / math.sqrt(len(losses)),
        accuracy=float((probabilities.argmax(axis=1) == labels).mean()),
        rows=len(losses),
        measured_on=measured_on,
    )


def log_losses(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) losses, as Kaggle's: -ln of the probability of the right class, rows divided by their sum, clipped."""
    right = probabilities[np.arange(len(labels)), labels] / probabilities.sum(axis=1)
    losses: NDArray[np.float64] = -np.log(np.clip(right, KAGGLE_EPSILON, 1 - KAGGLE_EPSILON))
    return losses


def standing(log_loss: float) -> str:
    """The `MEDAL_LINES` and where among them a log loss would fall, in words."""
    lines = ", ".join(_named(line) for line in MEDAL_LINES)
    better = [line.name for line in MEDAL_LINES if log_loss <= line.log_loss]
    place = f"at least {better[0]}" if better else "behind the median"
    return f"Kaggle's private leaderboard: {lines}; this would be {place}, had it been measured on Kaggle's test set"


def _named(line: Line) -> str:
    return f"{line.name} ({line.log_loss}{f', rank {line.rank}' if line.rank else ''})"


def _classes_of(columns: Sequence[str], classes: Sequence[str], left_out: Collection[str] = ()) -> list[int]:
    """Which class each probability column is of: its namesake, or the second where one column serves two classes.

    Columns may be missing of those that are `left_out`, which are numbered after the classes.
    """
    if len(columns) == 1 and len(classes) == 2:
        return [classes.index(columns[0]) if columns[0] in classes else 1]
    known = [*classes, *left_out]
    if len(set(columns)) < len(columns) or not set(classes) <= set(columns) <= set(known):
        raise SubmissionError(
            f"The columns {_shown(columns)} of the submission are not the classes {_shown(classes)}",
            "Give the sample submission of this data set",
        )
    return [known.index(column) for column in columns]


def _labels(
    answers: _Sheet, sheet: _Sheet, classes: Sequence[str] | None, left_out: Collection[str]
) -> NDArray[np.int64]:
    """The right class of each row of `sheet`, as a column of its probabilities."""
    if len(answers.header) != 2:
        raise SubmissionError(
            f"{answers.name} has the columns {_shown(answers.header)}", f"A truth has {ID_COLUMN},{LABEL_COLUMN}"
        )
    texts = {id: values[0].strip() for id, values in answers.rows.items()}
    known = _names_of_columns(sheet.header[1:], set(texts.values()), classes, left_out)
    for id, text in texts.items():
        if text not in known:
            raise SubmissionError(
                f"{answers.name}, row {answers.lines[id]}: the label {text!r} of {id} is none of {_shown(known)}",
                "Name each class as the submission does, or give 0 and 1 for two classes",
            )
    return np.array([known.index(texts[id]) for id in sheet.rows], np.int64)


def _names_of_columns(
    columns: Sequence[str], labels: AbstractSet[str], classes: Sequence[str] | None, left_out: Collection[str]
) -> list[str]:
    """What a truth calls the columns of `_check_values`: of two, the second is the probability of a single column."""
    numbers = {"0", "1"}
    if classes is not None:
        _classes_of(columns, classes, left_out)
        names = list(classes)
    else:
        names = sorted(labels, key=natural_key) if labels == numbers or not labels & numbers else []
    if len(columns) > 1:
        return list(columns)
    if len(names) != 2 or (labels <= numbers and not labels <= set(names)):
        return ["0", "1"]
    return names[::-1] if _classes_of(columns, names) == [0] else names


def _check_values(sheet: _Sheet, remedy: str) -> NDArray[np.float64]:
    """The (n, classes) probabilities of a sheet."""
    values = np.empty((len(sheet.rows), len(sheet.header) - 1))
    for row, (id, texts) in enumerate(sheet.rows.items()):
        for column, text in enumerate(texts):
            try:
                values[row, column] = float(text)
            except ValueError:
                values[row, column] = math.nan
            if not 0 <= values[row, column] <= 1:
                raise SubmissionError(
                    f"{sheet.name}, row {sheet.lines[id]}: {text!r} for {id} is not a probability from 0 to 1", remedy
                )
    if values.shape[1] == 1:
        return np.concatenate((1 - values, values), axis=1)
    sums = values.sum(axis=1)
    wrong = np.flatnonzero(abs(sums - 1) > ROW_SUM_TOLERANCE)
    if wrong.size:
        id = list(sheet.rows)[wrong[0]]
        raise SubmissionError(
            f"{sheet.name}, row {sheet.lines[id]}: the probabilities of {id} add up to {sums[wrong[0]]:.6g}, not 1",
            remedy,
        )
    return values


def _read(path: Path) -> _Sheet:
    try:
        return _parse(str(path), path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise SubmissionError(f"{path} cannot be read: {reason}", "Give the path of a CSV") from None


def _parse(name: str, text: str) -> _Sheet:
    remedy = f"It needs a first line such as {ID_COLUMN},{LABEL_COLUMN} and a row for each photograph"
    reader = csv.reader(io.StringIO(text))
    try:
        header = [column.strip() for column in next(reader, [])]
        table = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise SubmissionError(f"{name}, row {reader.line_num} is not CSV: {error}", remedy) from None
    if len(header) < 2 or len(set(header)) < len(header) or header[0].lower() != ID_COLUMN:
        raise SubmissionError(f"{name} has the columns {_shown(header)}", remedy)
    if not table:
        raise SubmissionError(f"{name} has no rows", remedy)
    sheet = _Sheet(name, header, {}, {})
    for line, (id, *values) in table:
        if len(values) != len(header) - 1 or not id.strip():
            raise SubmissionError(
                f"{name}, row {line} has {len(values) + 1} columns, not {len(header)}, or no id", remedy
            )
        if id.strip() in sheet.rows:
            raise SubmissionError(
                f"{name}, row {line} holds the id {id.strip()} again, first seen in row {sheet.lines[id.strip()]}",
                "Keep one row for each id",
            )
        sheet.rows[id.strip()], sheet.lines[id.strip()] = values, line
    return sheet


def _refuse_difference(ids: Sequence[str], what: str, remedy: str) -> None:
    if ids:
        raise SubmissionError(f"{len(ids):,} {what}: {_shown(ids)}", remedy)


def _shown(texts: Sequence[str]) -> str:
    return (", ".join(texts[:_SHOWN]) or "(none)") + (", …" if len(texts) > _SHOWN else "")

"""The submission CSV: written in the sample's order, checked as Kaggle checks it, graded against a truth CSV."""

import io
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import SubmissionError, and_more, in_short
from catsdogs.files import tables
from catsdogs.files.atomic import replacing
from catsdogs.files.tables import NoTableError
from catsdogs.photographs.names import Names, natural_key, one_form
from catsdogs.scoring.grades import Grade, score

ID_COLUMN = "id"
LABEL_COLUMN = "label"
ROW_SUM_TOLERANCE = 1e-3
_DIGITS = 12  # a float32 sigmoid comes within 6e-8 of 1; fewer digits would round it to a certainty
_NUMBERS = {"true": "1", "false": "0"}  # as pandas and spreadsheets write what is 1 or 0


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


class _Sheet(NamedTuple):
    """A CSV as it was typed: its header, and id -> the other columns and the row in the file, row by row."""

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
    photographs = Names({*ids, *missing})
    asked = {id: photographs.find(id) for id in sheet.rows}
    _refuse_difference(
        [id for id, found in asked.items() if found is None],
        "ids of the sample submission are not among the test photographs",
        "Extract the features of all test photographs, or give the sample submission of this data set",
    )
    rows_of = Counter(asked.values())
    _refuse_difference(
        [id for id in ids if id not in rows_of],
        "test photographs are not in the sample submission",
        "Give the sample submission of this data set, or remove the photographs that are not part of it",
    )
    _refuse_difference(
        [id for id, found in asked.items() if rows_of[found] > 1],
        "ids of the sample submission mean a photograph that another one means, too",
        "Keep one row for each id",
    )
    return sheet.header, _classes_of(sheet.header[1:], classes, left_out), list(sheet.rows)


def write_submission(
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
    names = Names(known)
    text = io.StringIO(newline="")
    lines = ([id, *(as_text(known[str(names.find(id))][column]) for column in columns)] for id in rows)
    tables.Writer(text).writerows((header, *lines))
    _check_values(_parse(str(path), text.getvalue()), "Train again: the head gave a number that is no probability")
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
) -> int:
    """Look for all that Kaggle would reject, and return the number of rows; `left_out` as in `order`.

    Raises:
        SubmissionError: no such file, another header, an id twice, missing or foreign, a value that is no probability.
    """
    sheet = _read(path)
    remedy = "Write it again with `catsdogs train`"
    if sample is not None:
        expected = _parse("The sample submission", sample)
        if list(map(_bare, sheet.header)) != list(map(_bare, expected.header)):
            raise SubmissionError(
                f"{path} has the columns {in_short(sheet.header)}, the sample submission {in_short(expected.header)}",
                remedy,
            )
        absent, foreign = _differences(expected.rows, sheet.rows)
        _refuse_difference(absent, f"ids of the sample submission are missing from {path}", remedy)
        _refuse_difference(foreign, f"ids of {path} are not in the sample submission", remedy)
    if classes is not None:
        _classes_of(sheet.header[1:], classes, left_out)
    _check_values(sheet, remedy)
    return len(sheet.rows)


def read_submission(
    path: Path, classes: Sequence[str], left_out: Collection[str] = ()
) -> tuple[list[str], NDArray[np.float64]]:
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


def grade_submission(
    path: Path, truth: Path, classes: Sequence[str] | None = None, left_out: Collection[str] = ()
) -> Grade:
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
    for absent, name in zip(_differences(answers.rows, sheet.rows), (path, truth), strict=True):
        _refuse_difference(absent, f"ids are missing from {name}", "Grade against the truth of the same photographs")
    values = _check_values(sheet, "Write it again with `catsdogs train`")
    labels = _labels(answers, sheet, classes, left_out)
    return score(values, labels, f"{truth.name}, {len(labels):,} rows")


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
    known = [*classes, *left_out]
    names = Names(known)
    found = [names.find(column) for column in columns]
    if len(columns) == 1 and len(classes) == 2:
        return [classes.index(found[0]) if found[0] in classes else 1]
    asked = [name for name in found if name is not None]
    if len(set(asked)) < len(found) or not set(classes) <= set(asked):
        raise SubmissionError(
            f"The columns {in_short(columns)} of the submission are not the classes {in_short(classes)}",
            "Give the sample submission of this data set",
        )
    return [known.index(name) for name in asked]


def _labels(
    answers: _Sheet, sheet: _Sheet, classes: Sequence[str] | None, left_out: Collection[str]
) -> NDArray[np.int64]:
    """The right class of each row of `sheet`, as a column of its probabilities."""
    if len(answers.header) != 2:
        raise SubmissionError(
            f"{answers.name} has the columns {in_short(answers.header)}", f"A truth has {ID_COLUMN},{LABEL_COLUMN}"
        )
    texts = {id: values[0].strip() for id, values in answers.rows.items()}
    said = Names((*sheet.header[1:], *(classes or ()), *left_out))
    texts = {id: said.find(text) or _as_digits(text) for id, text in texts.items()}
    known = _names_of_columns(list(map(_bare, sheet.header[1:])), set(texts.values()), classes, left_out)
    places = {one_form(name): place for place, name in enumerate(known)}
    wrong = [id for id, text in texts.items() if one_form(text) not in places]
    if wrong:
        id, *others = wrong
        raise SubmissionError(
            f"{answers.name}, row {answers.lines[id]}: the label {texts[id]!r} of {id} is none of {in_short(known)}"
            f"{and_more([answers.lines[other] for other in others], 'rows like it')}",
            "Name each class as the submission does, or give 0 and 1 for two classes",
            [f"row {answers.lines[id]}: {texts[id]}" for id in wrong],
        )
    ids = Names(texts)
    return np.array([places[one_form(texts[str(ids.find(id))])] for id in sheet.rows], np.int64)


def _as_digits(text: str) -> str:
    """`1` for 1.0, 1,0 and TRUE, as spreadsheets and pandas write what was 1; any other text as it is."""
    try:
        value = tables.parse_number(text)
        return str(int(value)) if value.is_integer() else text
    except (ValueError, OverflowError):
        return _NUMBERS.get(text.lower(), text)


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
    wrong: dict[str, str] = {}
    for row, (id, texts) in enumerate(sheet.rows.items()):
        for column, text in enumerate(texts):
            try:
                values[row, column] = tables.parse_number(text)
            except ValueError:
                values[row, column] = math.nan
            if not 0 <= values[row, column] <= 1:
                wrong.setdefault(id, text)
    if wrong:
        (id, text), *others = wrong.items()
        raise SubmissionError(
            f"{sheet.name}, row {sheet.lines[id]}: {text!r} for {id} is not a probability from 0 to 1"
            f"{and_more([sheet.lines[other] for other, _ in others], 'rows like it')}",
            remedy,
            [f"row {sheet.lines[id]}: {text}" for id, text in wrong.items()],
        )
    if values.shape[1] == 1:
        return np.concatenate((1 - values, values), axis=1)
    sums = values.sum(axis=1)
    ids = [id for id, total in zip(sheet.rows, sums, strict=True) if abs(total - 1) > ROW_SUM_TOLERANCE]
    if ids:
        total = sums[list(sheet.rows).index(ids[0])]
        raise SubmissionError(
            f"{sheet.name}, row {sheet.lines[ids[0]]}: the probabilities of {ids[0]} add up to {total:.6g}, not 1"
            f"{and_more([sheet.lines[id] for id in ids[1:]], 'rows like it')}",
            remedy,
            [f"row {sheet.lines[id]}: {id}" for id in ids],
        )
    return values


def _read(path: Path) -> _Sheet:
    try:
        return _parse(str(path), tables.decode_text(path.read_bytes()))
    except (OSError, NoTableError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise SubmissionError(f"{path} cannot be read: {reason}", "Give the path of a CSV") from None


def _parse(name: str, text: str) -> _Sheet:
    remedy = f"It needs a first line such as {ID_COLUMN},{LABEL_COLUMN} and a row for each photograph"
    try:
        header, rows, numbers, _ = tables.parse_table(text)
    except NoTableError as error:
        raise SubmissionError(f"{name} is not CSV: {error}", remedy) from None
    bare = list(map(_bare, header))
    if len(header) < 2 or len(set(bare)) < len(bare) or bare[0].lower() != ID_COLUMN:
        raise SubmissionError(f"{name} has the columns {in_short(header)}", remedy)
    if not rows:
        raise SubmissionError(f"{name} has no rows", remedy)
    sheet = _Sheet(name, header, {}, {})
    seen: dict[str, int] = {}
    wide = [
        (line, row) for line, row in zip(numbers, rows, strict=True) if len(row) != len(header) or not row[0].strip()
    ]
    if wide:
        (line, row), *more = wide
        raise SubmissionError(
            f"{name}, row {line} has {len(row)} columns, not {len(header)}, or no id"
            f"{and_more([line for line, _ in more], 'rows like it')}",
            remedy,
            [f"row {line}: {len(row)} columns" for line, row in wide],
        )
    again = []
    for line, (id, *values) in zip(numbers, rows, strict=True):
        if seen.setdefault(one_form(id), line) != line:
            again.append((line, id))
        else:
            sheet.rows[id], sheet.lines[id] = values, line
    if again:
        (line, id), *others = again
        raise SubmissionError(
            f"{name}, row {line} holds the id {id.strip()} again, first seen in row {seen[one_form(id)]}"
            f"{and_more([line for line, _ in others], 'rows like it')}",
            "Keep one row for each id",
            [f"row {line}: {id}" for line, id in again],
        )
    return sheet


def _bare(column: str) -> str:
    """A column's name by which it is known, whatever stands around it."""
    return one_form(column.strip())


def _differences(expected: Collection[str], found: Collection[str]) -> tuple[list[str], list[str]]:
    """The ids that only the first has, and those that only the second has."""
    there, asked = Names(found), Names(expected)
    return [id for id in expected if there.find(id) is None], [id for id in found if asked.find(id) is None]


def _refuse_difference(ids: Sequence[str], what: str, remedy: str) -> None:
    if ids:
        raise SubmissionError(f"{len(ids):,} {what}: {in_short(ids)}", remedy, ids)


def write_truth(path: Path, truth: Mapping[str, str]) -> None:
    """Write the hidden classes of test rows, id -> class: a CSV that `submission.grade_submission` takes.

    Raises:
        StoreError: the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as text:
        writer = tables.Writer(text)
        writer.writerow([ID_COLUMN, LABEL_COLUMN])
        writer.writerows(truth.items())

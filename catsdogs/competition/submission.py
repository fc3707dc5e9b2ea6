"""The submission CSV: as it was typed, written in the sample's order, checked as Kaggle checks it, and read back."""

import io
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import SubmissionError, and_more, in_short
from catsdogs.files import tables
from catsdogs.files.atomic import replacing
from catsdogs.files.tables import NoTableError
from catsdogs.photographs.names import Names, natural_key, one_form

ID_COLUMN = "id"
LABEL_COLUMN = "label"
ROW_SUM_TOLERANCE = 1e-3
_DIGITS = 12  # a float32 sigmoid comes within 6e-8 of 1; fewer digits would round it to a certainty


class Sheet(NamedTuple):
    """A CSV as it was typed: its header, and id -> the other columns and the row in the file, row by row."""

    name: str
    header: list[str]
    rows: dict[str, list[str]]
    lines: dict[str, int]

    @classmethod
    def read(cls, path: Path) -> Self:
        """The sheet in a file; raises SubmissionError as `parse`, or if the file cannot be read."""
        try:
            return cls.parse(str(path), tables.decode(path.read_bytes())[0])
        except (OSError, NoTableError) as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
            raise SubmissionError(f"{path} cannot be read: {reason}", "Give the path of a CSV") from None

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """The sheet in a text, which messages call `name`.

        Raises:
            SubmissionError: it is no CSV with an id column first, has no rows, ragged ones, or an id twice.
        """
        remedy = f"It needs a first line such as {ID_COLUMN},{LABEL_COLUMN} and a row for each photograph"
        try:
            header, rows, numbers, _ = tables.parse_table(text)
        except NoTableError as error:
            raise SubmissionError(f"{name} is not CSV: {error}", remedy) from None
        sheet = cls(name, header, {}, {})
        columns = sheet.columns
        if len(header) < 2 or len(set(columns)) < len(columns) or columns[0].lower() != ID_COLUMN:
            raise SubmissionError(f"{name} has the columns {in_short(header)}", remedy)
        if not rows:
            raise SubmissionError(f"{name} has no rows", remedy)
        numbered = list(zip(numbers, rows, strict=True))
        wide = [(line, len(row)) for line, row in numbered if len(row) != len(header) or not row[0].strip()]
        if wide:
            problem = f" has {wide[0][1]} columns, not {len(header)}, or no id"
            raise rows_error(name, problem, remedy, [(line, f"{width} columns") for line, width in wide])
        first_line: dict[str, int] = {}
        again = []
        for line, (id, *values) in numbered:
            if first_line.setdefault(one_form(id), line) != line:
                again.append((line, id))
            else:
                sheet.rows[id], sheet.lines[id] = values, line
        if again:
            id = again[0][1]
            problem = f" holds the id {id.strip()} again, first seen in row {first_line[one_form(id)]}"
            raise rows_error(name, problem, "Keep one row for each id", again)
        return sheet

    @property
    def columns(self) -> list[str]:
        """The header's names by which columns are known, whatever stands around them; the first is the id's."""
        return [one_form(column.strip()) for column in self.header]

    def probabilities(self, remedy: str) -> NDArray[np.float64]:
        """(n, classes); a single column is that of the second of two classes.

        Raises:
            SubmissionError: a value is not from 0 to 1, or those of a row do not add up to 1; with this remedy.
        """
        values = np.empty((len(self.rows), len(self.header) - 1))
        wrong: dict[str, str] = {}
        for row, (id, texts) in enumerate(self.rows.items()):
            for column, text in enumerate(texts):
                try:
                    values[row, column] = tables.parse_number(text)
                except ValueError:
                    values[row, column] = math.nan
                if not 0 <= values[row, column] <= 1:
                    wrong.setdefault(id, text)
        if wrong:
            id, text = next(iter(wrong.items()))
            problem = f": {text!r} for {id} is not a probability from 0 to 1"
            raise rows_error(self.name, problem, remedy, [(self.lines[id], text) for id, text in wrong.items()])
        if values.shape[1] == 1:
            return np.concatenate((1 - values, values), axis=1)
        totals = dict(zip(self.rows, values.sum(axis=1).tolist(), strict=True))
        ids = [id for id, total in totals.items() if abs(total - 1) > ROW_SUM_TOLERANCE]
        if ids:
            problem = f": the probabilities of {ids[0]} add up to {totals[ids[0]]:.6g}, not 1"
            raise rows_error(self.name, problem, remedy, [(self.lines[id], id) for id in ids])
        return values


def rows_error(name: str, problem: str, remedy: str, rows: Sequence[tuple[int, str]]) -> SubmissionError:
    """The problem of the first of these rows, (line, what stands there), and how many more there are like it."""
    more = and_more([line for line, _ in rows[1:]], "rows like it")
    return SubmissionError(
        f"{name}, row {rows[0][0]}{problem}{more}", remedy, [f"row {line}: {text}" for line, text in rows]
    )


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
        return [ID_COLUMN, *columns], classes_of(columns, classes, left_out), sorted({*ids, *missing}, key=natural_key)
    sheet = Sheet.parse("The sample submission", sample)
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
    return sheet.header, classes_of(sheet.header[1:], classes, left_out), list(sheet.rows)


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
    tables.write_rows(text, (header, *lines))
    sheet = Sheet.parse(str(path), text.getvalue())
    sheet.probabilities("Train again: the head gave a number that is no probability")
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
    path: Path, sample: str | None = None, classes: Sequence[str] | None = None, left_out: Collection[str] = ()
) -> int:
    """Look for all that Kaggle would reject, and return the number of rows; `left_out` as in `order`.

    Raises:
        SubmissionError: no such file, another header, an id twice, missing or foreign, a value that is no probability.
    """
    sheet = Sheet.read(path)
    remedy = "Write it again with `catsdogs train`"
    if sample is not None:
        expected = Sheet.parse("The sample submission", sample)
        if sheet.columns != expected.columns:
            raise SubmissionError(
                f"{path} has the columns {in_short(sheet.header)}, the sample submission {in_short(expected.header)}",
                remedy,
            )
        absent, foreign = differences(expected.rows, sheet.rows)
        refuse_ids(absent, f"ids of the sample submission are missing from {path}", remedy)
        refuse_ids(foreign, f"ids of {path} are not in the sample submission", remedy)
    if classes is not None:
        classes_of(sheet.header[1:], classes, left_out)
    sheet.probabilities(remedy)
    return len(sheet.rows)


def read_submission(
    path: Path, classes: Sequence[str], left_out: Collection[str] = ()
) -> tuple[list[str], NDArray[np.float64]]:
    """The ids of a submission in the order of its rows, and their (n, classes) probabilities in that of `classes`.

    Columns of classes that were `left_out`, see `order`, are not returned.

    Raises:
        SubmissionError: no such file, no such table, columns of other classes, a value that is no probability.
    """
    sheet = Sheet.read(path)
    columns = classes_of(sheet.header[1:], classes, left_out)
    values = sheet.probabilities("Write it again with `catsdogs train`")
    if len(columns) == 1:
        return list(sheet.rows), values if columns == [1] else values[:, ::-1]
    return list(sheet.rows), values[:, np.argsort(columns)[: len(classes)]]

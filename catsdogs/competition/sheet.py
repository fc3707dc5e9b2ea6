"""A CSV of ids and answers as it was typed: its columns, its rows by id, and its probabilities."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import SubmissionError, and_more, in_short
from catsdogs.files import tables
from catsdogs.files.tables import NoTableError
from catsdogs.photographs.names import Names, one_form
from catsdogs.photographs.sample import is_index
from catsdogs.photographs.task import ID_COLUMN, LABEL_COLUMN

ROW_SUM_TOLERANCE = 1e-3


class Sheet(NamedTuple):
    """A CSV as it was typed, without a column that only numbers the rows.

    Attributes:
        header: the names of its columns.
        rows: id -> the other columns, row by row.
        lines: id -> the row in the file.
        place: which column holds the ids.
    """

    name: str
    header: list[str]
    rows: dict[str, list[str]]
    lines: dict[str, int]
    place: int = 0

    @classmethod
    def read(cls, path: Path, id_column: str = "") -> Self:
        """The sheet in a file; raises SubmissionError as `parse`, or if the file cannot be read."""
        try:
            return cls.parse(str(path), tables.decode(path.read_bytes())[0], id_column)
        except (OSError, NoTableError) as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
            raise SubmissionError(f"{path} cannot be read: {reason}", "Give the path of a CSV") from None

    @classmethod
    def parse(cls, name: str, text: str, id_column: str = "") -> Self:
        """The sheet in a text, which messages call `name`; the ids are in `id_column`, else in the first one, `id`.

        Raises:
            SubmissionError: it is no CSV with an id column, has no rows, ragged ones, or an id twice.
        """
        remedy = f"It needs a first line such as {ID_COLUMN},{LABEL_COLUMN} and a row for each photograph"
        try:
            header, rows, numbers, _ = tables.parse_table(text)
        except NoTableError as error:
            raise SubmissionError(f"{name} is not CSV: {error}", remedy) from None
        kept = [number for number, column in enumerate(header) if not is_index(column)]
        if len(kept) < len(header):
            rows = [[row[number] for number in kept if number < len(row)] for row in rows]
            header = [header[number] for number in kept]
        columns = [one_form(column.strip()) for column in header]
        place = columns.index(one_form(id_column)) if one_form(id_column) in columns else 0
        sheet = cls(name, header, {}, {}, place)
        has_ids = columns[place:] and columns[place].lower() in (ID_COLUMN, id_column.lower())
        if len(header) < 2 or len(set(columns)) < len(columns) or not has_ids:
            raise SubmissionError(f"{name} has the columns {in_short(header)}", remedy)
        if not rows:
            raise SubmissionError(f"{name} has no rows", remedy)
        numbered = list(zip(numbers, rows, strict=True))
        wide = [(line, len(row)) for line, row in numbered if len(row) != len(header) or not row[place].strip()]
        if wide:
            problem = f" has {wide[0][1]} columns, not {len(header)}, or no id"
            raise rows_error(name, problem, remedy, [(line, f"{width} columns") for line, width in wide])
        first_line: dict[str, int] = {}
        again = []
        for line, values in numbered:
            id = values.pop(place)
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
        """The header's names by which columns are known, whatever stands around them."""
        return [one_form(column.strip()) for column in self.header]

    @property
    def targets(self) -> list[str]:
        """The header without the column of ids."""
        return [*self.header[: self.place], *self.header[self.place + 1 :]]

    def only(self, columns: Sequence[str]) -> Self:
        """The sheet with these columns besides the ids, in this order; as it is where it lacks one of them."""
        names = Names(self.targets)
        found = [names.find(column) for column in columns]
        if None in found:
            return self
        places = [self.targets.index(str(column)) for column in found]
        rows = {id: [values[place] for place in places] for id, values in self.rows.items()}
        return self._replace(header=[self.header[self.place], *map(str, found)], rows=rows, place=0)

    def row(self, id: str, values: Sequence[str]) -> list[str]:
        """An id and the values of the other columns, in the order of the header."""
        return [*values[: self.place], id, *values[self.place :]]

    def numbers(self, remedy: str, of: Callable[[float], bool], what: str) -> NDArray[np.float64]:
        """(n, columns) numbers.

        Raises:
            SubmissionError: a value is none, or not one `of` which there is to be, in words `what`; with this remedy.
        """
        values = np.empty((len(self.rows), len(self.header) - 1))
        wrong: dict[str, str] = {}
        for row, (id, texts) in enumerate(self.rows.items()):
            for column, text in enumerate(texts):
                try:
                    values[row, column] = tables.parse_number(text)
                except ValueError:
                    values[row, column] = math.nan
                if not of(values[row, column]):
                    wrong.setdefault(id, text)
        if wrong:
            id, text = next(iter(wrong.items()))
            problem = f": {text!r} for {id} is not {what}"
            raise rows_error(self.name, problem, remedy, [(self.lines[id], text) for id, text in wrong.items()])
        return values

    def probabilities(self, remedy: str, add_up: bool = True) -> NDArray[np.float64]:
        """(n, classes); a single column is that of the second of two classes.

        Args:
            add_up: whether those of a row are to add up to 1; not so of labels, or where only ranks count.

        Raises:
            SubmissionError: a value is not from 0 to 1, or those of a row do not add up to 1; with this remedy.
        """
        values = self.numbers(remedy, lambda value: 0 <= value <= 1, "a probability from 0 to 1")
        if values.shape[1] == 1:
            return np.concatenate((1 - values, values), axis=1)
        if not add_up:
            return values
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

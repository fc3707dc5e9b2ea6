"""A table of labels: which of its columns names the photographs, which their classes, and what its rows say.

Content decides. The file column is the one whose values are the photographs; of two that could be, neither is taken.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from catsdogs.errors import DatasetError, and_more
from catsdogs.files import tables
from catsdogs.files.tables import NoTableError, Table
from catsdogs.photographs.filetypes import PHOTO_SUFFIXES
from catsdogs.photographs.names import leads_elsewhere, natural_key, one_form, without_suffix

FILE_COLUMNS = ("id", "file", "filename", "file_name", "image", "image_id", "path", "name")
LABEL_COLUMNS = ("label", "class", "breed", "category", "target")
_SEPARATORS = (" ", ",", ";", "|")  # between several labels in one cell


class _FileColumn(NamedTuple):
    """A column as it could name photographs.

    Attributes:
        found: of each row, the photograph that its value names, None for none or several.
        there: how many different photographs it names.
        repeats: a value stands in two rows, which file names do not.
        has_suffixes: most of its values end like the name of a photograph.
    """

    number: int
    found: list[str | None]
    there: int
    repeats: bool
    has_suffixes: bool


class PhotographNames:
    """Photographs by what a table may call them.

    Strictest first: the path, the path below the split, the file name; each with its suffix or without.
    """

    def __init__(self, groups: Iterable[Sequence[str]], below: Callable[[str], str]) -> None:
        """Groups of names: what fits one of an earlier group is not looked for in later ones."""
        self._groups = []
        self.names: set[str] = set()
        for names in groups:
            known: dict[str, tuple[int, list[str]]] = {}
            self.names.update(names)
            for level, key_of in enumerate(
                key_of
                for whole in (str, below, lambda name: name.rpartition("/")[2])
                for key_of in (whole, lambda name, whole=whole: without_suffix(whole(name)))
            ):
                for name in names:
                    found = known.setdefault(one_form(key_of(name)), (level, []))
                    if found[0] == level:
                        found[1].append(name)
            self._groups.append(known)

    def called(self, written: str) -> list[str]:
        """Those that a table may mean."""
        form = one_form(written)
        if self._groups and (fit := self._groups[0].get(form)):
            return fit[1]
        spellings = dict.fromkeys(
            spelling
            for bare in (form, form.strip())
            for spelling in (bare, bare.replace("\\", "/"), bare.replace("\\", "/").removeprefix("./"))
        )
        for known in self._groups:
            fits = [known[spelling] for spelling in spellings if spelling in known]
            if fits:
                return min(fits, key=lambda fit: fit[0])[1]
        return []


def read_label_table(table: str, text: str, photographs: PhotographNames, root: str) -> list[tuple[str, str]]:
    """(photograph, label) for each row; a row may name a photograph that is not there, but not all of them may.

    Raises:
        DatasetError: no table, two columns that could be the one of the files or of the labels, a row that is
            incomplete or names a photograph again, several, or one that is outside of the folder.
    """
    try:
        parsed = tables.parse_table(text)
    except NoTableError as error:
        raise DatasetError(f"{root}: {table} is not a table: {error}", "Save it as CSV, in UTF-8") from None
    place = f"{root}: {table}"
    file, label = _columns(parsed, photographs, place)
    if not parsed.rows:
        raise DatasetError(f"{place} has no rows", "List one photograph and its label on each row")
    labels = _labels_of(parsed, file, label, photographs, place)
    if not any(name in photographs.names for name in labels):
        raise DatasetError(
            f"{place} names none of the {len(photographs.names):,} photographs, whose names are like "
            f"{min(photographs.names, key=natural_key)}; its column {_title(parsed, file)} holds {next(iter(labels))}",
            "Name the photographs as seen from that folder, or give --data the table that does",
        )
    _refuse_odd_labels(labels, _title(parsed, label), place)
    return list(labels.items())


def _labels_of(parsed: Table, file: int, label: int, photographs: PhotographNames, place: str) -> dict[str, str]:
    """Photograph -> label; all rows with the first mistake that is found are said at once."""
    labels: dict[str, str] = {}
    mistakes: dict[str, list[tuple[int, str]]] = {}
    for number, row in zip(parsed.numbers, parsed.rows, strict=True):
        written = row[file] if len(row) > file else ""
        value = row[label].strip() if len(row) > label else ""
        called = written.strip()
        fits = photographs.called(written) or [called]
        name = fits[0]
        if len(row) > len(parsed.header):
            mistake = ("wide", f"has {len(row)} cells, where the first line has {len(parsed.header)}")
        elif not called or not value:
            mistake = ("empty", "has no file name or no label")
        elif len(fits) > 1:
            mistake = ("several", f"names {called}, which fits {fits[0]} and {fits[1]}")
        elif name not in photographs.names and leads_elsewhere(name):
            mistake = ("outside", f"names {called!r}, which is not below that folder")
        elif name in labels:
            mistake = ("again", f"lists {called} again")
        else:
            labels[name] = value
            continue
        mistakes.setdefault(mistake[0], []).append((number, mistake[1]))
    for kind, found in mistakes.items():
        (number, said), *others = found
        raise DatasetError(
            f"{place}, row {number} {said}{and_more([row for row, _ in others], 'rows like it')}",
            _REMEDIES[kind],
            [f"row {row} {said}" for row, said in found],
        )
    return labels


_REMEDIES = {
    "wide": "Put a name with a comma in it into quotation marks",
    "empty": "Complete or remove the row",
    "several": "Write the whole path of the one that is meant, with its suffix",
    "outside": "Move or link the photograph there, and name it as seen from the folder",
    "again": "Keep one row for each photograph",
}


def _columns(parsed: Table, photographs: PhotographNames, place: str) -> tuple[int, int]:
    """Which column names the files, and which the labels."""
    header = [one_form(column.strip().lower()) for column in parsed.header]
    by_name = [position for column in FILE_COLUMNS for position, name in enumerate(header) if name == column]
    file = _file_column(parsed, photographs, header, place)
    if file is None and by_name:
        file = by_name[0]
    named = [
        position
        for column in LABEL_COLUMNS
        for position, name in enumerate(header)
        if name == column and position != file
    ]
    labels = [position for position in named if any(_column(parsed, position))] or named[:1]
    if file is not None and not labels and parsed.rows:
        others = [position for position in range(len(header)) if position != file and any(_column(parsed, position))]
        labels = others if len(others) == 1 and _are_classes(_column(parsed, others[0])) else []
    if file is None or not labels:
        raise DatasetError(
            f"{place} has the columns {tables.in_line(parsed.header, parsed.delimiter)}",
            f"Its first line must name a file column ({', '.join(FILE_COLUMNS)}) and a label column "
            f"({', '.join(LABEL_COLUMNS)})",
        )
    for other in labels[1:]:
        pairs = set(zip(_column(parsed, labels[0]), _column(parsed, other), strict=True))
        if not len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs}):
            raise _ambiguity("labels", parsed, labels[0], other, place)
    return file, labels[0]


def _file_column(parsed: Table, photographs: PhotographNames, header: Sequence[str], place: str) -> int | None:
    """The column whose values are the photographs, if there is one."""
    columns = [
        column for position in range(len(header)) if (column := _try_column(parsed, position, photographs)).there
    ]
    could_be = [column for column in columns if header[column.number] not in LABEL_COLUMNS] or columns
    once = [column for column in could_be if not column.repeats]
    if not once:  # its rows will be refused, for they list a photograph twice
        return max(could_be, key=lambda column: column.there).number if could_be else None
    rank = {name: position for position, name in enumerate(FILE_COLUMNS)}
    once.sort(key=lambda column: (-column.there, rank.get(header[column.number], len(rank)), column.number))
    left = [column for column in once if not any(_beats(other, column) for other in once)]
    for other in left[1:]:
        if _differ(left[0], other):
            raise _ambiguity("photographs", parsed, left[0].number, other.number, place)
    return left[0].number


def _try_column(parsed: Table, position: int, photographs: PhotographNames) -> _FileColumn:
    values = _column(parsed, position)
    raw = [row[position] for row in _padded(parsed)]
    fits = {cell: photographs.called(cell) if cell.strip() else [] for cell in set(raw)}
    found = [fits[cell][0] if len(fits[cell]) == 1 else None for cell in raw]
    filled = [value for value in values if value]
    return _FileColumn(
        position,
        found,
        len(set(found) - {None}),
        len(set(filled)) < len(filled),
        2 * sum(value.lower().endswith(PHOTO_SUFFIXES) for value in filled) > len(filled),
    )


def _beats(one: _FileColumn, other: _FileColumn) -> bool:
    """Whether a column names photographs and the other, beside it, only by chance, such as a running number."""
    if not _differ(one, other) or (other.has_suffixes and not one.has_suffixes):
        return False
    return one.there > other.there * (1 if one.has_suffixes > other.has_suffixes else 2)


def _differ(one: _FileColumn, other: _FileColumn) -> bool:
    """Whether two columns name different photographs in a row, or none in common."""
    both = [pair for pair in zip(one.found, other.found, strict=True) if None not in pair]
    return not both or any(first != second for first, second in both)


def _ambiguity(what: str, parsed: Table, one: int, other: int, place: str) -> DatasetError:
    one, other = sorted((one, other))
    first = next(iter(_padded(parsed)))
    return DatasetError(
        f"{place}: the columns {_title(parsed, one)} and {_title(parsed, other)} could both be that of the {what} "
        f"({first[one].strip()} and {first[other].strip()} in the first row), and they do not say the same",
        "Remove the one that is not, or give --data a copy without it",
    )


def _are_classes(values: Sequence[str]) -> bool:
    """Whether the values of a column that nothing calls a label can be classes: some occur again, and none is 63.5."""
    try:
        fractions = [value for value in set(values) if not tables.parse_number(value).is_integer()]
    except (ValueError, OverflowError):
        fractions = []
    return len(set(values)) < len(values) and not fractions


def _refuse_odd_labels(labels: dict[str, str], column: str, place: str) -> None:
    """What would become classes that nobody means: several labels in a cell, or a number written in two ways."""
    values = set(labels.values())
    for separator in _SEPARATORS:
        several = [
            value
            for value in sorted(values)
            if separator in value and {part.strip() for part in value.split(separator)} <= values
        ]
        if several:
            raise DatasetError(
                f"{place}: the column {column} holds several labels in a row, such as {several[0]!r}",
                "Give each photograph one label: only one class for each can be learnt",
            )
    numbers: dict[float, str] = {}
    for value in sorted(values):
        try:
            twin = numbers.setdefault(tables.parse_number(value), value)
        except ValueError:
            continue
        if twin != value and ("." in value + twin or "," in value + twin):
            raise DatasetError(
                f"{place}: the column {column} holds {twin!r} and {value!r}, which are one number",
                "Write each class in one way",
            )


def _padded(parsed: Table) -> Iterable[list[str]]:
    width = len(parsed.header)
    return (row + [""] * (width - len(row)) for row in parsed.rows)


def _column(parsed: Table, position: int) -> list[str]:
    """The values of a column, without blanks around them."""
    return [row[position].strip() if position < len(row) else "" for row in parsed.rows]


def _title(parsed: Table, position: int) -> str:
    name = parsed.header[position].strip()
    same = [column for column in parsed.header if column.strip() == name]
    return name if name and len(same) == 1 else f"{name or 'without a name'} (the {position + 1}. from the left)"

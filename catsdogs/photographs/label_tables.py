"""A label table: which of its columns names the photographs, which holds their labels, and what its rows are.

Content decides. The file column is the one whose values are the photographs. Two columns that could be it are refused.
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
    """A column that may be the file column.

    Attributes:
        photographs: the photograph that each row's value names; None for none or several.
        matches: how many different photographs it names.
        repeats: whether a value stands in two rows, as no file name does.
        has_suffixes: whether most of its values end like the name of a photograph.
    """

    number: int
    photographs: list[str | None]
    matches: int
    repeats: bool
    has_suffixes: bool


class PhotographNames:
    """The spellings by which a table may name photographs.

    Strictest first: the path, the path below the split, the file name; each with its suffix or without.
    """

    def __init__(self, groups: Iterable[Sequence[str]], below: Callable[[str], str]) -> None:
        """Groups of names: a spelling that fits one of an earlier group is not looked for in later groups."""
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
                    first_level, fits = known.setdefault(one_form(key_of(name)), (level, []))
                    if first_level == level:
                        fits.append(name)
            self._groups.append(known)

    def matching(self, spelling: str) -> list[str]:
        """The names that a table may mean by this spelling."""
        form = one_form(spelling)
        if self._groups and (fit := self._groups[0].get(form)):
            return fit[1]
        variants = dict.fromkeys(
            variant
            for bare in (form, form.strip())
            for variant in (bare, bare.replace("\\", "/"), bare.replace("\\", "/").removeprefix("./"))
        )
        for known in self._groups:
            fits = [known[variant] for variant in variants if variant in known]
            if fits:
                return min(fits, key=lambda fit: fit[0])[1]
        return []


def read_label_table(table: str, text: str, photographs: PhotographNames, root: str) -> list[tuple[str, str]]:
    """(photograph, label) for each row; a row may name a photograph that is not there, but not all of them may.

    Raises:
        DatasetError: no table; two columns that could name the photographs, or the labels; a row that is incomplete, or
            names a photograph again, several photographs, or one outside of the folder.
    """
    try:
        parsed = tables.parse_table(text)
    except NoTableError as error:
        raise DatasetError(f"{root}: {table} is not a table: {error}", "Save it as CSV, in UTF-8") from None
    for row in parsed.rows:
        row += [""] * (len(parsed.header) - len(row))
    place = f"{root}: {table}"
    file, label = _choose_columns(parsed, photographs, place)
    if not parsed.rows:
        raise DatasetError(f"{place} has no rows", "List one photograph and its label on each row")
    labels = _labels_of(parsed, file, label, photographs, place)
    if not any(name in photographs.names for name in labels):
        raise DatasetError(
            f"{place} names none of the {len(photographs.names):,} photographs, whose names are like "
            f"{min(photographs.names, key=natural_key)}; its column {_called(parsed, file)} holds {next(iter(labels))}",
            "Name the photographs as seen from that folder, or give --data the table that does",
        )
    _refuse_odd_labels(labels, _called(parsed, label), place)
    return list(labels.items())


def _labels_of(parsed: Table, file: int, label: int, photographs: PhotographNames, place: str) -> dict[str, str]:
    """Photograph -> label. The error about a mistake lists all rows with the first kind of mistake."""
    labels: dict[str, str] = {}
    mistakes: dict[str, list[tuple[int, str]]] = {}  # by what is to be done about them
    for number, row in zip(parsed.numbers, parsed.rows, strict=True):
        cell, written, value = row[file], row[file].strip(), row[label].strip()
        fits = photographs.matching(cell) or [written]
        name = fits[0]
        if len(row) > len(parsed.header):
            mistake = f"has {len(row)} cells, where the first line has {len(parsed.header)}"
            remedy = "Put a name with a comma in it into quotation marks"
        elif not written or not value:
            mistake, remedy = "has no file name or no label", "Complete or remove the row"
        elif len(fits) > 1:
            mistake = f"names {written}, which fits {fits[0]} and {fits[1]}"
            remedy = "Write the whole path of the one that is meant, with its suffix"
        elif name not in photographs.names and leads_elsewhere(name):
            mistake = f"names {written!r}, which is not below that folder"
            remedy = "Move or link the photograph there, and name it as seen from the folder"
        elif name in labels:
            mistake, remedy = f"lists {written} again", "Keep one row for each photograph"
        else:
            labels[name] = value
            continue
        mistakes.setdefault(remedy, []).append((number, mistake))
    for remedy, rows in mistakes.items():
        more = and_more([number for number, _ in rows[1:]], "rows like it")
        listed = [f"row {number} {mistake}" for number, mistake in rows]
        raise DatasetError(f"{place}, {listed[0]}{more}", remedy, listed)
    return labels


def _choose_columns(parsed: Table, photographs: PhotographNames, place: str) -> tuple[int, int]:
    """The positions of the file column and of the label column."""
    header = [one_form(column.strip().lower()) for column in parsed.header]

    def called(names: Sequence[str]) -> list[int]:
        return [position for column in names for position, name in enumerate(header) if name == column]

    file = _file_column(parsed, photographs, header, place)
    if file is None:
        file = next(iter(called(FILE_COLUMNS)), None)
    named = [position for position in called(LABEL_COLUMNS) if position != file]
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
    """The position of the column whose values are the photographs, if there is one."""
    columns = [column for position in range(len(header)) if (column := _match(parsed, position, photographs)).matches]
    candidates = [column for column in columns if header[column.number] not in LABEL_COLUMNS] or columns
    once = [column for column in candidates if not column.repeats]
    if not once:  # its rows will be refused, for they list a photograph twice
        return max(candidates, key=lambda column: column.matches).number if candidates else None
    rank = {name: position for position, name in enumerate(FILE_COLUMNS)}
    once.sort(key=lambda column: (-column.matches, rank.get(header[column.number], len(rank)), column.number))
    unbeaten = [column for column in once if not any(_beats(other, column) for other in once)]
    for other in unbeaten[1:]:
        if _differ(unbeaten[0], other):
            raise _ambiguity("photographs", parsed, unbeaten[0].number, other.number, place)
    return unbeaten[0].number


def _match(parsed: Table, position: int, photographs: PhotographNames) -> _FileColumn:
    values = _column(parsed, position)
    raw = [row[position] for row in parsed.rows]
    fits = {cell: photographs.matching(cell) if cell.strip() else [] for cell in set(raw)}
    named = [fits[cell][0] if len(fits[cell]) == 1 else None for cell in raw]
    filled = [value for value in values if value]
    return _FileColumn(
        position,
        named,
        len(set(named) - {None}),
        len(set(filled)) < len(filled),
        2 * sum(value.lower().endswith(PHOTO_SUFFIXES) for value in filled) > len(filled),
    )


def _beats(one: _FileColumn, other: _FileColumn) -> bool:
    """Whether one column names photographs, and the other fits them by chance, as a running number may."""
    if not _differ(one, other) or (other.has_suffixes and not one.has_suffixes):
        return False
    return one.matches > other.matches * (1 if one.has_suffixes > other.has_suffixes else 2)


def _differ(one: _FileColumn, other: _FileColumn) -> bool:
    """Whether two columns name different photographs in some row, or never both name one."""
    both = [pair for pair in zip(one.photographs, other.photographs, strict=True) if None not in pair]
    return not both or any(first != second for first, second in both)


def _ambiguity(what: str, parsed: Table, one: int, other: int, place: str) -> DatasetError:
    one, other = sorted((one, other))
    first = parsed.rows[0]
    return DatasetError(
        f"{place}: the columns {_called(parsed, one)} and {_called(parsed, other)} could both be that of the {what} "
        f"({first[one].strip()} and {first[other].strip()} in the first row), and they do not say the same",
        "Remove the one that is not, or give --data a copy without it",
    )


def _are_classes(values: Sequence[str]) -> bool:
    """Whether the values of a column without a known name can be classes: some occur again, and none is like 63.5."""
    try:
        fractions = [value for value in set(values) if not tables.parse_number(value).is_integer()]
    except (ValueError, OverflowError):
        fractions = []
    return len(set(values)) < len(values) and not fractions


def _refuse_odd_labels(labels: dict[str, str], column: str, place: str) -> None:
    """Refuse labels that would become unwanted classes: several labels in a cell, or one number in two spellings."""
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
            same = numbers.setdefault(tables.parse_number(value), value)
        except ValueError:
            continue
        if same != value and ("." in value + same or "," in value + same):
            raise DatasetError(
                f"{place}: the column {column} holds {same!r} and {value!r}, which are one number",
                "Write each class in one way",
            )


def _column(parsed: Table, position: int) -> list[str]:
    """The values of a column, without blanks around them."""
    return [row[position].strip() for row in parsed.rows]


def _called(parsed: Table, position: int) -> str:
    name = parsed.header[position].strip()
    same = [column for column in parsed.header if column.strip() == name]
    return name if name and len(same) == 1 else f"{name or 'without a name'} (the {position + 1}. from the left)"

"""A label table: which of its columns names the photographs, which holds their labels, and what its rows are.

Content decides. The file column is the one whose values are the photographs. Two columns that could be it are refused.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from catsdogs.errors import DatasetError, and_more, in_short
from catsdogs.files import tables
from catsdogs.files.tables import NoTableError, Table
from catsdogs.photographs import label_cells
from catsdogs.photographs.filetypes import PHOTO_SUFFIXES
from catsdogs.photographs.label_cells import PLAIN, Form
from catsdogs.photographs.label_columns import (
    LABEL_COLUMNS,
    Wanted,
    ambiguity,
    are_classes,
    called,
    label_columns,
    values_of,
)
from catsdogs.photographs.names import leads_elsewhere, natural_key, one_form, without_suffix

FILE_COLUMNS = ("id", "file", "filename", "file_name", "image", "image_id", "path", "name")


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


class Labels(NamedTuple):
    """What tells the labels.

    Attributes:
        source: the file that they are from; empty for names of photographs.
        labelled: (photograph, label) of each.
        form: what kind of labels they are.
        columns: of a table, the names of those that hold them, and of that which names the photographs.
    """

    source: str
    labelled: list[tuple[str, str]]
    form: Form = PLAIN
    columns: tuple[str, ...] = ()


class PhotographNames:
    """The spellings by which a table may name photographs.

    Strictest first: the path, the path below the split, the file name; each with its suffix or without.
    """

    def __init__(self, groups: Iterable[Sequence[str]], below: Callable[[str], str]) -> None:
        """Groups of names: a spelling that fits one of an earlier group is not looked for in later groups."""
        self._groups, self._below = [*groups], below
        self.names = {name for names in self._groups for name in names}
        self._spellings: list[dict[str, tuple[int, list[str]]]] = []

    def matching(self, spelling: str) -> list[str]:
        """The names that a table may mean by this spelling."""
        form = one_form(spelling)
        if self._groups and (fit := self._spellings_of(0).get(form)):
            return fit[1]
        variants = dict.fromkeys(
            variant
            for bare in (form, form.strip())
            for variant in (bare, bare.replace("\\", "/"), bare.replace("\\", "/").removeprefix("./"))
        )
        for number in range(len(self._groups)):
            known = self._spellings_of(number)
            fits = [known[variant] for variant in variants if variant in known]
            if fits:
                return min(fits, key=lambda fit: fit[0])[1]
            if below := self._ends_of_paths(known, variants):
                return below
        return []

    @staticmethod
    def _ends_of_paths(known: Mapping[str, tuple[int, list[str]]], variants: Iterable[str]) -> list[str]:
        """The names that end as a spelling with folders does: it may be seen from a folder further down."""
        for variant in variants:
            folder, _, last = variant.rpartition("/")
            _, alike = known.get(last, (0, [])) if folder else (0, [])
            found = [name for name in alike if variant in _tails(name, variant.count("/"))]
            if found:
                return found
        return []

    def _spellings_of(self, group: int) -> dict[str, tuple[int, list[str]]]:
        """Spelling -> how strict it is, 0 the strictest, and the names of a group that it fits. Made when asked for."""
        while len(self._spellings) <= group:
            names = self._groups[len(self._spellings)]
            known: dict[str, tuple[int, list[str]]] = {}
            written: list[Sequence[str]] = []
            for whole in (str, self._below, lambda name: name.rpartition("/")[2]):
                spelt = [one_form(whole(name)) for name in names]
                if spelt not in written:  # below a split there may be no folders, so that two are the same
                    written.append(spelt)
            for level, keys in enumerate(way for ways in written for way in (ways, [*map(without_suffix, ways)])):
                for name, key in zip(names, keys, strict=True):
                    first_level, fits = known.setdefault(key, (level, []))
                    if first_level == level:
                        fits.append(name)
            self._spellings.append(known)
        return self._spellings[group]


def _tails(name: str, folders: int) -> tuple[str, str]:
    """The last part of a path, of so many folders, with its suffix and without."""
    tail = one_form("/".join(name.split("/")[-1 - folders :]))
    return tail, without_suffix(tail)


def choose_label_table(
    texts: Mapping[str, str], photographs: PhotographNames, wanted: Wanted, root: str, kind: str = ""
) -> Labels | None:
    """Of these tables with their texts, the labels of that which tells those of the most photographs.

    What fits a sample submission better goes before what tells more. `kind` is that of labels, if a person gave it.

    Raises:
        DatasetError: two tables fit alike, and do not say the same; or as `read_label_table`.
    """
    ranked, unclear = [], list[tuple[int, DatasetError]]()
    for name, text in texts.items():
        with contextlib.suppress(NoTableError):
            parsed = _padded(tables.parse_table(text))
            columns = [_match(parsed, number, photographs) for number in range(len(parsed.header))]
            file = max(columns, key=lambda column: (column.matches, -column.number), default=None)
            if not file or not file.matches:
                continue
            try:
                labels = label_columns(parsed, file.number, wanted, f"{root}: {name}")
            except DatasetError as error:
                unclear.append((file.matches, error))
                continue
            if labels:
                ranked.append(((labels.fit, not file.repeats, file.matches), name, parsed, columns))
    ranked.sort(key=lambda entry: entry[0], reverse=True)
    for matches, question in unclear:  # not asked where a table that is clear tells as much
        if not ranked or matches > ranked[0][0][2]:
            raise question
    if not ranked:
        return None
    alike = [entry for entry in ranked if entry[0] == ranked[0][0]]
    found = [
        _read_parsed(name, parsed, photographs, root, wanted, columns, kind) for _, name, parsed, columns in alike[:2]
    ]
    if any(sorted(other.labelled) != sorted(found[0].labelled) for other in found[1:]):
        names = [name for _, name, *_ in alike]
        raise DatasetError(
            f"{root}: the tables {in_short(names)} could both hold the labels, and they do not say the same",
            f"Say which with --labels, such as --labels {names[0]}",
        )
    return found[0]


def naming_column(parsed: Table, photographs: PhotographNames) -> tuple[int, list[str | None]] | None:
    """The number of the column that names most of these photographs, and that of each row; None where none does."""
    padded = _padded(parsed)
    columns = [_match(padded, number, photographs) for number in range(len(parsed.header))]
    best = max(columns, key=lambda column: (column.matches, -column.number), default=None)
    return (best.number, best.photographs) if best and best.matches else None


def refuse_unclear_columns(texts: Mapping[str, str], photographs: PhotographNames, root: str) -> None:
    """Ask which column has the labels, where a table names most photographs and no column of it is like labels.

    Raises:
        DatasetError: there is such a table.
    """
    for name, text in texts.items():
        with contextlib.suppress(NoTableError):
            parsed = _padded(tables.parse_table(text))
            columns = [_match(parsed, number, photographs) for number in range(len(parsed.header))]
            if 2 * max((column.matches for column in columns), default=0) > len(photographs.names):
                raise DatasetError(
                    f"{root}: {name} names the photographs, and none of its columns "
                    f"{tables.in_line(parsed.header, parsed.delimiter)} is called or filled as the sample submission's",
                    f"Say which has the labels with --labels, such as --labels {name}:{parsed.header[-1].strip()}",
                )


def read_label_table(
    table: str, text: str, photographs: PhotographNames, root: str, wanted: Wanted | None = None, kind: str = ""
) -> Labels:
    """The label of each row; a row may name a photograph that is not there, but not all of them may.

    The label column is found by what is `wanted`, else by its name or content alone. `kind` is that of labels, if a
    person gave it.

    Raises:
        DatasetError: no table; two columns that could name the photographs, or the labels; a row that is incomplete, or
            names a photograph again, several photographs, or one outside of the folder.
    """
    try:
        parsed = _padded(tables.parse_table(text))
    except NoTableError as error:
        raise DatasetError(f"{root}: {table} is not a table: {error}", "Save it as CSV, in UTF-8") from None
    columns = [_match(parsed, number, photographs) for number in range(len(parsed.header))]
    return _read_parsed(table, parsed, photographs, root, wanted, columns, kind)


def _read_parsed(
    table: str,
    parsed: Table,
    photographs: PhotographNames,
    root: str,
    wanted: Wanted | None,
    candidates: Sequence[_FileColumn],
    kind: str,
) -> Labels:
    place = f"{root}: {table}"
    file, columns = _choose_columns(parsed, candidates, place, wanted)
    if not parsed.rows:
        raise DatasetError(f"{place} has no rows", "List one photograph and its label on each row")
    form, may_be_none = PLAIN, False
    if len(columns) > 1:
        values, form = label_cells.of_columns(parsed, columns, wanted or Wanted(), kind, place)
    else:
        values = values_of(parsed, columns[0])
        may_be_none = label_cells.are_lists(values, kind, parsed.delimiter)
    labels = _labels_of(parsed, file, values, photographs, place, wanted is not None, may_be_none)
    if not any(name in photographs.names for name in labels):
        raise DatasetError(
            f"{place} names none of the {len(photographs.names):,} photographs, whose names are like "
            f"{min(photographs.names, key=natural_key)}; its column {called(parsed, file)} holds {next(iter(labels))}",
            "Name the photographs as seen from that folder, or give --data the table that does",
        )
    if len(columns) == 1:
        column = called(parsed, columns[0])
        labels, form = label_cells.of_column(labels, wanted, kind, column, place, parsed.delimiter)
    return Labels(
        table, list(labels.items()), form, tuple(parsed.header[number].strip() for number in (file, *columns))
    )


def _padded(parsed: Table) -> Table:
    """The table, whose rows have a cell for each column."""
    for row in parsed.rows:
        row += [""] * (len(parsed.header) - len(row))
    return parsed


def _labels_of(
    parsed: Table,
    file: int,
    values: Sequence[str],
    photographs: PhotographNames,
    place: str,
    may_be_empty: bool,
    may_be_none: bool,
) -> dict[str, str]:
    """Photograph -> label. The error about a mistake lists all rows with the first kind of mistake.

    Rows without a label of other photographs than these `may_be_empty`: they are asked for. Photographs `may_be_none`
    where cells list labels: they have none.
    """
    labels: dict[str, str] = {}
    mistakes: dict[str, list[tuple[int, str]]] = {}  # by what is to be done about them
    for number, row, value in zip(parsed.numbers, parsed.rows, values, strict=True):
        cell, written = row[file], row[file].strip()
        fits = photographs.matching(cell) or [written]
        name = fits[0]
        if len(row) > len(parsed.header):
            mistake = f"has {len(row)} cells, where the first line has {len(parsed.header)}"
            remedy = "Put a name with a comma in it into quotation marks"
        elif may_be_empty and written and not value and name not in photographs.names:
            continue
        elif not written or not (value or may_be_none):
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


def _choose_columns(
    parsed: Table, candidates: Sequence[_FileColumn], place: str, wanted: Wanted | None
) -> tuple[int, tuple[int, ...]]:
    """The positions of the file column and of the label column, or of those of all classes."""
    header = [one_form(column.strip().lower()) for column in parsed.header]

    def called(names: Sequence[str]) -> list[int]:
        return [position for column in names for position, name in enumerate(header) if name == column]

    file = _file_column(parsed, candidates, header, place)
    if file is None:
        file = next(iter(called(FILE_COLUMNS)), None)
    if wanted and file is not None and (chosen := label_columns(parsed, file, wanted, place)):
        return file, chosen.numbers
    named = [position for position in called(LABEL_COLUMNS) if position != file]
    labels = [position for position in named if any(values_of(parsed, position))] or named[:1]
    if file is not None and not labels and parsed.rows:
        others = [position for position in range(len(header)) if position != file and any(values_of(parsed, position))]
        labels = others if len(others) == 1 and are_classes(values_of(parsed, others[0])) else []
    if file is None or not labels:
        raise DatasetError(
            f"{place} has the columns {tables.in_line(parsed.header, parsed.delimiter)}",
            f"Its first line must name a file column ({', '.join(FILE_COLUMNS)}) and a label column "
            f"({', '.join(LABEL_COLUMNS)})",
        )
    for other in labels[1:]:
        pairs = set(zip(values_of(parsed, labels[0]), values_of(parsed, other), strict=True))
        if not len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs}):
            raise ambiguity("labels", parsed, labels[0], other, place)
    return file, (labels[0],)


def _file_column(parsed: Table, matched: Sequence[_FileColumn], header: Sequence[str], place: str) -> int | None:
    """The position of the column whose values are the photographs, if there is one."""
    columns = [column for column in matched if column.matches]
    candidates = [column for column in columns if header[column.number] not in LABEL_COLUMNS] or columns
    once = [column for column in candidates if not column.repeats]
    if not once:  # its rows will be refused, for they list a photograph twice
        return max(candidates, key=lambda column: column.matches).number if candidates else None
    rank = {name: position for position, name in enumerate(FILE_COLUMNS)}
    once.sort(key=lambda column: (-column.matches, rank.get(header[column.number], len(rank)), column.number))
    unbeaten = [column for column in once if not any(_beats(other, column) for other in once)]
    for other in unbeaten[1:]:
        if _differ(unbeaten[0], other):
            raise ambiguity("photographs", parsed, unbeaten[0].number, other.number, place)
    return unbeaten[0].number


def _match(parsed: Table, position: int, photographs: PhotographNames) -> _FileColumn:
    values = values_of(parsed, position)
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

"""A sample submission: which photographs are asked for, how their ids are written, and what is wanted of each."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from posixpath import basename
from typing import NamedTuple

from catsdogs.errors import DatasetError, and_more, in_short
from catsdogs.files import tables
from catsdogs.files.tables import NoTableError, Table
from catsdogs.photographs.names import one_form, without_suffix

_REMEDY = "Give the sample submission as the competition publishes it"
_INDEX = re.compile(r"(Unnamed: \d+)?")  # how pandas writes and calls a column without a name


class Sample(NamedTuple):
    """A sample submission that names photographs.

    Attributes:
        name, text: of its file.
        id_column, ids: the column of ids, and its values, row by row.
        targets: the names of the other columns, without one that only numbers the rows.
        values: target -> its values, row by row.
        id_form: in words, how the ids are written.
        asked: id -> the name of the photograph that it means.
        missing: the ids that mean no photograph.
        several: id -> the names of the photographs that it may mean, where those are several.
    """

    name: str
    text: str
    id_column: str
    ids: list[str]
    targets: tuple[str, ...]
    values: dict[str, list[str]]
    id_form: str
    asked: dict[str, str]
    missing: list[str]
    several: dict[str, Sequence[str]]

    @property
    def id_of(self) -> dict[str, str]:
        """The name of each photograph that is asked for -> its id."""
        return {name: id for id, name in self.asked.items()}


def is_sample(table: str) -> bool:
    """Whether a table's name is that of a sample submission, such as stage2_sampleSubmission.csv."""
    name = basename(table).lower()
    return "sample" in name and "submission" in name and name.endswith(".csv")


def is_index(column: str) -> bool:
    """Whether a column's name is that of a column without one, which pandas writes to number rows."""
    return _INDEX.fullmatch(column.strip()) is not None


def choose_sample(texts: Mapping[str, str], root: str) -> str | None:
    """The name of the sample submission among tables of such names, given with their texts; None if there is none.

    Raises:
        DatasetError: there are several, and they do not say the same.
    """
    names = sorted(texts, key=lambda name: (name.count("/"), len(name), name))
    others = [name for name in names if texts[name] != texts[names[0]]]
    if others:
        raise DatasetError(
            f"{root} holds several sample submissions, which differ: {in_short([names[0], *others])}",
            "Give --data the path of the one that is to be answered, or move the others away",
        )
    return names[0] if names else None


def read_sample(
    name: str,
    text: str,
    matching: Callable[[str], Sequence[str]],
    meanings: Callable[[], Iterable[tuple[str, Mapping[str, str]]]],
    root: str,
) -> Sample:
    """What a sample submission asks for.

    Args:
        matching: the names of the photographs that an id may mean.
        meanings: further tables of ids, asked for where ids are no names: their own name, and id -> photograph.

    Raises:
        DatasetError: no table, no rows, no column but ids, an id twice, or none that means a photograph.
    """
    place = f"{root}: {name}"
    try:
        parsed = tables.parse_table(text)
    except NoTableError as error:
        raise DatasetError(f"{place} is not a table: {error}", _REMEDY) from None
    columns = [number for number, column in enumerate(parsed.header) if not is_index(column)]
    if len(columns) < 2:
        raise DatasetError(
            f"{place} has the columns {tables.in_line(parsed.header, parsed.delimiter)}: none says what is wanted",
            _REMEDY,
        )
    if not parsed.rows:
        raise DatasetError(f"{place} has no rows, so it asks for no photographs", _REMEDY)
    _refuse_ragged(parsed, place)
    column, asked, id_form = _ids_among(parsed, columns, matching, meanings)
    ids = [row[column].strip() for row in parsed.rows]
    several = {id: names for id in ids if id not in asked and len(names := matching(id)) > 1}
    _refuse_repeated(parsed, ids, place)
    targets = [number for number in columns if number != column]
    return Sample(
        name,
        text,
        parsed.header[column].strip(),
        ids,
        tuple(parsed.header[number].strip() for number in targets),
        {parsed.header[number].strip(): [row[number].strip() for row in parsed.rows] for number in targets},
        id_form,
        asked,
        [id for id in ids if id not in asked and id not in several],
        several,
    )


def refuse_missing(sample: Sample, names: Sequence[str], root: str) -> None:
    """Refuse a sample that asks for photographs that are not there.

    Raises:
        DatasetError: it names them, and says how ids and files are written.
    """
    if sample.several:
        id, (one, other, *_) = next(iter(sample.several.items()))
        raise DatasetError(
            f"{root}: {sample.name} asks for {id}, which may be {one} or {other}"
            f"{and_more([*sample.several][1:], 'ids like it')}",
            f"Say which folder holds the photographs, such as --images {one.rpartition('/')[0] or '.'}",
            sample.several,
        )
    if sample.missing:
        raise DatasetError(
            f"{root}: {sample.name} asks for {len(sample.missing):,} photographs that are not there: "
            f"{in_short(sample.missing)}; its ids are {_form_of(sample.missing[0])}, files are like {min(names)}",
            "Add these photographs, or give the sample submission of these",
            sample.missing,
        )
    twice: dict[str, str] = {}
    for id, name in sample.asked.items():
        if (first := twice.setdefault(name, id)) != id:
            raise DatasetError(
                f"{root}: {sample.name} asks for {name} by two ids, {first} and {id}", "Keep one row for each"
            )


def _ids_among(
    parsed: Table,
    columns: Sequence[int],
    matching: Callable[[str], Sequence[str]],
    meanings: Callable[[], Iterable[tuple[str, Mapping[str, str]]]],
) -> tuple[int, dict[str, str], str]:
    """The number of the column whose values are photographs, what its ids mean, and how they are written."""
    best: tuple[int, dict[str, str], str] = columns[0], {}, ""
    for column in columns:
        found = {}
        for id in dict.fromkeys(row[column].strip() for row in parsed.rows):
            if id and len(names := matching(id)) == 1:
                found[id] = names[0]
        if len(found) > len(best[1]):
            best = column, found, _written(found)
    if len(best[1]) < len(parsed.rows):
        for told, meaning in meanings():
            for column in columns:
                found = {id: meaning[id] for id in (row[column].strip() for row in parsed.rows) if id in meaning}
                if len(found) > len(best[1]):
                    best = column, found, f"as {told} numbers them"
    return best


def _written(found: Mapping[str, str]) -> str:
    """How ids are written that mean these photographs."""
    id, name = next(iter(found.items()))
    for form, written in (
        ("without suffix", without_suffix(basename(name))),
        ("with suffix", basename(name)),
        ("paths without suffix", without_suffix(name)),
        ("paths", name),
    ):
        if one_form(id) == one_form(written):
            return form
    return "parts of paths" if "/" in id else "as in the files' names"


def _form_of(id: str) -> str:
    """How an id is written that means no photograph."""
    kind = "numbers" if id.isdecimal() else "without suffix" if without_suffix(id) == id else "with suffix"
    return f"{kind}{', with folders' if '/' in id else ''}, such as {id}"


def _refuse_ragged(parsed: Table, place: str) -> None:
    wrong = [
        (number, len(row)) for number, row in zip(parsed.numbers, parsed.rows, strict=True)
        if len(row) != len(parsed.header)
    ]  # fmt: skip
    if wrong:
        more = and_more([number for number, _ in wrong[1:]], "rows like it")
        raise DatasetError(
            f"{place}, row {wrong[0][0]} has {wrong[0][1]} cells, where the first line has {len(parsed.header)}{more}",
            _REMEDY,
        )


def _refuse_repeated(parsed: Table, ids: Sequence[str], place: str) -> None:
    first: dict[str, int] = {}
    again = [
        (number, id) for number, id in zip(parsed.numbers, ids, strict=True) if first.setdefault(id, number) != number
    ]
    if again:
        number, id = again[0]
        more = and_more([number for number, _ in again[1:]], "rows like it")
        raise DatasetError(
            f"{place}, row {number} asks for {id} again, first asked for in row {first[id]}{more}", _REMEDY
        )

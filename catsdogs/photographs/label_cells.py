"""The cells of a label table -> the label of each photograph as a text, and whether those are classes, lists, numbers.

Content decides. Where it hesitates, and where a person knows better, `--kind` says.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from catsdogs.errors import DatasetError, and_more, in_short
from catsdogs.files import tables
from catsdogs.files.tables import Table
from catsdogs.photographs.label_columns import Wanted, as_number
from catsdogs.photographs.label_texts import NO_LABEL, SEPARATOR, text_of
from catsdogs.photographs.names import Names, natural_key, one_form
from catsdogs.photographs.task import BINARY, CLASSES, LABEL_COLUMN, LABELS, NUMBER, ORDINAL

_STRONG, _WEAK = ("|", ";"), (",", " ")  # between several labels in one cell; the second stand in names, too
_MOST_WORDS = 0.05  # the share of labels that may be taken for mistakes among numbers
_TOKEN_REPEATS = 3  # how often each word occurs, on average, where cells list several labels
_OF_ONE_CLASS = (BINARY, CLASSES, ORDINAL)


class Form(NamedTuple):
    """What kind of labels were read.

    Attributes:
        kind: `labels` or `number`; empty for classes.
        names: of labels, all that there are; of numbers, what they are of.
        separator: what stands between the labels in a cell; empty where each has a column.
    """

    kind: str = ""
    names: tuple[str, ...] = ()
    separator: str = ""


PLAIN = Form()


def of_columns(parsed: Table, columns: Sequence[int], wanted: Wanted, kind: str, place: str) -> tuple[list[str], Form]:
    """The label of each row by several columns, one for each of the targets; empty where all of them are.

    They hold 0 and 1, and a row's label is the one column with 1, or those with 1; or they hold numbers.

    Args:
        kind: that a person gave, if any.

    Raises:
        DatasetError: other values; whole numbers of which nothing says whether they are to be predicted.
    """
    header = [parsed.header[number].strip() for number in columns]
    rows = [[row[column].strip() for column in columns] for row in parsed.rows]
    values = [_numbers_of(cells, kind != NUMBER) if any(cells) else [] for cells in rows]
    flags = [row is not None and set(row) <= {0.0, 1.0} for row in values]
    if kind == NUMBER or (not all(flags) and kind in ("", NUMBER) and None not in values):
        _refuse_gaps(parsed, values, header, rows, place)
        numbers = [row or [] for row in values]
        if kind != NUMBER and not _says_number((one for row in numbers for one in row), wanted):
            raise _neither(parsed.numbers[flags.index(False)], header, rows[flags.index(False)], place)
        return [SEPARATOR.join(map(_plain, row)) for row in numbers], Form(NUMBER, wanted.targets)
    if not all(flags):
        wrong = flags.index(False)
        raise DatasetError(
            f"{place}, row {parsed.numbers[wrong]}: the columns {in_short(header)} hold {in_short(rows[wrong])}, "
            "not 0 and 1",
            "Write 0 and 1 there, or say with --labels which column has the labels",
        )
    marked = [[number for number, value in enumerate(row or ()) if value] for row in values]
    odd = [number for number, row, ones in zip(parsed.numbers, values, marked, strict=True) if row and len(ones) != 1]
    if kind == LABELS or (odd and not kind):
        refuse_bars(wanted.targets, place)
        texts = [
            text_of([wanted.targets[number] for number in of_row], wanted.targets) if row else ""
            for row, of_row in zip(values, marked, strict=True)
        ]
        return texts, Form(LABELS, wanted.targets)
    if odd:
        raise DatasetError(
            f"{place}: {len(odd):,} of {len(rows):,} rows, such as row {odd[0]}, hold 1 in several of the columns "
            f"{in_short(header)}, or in none",
            f"Leave --kind {kind} out, or mend these rows",
        )
    return [header[of_row[0]] if of_row else "" for of_row in marked], PLAIN


def _neither(number: int, header: Sequence[str], cells: Sequence[str], place: str) -> DatasetError:
    """What is wrong with a row of whole numbers that are not all 0 and 1."""
    odd = [cell for cell in cells if as_number(cell) not in (0, 1)]
    return DatasetError(
        f"{place}, row {number}: the columns {in_short(header)} hold {in_short(odd)}, which is neither 0 nor 1",
        "Give --kind number, if those are to be predicted; else mend the row, or say with --labels where labels are",
    )


def of_column(
    labels: Mapping[str, str], wanted: Wanted | None, kind: str, column: str, place: str, delimiter: str = ","
) -> tuple[dict[str, str], Form]:
    """Photograph -> label by one column, whose cells are classes, numbers, or lists of labels.

    Args:
        wanted: by a sample submission, if there is one.
        kind: that a person gave, if any.
        column: its name; empty where labels are in the names of photographs.
        delimiter: between the table's cells: where that is no comma, a comma in a number is that of a fraction.

    Raises:
        DatasetError: cells that may be lists of labels or names of several words; one number in two spellings.
    """
    values = set(labels.values())
    if kind in (NUMBER, ORDINAL) or (not kind and wanted and _are_nearly_numbers(labels, wanted)):
        _refuse_words(labels, column, place)
    if kind not in _OF_ONE_CLASS:
        if kind == NUMBER or (not kind and is_fractional(values, wanted) and not _lists_in(values, delimiter).is_sure):
            return _as_numbers(labels, wanted, column, place)
        lists = _lists_in(values, delimiter)
        if kind == LABELS or lists.is_sure:
            return _as_lists(labels, wanted, lists.separator, place)
        if lists.example:
            raise DatasetError(
                f"{place}: {_what(column, 'may hold')} several labels in a row, such as {lists.example!r}",
                "Say so with --kind labels; or with --kind classes, that each of its cells is the name of one class",
            )
    _refuse_spellings(values, column, place)
    return dict(labels), PLAIN


def are_lists(values: Collection[str], kind: str, delimiter: str = ",") -> bool:
    """Whether a column's cells are lists of labels, so that an empty one is a photograph without any."""
    return kind == LABELS or (not kind and _lists_in({*values} - {""}, delimiter).is_sure)


def is_fractional(values: Collection[str], wanted: Wanted | None) -> bool:
    """Whether a column's values are numbers that are no classes, and fit a sample submission, if there is one."""
    numbers = [as_number(value) for value in values]
    if None in numbers or not any(number is not None and not number.is_integer() for number in numbers):
        return False
    return not wanted or (
        len(wanted.targets) <= 1 and all(as_number(value) is not None for value in wanted.values if value)
    )


class _Lists(NamedTuple):
    """Whether cells are lists of labels.

    Attributes:
        separator: one of `_STRONG` and `_WEAK`; empty if none stands in a cell.
        is_sure: the cells are such lists.
        example: a cell that may be one, where they are not sure to be.
    """

    separator: str = ""
    is_sure: bool = False
    example: str = ""


def _lists_in(values: Collection[str], delimiter: str) -> _Lists:
    """What cells say of lists. Some list labels of which each stands alone in others; or few words, in many ways."""
    found = _Lists()
    for separator in (*_STRONG, *_WEAK):
        lists = {value: _parts(value, separator) for value in sorted(values) if separator in value}
        if separator == "," and delimiter != ",":  # a comma is that of a fraction
            lists = {value: parts for value, parts in lists.items() if as_number(value) is None}
        if not lists:
            continue
        alone = [value for value, parts in lists.items() if {*parts} <= {*values}]
        are_numbers = separator == "," and all(as_number(value) is not None for value in values)  # 0,5 may be half
        is_sure = len(alone) == len(lists) or (alone and separator in _STRONG)
        if is_sure or _is_listed(list(lists.values()), separator) or _are_completed(lists, values, separator):
            return _Lists(separator, is_sure=True)
        example = found.example or ("" if are_numbers or not alone else alone[0])
        found = _Lists(found.separator or separator, example=example)
    return found


def _is_listed(lists: Sequence[Sequence[str]], separator: str) -> bool:
    """Whether cells list several labels, of which few ever stand alone; names of two words are no such lists.

    Cells of lists have few words in many combinations, and lists of different lengths; or they are all of numbers.
    """
    words = {word for parts in lists for word in parts}
    is_repeated = sum(map(len, lists)) >= _TOKEN_REPEATS * len(words) and len(words) < len(lists)
    is_of_numbers = all(as_number(word) is not None for word in words)
    if is_of_numbers and separator == ",":  # 0,5 may be half
        is_of_numbers = any(len(parts) > 2 for parts in lists)
    return is_of_numbers or (is_repeated and len({*map(len, lists)}) > 1)


def _are_completed(lists: Mapping[str, Sequence[str]], values: Collection[str], separator: str) -> bool:
    """Whether each cell names a label that stands alone elsewhere, and others that complete several cells.

    As in `Drama` beside `Drama, Science Fiction` and `Action, Science Fiction`. Blanks alone say no such thing:
    a `black bear` and a `brown bear` may stand beside `black`.
    """
    cells_of = Counter(word for parts in lists.values() for word in {*parts})
    return separator != " " and all(
        any(word in values for word in parts) and all(word in values or cells_of[word] > 1 for word in parts)
        for parts in lists.values()
    )


def _parts(value: str, separator: str) -> list[str]:
    return [part for word in value.split(separator) if (part := word.strip())] if separator else [value] * bool(value)


def _as_lists(
    labels: Mapping[str, str], wanted: Wanted | None, separator: str, place: str
) -> tuple[dict[str, str], Form]:
    """Lists as texts; the labels are in the order of the sample's columns, where it has one for each."""
    names = list(wanted.targets) if wanted and len(wanted.targets) > 1 else []
    parts = {value: _parts(value, separator) for value in {*labels.values()}}
    known, spelt = Names(names), dict[str, str]()
    for word in sorted({word for of_cell in parts.values() for word in of_cell}, key=natural_key):
        first = spelt.setdefault(one_form(word), known.find(word) or word)
        spelt[word] = first
        if first not in names:
            names.append(first)
    refuse_bars(names, place)
    texts = {value: text_of([spelt[word] for word in of_cell], names) for value, of_cell in parts.items()}
    between = Counter(
        found for value in parts for found in re.findall(rf"\s*{re.escape(separator)}\s*", value) if separator
    )
    written = between.most_common(1)[0][0] if between else ""
    return {name: texts[value] for name, value in labels.items()}, Form(
        LABELS, tuple(names), " " if written.isspace() else written
    )


def _are_nearly_numbers(labels: Mapping[str, str], wanted: Wanted) -> bool:
    """Whether a sample submission has numbers, and so have all labels but a few, which then are mistakes."""
    asked = [value for value in wanted.values if value]
    if len(wanted.targets) > 1 or not asked or any(as_number(value) is None for value in asked):
        return False
    counts = Counter(labels.values())
    numbers = [value for value in counts if as_number(value) is not None]
    words = len(labels) - sum(counts[value] for value in numbers)
    return len(numbers) > 2 and 0 < words <= _MOST_WORDS * len(labels)


def _refuse_words(labels: Mapping[str, str], column: str, place: str) -> None:
    """Refuse labels that are no numbers, by the photographs that have them."""
    odd = [name for name, value in labels.items() if as_number(value) is None]
    if odd:
        raise DatasetError(
            f"{place}: {_what(column, 'hold')} {labels[odd[0]]!r}, which is not a number, for {odd[0]}"
            f"{and_more(odd[1:], 'like it')}",
            "Mend these labels, say which column has them with --labels, or give another --kind",
            [f"{name}: {labels[name]}" for name in odd],
        )


def _as_numbers(
    labels: Mapping[str, str], wanted: Wanted | None, column: str, place: str
) -> tuple[dict[str, str], Form]:
    numbers = {value: as_number(value) for value in {*labels.values()}}
    names = wanted.targets if wanted and len(wanted.targets) == 1 else (column or LABEL_COLUMN,)
    texts = {value: _plain(number) for value, number in numbers.items() if number is not None}
    return {name: texts[value] for name, value in labels.items()}, Form(NUMBER, names)


def _numbers_of(cells: Sequence[str], blank_is_none: bool) -> list[float] | None:
    """The numbers in a row's cells, where an empty one may be 0; None if one is no number."""
    found = [as_number(cell) if cell or not blank_is_none else 0.0 for cell in cells]
    return None if None in found else [number for number in found if number is not None]


def _refuse_gaps(
    parsed: Table, values: Sequence[list[float] | None], header: Sequence[str], rows: Sequence[list[str]], place: str
) -> None:
    """Refuse rows of numbers in which one is missing, or is no number."""
    for number, row, cells in zip(parsed.numbers, values, rows, strict=True):
        if row is None or (row and not all(cells)):
            raise DatasetError(
                f"{place}, row {number}: the columns {in_short(header)} hold {in_short(cells)}, not a number in each",
                "Write the numbers that are missing, or remove the row",
            )


def _says_number(numbers: Iterable[float], wanted: Wanted) -> bool:
    """Whether labels, or what a sample submission has for them, are fractions as no class is called."""
    shown = [number for value in wanted.values if (number := as_number(value)) is not None]
    beyond = any(not 0 <= number <= 1 for number in shown) and any(not number.is_integer() for number in shown)
    return beyond or any(not number.is_integer() for number in numbers)


def _plain(number: float) -> str:
    """A number as people write it: 7, and 63.5."""
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else repr(number)


def _what(column: str, verb: str) -> str:
    """Which labels hold something: those in a column of a table, or in the names of photographs."""
    return (
        f"the column {column} {'holds' if verb == 'hold' else verb}" if column else f"the names of photographs {verb}"
    )


def refuse_bars(names: Sequence[str], place: str) -> None:
    """Refuse names of labels of which the text of several could not be told."""
    odd = [name for name in names if SEPARATOR in name or name == NO_LABEL]
    if odd:
        raise DatasetError(
            f"{place}: the label {odd[0]!r} cannot be told from several, or from none",
            f"Write it without {SEPARATOR}, and not as {NO_LABEL}",
        )


def _refuse_spellings(values: Collection[str], column: str, place: str) -> None:
    """Refuse one number in two spellings, which would become two classes."""
    numbers: dict[float, str] = {}
    for value in sorted(values):
        try:
            same = numbers.setdefault(tables.parse_number(value), value)
        except ValueError:
            continue
        if same != value and ("." in value + same or "," in value + same):
            raise DatasetError(
                f"{place}: {_what(column, 'hold')} {same!r} and {value!r}, which are one number",
                "Write each class in one way",
            )

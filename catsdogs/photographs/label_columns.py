"""The label column of a table: by what a sample submission asks for, else by its name, else by what stands in it."""

from collections.abc import Sequence
from typing import NamedTuple

from catsdogs.errors import DatasetError, in_short
from catsdogs.files import tables
from catsdogs.files.tables import Table
from catsdogs.photographs.names import loose, one_form

LABEL_COLUMNS = ("label", "class", "breed", "category", "target")
_LIKE_LABELS = (*LABEL_COLUMNS, "species", "cultivar", "individual", "diagnosis")  # such as category_id, class_name
_TOKEN_REPEATS = 3  # how often each word occurs, on average, where cells list several labels
_SEPARATORS = (" ", ",", ";", "|")  # between several labels in one cell
_NOT_YET = "Several labels for a photograph are not there yet: only one class for each can be learnt"


class Wanted(NamedTuple):
    """What a sample submission asks for, by which a label column is recognised.

    Attributes:
        targets: the names of the columns that are to be filled.
        values: what stands in them.
        column: the name of the label column, if a person gave it.
    """

    targets: tuple[str, ...] = ()
    values: frozenset[str] = frozenset()
    column: str = ""


class LabelColumns(NamedTuple):
    """Where a table has its labels: in one column, or in a column of 0 and 1 for each class.

    Attributes:
        numbers: of the columns.
        fit: how well they fit what is asked for; the best is 4, a column of classes with no other hint 0.
    """

    numbers: tuple[int, ...]
    fit: float


def label_columns(parsed: Table, file: int, wanted: Wanted, place: str) -> LabelColumns | None:
    """The columns that fit what is wanted best; None where none fits.

    Raises:
        DatasetError: a person named a column that is not there; two columns fit alike, and do not say the same.
    """
    header = [column.strip() for column in parsed.header]
    others = [number for number in range(len(header)) if number != file and any(values_of(parsed, number))]
    if wanted.column:
        named = [number for number, column in enumerate(header) if one_form(column) == one_form(wanted.column)]
        if not named:
            raise DatasetError(
                f"{place} has no column {wanted.column}; it has {tables.in_line(header, parsed.delimiter)}",
                "Give --labels the table, a colon, and the name of one of these",
            )
        return LabelColumns((named[0],), 4)
    places = {loose(header[number]): number for number in others}
    if len(wanted.targets) > 1 and all(loose(target) in places for target in wanted.targets):
        return LabelColumns(tuple(places[loose(target)] for target in wanted.targets), 4)
    fits = {number: _fit(header[number], values_of(parsed, number), wanted) for number in others}
    best = max(fits.values(), default=0)
    if best == 0 and len(flags := [number for number in others if _are_flags(values_of(parsed, number))]) == 1:
        return LabelColumns((flags[0],), 0.25)
    if best == 0:
        classes = [number for number in others if are_classes(values_of(parsed, number))]
        return LabelColumns((others[0],), 0) if len(others) == 1 == len(classes) else None
    first, *alike = [number for number, fit in fits.items() if fit == best]
    for other in alike:
        pairs = set(zip(values_of(parsed, first), values_of(parsed, other), strict=True))
        if not len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs}):
            raise ambiguity("labels", parsed, first, other, place)
    return LabelColumns((first,), best)


def _fit(name: str, values: Sequence[str], wanted: Wanted) -> float:
    """How well a column fits what is wanted: by its name as that of the only target, else by its values."""
    shown, called_so = set(values), loose(name)
    if len(wanted.targets) > 1:
        common = len({loose(value) for value in shown} & {loose(target) for target in wanted.targets})
        return 3 * common / max(len(shown), len(wanted.targets)) if common > 1 or common == len(shown) else 0
    target = loose("".join(wanted.targets))
    if target and called_so == target:
        return 3
    if target and (called_so.startswith(target) or target.startswith(called_so)):
        return 2
    words = {value for value in wanted.values if not _is_number(value)}
    if words & shown:
        return 1.5
    if name.strip().lower() in LABEL_COLUMNS:
        return 1
    return 0.5 if called_so.startswith(_LIKE_LABELS) else 0


def one_hot(parsed: Table, columns: Sequence[int], place: str) -> list[str]:
    """The label of each row: the name of the one of these columns that holds 1; empty where all of them are.

    Raises:
        DatasetError: other values than 0 and 1; rows with several labels, or none.
    """
    names = [parsed.header[number].strip() for number in columns]
    labels, wrong = [], []
    for number, row in zip(parsed.numbers, parsed.rows, strict=True):
        cells = [row[column].strip() for column in columns]
        try:
            values = [tables.parse_number(cell) if cell else 0.0 for cell in cells]
        except ValueError:
            values = [float("nan")]
        if not set(values) <= {0.0, 1.0}:
            raise DatasetError(
                f"{place}, row {number}: the columns {in_short(names)} hold {in_short(cells)}, not 0 and 1",
                "Numbers to be predicted are not there yet: only one class for each photograph can be learnt",
            )
        if sum(values) != 1 and any(cells):
            wrong.append(number)
        labels.append(names[values.index(1.0)] if 1.0 in values else "")
    if wrong:
        raise DatasetError(
            f"{place}: {len(wrong):,} of {len(labels):,} rows, such as row {wrong[0]}, hold 1 in several of "
            f"the columns {in_short(names)}, or in none",
            _NOT_YET,
        )
    return labels


def _are_flags(values: Sequence[str]) -> bool:
    """Whether a column holds 0 and 1, both, and nothing else."""
    return set(values) - {""} == {"0", "1"}


def _is_number(text: str) -> bool:
    try:
        tables.parse_number(text)
    except ValueError:
        return False
    return True


def refuse_odd_labels(labels: dict[str, str], column: str, place: str) -> None:
    """Refuse labels that would become unwanted classes: several labels in a cell, or one number in two spellings."""
    values = set(labels.values())
    for separator in _SEPARATORS:
        several = [
            value
            for value in sorted(values)
            if separator in value and {part.strip() for part in value.split(separator)} <= values
        ] or _listed(values, separator)
        if several:
            raise DatasetError(
                f"{place}: the column {column} holds several labels in a row, such as {several[0]!r}",
                _NOT_YET,
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


def _listed(values: set[str], separator: str) -> list[str]:
    """The cells that list several labels, of which few ever stand alone; names of two words are no such lists.

    Cells of lists have few words in many combinations, and lists of different lengths; or they are all of numbers.
    """
    lists = [value.split(separator) for value in sorted(values) if separator in value]
    words = {word.strip() for parts in lists for word in parts}
    if not lists:
        return []
    is_repeated = sum(map(len, lists)) >= _TOKEN_REPEATS * len(words) and len(words) < len(lists)
    is_of_numbers = separator != "," and all(map(_is_number, words))  # 0,5 may be half
    return [separator.join(lists[0])] if is_of_numbers or (is_repeated and len({*map(len, lists)}) > 1) else []


def are_classes(values: Sequence[str]) -> bool:
    """Whether the values of a column without a known name can be classes: some occur again, and none is like 63.5."""
    try:
        fractions = [value for value in set(values) if not tables.parse_number(value).is_integer()]
    except (ValueError, OverflowError):
        fractions = []
    return len(set(values)) < len(values) and not fractions


def ambiguity(what: str, parsed: Table, one: int, other: int, place: str) -> DatasetError:
    one, other = sorted((one, other))
    first = parsed.rows[0]
    return DatasetError(
        f"{place}: the columns {called(parsed, one)} and {called(parsed, other)} could both be that of the {what} "
        f"({first[one].strip()} and {first[other].strip()} in the first row), and they do not say the same",
        "Remove the one that is not, or say which with --labels, the table, a colon, and the column",
    )


def values_of(parsed: Table, position: int) -> list[str]:
    """The values of a column, without blanks around them."""
    return [row[position].strip() for row in parsed.rows]


def called(parsed: Table, position: int) -> str:
    name = parsed.header[position].strip()
    same = [column for column in parsed.header if column.strip() == name]
    return name if name and len(same) == 1 else f"{name or 'without a name'} (the {position + 1}. from the left)"

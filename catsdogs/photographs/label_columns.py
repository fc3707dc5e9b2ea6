"""The label column of a table: by what a sample submission asks for, else by its name, else by what stands in it."""

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from catsdogs.errors import DatasetError
from catsdogs.files import tables
from catsdogs.files.tables import Table
from catsdogs.photographs.names import loose, one_form

LABEL_COLUMNS = ("label", "class", "breed", "category", "target")
_LIKE_LABELS = (*LABEL_COLUMNS, "species", "cultivar", "individual", "diagnosis")  # such as category_id, class_name
_BETWEEN_LABELS = ("|", ";", ",", " ")


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
        if len(others) == 1 and _are_numbers(wanted.values) and _are_fractions(values_of(parsed, others[0])):
            return LabelColumns((others[0],), 0)
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
        targets = {loose(target) for target in wanted.targets}
        common = len({loose(value) for value in shown} & targets)
        fit = 3 * common / max(len(shown), len(wanted.targets)) if common > 1 or common == len(shown) else 0
        return max(fit, *(_fit_of_lists(shown, separator, targets) for separator in _BETWEEN_LABELS))
    target = loose("".join(wanted.targets))
    if target and called_so == target:
        return 3
    if target and (called_so.startswith(target) or target.startswith(called_so)):
        return 2
    words = {value for value in wanted.values if as_number(value) is None}
    if words & shown:
        return 1.5
    if name.strip().lower() in LABEL_COLUMNS:
        return 1
    return 0.5 if called_so.startswith(_LIKE_LABELS) else 0


def _fit_of_lists(shown: set[str], separator: str, targets: set[str]) -> float:
    """How well the lists in a column fit the columns of a sample submission, all of whose labels these are."""
    words = {loose(word) for value in shown for word in value.split(separator)} - {""}
    is_list = any(separator in value for value in shown)
    return 3 * len(words) / len(targets) if is_list and len(words) > 1 and words <= targets else 0


def _are_flags(values: Sequence[str]) -> bool:
    """Whether a column holds 0 and 1, both, and nothing else."""
    return set(values) - {""} == {"0", "1"}


def _are_fractions(values: Collection[str]) -> bool:
    """Whether the values are numbers, and not all of them whole."""
    return _are_numbers(values) and not all(tables.parse_number(value).is_integer() for value in values if value)


def _are_numbers(values: Collection[str]) -> bool:
    """Whether all that stands there are numbers, and something does."""
    filled = {*values} - {""}
    return bool(filled) and all(as_number(value) is not None for value in filled)


def as_number(text: str) -> float | None:
    """The finite number that a text is, with a decimal point or comma; None if it is none."""
    try:
        number = tables.parse_number(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


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

"""Classes as a person asks for them: two, of which one is several joined; or grades in increasing order."""

from collections.abc import Sequence

from catsdogs.errors import DatasetError, UnknownNameError, in_short
from catsdogs.photographs.label_columns import as_number
from catsdogs.photographs.labels import UNLABELLED, Row
from catsdogs.photographs.names import Names
from catsdogs.photographs.task import BINARY, KINDS, LABELS, NUMBER, ORDINAL

_NAMES_SHOWN = 4  # of classes that are joined to one


def check_kind(kind: str, positive: str) -> None:
    """Refuse a kind that there is not, and classes to be joined where there are none.

    Raises:
        UnknownNameError: there is no such kind.
        DatasetError: as `refuse_positive`.
    """
    if kind and kind not in KINDS:
        raise UnknownNameError("kind", kind, KINDS)
    if kind in (LABELS, ORDINAL, NUMBER):
        refuse_positive(positive, kind)


def refuse_positive(positive: str, kind: str) -> None:
    """Refuse classes to be joined, `positive`, where there is a kind of labels, grades or numbers instead.

    Raises:
        DatasetError: there is.
    """
    if positive and kind:
        raise DatasetError(
            f"--positive would do nothing: it joins classes, and what is to be predicted is of the kind {kind}",
            "Leave it out, or give --kind classes",
        )


def of_kind(classes: tuple[str, ...], rows: list[Row], kind: str, root: str) -> tuple[tuple[str, ...], list[Row]]:
    """The same, where there are as many classes as the kind says; grades in increasing order.

    Raises:
        DatasetError: there are not two classes for a `binary` kind.
    """
    if kind == BINARY and len(classes) != 2:
        raise DatasetError(
            f"{root}: --kind binary, and there are {len(classes):,} classes: {in_short(classes)}",
            "Leave it out; or say with --positive which of them are one of two",
        )
    if kind != ORDINAL or None in (values := [as_number(name) for name in classes]):
        return classes, rows
    order = sorted(range(len(classes)), key=lambda number: values[number] or 0.0)
    place = {UNLABELLED: UNLABELLED} | {number: position for position, number in enumerate(order)}
    return tuple(classes[number] for number in order), [row._replace(label=place[row.label]) for row in rows]


def joined(classes: tuple[str, ...], rows: list[Row], positive: str) -> tuple[tuple[str, ...], list[Row]]:
    """Two classes of several: all others, and those that a person called positive."""
    if not positive:
        return classes, rows
    known = Names(classes)
    chosen = []
    for name in filter(None, map(str.strip, positive.split(","))):
        if (found := known.find(name)) is None:
            raise UnknownNameError("class for --positive", name, classes)
        chosen.append(found)
    others = [name for name in classes if name not in chosen]
    if not others:
        raise DatasetError(f"--positive names all classes, {in_short(classes)}", "Leave out those that are not")
    numbers = {UNLABELLED: UNLABELLED} | {number: int(name in chosen) for number, name in enumerate(classes)}
    joined = (_called_together(others), _called_together([name for name in classes if name in chosen]))
    return joined, [row._replace(label=numbers[row.label]) for row in rows]


def _called_together(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return "+".join(names[:_NAMES_SHOWN]) + (f"+{more} more" if more > 0 else "")

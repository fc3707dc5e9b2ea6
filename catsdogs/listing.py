"""Lists that grow with the data, in one line: the first few, and how many more there are."""

from collections.abc import Collection
from itertools import islice

SHOWN = 5
CLASSES_SHOWN = 20


def in_short(items: Collection[object]) -> str:
    """`a, b, c`, or `a, b, c, d, e, …` beside a number that says how many; `(none)` for nothing."""
    return _first(items, SHOWN) + (", …" if len(items) > SHOWN else "")


def to_choose_from(names: Collection[str], shown: int = CLASSES_SHOWN) -> str:
    """Classes and the like: `a, b, c`, or the first of them and `… (4,231 more)`."""
    more = len(names) - shown
    return _first(names, shown) + (f", … ({more:,} more)" if more > 0 else "")


def and_more(others: Collection[object], what: str) -> str:
    """What follows a sentence about the first of several: ` (3 more rows: 4, 7, 9)`; nothing if it is the only one."""
    return f" ({len(others):,} more {what}: {in_short(others)})" if others else ""


def _first(items: Collection[object], shown: int) -> str:
    return ", ".join(map(str, islice(items, shown))) or "(none)"

"""Lists that grow with the data, in one line: the first few, and how many more there are."""

from collections.abc import Collection
from itertools import islice

SHOWN = 5
CLASSES_SHOWN = 20


def in_short(items: Collection[object], shown: int = SHOWN) -> str:
    """`a, b, c`, or `a, b, c, d, e, … (9,217 more)`; `(none)` for nothing."""
    more = len(items) - shown
    return (", ".join(map(str, islice(items, shown))) or "(none)") + (f", … ({more:,} more)" if more > 0 else "")


def and_more(others: Collection[object], what: str) -> str:
    """What follows a sentence about the first of several: ` (3 more rows: 4, 7, 9)`; nothing if it is the only one."""
    return f" ({len(others):,} more {what}: {in_short(others)})" if others else ""

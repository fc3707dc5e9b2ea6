"""What JSON may be read back as."""

from dataclasses import dataclass

import pytest

from catsdogs.typed import typed


@dataclass(frozen=True)
class Inner:
    share: float


@dataclass(frozen=True)
class Outer:
    name: str
    numbers: tuple[int, ...]
    inner: Inner
    table: dict[str, float]
    sure: bool | None


GOOD = {"name": "a", "numbers": [1, 2], "inner": {"share": 1}, "table": {"x": 0.5}, "sure": None}


def test_a_dataclass_comes_back() -> None:
    assert typed(Outer, GOOD, "outer") == Outer("a", (1, 2), Inner(1), {"x": 0.5}, None)
    assert typed(Outer, GOOD | {"sure": True}, "outer").sure is True


@pytest.mark.parametrize(
    "change",
    [
        {"name": 1},
        {"numbers": "12"},
        {"numbers": [1.5]},
        {"numbers": [True]},
        {"inner": {}},
        {"inner": []},
        {"table": {"x": "y"}},
        {"more": 1},
        {"sure": "yes"},
    ],
)
def test_anything_else_is_refused(change: dict[str, object]) -> None:
    with pytest.raises((TypeError, KeyError)):
        typed(Outer, GOOD | change, "outer")

"""What JSON may be read back as."""

import json
import math
from dataclasses import asdict, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.files.cards import as_json, typed


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


@given(st.floats(), st.dictionaries(st.text(), st.floats()))
def test_what_is_written_is_json_whatever_the_numbers(share: float, table: dict[str, float]) -> None:
    def refuse(token: str) -> None:
        raise AssertionError(token)

    made = Outer("a", (1,), Inner(share), table, None)
    text = as_json(asdict(made))
    back = typed(Outer, json.loads(text, parse_constant=refuse), "outer")
    pairs = [(back.inner.share, share), *((back.table[key], value) for key, value in table.items())]
    assert all(one == two or (math.isnan(one) and not math.isfinite(two)) for one, two in pairs)
    older = typed(Outer, json.loads(json.dumps(asdict(made))), "outer")  # with the token NaN, as it once was written
    assert repr(older) == repr(made)

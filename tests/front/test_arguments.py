"""Arguments held against annotations: what fits comes through as Python's own, and what does not is named."""

import inspect
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.front.arguments import checked, fitted, in_python, is_text
from tests.conftest import refused

NUMBERS = [np.int8, np.uint16, np.int64, np.float32, np.float64]


class More(TypedDict, total=False):
    """What else."""

    share: float
    names: str | Sequence[str]


@checked("anything")
def asked(place: str | Path, count: int = 5, *, anything: int = 0, **how: Unpack[More]) -> tuple[object, ...]:
    """What came through.

    Returns:
        All of it.
    """
    return place, count, anything, how


@given(st.integers(-100, 100), st.sampled_from(NUMBERS))
def test_numbers_of_numpy_become_those_of_python(number: int, kind: Callable[[int], Any]) -> None:
    given = kind(abs(number))
    if isinstance(given, np.integer):
        assert type(fitted("n", int, given)) is int and fitted("n", int, given) == given
    else:
        with refused(UsageError, r"`n` is .*Give a whole number"):
            fitted("n", int, given)
    assert type(fitted("n", float, given)) is float and fitted("n", float, given) == given


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (str | Path, Path("a"), Path("a")),
        (int | None, None, None),
        (str | Sequence[str], "a,b", "a,b"),
        (str | Sequence[str], np.array(["a", "b"]), ["a", "b"]),
        (Sequence[str], ("a",), ["a"]),
        (Mapping[str, Any] | None, {"C": 1}, {"C": 1}),
        (float, 1, 1.0),
        (bool, True, True),
    ],
)
def test_what_fits(annotation: Any, value: object, expected: object) -> None:
    found = fitted("name", annotation, value)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value", "match"),
    [
        (int, True, "`name` is True. Give a whole number"),
        (int, "5", "`name` is '5'. Give a whole number"),
        (bool, 1, "`name` is 1. Give True or False"),
        (str, b"x", "`name` is of the type bytes. Give a text"),
        (str, "x" * 99 + "\0", "`name` is of the type str. Give a text without null characters, in UTF-8"),
        (str | Path, Path("a\0"), "`name` is of the type PosixPath. Give a text or a path"),
        (str | Sequence[str], {"a": 1}, "`name` is of the type dict. Give a text or a list of texts"),
        (str | Sequence[str], ["a", 1], "`name` has an item that is 1. Give a text or a list of texts"),
        (Mapping[str, Any], ["C=1"], "`name` is of the type list. Give a mapping, such as"),
    ],
)
def test_what_does_not(annotation: Any, value: object, match: str) -> None:
    with refused(UsageError, match):
        fitted("name", annotation, value)


def test_a_function_keeps_its_face() -> None:
    assert list(inspect.signature(asked).parameters) == ["place", "count", "anything", "how"]
    assert asked.__name__ == "asked" and (asked.__doc__ or "").startswith("What came through.")
    assert asked("a", np.int64(3), share=np.float32(0.5)) == ("a", 3, 0, {"share": 0.5})  # type: ignore[arg-type]
    assert asked("a", anything="as it is") == ("a", 5, "as it is", {})  # type: ignore[arg-type]
    with refused(UsageError, "`share` is 'x'. Give a number"):
        asked("a", share="x")  # type: ignore[arg-type]
    with refused(UnknownNameError, "No argument is called 'shares'. Choose from: names, share"):
        asked("a", shares=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing a required argument: 'place'"):
        asked()  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Give --folds a number", "Give `folds` a number"),
        ("--batch-size 0, or -k 11", "`batch_size` 0, or `k` 11"),
        ("Leave --cluster out", "Leave --cluster out"),  # which is no argument
        ("Check --data, or run `catsdogs fetch --data X`", "Check `photographs`, or run `catsdogs fetch --data X`"),
        ("choose another folder with --out", "choose another folder with `features`"),
        ("a C of -1, and a--folds-b", "a C of -1, and a--folds-b"),
    ],
)
def test_flags_become_arguments(said: str, expected: str) -> None:
    names = ["folds", "batch_size", "k", "photographs", "features"]
    with pytest.raises(UsageError) as caught, in_python(names), in_python(names):
        raise UsageError(said, "Go on", ["--folds"])
    assert caught.value.problem == expected and str(pickle.loads(pickle.dumps(caught.value))) == f"{expected}. Go on."
    assert caught.value.listed == ("--folds",)


@given(st.text())
def test_texts_are_what_can_be_written(text: str) -> None:
    assert is_text(text) == ("\0" not in text)
    assert not is_text(text + "\udc80")

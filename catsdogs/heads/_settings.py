"""A head's settings as people type them: `C=0.1`, or in the brackets of `logistic[C=0.1]`; their types are the head's.

The type is what the constructor's annotation says, of scikit-learn's estimators what they check themselves, and of
others that of the default.
"""

import difflib
import inspect
import math
import re
from collections.abc import Collection, Iterator, Sequence
from types import UnionType
from typing import Any, get_args

from sklearn.base import clone

from catsdogs.errors import UnknownNameError, UsageError

_IN_BRACKETS = re.compile(r"(.+?)\[(.*)\]")
_WORDS = {"none": None, "true": True, "false": False}


def divide(text: str) -> tuple[str, list[str]]:
    """A head's name, and the settings in brackets after it."""
    found = _IN_BRACKETS.fullmatch(text)
    return (found[1], found[2].split(",")) if found else (text, [])


def parse(name: str, head: Any, known: Collection[str], given: Sequence[str]) -> dict[str, Any]:
    """The settings of a head by name, of the right types.

    Args:
        name, head: as people call it, and one with the defaults.
        known: the names of its settings.
        given: texts such as `C=0.1`.

    Raises:
        UnknownNameError: the head has no such setting.
        UsageError: a text without `=`, a setting given twice, or one of a type that the head does not take.
    """
    settings: dict[str, Any] = {}
    for text in given:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (key and equals and value):
            raise UsageError(f"The setting {text!r} of the head {name} is none", "Give it as C=0.1")
        if key not in known:
            near = difflib.get_close_matches(key, known)
            raise UnknownNameError(f"setting of the head {name}", key, list(dict.fromkeys((*near, *sorted(known)))))
        if key in settings:
            raise UsageError(f"The setting {key} of the head {name} is given twice", "Give it once")
        settings[key] = _value(name, head, key, value)
    return settings


def _value(name: str, head: Any, key: str, text: str) -> Any:
    for value in _readings(text):
        if _fits(head, key, value):
            return value
    kinds = _annotation(head, key)
    default = head.get_params(deep=False)[key]
    remedy = f"Give it {_in_words(kinds)}" if kinds else f"Give it something like {default!r}, its default"
    raise UsageError(f"{text!r} cannot be the setting {key} of the head {name}", remedy)


def _readings(text: str) -> Iterator[Any]:
    """What a text may stand for, plain numbers before texts."""
    if text.lower() in _WORDS:
        yield _WORDS[text.lower()]
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if math.isfinite(number):  # others `run.json` cannot hold
            yield number
    yield text


def _fits(head: Any, key: str, value: Any) -> bool:
    if hasattr(head, "_parameter_constraints"):
        from sklearn.utils._param_validation import InvalidParameterError

        try:
            clone(head).set_params(**{key: value})._validate_params()
        except InvalidParameterError:
            return False
        return True
    allowed = _annotation(head, key) or _kinds_like(head.get_params(deep=False)[key])
    return not allowed or type(value) in allowed or (float in allowed and type(value) is int)


def _annotation(head: Any, key: str) -> tuple[type, ...]:
    """The types that a constructor's annotation allows; none where it says nothing plain."""
    parameter = inspect.signature(type(head)).parameters.get(key)
    told = parameter.annotation if parameter else None
    kinds = get_args(told) if isinstance(told, UnionType) else (told,)
    return kinds if all(kind in (int, float, str, bool, type(None)) for kind in kinds) else ()


def _kinds_like(default: Any) -> tuple[type, ...]:
    """The types of values that may stand in the place of a default; of None any."""
    return () if default is None else (type(default),)


def _in_words(kinds: tuple[type, ...]) -> str:
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "none"}
    return " or ".join(words[kind] for kind in kinds)

"""Dataclasses written as JSON, and read back with each value checked against the type of its field."""

import json
import math
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

_JSON_TYPES: dict[type, tuple[type, ...]] = {tuple: (list,), float: (int, float), dict: (dict,)}


def as_json(content: Any) -> str:
    """Indented JSON that every reader takes: numbers that are not finite, which JSON lacks, become null."""
    return json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def typed(kind: Any, value: Any, name: str) -> Any:
    """A value of parsed JSON -> as `kind`, a dataclass or the type of a field. Null in the place of a float is NaN.

    Raises:
        TypeError, KeyError: it is of another type, or has other fields.
    """
    if get_origin(kind) is UnionType:  # of a type and None
        kind = NoneType if value is None else get_args(kind)[0]
    origin, inside = get_origin(kind) or kind, get_args(kind)
    if kind is float and value is None:
        return math.nan
    if kind is not Any and type(value) not in _JSON_TYPES.get(dict if is_dataclass(kind) else origin, (origin,)):
        raise TypeError(f"{name} is of type {type(value).__name__}")
    if is_dataclass(kind):
        kinds = get_type_hints(kind)
        if kinds.keys() != value.keys():
            raise KeyError(*(kinds.keys() ^ value.keys()))
        return origin(**{key: typed(kinds[key], item, key) for key, item in value.items()})
    if origin is tuple:
        return tuple(typed(inside[0], item, name) for item in value)
    if origin is dict:
        return {key: typed(inside[1], item, name) for key, item in value.items()}
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""Arguments: what is given to a name of the front door, held against its annotations before any work is done.

A wrong one is a `UsageError`, as everything that a user can mend. Sentences that were written for the command line call
arguments by their flags; who called from Python gets them with the arguments' own names.
"""

import collections.abc
import contextlib
import functools
import inspect
import numbers
import os
import re
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from catsdogs.errors import CatsdogsError, UnknownNameError, UsageError

P = ParamSpec("P")
T = TypeVar("T")

# A flag of several letters or of one; a command to type, in backquotes, stays as it is.
_FLAG = re.compile(r"`[^`]*`|(?<![\w-])(?:--([a-z][a-z-]+)|-([a-z])(?![\w-]))")
_CALLED = {
    "set": ("settings",),
    "out": ("features", "cache"),
    "data": ("photographs",),
}  # flags that have other names as arguments
_IN_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", Path: "a path"}
_OPENED = "what catsdogs.load or catsdogs.extract returns"
_LONGEST = 60  # letters of a value that is shown


class _UnfitError(Exception):
    """A value that is not of the kind that an annotation names."""


def checked(*but: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A function whose arguments are held against their annotations, and numbers of NumPy's made Python's.

    Args:
        but: arguments that the function itself looks at, for they are of many kinds.

    Raises:
        UsageError: an argument of another type.
        UnknownNameError: an argument that is none, such as `label` for `labels`, where there are many.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def door(*args: P.args, **kwargs: P.kwargs) -> T:
            bound = signature.bind(*args, **kwargs)
            annotations = typing.get_type_hints(function)
            known = _known(annotations)
            with in_python([*signature.parameters, *known]):
                for name, value in bound.arguments.items():
                    kind = signature.parameters[name].kind
                    if kind is inspect.Parameter.VAR_KEYWORD:
                        bound.arguments[name] = {key: _held(key, one, known) for key, one in value.items()}
                    elif name in annotations and name not in but:
                        given = value if kind is inspect.Parameter.VAR_POSITIONAL else (value,)
                        default = signature.parameters[name].default
                        fitting = tuple(fitted(name, annotations[name], one, default) for one in given)
                        bound.arguments[name] = fitting if given is value else fitting[0]
                return function(*bound.args, **bound.kwargs)

        return door

    return decorate


@contextlib.contextmanager
def in_python(arguments: Collection[str]) -> Iterator[None]:
    """Let errors call these arguments by their names, where the command line has flags."""

    def named(match: re.Match[str]) -> str:
        flag = (match[1] or match[2] or "").replace("-", "_")
        name = next((one for one in (flag, *_CALLED.get(flag, ())) if one in arguments), "")
        return f"`{name}`" if name else match[0]

    try:
        yield
    except CatsdogsError as error:
        error.problem, error.remedy = (_FLAG.sub(named, text) for text in (error.problem, error.remedy))
        error.args = (error.problem, error.remedy)
        raise


def fitted(name: str, annotation: Any, value: Any, default: Any = None) -> Any:
    """The value of an argument as its annotation has it; `default` is what messages give for an example.

    Raises:
        UsageError: it is of another kind.
    """
    try:
        return _as(annotation, value)
    except _UnfitError:
        remedy = _remedy(annotation, value)
        if remedy in _IN_WORDS.values() and default not in (None, "", inspect.Parameter.empty):
            remedy += f", such as {default!r}"
        raise UsageError(f"`{name}` {_shown(annotation, value)}", f"Give {remedy}") from None


def is_text(value: str) -> bool:
    """Whether a text can be a file's name, and written down in a file."""
    return "\0" not in value and value.encode(errors="ignore").decode() == value


def _known(annotations: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a typed dictionary, if a function takes one as `**how`."""
    packed = [one for one in annotations.values() if typing.get_origin(one) is typing.Unpack]
    return typing.get_type_hints(typing.get_args(packed[0])[0]) if packed else {}


def _held(name: str, value: Any, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise UnknownNameError("argument", name, sorted(known))
    return fitted(name, known[name], value)


def _shown(annotation: Any, value: Any) -> str:
    """What a value is, in words; of a list that may be one, its first item that may not."""
    if isinstance(value, list | tuple) and collections.abc.Sequence[str] in _kinds(annotation):
        value = next((one for one in value if not isinstance(one, str)), value)
        return f"has an item that is {_in_short(value)}"
    return f"is {_in_short(value)}"


def _in_short(value: Any) -> str:
    text = repr(value) if isinstance(value, str | numbers.Number | None) else ""
    return text if text and len(text) <= _LONGEST else f"of the type {type(value).__name__}"


def _remedy(annotation: Any, value: Any) -> str:
    """What to give instead, in words."""
    kinds = [kind for kind in _kinds(annotation) if kind is not types.NoneType]
    if isinstance(value, str) and str in kinds:
        return "a text without null characters, in UTF-8"
    named = {one.__name__ for kind in kinds for one in (kind, *typing.get_args(kind)) if isinstance(one, type)}
    if "Run" in named:
        return "a Run, or its name"
    if "Features" in named:
        is_folder = isinstance(value, str | os.PathLike) and is_text(str(value)) and Path(value).is_dir()
        return f"{_OPENED}, such as catsdogs.load({str(value)!r})" if is_folder else _OPENED
    return " or ".join(_in_words(kind) for kind in kinds)


def _in_words(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if origin is None:
        return _IN_WORDS[kind]
    return "a mapping, such as {'C': 0.1}" if origin is collections.abc.Mapping else "a list of texts"


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the annotation alone."""
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)


def _as(annotation: Any, value: Any) -> Any:
    """A value as the first kind of the annotation that it fits; raises _UnfitError if it fits none."""
    for kind in _kinds(annotation):
        with contextlib.suppress(_UnfitError):
            return _as_one(kind, value)
    raise _UnfitError


def _as_one(kind: Any, value: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin is collections.abc.Sequence:
        if isinstance(value, str | bytes | os.PathLike | Mapping) or not isinstance(value, collections.abc.Iterable):
            raise _UnfitError
        return [_as(typing.get_args(kind)[0], one) for one in value]
    if kind in (int, float):
        is_number = isinstance(value, numbers.Integral if kind is int else numbers.Real)
        if not is_number or isinstance(value, bool):
            raise _UnfitError
        return kind(value)
    if not isinstance(value, os.PathLike if kind is Path else origin or kind):
        raise _UnfitError
    if kind in (str, Path) and not is_text(str(value)):
        raise _UnfitError
    return str(value) if kind is str else value

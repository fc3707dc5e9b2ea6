"""Photographs as a Python program hands them over: paths, the bytes of files, Pillow's pictures, arrays of pixels."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from catsdogs.errors import DatasetError, UsageError, and_more
from catsdogs.files import storage
from catsdogs.photographs import images
from catsdogs.photographs.locations import ABSENT, Location

Handed = Location | bytes | Image.Image | NDArray[np.uint8]  # one photograph

_IN_A_LIST = "Give a list, even of a single photograph"
_KINDS = "Give paths, bytes, Pillow's pictures or uint8 arrays (height, width, 3)"


def photographs(X: Any) -> list[Handed]:
    """Each photograph of a list or array, checked as far as that takes no reading; a path becomes a `Location`.

    Args:
        X: n paths (str or Path), bytes of files, pictures of Pillow, or arrays (height, width, 3) of uint8, RGB, in a
            list, a tuple, an array or a column of a table; or an array (n, height, width, 3). Kinds may be mixed.

    Raises:
        UsageError: no list; or rows of another kind, range or order, all of which `listed` names.
        DatasetError: there is no photograph at all, or no file at some of the paths.
    """
    rows = _rows(X)
    if not len(rows):
        raise DatasetError("X has no rows, so there is no photograph", _KINDS)
    found: list[Handed] = []
    wrong: dict[int, UsageError] = {}
    for number, row in enumerate(rows):
        try:
            found.append(_photograph(row))
        except UsageError as error:
            wrong[number] = error
    if wrong:
        first = wrong[min(wrong)]
        rest = {row: error.problem for row, error in wrong.items()}
        raise UsageError(f"Row {min(wrong)} of X {first.problem}{_others(rest)}", first.remedy, _listed(rest))
    refuse({row: ABSENT for row, one in enumerate(found) if isinstance(one, Location) and not _is_there(one)}, found)
    return found


def content(photograph: bytes | Image.Image | NDArray[np.uint8]) -> bytes:
    """The bytes of a file with this photograph: its own, or the pixels of a picture or an array without loss.

    Raises:
        UnreadablePhotographError: the file of a picture is closed or damaged.
    """
    if isinstance(photograph, bytes):
        return photograph
    if isinstance(photograph, Image.Image):
        return images.encode(photograph)
    return images.encode(Image.fromarray(np.ascontiguousarray(photograph)))


def refuse(reasons: Mapping[int, str], photographs: Sequence[Handed]) -> None:
    """Refuse photographs that cannot be read.

    Args:
        reasons: row -> why.

    Raises:
        DatasetError: names the first row and its reason, and the numbers of the others; `listed` has all of them.
    """
    if reasons:
        row = min(reasons)
        first = photographs[row]
        named = f", {first}," if isinstance(first, Location) else ""
        raise DatasetError(
            f"Row {row} of X{named} cannot be read: {reasons[row]}{_others(reasons)}",
            "Replace it, or leave it out",
            _listed(reasons),
        )


def _others(reasons: Mapping[int, str]) -> str:
    return and_more(sorted(reasons)[1:], "rows are wrong")


def _listed(reasons: Mapping[int, str]) -> list[str]:
    return [f"row {row}: {reasons[row]}" for row in sorted(reasons)]


def _rows(X: Any) -> Sequence[Any] | NDArray[Any]:
    """The rows of what may be a list, an array, or a column of a table."""
    if isinstance(X, str | os.PathLike | bytes | bytearray | Image.Image):
        raise UsageError(f"X is a single photograph ({type(X).__name__}), no list of them", _IN_A_LIST)
    if hasattr(X, "columns"):
        raise UsageError("X is a table, and photographs are a single column of one", "Give the column: table['path']")
    if not isinstance(X, Iterable) or isinstance(X, Mapping | set | frozenset):
        raise UsageError(f"X is of the type {type(X).__name__}, no list of photographs", _KINDS)
    if isinstance(X, np.ndarray):
        if X.dtype.kind == "S":
            raise UsageError("X is an array of bytes, which NumPy has cut at their last zeros", "Give them as a list")
        if X.ndim == 3:
            raise UsageError(f"X is a single array of the shape {X.shape}, no list of them", _IN_A_LIST)
        if X.ndim == 0:
            raise UsageError("X is an array without rows", _IN_A_LIST)
    return X if isinstance(X, list | tuple | np.ndarray) else list(X)


def _photograph(row: Any) -> Handed:
    if isinstance(row, str | os.PathLike):
        place = storage.place(str(row) if isinstance(row, str) else Path(row))
        return Location(place.parent, place.name)
    if isinstance(row, bytes | bytearray | memoryview):
        return bytes(row)
    if isinstance(row, Image.Image):
        return row
    if isinstance(row, np.ndarray):
        return _pixels(row)
    if hasattr(row, "read"):
        state = "a closed file" if getattr(row, "closed", False) else "an open file"
        raise UsageError(f"is {state}", "Give its path, or the bytes that it holds")
    raise UsageError(f"is of the type {type(row).__name__}, no photograph", _KINDS)


def _pixels(array: NDArray[Any]) -> NDArray[np.uint8]:
    shape = "x".join(map(str, array.shape))
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3:
        raise UsageError(
            f"is an array {shape}, with its channels in front", "Give height, width, channels: array.transpose(1, 2, 0)"
        )
    if array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise UsageError(f"is an array {shape or 'of no size'}, no pixels", "Give an array (height, width, 3), RGB")
    if array.dtype != np.uint8:
        raise UsageError(
            f"is an array of {array.dtype}{_range(array)}, not of uint8", "Give RGB from 0 to 255, as np.uint8"
        )
    return array


def _range(array: NDArray[Any]) -> str:
    """From what to what the numbers of an array go, in words."""
    if array.dtype.kind not in "iuf":
        return ""
    return f" from {array.min():g} to {array.max():g}"


def _is_there(place: Location) -> bool:
    """Whether there is something at a place; of one in an object store only reading tells."""
    return storage.is_remote(place.container) or (place.container / place.name).exists()

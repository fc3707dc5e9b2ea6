"""Photographs as a Python program hands them over: paths, the bytes of files, Pillow's pictures, arrays of pixels."""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from catsdogs.errors import DatasetError, UsageError, and_more
from catsdogs.files import storage
from catsdogs.photographs import images, locations
from catsdogs.photographs.locations import ABSENT, Location

Handed = Location | bytes | Image.Image | NDArray[np.uint8]  # one photograph

_FOLDER = "it is a folder"
_IN_A_LIST = "Give a list, even of a single photograph"
_KINDS = "Give paths, bytes, Pillow's pictures or uint8 arrays (height, width, 3)"


def photographs(X: Any, name: str = "X") -> list[Handed]:
    """Each photograph of a list or array, checked as far as that takes no reading; a path becomes a `Location`.

    Args:
        X: n paths (str or Path), bytes of files, pictures of Pillow, or arrays (height, width, 3) of uint8, RGB, in a
            list, a tuple, an array, a column of a table, or a table of a single column; or an array (n, height, width,
            3). Kinds may be mixed.
        name: what messages call X.

    Raises:
        UsageError: no list; or rows of another kind, range or order, all of which `listed` names.
        DatasetError: there is no photograph at all, or no file at some of the paths.
    """
    given = rows(X, name)
    if not len(given):
        raise DatasetError(f"{name} has no rows, so there is no photograph", _KINDS)
    found: list[Handed] = []
    wrong: dict[int, UsageError] = {}
    for number, row in enumerate(given):
        try:
            found.append(_photograph(row))
        except UsageError as error:
            wrong[number] = error
    if wrong:
        first = wrong[min(wrong)]
        rest = {row: error.problem for row, error in wrong.items()}
        raise UsageError(f"Row {min(wrong)} of {name} {first.problem}{_others(rest)}", first.remedy, _listed(rest))
    missing = {row: why for row, one in enumerate(found) if isinstance(one, Location) and (why := _why_not(one))}
    refuse(missing, found, name)
    return found


def rows(X: Any, name: str = "X") -> Sequence[Any] | NDArray[Any]:
    """The rows of what may be a list, an array, a column of a table, or a table of one column.

    Raises:
        UsageError: it is none of these.
    """
    if isinstance(X, str | os.PathLike) and is_folder(X):
        raise UsageError(f"{name} is a folder, {X}, no list of photographs", "Give a list of the files in it")
    if isinstance(X, str | os.PathLike | bytes | bytearray | Image.Image):
        raise UsageError(f"{name} is a single photograph ({type(X).__name__}), no list of them", _IN_A_LIST)
    if hasattr(X, "columns"):
        if len(X.columns) != 1 or not hasattr(X, "iloc"):
            problem = f"{name} is a table, and photographs are a single column of one"
            raise UsageError(problem, "Give the column: table['path']")
        X = X.iloc[:, 0]
    if not isinstance(X, Iterable) or isinstance(X, Mapping | set | frozenset):
        raise UsageError(f"{name} is of the type {type(X).__name__}, no list of photographs", _KINDS)
    if isinstance(X, Iterator):
        problem = f"{name} is of the type {type(X).__name__}, which can be gone through only once"
        raise UsageError(problem, f"Give a list: list({name})")
    return _rows_of_array(X, name) if isinstance(X, np.ndarray) else X if isinstance(X, list | tuple) else list(X)


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether there is a folder at a path, which may be anything that a program made up."""
    place = storage.place(str(path))
    if storage.is_remote(place):
        return locations.is_folder(place)
    return _why_not(Location(place, "")) == _FOLDER


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


def refuse(reasons: Mapping[int, str], photographs: Sequence[Handed], name: str = "X") -> None:
    """Refuse photographs that cannot be read.

    Args:
        reasons: row -> why.
        name: what messages call the list of them.

    Raises:
        DatasetError: names the first row and its reason, and the numbers of the others; `listed` has all of them.
    """
    if reasons:
        row = min(reasons)
        first = photographs[row]
        named = f", {first}," if isinstance(first, Location) else ""
        raise DatasetError(
            f"Row {row} of {name}{named} cannot be read: {reasons[row]}{_others(reasons)}",
            "Replace it, or leave it out",
            _listed(reasons),
        )


def _others(reasons: Mapping[int, str]) -> str:
    return and_more(sorted(reasons)[1:], "rows are wrong")


def _listed(reasons: Mapping[int, str]) -> list[str]:
    return [f"row {row}: {reasons[row]}" for row in sorted(reasons)]


def _rows_of_array(X: NDArray[Any], name: str) -> NDArray[Any]:
    if X.dtype.kind == "S":
        raise UsageError(f"{name} is an array of bytes, which NumPy has cut at their last zeros", "Give them as a list")
    if X.ndim == 3:
        raise UsageError(f"{name} is a single array of the shape {X.shape}, no list of them", _IN_A_LIST)
    if X.ndim == 0:
        raise UsageError(f"{name} is an array without rows", _IN_A_LIST)
    return X[:, 0] if X.ndim == 2 and X.shape[1] == 1 and X.dtype.kind in "OU" else X


def _photograph(row: Any) -> Handed:
    if isinstance(row, str | os.PathLike):
        if not str(row):
            raise UsageError("is an empty text, no path", _KINDS)
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
        remedy = "Give an array (height, width, 3), RGB"
        if array.ndim == 2 or array.shape[2:] == (1,):
            remedy = "Repeat a grey picture for three colours: numpy.dstack([array] * 3)"
        elif array.shape[2:] == (4,):
            remedy = "Leave the fourth channel out: array[..., :3]"
        raise UsageError(f"is an array {shape or 'of no size'}, no pixels of three colours", remedy)
    if array.dtype != np.uint8:
        limits, remedy = _range(array)
        raise UsageError(f"is an array of {array.dtype}{limits}, not of uint8", remedy)
    return array


def _range(array: NDArray[Any]) -> tuple[str, str]:
    """From what to what the numbers of an array go, in words, and how to make bytes of them."""
    remedy = "Scale it to 0 to 255, and give it as uint8"
    if array.dtype.kind not in "iuf":
        return "", remedy
    low, high = array.min(), array.max()
    if low >= 0 and high <= 255:
        is_share = high <= 1 and array.dtype.kind == "f"
        remedy = f"Give {'(255 * array)' if is_share else 'array'}{'.round()' if array.dtype.kind == 'f' else ''}"
        remedy += ".astype('uint8')"
    return f" from {low:g} to {high:g}", remedy


def _why_not(place: Location) -> str:
    """Why there is no file at a place, empty if there is; of one in an object store only reading tells."""
    if storage.is_remote(place.container):
        return ""
    path = place.container / place.name
    try:
        return _FOLDER if stat.S_ISDIR(path.stat().st_mode) else ""
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a null character is in no file's name
        return ABSENT
    except OSError as error:
        return error.strerror or str(error)

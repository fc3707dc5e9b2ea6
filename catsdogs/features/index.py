"""The index of a feature file: `.<Backbone>.index` tells what is in it and its parts, without their being read.

It has the keys, digests and recipe, and of each file its size, its seal and when it changed. It is only a shortcut: it
counts while every file is as it says, and whoever finds a file damaged removes it. Then the files are read again.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import CatsdogsError, DamagedError, MissingError, StoreError
from catsdogs.features.recipes import Recipe
from catsdogs.files import hdf5, seal, storage

_FORMAT, _VERSION = "catsdogs index", 1
_TEXT = h5py.string_dtype()
_TABLE = np.dtype(
    [("name", _TEXT), ("split", _TEXT), ("rows", np.int64), ("backend", _TEXT), ("seal", _TEXT), ("state", _TEXT)]
)


class Piece(NamedTuple):
    """Consecutive rows of a feature file: those of a split in the file itself, or a part, whose split is empty.

    Attributes:
        name: of the file, relative to the feature file's folder.
        backend: what computed the rows.
        seal: the first bytes of the file in hexadecimal digits: the length and checksum of the others.
        state: on this machine the file's size and time of change, in a store its stamp.
    """

    name: str
    split: str
    rows: int
    backend: str
    seal: str = ""
    state: str = ""


@dataclass(frozen=True)
class Index:
    """What a feature file holds.

    Attributes:
        contents: the hash of all that a run would write anew if it were different, see `assembling.hash_of`.
        source: the data set's root.
        unreadable: split, id and reason of each photograph that could not be read.
        keys, digests: (n,) uint64, hashed keys and digests of the rows, in the order of the pieces.
        pieces: first the feature file itself, with no rows; then where the rows lie, in order.
    """

    recipe: Recipe
    contents: str
    source: str
    unreadable: tuple[tuple[str, ...], ...]
    keys: NDArray[np.uint64]
    digests: NDArray[np.uint64]
    pieces: tuple[Piece, ...]


def path_of(feature_file: Path) -> Path:
    """Where the index of a feature file lies."""
    return feature_file.with_name(f".{feature_file.stem}.index")


def fitting(feature_file: Path) -> Index | None:
    """The index of a feature file, if it has one and every file is as it says.

    Raises:
        StoreError: the index or one of the files cannot be looked at.
    """
    with suppress(MissingError, DamagedError), hdf5.reading(path_of(feature_file)) as file:
        if _is_as_it_says(feature_file, file):
            return _read(file)
    return None


def recipe_of(feature_file: Path) -> Recipe | None:
    """The recipe in the index of a feature file, if that fits; raises as `fitting`."""
    with suppress(MissingError, DamagedError), hdf5.reading(path_of(feature_file)) as file:
        if _is_as_it_says(feature_file, file):
            return Recipe.read(file.attrs)
    return None


def write(feature_file: Path, index: Index) -> None:
    """Write the index of a feature file. If that cannot be done, only time is lost, in the next run."""
    with suppress(StoreError), hdf5.writing(path_of(feature_file)) as file:
        file.attrs.update(index.recipe.as_dict())
        file.attrs.update(format=_FORMAT, version=_VERSION, contents=index.contents, source=index.source)
        file["key"], file["digest"] = index.keys, index.digests
        table = np.array(index.unreadable, object).reshape(len(index.unreadable), 3)
        file.create_dataset("unreadable", dtype=_TEXT, data=table)
        file.create_dataset("pieces", data=np.array([tuple(piece) for piece in index.pieces], _TABLE))


def forget(feature_file: Path) -> None:
    """Remove the index of a feature file that has been found damaged, so that the next run of `features` reads it all.

    In a folder that may not be written it stays.
    """
    path = path_of(feature_file)
    with suppress(OSError, CatsdogsError):
        if storage.exists(path):
            storage.remove_all([path])


def states(folder: Path, names: Iterable[str], is_remote: bool) -> dict[str, str]:
    """Name -> the state, see `Piece`, of each of these files of a folder; those that are not there are left out.

    Raises:
        StoreError: one cannot be looked at.
    """
    if is_remote:
        listed: Mapping[str, str] = storage.list_stamps(folder)
        return {name: listed[name] for name in names if name in listed}
    found = {}
    for name in names:
        try:
            status = os.stat(folder / name)  # noqa: PTH116 - quicker
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise storage.read_error(folder / name, error) from None
        found[name] = f"{status.st_size} {status.st_mtime_ns}"
    return found


def size_in(state: str) -> int:
    """The bytes of the file that is in this state."""
    return int(state.split()[0])


def head(path: Path) -> str:
    """The first bytes of a file in hexadecimal digits, see `Piece.seal`.

    Raises:
        MissingError: there is no such file.
        StoreError: it cannot be read.
    """
    try:
        return storage.read_bytes(path, 0, seal.SEAL_BYTES).hex()
    except FileNotFoundError:
        raise MissingError(f"{path} is missing", "Run the same command again") from None
    except OSError as error:
        raise storage.read_error(path, error) from None


def is_sealed(head: str) -> bool:
    """Whether a file that begins so has a checksum."""
    return head.startswith(seal.SEAL_MAGIC.hex()) and len(head) == 2 * seal.SEAL_BYTES


def _read(file: h5py.File) -> Index | None:
    pieces, keys, digests = _pieces_in(file), file["key"][...], file["digest"][...]
    if not len(keys) == len(digests) == sum(piece.rows for piece in pieces):
        return None
    unreadable = tuple(map(tuple, file["unreadable"].asstr()[...].tolist()))
    contents, source = file.attrs["contents"], file.attrs["source"]
    return Index(Recipe.read(file.attrs), contents, source, unreadable, keys, digests, pieces)


def _pieces_in(file: h5py.File) -> tuple[Piece, ...]:
    table = file["pieces"][...]
    name, split, backend, start, state = (
        [text.decode() for text in table[column]] for column in ("name", "split", "backend", "seal", "state")
    )
    return tuple(map(Piece, name, split, table["rows"].tolist(), backend, start, state))


def _is_as_it_says(feature_file: Path, file: h5py.File) -> bool:
    """Whether this is an index of the feature file, and every file is in the state that it knows."""
    if (file.attrs.get("format"), file.attrs.get("version")) != (_FORMAT, _VERSION):
        return False
    expected = {piece.name: piece for piece in _pieces_in(file)}
    if next(iter(expected), "") != feature_file.name:
        return False
    folder, is_remote = feature_file.parent, storage.is_remote(feature_file)
    found = states(folder, expected, is_remote)
    if "" in found.values() or found != {name: piece.state for name, piece in expected.items()}:
        return False
    # An object's stamp tells one content from another. Whose the feature file is, if two runs wrote it at once, only
    # its checksum tells.
    looked_at = [feature_file.name] if is_remote else list(expected)
    return all(head(folder / name) == expected[name].seal for name in looked_at)  # one that is gone does not fit

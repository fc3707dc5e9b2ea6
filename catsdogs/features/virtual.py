"""Large feature files: their rows lie in parts, files of some ten thousand rows, seen as one by virtual data sets.

The virtual data sets are for readers of plain HDF5. This program goes by the table of parts beside them: HDF5 says
nothing when a part is gone, and cannot follow a file into an object store. Within the files parts are called `shards`.
"""

import contextlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import DamagedError, MissingError
from catsdogs.features import index
from catsdogs.files import hdf5, storage

VIRTUAL_ROWS = 500_000  # above them, a file is written as virtual data sets
# A part ends after a row whose digest is a multiple of `_CUT`, so that a new photograph moves the end of no other part.
_CUT = 8192
_LEAST_ROWS, _MOST_ROWS = 4096, 32768  # 12,288 on average
_GAP_ROWS = 16  # as many unwanted rows are read along rather than skipped
_READ_BYTES = 2**21  # are checked and copied while they are in the processor's cache
_PART_NAME = re.compile(r"[0-9a-f]+/[0-9a-f]+\.h5")  # in the folder of a feature file's parts
_PARTS_TABLE = np.dtype([("name", h5py.string_dtype()), ("rows", np.int64), ("bytes", np.int64)])


class Part(NamedTuple):
    """A file with consecutive rows of a split: its name relative to the feature file, its rows, its size in bytes."""

    name: str
    rows: int
    bytes: int


def parts_folder(path: Path) -> Path:
    """Where the parts of a feature file lie."""
    return path.with_name(f"{path.stem}.shards")


def owner_of(part: Path) -> Path | None:
    """The feature file whose part a file is; None if it is none."""
    folder = part.parent.parent
    is_part = folder.name.endswith(".shards") and _PART_NAME.fullmatch(f"{part.parent.name}/{part.name}")
    return folder.with_name(f"{folder.name.removesuffix('.shards')}.h5") if is_part and folder.name[:1] != "." else None


def part_rows(digests: NDArray[np.uint64]) -> Iterator[slice]:
    """The rows of each part, given the (n,) digests of all rows."""
    ends = np.append(np.flatnonzero(digests % np.uint64(_CUT) == 0) + 1, len(digests))
    start = 0
    while start < len(digests):
        after = ends[ends >= start + _LEAST_ROWS]
        end = min(int(after[0]) if after.size else len(digests), start + _MOST_ROWS)
        yield slice(start, end)
        start = end


def dataset_name(split: str, field: str) -> str:
    """The data set of a feature file that holds a field of the rows of a split; of a part, whose split is empty."""
    if not split:
        return field
    return split if field == "vector" else f"{split}_{field}"


def write_virtual(
    file: h5py.File, split: str, parts: Sequence[Part], rows: Mapping[str, tuple[tuple[int, ...], np.dtype]]
) -> None:
    """Add the virtual data sets of a split, and the table of its parts.

    Args:
        rows: field -> the shape of a row of it, and its type.
    """
    file.create_dataset(f"{split}_shards", data=np.array([tuple(part) for part in parts], _PARTS_TABLE))
    starts = _starts(parts)
    for field, (shape, dtype) in rows.items():
        layout = h5py.VirtualLayout((starts[-1], *shape), dtype)
        for part, start in zip(parts, starts[:-1], strict=True):
            name = part.name.replace("%", "%%")  # HDF5 puts the number of a block in the place of %b
            layout[start : start + part.rows] = h5py.VirtualSource(name, field, (part.rows, *shape), dtype)
        missing = -1 if np.issubdtype(dtype, np.integer) else np.nan  # what HDF5 gives then must not look like data
        file.create_virtual_dataset(dataset_name(split, field), layout, missing)


def parts_of(file: h5py.File, split: str) -> list[Part]:
    """The parts of a split in order; none if its rows are in the file itself.

    Raises:
        ValueError: one that would lie elsewhere than in the folder of this file's parts.
    """
    name = f"{split}_shards"
    if name not in file:
        return []
    table = file[name][...]
    names = [text.decode() for text in table["name"]]
    start = f"{parts_folder(Path(file.filename)).name}/"
    for part in names:
        if not (part.startswith(start) and _PART_NAME.fullmatch(part.removeprefix(start))):
            raise ValueError(f"{part!r} is no shard")
    return [Part(*row) for row in zip(names, table["rows"].tolist(), table["bytes"].tolist(), strict=True)]


def check_parts(path: Path, file: h5py.File, splits: Sequence[str]) -> None:
    """Refuse a file of which a part is gone or has another size; its content is checked when it is read.

    Raises:
        DamagedError: names the part.
    """
    for split in splits:
        for part in parts_of(file, split):
            place = path.parent / part.name
            try:
                size = storage.size(place)
            except FileNotFoundError:
                raise _lost(path, f"{place} is missing") from None
            if size != part.bytes:
                raise _lost(path, f"{place} has {size:,} bytes, not {part.bytes:,}")


def read_blocks(
    path: Path, file: h5py.File, split: str, field: str, rows: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.intp], NDArray[Any]]]:
    """A field of rows of a split, wherever they lie, in the order of the file: `_READ_BYTES` of it at a time.

    Gives the places in `rows`, and the rows that belong there.

    Raises:
        DamagedError: a part is missing or damaged.
    """
    parts, order = parts_of(file, split), np.argsort(rows, kind="stable")
    name = dataset_name("" if parts else split, field)
    starts = _starts(parts) if parts else np.array([0, len(file[name])])
    ends = np.searchsorted(rows, starts, sorter=order)
    for number, (first, last) in enumerate(pairwise(ends)):
        if first == last:
            continue
        with _part(path, parts[number]) if parts else contextlib.nullcontext(file) as source:
            dataset = source[name]
            step = max(1, _READ_BYTES // (math.prod(dataset.shape[1:]) * dataset.dtype.itemsize or 1))
            for start in range(first, last, step):
                places = order[start : min(start + step, last)]
                yield places, read_chosen(dataset, rows[places] - starts[number])


@contextlib.contextmanager
def _part(path: Path, part: Part) -> Iterator[h5py.File]:
    try:
        with hdf5.reading(path.parent / part.name) as file:
            yield file
    except (DamagedError, MissingError) as error:
        index.forget(path)
        raise _lost(path, error.problem) from None


def read_chosen(dataset: h5py.Dataset, rows: NDArray[np.intp]) -> NDArray[Any]:
    """Rows of a data set, in any order, any of them several times."""
    if not len(rows):
        return dataset[:0]
    if rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return dataset[rows[0] : rows[-1] + 1]
    wanted, inverse = np.unique(rows, return_inverse=True)
    values = np.empty((len(wanted), *dataset.shape[1:]), dataset.dtype)
    cuts = [0, *(np.flatnonzero(np.diff(wanted) > _GAP_ROWS) + 1), len(wanted)]
    for start, end in pairwise(cuts):  # of 2,000 rows that are half of all, HDF5 reads ranges in 9 ms, a list in 76 ms
        first, last = wanted[start], wanted[end - 1]
        values[start:end] = dataset[first : last + 1][wanted[start:end] - first]
    return values[inverse]


def _starts(parts: Sequence[Part]) -> NDArray[np.int64]:
    """The first row of each part, and at the end the number of all rows."""
    return np.fromiter(accumulate((part.rows for part in parts), initial=0), np.int64, len(parts) + 1)


def _lost(path: Path, problem: str) -> DamagedError:
    return DamagedError(problem, f"Run `catsdogs features --backbones {path.stem}` again: it computes what is missing")

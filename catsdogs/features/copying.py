"""Copying: rows of shards, parts and an earlier feature file, block by block into new data sets, in flat memory."""

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from catsdogs.features import virtual
from catsdogs.features.virtual import dataset_name

_COPIED_ROWS = 512  # rows of 2,048 float32 are 4 MiB: what copying holds at a time
_CHUNK_ROWS = 64
_OPEN_FILES = 16  # each with HDF5's cache of chunks, a megabyte for a data set
FIELDS = ("digest", "vector", "statistics", "topk_class", "topk_prob")

Kinds = dict[str, tuple[tuple[int, ...], np.dtype]]  # field -> the shape of a row of it, and its type


class Source(NamedTuple):
    """Where consecutive rows lie, and what computed them.

    Attributes:
        split: of the feature file; empty in a shard or part.
        start: the place of the first row among those of all sources.
        rows: how many there are.
    """

    path: Path
    split: str
    backend: str
    start: int
    rows: int


@dataclass
class Copying:
    """Rows copied out of sources, whose files are each opened once as long as not too many are needed at a time.

    Attributes:
        reading: opens the file of a source.
    """

    sources: Sequence[Source]
    reading: Callable[[Path], contextlib.AbstractContextManager[h5py.File]]
    _open: "OrderedDict[Path, contextlib.ExitStack]" = field(default_factory=OrderedDict)
    _files: dict[Path, h5py.File] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._starts = np.array([source.start for source in self.sources], np.int64)
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._close_oldest()

    def backend(self, places: NDArray[np.int64]) -> str:
        """What computed these rows."""
        used = {name for number in np.unique(self._numbers(places)) for name in self.sources[number].backend.split(",")}
        return ",".join(sorted(used))

    def kinds(self) -> Kinds:
        """Each field that there is of every row."""
        source = self.sources[0]
        with self._file(source.path) as file:
            named = [(field, dataset_name(source.split, field)) for field in FIELDS]
            return {field: (file[name].shape[1:], file[name].dtype) for field, name in named if name in file}

    def copy(self, file: h5py.File, split: str, places: NDArray[np.int64]) -> None:
        """Copy the rows at these places into new data sets of a file: of a split, or of a part, whose split is empty.

        Consecutive rows of a source are one block, read straight into what is written.
        """
        targets = {}
        for name, (shape, dtype) in self.kinds().items():
            chunks = (min(len(places), _CHUNK_ROWS), *shape) if len(places) else None
            target = dataset_name(split, name)
            targets[name] = file.create_dataset(target, (len(places), *shape), dtype, chunks=chunks)
        for start in range(0, len(places), _COPIED_ROWS):
            block = places[start : start + _COPIED_ROWS]
            pieces = self._by_source(block)
            for name, target in targets.items():
                values = np.empty((len(block), *target.shape[1:]), target.dtype)
                for source, own in pieces:
                    rows = block[own] - source.start
                    with self._file(source.path) as opened:
                        _read_into(values, own, opened[dataset_name(source.split, name)], rows)
                target[start : start + len(block)] = values

    def _numbers(self, places: NDArray[np.int64]) -> NDArray[np.intp]:
        return np.searchsorted(self._starts, places, "right") - 1

    def _by_source(self, block: NDArray[np.int64]) -> list[tuple[Source, slice | NDArray[np.intp]]]:
        """Each source of a block of places, and where its rows stand in the block."""
        numbers = self._numbers(block)
        pieces: list[tuple[Source, slice | NDArray[np.intp]]] = []
        for number in np.unique(numbers):
            own = np.flatnonzero(numbers == number)
            is_run = own[-1] - own[0] == len(own) - 1
            pieces.append((self.sources[number], slice(own[0], own[-1] + 1) if is_run else own))
        return pieces

    @contextlib.contextmanager
    def _file(self, path: Path) -> Iterator[h5py.File]:
        """An open file. What reading it fails at is named as `reading` does."""
        if path not in self._files:
            while len(self._open) >= _OPEN_FILES:
                self._close_oldest()
            with contextlib.ExitStack() as stack:
                self._files[path] = stack.enter_context(self.reading(path))
                self._open[path] = stack.pop_all()
        self._open.move_to_end(path)
        try:
            yield self._files[path]
        except BaseException:
            del self._files[path]
            with self._open.pop(path):
                raise

    def _close_oldest(self) -> None:
        path, stack = self._open.popitem(last=False)
        del self._files[path]
        stack.close()


def _read_into(values: NDArray, own: slice | NDArray[np.intp], data: h5py.Dataset, rows: NDArray[np.int64]) -> None:
    """Read rows of a data set to where they belong in `values`."""
    if isinstance(own, slice) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        data.read_direct(values, np.s_[rows[0] : rows[-1] + 1], own)
    else:
        values[own] = virtual.read_chosen(data, rows)

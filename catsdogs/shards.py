"""What one network has computed so far: finished shards and an earlier feature file, assembled into a new one."""

import hashlib
import json
import shutil
from collections.abc import Iterable, KeysView, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from catsdogs import __version__, store
from catsdogs.dataset import Photograph
from catsdogs.errors import StoreError
from catsdogs.store import SHARD_FOLDER, Features, Recipe, Unreadable

_BLOCK_ROWS = 512  # rows of 2,048 float32 are 4 MiB: what assembling holds at a time, two or three times
_CHUNK_ROWS = 64
_STORED = ("digest", "vector", "statistics", "topk_class", "topk_prob")


@dataclass(frozen=True)
class Rows:
    """What one network says of n photographs: the arrays of a shard, rows aligned.

    Attributes:
        key: (n,) str, `split/id`.
        digest: (n,) uint64, of the files' bytes.
        vector: (n, width) float32.
        statistics: (n, 4) float32, see `images.STATISTICS`.
        topk_class, topk_prob: (n, 10) int16 and float32, None without a classifier.
    """

    key: NDArray[np.object_]
    digest: NDArray[np.uint64]
    vector: NDArray[np.float32]
    statistics: NDArray[np.float32]
    topk_class: NDArray[np.int16] | None = None
    topk_prob: NDArray[np.float32] | None = None


class Entry(NamedTuple):
    """A readable photograph and the digest of its bytes."""

    photograph: Photograph
    digest: int

    @property
    def key(self) -> str:
        """What a row is called: `train/cat.0`."""
        return f"{self.photograph.split}/{self.photograph.id}"


@dataclass(frozen=True)
class _Source:
    """A shard, or one split of a feature file: field of `Rows` -> data set in the file at `path`."""

    path: Path
    datasets: Mapping[str, str]
    backend: str


class Cache:
    """The rows of one recipe in one folder.

    A row is found by its key and digest. A photograph that was renamed is found by its digest alone, in the feature
    file but not in shards: so which rows a run computes, and in which batches, never depends on where an earlier run
    was killed, and the results are the same bit for bit.

    Raises:
        StoreError: the folder's feature file was written by another recipe.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.recipe = recipe
        self.path = store.path_of(folder, recipe.backbone)
        key = hashlib.sha256(json.dumps(asdict(recipe)).encode()).hexdigest()[:12]
        self._shards = folder / SHARD_FOLDER / f"{recipe.backbone}-{key}"
        self._sources: list[_Source] = []
        self._places: dict[tuple[str, int], tuple[int, int]] = {}
        self._renamed: dict[int, tuple[int, int]] = {}
        self._existing = store.read(self.path) if self.path.exists() else None
        if self._existing:
            refuse_other_recipe(self._existing, recipe)
            with store.reading(self.path) as file:
                for split in store.SPLITS:
                    fields = {field: split if field == "vector" else f"{split}_{field}" for field in _STORED}
                    fields = {field: name for field, name in fields.items() if name in file}
                    keys = [f"{split}/{id}" for id in self._existing.ids[split]]
                    source = _Source(self.path, fields, file.attrs["backend"])
                    self._add(source, keys, self._existing.digests[split])
            self._renamed = {digest: place for (_, digest), place in reversed(self._places.items())}
        for path in sorted(self._shards.glob("*.h5")):
            try:
                with store.reading(path) as file:
                    fields = {field: field for field in _STORED if field in file}
                    source = _Source(path, fields, file.attrs["backend"])
                    self._add(source, file["key"].asstr()[...], file["digest"][...])
            except StoreError:
                path.unlink()  # a shard is named only once it is whole, so the disk damaged it: compute it again

    def __contains__(self, entry: Entry) -> bool:
        return self._place(entry) is not None

    @property
    def existing(self) -> Features | None:
        """The feature file as it was when the cache was opened."""
        return self._existing

    @property
    def identities(self) -> KeysView[tuple[str, int]]:
        """The key and digest of every row in the feature file and the shards, in this order."""
        return self._places.keys()

    def write_shard(self, rows: Rows, backend: str) -> None:
        """Keep finished rows and what computed them; from now on they survive a kill."""
        name = hashlib.sha256(rows.digest.tobytes() + "\n".join(rows.key).encode()).hexdigest()[:24]
        arrays = {field: getattr(rows, field) for field in _STORED if getattr(rows, field) is not None}
        arrays["vector"] = rows.vector.astype(self.recipe.dtype)
        path = self._shards / f"{name}.h5"
        with store.writing(path) as file:
            file.create_dataset("key", data=rows.key, dtype=h5py.string_dtype())
            for field, array in arrays.items():
                file[field] = array
            file.attrs["backend"] = backend
        self._add(_Source(path, {field: field for field in arrays}, backend), rows.key, rows.digest)

    def assemble(
        self,
        entries: Sequence[Entry],
        classes: Sequence[str],
        unreadable: Sequence[Unreadable],
        source: str,
        learnt: int = 0,
    ) -> bool:
        """Write the feature file with exactly these rows in this order, in flat memory, and drop the shards.

        `learnt` says of how many rows the network knew the label when it made their vectors. Returns whether anything
        had to be written.
        """
        splits = {split: [entry for entry in entries if entry.photograph.split == split] for split in store.SPLITS}
        changed = not self._is_current(splits, classes, unreadable, source)
        if changed:
            places = {split: [self._known_place(row) for row in rows] for split, rows in splits.items()}
            used = {number for split in places.values() for number, _ in split}
            backends = {name for number in used for name in self._sources[number].backend.split(",")}
            with store.writing(self.path) as file:
                file.attrs.update(asdict(self.recipe))
                file.attrs.update(
                    format=store.FORMAT,
                    version=store.VERSION,
                    source=source,
                    learnt=learnt,
                    backend=",".join(sorted(backends)),
                    package_version=__version__,
                    created=datetime.now(UTC).isoformat(timespec="seconds"),
                )
                text = h5py.string_dtype()
                for split, rows in splits.items():
                    file.create_dataset(f"{split}_id", data=[row.photograph.id for row in rows], dtype=text)
                    self._copy(file, split, places[split])
                file["label"] = np.array([row.photograph.label for row in splits["train"]], np.int64)
                file["label"].attrs["classes"] = np.array(classes, dtype=h5py.string_dtype())
                shape = (len(unreadable), len(Unreadable._fields))
                file.create_dataset("unreadable", shape, dtype=text, data=np.array(unreadable, object).reshape(shape))
        for folder in self._shards.parent.glob(f"{self.recipe.backbone}-*"):
            shutil.rmtree(folder)
        for leftover in self.path.parent.glob(f".{self.path.name}.*.tmp"):
            leftover.unlink()  # of a run that was killed while it assembled
        return changed

    def _place(self, entry: Entry) -> tuple[int, int] | None:
        return self._places.get((entry.key, entry.digest)) or self._renamed.get(entry.digest)

    def _known_place(self, entry: Entry) -> tuple[int, int]:
        place = self._place(entry)
        if place is None:
            raise AssertionError(f"{entry.key} was never computed")
        return place

    def _add(self, source: _Source, keys: Iterable[str], digests: NDArray[np.uint64]) -> None:
        identities = list(zip(keys, digests.tolist(), strict=True))
        self._places.update(zip(identities, zip(repeat(len(self._sources)), range(len(identities))), strict=True))
        self._sources.append(source)

    def _is_current(
        self,
        splits: Mapping[str, Sequence[Entry]],
        classes: Sequence[str],
        unreadable: Sequence[Unreadable],
        source: str,
    ) -> bool:
        old = self._existing
        said = (tuple(classes), tuple(unreadable), source)
        if old is None or (old.classes, old.unreadable, old.source) != said:
            return False
        return old.labels.tolist() == [entry.photograph.label for entry in splits["train"]] and all(
            old.ids[split].tolist() == [entry.photograph.id for entry in entries]
            and old.digests[split].tolist() == [entry.digest for entry in entries]
            for split, entries in splits.items()
        )

    def _copy(self, file: h5py.File, split: str, places: Sequence[tuple[int, int]]) -> None:
        """Copy rows, given as (source, row in it), into the data sets of a split, block by block."""
        for field in self._sources[0].datasets:
            name = split if field == "vector" else f"{split}_{field}"
            shape, dtype = self._shape_and_dtype(field)
            chunks = (min(len(places), _CHUNK_ROWS), *shape) if places else None
            target = file.create_dataset(name, (len(places), *shape), dtype, chunks=chunks)
            for start in range(0, len(places), _BLOCK_ROWS):
                block = np.array(places[start : start + _BLOCK_ROWS])
                values = np.empty((len(block), *shape), dtype)
                for number in np.unique(block[:, 0]):
                    chosen = block[:, 0] == number
                    values[chosen] = self._read_rows(number, field, block[chosen, 1])
                target[start : start + len(block)] = values

    def _shape_and_dtype(self, field: str) -> tuple[tuple[int, ...], np.dtype]:
        source = self._sources[0]
        with store.reading(source.path) as file:
            dataset = file[source.datasets[field]]
            return dataset.shape[1:], dataset.dtype

    def _read_rows(self, number: int, field: str, rows: NDArray[np.intp]) -> NDArray[Any]:
        wanted, inverse = np.unique(rows, return_inverse=True)
        first, last = wanted[0], wanted[-1]
        source = self._sources[number]
        with store.reading(source.path) as file:
            dataset = file[source.datasets[field]]
            if last - first < 2 * len(wanted):  # HDF5 reads a range far faster than a list of rows
                return dataset[first : last + 1][rows - first]
            return dataset[wanted][inverse]


def refuse_other_recipe(existing: Features, recipe: Recipe) -> None:
    """Raise a StoreError that names the fields in which an existing file's recipe differs."""
    differences = existing.recipe.differences(recipe)
    if differences:
        raise StoreError(
            f"{existing.path} was written with {'; '.join(differences)}",
            "Ask for what it was written with, choose another folder with --out, or delete it",
        )

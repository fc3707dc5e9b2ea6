"""What one network has computed so far: finished shards and an earlier feature file, assembled into a new one."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from catsdogs import __version__, store
from catsdogs.dataset import Photograph
from catsdogs.errors import StoreError
from catsdogs.store import Features, Recipe, Unreadable

SHARD_FOLDER = ".shards"
_BLOCK_ROWS = 4096  # 4,096 rows of 2,048 float32 are 32 MiB: what assembling holds at a time
_CHUNK_ROWS = 64


@dataclass(frozen=True)
class Rows:
    """What one network says of n photographs: the arrays of a shard, rows aligned.

    Attributes:
        digest: (n,) uint64, of the files' bytes.
        vector: (n, width) float32.
        statistics: (n, 4) float32, see `images.STATISTICS`.
        topk_class, topk_prob: (n, 10) int16 and float32, None without a classifier.
    """

    digest: NDArray[np.uint64]
    vector: NDArray[np.float32]
    statistics: NDArray[np.float32]
    topk_class: NDArray[np.int16] | None = None
    topk_prob: NDArray[np.float32] | None = None


class Entry(NamedTuple):
    """A readable photograph and the digest of its bytes."""

    photograph: Photograph
    digest: int


@dataclass(frozen=True)
class _Source:
    """A shard, or one split of a feature file: field of `Rows` -> data set in the file at `path`."""

    path: Path
    datasets: Mapping[str, str]


class Cache:
    """The rows of one recipe in one folder, found by the digest of the photograph.

    Raises:
        StoreError: the folder's feature file was written by another recipe.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.recipe = recipe
        self.path = store.path_of(folder, recipe.backbone)
        key = hashlib.sha256(json.dumps(asdict(recipe)).encode()).hexdigest()[:12]
        self._shards = folder / SHARD_FOLDER / f"{recipe.backbone}-{key}"
        self._others = folder.glob(f"{SHARD_FOLDER}/{recipe.backbone}-*")
        self._sources: list[_Source] = []
        self._index: dict[int, tuple[int, int]] = {}
        self._existing = store.read(self.path) if self.path.exists() else None
        if self._existing:
            refuse_other_recipe(self._existing, recipe)
            with store.reading(self.path) as file:
                for split in store.SPLITS:
                    names = {"vector": split} | {field: f"{split}_{field}" for field in _FIELDS if field != "vector"}
                    names = {field: name for field, name in names.items() if name in file}
                    self._add(_Source(self.path, names), self._existing.digests[split])
        for path in sorted(self._shards.glob("*.h5")):
            try:
                with store.reading(path) as file:
                    self._add(_Source(path, {field: field for field in file}), file["digest"][...])
            except StoreError:
                path.unlink()  # a shard is named only once it is whole, so the disk damaged it: compute it again

    def __contains__(self, digest: int) -> bool:
        return digest in self._index

    @property
    def existing(self) -> Features | None:
        """The feature file as it was when the cache was opened."""
        return self._existing

    def write_shard(self, rows: Rows) -> None:
        """Keep finished rows; from now on they survive a kill."""
        arrays = {field: array for field, array in vars(rows).items() if array is not None}
        arrays["vector"] = rows.vector.astype(self.recipe.dtype)
        path = self._shards / f"{hashlib.sha256(rows.digest.tobytes()).hexdigest()[:24]}.h5"
        with store.writing(path) as file:
            for field, array in arrays.items():
                file[field] = array
        self._add(_Source(path, {field: field for field in arrays}), rows.digest)

    def assemble(
        self,
        entries: Sequence[Entry],
        classes: Sequence[str],
        unreadable: Sequence[Unreadable],
        source: str,
        backend: str,
    ) -> bool:
        """Write the feature file with exactly these rows in this order, in flat memory, and drop the shards.

        Returns whether anything had to be written.
        """
        splits = {split: [entry for entry in entries if entry.photograph.split == split] for split in store.SPLITS}
        changed = not self._is_current(splits, classes, unreadable)
        if changed:
            with store.writing(self.path) as file, self._opened() as opened:
                file.attrs.update(asdict(self.recipe))
                file.attrs.update(
                    format=store.FORMAT,
                    version=store.VERSION,
                    source=source,
                    backend=backend,
                    package_version=__version__,
                    created=datetime.now(UTC).isoformat(timespec="seconds"),
                )
                text = h5py.string_dtype()
                for split, rows in splits.items():
                    file.create_dataset(f"{split}_id", data=[row.photograph.id for row in rows], dtype=text)
                    self._copy(file, split, [self._index[row.digest] for row in rows], opened)
                file["label"] = np.array([row.photograph.label for row in splits["train"]], np.int64)
                file["label"].attrs["classes"] = np.array(classes, dtype=object)
                shape = (len(unreadable), len(Unreadable._fields))
                file.create_dataset("unreadable", shape, dtype=text, data=np.array(unreadable, object).reshape(shape))
        for folder in self._others:
            shutil.rmtree(folder)
        return changed

    def _add(self, source: _Source, digests: NDArray[np.uint64]) -> None:
        number = len(self._sources)
        self._sources.append(source)
        for row, digest in enumerate(digests.tolist()):
            self._index.setdefault(digest, (number, row))

    def _is_current(
        self, splits: Mapping[str, Sequence[Entry]], classes: Sequence[str], unreadable: Sequence[Unreadable]
    ) -> bool:
        old = self._existing
        if old is None or old.classes != tuple(classes) or old.unreadable != tuple(unreadable):
            return False
        return old.labels.tolist() == [entry.photograph.label for entry in splits["train"]] and all(
            old.ids[split].tolist() == [entry.photograph.id for entry in entries]
            and old.digests[split].tolist() == [entry.digest for entry in entries]
            for split, entries in splits.items()
        )

    @contextlib.contextmanager
    def _opened(self) -> Iterator[list[h5py.File]]:
        with contextlib.ExitStack() as stack:
            files = {
                path: stack.enter_context(store.reading(path)) for path in dict.fromkeys(s.path for s in self._sources)
            }
            yield [files[source.path] for source in self._sources]

    def _copy(self, file: h5py.File, split: str, places: Sequence[tuple[int, int]], opened: list[h5py.File]) -> None:
        """Copy rows, given as (source, row in it), into the data sets of a split, block by block."""
        template = self._sources[0]
        for field in template.datasets:
            like = opened[0][template.datasets[field]]
            name = split if field == "vector" else f"{split}_{field}"
            shape = (len(places), *like.shape[1:])
            chunks = (min(len(places), _CHUNK_ROWS), *like.shape[1:]) if places else None
            target = file.create_dataset(name, shape, like.dtype, chunks=chunks)
            for start in range(0, len(places), _BLOCK_ROWS):
                block = np.array(places[start : start + _BLOCK_ROWS])
                values = np.empty((len(block), *like.shape[1:]), like.dtype)
                for number in np.unique(block[:, 0]):
                    chosen = block[:, 0] == number
                    rows, inverse = np.unique(block[chosen, 1], return_inverse=True)
                    dataset = opened[number][self._sources[number].datasets[field]]
                    dense = rows[-1] - rows[0] < 2 * len(rows)  # HDF5 reads a range far faster than a list of rows
                    got = dataset[rows[0] : rows[-1] + 1][rows - rows[0]] if dense else dataset[rows]
                    values[chosen] = got[inverse]
                target[start : start + len(block)] = values


_FIELDS = tuple(Rows.__dataclass_fields__)


def refuse_other_recipe(existing: Features, recipe: Recipe) -> None:
    """Raise a StoreError that names the fields in which an existing file's recipe differs."""
    differences = existing.recipe.differences(recipe)
    if differences:
        raise StoreError(
            f"{existing.path} was written with {'; '.join(differences)}",
            "Ask for what it was written with, choose another folder with --out, or delete it",
        )

"""What one network has computed so far: finished shards and an earlier feature file, assembled into a new one."""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from catsdogs import __version__
from catsdogs.errors import DamagedError, MissingError, StoreError
from catsdogs.features import feature_file, virtual
from catsdogs.features.feature_file import SHARD_FOLDER, Features, Recipe, Unreadable
from catsdogs.features.virtual import LostPartError, Part
from catsdogs.files import atomic, hdf5, lease, storage
from catsdogs.networks.table import POOLED
from catsdogs.photographs.dataset import Photograph

_BLOCK_ROWS = 512  # rows of 2,048 float32 are 4 MiB: what assembling holds at a time, two or three times
_CHUNK_ROWS = 64
_KEY_DIGITS = 12  # of a recipe, behind its network's name and a hyphen: both together name a folder of shards
_STORED = ("digest", "vector", "statistics", "topk_class", "topk_prob")


@dataclass(frozen=True)
class ShardRows:
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


class DigestedPhotograph(NamedTuple):
    """A readable photograph and the digest of its bytes."""

    photograph: Photograph
    digest: int

    @property
    def key(self) -> str:
        """What a row is called: `train/cat.0`."""
        return f"{self.photograph.split}/{self.photograph.id}"


@dataclass(frozen=True)
class _RowSource:
    """A shard, or one split of a feature file: field of `ShardRows` -> data set in the file at `path`."""

    path: Path
    datasets: Mapping[str, str]
    backend: str


class Cache:
    """The rows of one recipe in one folder.

    A row is found by its key and digest. A photograph that was renamed is found by its digest alone, in the feature
    file but not in shards: so which rows a run computes, and in which batches, never depends on where an earlier run
    was killed, and the results are the same bit for bit.

    Attributes:
        set_aside: damaged files, under the names that they have now; their rows are not there.

    Raises:
        StoreError: the folder's feature file was written by another recipe.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.recipe = recipe
        self.path = feature_file.path_of(folder, recipe.backbone)
        said = {name: value for name, value in asdict(recipe).items() if (name, value) != ("vector", POOLED)}
        key = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:_KEY_DIGITS]  # as before there was another vector
        self._shards = folder / SHARD_FOLDER / f"{recipe.backbone}-{key}"
        self._merged = virtual.parts_folder(self.path) / key
        self.set_aside: list[Path] = []
        self._renew = lease.over(self.path)
        self._sources: list[_RowSource] = []
        self._places: dict[tuple[str, int], tuple[int, int]] = {}
        self._renamed: dict[int, tuple[int, int]] = {}
        listed = [self.path.parent / shard.name for shard in self._listed()]
        self._add_shards(
            path for path in _shards_in(self._merged) if path not in listed
        )  # of a run killed while it merged
        self._add_shards(path for path in listed if storage.exists(path))
        self._existing = self._read_existing()
        if self._existing:
            with feature_file.reading(self.path) as file:
                for split in feature_file.SPLITS:
                    if not virtual.parts_of(file, split):
                        fields = {field: name for field, name in _dataset_names(split).items() if name in file}
                        source = _RowSource(self.path, fields, file.attrs["backend"])
                        keys = (f"{split}/{id}" for id in self._existing.ids[split])
                        self._add(source, keys, self._existing.digests[split])
            kept = [
                (f"{split}/{id}", digest)
                for split in feature_file.SPLITS
                for id, digest in zip(self._existing.ids[split], self._existing.digests[split].tolist(), strict=True)
            ]
            self._renamed = {digest: self._places[key, digest] for key, digest in reversed(kept)}
        self._add_shards(_shards_in(self._shards))

    def __contains__(self, entry: DigestedPhotograph) -> bool:
        return self._place(entry) is not None

    @property
    def existing(self) -> Features | None:
        """The feature file as it was when the cache was opened."""
        return self._existing

    @property
    def identities(self) -> KeysView[tuple[str, int]]:
        """The key and digest of every row in the feature file and the shards, in this order."""
        return self._places.keys()

    def write_shard(self, rows: ShardRows, backend: str) -> None:
        """Keep finished rows and what computed them; from now on they survive a kill."""
        arrays = {field: getattr(rows, field) for field in _STORED if getattr(rows, field) is not None}
        arrays["vector"] = rows.vector.astype(self.recipe.dtype)
        path = self._shards / _shard_name(rows.key, rows.digest)
        with hdf5.writing(path) as file:
            file.create_dataset("key", data=rows.key, dtype=h5py.string_dtype())
            for field, array in arrays.items():
                file[field] = array
            file.attrs["backend"] = backend
        self._add(_RowSource(path, {field: field for field in arrays}, backend), rows.key, rows.digest)

    def assemble(
        self,
        entries: Sequence[DigestedPhotograph],
        classes: Sequence[str],
        unreadable: Sequence[Unreadable],
        source: str,
        learnt: int = 0,
    ) -> bool:
        """Write the feature file with exactly these rows in this order, in flat memory, and drop the shards.

        `learnt` says of how many rows the network knew the label when it made their vectors. Returns whether anything
        had to be written.
        """
        splits = {
            split: [entry for entry in entries if entry.photograph.split == split] for split in feature_file.SPLITS
        }
        changed = not self._is_current(splits, classes, unreadable, source)
        if changed:
            self._confirm()
            places = {split: [self._known_place(row) for row in rows] for split, rows in splits.items()}
            merged: dict[str, list[Part]] = {}
            if len(entries) > virtual.VIRTUAL_ROWS:
                merged = {split: self._merge(rows, places[split]) for split, rows in splits.items()}
            with hdf5.writing(self.path) as file:
                file.attrs.update(asdict(self.recipe))
                file.attrs.update(
                    format=feature_file.FORMAT,
                    version=feature_file.VERSION,
                    source=source,
                    learnt=learnt,
                    backend=self._backend(chain(*places.values())),
                    package_version=__version__,
                    created=datetime.now(UTC).isoformat(timespec="seconds"),
                )
                text = h5py.string_dtype()
                for split, rows in splits.items():
                    file.create_dataset(f"{split}_id", data=[row.photograph.id for row in rows], dtype=text)
                    if merged.get(split):
                        file[f"{split}_digest"] = np.array([row.digest for row in rows], np.uint64)
                        shapes = {field: self._shape_and_dtype(field) for field in self._fields if field != "digest"}
                        virtual.write_virtual(file, split, merged[split], _dataset_names(split), shapes)
                    else:
                        self._copy(file, _dataset_names(split), places[split])
                file["label"] = np.array([row.photograph.label for row in splits["train"]], np.int64)
                file["label"].attrs["classes"] = np.array(classes, dtype=h5py.string_dtype())
                shape = (len(unreadable), len(Unreadable._fields))
                file.create_dataset("unreadable", shape, dtype=text, data=np.array(unreadable, object).reshape(shape))
        self._drop_unlisted()
        self._drop_shards()
        return changed

    def _confirm(self) -> None:
        """What is put and removed here is still this run's to put and remove, see `lease.confirm`."""
        renew = self._renew or lease.over(self.path)
        if renew:
            renew()

    def _place(self, entry: DigestedPhotograph) -> tuple[int, int] | None:
        return self._places.get((entry.key, entry.digest)) or self._renamed.get(entry.digest)

    def _known_place(self, entry: DigestedPhotograph) -> tuple[int, int]:
        place = self._place(entry)
        if place is None:
            raise AssertionError(f"{entry.key} was never computed")
        return place

    def _add(self, source: _RowSource, keys: Iterable[str], digests: NDArray[np.uint64]) -> None:
        identities = list(zip(keys, digests.tolist(), strict=True))
        self._places.update(zip(identities, zip(repeat(len(self._sources)), range(len(identities))), strict=True))
        self._sources.append(source)

    @property
    def _fields(self) -> Iterable[str]:
        """What there is of every row, as data sets of a shard."""
        return self._sources[0].datasets

    def _listed(self) -> list[Part]:
        """The shards that the feature file refers to, whether they are there or not."""
        try:
            return self._referred()
        except (DamagedError, MissingError):
            return []

    def _referred(self) -> list[Part]:
        with feature_file.reading(self.path) as file:
            return [shard for split in feature_file.SPLITS for shard in virtual.parts_of(file, split)]

    def _add_shards(self, paths: Iterable[Path]) -> None:
        for path in paths:
            try:
                with feature_file.reading(path) as file:
                    fields = {field: field for field in _STORED if field in file}
                    source = _RowSource(path, fields, file.attrs["backend"])
                    self._add(source, file["key"].asstr()[...], file["digest"][...])
            except DamagedError:  # by the disk, for a shard is named only once it is whole: its rows are not there
                self.set_aside.append(hdf5.set_aside(path, self.path.parent))

    def _read_existing(self) -> Features | None:
        """The feature file; None, and set aside, if it or a shard of it is damaged or missing."""
        if not storage.exists(self.path):
            return None
        try:
            refuse_other_recipe(self.path, feature_file.recipe_of(self.path), self.recipe)
            return feature_file.read_features(self.path)
        except (DamagedError, LostPartError):
            self.set_aside.append(hdf5.set_aside(self.path, self.path.parent))
            return None

    def _drop_unlisted(self) -> None:
        """Remove the shards that the feature file does not refer to, and what a killed run left among them.

        Raises:
            StoreError: the feature file cannot be read, so nobody knows which these are; or they cannot be removed.
        """
        folder, listed = virtual.parts_folder(self.path), {self.path.parent / shard.name for shard in self._referred()}
        if not storage.exists(folder):
            return
        self._confirm()
        with _removing(folder):
            if not listed:
                storage.remove(folder)
                return
            names = storage.list_stamps(folder) if storage.is_remote(folder) else folder.rglob("*")
            paths = [folder / name for name in names]
            storage.remove_all(
                [path for path in paths if path not in listed and (storage.is_remote(path) or path.is_file())]
            )

    def _drop_shards(self) -> None:
        """Remove the shards that have been assembled: in a store this run's own, which others may share.

        On this machine, under its lock, also those of the network's other recipes, and what a killed run left.
        """
        if storage.is_remote(self.path):
            own = [source.path for source in self._sources if source.path.parent == self._shards]
            if own:
                self._confirm()
                storage.remove_all(own)
            return
        atomic.clear_temporary(self.path)
        if not storage.exists(self._shards.parent):
            return
        of_network = re.compile(rf"{re.escape(self.recipe.backbone)}-[0-9a-f]{{{_KEY_DIGITS}}}")
        self._confirm()
        with _removing(self._shards.parent):
            for name in os.listdir(self._shards.parent):  # noqa: PTH208 - names
                if of_network.fullmatch(name):
                    storage.remove(self._shards.parent / name)

    def _backend(self, places: Iterable[tuple[int, int]]) -> str:
        """What computed these rows."""
        used = {number for number, _ in places}
        return ",".join(sorted({name for number in used for name in self._sources[number].backend.split(",")}))

    def _merge(self, rows: Sequence[DigestedPhotograph], places: Sequence[tuple[int, int]]) -> list[Part]:
        """Bring rows, given as (source, row in it), into shards of a virtual file; those that are there stay."""
        shards = []
        for stretch in virtual.part_rows(np.array([row.digest for row in rows], np.uint64)):
            keys = np.array([row.key for row in rows[stretch]], object)
            digests = np.array([row.digest for row in rows[stretch]], np.uint64)
            path = self._merged / _shard_name(keys, digests)
            if not storage.exists(path):
                with hdf5.writing(path) as file:
                    file.create_dataset("key", data=keys, dtype=h5py.string_dtype())
                    self._copy(file, {field: field for field in self._fields}, places[stretch])
                    file.attrs["backend"] = self._backend(places[stretch])
            name = "/".join(path.parts[-3:])
            shards.append(Part(name, len(keys), storage.size(path)))
        return shards

    def _is_current(
        self,
        splits: Mapping[str, Sequence[DigestedPhotograph]],
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

    def _copy(self, file: h5py.File, names: Mapping[str, str], places: Sequence[tuple[int, int]]) -> None:
        """Copy rows, given as (source, row in it), into new data sets, field -> name, block by block."""
        for field in self._fields:
            shape, dtype = self._shape_and_dtype(field)
            chunks = (min(len(places), _CHUNK_ROWS), *shape) if places else None
            target = file.create_dataset(names[field], (len(places), *shape), dtype, chunks=chunks)
            for start in range(0, len(places), _BLOCK_ROWS):
                block = np.array(places[start : start + _BLOCK_ROWS])
                values = np.empty((len(block), *shape), dtype)
                for number in np.unique(block[:, 0]):
                    chosen = block[:, 0] == number
                    values[chosen] = self._read_rows(number, field, block[chosen, 1])
                target[start : start + len(block)] = values

    def _shape_and_dtype(self, field: str) -> tuple[tuple[int, ...], np.dtype]:
        source = self._sources[0]
        with feature_file.reading(source.path) as file:
            dataset = file[source.datasets[field]]
            return dataset.shape[1:], dataset.dtype

    def _read_rows(self, number: int, field: str, rows: NDArray[np.intp]) -> NDArray[Any]:
        source = self._sources[number]
        with feature_file.reading(source.path) as file:
            return virtual.read_chosen(file[source.datasets[field]], rows)


def refuse_other_recipe(path: Path, existing: Recipe, recipe: Recipe) -> None:
    """Raise a StoreError that names the fields in which the recipe of an existing file differs."""
    differences = existing.differences(recipe)
    if differences:
        raise StoreError(
            f"{path} was written with {'; '.join(differences)}",
            "Ask for what it was written with, choose another folder with --out, or delete it",
        )


@contextlib.contextmanager
def _removing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = storage.reason_of(error) or str(error)
        raise StoreError(
            f"What was assembled from {folder} cannot be removed: {reason}", "Run the same command again"
        ) from None


def _dataset_names(split: str) -> dict[str, str]:
    """Field of `ShardRows` -> its data set in a feature file."""
    return {field: split if field == "vector" else f"{split}_{field}" for field in _STORED}


def _shard_name(keys: NDArray[np.object_], digests: NDArray[np.uint64]) -> str:
    """Says what is in it, so that whoever writes the same rows again writes the same file."""
    return hashlib.sha256(digests.tobytes() + "\n".join(keys).encode()).hexdigest()[:24] + ".h5"


def _shards_in(folder: Path) -> list[Path]:
    """The finished shards of a folder, in order."""
    return [folder / name for name in storage.names_in(folder, ".h5")]

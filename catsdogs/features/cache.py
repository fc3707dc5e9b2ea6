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
from types import MappingProxyType
from typing import NamedTuple, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from catsdogs import __version__
from catsdogs.errors import DamagedError, MissingError, StoreError
from catsdogs.features import feature_file, recipes, virtual
from catsdogs.features.feature_file import SHARD_FOLDER, SPLITS, Features, Unreadable
from catsdogs.features.recipes import Recipe
from catsdogs.features.virtual import Part, dataset_name
from catsdogs.files import atomic, cards, hdf5, storage
from catsdogs.photographs import label_texts
from catsdogs.photographs.dataset import Photograph
from catsdogs.photographs.task import Task

_COPIED_ROWS = 512  # rows of 2,048 float32 are 4 MiB: what assembling holds at a time, two or three times
_MANY_CLASSES = 500  # names of 100 letters fit into the 64 KB of a plain attribute
_CHUNK_ROWS = 64
_TEXT = h5py.string_dtype()
_KEY_DIGITS = 12  # of a recipe's hash; a folder of shards is called `<Backbone>-<digits>`
_FIELDS = ("digest", "vector", "statistics", "topk_class", "topk_prob")


@dataclass(frozen=True)
class ShardRows:
    """What one network computed of n photographs: the arrays of a shard, rows aligned.

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
    """A readable photograph and the digest of its bytes. It is the identity of a row."""

    photograph: Photograph
    digest: int

    @property
    def key(self) -> str:
        """The row's name: `train/cat.0`."""
        return f"{self.photograph.split}/{self.photograph.id}"


class _Labels(NamedTuple):
    """What is known of the training rows besides their photographs, as in `Features`."""

    numbers: NDArray[np.int64]
    classes: tuple[str, ...]
    task: Task
    groups: NDArray[np.object_]

    @classmethod
    def of(
        cls, rows: Sequence[DigestedPhotograph], classes: Sequence[str], task: Task | None, group_of: Mapping[str, str]
    ) -> Self:
        numbers = np.array([row.photograph.label for row in rows], np.int64)
        groups = feature_file.groups_of([row.photograph.id for row in rows], group_of)
        return cls(numbers, tuple(classes), task or Task.of_classes(classes), groups)

    @property
    def targets(self) -> NDArray[np.float64]:
        return label_texts.table_of(self.task, self.classes)[self.numbers]

    @property
    def version(self) -> int:
        return feature_file.VERSION if self.targets.size or self.groups.size else feature_file.OLDEST_VERSION

    def are_those_of(self, file: Features) -> bool:
        groups = file.groups.tolist() == self.groups.tolist()
        told = (file.classes, file.task) == (self.classes, self.task)
        return groups and told and file.labels.tolist() == self.numbers.tolist()

    def write(self, file: h5py.File) -> None:
        text = h5py.string_dtype()
        file["label"] = self.numbers
        file["label"].attrs["classes"] = np.array(self.classes, dtype=text)
        if self.targets.size:
            file["targets"] = self.targets
            file["targets"].attrs["names"] = np.array(self.task.names or self.task.targets, dtype=text)
        if self.groups.size:
            file.create_dataset("group", data=self.groups, dtype=text)


@dataclass(frozen=True)
class _RowSource:
    """Where rows lie, and what computed them: a split of the feature file; or a shard or part, whose split is empty."""

    path: Path
    split: str
    backend: str


class Cache:
    """The rows of one recipe in one folder.

    A row is looked up by its key and digest. Rows of the feature file are also looked up by the digest alone, so a
    photograph may be renamed. Rows of shards are not: which rows a run computes, and in which batches, must not depend
    on where an earlier run was killed. So the results are the same bit for bit.

    Attributes:
        existing: the feature file as it was when the cache was opened.
        set_aside: damaged files, under the names that they have now; the cache lacks their rows.

    Raises:
        StoreError: the folder's feature file was written by another recipe.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.recipe = recipe
        self.path = feature_file.path_of(folder, recipe.backbone)
        # Recipes did not have the newer fields before there was a choice.
        named = {name: value for name, value in asdict(recipe).items() if recipes.DEFAULTS.get(name) != value}
        key = hashlib.sha256(json.dumps(named).encode()).hexdigest()[:_KEY_DIGITS]
        self._shards = folder / SHARD_FOLDER / f"{recipe.backbone}-{key}"
        self._parts = virtual.parts_folder(self.path) / key
        self.set_aside: list[Path] = []
        self._sources: list[_RowSource] = []
        # (key, digest) or the digest alone -> the number of a source, and the row in it
        self._places: dict[tuple[str, int], tuple[int, int]] = {}
        self._renamed: dict[int, tuple[int, int]] = {}
        listed: set[Path] = set()
        with contextlib.suppress(DamagedError, MissingError):
            listed = self._listed_parts()
        # First those that a killed run wrote: of a row that changed, the feature file's counts.
        self._add_files(sorted(_files_in(self._parts), key=listed.__contains__))
        self.existing = self._read_existing()
        if self.existing:
            self._add_existing(self.existing)
        self._add_files(_files_in(self._shards))

    def __contains__(self, entry: DigestedPhotograph) -> bool:
        return (entry.key, entry.digest) in self._places or entry.digest in self._renamed

    @property
    def identities(self) -> KeysView[tuple[str, int]]:
        """The key and digest of every row, those of the feature file before those of the shards."""
        return self._places.keys()

    def write_shard(self, rows: ShardRows, backend: str) -> None:
        """Write finished rows, and what computed them. From now on they survive a kill."""
        arrays = {field: getattr(rows, field) for field in _FIELDS if getattr(rows, field) is not None}
        arrays["vector"] = rows.vector.astype(self.recipe.dtype)
        path = self._shards / _name_by_rows(rows.key, rows.digest)
        with hdf5.writing(path) as file:
            file.create_dataset("key", data=rows.key, dtype=h5py.string_dtype())
            for field, array in arrays.items():
                file[field] = array
            file.attrs["backend"] = backend
        self._add(_RowSource(path, "", backend), rows.key, rows.digest)

    def assemble(
        self,
        entries: Sequence[DigestedPhotograph],
        classes: Sequence[str],
        unreadable: Sequence[Unreadable],
        source: str,
        learnt: int = 0,
        gflops: float = 0.0,
        task: Task | None = None,
        group_of: Mapping[str, str] = MappingProxyType({}),
    ) -> bool:
        """Write the feature file with exactly these rows in this order, in flat memory, and remove the shards.

        `learnt`, `gflops`, `source` and `task` are as in `Features`; `group_of`: id -> group of training rows. Returns
        whether the file had to be written.
        """
        splits = {split: [entry for entry in entries if entry.photograph.split == split] for split in SPLITS}
        labels = _Labels.of(splits["train"], classes, task, group_of)
        changed = not self._is_current(splits, labels, unreadable, source)
        if changed:
            places = {split: [self._place(row) for row in rows] for split, rows in splits.items()}
            parts: dict[str, list[Part]] = {}
            if len(entries) > virtual.VIRTUAL_ROWS:
                parts = {split: self._write_parts(rows, places[split]) for split, rows in splits.items()}
            with hdf5.writing(self.path, has_long_attributes=len(classes) > _MANY_CLASSES) as file:
                file.attrs.update(self.recipe.as_dict())
                file.attrs.update(
                    format=feature_file.FORMAT,
                    version=labels.version,
                    task=cards.as_json(asdict(labels.task)),
                    source=source,
                    learnt=learnt,
                    gflops=gflops,
                    backend=self._backend(chain(*places.values())),
                    package_version=__version__,
                    created=datetime.now(UTC).isoformat(timespec="seconds"),
                )
                for split, rows in splits.items():
                    file.create_dataset(f"{split}_id", data=[row.photograph.id for row in rows], dtype=_TEXT)
                    if parts.get(split):
                        file[f"{split}_digest"] = np.array([row.digest for row in rows], np.uint64)
                        kinds = {field: kind for field, kind in self._kinds().items() if field != "digest"}
                        virtual.write_virtual(file, split, parts[split], kinds)
                    else:
                        self._copy_rows(file, split, places[split])
                labels.write(file)
                table = np.array(unreadable, object).reshape(len(unreadable), len(Unreadable._fields))
                file.create_dataset("unreadable", dtype=_TEXT, data=table)
        self._drop_unlisted_parts()
        self._drop_shards()
        return changed

    def _place(self, entry: DigestedPhotograph) -> tuple[int, int]:
        return self._places.get((entry.key, entry.digest)) or self._renamed[entry.digest]

    def _add(self, source: _RowSource, keys: Iterable[str], digests: NDArray[np.uint64]) -> None:
        identities = list(zip(keys, digests.tolist(), strict=True))
        self._places.update(zip(identities, zip(repeat(len(self._sources)), range(len(identities))), strict=True))
        self._sources.append(source)

    def _listed_parts(self) -> set[Path]:
        """The parts of the feature file, whether they are there or not."""
        with feature_file.reading_rows(self.path) as file:
            return {self.path.parent / part.name for split in SPLITS for part in virtual.parts_of(file, split)}

    def _add_files(self, paths: Iterable[Path]) -> None:
        """Add the rows of shards or parts. A damaged one is set aside: it was whole when it got its name."""
        for path in paths:
            try:
                with feature_file.reading_rows(path) as file:
                    source = _RowSource(path, "", file.attrs["backend"])
                    self._add(source, file["key"].asstr()[...], file["digest"][...])
            except DamagedError:
                self.set_aside.append(hdf5.set_aside(path, self.path.parent))

    def _add_existing(self, existing: Features) -> None:
        """Add the rows of the feature file, those in its parts being there already; and all by their digests alone."""
        with feature_file.reading_rows(self.path) as file:
            for split in SPLITS:
                if not virtual.parts_of(file, split):
                    source = _RowSource(self.path, split, file.attrs["backend"])
                    self._add(source, (f"{split}/{id}" for id in existing.ids[split]), existing.digests[split])
        for split in SPLITS:
            for id, digest in zip(existing.ids[split], existing.digests[split].tolist(), strict=True):
                self._renamed.setdefault(digest, self._places[f"{split}/{id}", digest])  # of copies the first counts

    def _read_existing(self) -> Features | None:
        """The feature file. If it or a part of it is damaged or missing, it is set aside, and there is none."""
        if not storage.exists(self.path):
            return None
        try:
            differences = feature_file.recipe_of(self.path).differences(self.recipe)
            if differences:
                raise StoreError(
                    f"{self.path} was written with {'; '.join(differences)}",
                    "Ask for what it was written with, choose another folder with --out, or delete it",
                )
            return feature_file.read_features(self.path)
        except DamagedError:
            self.set_aside.append(hdf5.set_aside(self.path, self.path.parent))
            return None

    def _drop_unlisted_parts(self) -> None:
        """Remove the parts that are not of the feature file, and what a killed run left among them.

        Raises:
            StoreError: the feature file cannot be read, so nobody knows which these are; or they cannot be removed.
        """
        folder, listed = virtual.parts_folder(self.path), self._listed_parts()
        if not storage.exists(folder):
            return
        with _removing(folder):
            if not listed:
                storage.remove(folder)
                return
            if storage.is_remote(folder):
                paths = [folder / name for name in storage.list_stamps(folder)]
            else:
                paths = [path for path in folder.rglob("*") if path.is_file()]
            storage.remove_all([path for path in paths if path not in listed])

    def _drop_shards(self) -> None:
        """Remove the shards that have been assembled. In a store others may write there, too: only this run's own go.

        On this machine, under its lock, those of the network's other recipes go as well, and what a killed run left.
        """
        if storage.is_remote(self.path):
            own = [source.path for source in self._sources if source.path.parent == self._shards]
            if own:
                storage.remove_all(own)
            return
        atomic.clear_leftovers(self.path, alone=True)
        if not storage.exists(self._shards.parent):
            return
        of_network = re.compile(rf"{re.escape(self.recipe.backbone)}-[0-9a-f]{{{_KEY_DIGITS}}}")
        with _removing(self._shards.parent):
            for name in os.listdir(self._shards.parent):  # noqa: PTH208 - names
                if of_network.fullmatch(name):
                    storage.remove(self._shards.parent / name)

    def _backend(self, places: Iterable[tuple[int, int]]) -> str:
        """What computed these rows."""
        used = {number for number, _ in places}
        return ",".join(sorted({name for number in used for name in self._sources[number].backend.split(",")}))

    def _write_parts(self, rows: Sequence[DigestedPhotograph], places: Sequence[tuple[int, int]]) -> list[Part]:
        """Copy rows, given as (source, row in it), into parts; those that are there stay."""
        parts = []
        for stretch in virtual.part_rows(np.array([row.digest for row in rows], np.uint64)):
            keys = np.array([row.key for row in rows[stretch]], object)
            digests = np.array([row.digest for row in rows[stretch]], np.uint64)
            path = self._parts / _name_by_rows(keys, digests)
            if not storage.exists(path):
                with hdf5.writing(path) as file:
                    file.create_dataset("key", data=keys, dtype=h5py.string_dtype())
                    self._copy_rows(file, "", places[stretch])
                    file.attrs["backend"] = self._backend(places[stretch])
            parts.append(Part("/".join(path.parts[-3:]), len(keys), storage.size(path)))
        return parts

    def _is_current(
        self,
        splits: Mapping[str, Sequence[DigestedPhotograph]],
        labels: _Labels,
        unreadable: Sequence[Unreadable],
        source: str,
    ) -> bool:
        """Whether the feature file as it is holds all this already."""
        old = self.existing
        if old is None or (old.unreadable, old.source) != (tuple(unreadable), source) or not labels.are_those_of(old):
            return False
        return all(
            old.ids[split].tolist() == [entry.photograph.id for entry in entries]
            and old.digests[split].tolist() == [entry.digest for entry in entries]
            for split, entries in splits.items()
        )

    def _copy_rows(self, file: h5py.File, split: str, places: Sequence[tuple[int, int]]) -> None:
        """Copy rows, given as (source, row in it), block by block into new data sets: of a split, or of a part."""
        for field, (shape, dtype) in self._kinds().items():
            chunks = (min(len(places), _CHUNK_ROWS), *shape) if places else None
            target = file.create_dataset(dataset_name(split, field), (len(places), *shape), dtype, chunks=chunks)
            for start in range(0, len(places), _COPIED_ROWS):
                block = np.array(places[start : start + _COPIED_ROWS])
                values = np.empty((len(block), *shape), dtype)
                for number in np.unique(block[:, 0]):
                    own = block[:, 0] == number
                    source = self._sources[number]
                    with feature_file.reading_rows(source.path) as opened:
                        values[own] = virtual.read_chosen(opened[dataset_name(source.split, field)], block[own, 1])
                target[start : start + len(block)] = values

    def _kinds(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Each field that there is of every row -> the shape of a row of it, and its type."""
        source = self._sources[0]
        with feature_file.reading_rows(source.path) as file:
            named = [(field, dataset_name(source.split, field)) for field in _FIELDS]
            return {field: (file[name].shape[1:], file[name].dtype) for field, name in named if name in file}


@contextlib.contextmanager
def _removing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = storage.reason_of(error) or str(error)
        raise StoreError(
            f"What was assembled from {folder} cannot be removed: {reason}", "Run the same command again"
        ) from None


def _name_by_rows(keys: NDArray[np.object_], digests: NDArray[np.uint64]) -> str:
    """The name of a shard or part follows from its rows: whoever writes the same rows writes the same file."""
    return hashlib.sha256(digests.tobytes() + "\n".join(keys).encode()).hexdigest()[:24] + ".h5"


def _files_in(folder: Path) -> list[Path]:
    """The finished shards or parts of a folder, in order."""
    return [folder / name for name in storage.names_in(folder, ".h5")]

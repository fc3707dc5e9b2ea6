"""What one network has computed so far: finished shards and an earlier feature file, assembled into a new one."""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import h5py
import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import DamagedError, MissingError, StoreError
from catsdogs.features import assembling, feature_file, index, recipes, virtual
from catsdogs.features.assembling import Assembly, Labels
from catsdogs.features.copying import FIELDS, Copying, Source
from catsdogs.features.feature_file import SHARD_FOLDER, SPLITS, Unreadable
from catsdogs.features.index import Index, Piece
from catsdogs.features.recipes import Recipe
from catsdogs.features.rows import DigestedPhotograph as DigestedPhotograph
from catsdogs.features.rows import Places, Renamed, Rows, hashed
from catsdogs.files import atomic, hdf5, storage
from catsdogs.photographs import images
from catsdogs.photographs.task import Task

_TEXT = h5py.string_dtype()
_KEY_DIGITS = 12  # of a recipe's hash; a folder of shards is called `<Backbone>-<digits>`


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


@dataclass(frozen=True)
class Existing:
    """A feature file as it was when the cache was opened.

    Attributes:
        source: the data set's root.
        contents: see `assembling.hash_of`.
        keys, digests: (n,) uint64 of its rows, in order.
        pieces: where the rows lie, see `Index`; without seals and states where there was no index.
        head: the first bytes of the file, before it was read.
    """

    source: str
    unreadable: tuple[Unreadable, ...]
    contents: str
    keys: NDArray[np.uint64]
    digests: NDArray[np.uint64]
    pieces: tuple[Piece, ...]
    head: str = ""


class Cache:
    """The rows of one recipe in one folder.

    A row is looked up by its key and digest. Rows of the feature file are also looked up by the digest alone, so a
    photograph may be renamed. Rows of shards are not: which rows a run computes, and in which batches, must not depend
    on where an earlier run was killed. So the results are the same bit for bit.

    What the feature file and its parts hold is taken from their index, if that fits; else they are read.

    Attributes:
        existing: the feature file as it was when the cache was opened.
        set_aside: damaged files, under the names that they have now; the cache lacks their rows.

    Raises:
        StoreError: the folder's feature file was written by another recipe.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self._name(folder, recipe)
        found = index.fitting(self.path)
        listed: set[Path] = set()
        if found:
            self._refuse_other(found.recipe)
            listed = {folder / piece.name for piece in found.pieces}
        else:
            with contextlib.suppress(DamagedError, MissingError):
                listed = self._listed_parts()
        self._is_indexed = found is not None
        # First those that a killed run wrote: of a row that changed, the feature file's counts.
        parts = _files_in(self._parts)
        unlisted = [path for path in parts if path not in listed]
        self._add_files(unlisted if found else [*unlisted, *(path for path in parts if path in listed)])
        self.existing: Existing | None = self._take_from(found) if found else self._read_existing()
        if storage.is_remote(folder):
            self._stamps = storage.list_stamps(self._shards)
            self._add_files(self._shards / name for name in sorted(self._stamps) if name.endswith(".h5"))
        else:
            self._add_files(_files_in(self._shards))

    def _name(self, folder: Path, recipe: Recipe) -> None:
        """Say where everything lies, and know of no row."""
        self.recipe = recipe
        self.path = feature_file.path_of(folder, recipe.backbone)
        # Recipes did not have the newer fields before there was a choice.
        named = {name: value for name, value in asdict(recipe).items() if recipes.DEFAULTS.get(name) != value}
        key = hashlib.sha256(json.dumps(named).encode()).hexdigest()[:_KEY_DIGITS]
        self._shards = folder / SHARD_FOLDER / f"{recipe.backbone}-{key}"
        self._parts = virtual.parts_folder(self.path) / key
        self.set_aside: list[Path] = []
        self._sources: list[Source] = []
        self._places = Places()
        self._seals: dict[Path, bytes] = {}  # of the files that were written here
        self._stamps = dict[str, str]()  # of the shards in a store, when they were last listed

    def __contains__(self, entry: DigestedPhotograph) -> bool:
        key = images.digest(entry.key.encode())
        return self._places.find_one(key, entry.digest) >= 0 or self._is_renamed(entry.digest)

    def _is_renamed(self, digest: int) -> bool:
        return bool((self._renamed.find(np.array([digest], np.uint64)) >= 0).all())

    @property
    def is_new(self) -> bool:
        """Whether there is no feature file."""
        return self.existing is None

    @property
    def is_empty(self) -> bool:
        """Whether there is not a single row."""
        return len(self._places) == 0

    @property
    def digests(self) -> NDArray[np.uint64]:
        """(m,) the digests of all rows, ascending, each once."""
        return self._places.digests

    def holds(self, rows: Rows) -> NDArray[np.bool_]:
        """(n,) whether there is a row of each, under its own key."""
        return self._places.find(rows.keys, rows.digests) >= 0

    def latest(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
        """(n,) whether there is a row of each hashed key, and its digest; a shard's counts more than the file's."""
        return self._places.latest(keys)

    def known_of(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """(m,) keys and digests of all rows that have one of these hashed keys."""
        return self._places.of_keys(keys)

    @cached_property
    def _renamed(self) -> Renamed:
        """The rows of the feature file by their digests alone; of copies the first counts."""
        if self.existing is None:
            return Renamed(np.empty(0, np.uint64), np.empty(0, np.int64))
        keys, digests = self.existing.keys, self.existing.digests
        return Renamed(digests, self._places.find(keys, digests))

    def write_shard(self, rows: ShardRows, backend: str) -> None:
        """Write finished rows, and what computed them. From now on they survive a kill."""
        arrays = {field: getattr(rows, field) for field in FIELDS if getattr(rows, field) is not None}
        arrays["vector"] = rows.vector.astype(self.recipe.dtype)
        path = self._shards / assembling.name_by_rows(rows.key, rows.digest)
        with hdf5.writing(path) as file:
            file.create_dataset("key", data=rows.key, dtype=_TEXT)
            for field, array in arrays.items():
                file[field] = array
            file.attrs["backend"] = backend
        self._add(path, "", backend, hashed(rows.key), rows.digest)

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
        rows = Rows.of(entries)
        splits = rows.by_split
        labels = Labels.of(splits["train"], classes, task, group_of)
        keys = np.concatenate([splits[split].keys for split in SPLITS])
        digests = np.concatenate([splits[split].digests for split in SPLITS])
        contents = assembling.hash_of(keys, digests, labels, unreadable, source)
        old = self.existing
        changed = old is None or old.contents != contents
        if old is None or changed:
            others = {"source": source, "learnt": learnt, "gflops": gflops}
            pieces = self._write(splits, labels, unreadable, others)
        else:
            pieces = old.pieces
        if changed or not self._is_indexed:
            with contextlib.suppress(MissingError):  # another run in a store removed a part meanwhile
                self._write_index(Index(self.recipe, contents, source, tuple(unreadable), keys, digests, pieces))
        self._drop_unlisted_parts({self.path.parent / piece.name for piece in pieces})
        self._drop_shards()
        return changed

    def _write(
        self, splits: Mapping[str, Rows], labels: Labels, unreadable: Sequence[Unreadable], others: Mapping[str, object]
    ) -> tuple[Piece, ...]:
        """Write the feature file, and return what lies where."""
        if storage.is_remote(self.path):
            self._stamps = storage.list_stamps(self._shards)
        places = {split: self._place(rows) for split, rows in splits.items()}
        assembly = Assembly(
            self.path, self._parts, self.recipe, splits, places, labels, unreadable, others, self._seals
        )
        with Copying(self._sources, self._reading) as copying:
            return assembly.write(copying)

    def _reading(self, path: Path) -> contextlib.AbstractContextManager[h5py.File]:
        return feature_file.reading_rows(path, self._stamps.get(path.name, "") if path.parent == self._shards else "")

    def _place(self, rows: Rows) -> NDArray[np.int64]:
        """(n,) where rows lie that the cache has."""
        places = self._places.find(rows.keys, rows.digests)
        if (places < 0).any():
            places = np.where(places < 0, self._renamed.find(rows.digests), places)
        if (places < 0).any():
            raise KeyError(rows[int(places.argmin())].key)
        return places

    def _add(self, path: Path, split: str, backend: str, keys: NDArray[np.uint64], digests: NDArray[np.uint64]) -> None:
        self._sources.append(Source(path, split, backend, len(self._places), len(keys)))
        self._places.add(keys, digests)

    def _add_files(self, paths: Iterable[Path]) -> None:
        """Add the rows of shards or parts. A damaged one is set aside: it was whole when it got its name."""
        for path in paths:
            try:
                with self._reading(path) as file:
                    keys = hashed(file["key"].asstr()[...])
                    self._add(path, "", file.attrs["backend"], keys, file["digest"][...])
            except DamagedError:
                self.set_aside.append(hdf5.set_aside(path, self.path.parent))

    def _listed_parts(self) -> set[Path]:
        """The parts of the feature file, whether they are there or not."""
        with feature_file.reading_rows(self.path) as file:
            return {self.path.parent / part.name for split in SPLITS for part in virtual.parts_of(file, split)}

    def _take_from(self, found: Index) -> Existing:
        """What the index says of the feature file, whose rows are added."""
        start = len(self._places)
        for piece in found.pieces:
            if piece.rows:
                path = self.path.parent / piece.name
                self._sources.append(Source(path, piece.split, piece.backend, start, piece.rows))
                start += piece.rows
        self._places.add(found.keys, found.digests)
        unreadable = tuple(Unreadable(*row) for row in found.unreadable)
        return Existing(found.source, unreadable, found.contents, found.keys, found.digests, found.pieces)

    def _read_existing(self) -> Existing | None:
        """The feature file, whose rows are added. If it or a part is damaged or missing, it is set aside."""
        if not storage.exists(self.path):
            return None
        try:
            self._refuse_other(feature_file.recipe_of(self.path))
            head = index.head(self.path)
            features = feature_file.read_features(self.path)
        except DamagedError:
            self.set_aside.append(hdf5.set_aside(self.path, self.path.parent))
            return None
        keys, digests = assembling.identities_in(features)
        pieces, start = [Piece(self.path.name, "", 0, "")], 0
        backends = {source.path: source.backend for source in self._sources}
        with feature_file.reading_rows(self.path) as file:
            for split in SPLITS:
                end = start + len(features.ids[split])
                if parts := virtual.parts_of(file, split):
                    own = [(part, backends[self.path.parent / part.name]) for part in parts]
                    pieces += [Piece(part.name, "", part.rows, backend) for part, backend in own]
                else:
                    pieces.append(Piece(self.path.name, split, end - start, file.attrs["backend"]))
                    self._add(self.path, split, file.attrs["backend"], keys[start:end], digests[start:end])
                start = end
        contents = assembling.hash_in(features, keys, digests)
        # If another run replaced the file meanwhile, in a store, its index must not be that of the one before.
        is_same = head == index.head(self.path)
        return Existing(
            features.source, features.unreadable, contents, keys, digests, tuple(pieces), head if is_same else ""
        )

    def _refuse_other(self, written: Recipe) -> None:
        if differences := written.differences(self.recipe):
            raise StoreError(
                f"{self.path} was written with {'; '.join(differences)}",
                "Ask for what it was written with, choose another folder with --out, or delete it",
            )

    def _write_index(self, content: Index) -> None:
        """Write the index, if every file is there and has a seal."""
        folder, pieces = self.path.parent, []
        known = {piece.name: piece for piece in (self.existing.pieces if self.existing else ())}
        states = index.states(folder, {piece.name for piece in content.pieces}, storage.is_remote(folder))
        for piece in content.pieces:
            path, state, earlier = folder / piece.name, states.get(piece.name), known.get(piece.name)
            if state is None:
                return
            if path in self._seals:
                written = self._seals[path].hex()
            elif path == self.path and self.existing:
                written = self.existing.head
            elif earlier and earlier.state == state:
                written = earlier.seal
            else:
                written = index.head(path)
            if not index.is_sealed(written):
                return
            pieces.append(piece._replace(seal=written, state=state))
        index.write(self.path, replace(content, pieces=tuple(pieces)))

    def _drop_unlisted_parts(self, listed: Container[Path]) -> None:
        """Remove the parts that are not of the feature file, and what a killed run left among them.

        In a store another run may have put its own feature file there: then its parts stay.

        Raises:
            StoreError: they cannot be removed.
        """
        folder = virtual.parts_folder(self.path)
        if not storage.exists(folder):
            return
        with _removing(folder):
            if storage.is_remote(folder):
                paths = [folder / name for name in storage.list_stamps(folder)]
            else:
                paths = [path for path in folder.rglob("*") if path.is_file()]
            unlisted = [path for path in paths if path not in listed]
            ours = self._seals[self.path].hex() if self.path in self._seals else ""
            if storage.is_remote(folder) and unlisted and ours and index.head(self.path) != ours:
                return
            if len(unlisted) < len(paths):
                storage.remove_all(unlisted)
            else:
                storage.remove(folder)

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


@contextlib.contextmanager
def _removing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = storage.reason_of(error) or str(error)
        raise StoreError(
            f"What was assembled from {folder} cannot be removed: {reason}", "Run the same command again"
        ) from None


def _files_in(folder: Path) -> list[Path]:
    """The finished shards or parts of a folder, in order."""
    return [folder / name for name in storage.names_in(folder, ".h5")]

"""Assembling: a feature file and its parts written out of the rows that there are, wherever they lie."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import h5py
import numpy as np
from numpy.typing import NDArray

from catsdogs import __version__
from catsdogs.features import feature_file, index, virtual
from catsdogs.features.copying import Copying
from catsdogs.features.feature_file import SPLITS, Features, Unreadable
from catsdogs.features.index import Piece
from catsdogs.features.recipes import Recipe
from catsdogs.features.rows import Rows, hashed
from catsdogs.features.virtual import Part
from catsdogs.files import cards, hdf5, seal, storage
from catsdogs.photographs import label_texts
from catsdogs.photographs.task import Task

_COPIED_ROWS = 4096  # of vectors in memory, at a time
_MANY_CLASSES = 500  # names of 100 letters fit into the 64 KB of a plain attribute
_TEXT = h5py.string_dtype()


@dataclass(frozen=True)
class Labels:
    """What is known of the training rows besides their photographs, as in `Features`."""

    numbers: NDArray[np.int64]
    classes: tuple[str, ...]
    task: Task
    groups: NDArray[np.object_]

    @classmethod
    def of(cls, train: Rows, classes: Sequence[str], task: Task | None, group_of: Mapping[str, str]) -> Self:
        """Those of training rows; `group_of`: id -> group."""
        groups = feature_file.groups_of(train.ids if group_of else (), group_of)
        return cls(train.labels, tuple(classes), task or Task.of_classes(classes), groups)

    @property
    def targets(self) -> NDArray[np.float64]:
        return label_texts.table_of(self.task, self.classes)[self.numbers]

    @property
    def version(self) -> int:
        return feature_file.VERSION if self.targets.size or self.groups.size else feature_file.OLDEST_VERSION

    def write(self, file: h5py.File) -> None:
        text = h5py.string_dtype()
        file["label"] = self.numbers
        file["label"].attrs["classes"] = np.array(self.classes, dtype=text)
        if self.targets.size:
            file["targets"] = self.targets
            file["targets"].attrs["names"] = np.array(self.task.names or self.task.targets, dtype=text)
        if self.groups.size:
            file.create_dataset("group", data=self.groups, dtype=text)


def hash_of(
    keys: NDArray[np.uint64],
    digests: NDArray[np.uint64],
    labels: Labels,
    unreadable: Sequence[Unreadable],
    source: str,
) -> str:
    """What tells a feature file that would have to be written anew: a hash of its rows, labels, and all beside them.

    Args:
        keys, digests: (n,) of the rows, those of `train` before those of `test`.
    """
    beside = [labels.classes, asdict(labels.task), labels.groups.tolist(), list(map(list, unreadable)), source]
    found = hashlib.sha256(json.dumps(beside).encode())
    for array in (keys, digests, labels.numbers):
        found.update(f"{len(array)}\n".encode() + array.tobytes())
    return found.hexdigest()


def identities_in(file: Features) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """(n,) hashed keys and digests of a feature file's rows, those of `train` before those of `test`."""
    keys = [hashed((f"{split}/{id}" for id in file.ids[split]), len(file.ids[split])) for split in SPLITS]
    return np.concatenate(keys), np.concatenate([file.digests[split] for split in SPLITS])


def hash_in(file: Features, keys: NDArray[np.uint64], digests: NDArray[np.uint64]) -> str:
    """`hash_of` a feature file as it is."""
    labels = Labels(file.labels, file.classes, file.task, file.groups)
    return hash_of(keys, digests, labels, file.unreadable, file.source)


@dataclass
class Assembly:
    """A feature file about to be written.

    Attributes:
        parts: the folder of its parts, if there are to be any.
        splits: split -> its rows, in the order of the file.
        places: split -> (n,) where they lie, as `copying` counts.
        others: attributes that nothing else says.
        seals: gets the seal of each file that is written.
    """

    path: Path
    parts: Path
    recipe: Recipe
    splits: Mapping[str, Rows]
    places: Mapping[str, NDArray[np.int64]]
    labels: Labels
    unreadable: Sequence[Unreadable]
    others: Mapping[str, object]
    seals: dict[Path, bytes] = field(default_factory=dict)

    def write(self, copying: Copying) -> tuple[Piece, ...]:
        """Write the parts and then the file; returns what lies where, see `Index`."""
        is_virtual = sum(map(len, self.splits.values())) > virtual.VIRTUAL_ROWS
        parts = {split: list(self._write_parts(copying, split)) if is_virtual else [] for split in SPLITS}
        pieces = [Piece(self.path.name, "", 0, "")]
        has_many = len(self.labels.classes) > _MANY_CLASSES
        with hdf5.writing(self.path, has_long_attributes=has_many, seals=self.seals) as file:
            file.attrs.update(self.recipe.as_dict())
            file.attrs.update(_attributes(self.labels, copying.backend(np.concatenate([*self.places.values()]))))
            file.attrs.update(dict(self.others))
            for split, rows in self.splits.items():
                file.create_dataset(f"{split}_id", data=rows.ids, dtype=_TEXT)
                if parts[split]:
                    file[f"{split}_digest"] = rows.digests
                    kinds = {name: kind for name, kind in copying.kinds().items() if name != "digest"}
                    virtual.write_virtual(file, split, [part for part, _ in parts[split]], kinds)
                    pieces += [Piece(part.name, "", part.rows, backend) for part, backend in parts[split]]
                else:
                    copying.copy(file, split, self.places[split])
                    pieces.append(Piece(self.path.name, split, len(rows), copying.backend(self.places[split])))
            self.labels.write(file)
            _write_unreadable(file, self.unreadable)
        return tuple(pieces)

    def _write_parts(self, copying: Copying, split: str) -> Iterator[tuple[Part, str]]:
        """Copy the rows of a split into parts; those that are there stay. Each with what computed its rows."""
        rows, places = self.splits[split], self.places[split]
        is_remote = storage.is_remote(self.parts)
        there = index.states(self.parts, storage.names_in(self.parts, ".h5"), is_remote)
        for stretch in virtual.part_rows(rows.digests):
            keys = np.array([entry.key for entry in rows[stretch]], object)
            path = self.parts / name_by_rows(keys, rows.digests[stretch])
            backend = copying.backend(places[stretch])
            if path.name not in there:
                with hdf5.writing(path, seals=self.seals) as file:
                    file.create_dataset("key", data=keys, dtype=_TEXT)
                    copying.copy(file, "", places[stretch])
                    file.attrs["backend"] = backend
            size = seal.size_told_by(self.seals[path]) if path in self.seals else index.size_in(there[path.name])
            yield Part("/".join(path.parts[-3:]), len(keys), size), backend


def write_copy(
    path: Path,
    recipe: Recipe,
    rows: Features,
    vectors: NDArray[np.float32],
    order: Mapping[str, NDArray[np.intp]],
) -> None:
    """Write a feature file of given vectors, in which all but these is as in `rows`.

    Args:
        vectors: (m, width).
        order: split -> (n,) which of them belongs to each row of `rows`.

    Raises:
        StoreError: it cannot be written.
    """
    labels = Labels(rows.labels, rows.classes, rows.task, rows.groups)
    with hdf5.writing(path, has_long_attributes=len(rows.classes) > _MANY_CLASSES) as file:
        file.attrs.update(recipe.as_dict())
        file.attrs.update(_attributes(labels, "none") | {"source": rows.source})
        for split, places in order.items():
            file.create_dataset(f"{split}_id", data=rows.ids[split], dtype=_TEXT)
            file[f"{split}_digest"] = rows.digests[split]
            if rows.statistics:
                file[f"{split}_statistics"] = rows.statistics[split]
            written = file.create_dataset(split, (len(places), vectors.shape[1]), np.float32)
            for start in range(0, len(places), _COPIED_ROWS):
                block = slice(start, start + _COPIED_ROWS)
                written[block] = vectors[places[block]]
        labels.write(file)
        _write_unreadable(file, rows.unreadable)


def _attributes(labels: Labels, backend: str) -> dict[str, object]:
    return {
        "format": feature_file.FORMAT,
        "version": labels.version,
        "task": cards.as_json(asdict(labels.task)),
        "backend": backend,
        "package_version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _write_unreadable(file: h5py.File, unreadable: Sequence[Unreadable]) -> None:
    table = np.array(unreadable, object).reshape(len(unreadable), len(Unreadable._fields))
    file.create_dataset("unreadable", dtype=_TEXT, data=table)


def name_by_rows(keys: NDArray[np.object_], digests: NDArray[np.uint64]) -> str:
    """The name of a shard or part follows from its rows: whoever writes the same rows writes the same file."""
    return hashlib.sha256(digests.tobytes() + "\n".join(keys).encode()).hexdigest()[:24] + ".h5"

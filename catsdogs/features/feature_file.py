"""The feature file `features/<Backbone>.h5`: what it says of itself, reading it, joining several by id."""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import StoreError
from catsdogs.features import virtual
from catsdogs.files import hdf5, storage
from catsdogs.networks.imagenet import IMAGENET_CLASSES, TOP_K
from catsdogs.photographs.dataset import Dataset, Photograph
from catsdogs.photographs.images import STATISTICS

FORMAT = "catsdogs features"
VERSION = 1
SPLITS = ("train", "test")
SHARD_FOLDER = ".shards"
GAP_PREFIX = "gap_"
UNKNOWN = "unknown"
POOLED = "pooled"
# What earlier versions got wrong: names of networks, how such a file is known, and what happened.
_MISTAKEN = (
    (r"EfficientNetB\d", "preprocessing", "none", "gave this network pixels scaled otherwise than it had learnt from"),
    (r"ConvNeXt\w+", "vector", POOLED, "took another vector of this network than the one its classifier reads"),
)
_BLOCK_ROWS = 256  # 2 MiB of 2,048 float32: checked and copied while it is in the processor's cache


@dataclass(frozen=True)
class Recipe:
    """Everything a row's numbers depend on besides the photograph; files with different recipes are never mixed.

    `weights` is the SHA-256 of the weights file, or `random`; `input_size` is in pixels; `vector` is `Backbone`'s.
    """

    backbone: str
    weights: str
    input_size: int
    resize_filter: str
    preprocessing: str
    engine: str
    precision: str
    dtype: str
    vector: str = POOLED  # last, and left out of what was written before there was another

    def differences(self, other: "Recipe") -> list[str]:
        """Each field in which the two differ, as `name: this, not that`."""
        mine, theirs = asdict(self), asdict(other)
        return [
            f"{name}: {_shortened_digest(mine[name])}, not {_shortened_digest(theirs[name])}"
            for name in mine
            if mine[name] != theirs[name]
        ]


class Unreadable(NamedTuple):
    """A photograph that could not be decoded, and why."""

    split: str
    id: str
    reason: str


@dataclass(frozen=True)
class Features:
    """One feature file, all but its vectors in memory.

    Attributes:
        ids: split -> (n,) array of str.
        digests: split -> (n,) uint64, empty in a file that an old notebook wrote.
        labels: (n_train,) int, indexing `classes`.
        topk_class, topk_prob: split -> (n, 10) ImageNet index and probability, empty without a classifier.
        statistics: split -> (n, 4) float32, see `images.STATISTICS`, empty in a file that an old notebook wrote.
        learnt: how many rows the network had learnt from when it made their vectors; 0 but for networks trained here.
    """

    path: Path
    recipe: Recipe
    classes: tuple[str, ...]
    ids: dict[str, NDArray[np.object_]]
    labels: NDArray[np.int64]
    width: int
    digests: dict[str, NDArray[np.uint64]]
    topk_class: dict[str, NDArray[np.int16]]
    topk_prob: dict[str, NDArray[np.float32]]
    statistics: dict[str, NDArray[np.float32]]
    unreadable: tuple[Unreadable, ...]
    source: str
    learnt: int

    @property
    def name(self) -> str:
        """What the file is called on the command line."""
        return self.path.stem

    def vectors(self, split: str) -> NDArray[np.float32]:
        """The (n, width) pooled vectors of a split, float32 whatever they are stored as.

        Raises:
            StoreError: the file is damaged, or a row holds NaN or infinity.
        """
        vectors = np.empty((len(self.ids[split]), self.width), np.float32)
        self.read_vectors(split, vectors)
        return vectors

    def read_vectors(self, split: str, target: NDArray[np.float32], rows: NDArray[np.intp] | None = None) -> None:
        """Read the vectors of a split into `target`, (n, width), in flat memory: row i into row `rows[i]` of it.

        Raises:
            StoreError: as `vectors`.
        """
        with reading(self.path) as file:
            _check_shapes(self.path, file, {split: target.shape})
            for start in range(0, len(target), _BLOCK_ROWS):
                block = np.arange(start, min(start + _BLOCK_ROWS, len(target)))
                target[block if rows is None else rows[block]] = self._rows_in(file, split, block)

    def read_rows(self, split: str, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """The (len(rows), width) vectors of some rows of a split; raises as `vectors`."""
        with reading(self.path) as file:
            _check_shapes(self.path, file, {split: (len(self.ids[split]), self.width)})
            return self._rows_in(file, split, rows)

    def _rows_in(self, file: h5py.File, split: str, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        block = virtual.read_rows(self.path, file, split, split, "vector", rows, reading)
        vectors: NDArray[np.float32] = block.astype(np.float32, copy=False)
        finite = np.isfinite(vectors)
        if not finite.all():
            row = rows[finite.all(axis=1).argmin()]
            raise StoreError(
                f"{self.path}: {split} row {row} ({self.ids[split][row]}) is not finite", how_to_write(self.name)
            )
        return vectors


def path_of(folder: Path, name: str) -> Path:
    """Where the feature file of a backbone lies."""
    return folder / f"{name}.h5"


def names(folder: Path) -> list[str]:
    """The feature files of a folder, by name."""
    return [name.removesuffix(".h5") for name in storage.names_in(folder, ".h5")]


def read_features(path: Path, dataset: Dataset | None = None) -> Features:
    """Open a feature file and check that it is whole; a `gap_*.h5` file needs the data set to take its ids from.

    Raises:
        StoreError: no such file, cut short, not a feature file, of a newer version, or its parts disagree.
    """
    if not storage.exists(path):
        cached = ", ".join(names(path.parent))
        raise StoreError(
            f"No feature file {path}" + (f" (there are: {cached})" if cached else ""),
            f"Write it with `catsdogs features --backbones {path.stem}`",
        )
    with reading(path) as file:
        if file.attrs.get("format") != FORMAT:
            return _read_gap_file(path, file, dataset)
        recipe = _read_recipe(path, file)
        shapes = _vector_shapes(path, file)
        _check_shapes(path, file, _expected_shapes(file, shapes))
        virtual.check_parts(path, file, SPLITS)
        features = Features(
            path=path,
            recipe=recipe,
            classes=tuple(file["label"].attrs["classes"]),
            ids={split: file[f"{split}_id"].asstr()[...] for split in SPLITS},
            labels=file["label"][...].astype(np.int64),
            width=shapes["train"][1],
            digests={split: file[f"{split}_digest"][...] for split in SPLITS},
            topk_class=_arrays_of(path, file, "topk_class"),
            topk_prob=_arrays_of(path, file, "topk_prob"),
            statistics=_arrays_of(path, file, "statistics"),
            unreadable=tuple(Unreadable(*row) for row in file["unreadable"].asstr()[...]),
            source=str(file.attrs["source"]),
            learnt=int(file.attrs.get("learnt", 0)),
        )
        _check_ids_and_labels(features)
    return features


def recipe_of(path: Path) -> Recipe:
    """What a feature file was written with; its rows are not read.

    Raises:
        StoreError: as `read_features`.
    """
    with reading(path) as file:
        return _read_recipe(path, file)


def is_gap_file(path: Path) -> bool:
    """Whether an old notebook wrote this file, so that reading it takes the data set."""
    with reading(path) as file:
        return file.attrs.get("format") != FORMAT and "label" in file


def reading(path: Path) -> AbstractContextManager[h5py.File]:
    """A feature file or shard to read from; raises as `hdf5.reading`."""
    # A damaged one is set aside by `features`, and computed again.
    return hdf5.reading(path, "Run this again" if path.parent.parent.name == SHARD_FOLDER else how_to_write(path.stem))


def _read_recipe(path: Path, file: h5py.File) -> Recipe:
    if file.attrs.get("format") != FORMAT:
        raise StoreError(
            f"{path} is not a feature file that this program wrote", "Move it away, or choose another --out"
        )
    if file.attrs["version"] > VERSION:
        raise StoreError(f"{path} has version {file.attrs['version']}, newer than {VERSION}", "Upgrade catsdogs")
    said = {field.name: file.attrs[field.name] for field in fields(Recipe) if field.name != "vector"}
    said["vector"] = file.attrs.get("vector", POOLED)
    recipe = Recipe(**{name: _python_value(value) for name, value in said.items()})
    if recipe.backbone != path.stem:
        raise StoreError(
            f"{path} holds vectors of {recipe.backbone}", f"Rename it to {recipe.backbone}.h5, or delete it"
        )
    _refuse_mistaken(path, recipe)
    return recipe


def _refuse_mistaken(path: Path, recipe: Recipe) -> None:
    """Refuse what earlier versions made of networks that they did not feed, or did not read, as they should."""
    for names, field, value, mistake in _MISTAKEN:
        if re.fullmatch(names, recipe.backbone) and getattr(recipe, field) == value:
            raise StoreError(
                f"{path} was made by an earlier version of catsdogs, which {mistake} ({field}: {value})",
                f"Delete it, or choose another folder, and run `catsdogs features --backbones {recipe.backbone}`",
            )


def _vector_shapes(path: Path, file: h5py.File) -> dict[str, tuple[int, int]]:
    """Split -> (rows, width) of its vectors, the width the same in both."""
    train, test = (getattr(file[split], "shape", None) for split in SPLITS)
    if not (train and test and len(train) == len(test) == 2 and train[1] == test[1]):
        raise StoreError(
            f"{path}: train and test have the shapes {train} and {test}, not (rows, width)", how_to_write(path.stem)
        )
    return {"train": train, "test": test}


def _expected_shapes(file: h5py.File, shapes: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, ...]]:
    """The shape of every part that goes with these vectors; labels of ImageNet are there as a whole or not at all."""
    labelled = any(f"{split}_topk_{part}" in file for split in SPLITS for part in ("class", "prob"))
    expected: dict[str, tuple[int, ...]] = {"label": shapes["train"][:1]}
    for split, (rows, _) in shapes.items():
        expected |= {f"{split}_id": (rows,), f"{split}_digest": (rows,), f"{split}_statistics": (rows, len(STATISTICS))}
        if labelled:
            expected |= {f"{split}_topk_class": (rows, TOP_K), f"{split}_topk_prob": (rows, TOP_K)}
    return expected


def _arrays_of(path: Path, file: h5py.File, field: str) -> dict[str, NDArray[Any]]:
    """Split -> what is stored of its rows besides the vectors; nothing if the file has none of it."""
    names = {split: f"{split}_{field}" for split in SPLITS if f"{split}_{field}" in file}
    return {
        split: virtual.read_rows(path, file, name, split, field, np.arange(len(file[name])), reading)
        for split, name in names.items()
    }


def _check_shapes(path: Path, file: h5py.File, expected: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in expected.items():
        if name not in file:
            raise StoreError(f"{path} lacks {name}", how_to_write(path.stem))
        found = getattr(file[name], "shape", None)
        if found != shape:
            raise StoreError(f"{path}: {name} has the shape {found}, not {shape}", how_to_write(path.stem))


def _check_ids_and_labels(features: Features) -> None:
    for split in SPLITS:
        ids, topk = features.ids[split], features.topk_class.get(split)
        if len(set(ids)) != len(ids) or "" in ids:
            raise StoreError(
                f"{features.path}: {split}_id misses an id or holds one twice", how_to_write(features.name)
            )
        if topk is not None and topk.size and not 0 <= topk.min() <= topk.max() < IMAGENET_CLASSES:
            raise StoreError(
                f"{features.path}: {split}_topk_class names a label outside 0 to {IMAGENET_CLASSES - 1}",
                how_to_write(features.name),
            )
    if features.labels.size and not 0 <= features.labels.min() <= features.labels.max() < len(features.classes):
        raise StoreError(f"{features.path}: label names a class that `classes` lacks", how_to_write(features.name))


def _read_gap_file(path: Path, file: h5py.File, dataset: Dataset | None) -> Features:
    """A file of an old notebook: rows in the order of Keras's directory iterator, which sorts names as text."""
    if not {"train", "test", "label"} <= set(file):
        raise StoreError(f"{path} is not a feature file", "Give the name of a file that `catsdogs features` wrote")
    if dataset is None:
        raise StoreError(f"{path} has no ids", "Give --data the folder of the photographs it was made from")
    shapes = _vector_shapes(path, file)
    _check_shapes(path, file, {"label": shapes["train"][:1]})
    in_order = {split: sorted(dataset.of(split), key=_directory_iterator_key) for split in SPLITS}
    for split in SPLITS:
        if shapes[split][0] != len(in_order[split]):
            raise StoreError(
                f"{path}: {split} has {shapes[split][0]:,} rows, "
                f"{dataset.root} has {len(in_order[split]):,} photographs",
                "Give --data the folder it was made from",
            )
    labels = np.array([photograph.label for photograph in in_order["train"]])
    if not np.array_equal(file["label"][...], labels):
        raise StoreError(
            f"{path}: label does not fit the names in {dataset.root}", "Give --data the folder it was made from"
        )
    unknown: dict[str, Any] = {field.name: UNKNOWN for field in fields(Recipe)} | {
        "backbone": path.stem,
        "input_size": 0,
        "vector": POOLED,
    }
    return Features(
        path=path,
        recipe=Recipe(**unknown),
        classes=dataset.classes,
        ids={split: np.array([photograph.id for photograph in in_order[split]], object) for split in SPLITS},
        labels=labels,
        width=shapes["train"][1],
        digests={},
        topk_class={},
        topk_prob={},
        statistics={},
        unreadable=(),
        source=str(dataset.root),
        learnt=0,
    )


def _directory_iterator_key(photograph: Photograph) -> tuple[int, str]:
    return photograph.label, photograph.location.name.rsplit("/", 1)[-1]


def how_to_write(*files: str) -> str:
    """How to write these files anew; those of old notebooks are no backbones."""
    backbones = [name for name in dict.fromkeys(files) if not name.startswith(GAP_PREFIX)]
    if not backbones:
        return "Write it again with what wrote it"
    return f"Run `catsdogs features --backbones {','.join(backbones)}`"


def _python_value(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _shortened_digest(value: object) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text

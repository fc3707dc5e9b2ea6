"""The feature file `features/<Backbone>.h5`: its recipe and its rows, read and checked; and old notebooks' `gap_*.h5`.

The latter are `train`, `test` and `label` without ids, which the data set supplies.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import DamagedError, DatasetError, StoreError
from catsdogs.features import index, virtual
from catsdogs.features.recipes import DEFAULTS, Recipe
from catsdogs.files import cards, hdf5, storage
from catsdogs.networks.choice import FILE_PREFIX, file_name
from catsdogs.networks.imagenet import IMAGENET_CLASSES, TOP_K
from catsdogs.networks.table import POOLED
from catsdogs.photographs import label_texts
from catsdogs.photographs.dataset import Dataset, Photograph
from catsdogs.photographs.images import STATISTICS
from catsdogs.photographs.task import Task

FORMAT = "catsdogs features"
VERSION = 2  # which files with targets or groups have; others are written as version 1, and read by older programs
OLDEST_VERSION = 1
SPLITS = ("train", "test")
SHARD_FOLDER = ".shards"
GAP_PREFIX = "gap_"  # of the files that old notebooks wrote
_GAP_DATASETS = {"train", "test", "label"}
UNKNOWN = "unknown"
# Networks that earlier versions built wrongly: their names, the field and value that give such a file away, the fault.
_MISTAKEN = (
    (r"EfficientNetB\d", "preprocessing", "none", "gave this network pixels scaled otherwise than it had learnt from"),
    (r"ConvNeXt\w+", "vector", POOLED, "took another vector of this network than the one its classifier reads"),
)


class Unreadable(NamedTuple):
    """A photograph that could not be decoded, and why."""

    split: str
    id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Features:
    """One feature file, all but its vectors in memory.

    Attributes:
        ids: split -> (n,) array of str.
        labels: (n_train,) int, indexing `classes`.
        source: the data set's root.
        digests: split -> (n,) uint64 of the photographs' bytes; empty for an old notebook's file.
        topk_class, topk_prob: split -> (n, 10) ImageNet index and probability; empty without a classifier.
        statistics: split -> (n, 4) float32, see `images.STATISTICS`; empty for an old notebook's file.
        learnt: of how many of these rows the network had learnt the label; above 0 only for networks trained here.
        gflops: billions of floating-point operations that the network takes for a photograph; 0 if not known.
        task: what the competition asks for; files written before there were tasks have that of their classes.
        groups: (n_train,) str, the same for photographs that hang together, such as one patient's; empty if not known.
    """

    path: Path
    recipe: Recipe
    classes: tuple[str, ...]
    ids: dict[str, NDArray[np.object_]]
    labels: NDArray[np.int64]
    width: int
    source: str
    task: Task
    digests: dict[str, NDArray[np.uint64]] = field(default_factory=dict)
    topk_class: dict[str, NDArray[np.int16]] = field(default_factory=dict)
    topk_prob: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    statistics: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    unreadable: tuple[Unreadable, ...] = ()
    learnt: int = 0
    gflops: float = 0.0
    groups: NDArray[np.object_] = field(default_factory=lambda: np.empty(0, object))

    @cached_property
    def targets(self) -> NDArray[np.float64]:
        """(n_train, k) labels of 0 and 1, numbers or grades, see `label_texts.table_of`; k is 0 for classes."""
        return label_texts.table_of(self.task, self.classes)[self.labels]

    @property
    def columns(self) -> tuple[str, ...]:
        """What a head's answers are of: the labels or numbers that the task names, else the classes."""
        return self.task.names or self.classes

    @property
    def name(self) -> str:
        """What the file is called on the command line."""
        return self.path.stem

    def vectors(self, split: str, rows: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        """The (n, width) vectors of some rows of a split, or of all; raises as `blocks`."""
        rows = np.arange(len(self.ids[split])) if rows is None else rows
        vectors = np.empty((len(rows), self.width), np.float32)
        for places, block in self.blocks(split, rows):
            vectors[places] = block
        return vectors

    def blocks(self, split: str, rows: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        """The vectors of some rows of a split, float32 whatever they are stored as, in the order of the file.

        Gives a few at a time: their (k,) places in `rows`, and their (k, width) vectors.

        Raises:
            StoreError: the file is damaged, or a row holds NaN or infinity.
        """
        with reading_rows(self.path) as file:
            _check_shapes(self.path, file, {split: (len(self.ids[split]), self.width)})
            for places, block in virtual.read_blocks(self.path, file, split, "vector", rows):
                vectors = block.astype(np.float32, copy=False)
                finite = np.isfinite(vectors)
                if not finite.all():
                    row = rows[places[finite.all(axis=1).argmin()]]
                    raise _misfit(self.path, f"{split} row {row} ({self.ids[split][row]}) is not finite")
                yield places, vectors


def path_of(folder: Path, name: str) -> Path:
    """Where the feature file of a backbone lies, by any of its names."""
    return folder / f"{file_name(name)}.h5"


def names(folder: Path) -> list[str]:
    """The feature files of a folder, by name."""
    return [name.removesuffix(".h5") for name in storage.names_in(folder, ".h5")]


def read_features(path: Path, photographs: Callable[[], Dataset] | None = None) -> Features:
    """Open a feature file and check that it is whole.

    Args:
        photographs: the data set, which is asked for where an old notebook wrote the file.

    Raises:
        StoreError: no such file, cut short, not a feature file, of a newer version, or its arrays disagree; or an old
            notebook's that does not fit the data set, or comes without one.
    """
    if not storage.exists(path):
        cached = ", ".join(names(path.parent))
        raise StoreError(
            f"No feature file {path}" + (f" (there are: {cached})" if cached else ""), how_to_write(path.stem)
        )
    with reading_rows(path) as file:
        if file.attrs.get("format") == FORMAT:
            return _read_rows(path, file)
        if not set(file) >= _GAP_DATASETS:
            raise StoreError(f"{path} is not a feature file", "Give the name of a file that `catsdogs features` wrote")
        shapes = _vector_shapes(path, file)
        _check_shapes(path, file, {"label": shapes["train"][:1]})
        labels = file["label"][...]
    if photographs is None:
        raise StoreError(f"{path} has no ids", "Give --data the folder of the photographs it was made from")
    return _with_photographs(path, shapes, labels, photographs())


def _read_rows(path: Path, file: h5py.File) -> Features:
    recipe = _read_recipe(path, file)
    shapes = _vector_shapes(path, file)
    has_statistics = not recipe.is_made_elsewhere or f"{SPLITS[0]}_statistics" in file  # those need no decoding
    _check_shapes(path, file, _expected_shapes(file, shapes, has_statistics))
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
        task=_read_task(path, file),
        learnt=int(file.attrs.get("learnt", 0)),
        gflops=float(file.attrs.get("gflops", 0)),
        groups=file["group"].asstr()[...] if "group" in file else np.empty(0, object),
    )
    _check_ids_and_labels(features)
    _check_targets(features, file)
    return features


def is_gap_file(path: Path) -> bool:
    """Whether an old notebook wrote this file, so that reading it takes the data set."""
    with reading_rows(path) as file:
        return file.attrs.get("format") != FORMAT and set(file) >= _GAP_DATASETS


def _with_photographs(
    path: Path, shapes: Mapping[str, tuple[int, int]], written_labels: NDArray[np.integer], dataset: Dataset
) -> Features:
    """The features of an old notebook: rows in the order of Keras's directory iterator, which sorts names as text."""
    in_order = {split: sorted(dataset.of(split), key=_directory_iterator_key) for split in SPLITS}
    for split in SPLITS:
        if shapes[split][0] != len(in_order[split]):
            raise StoreError(
                f"{path}: {split} has {shapes[split][0]:,} rows, "
                f"{dataset.root} has {len(in_order[split]):,} photographs",
                "Give --data the folder it was made from",
            )
    labels = np.array([photograph.label for photograph in in_order["train"]])
    if not np.array_equal(written_labels, labels):
        raise StoreError(
            f"{path}: label does not fit the names in {dataset.root}", "Give --data the folder it was made from"
        )
    unknown: dict[str, Any] = dict.fromkeys((field.name for field in fields(Recipe)), UNKNOWN)
    return Features(
        path=path,
        recipe=Recipe(**unknown | DEFAULTS | {"backbone": path.stem, "input_size": 0}),
        classes=dataset.classes,
        ids={split: np.array([photograph.id for photograph in in_order[split]], object) for split in SPLITS},
        labels=labels,
        width=shapes["train"][1],
        source=str(dataset.root),
        task=dataset.task,
    )


def _directory_iterator_key(photograph: Photograph) -> tuple[int, str]:
    return photograph.label, photograph.location.name.rsplit("/", 1)[-1]


def recipe_of(path: Path) -> Recipe:
    """What a feature file was written with; its rows are not read.

    Raises:
        StoreError: as `read_features`.
    """
    with reading_rows(path) as file:
        return _read_recipe(path, file)


def has_labels(path: Path) -> bool:
    """Whether a feature file has ImageNet's labels of each row; raises as `recipe_of`."""
    with reading_rows(path) as file:
        return all(f"{split}_topk_class" in file for split in SPLITS)


@contextmanager
def reading_rows(path: Path, stamp: str = "") -> Iterator[h5py.File]:
    """A feature file, shard or part to read from; raises as `hdf5.reading`.

    Args:
        stamp: of an object, if a listing has just told it.
    """
    # `features` sets a damaged one aside, and computes its rows again.
    owner = virtual.owner_of(path)
    is_shard = path.parent.parent.name == SHARD_FOLDER
    remedy = "Run this again" if is_shard else how_to_write((owner or path).stem)
    try:
        with hdf5.reading(path, remedy, stamp) as file:
            yield file
    except DamagedError:
        index.forget(owner or path)
        raise


def _read_recipe(path: Path, file: h5py.File) -> Recipe:
    if file.attrs.get("format") != FORMAT:
        raise StoreError(
            f"{path} is not a feature file that this program wrote", "Move it away, or choose another --out"
        )
    if file.attrs["version"] > VERSION:
        raise StoreError(f"{path} has version {file.attrs['version']}, newer than {VERSION}", "Upgrade catsdogs")
    recipe = Recipe.read(file.attrs)
    if recipe.backbone != path.stem:
        raise StoreError(
            f"{path} holds vectors of {recipe.backbone}", f"Rename it to {recipe.backbone}.h5, or delete it"
        )
    for pattern, name, value, mistake in _MISTAKEN:
        if re.fullmatch(pattern, recipe.backbone) and getattr(recipe, name) == value:
            raise StoreError(
                f"{path} was made by an earlier version of catsdogs, which {mistake} ({name}: {value})",
                f"Delete it, or choose another folder, and run `catsdogs features --backbones {recipe.backbone}`",
            )
    return recipe


def _read_task(path: Path, file: h5py.File) -> Task:
    if "task" not in file.attrs:
        return Task.of_classes(tuple(file["label"].attrs["classes"]))
    try:
        task: Task = cards.typed(Task, json.loads(file.attrs["task"]), "task")
    except (ValueError, KeyError, TypeError) as error:
        raise _misfit(path, f"its task is damaged ({type(error).__name__}: {error})") from None
    return task


def _vector_shapes(path: Path, file: h5py.File) -> dict[str, tuple[int, int]]:
    """Split -> (rows, width) of its vectors. Raises StoreError if these are no two such arrays of one width."""
    train, test = (getattr(file[split], "shape", None) for split in SPLITS)
    if not (train and test and len(train) == len(test) == 2 and train[1] == test[1]):
        raise _misfit(path, f"train and test have the shapes {train} and {test}, not (rows, width)")
    return {"train": train, "test": test}


def _expected_shapes(
    file: h5py.File, shapes: Mapping[str, tuple[int, int]], has_statistics: bool
) -> dict[str, tuple[int, ...]]:
    """The shape of every array beside the vectors. Those of ImageNet's labels are all there, or none is."""
    labelled = any(f"{split}_topk_{name}" in file for split in SPLITS for name in ("class", "prob"))
    expected: dict[str, tuple[int, ...]] = {"label": shapes["train"][:1]}
    for split, (rows, _) in shapes.items():
        expected |= {f"{split}_id": (rows,), f"{split}_digest": (rows,)}
        if has_statistics:
            expected[f"{split}_statistics"] = (rows, len(STATISTICS))
        if labelled:
            expected |= {f"{split}_topk_class": (rows, TOP_K), f"{split}_topk_prob": (rows, TOP_K)}
    return expected


def _arrays_of(path: Path, file: h5py.File, field: str) -> dict[str, NDArray[Any]]:
    """Split -> a field of its rows besides the vectors; empty if the file does not have it."""
    arrays = {}
    for split in SPLITS:
        if (name := virtual.dataset_name(split, field)) not in file:
            continue
        if not file[name].is_virtual:
            arrays[split] = file[name][...]
            continue
        arrays[split] = np.empty(file[name].shape, file[name].dtype)
        for rows, block in virtual.read_blocks(path, file, split, field, np.arange(len(file[name]))):
            arrays[split][rows] = block
    return arrays


def _check_shapes(path: Path, file: h5py.File, expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise StoreError if one of these arrays is missing or has another shape."""
    for name, shape in expected.items():
        if name not in file:
            raise StoreError(f"{path} lacks {name}", how_to_write(path.stem))
        actual = getattr(file[name], "shape", None)
        if actual != shape:
            raise _misfit(path, f"{name} has the shape {actual}, not {shape}")


def _check_ids_and_labels(features: Features) -> None:
    for split in SPLITS:
        ids, topk = features.ids[split], features.topk_class.get(split)
        if len(set(ids)) != len(ids) or "" in ids:
            raise _misfit(features.path, f"{split}_id misses an id or holds one twice")
        if topk is not None and topk.size and not 0 <= topk.min() <= topk.max() < IMAGENET_CLASSES:
            raise _misfit(features.path, f"{split}_topk_class names a label outside 0 to {IMAGENET_CLASSES - 1}")
    if features.labels.size and not 0 <= features.labels.min() <= features.labels.max() < len(features.classes):
        raise _misfit(features.path, "label names a class that `classes` lacks")


def _check_targets(features: Features, file: h5py.File) -> None:
    """Raise StoreError for targets that are not what the labels say, or groups of another number of rows."""
    try:
        targets = features.targets
    except DatasetError as error:
        raise _misfit(features.path, error.problem) from None
    written = file["targets"][...] if "targets" in file else targets[:, :0]
    if written.shape != targets.shape or not np.array_equal(written, targets):
        raise _misfit(features.path, "targets are not what label says")
    if len(features.groups) not in (0, len(features.labels)):
        raise _misfit(features.path, f"group has {len(features.groups):,} rows, label {len(features.labels):,}")


def groups_of(ids: Sequence[str], group_of: Mapping[str, str]) -> NDArray[np.object_]:
    """(n,) the group of each row, the id itself of one that is in none; empty where no row is in any."""
    return np.array([group_of.get(id, id) for id in ids] if group_of else [], object)


def _misfit(path: Path, problem: str) -> StoreError:
    return StoreError(f"{path}: {problem}", how_to_write(path.stem))


def how_to_write(*files: str) -> str:
    """The remedy of an error: how to write these feature files anew. Those made elsewhere name no network."""
    if from_elsewhere := [name for name in files if name.startswith(FILE_PREFIX)]:
        return f"Give --backbones file: and the path of the vectors that {from_elsewhere[0]} was made of"
    backbones = [name for name in dict.fromkeys(files) if not name.startswith(GAP_PREFIX)]
    if not backbones:
        return "Write it again with what wrote it"
    return f"Run `catsdogs features --backbones {','.join(backbones)}`"

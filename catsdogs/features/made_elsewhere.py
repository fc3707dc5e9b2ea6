"""Vectors made elsewhere: `file:vectors.parquet` joined to photographs by id, and kept as `features/file-vectors.h5`.

The copy is a feature file like any other: whoever reads those reads it, by that name, also once the original is gone.
It knows the digests of the photographs, which the original does not, so that a vector never answers for other bytes.
"""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import DamagedError, DatasetError, StoreError, TrainingError, UnreadablePhotographError, in_short
from catsdogs.features import assembling, feature_file, joining, vector_table
from catsdogs.features.feature_file import SPLITS, UNKNOWN, Features, Unreadable
from catsdogs.features.recipes import MADE_ELSEWHERE, Recipe
from catsdogs.features.vector_table import VectorTable
from catsdogs.files import storage
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset, Photograph
from catsdogs.progress import Progress

_LEAVE_OUT = "leave that file out of --backbones"


class Taken(NamedTuple):
    """A feature file of vectors made elsewhere, and sentences about how it was joined; none if it was there already."""

    features: Features
    notes: tuple[str, ...] = ()


def kept(target: Path) -> Features | None:
    """The copy that an earlier command kept, which may be of other vectors by now; None if it is damaged or not there.

    Raises:
        StoreError: it cannot be read.
    """
    if not storage.exists(target):
        return None
    try:
        return feature_file.read_features(target)
    except DamagedError:  # the original is at hand
        return None


def take(source: Path, target: Path, rows: Features) -> Taken:
    """Join the vectors of `source` to the photographs of `rows`, by id, and keep them as the feature file `target`.

    The order of the file's rows does not matter. Rows of no photograph are left out, and said.

    Args:
        rows: ids, digests, labels and all else that the copy has of the photographs; its vectors are not read.

    Raises:
        StoreError: photographs without a vector, other labels than `rows` has; as `vector_table.read`; `target` cannot
            be written.
        UsageError: as `vector_table.read`.
    """
    copy = kept(target)
    if copy and copy.recipe.weights == vector_table.digest_of(source) and _are_of(copy, rows):
        return Taken(copy)
    table = vector_table.read(source)
    order, extra = _matched(table, rows)
    _check_labels(table, rows, order["train"])
    recipe = _recipe(target.stem, table.sha256, table.dtype)
    assembling.write_copy(target, recipe, rows, table.vectors, order)
    width = table.vectors.shape[1]
    notes = [f"{source} joins as {target.stem}: {sum(map(len, order.values())):,} rows x {width:,}, made elsewhere"]
    if extra:
        notes.append(
            f"left out, for they are of no photograph here: {len(extra):,} rows of {source} ({in_short(extra)})"
        )
    if table.left_alone:
        notes.append(f"left alone, for they are no vectors: {in_short(table.left_alone)} of {source}")
    return Taken(feature_file.read_features(target), tuple(notes))


def rows_of(dataset: Dataset, copies: Sequence[Features] = ()) -> Features:
    """The photographs of a data set as a feature file knows them, without vectors: each is read for its digest.

    Args:
        copies: feature files that are to have vectors of all of them, but for those that are no pictures.

    Raises:
        DatasetError: not one can be read.
        TrainingError: a photograph of whose bytes a copy has no vector.
    """
    digests: dict[str, list[int]] = {split: [] for split in SPLITS}
    photographs: dict[str, list[Photograph]] = {split: [] for split in SPLITS}
    unreadable, absent = list[Unreadable](), list[str]()
    known = [{*np.concatenate([*copy.digests.values()]).tolist()} for copy in copies]
    for photograph in Progress(len(dataset.photographs), "reading", "photograph", iterable=dataset.photographs):
        try:
            data = dataset.read(photograph)
            digest = images.digest(data)
            if not all(digest in there for there in known):
                images.decode(data)
                absent.append(photograph.id)
        except UnreadablePhotographError as error:
            unreadable.append(Unreadable(photograph.split, photograph.id, error.reason))
            continue
        digests[photograph.split].append(digest)
        photographs[photograph.split].append(photograph)
    if absent:
        names = ", ".join(copy.name for copy in copies)
        raise TrainingError(
            f"{names}: vectors made elsewhere, of which there are none of {len(absent):,} of these photographs: "
            f"{in_short(absent)}",
            "Ask about photographs whose vectors that file has, or train a run without it",
            absent,
        )
    if not any(digests.values()):
        raise DatasetError(f"Not one photograph of {dataset.root} can be read", "Check --data")
    ids = {split: np.array([row.id for row in rows], object) for split, rows in photographs.items()}
    return Features(
        path=dataset.root,
        recipe=_recipe(UNKNOWN, UNKNOWN, UNKNOWN),
        classes=dataset.classes,
        ids=ids,
        labels=np.array([row.label for row in photographs["train"]], np.int64),
        width=0,
        source=str(dataset.root),
        task=dataset.task,
        digests={split: np.array(values, np.uint64) for split, values in digests.items()},
        unreadable=tuple(unreadable),
        groups=feature_file.groups_of(ids["train"].tolist(), dataset.groups),
    )


def of_photographs(copy: Features, rows: Features, target: Path) -> Features:
    """The vectors of other photographs, found by the digests of their bytes in a copy, as the feature file `target`.

    Args:
        rows: the photographs, of all of which the copy has vectors, see `rows_of`.

    Raises:
        StoreError: the copy is damaged, or `target` cannot be written.
    """
    digests = np.concatenate([copy.digests[split] for split in SPLITS]).tolist()
    place_of = {digest: place for place, digest in enumerate(digests)}
    order = {
        split: np.array([place_of[digest] for digest in rows.digests[split].tolist()], np.intp) for split in SPLITS
    }
    vectors = np.concatenate([copy.vectors(split) for split in SPLITS])
    assembling.write_copy(target, copy.recipe, rows, vectors, order)
    return feature_file.read_features(target)


def _are_of(copy: Features, rows: Features) -> bool:
    """Whether a copy has these photographs, and all that is known of them."""
    beside = [(file.task, file.source, set(file.unreadable)) for file in (copy, rows)]
    return beside[0] == beside[1] and joining.rows_digest(copy) == joining.rows_digest(rows)


def _recipe(name: str, sha256: str, dtype: str) -> Recipe:
    unknown: dict[str, Any] = dict.fromkeys((field.name for field in fields(Recipe)), UNKNOWN)
    known = {"backbone": name, "weights": sha256, "input_size": 0, "engine": MADE_ELSEWHERE, "views": ""}
    return Recipe(**unknown | known | {"precision": dtype, "dtype": "float32"})


def _matched(table: VectorTable, rows: Features) -> tuple[dict[str, NDArray[np.intp]], list[str]]:
    """Split -> (n,) the row of the table for each photograph; and the ids of the table's rows that are of none.

    An id that both have once is the same photograph whatever the split: people move photographs between the two.
    """
    by_id: dict[str, list[int]] = {}
    for place, id in enumerate(table.ids.tolist()):
        by_id.setdefault(id, []).append(place)
    both = set(rows.ids["train"]) & set(rows.ids["test"])
    order, missing = dict[str, NDArray[np.intp]](), list[str]()
    for split in SPLITS:
        places = []
        for id in rows.ids[split].tolist():
            there = by_id.get(id, [])
            if len(there) > 1 or id in both:
                there = [place for place in there if table.splits.size and table.splits[place] == split]
            if not there:
                missing.append(f"{split}/{id}")
            places.append(there[0] if there else -1)
        order[split] = np.array(places, np.intp)
    if missing:
        twins = " (train and test share ids, which takes a column split)" if both and not table.splits.size else ""
        raise StoreError(
            f"{table.path} lacks {len(missing):,} of the {sum(map(len, order.values())):,} photographs of {rows.path}: "
            f"{in_short(missing)}; its own ids are such as {in_short(table.ids[:2].tolist())}{twins}",
            f"Give each photograph a row with its id, or {_LEAVE_OUT}",
            missing,
        )
    used = np.zeros(len(table.ids), bool)
    for places_of_split in order.values():
        used[places_of_split] = True
    unreadable = {row.id for row in rows.unreadable}
    return order, [id for id in table.ids[~used].tolist() if id not in unreadable]


def _check_labels(table: VectorTable, rows: Features, order: NDArray[np.intp]) -> None:
    """Raise a StoreError where the file gives a training photograph another label."""
    if not table.labels.size:
        return
    ours, theirs = np.array(rows.classes, object)[rows.labels], table.labels[order]
    wrong = np.flatnonzero((theirs != "") & (ours != theirs))
    if wrong.size:
        listed = [f"{rows.ids['train'][row]} ({theirs[row]}, not {ours[row]})" for row in wrong]
        raise StoreError(
            f"{table.path} gives {len(wrong):,} photographs other labels than {rows.path}: {in_short(listed)}",
            f"Mend its column label or drop it, or {_LEAVE_OUT}",
            listed,
        )

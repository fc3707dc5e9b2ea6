"""Rows of several feature files, matched by id."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import StoreError, in_short
from catsdogs.features.feature_file import SPLITS, Features, how_to_write


def join(files: Sequence[Features], split: str) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
    """Vectors of several networks side by side, rows matched by id: (n,) ids and (n, sum of widths) float32.

    Raises:
        StoreError: the files hold different rows, or rows of photographs that changed in between.
    """
    first = files[0]
    ids = first.ids[split]
    joined = np.empty((len(ids), sum(file.width for file in files)), np.float32)
    column = 0
    for file in files:
        order = rows_by_id(first, file, split)
        places = None if isinstance(order, slice) else np.argsort(order)
        file.read_vectors(split, joined[:, column : column + file.width], places)
        column += file.width
    return ids, joined


def check_joinable(files: Sequence[Features]) -> None:
    """Refuse files whose rows or labels differ, before any vector is read."""
    first = files[0]
    for file in files[1:]:
        for split in SPLITS:
            rows = rows_by_id(first, file, split)
            if split == "train":
                ours, theirs = np.array(first.classes)[first.labels], np.array(file.classes)[file.labels][rows]
                if not np.array_equal(ours, theirs):
                    raise StoreError(
                        f"{first.path} and {file.path} give different labels", how_to_write(first.name, file.name)
                    )


def rows_by_id(first: Features, file: Features, split: str) -> "slice | NDArray[np.intp]":
    """For each row of `first`, which row of `file` has its id."""
    ids, others = first.ids[split], file.ids[split]
    rows: slice | NDArray[np.intp] = slice(None)
    if not np.array_equal(ids, others):
        position = {id: row for row, id in enumerate(others)}
        missing = [str(id) for id in ids if id not in position]
        extra = [str(id) for id in sorted(set(others) - set(ids))]
        for absent, path in ((missing, file.path), (extra, first.path)):
            if absent:
                problem = f"{path} lacks {len(absent):,} {split} rows: {in_short(absent)}"
                raise StoreError(problem, how_to_write(first.name, file.name), absent)
        rows = np.array([position[id] for id in ids], np.intp)
    if split in first.digests and split in file.digests:
        changed = np.flatnonzero(first.digests[split] != file.digests[split][rows])
        if changed.size:
            raise StoreError(
                f"{ids[changed[0]]} and {changed.size - 1:,} other {split} photographs changed between {first.path} "
                f"and {file.path}",
                how_to_write(first.name, file.name),
            )
    return rows


def rows_digest(file: Features) -> str:
    """SHA-256 of what the rows of a file are: ids, labels, and the digests of the photographs where it has them."""
    hashed = hashlib.sha256(json.dumps(file.classes).encode() + file.labels.tobytes())
    for split in SPLITS:
        hashed.update(json.dumps(file.ids[split].tolist()).encode())
        hashed.update(file.digests[split].tobytes() if split in file.digests else b"")
    return hashed.hexdigest()

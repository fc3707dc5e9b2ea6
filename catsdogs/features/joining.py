"""Rows of several feature files side by side, matched by id: whole splits in memory, or some rows when asked for."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import StoreError, in_short
from catsdogs.features.feature_file import SPLITS, Features, how_to_write
from catsdogs.features.scaling import Vectors

Rows = NDArray[np.intp]


class Joined:
    """Rows of feature files side by side, matched by id: all at once, or some when asked for.

    Row i is row i of `first`, its splits one after the other in the order given.

    Attributes:
        widths: columns of each network; `width` is their sum.
    """

    def __init__(
        self, files: Sequence[Features], *splits: str, first: Features | None = None, normalised: bool = False
    ) -> None:
        """Match the rows; `first` is the first file unless another is given, `normalised` as by `normalise`.

        Raises:
            StoreError: the files hold different rows, or rows of photographs that changed in between.
        """
        first = first or files[0]
        self.widths = tuple(file.width for file in files)
        self.width = sum(self.widths)
        self._files, self._normalised = files, normalised
        ends = accumulate((len(first.ids[split]) for split in splits), initial=0)
        self._ranges = dict(zip(splits, pairwise(ends), strict=True))
        self._orders = {split: [rows_by_id(first, file, split) for file in files] for split in splits}

    def __len__(self) -> int:
        return max(stop for _, stop in self._ranges.values())

    def read(self, rows: Rows | None = None) -> Vectors:
        """The (n, width) vectors of some rows, in any order, or of all.

        Raises:
            StoreError: a file is damaged, or a row holds NaN or infinity.
        """
        rows = np.arange(len(self)) if rows is None else rows
        vectors = np.empty((len(rows), self.width), np.float32)
        for split, (start, stop) in self._ranges.items():
            places = np.flatnonzero((start <= rows) & (rows < stop))
            if not places.size:
                continue
            columns = pairwise(accumulate(self.widths, initial=0))
            for file, order, (left, right) in zip(self._files, self._orders[split], columns, strict=True):
                for block, part in file.blocks(split, order[rows[places] - start]):
                    vectors[places[block], left:right] = part
        if self._normalised:
            normalise(vectors, self.widths)
        return vectors

    def blocks(self, size: int) -> Iterator[tuple[Rows, Vectors]]:
        """All rows in order, `size` at a time: their numbers and vectors; raises as `read`."""
        for start in range(0, len(self), size):
            rows = np.arange(start, min(start + size, len(self)))
            yield rows, self.read(rows)


def check_joinable(files: Sequence[Features]) -> None:
    """Refuse files whose rows or labels differ, before any vector is read.

    Raises:
        StoreError: as `Joined`, or two files give different labels.
    """
    first = files[0]
    for file in files[1:]:
        for split in SPLITS:
            rows = rows_by_id(first, file, split)
            if split == "train":
                labels = (np.array(first.classes)[first.labels], np.array(file.classes)[file.labels][rows])
                if not np.array_equal(*labels):
                    raise StoreError(
                        f"{first.path} and {file.path} give different labels", how_to_write(first.name, file.name)
                    )


def rows_by_id(first: Features, file: Features, split: str) -> Rows:
    """(n,) for each row of `first`, which row of `file` has its id.

    Raises:
        StoreError: as `Joined`.
    """
    ids, others = first.ids[split], file.ids[split]
    rows = np.arange(len(ids))
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
    """SHA-256 of what the rows of a file are: ids, labels, groups, and the photographs' digests where it has them."""
    hashed = hashlib.sha256(json.dumps(file.classes).encode() + file.labels.tobytes())
    hashed.update(json.dumps(file.groups.tolist()).encode() if file.groups.size else b"")
    for split in SPLITS:
        hashed.update(json.dumps(file.ids[split].tolist()).encode())
        hashed.update(file.digests[split].tobytes() if split in file.digests else b"")
    return hashed.hexdigest()


def normalise(vectors: Vectors, widths: Sequence[int]) -> None:
    """Give each network's part of each row the length 1/√networks, in place.

    Then the product of two rows is the mean of the networks' cosines.
    """
    for start, stop in pairwise(accumulate(widths, initial=0)):
        part = vectors[:, start:stop]
        lengths = np.sqrt(np.einsum("ij,ij->i", part, part) * len(widths))
        part /= np.maximum(lengths, np.finfo(np.float32).tiny)[:, np.newaxis]

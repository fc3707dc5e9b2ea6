"""Rows and where they lie: photographs, hashed keys and digests as arrays, which take some bytes a row."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple, Self, overload

import numpy as np
from numpy.typing import NDArray

from catsdogs.photographs import images
from catsdogs.photographs.dataset import Photograph

_MOST_LATE_ROWS = 2**15  # rows that are looked up in a dictionary, at some 200 bytes each, before they are sorted in
_NONE = np.empty(0, np.uint64)


class DigestedPhotograph(NamedTuple):
    """A readable photograph and the digest of its bytes. It is the identity of a row."""

    photograph: Photograph
    digest: int

    @property
    def key(self) -> str:
        """The row's name: `train/cat.0`."""
        return f"{self.photograph.split}/{self.photograph.id}"


def hashed(keys: Iterable[str], count: int = -1) -> NDArray[np.uint64]:
    """(n,) the 64-bit digest of each key; `count` is how many there are, if that is known.

    Two of a million keys share one with a probability of 3 in 100 million. A row is known by its digest as well.
    """
    return np.fromiter((images.digest(key.encode()) for key in keys), np.uint64, count)


class Rows(Sequence[DigestedPhotograph]):
    """Photographs with the digests of their bytes, in order: 16 bytes a row beside the photographs.

    Attributes:
        photographs: n of them.
        digests: (n,) uint64.
    """

    def __init__(self, photographs: Sequence[Photograph], digests: NDArray[np.uint64]) -> None:
        self.photographs, self.digests = photographs, digests

    @classmethod
    def of(cls, entries: Sequence[DigestedPhotograph]) -> "Rows":
        """The same rows, as arrays."""
        if isinstance(entries, Rows):
            return entries
        digests = np.fromiter((entry.digest for entry in entries), np.uint64, len(entries))
        return cls([entry.photograph for entry in entries], digests)

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        """(n,) see `hashed`."""
        return hashed((f"{split}/{id}" for id, split, *_ in self.photographs), len(self))

    def chosen(self, rows: NDArray[np.intp]) -> Self:
        """Some of the rows; the very same if these are all, in order."""
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            if len(rows) == len(self):
                return self
            own = slice(int(rows[0]), int(rows[-1]) + 1)
            some = type(self)(self.photographs[own], self.digests[own])
            some.__dict__["keys"] = self.keys[own]
        else:
            some = type(self)([self.photographs[row] for row in rows], self.digests[rows])
            some.__dict__["keys"] = self.keys[rows]
        return some

    @cached_property
    def by_split(self) -> dict[str, Self]:
        """Split -> its rows."""
        is_train = np.fromiter((photograph.split == "train" for photograph in self.photographs), bool, len(self))
        return {"train": self.chosen(np.flatnonzero(is_train)), "test": self.chosen(np.flatnonzero(~is_train))}

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(n,) see `Photograph`."""
        return np.fromiter((photograph.label for photograph in self.photographs), np.int64, len(self))

    @property
    def ids(self) -> list[str]:
        return [photograph.id for photograph in self.photographs]

    def __len__(self) -> int:
        return len(self.photographs)

    @overload
    def __getitem__(self, row: int) -> DigestedPhotograph: ...

    @overload
    def __getitem__(self, row: slice) -> Self: ...

    def __getitem__(self, row: int | slice) -> "DigestedPhotograph | Self":
        if isinstance(row, slice):
            return self.chosen(np.arange(len(self))[row])
        return DigestedPhotograph(self.photographs[row], int(self.digests[row]))

    def __iter__(self) -> Iterator[DigestedPhotograph]:
        return map(DigestedPhotograph, self.photographs, self.digests.tolist())


class Places:
    """Rows by hashed key and digest. A row's place is its number in the order in which all were added.

    Looking one up is safe while another thread adds rows.
    """

    def __init__(self) -> None:
        # Keys and digests in the order of adding; and the places in the order of the keys, the sorted keys.
        self._sorted = (_NONE, _NONE, np.empty(0, np.uint32), _NONE)
        self._blocks: list[tuple[NDArray[np.uint64], NDArray[np.uint64]]] = []
        self._late: dict[tuple[int, int], int] = {}  # (key, digest) of the rows that are not sorted in -> place
        self._count, self._is_sorted = 0, True  # whether all that is not late is sorted in
        self._changing = threading.Lock()

    def __len__(self) -> int:
        return self._count

    def add(self, keys: NDArray[np.uint64], digests: NDArray[np.uint64]) -> None:
        """Add rows behind those that are there; no two of them have the same key."""
        with self._changing:
            if len(keys) <= _MOST_LATE_ROWS:
                places = range(self._count, self._count + len(keys))
                self._late.update(zip(zip(keys.tolist(), digests.tolist(), strict=True), places, strict=True))
            else:
                self._is_sorted = False
            self._blocks.append((keys, digests))
            self._count += len(keys)
        if len(self._late) > _MOST_LATE_ROWS:
            self._sort_in()

    def _sort_in(self) -> None:
        with self._changing:
            if not self._blocks:
                return
            keys, digests = (np.concatenate(arrays) for arrays in zip(self._sorted[:2], *self._blocks, strict=True))
            order = np.argsort(keys, kind="stable").astype(np.uint32)
            self._sorted = keys, digests, order, keys[order]
            self._blocks, self._late, self._is_sorted = [], {}, True

    def find_one(self, key: int, digest: int) -> int:
        """The place of a row, or -1; of equal ones the last that was added counts."""
        if not self._is_sorted:
            self._sort_in()
        late = self._late.get((key, digest))
        if late is not None:
            return late
        _, digests, order, keys = self._sorted
        at = int(np.searchsorted(keys, np.uint64(key), "right")) - 1
        while at >= 0 and keys[at] == key:
            if digests[order[at]] == digest:
                return int(order[at])
            at -= 1
        return -1

    def find(self, wanted_keys: NDArray[np.uint64], wanted_digests: NDArray[np.uint64]) -> NDArray[np.int64]:
        """(n,) the place of each row, or -1; of equal ones the last that was added counts."""
        if [len(keys) for keys, _ in self._blocks] == [self._count]:  # nothing but the feature file
            keys, digests = self._blocks[0]
            if np.array_equal(keys, wanted_keys) and np.array_equal(digests, wanted_digests):
                return np.arange(len(keys))
        self._sort_in()
        _, digests, order, keys = self._sorted
        places = np.full(len(wanted_keys), -1, np.int64)
        at = np.searchsorted(keys, wanted_keys, "right").astype(np.int64) - 1
        open_ = np.flatnonzero(at >= 0)
        while len(open_):  # once for each row that a key has, which is seldom more than one
            open_ = open_[keys[at[open_]] == wanted_keys[open_]]
            candidates = order[at[open_]]
            is_it = digests[candidates] == wanted_digests[open_]
            places[open_[is_it]] = candidates[is_it]
            open_ = open_[~is_it]
            at[open_] -= 1
            open_ = open_[at[open_] >= 0]
        return places

    def latest(self, wanted_keys: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
        """(n,) whether there is a row of each key, and the digest of the last that was added; 0 if there is none."""
        self._sort_in()
        _, digests, order, keys = self._sorted
        at = np.searchsorted(keys, wanted_keys, "right").astype(np.int64) - 1
        found = at >= 0
        found[found] = keys[at[found]] == wanted_keys[found]
        latest = np.zeros(len(wanted_keys), np.uint64)
        latest[found] = digests[order[at[found]]]
        return found, latest

    @property
    def digests(self) -> NDArray[np.uint64]:
        """(m,) the digests of all rows, ascending, each once."""
        self._sort_in()
        return np.unique(self._sorted[1])

    def of_keys(self, wanted: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """(m,) keys and digests of all rows that have one of these keys."""
        self._sort_in()
        _, digests, order, keys = self._sorted
        wanted = np.unique(wanted)
        firsts, ends = np.searchsorted(keys, wanted), np.searchsorted(keys, wanted, "right")
        rows = np.array([row for first, end in zip(firsts, ends, strict=True) for row in range(first, end)], np.intp)
        return keys[rows], digests[order[rows]]


class Renamed:
    """The first place of each digest, by which a photograph is known again under another name."""

    def __init__(self, digests: NDArray[np.uint64], places: NDArray[np.int64]) -> None:
        order = np.argsort(digests, kind="stable")
        self._digests, self._places = digests[order], places[order]

    def find(self, wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
        """(n,) the place of the first row of each digest, or -1."""
        at = np.searchsorted(self._digests, wanted)
        places = np.full(len(wanted), -1, np.int64)
        found = at < len(self._digests)
        found[found] = self._digests[at[found]] == wanted[found]
        places[found] = self._places[at[found]]
        return places

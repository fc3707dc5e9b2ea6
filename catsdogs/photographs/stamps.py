"""Digests of photographs that have not changed since they were read are remembered, as in git's index."""

import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import DamagedError, MissingError, StoreError
from catsdogs.files import atomic, hdf5, storage
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Photograph
from catsdogs.photographs.locations import is_folder

STAMPS_FILE = ".photographs.h5"
STAMPS_FORMAT = "catsdogs stamps"
STAMPS_VERSION = 1
# A file that changes twice within the resolution of its times looks as if it had changed once; FAT's resolution is 2 s.
SETTLED_NS = 2 * 10**9
_NO_STAMP = 0


class Stamps:
    """The digests of photographs that a folder remembers, for all networks.

    A stamp is the hash of a photograph's name with the size, times of change and inode of its file or of the archive it
    lies in, which git compares, too. For an object it is the size, version and time from the store's listing, which is
    asked for once a folder. The data set's own folder is no part of it, so a data set that moved is recognised.
    All this only saves reading. Without the file, or with a damaged one, every photograph is read. A wrong digest finds
    no row in a cache, so that its photograph is read, too.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / STAMPS_FILE
        self._kept = _read_stamps(self._path)
        self._stamps = np.empty(0, np.uint64)
        self._is_stamped = np.empty(0, bool)

    def look(self, photographs: Sequence[Photograph]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """(n,) each photograph's digest, and whether it is known: its file has not changed since it was read."""
        settled = time.time_ns() - SETTLED_NS

        @functools.cache
        def state_in(container: Path) -> Callable[[str], str]:
            return _of_objects(container) if storage.is_remote(container) else _of_files(container, settled)

        def each() -> Iterator[int]:
            last: Path | None = None
            state_of: Callable[[str], str] = str
            for photograph in photographs:
                container, name = photograph.location
                if container is not last:  # they stand together, and hashing a path takes as long as all else
                    last, state_of = container, state_in(container)
                state = state_of(name)
                yield images.digest(f"{name}\0{state}".encode()) if state else _NO_STAMP

        self._stamps = np.fromiter(each(), np.uint64, len(photographs))
        # No file, or one that changed so lately that another change may not show, has none.
        self._is_stamped = self._stamps != _NO_STAMP
        stamps, digests = self._kept
        at = np.searchsorted(stamps, self._stamps)
        known = self._is_stamped & (at < len(stamps))
        known[known] = stamps[at[known]] == self._stamps[known]
        found = np.zeros(len(photographs), np.uint64)
        found[known] = digests[at[known]]
        return found, known

    def keep(self, digests: NDArray[np.uint64], known: NDArray[np.bool_], others: bool) -> None:
        """Remember the known digests of the photographs just looked at; with `others`, keep earlier ones, too.

        Args:
            digests, known: (n,) as `look` gives them, of the same photographs.
        """
        known = known & self._is_stamped
        stamps, digests = self._stamps[known], digests[known]
        if others:
            stamps, digests = (np.concatenate(pair) for pair in zip((stamps, digests), self._kept, strict=True))
        stamps, first = np.unique(stamps, return_index=True)
        digests = digests[first]
        if np.array_equal(stamps, self._kept[0]) and np.array_equal(digests, self._kept[1]):
            return
        if not storage.is_remote(self._path):
            atomic.clear_leftovers(self._path, alone=True)  # left by a run that was killed
        with suppress(StoreError), hdf5.writing(self._path) as file:  # only time is lost, in the next run
            file.attrs.update(format=STAMPS_FORMAT, version=STAMPS_VERSION)
            file["stamp"] = stamps
            file["digest"] = digests


def _read_stamps(path: Path) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Sorted stamps, and their digests; none of a file that is missing, damaged or of another kind."""
    with suppress(MissingError, DamagedError), hdf5.reading(path) as file:
        if (file.attrs.get("format"), file.attrs.get("version")) == (STAMPS_FORMAT, STAMPS_VERSION):
            stamps, digests = file["stamp"][...], file["digest"][...]
            if stamps.shape != digests.shape or stamps.ndim != 1:
                raise ValueError("stamps and digests are not of equal number")
            stamps, last = np.unique(stamps[::-1], return_index=True)  # earlier versions did not sort them
            return stamps, digests[::-1][last]
    return np.empty(0, np.uint64), np.empty(0, np.uint64)


def _of_files(container: Path, settled: int) -> Callable[[str], str]:
    """Name in a folder or archive -> what `stat` tells; empty if a change may not show there, after `settled` ns."""
    folder = str(container)
    archive = _stat(folder) if container.is_file() else None

    def state(name: str) -> str:
        file = archive or _stat(f"{folder}/{name}")
        if not file or max(file.st_mtime_ns, file.st_ctime_ns) >= settled:
            return ""
        return f"{file.st_size} {file.st_mtime_ns} {file.st_ctime_ns} {file.st_ino}"

    return state


def _of_objects(container: Path) -> Callable[[str], str]:
    """The same for a folder or archive in a store, whose versions show every change."""
    if is_folder(container):
        listed = storage.list_stamps(container)
        return lambda name: listed.get(name, "")
    try:
        archive = storage.stamp(container)
    except FileNotFoundError:
        archive = ""
    return lambda name: archive


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - a Path for each of 37,500 files takes longer than asking for it
    except OSError:
        return None

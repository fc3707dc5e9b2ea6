"""Digests of photographs that have not changed since they were read are remembered, as in git's index."""

import functools
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

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
        self._digests = _read_stamps(self._path)
        self._stamps: list[int | None] = []

    def look(self, photographs: Iterable[Photograph]) -> list[int | None]:
        """Each photograph's digest if its file has not changed since it was read; None if it has to be read."""
        settled = time.time_ns() - SETTLED_NS

        @functools.cache
        def state_in(container: Path) -> Callable[[str], str]:
            return _of_objects(container) if storage.is_remote(container) else _of_files(container, settled)

        states = ((name, state_in(container)(name)) for _, _, _, (container, name) in photographs)
        # None for no file, or for one that changed so lately that another change may not show.
        self._stamps = [images.digest(f"{name}\0{state}".encode()) if state else None for name, state in states]
        return [None if stamp is None else self._digests.get(stamp) for stamp in self._stamps]

    def keep(self, digests: Iterable[int | None], others: bool) -> None:
        """Remember the known digests of the photographs just looked at; with `others`, keep earlier ones, too."""
        pairs = zip(self._stamps, digests, strict=True)
        kept = {stamp: digest for stamp, digest in pairs if stamp is not None and digest is not None}
        if others:
            kept = self._digests | kept
        if kept == self._digests:
            return
        if not storage.is_remote(self._path):
            atomic.clear_leftovers(self._path, alone=True)  # left by a run that was killed
        with suppress(StoreError), hdf5.writing(self._path) as file:  # only time is lost, in the next run
            file.attrs.update(format=STAMPS_FORMAT, version=STAMPS_VERSION)
            file["stamp"] = np.array(list(kept), np.uint64)
            file["digest"] = np.array(list(kept.values()), np.uint64)


def _read_stamps(path: Path) -> dict[int, int]:
    with suppress(MissingError, DamagedError), hdf5.reading(path) as file:
        if (file.attrs.get("format"), file.attrs.get("version")) == (STAMPS_FORMAT, STAMPS_VERSION):
            return dict(zip(file["stamp"][...].tolist(), file["digest"][...].tolist(), strict=True))
    return {}


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

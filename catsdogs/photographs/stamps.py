"""Which photographs are as they were when they were last read: their digests are remembered, as git's index does."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from catsdogs.errors import DamagedError, MissingError, StoreError
from catsdogs.files import atomic, hdf5, storage
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Photograph
from catsdogs.photographs.locations import is_folder

STAMPS_FILE = ".photographs.h5"
FORMAT = "catsdogs stamps"
VERSION = 1
# A file that changes twice within the resolution of its times looks as if it had changed once; FAT's are 2 s apart.
SETTLED_NS = 2 * 10**9


class Stamps:
    """The digests that a folder remembers of photographs, for all networks.

    A stamp is the hash of a photograph's name and of what `stat` says of its file, or of the archive it lies in: size,
    times of change and inode. Git compares the same. Of an object it is what the store's listing says: size, version
    and time; a folder there is listed once, whatever its photographs. The folder that the data set lies in is no part
    of it, so a data set that moved is known again. All this only saves reading: without the file, or with a damaged
    one, every photograph is read, and a wrong digest finds no row in a cache, so that its photograph is read, too.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / STAMPS_FILE
        self._digests = _load(self._path)
        self._stamps: list[int | None] = []

    def look(self, photographs: Iterable[Photograph]) -> list[int | None]:
        """Each photograph's digest if its file is as it was when it was read, None if it has to be read."""
        self._stamps = list(_stamps(photographs))
        return [None if stamp is None else self._digests.get(stamp) for stamp in self._stamps]

    def keep(self, digests: Iterable[int | None], others: bool) -> None:
        """Remember the digests of the photographs just looked at, but for None; with `others`, also all from before."""
        seen = zip(self._stamps, digests, strict=True)
        kept = {stamp: digest for stamp, digest in seen if stamp is not None and digest is not None}
        if others:
            kept = self._digests | kept
        if kept == self._digests:
            return
        if not storage.is_remote(self._path):
            atomic.clear_temporary(self._path)  # of a run that was killed while it wrote this
        with suppress(StoreError), hdf5.writing(self._path) as file:  # no more is lost than time in the next run
            file.attrs.update(format=FORMAT, version=VERSION)
            file["stamp"] = np.array(list(kept), np.uint64)
            file["digest"] = np.array(list(kept.values()), np.uint64)


def _load(path: Path) -> dict[int, int]:
    try:
        with hdf5.reading(path) as file:
            if (file.attrs.get("format"), file.attrs.get("version")) == (FORMAT, VERSION):
                return dict(zip(file["stamp"][...].tolist(), file["digest"][...].tolist(), strict=True))
    except (MissingError, DamagedError):
        pass
    return {}


def _stamps(photographs: Iterable[Photograph]) -> Iterator[int | None]:
    """None where there is no such file, or where it changed so lately that it may change again and look the same."""
    settled = time.time_ns() - SETTLED_NS
    tellers: dict[Path, Callable[[str], str]] = {}
    for _, _, _, (container, name) in photographs:
        if container not in tellers:
            tellers[container] = (_of_objects if storage.is_remote(container) else partial(_of_files, settled))(
                container
            )
        said = tellers[container](name)
        yield images.digest(f"{name}\0{said}".encode()) if said else None


def _of_files(settled: int, container: Path) -> Callable[[str], str]:
    """Says of each name in a folder or archive what `stat` does; nothing if that may change and look the same."""
    folder = str(container)
    archive = _stat(folder) if container.is_file() else None

    def say(name: str) -> str:
        found = archive or _stat(f"{folder}/{name}")
        if not found or max(found.st_mtime_ns, found.st_ctime_ns) >= settled:
            return ""
        return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"

    return say


def _of_objects(container: Path) -> Callable[[str], str]:
    """The same of a folder or archive in a store, whose versions tell changes at once."""
    try:
        if is_folder(container):
            listed = storage.list_stamps(container)
            return lambda name: listed.get(name, "")
        archive = storage.stamp(container)
    except FileNotFoundError:
        archive = ""
    return lambda name: archive


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - a Path for each of 37,500 files takes longer than asking for it
    except OSError:
        return None

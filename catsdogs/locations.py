"""Where photographs' bytes lie, in a folder, a zip, a shard of records or an object store: listed, and read."""

import lzma
import os
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, cast

from catsdogs import storage, tfrecord
from catsdogs.errors import DatasetError, UnreadablePhotographError
from catsdogs.labels import PHOTO_SUFFIXES, TEST_FOLDERS, TRAIN_FOLDERS, leads_elsewhere, photographs
from catsdogs.ranges import Ranges

MAX_FILE_BYTES = 256 * 2**20  # no camera writes more; a zip member that claims more is a bomb
# What zipfile raises over damaged archives: a name that is no UTF-8 is a ValueError, a newer version a RuntimeError.
_ZIP_ERRORS = (
    OSError, EOFError, RuntimeError, ValueError, struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
_LOCAL_HEADER_BYTES = 30 + 128  # of a zip member, without its name: the fixed part, and what may be added to it


class Location(NamedTuple):
    """Where a photograph's bytes are: a path inside a folder or zip, or `offset:length` of a record in a shard.

    What a container in an object store is follows from its name alone, see `is_folder`.
    """

    container: Path
    name: str

    def __str__(self) -> str:
        return str(self.container / self.name)


class Reader:
    """Reads photographs, in as many threads as there are; a zip is opened once for all."""

    def __init__(self) -> None:
        self._zips: dict[Path, zipfile.ZipFile] = {}
        self._lock = threading.Lock()

    def read(self, location: Location) -> bytes:
        """The bytes of one photograph; of one in an object store by a single request.

        Raises:
            UnreadablePhotographError: the file is gone, cannot be read, or is larger than `MAX_FILE_BYTES`.
            StoreError: the store went on failing, or refuses to be read.
        """
        container, name = location
        try:
            if is_folder(container):
                size, data = _read_file(container, name)
            elif tfrecord.is_shard(container.name):
                offset, length = name.split(":")
                return tfrecord.read(container, int(offset), int(length))
            else:
                size, data = self._read_member(container, name)
        except FileNotFoundError:
            raise UnreadablePhotographError("no such file") from None
        except (KeyError, *_ZIP_ERRORS) as error:
            raise UnreadablePhotographError(f"cannot be read: {error}") from None
        if size > MAX_FILE_BYTES:
            raise UnreadablePhotographError(f"{size:,} bytes, more than {MAX_FILE_BYTES:,}")
        return data

    def size(self, location: Location) -> int | None:
        """How many bytes a photograph has, where that takes no reading: of a file or a zip's member on this machine."""
        container, name = location
        if storage.is_remote(container) or tfrecord.is_shard(container.name):
            return None
        try:
            if is_folder(container):
                return (container / name).stat().st_size
            return self._open_zip(container).getinfo(name).file_size
        except (KeyError, *_ZIP_ERRORS):
            return None

    def _read_member(self, path: Path, name: str) -> tuple[int, bytes]:
        archive = self._open_zip(path)
        info = archive.getinfo(name)
        if info.file_size > MAX_FILE_BYTES:
            return info.file_size, b""
        if isinstance(archive.fp, Ranges):
            # Outside the lock under which zipfile reads, so that threads need not wait for each other's answers.
            length = _LOCAL_HEADER_BYTES + len(info.filename.encode()) + len(info.extra) + info.compress_size
            archive.fp.fetch(info.header_offset, min(length, MAX_FILE_BYTES))
        return info.file_size, archive.read(name)

    def _open_zip(self, path: Path) -> zipfile.ZipFile:
        with self._lock:  # the loader's threads share one open archive, which zipfile makes safe to read
            if path not in self._zips:
                self._zips[path] = _zip(path)
            return self._zips[path]


def is_folder(path: Path) -> bool:
    """Whether a place is a folder; in an object store, which is not asked, unless its name ends like a file of ours."""
    if not storage.is_remote(path):
        return path.is_dir()
    name = path.name.lower()
    return not (name.endswith((".zip", ".csv", *PHOTO_SUFFIXES)) or tfrecord.is_shard(name))


def files(root: Path) -> dict[str, Location]:
    """Relative path -> location of every file under a folder or zip, or in the zips of train and test in a folder.

    Raises:
        DatasetError: nothing there, or a name that would lead elsewhere.
        StoreError: the store went on failing, or refuses to be read.
    """
    if storage.is_remote(root):
        if not is_folder(root):
            return _of_one_file(root)
        names: Iterable[str] = _listed(root)
    else:
        if not root.exists():
            raise DatasetError(f"No such folder or zip: {root}", "Check --data, or run `catsdogs fetch` to download it")
        if root.is_file():
            return _of_one_file(root)
        names = _walk(root)
    locations = {name: Location(root, name) for name in names}
    for name in (name for name in locations if not name.isascii()):
        shown = name.encode(errors="backslashreplace").decode()
        if shown != name:
            raise DatasetError(f"The name of {root}/{shown} is not UTF-8", "Rename the file")
    zips = {name.lower(): root / name for name in locations if "/" not in name and name.lower().endswith(".zip")}
    for split in (*TRAIN_FOLDERS, *TEST_FOLDERS):
        start = f"{split}/"
        if f"{split}.zip" in zips and not any(name.lower().startswith(start) for name in locations):
            for name, member in _list_zip(zips[f"{split}.zip"]).items():
                below = name[len(start) :] if name.lower().startswith(start) else name
                locations[start + below] = member
    if len(zips) == 1 and not photographs(locations) and not any(map(tfrecord.is_shard, locations)):
        return _list_zip(*zips.values())
    return locations


def _of_one_file(root: Path) -> dict[str, Location]:
    is_one = tfrecord.is_shard(root.name) or photographs([root.name])
    return {root.name: Location(root.parent, root.name)} if is_one else _list_zip(root)


def _read_file(folder: Path, name: str) -> tuple[int, bytes]:
    """The size of a file and, if it is no larger than it may be, its bytes."""
    if storage.is_remote(folder):
        if leads_elsewhere(name):  # a table may list anything
            raise FileNotFoundError(name)
        data = storage.read(folder / name, length=MAX_FILE_BYTES + 1)
        return len(data), data
    path = folder / name
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # a pipe, or a link to a device, would never end
        raise UnreadablePhotographError("not a regular file")
    return found.st_size, path.read_bytes() if found.st_size <= MAX_FILE_BYTES else b""


def _listed(root: Path) -> list[str]:
    """The names of the objects below a place in a store, without hidden ones."""
    try:
        names = list(storage.listing(root))
    except FileNotFoundError:
        names = []
    if not names:
        raise DatasetError(f"Nothing is stored at {root}", "Check --data: the bucket and the folder in it")
    for name in names:
        if leads_elsewhere(name):
            raise DatasetError(f"{root} holds an object of the unsafe name {name!r}", "Rename or remove it")
    return [name for name in names if not any(map(_is_hidden, name.split("/")))]


def _walk(root: Path) -> Iterable[str]:
    """Relative paths of all files, links to folders followed, each real folder once."""

    def refuse(error: OSError) -> None:
        raise DatasetError(f"{error.filename} cannot be read: {error.strerror}", "Make it readable, or move it away")

    seen = set()
    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        relative = Path(folder).relative_to(root).as_posix()
        for name in sorted(names):
            if not _is_hidden(name):
                yield name if relative == "." else f"{relative}/{name}"


def _list_zip(path: Path) -> dict[str, Location]:
    try:
        with _zip(path) as archive:  # read() needs the name as it stands there
            members = {_tidy(info.filename): info.filename for info in archive.infolist()}
    except FileNotFoundError:
        raise DatasetError(f"No such zip: {path}", "Check --data") from None
    except _ZIP_ERRORS as error:
        raise DatasetError(f"{path} is not a readable zip: {error}", "Delete it and download it again") from None
    for name in members:
        if leads_elsewhere(name):
            raise DatasetError(f"{path} holds the unsafe name {name!r}", "Do not use this zip; get it from its source")
    names = [name for name in members if name[-1:] != "/" and not any(map(_is_hidden, name.split("/")))]
    inner = [name for name in names if name.endswith(".zip")]
    if inner and not photographs(names):
        raise DatasetError(f"{path} holds zips inside ({inner[0]})", f"Unpack the outer one: unzip {path.name}")
    return {name: Location(path, members[name]) for name in names}


def _zip(path: Path) -> zipfile.ZipFile:
    if not storage.is_remote(path) and path.exists() and not path.is_file():
        raise zipfile.BadZipFile("not a regular file")
    return zipfile.ZipFile(cast(BinaryIO, Ranges(path)) if storage.is_remote(path) else path)


def _tidy(name: str) -> str:
    """A zip member's name as a relative path: some programs write `train\\cat.0.jpg`, `./train/` or `train//`."""
    name = name.replace("\\", "/")
    return f"{PurePosixPath(name)}{'/' * name.endswith('/')}" if "//" in name or "./" in name else name


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"

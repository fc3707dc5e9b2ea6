"""Where photographs lie, in a folder, a zip, a TFRecord file or an object store: their files listed and read."""

import contextlib
import errno
import functools
import lzma
import os
import re
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, cast

from catsdogs.errors import DatasetError, UnreadablePhotographError, and_more, in_short
from catsdogs.files import storage
from catsdogs.photographs import filetypes, splits, tfrecord
from catsdogs.photographs.filetypes import PHOTO_SUFFIXES, is_system_file
from catsdogs.photographs.labels import photographs
from catsdogs.photographs.names import leads_elsewhere, one_form

ABSENT = "no such file"
MAX_FILE_BYTES = 256 * 2**20  # no camera writes more; a zip member that claims more is a bomb
# What zipfile raises for damaged archives: a name that is not UTF-8 is a ValueError, a newer version a RuntimeError.
_ZIP_ERRORS = (
    OSError, EOFError, RuntimeError, ValueError, struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
_ENCRYPTED, _IS_UTF8 = 0x1, 0x800  # flags of a zip member
_METHODS = {
    zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA,
    getattr(zipfile, "ZIP_ZSTANDARD", zipfile.ZIP_STORED),  # since Python 3.14
}  # fmt: skip
_LOCAL_HEADER_BYTES = 30 + 128  # of a zip member, without its name: the fixed part, and what may be added to it


class Location(NamedTuple):
    """Where a photograph's bytes are: a path in a folder or zip, or `offset:length` of a record in a TFRecord file.

    Whether a container in an object store is a folder follows from its name alone, see `is_folder`.
    """

    container: Path
    name: str

    def __str__(self) -> str:
        return str(self.container / self.name)


class Reader:
    """Reads photographs, in several threads if need be; a zip is opened once for all."""

    def __init__(self) -> None:
        self._zip = functools.cache(_zip)
        self._lock = threading.Lock()

    def read(self, location: Location) -> bytes:
        """The bytes of one photograph; those in an object store are read with a single request.

        Raises:
            UnreadablePhotographError: the file is gone, cannot be read, or is larger than `MAX_FILE_BYTES`.
            StoreError: the store went on failing, or refuses to be read.
        """
        container, name = location
        try:
            if is_folder(container):
                return _read_file(container, name)
            if tfrecord.is_record_file(container.name):
                return tfrecord.read_photograph(container, *map(int, name.split(":")))
            return self._read_member(container, name)
        except FileNotFoundError:
            raise UnreadablePhotographError(ABSENT) from None
        except (KeyError, *_ZIP_ERRORS) as error:
            storage.refuse_passing(location, error)
            raise UnreadablePhotographError(f"cannot be read: {error}") from None

    def size(self, location: Location) -> int | None:
        """The bytes, counted, of a file or a zip's member on this machine; None where that would need reading."""
        container, name = location
        if storage.is_remote(container) or tfrecord.is_record_file(container.name):
            return None
        try:
            if is_folder(container):
                return (container / name).stat().st_size
            return self._open_zip(container).getinfo(name).file_size
        except (KeyError, *_ZIP_ERRORS):
            return None

    def _read_member(self, path: Path, name: str) -> bytes:
        archive = self._open_zip(path)
        info = archive.getinfo(name)
        _refuse_large(info.file_size)
        if storage.is_remote(path):
            # Outside the lock under which zipfile reads, so that threads do not wait for each other's requests.
            length = _LOCAL_HEADER_BYTES + len(info.filename.encode()) + len(info.extra) + info.compress_size
            cast(Any, archive.fp).fetch(info.header_offset, min(length, MAX_FILE_BYTES))
        return archive.read(name)

    def _open_zip(self, path: Path) -> zipfile.ZipFile:
        with self._lock:  # threads share one open archive, which zipfile lets them read
            return self._zip(path)


def is_folder(path: Path) -> bool:
    """Whether a place is a folder; in an object store, where no request is made, unless its name ends like a file's."""
    if not storage.is_remote(path):
        return path.is_dir()
    name = path.name.lower()
    return not (name.endswith((".zip", ".csv", *PHOTO_SUFFIXES)) or tfrecord.is_record_file(name))


def list_files(root: Path) -> dict[str, Location]:
    """Relative path -> location of every file under a folder or zip, and in a folder's zips of splits, images, tables.

    Raises:
        DatasetError: nothing is there, or a name leads out of the folder.
        StoreError: the store went on failing, or refuses to be read.
    """
    is_remote = storage.is_remote(root)
    if not is_remote and not root.exists():
        raise DatasetError(f"No such folder or zip: {root}", "Check --data, or run `catsdogs fetch` to download it")
    if not is_folder(root) if is_remote else root.is_file():
        return _of_one_file(root)
    names = _recognised(_list_objects(root) if is_remote else _walk(root), lambda name: _head(root / name), is_remote)
    locations = {name: Location(root, name) for name in names}
    not_text = [text for name in names if (text := name.encode(errors="backslashreplace").decode()) != name]
    if not_text:
        problem = f"The name of {root}/{not_text[0]} is not UTF-8{and_more(not_text[1:], 'like it')}"
        raise DatasetError(problem, "Rename the file" if len(not_text) == 1 else "Rename the files", not_text)
    zips = [name for name in locations if "/" not in name and name.lower().endswith(".zip")]
    for name in zips:
        if (table := name[: -len(".zip")]).lower().endswith(".csv") and table not in locations:
            members = [place for member, place in _list_zip(root / name).items() if member.lower().endswith(".csv")]
            locations |= {table: members[0]} if len(members) == 1 else {}
    for name in _zips_of_photographs(zips, locations):
        start = f"{name[: -len('.zip')]}/"
        for member, location in _list_zip(root / name).items():
            is_inside = member.lower().startswith(start.lower())
            locations[start + (member[len(start) :] if is_inside else member)] = location
    if len(zips) == 1 and not photographs(locations) and not any(map(tfrecord.is_record_file, locations)):
        return _list_zip(root / zips[0])
    return locations


def _zips_of_photographs(zips: Sequence[str], names: Iterable[str]) -> list[str]:
    """The zips of train, test, images and the like that have not been unpacked into the same folder."""
    folders = {name.partition("/")[0].lower() for name in names if "/" in name}
    stems = {name[: -len(".zip")]: name for name in zips}
    plain = {stem: split for stem, split in splits.named_splits(stems).items() if not split.rest}
    splits_here = splits.named_splits(stems)
    if not {splits.TRAIN, splits.TEST} <= {split.role for split in splits_here.values()}:
        splits_here = splits.paired_splits(stems) | plain
    named = [*splits_here, *(stem for stem in stems if splits.is_plain(stem))]
    return [stems[stem] for stem in named if stem.lower() not in folders]


def _of_one_file(root: Path) -> dict[str, Location]:
    is_records, is_other = tfrecord.is_record_file(root.name), filetypes.left_alone([root.name])
    is_one = is_records or is_other or photographs(_recognised([root.name], lambda _: _head(root), False))
    return {root.name: Location(root.parent, root.name)} if is_one else _list_zip(root)


def _recognised(names: Iterable[str], head: Callable[[str], bytes], all_alike: bool) -> list[str]:
    """The names, without those that have no suffix and whose first bytes, from `head`, are no picture's.

    With `all_alike`, one name decides for its folder: looking at each would take a request.
    """
    checked: dict[str, bool] = {}

    def is_picture(name: str) -> bool:
        key = name.rpartition("/")[0] if all_alike else name
        if key not in checked:
            checked[key] = False
            with contextlib.suppress(*_ZIP_ERRORS):  # such as OSError
                checked[key] = filetypes.is_picture(head(name))
        return checked[key]

    return [
        name
        for name in names
        if name.lower().endswith(PHOTO_SUFFIXES) or filetypes.has_suffix(name) or is_picture(name)
    ]


def _head(path: Path) -> bytes:
    """The first bytes of a file; none of a pipe or a device."""
    is_readable = storage.is_remote(path) or path.is_file()
    return storage.read_bytes(path, length=filetypes.HEAD_BYTES) if is_readable else b""


def _head_of_member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        return file.read(filetypes.HEAD_BYTES)


def _refuse_large(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise UnreadablePhotographError(f"{size:,} bytes, more than {MAX_FILE_BYTES:,}")


def _read_file(folder: Path, name: str) -> bytes:
    if storage.is_remote(folder):
        if leads_elsewhere(name):  # a table may list anything
            raise FileNotFoundError(name)
        data = storage.read_bytes(folder / name, length=MAX_FILE_BYTES + 1)
        _refuse_large(len(data))
        return data
    path = folder / name
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe, or a link to a device, would never end
        raise UnreadablePhotographError("not a regular file")
    _refuse_large(status.st_size)
    return path.read_bytes()


def _list_objects(root: Path) -> list[str]:
    """The names of the objects below a place in a store, without a system's own files."""
    names = storage.list_stamps(root)
    if not names:
        raise DatasetError(f"Nothing is stored at {root}", "Check --data: the bucket and the folder in it")
    unsafe = [name for name in names if leads_elsewhere(name)]
    if unsafe:
        problem = f"{root} holds an object of the unsafe name {unsafe[0]!r}"
        raise DatasetError(
            f"{problem}{and_more(list(map(repr, unsafe[1:])), 'like it')}", "Rename or remove it", unsafe
        )
    return [name for name in names if not any(map(is_system_file, name.split("/")))]


def _walk(root: Path) -> Iterable[str]:
    """Relative paths of all files. Links to folders are followed, and each real folder is listed once."""

    def refuse(error: OSError) -> None:
        raise DatasetError(f"{error.filename} cannot be read: {error.strerror}", "Make it readable, or move it away")

    seen = set()
    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_system_file(name))
        relative = Path(folder).relative_to(root).as_posix()
        for name in sorted(names):
            if not is_system_file(name):
                yield name if relative == "." else f"{relative}/{name}"


def _list_zip(path: Path) -> dict[str, Location]:
    try:
        with _zip(path) as archive:
            members = _members(path, archive.infolist())
            alike = storage.is_remote(path)
            names = _recognised(members, lambda name: _head_of_member(archive, members[name].filename), alike)
    except FileNotFoundError:
        raise DatasetError(f"No such zip: {path}", "Check --data") from None
    except _ZIP_ERRORS as error:
        if getattr(error, "errno", None) not in (None, errno.EINVAL):  # from an offset before the start of a file
            raise storage.read_error(path, error, DatasetError) from None
        raise DatasetError(f"{path} is not a readable zip: {error}", "Delete it and download it again") from None
    inner = [name for name in names if name.lower().endswith(".zip")]
    if inner and (not photographs(names) or any(splits.split_of(PurePosixPath(name).stem) for name in inner)):
        raise DatasetError(f"{path} holds zips inside ({in_short(inner)})", f"Unpack the outer one: unzip {path.name}")
    return {name: Location(path, members[name].filename) for name in names}  # the name that zipfile reads by


def _members(path: Path, infos: Sequence[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Tidy name -> member, for the files of a zip.

    Raises:
        DatasetError: an unsafe name, members that are encrypted or compressed in a way that Python cannot undo, or two
            members of one name that differ.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    names_by_form: dict[str, str] = {}
    encrypted, packed, twice = [], [], []
    for info in infos:
        name = _tidy(_as_text(info))
        if leads_elsewhere(name):
            raise DatasetError(f"{path} holds the unsafe name {name!r}", "Do not use this zip; get it from its source")
        if name[-1:] == "/" or any(map(is_system_file, name.split("/"))):
            continue
        known = names_by_form.setdefault(one_form(name), name)
        if known in members and (members[known].CRC, members[known].file_size) != (info.CRC, info.file_size):
            twice.append(name)
        if info.flag_bits & _ENCRYPTED:
            encrypted.append(name)
        elif info.compress_type not in _METHODS:
            packed.append(name)
        members[known] = info
    for names, problem, remedy in (
        (encrypted, "encrypted members", "Unpack it with its password, and give --data the folder"),
        (packed, "members packed in a way that cannot be read here", "Unpack it, and give --data the folder"),
        (twice, "names that occur twice, with other content", "Unpack it, and keep the file that is meant"),
    ):
        if names:
            raise DatasetError(f"{path} holds {len(names):,} {problem}: {in_short(names)}", remedy, names)
    return members


def _as_text(info: zipfile.ZipInfo) -> str:
    """The name of a member. Some programs write UTF-8 without the flag, or only in an extra field.

    zipfile reads both as names in an old code page. The field is APPNOTE.TXT's 4.6.9, Info-ZIP Unicode Path.
    """
    if info.flag_bits & _IS_UTF8 or info.filename.isascii():
        return info.filename
    try:
        written = info.filename.encode("cp437")
    except UnicodeEncodeError:  # Python 3.12 and later read the field
        return info.filename
    checksum = re.escape(struct.pack("<I", zlib.crc32(written)))
    if field := re.search(rb"up(..)." + checksum, info.extra, re.DOTALL):  # its mark, size and version
        written = info.extra[field.end() :][: int.from_bytes(field[1], "little") - 5]
    try:
        return written.decode()
    except UnicodeError:
        return info.filename


def _zip(path: Path) -> zipfile.ZipFile:
    if not storage.is_remote(path) and path.exists() and not path.is_file():
        raise zipfile.BadZipFile("not a regular file")
    return zipfile.ZipFile(storage.open_by_ranges(path) if storage.is_remote(path) else path)


def _tidy(name: str) -> str:
    """A zip member's name as a relative path: some programs write `train\\cat.0.jpg`, `./train/` or `train//`."""
    name = name.replace("\\", "/")
    return f"{PurePosixPath(name)}{'/' * name.endswith('/')}" if "//" in name or "./" in name else name

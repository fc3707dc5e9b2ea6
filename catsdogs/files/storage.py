"""Files on this machine or, as `s3://bucket/name`, in an object store: named, listed, read and written in one way.

A place is a `Path`, or what `object_store` makes of a URL, which has the same methods and goes by the same type here.
Functions that reach a store raise a StoreError where it goes on failing or refuses the request.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, cast

from catsdogs.errors import CatsdogsError, StoreError
from catsdogs.files import object_store

# What only objects have: stamps, and a file of this machine to come from.
from catsdogs.files.object_store import list_stamps as list_stamps
from catsdogs.files.object_store import stamp as stamp
from catsdogs.files.object_store import upload as upload

# What a file system answers that has no locks, such as NFS without lockd and some of FUSE.
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
# What has nothing to do with the file that was to be read.
_PASSING = (
    *("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EAGAIN", "EINTR", "ESTALE", "ETIMEDOUT", "ENOTCONN", "ECONNRESET"),
    *("ECONNABORTED", "ECONNREFUSED", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "EREMOTEIO"),
)
_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)


def place(text: str | Path) -> Path:
    """What a path or URL names.

    Raises:
        UsageError: a URL of no known kind, or one whose package is not installed.
    """
    if isinstance(text, Path) or is_remote(text) or "://" not in text:
        return Path(text).expanduser() if isinstance(text, str) else text
    protocol, _, name = text.partition("://")
    return Path(name) if protocol in ("file", "local") else object_store.open_url(text)


def is_remote(path: object) -> bool:
    """Whether a place lies in an object store or on another machine."""
    return not isinstance(path, str | Path)


def read_bytes(path: Path, start: int = 0, length: int | None = None) -> bytes:
    """The bytes of a file or object, or `length` of them from `start`.

    Raises:
        FileNotFoundError: there is none.
        OSError: a local file cannot be read.
    """
    if is_remote(path):
        return object_store.read_object(path, start, length)
    with path.open("rb") as file:
        file.seek(start)
        return file.read(-1 if length is None else length)


def size(path: Path) -> int:
    """The bytes of a file or object, counted.

    Raises:
        FileNotFoundError: there is none.
        OSError: a local file cannot be looked at.
    """
    return int(object_store.info(path)["size"]) if is_remote(path) else path.stat().st_size


def exists(path: Path) -> bool:
    """Whether there is a file, folder or object; never no for a place that cannot be looked at.

    Raises:
        StoreError: a place on this machine cannot be looked at.
    """
    if is_remote(path):
        return object_store.retry(path, path.exists)
    try:
        os.stat(path)  # noqa: PTH116 - from Python 3.14 on, `Path.exists` takes every failure for a no
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise read_error(path, error) from None
    return True


def names_in(folder: Path, suffix: str) -> list[str]:
    """The files of a folder that end so, by name, without hidden ones; none if there is no such folder.

    Raises:
        StoreError: a folder on this machine cannot be listed.
    """
    try:
        names: Iterable[str] = list_stamps(folder) if is_remote(folder) else os.listdir(folder)  # noqa: PTH208 - names
    except FileNotFoundError:
        return []
    except OSError as error:
        raise read_error(folder, error) from None
    return sorted(name for name in names if name.endswith(suffix) and name[:1] != "." and "/" not in name)


def open_by_ranges(path: Path) -> BinaryIO:
    """The file or object, opened to read; an object in a store is read by ranges, never as a whole.

    Raises:
        FileNotFoundError: there is none.
        OSError: a local file cannot be opened.
        StoreError: the store went on failing, here or while the file is read.
    """
    if not is_remote(path):
        return path.open("rb")
    from catsdogs.files.ranges import Ranges  # whose fsspec takes a tenth of a second

    return cast(BinaryIO, Ranges(path))


def local(path: Path, stamp: str = "") -> Path:
    """The same file on this machine: itself, or a copy that is kept while its object does not change.

    Args:
        stamp: the object's, if a listing has just told it. Then the store is not asked for it.

    Raises:
        FileNotFoundError: there is none.
    """
    return object_store.local_copy(path, stamp) if is_remote(path) else path


def error_number(text: str) -> int:
    """The system's error number, which HDF5 and Python tell in their texts; 0 if there is none."""
    match = re.search(r"\b[Ee]rrno (?:= )?(\d+)", text)
    return int(match[1]) if match else 0


def reason_of(error: BaseException) -> str:
    """Why reading failed, if the machine or the file system failed at it; empty if it says something of the content."""
    if number := getattr(error, "errno", None) or error_number(str(error)):
        return os.strerror(number)
    is_memory = isinstance(error, MemoryError) or re.search(r"\b(allocat|malloc|out of memory)", str(error))
    return os.strerror(errno.ENOMEM) if is_memory else ""


def read_error(path: Path, error: BaseException, kind: type[CatsdogsError] = StoreError) -> CatsdogsError:
    """Why `path` could not be read, in one line that never calls the file damaged."""
    reason = reason_of(error) or " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, PermissionError):
        return kind(f"{path} may not be read by this user", "Check its permissions")
    remedy = "Run the same command again when that has passed: nothing was changed"
    if reason in map(os.strerror, WITHOUT_LOCKS):  # HDF5 was told to lock: its variable counts more than an argument
        remedy = "Set HDF5_USE_FILE_LOCKING=FALSE, and run the same command again: nothing was changed"
    if reason in map(os.strerror, _TOO_MANY_FILES):
        remedy = "Allow more of them with `ulimit -n`, and run the same command again: nothing was changed"
    return kind(f"{path} cannot be read: {reason}", remedy)


def refuse_passing(path: object, error: BaseException) -> None:
    """Raise a StoreError if reading failed for what other files would meet as well: then this one is not at fault."""
    if errno.errorcode.get(getattr(error, "errno", None) or 0) in _PASSING:
        raise read_error(Path(str(path)), error) from None


def remove(path: Path) -> None:
    """Remove a file, or a folder and all in it, wherever it lies; nothing there is fine.

    Raises:
        OSError: a local file or folder cannot be removed.
    """
    if is_remote(path):
        remove_all([path / name for name in list_stamps(path)] or [path])
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_all(paths: Iterable[Path]) -> None:
    """Remove these files or objects, and nothing else, whatever their names look like; absent ones are fine.

    Raises:
        OSError: a local file cannot be removed.
    """

    here: list[Path] = []
    there: list[Path] = []
    for path in paths:
        (there if is_remote(path) else here).append(path)
    if there:
        object_store.remove_objects(there)
    for path in here:
        path.unlink(missing_ok=True)

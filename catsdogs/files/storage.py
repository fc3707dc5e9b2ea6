"""Files on this machine or, as `s3://bucket/name`, in an object store: named, listed, read and put in one way.

A place is a `Path`, or what universal-pathlib makes of a URL, which has the same methods and goes by the same type
here. Whatever a store fails at is tried again with growing pauses, and named if it goes on failing.
"""

import contextlib
import errno
import os
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote

from catsdogs.errors import CatsdogsError, StoreError, UsageError

ATTEMPTS = 6
_WAIT = {"multiplier": 0.5, "max": 8}  # seconds: 0.5, 1, 2, 4, 8, and up to one more each
_KEPT_BYTES = 4 * 2**30  # of copies of objects, all together; the newest is kept whatever its size
# Trying again helps none of these.
_LASTING = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotImplementedError)
# Nor these of botocore's, by name, for it need not be installed.
_LASTING_NAMES = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "ParamValidationError")
# botocore would try five times within each of our attempts. A store that hangs is named after 6 x 15 s and the pauses.
S3_CLIENT = {"connect_timeout": 5, "read_timeout": 15, "retries": {"total_max_attempts": 1}, "max_pool_connections": 64}
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "hdfs": "hdfs"}
# Where a whole object appears at once, and a rename would only be a second copy.
_WITHOUT_RENAME = ("s3", "s3a", "gs", "gcs", "abfs", "az", "memory")
# What a file system answers that has no locks, such as NFS without lockd and some of FUSE.
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
_UNCONDITIONAL = ("NotImplemented", "501")  # of a store like S3 that knows no conditions
_GONE = (FileNotFoundError, NotADirectoryError)
# What has nothing to do with the file that was to be read.
_PASSING = {
    getattr(errno, name, None)
    for name in (
        *("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EAGAIN", "EINTR", "ESTALE", "ETIMEDOUT", "ENOTCONN", "ECONNRESET"),
        *("ECONNABORTED", "ECONNREFUSED", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "EREMOTEIO"),
    )
} - {None}
_AT_ONCE = 16  # objects that are removed
_TOO_MANY = (errno.EMFILE, errno.ENFILE)

_Result = TypeVar("_Result")


def place(text: str | Path) -> Path:
    """What a path or URL names.

    Raises:
        UsageError: a URL of no known kind, or one whose package is not installed.
    """
    if isinstance(text, Path) or is_remote(text) or "://" not in text:
        return Path(text).expanduser() if isinstance(text, str) else text
    from upath import UPath

    protocol, _, name = text.partition("://")
    if protocol in ("file", "local"):
        return Path(name)
    if not name.strip("/"):
        raise UsageError(f"{text} names no bucket", f"Give {protocol}://bucket/folder")
    options: dict[str, Any] = {"use_listings_cache": False}  # others may write there while we look
    if protocol in ("s3", "s3a"):
        options["config_kwargs"] = dict(S3_CLIENT)
    try:
        found = UPath(text.rstrip("/"), **options)
        _ = found.fs  # which is where a package shows to be absent
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        remedy = f"Install it: pip install 'catsdogs[{extra}]'" if extra else "Install that package"
        raise UsageError(f"{protocol}:// needs a package that is not installed ({error})", remedy) from None
    except ValueError as error:
        raise UsageError(
            f"{text} is no place that can be read: {error}", "Give a folder, or s3://, gs://, hdfs://"
        ) from None
    except OSError as error:  # Hadoop's library, or the node of its names
        raise UsageError(
            f"{protocol}:// cannot be used here: {str(error).splitlines()[0]}", "Install its client, or check the name"
        ) from None
    return cast(Path, found)


def is_remote(path: object) -> bool:
    """Whether a place lies in an object store or on another machine."""
    return not isinstance(path, str | Path)


def read_bytes(path: Path, start: int = 0, length: int | None = None) -> bytes:
    """The bytes of a file or object, or `length` of them from `start`.

    Raises:
        FileNotFoundError: there is none.
        OSError: a local file cannot be read.
        StoreError: the store went on failing, or refuses to be read.
    """
    if not is_remote(path):
        with path.open("rb") as file:
            file.seek(start)
            return file.read(-1 if length is None else length)
    store, key = _store(path), _key(path)
    end = None if length is None else start + length
    # s3fs would ask for the size first, to read large objects in several streams.
    options = {"max_concurrency": 1} if hasattr(store, "max_concurrency") else {}

    def get() -> bytes:
        try:
            return bytes(store.cat_file(key, start=start or None, end=end, **options))
        except OSError as error:
            if _code(error) in ("InvalidRange", "416"):  # nothing is left from there on, as in an empty object
                return b""
            raise

    return _asking(path, get)


def size(path: Path) -> int:
    """The bytes of a file or object, counted.

    Raises:
        FileNotFoundError: there is none.
        OSError: a local file cannot be looked at.
        StoreError: the store went on failing, or refuses to be read.
    """
    return int(_info(path)["size"]) if is_remote(path) else path.stat().st_size


def stamp(path: Path) -> str:
    """What tells an object's content from an earlier one's, as in `list_stamps`.

    Raises:
        FileNotFoundError: there is none.
        StoreError: the store went on failing, or refuses to be read.
    """
    return _stamp(_info(path))


def list_stamps(root: Path) -> dict[str, str]:
    """Every object below a place in a store: its relative name -> what tells its content from an earlier one's.

    What tells it is empty where the store says nothing but its size.

    Raises:
        FileNotFoundError: no such bucket, or nothing to be listed.
        StoreError: the store went on failing, or refuses to be read.
    """
    key = _key(root).rstrip("/")
    found = _asking(root, lambda: _store(root).find(key, detail=True, withdirs=False))
    names = {str(name).removeprefix(key).removeprefix("/"): info for name, info in sorted(found.items())}
    return {name: _stamp(info) for name, info in names.items() if name and not name.endswith("/")}


def exists(path: Path) -> bool:
    """Whether there is a file, folder or object; never no for a place that cannot be looked at.

    Raises:
        StoreError: the store went on failing, or the place cannot be looked at.
    """
    if is_remote(path):
        return _asking(path, path.exists)
    try:
        os.stat(path)  # noqa: PTH116 - of Python 3.14 on, `Path.exists` takes every failure for a no
    except _GONE:
        return False
    except OSError as error:
        raise read_error(path, error) from None
    return True


def names_in(folder: Path, suffix: str) -> list[str]:
    """The files of a folder that end so, by name, without hidden ones; none if there is no such folder.

    Raises:
        StoreError: the store went on failing, or the folder cannot be listed.
    """
    try:
        names: Iterable[str] = list_stamps(folder) if is_remote(folder) else os.listdir(folder)  # noqa: PTH208 - names
    except FileNotFoundError:
        return []
    except OSError as error:
        raise read_error(folder, error) from None
    return sorted(name for name in names if name.endswith(suffix) and name[:1] != "." and "/" not in name)


def reason_of(error: BaseException) -> str:
    """Why reading failed, if the machine or the file system failed at it; empty if it says something of the content.

    HDF5 tells the system's error number in its text, whatever type h5py makes of it.
    """
    number = getattr(error, "errno", None)
    if number is None and (told := re.search(r"errno = (\d+)", str(error))):
        number = int(told[1])
    if number:
        return os.strerror(number)
    is_memory = isinstance(error, MemoryError) or re.search(r"\b(allocat|malloc|out of memory)", str(error))
    return os.strerror(errno.ENOMEM) if is_memory else ""


def read_error(path: Path, error: BaseException, kind: type[CatsdogsError] = StoreError) -> CatsdogsError:
    """Why `path` could not be read, in one line; nothing says that it is damaged."""
    reason = reason_of(error) or " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, PermissionError):
        return kind(f"{path} may not be read by this user", "Check its permissions")
    remedy = "Run the same command again when that has passed: nothing was changed"
    if reason in map(os.strerror, WITHOUT_LOCKS):  # HDF5 was told to lock: its variable counts more than an argument
        remedy = "Set HDF5_USE_FILE_LOCKING=FALSE, and run the same command again: nothing was changed"
    if reason in map(os.strerror, _TOO_MANY):
        remedy = "Allow more of them with `ulimit -n`, and run the same command again: nothing was changed"
    return kind(f"{path} cannot be read: {reason}", remedy)


def refuse_passing(path: object, error: BaseException) -> None:
    """Raise a StoreError if reading failed for what other files would meet as well: then this one is not at fault."""
    if getattr(error, "errno", None) in _PASSING:
        raise read_error(Path(str(path)), error) from None


def version(path: Path) -> str:
    """What `write_bytes` takes as `instead_of`: an ETag or generation; empty without one, or without an object.

    Raises:
        StoreError: the store went on failing, or refuses to be read.
    """
    if not is_remote(path) or not _is_conditional(path):
        return ""
    try:
        info = _info(path)
    except FileNotFoundError:
        return ""
    return str(info.get("ETag") or info.get("generation") or "")


def write_bytes(path: Path, data: bytes, new: bool = False, instead_of: str = "") -> str:
    """Put a small object or file, and return its version; see `version`.

    Args:
        new: only if there is none.
        instead_of: only if the object there is still of this version.

    Raises:
        FileExistsError: with `new`, there is one already; with `instead_of`, another is there, or none.
        OSError: a local file cannot be written.
        StoreError: the store went on failing.
    """
    if not is_remote(path):
        _write_here(path, data, new)
        return ""
    if instead_of:
        return trying(path, lambda: _put_instead(path, data, instead_of))
    answer = trying(path, lambda: _store(path).pipe_file(_key(path), data, mode="create" if new else "overwrite"))
    return str(answer.get("ETag", "")) if isinstance(answer, dict) else ""


def _write_here(path: Path, data: bytes, new: bool) -> None:
    """In its place, so that a full disk does not stand in the way of what is there already."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_EXCL if new else 0), 0o666)
    with open(descriptor, "wb", closefd=True) as file:  # noqa: PTH123 - a descriptor
        file.write(data)
        file.truncate()


def _is_conditional(path: Path) -> bool:
    """Whether the store writes and removes on the condition that nobody else has written meanwhile."""
    return hasattr(_store(path), "call_s3") or path.protocol in ("gs", "gcs")  # type: ignore[attr-defined]


def _put_instead(path: Path, data: bytes, version: str) -> str:
    """Overwrite this version of an object; a FileExistsError if it is no longer there."""
    store = _store(path)
    try:
        if hasattr(store, "call_s3"):
            bucket, key, _ = store.split_path(_key(path))
            answer = store.call_s3("put_object", Bucket=bucket, Key=key, Body=data, IfMatch=version)
            return str(answer["ETag"])
        # gcsfs itself knows the condition only for a new object.
        bucket, key, _ = store.split_path(_key(path))
        url = f"{store._location}/upload/storage/v1/b/{quote(bucket, safe='')}/o"
        answer = store.call(
            "POST", url, uploadType="media", name=key, ifGenerationMatch=version, data=data, json_out=True
        )
        return str(answer["generation"])
    except OSError as error:
        if _code(error) in _UNCONDITIONAL:
            store.pipe_file(_key(path), data)
            return ""
        raise _changed(path, error) from error


def remove_version(path: Path, version: str) -> None:
    """Remove an object if it is still of this version; see `version`.

    Raises:
        FileExistsError: another is there, or none.
        StoreError: the store went on failing.
    """
    store = _store(path)

    def delete() -> None:
        bucket, key, _ = store.split_path(_key(path))
        try:
            if hasattr(store, "call_s3"):
                store.call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=version)
            else:
                store.call("DELETE", "b/{}/o/{}", bucket, key, ifGenerationMatch=version)
        except OSError as error:
            if _code(error) not in _UNCONDITIONAL:
                raise _changed(path, error) from error
            store.rm_file(_key(path))

    trying(path, delete)


def _changed(path: Path, error: OSError) -> OSError:
    """What a store answers to a condition that does not hold, as one exception; any other error as it is."""
    if isinstance(error, FileNotFoundError) or _code(error) in ("PreconditionFailed", "412"):
        return FileExistsError(f"{path} is another than it was")
    return error


def upload(source: Path, target: Path) -> None:
    """Copy a local file to a store, where it appears whole or not at all.

    Raises:
        StoreError: the store went on failing, or refuses to be written.
    """
    store, key = _store(target), _key(target)

    def copy() -> None:
        if target.protocol in _WITHOUT_RENAME:  # type: ignore[attr-defined]  # a place in a store has one
            store.put_file(str(source), key)
            return
        store.makedirs(key.rsplit("/", 1)[0], exist_ok=True)
        temporary = f"{key}.{os.getpid()}.tmp"
        store.put_file(str(source), temporary)
        store.mv(temporary, key)

    try:
        trying(target, copy)
    except (FileNotFoundError, PermissionError, NotImplementedError) as error:
        raise StoreError(f"{target} cannot be written: {error}", "Check the bucket's name and your rights") from None


def move(path: Path, target: Path) -> None:
    """Give a file or object another name in the same place; an earlier one of that name goes.

    Raises:
        OSError: a local file cannot be renamed.
        StoreError: the store went on failing.
    """
    if not is_remote(path):
        path.replace(target)
    elif path.protocol not in _WITHOUT_RENAME:  # type: ignore[attr-defined]  # a place in a store has one
        trying(path, lambda: _store(path).mv(_key(path), _key(target)))
    else:  # where `mv` takes a name such as `a*` for a pattern
        trying(path, lambda: _store(path).cp_file(_key(path), _key(target)))
        remove_all([path])


def remove(path: Path) -> None:
    """Remove a file, or a folder and all in it, wherever it lies; nothing there is fine.

    Raises:
        OSError: a local file or folder cannot be removed.
        StoreError: the store went on failing.
    """
    import shutil

    if not is_remote(path):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    if path.protocol not in _WITHOUT_RENAME:  # type: ignore[attr-defined]  # where there are true folders
        with contextlib.suppress(FileNotFoundError):
            trying(path, lambda: _store(path).rm(_key(path), recursive=True))
        return
    try:
        names = list(list_stamps(path))
    except FileNotFoundError:
        names = []
    remove_all([path, *(path / name for name in names)])


def remove_all(paths: Sequence[Path]) -> None:
    """Remove these files or objects, and nothing else, whatever their names look like; absent ones are fine.

    Raises:
        OSError: a local file cannot be removed.
        StoreError: the store went on failing.
    """

    def delete(path: Path) -> None:
        try:
            trying(path, lambda: _store(path).rm_file(_key(path)))  # not `rm`, to which `a*` is a pattern
        except FileNotFoundError:
            pass
        except PermissionError as error:
            raise StoreError(f"{path} may not be removed: {error}", "Check your credentials and rights") from error

    here = [path for path in paths if not is_remote(path)]
    for path in here:
        path.unlink(missing_ok=True)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(delete, (path for path in paths if is_remote(path))))


@contextlib.contextmanager
def local(path: Path) -> Iterator[Path]:
    """The same file on this machine: itself, or a copy that is kept while its object does not change.

    Raises:
        FileNotFoundError: there is none.
        StoreError: the store went on failing.
    """
    yield _COPIES.of(path) if is_remote(path) else path


def trying(path: Path, action: Callable[[], _Result]) -> _Result:
    """What an action on a store returns, tried again with growing pauses; an error that lasts is raised as it is.

    Raises:
        StoreError: it failed `ATTEMPTS` times, or credentials are missing.
    """
    import tenacity  # which brings asyncio, a sixth of the time that `catsdogs --list` takes

    attempts = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential_jitter(**_WAIT),
        retry=tenacity.retry_if_exception(_may_pass),
        reraise=True,
    )
    try:
        return attempts(action)
    except _LASTING:
        raise
    except Exception as error:  # each store has exceptions of its own
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if not _may_pass(error):
            raise StoreError(f"{path} cannot be reached: {reason}", "Check its name and your credentials") from error
        raise StoreError(
            f"{path} failed {ATTEMPTS} times: {reason}",
            "Check the connection and your credentials, and run the same command again: what is finished is kept",
        ) from error


def _may_pass(error: BaseException) -> bool:
    is_lasting = isinstance(error, _LASTING) or type(error).__name__ in _LASTING_NAMES
    return isinstance(error, Exception) and not is_lasting


def _asking(path: Path, action: Callable[[], _Result]) -> _Result:
    """Like `trying`; rights that are missing end the run, for else every object would be left out for want of them."""
    try:
        return trying(path, action)
    except PermissionError as error:
        raise StoreError(f"{path} may not be read: {error}", "Check your credentials and rights") from error


def _info(path: Path) -> dict[str, Any]:
    return cast(dict[str, Any], _asking(path, lambda: _store(path).info(_key(path))))


class _Copies:
    """Local copies of objects, for as long as this process lives."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._paths: OrderedDict[tuple[str, str], Path] = OrderedDict()
        self._lock = threading.Lock()
        self._count = 0

    def of(self, path: Path) -> Path:
        with self._lock:
            info = _info(path)
            name = (str(path), _stamp(info))
            if name not in self._paths or not name[1]:
                self._folder = self._folder or tempfile.TemporaryDirectory(prefix="catsdogs-")
                self._count += 1
                folder = Path(self._folder.name) / str(self._count)
                folder.mkdir()
                copy = folder / path.name

                def get() -> None:
                    _store(path).get_file(_key(path), str(copy))
                    if copy.stat().st_size != info["size"]:
                        raise OSError(f"{copy.stat().st_size:,} bytes came, not {info['size']:,}")

                _asking(path, get)
                self._paths[name] = copy
                self._forget()
            self._paths.move_to_end(name)
            return self._paths[name]

    def _forget(self) -> None:
        sizes = {name: copy.stat().st_size for name, copy in self._paths.items()}
        for name in list(self._paths)[:-1]:
            if sum(sizes.values()) <= _KEPT_BYTES:
                break
            self._paths.pop(name).unlink()
            del sizes[name]


_COPIES = _Copies()


def _store(path: Path) -> Any:
    store = path.fs  # type: ignore[attr-defined]  # a place in a store has one
    if hasattr(store, "retries"):
        store.retries = 1  # s3fs would try again within each of our attempts
    return store


def _key(path: Path) -> str:
    return str(path.path)  # type: ignore[attr-defined]  # a place in a store has one


def _stamp(info: dict[str, Any]) -> str:
    """Size, and what the store tells of version and time; nothing if it tells neither."""
    told = (
        info.get(name) for name in ("ETag", "etag", "generation", "LastModified", "last_modified", "updated", "mtime")
    )
    version = " ".join(str(value) for value in told if value is not None)
    return version and f"{info['size']} {version}"


def _code(error: OSError) -> str:
    """What the store itself calls an error, where s3fs has given it a name of Python's."""
    answer = getattr(error.__cause__, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))

"""Objects in a store, reached through fsspec: requests are tried again with growing pauses, and failures are named.

A place in a store is what universal-pathlib makes of a URL. It has the methods of a `Path`, whose type it goes by here.
Functions raise a StoreError where the store goes on failing or refuses the request; for other errors see `storage`.

s3fs and botocore try again, too, one within the other: of a store that stays broken they asked 50 times in 40 s if it
breaks connections, 5 times in 13 s if it answers 500, and 6 times in 2 s if bodies end too early. Here it is each time
`REQUEST_ATTEMPTS`, and in every store.
"""

import contextlib
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

from catsdogs.errors import StoreError, UsageError

REQUEST_ATTEMPTS = 6
_WAIT = {"multiplier": 0.5, "max": 8}  # seconds: 0.5, 1, 2, 4, 8, and up to one more each
# Trying again helps none of these.
_LASTING = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotImplementedError, StoreError)
# Nor these of botocore's, by name, for it need not be installed.
_LASTING_NAMES = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "ParamValidationError")
# botocore would try five times within each of our attempts. A store that hangs is named after 6 x 15 s and the pauses.
S3_CLIENT = {"connect_timeout": 5, "read_timeout": 15, "retries": {"total_max_attempts": 1}, "max_pool_connections": 64}
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "hdfs": "hdfs"}
# Where a whole object appears at once, and a rename would only be a second copy.
_WITHOUT_RENAME = ("s3", "s3a", "gs", "gcs", "abfs", "az", "memory")
_REMOVES_AT_ONCE = ("s3", "s3a", "gs", "gcs")
_MAGIC = set("*?[")  # of patterns, which `rm` takes
_REMOVED_AT_ONCE = 16  # where a request removes one
_KEPT_BYTES = 4 * 2**30  # of all local copies together; the newest is kept whatever its size

_Result = TypeVar("_Result")
# (place, stamp) -> the folder of a copy and its bytes, counted; least recently used first.
_copies: "OrderedDict[tuple[str, str], tuple[tempfile.TemporaryDirectory[str], int]]" = OrderedDict()
_copying = threading.Lock()


def open_url(url: str) -> Path:
    """The place that a URL such as `s3://bucket/folder` names.

    Raises:
        UsageError: a URL of no known kind, or one whose package is not installed.
    """
    from upath import UPath

    protocol, _, name = url.partition("://")
    if not name.strip("/"):
        raise UsageError(f"{url} names no bucket", f"Give {protocol}://bucket/folder")
    options: dict[str, Any] = {"use_listings_cache": False}  # others may write there while we look
    if protocol in ("s3", "s3a"):
        options["config_kwargs"] = dict(S3_CLIENT)
    try:
        path = UPath(url.rstrip("/"), **options)
        _ = path.fs  # a package that is not installed is noticed here
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        remedy = f"Install it: pip install 'catsdogs[{extra}]'" if extra else "Install that package"
        raise UsageError(f"{protocol}:// needs a package that is not installed ({error})", remedy) from None
    except ValueError as error:
        raise UsageError(
            f"{url} is no place that can be read: {error}", "Give a folder, or s3://, gs://, hdfs://"
        ) from None
    except OSError as error:  # Hadoop's library is absent, or its name node
        raise UsageError(
            f"{protocol}:// cannot be used here: {str(error).splitlines()[0]}", "Install its client, or check the name"
        ) from None
    return cast(Path, path)


def retry(path: Path, request: Callable[[], _Result], action: str = "read") -> _Result:
    """What a request to a store returns. It is tried again with growing pauses; an error that lasts is raised as it is.

    Raises:
        StoreError: it failed `REQUEST_ATTEMPTS` times; or credentials are missing, or the right to this action, without
            which every object would be left out.
    """
    import tenacity  # which brings asyncio, a sixth of the time that `catsdogs --list` takes

    attempts = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(REQUEST_ATTEMPTS),
        wait=tenacity.wait_exponential_jitter(**_WAIT),
        retry=tenacity.retry_if_exception(_may_pass),
        reraise=True,
    )
    try:
        return attempts(request)
    except PermissionError as error:
        raise StoreError(f"{path} may not be {action}: {error}", "Check your credentials and rights") from error
    except _LASTING:
        raise
    except Exception as error:  # each store has exceptions of its own
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if not _may_pass(error):
            raise StoreError(f"{path} cannot be reached: {reason}", "Check its name and your credentials") from error
        raise StoreError(
            f"{path} failed {REQUEST_ATTEMPTS} times: {reason}",
            "Check the connection and your credentials, and run the same command again: what is finished is kept",
        ) from error


def _may_pass(error: BaseException) -> bool:
    is_lasting = isinstance(error, _LASTING) or type(error).__name__ in _LASTING_NAMES
    return isinstance(error, Exception) and not is_lasting


def _store(path: Path) -> Any:
    """The fsspec file system that a place lies in."""
    store = path.fs  # type: ignore[attr-defined]  # a place in a store has one
    if hasattr(store, "retries"):
        store.retries = 1  # s3fs would try again within each of our attempts
    return store


def _key(path: Path) -> str:
    return str(path.path)  # type: ignore[attr-defined]  # a place in a store has one


def read_object(path: Path, start: int, length: int | None) -> bytes:
    """The bytes of an object from `start`, `length` of them or all."""
    store, key = _store(path), _key(path)
    end = None if length is None else start + length
    # s3fs would ask for the size first, to read large objects in several streams.
    options = {"max_concurrency": 1} if hasattr(store, "max_concurrency") else {}

    def get() -> bytes:
        try:
            return bytes(store.cat_file(key, start=start or None, end=end, **options))
        except OSError as error:
            answer = getattr(error.__cause__, "response", None) or {}  # of the store itself
            if answer.get("Error", {}).get("Code") in ("InvalidRange", "416"):  # nothing is left, as in an empty object
                return b""
            raise

    return retry(path, get)


def info(path: Path) -> dict[str, Any]:
    """What a store says of an object: `size`, and what `stamp` is made of.

    Raises:
        FileNotFoundError: there is none.
    """
    return cast(dict[str, Any], retry(path, lambda: _store(path).info(_key(path))))


def stamp(path: Path) -> str:
    """What tells an object's content from an earlier one's; empty where the store says nothing but its size.

    Raises:
        FileNotFoundError: there is none.
    """
    return _stamp_of(info(path))


def list_stamps(root: Path) -> dict[str, str]:
    """Relative name -> stamp, see `stamp`, of every object below a place in a store; empty without such a bucket."""
    key = _key(root).rstrip("/")
    try:
        listing = retry(root, lambda: _store(root).find(key, detail=True, withdirs=False))
    except FileNotFoundError:
        return {}
    names = {str(name).removeprefix(key).removeprefix("/"): info for name, info in sorted(listing.items())}
    return {name: _stamp_of(info) for name, info in names.items() if name and not name.endswith("/")}


def _stamp_of(info: dict[str, Any]) -> str:
    names = ("ETag", "etag", "generation", "LastModified", "last_modified", "updated", "mtime")
    values = " ".join(str(info[name]) for name in names if info.get(name) is not None)
    return values and f"{info['size']} {values}"


def size_in(stamp: str) -> int:
    """The bytes of an object that has this stamp."""
    return int(stamp.split()[0])


def local_copy(path: Path, stamp: str = "") -> Path:
    """A copy of an object on this machine, kept while the object stays the same and this process lives.

    `stamp` is the object's, if it is known already.

    fsspec's `filecache` knows no bound of bytes, and does not compare a copy's with what the store says.
    """
    with _copying:
        found = {} if stamp else info(path)
        key = str(path), stamp or _stamp_of(found)
        if key not in _copies or not key[1]:
            folder = tempfile.TemporaryDirectory(prefix="catsdogs-")
            size = int(found["size"] if found else size_in(stamp))
            _download(path, Path(folder.name) / path.name, size)
            _copies[key] = folder, size
        _copies.move_to_end(key)
        while len(_copies) > 1 and sum(size for _, size in _copies.values()) > _KEPT_BYTES:
            _copies.popitem(last=False)[1][0].cleanup()
        return Path(_copies[key][0].name) / path.name


def _download(path: Path, target: Path, size: int) -> None:
    def get() -> None:
        _store(path).get_file(_key(path), str(target))
        if (arrived := target.stat().st_size) != size:
            raise OSError(f"{arrived:,} bytes came, not {size:,}")

    retry(path, get)


def upload(source: Path, target: Path) -> None:
    """Copy a local file to a store, where it appears whole or not at all."""
    store, key = _store(target), _key(target)

    def copy() -> None:
        try:
            if target.protocol in _WITHOUT_RENAME:  # type: ignore[attr-defined]  # a place in a store has one
                store.put_file(str(source), key)
                return
            store.makedirs(key.rsplit("/", 1)[0], exist_ok=True)
            temporary = f"{key}.{os.getpid()}.tmp"
            store.put_file(str(source), temporary)
            store.mv(temporary, key)
        except (FileNotFoundError, PermissionError, NotImplementedError) as error:
            remedy = "Check the bucket's name and your rights"
            raise StoreError(f"{target} cannot be written: {error}", remedy) from None

    retry(target, copy)


def remove_objects(paths: Sequence[Path]) -> None:
    """Remove these objects, in as few requests as the store allows; absent ones are fine.

    What a store leaves out of such a request it may not say, so what is still there is removed one by one.
    """

    def remove_one(path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            retry(path, lambda: _store(path).rm_file(_key(path)), "removed")

    plain = [path for path in paths if path.protocol in _REMOVES_AT_ONCE and not _MAGIC & set(_key(path))]  # type: ignore[attr-defined]  # a place in a store has one
    if len(plain) > 1:
        store, keys = _store(plain[0]), [_key(path) for path in plain]

        def remove() -> None:
            with contextlib.suppress(FileNotFoundError):
                store.rm(keys)

        retry(plain[0].parent, remove, "removed")
        left = {str(folder / name) for folder in {path.parent for path in plain} for name in list_stamps(folder)}
        removed = {str(path) for path in plain} - left
        paths = [path for path in paths if str(path) not in removed]
    with ThreadPoolExecutor(_REMOVED_AT_ONCE) as pool:
        list(pool.map(remove_one, paths))

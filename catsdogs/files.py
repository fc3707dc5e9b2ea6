"""Files that appear under their name only once they are whole and on the disk."""

import contextlib
import errno
import functools
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from catsdogs import folders, lease, storage
from catsdogs.errors import StoreError
from catsdogs.notes import note


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, whose folder is made if need be; what is written there takes the place of `path`.

    Whatever fails on the way, an earlier file stays as it was and nothing half-written is left. What belongs into an
    object store is written on this machine and then put there, where it appears whole.

    Raises:
        StoreError: the disk is full, or the folder or the store cannot be written.
    """
    if storage.is_remote(path):
        with tempfile.TemporaryDirectory(prefix="catsdogs-") as folder:
            try:
                yield Path(folder) / path.name
            except OSError as error:
                raise write_error(Path(folder), error) from None
            lease.confirm(path)
            storage.put(Path(folder) / path.name, path)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".h5":  # of these there may be thousands in a folder, and who writes them clears it
            folders.clear(path)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
        folders.sync(path.parent)
    except OSError as error:
        raise write_error(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def cache_folder() -> Path:
    """The user's folder for what can be made again; one of his own among the temporary files if his home is none.

    A folder that XDG_CACHE_HOME names is meant, and stays it even if nothing can be written there.

    Raises:
        OSError: nor can that be made.
    """
    import platformdirs

    usual = platformdirs.user_cache_path("catsdogs")
    if os.environ.get("XDG_CACHE_HOME"):
        return usual
    if usual.is_absolute():  # it begins with ~ for a user who has no home at all
        with contextlib.suppress(OSError):
            usual.mkdir(parents=True, exist_ok=True)
            if os.access(usual, os.W_OK | os.X_OK):
                return usual
    user = os.getuid() if hasattr(os, "getuid") else "user"
    instead = Path(tempfile.gettempdir()) / f"catsdogs-cache-{user}"
    instead.mkdir(mode=0o700, exist_ok=True)
    found = instead.lstat()
    if hasattr(os, "getuid") and (found.st_uid != user or found.st_mode & 0o022 or not stat.S_ISDIR(found.st_mode)):
        instead = _private_folder()  # another user's, who could put there what is run here
    note(f"Nothing can be kept in {usual}: {instead} stands in for it; XDG_CACHE_HOME names another")
    return instead


@functools.cache
def _private_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="catsdogs-cache-"))


def write_error(path: Path, error: Exception) -> StoreError:
    """Why `path` could not be written, in one line."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if full:
        return StoreError(f"The disk is full: {path} was not written", "Free some space and run the same command again")
    return StoreError(f"{path} cannot be written: {error}", "Check the folder and its permissions")

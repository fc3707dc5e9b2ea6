"""Files that appear under their name only once they are whole and on the disk."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from catsdogs import folders, storage
from catsdogs.errors import StoreError


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


def write_error(path: Path, error: Exception) -> StoreError:
    """Why `path` could not be written, in one line."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if full:
        return StoreError(f"The disk is full: {path} was not written", "Free some space and run the same command again")
    return StoreError(f"{path} cannot be written: {error}", "Check the folder and its permissions")

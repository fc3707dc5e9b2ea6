"""The disk that photographs are fetched to: room for them, and what goes wrong while they are written."""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from catsdogs.errors import FetchError

CHUNK_BYTES = 1 << 20


def require_space(folder: Path, needed: int) -> None:
    """A FetchError if the folder's disk has no room for so many bytes more."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise FetchError(
            f"{folder} has room for {free / 1e6:,.1f} MB of {needed / 1e6:,.1f} MB",
            f"Free {(needed - free) / 1e6:,.1f} MB more, or choose a folder on another disk",
        )


@contextlib.contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Raise a FetchError for what goes wrong while a file is written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FetchError(
                f"The disk became full while {path} was written", "Free some space, then run the same command again"
            ) from error
        raise FetchError(
            f"{path} cannot be written ({error.strerror})", "Check the folder, its disk and its permissions"
        ) from error

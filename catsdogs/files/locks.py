"""One writer at a time on this machine: the operating system's lock, or a lease on a file system that has none."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from catsdogs.errors import LockedError
from catsdogs.files import lease, storage
from catsdogs.files.atomic import write_error
from catsdogs.files.notes import note

LOCK_FILE = ".lock"  # in a folder with one writer
SOFT = ".soft"  # what the name of a lease adds to that of the lock that it stands in for
_POLL_SECONDS = 0.01


def is_lock(path: Path) -> bool:
    """Whether a file is a folder's lock, of either kind."""
    return path.name in (LOCK_FILE, LOCK_FILE + SOFT)


@contextlib.contextmanager
def hold(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock while the body runs; wait `patience` seconds for another holder, for ever if it is negative.

    The operating system releases it when the process ends, however it ends. Where a file system has no locks, a file
    beside `path` is renewed instead, see `lease`.

    Raises:
        LockedError: another process, or thread, holds it.
        OSError: the file cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        lock = FileLock(path, fallback_to_soft=False)
    except TypeError:  # an older filelock, which never falls back
        lock = FileLock(path)
    try:
        lock.acquire(timeout=patience, poll_interval=_POLL_SECONDS)
    except Timeout:
        raise LockedError(
            f"Another process is writing to {path.parent}", "Wait until it ends, or choose another --out"
        ) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in storage.WITHOUT_LOCKS:
            raise
        note(f"{path.parent} is on a file system without locks: a file that is renewed stands in for one")
        with lease.hold_lease(path.with_name(path.name + SOFT), float("inf") if patience < 0 else patience):
            yield
        return
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder with one writer, see `hold`; a folder in an object store is held by a lease.

    Raises:
        LockedError: another process holds it.
        StoreError: the folder cannot be written.
    """
    if storage.is_remote(folder):
        with lease.hold_lease(folder / LOCK_FILE):
            yield
        return
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(hold(folder / LOCK_FILE))
        except OSError as error:
            raise write_error(folder, error) from None
        yield

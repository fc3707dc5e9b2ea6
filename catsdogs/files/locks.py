"""One writer at a time: the operating system's lock or, on a file system that has none, a lease; both are filelock's.

A holder of a lease touches its file again and again. It is taken over from a holder that died, or was stopped for so
long that its file stood still.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from catsdogs.errors import LockedError
from catsdogs.files import storage
from catsdogs.files.atomic import write_error
from catsdogs.files.notes import note

LOCK_FILE = ".lock"  # in a folder with one writer
SOFT = ".soft"  # what the name of a lease adds to that of the lock that it stands in for
LEASE_SECONDS = 20.0  # a lease that was not renewed for so long is taken over
_POLL_SECONDS = 0.01


def is_lock(path: Path) -> bool:
    """Whether a file is a folder's lock, of either kind."""
    return path.name in (LOCK_FILE, LOCK_FILE + SOFT)


@contextlib.contextmanager
def hold(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock while the body runs; wait `patience` seconds for another holder, for ever if it is negative.

    The operating system releases it when the process ends, however it ends. Where a file system has no locks, a file
    beside `path` is renewed instead, and one that is there already is watched for some seconds more than its term.

    Raises:
        LockedError: another process, or thread, holds it; or it took a lease over, for this process was stopped.
        OSError: the file cannot be written.
    """
    from filelock import FileLock, SoftFileLease, Timeout

    lock = FileLock(path, fallback_to_soft=False)
    lease = SoftFileLease(path.with_name(path.name + SOFT), lease_duration=LEASE_SECONDS)
    try:
        try:
            lock.acquire(timeout=patience, poll_interval=_POLL_SECONDS)
        except OSError as error:
            if error.errno not in storage.WITHOUT_LOCKS:
                raise
            note(f"{path.parent} is on a file system without locks: a file that is renewed stands in for one")
            if Path(lease.lock_file).exists():
                note(f"{lease.lock_file} is there: it shows within {LEASE_SECONDS:.0f} s whether its holder lives")
            term = patience if patience < 0 else max(patience, 1.2 * LEASE_SECONDS)
            lease.acquire(timeout=term, poll_interval=LEASE_SECONDS / 100)
    except Timeout:
        raise LockedError(
            f"Another process is writing to {path.parent}", "Wait until it ends, or choose another --out"
        ) from None
    try:
        yield
    finally:
        lease.release()
        lock.release()
    if lease.compromise and path.parent.exists():  # a finished folder may get another name while its lock is held
        raise LockedError(
            f"{lease.lock_file} was taken over by another process, for this one was stopped for long",
            "Run the same command again: what is finished is kept",
        )


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder with one writer, see `hold`. An object store has none, for its objects appear whole.

    Raises:
        LockedError: another process holds it.
        StoreError: the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        if not storage.is_remote(folder):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(hold(folder / LOCK_FILE))
            except OSError as error:
                raise write_error(folder, error) from None
        yield

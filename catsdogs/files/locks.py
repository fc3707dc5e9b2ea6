"""One writer at a time: the operating system's lock or, on a file system that has none, a lease; both are filelock's.

A holder of a lease touches its file again and again. It is taken over from a holder that died, or was stopped for so
long that its file stood still. The file of a lock says who holds it, for whoever is refused.
"""

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from catsdogs.errors import LockedError
from catsdogs.files import storage
from catsdogs.files.atomic import write_errors
from catsdogs.files.notes import note

if TYPE_CHECKING:
    from filelock import SoftFileLease

LOCK_FILE = ".lock"  # in a folder with one writer; the name of a lease there begins so, too
SOFT = ".soft"  # what the name of a lease adds to that of the lock that it stands in for
LEASE_SECONDS = 20.0  # a lease that was not renewed for so long is taken over
_POLL_SECONDS = 0.01


@contextlib.contextmanager
def hold(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock while the body runs; wait `patience` seconds for another holder, for ever if it is negative.

    The operating system releases it when the process ends, however it ends. Where a file system has no locks, a file
    beside `path` is renewed instead, and one that is there already is watched for some seconds more than its term.

    Raises:
        LockedError: another process, or thread, holds it; or it took a lease over, for this process was stopped.
        OSError: the file cannot be written.
    """
    from filelock import FileLock, Timeout

    lock, lease = FileLock(path, fallback_to_soft=False), None
    try:  # from here on, for an interrupt may come at any moment, and the process of a notebook lives on
        try:
            lock.acquire(timeout=patience, poll_interval=_POLL_SECONDS)
        except Timeout:
            raise _refusal(path) from None
        except OSError as error:
            if error.errno not in storage.WITHOUT_LOCKS:
                raise
            lease = _acquire_lease(path, patience)
        _sign(path)
        yield
    finally:
        if lease or lock.is_locked:
            with contextlib.suppress(OSError):  # the folder was renamed, or its file cannot be written
                os.truncate(path, 0)
        (lease or lock).release()
    if lease and lease.compromise and path.parent.exists():  # a finished folder may be renamed while it is held
        raise LockedError(
            f"{lease.lock_file} was taken over by another process, for this one was stopped for long",
            "Run the same command again: what is finished is kept",
        )


def _acquire_lease(path: Path, patience: float) -> "SoftFileLease":
    from filelock import SoftFileLease, Timeout

    note(f"{path.parent} is on a file system without locks: a file that is renewed stands in for one")
    soft = path.with_name(path.name + SOFT)
    if soft.exists():
        note(f"{soft} is there: it shows within {LEASE_SECONDS:.0f} s whether its holder lives")
    lease = SoftFileLease(soft, lease_duration=LEASE_SECONDS)
    term = patience if patience < 0 else max(patience, 1.2 * LEASE_SECONDS)
    try:
        lease.acquire(timeout=term, poll_interval=LEASE_SECONDS / 100)
    except Timeout:
        raise _refusal(path) from None
    return lease


def _sign(path: Path) -> None:
    """Write into the file of a lock who holds it. Where that cannot be written, nobody is told."""
    told = {"process": os.getpid(), "host": socket.gethostname(), "since": time.time()}
    with contextlib.suppress(OSError), path.open("r+", encoding="utf-8") as file:
        json.dump(told | {"is_notebook": "ipykernel.zmqshell" in sys.modules}, file)
        file.truncate()


def _refusal(path: Path) -> LockedError:
    """Who holds a lock, as far as its file tells."""
    who, remedy = "", "Wait until it ends, or choose another --out"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, OverflowError):
        told = json.loads(path.read_text(encoding="utf-8"))
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(told["since"]))
        host = f" on {told['host']}" if told["host"] != socket.gethostname() else ""
        kernel = ", the kernel of a notebook," if told["is_notebook"] else ""
        who = f": process {int(told['process'])}{host}{kernel} since {since}"
        if kernel:
            remedy = "Wait until it ends, interrupt its cell, or choose another --out"
    return LockedError(f"Another process is writing to {path.parent}{who}", remedy)


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder with one writer, see `hold`. An object store has none, for its objects appear whole.

    Raises:
        LockedError: another process holds it.
        StoreError: the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        if not storage.is_remote(folder):
            with write_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(hold(folder / LOCK_FILE))
        yield

"""Folders that take their name only once all in them is on the disk, and what killed processes leave beside a name."""

import contextlib
import os
import re
import shutil
from pathlib import Path

_OWNED = re.compile(r"\.(\d+)\.(tmp|old)")


def put(work: Path, target: Path) -> None:
    """Give a finished folder its name; a folder that bore it goes.

    Whatever fails on the way, one of the two has the name; after a kill, once `clear` has been called.

    Raises:
        OSError: a disk that is full or fails, or a folder that cannot be written.
    """
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    for path in (*work.rglob("*"), work):
        sync(path)
    try:
        if target.exists():
            target.rename(old)
        work.rename(target)
        sync(target.parent)
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def clear(target: Path) -> None:
    """Take away what processes that are no more left beside a file or folder that they were about to write.

    If one died between taking the name from an earlier folder and giving it to the new one, the earlier one has it
    back. What cannot be removed stays, and hurts nobody.
    """
    for path, process, kind in _left_beside(target):
        if _lives(process):
            continue
        with contextlib.suppress(OSError):
            if kind == "old" and not target.exists():
                path.rename(target)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def clear_temporary(target: Path) -> None:
    """The same of a file whose only writer calls this, under a lock: what others began is of processes that are dead.

    On a folder that machines share, their numbers say nothing here.
    """
    for path, _, kind in _left_beside(target):
        if kind == "tmp":
            with contextlib.suppress(OSError):
                path.unlink()


def _left_beside(target: Path) -> list[tuple[Path, int, str]]:
    """What stands beside a file or folder under its name, hidden: the process that put it there, and `tmp` or `old`."""
    found = []
    start = f".{target.name}"
    with contextlib.suppress(OSError):
        for name in os.listdir(target.parent):  # noqa: PTH208 - names
            owned = _OWNED.fullmatch(name.removeprefix(start)) if name.startswith(start) else None
            if owned:
                found.append((target.with_name(name), int(owned[1]), owned[2]))
    return found


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # of another user; no process at all, so nothing of ours
        return True
    return True


def sync(path: Path) -> None:
    """Have what was written to a file, or which names a folder holds, on the disk before this returns.

    Raises:
        OSError: the disk is full or fails.
    """
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Files that appear under their name only once they are whole and on the disk."""

import contextlib
import errno
import functools
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from catsdogs.errors import CatsdogsError, StoreError
from catsdogs.files import storage
from catsdogs.files.notes import note

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what a full disk answers, or one with a quota


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; the finished file then takes the place of `path`, whose folder is made if need be.

    Whatever fails on the way, an earlier file stays as it was and nothing half-written is left. An object is written on
    this machine and then uploaded, and appears whole.

    Raises:
        StoreError: the disk is full, or the folder or the store cannot be written.
    """
    if storage.is_remote(path):
        with tempfile.TemporaryDirectory(prefix="catsdogs-") as folder:
            with write_errors(Path(folder)):
                yield Path(folder) / path.name
            storage.upload(Path(folder) / path.name, path)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix != ".h5":  # of which a folder may hold thousands; their writer clears it
                clear_leftovers(path)
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def cache_folder() -> Path:
    """The user's folder for what can be made again; a private temporary folder for a user whose home cannot be written.

    A folder that XDG_CACHE_HOME names is obeyed, even if nothing can be written there.

    Raises:
        OSError: the temporary folder cannot be made either.
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
    status = instead.lstat()
    if hasattr(os, "getuid") and (status.st_uid != user or status.st_mode & 0o022 or not stat.S_ISDIR(status.st_mode)):
        instead = _private_folder()  # the other belongs to another user, whose files must not be run here
    note(f"Nothing can be kept in {usual}: {instead} stands in for it; XDG_CACHE_HOME names another")
    return instead


@functools.cache
def _private_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="catsdogs-cache-"))


@contextlib.contextmanager
def write_errors(path: Path, kind: type[CatsdogsError] = StoreError) -> Iterator[None]:
    """Say why `path` could not be written, in one line of this kind."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            remedy = "Free some space and run the same command again"
            raise kind(f"The disk is full: {path} was not written", remedy) from None
        raise kind(f"{path} cannot be written: {error}", "Check the folder and its permissions") from None


def put_folder(work: Path, target: Path, replaces: bool = True) -> None:
    """Give a finished folder its name, and remove an earlier folder of that name; or fail if there is one.

    Whatever fails on the way, one of the two has the name; after a kill, once `clear_leftovers` has been called.

    Raises:
        OSError: a disk that is full or fails, or a folder that cannot be written; or is there, and not to be replaced.
    """
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    for path in (*work.rglob("*"), work):
        sync(path)
    try:
        if replaces and target.exists():
            target.rename(old)
        work.rename(target)
        sync(target.parent)
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def clear_leftovers(target: Path, alone: bool = False) -> None:
    """Remove what processes that have ended left beside a file or folder that they were about to write.

    If one died between taking the name from an earlier folder and giving it to the new one, the earlier one gets it
    back. What cannot be removed stays, and does no harm.

    Args:
        alone: this process holds the lock of a file, so that all others that began it are dead. Process numbers are
            not looked at: they say nothing in a folder that several machines share.
    """
    named = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.({'tmp' if alone else 'tmp|old'})")
    with contextlib.suppress(OSError):
        for match in filter(None, map(named.fullmatch, os.listdir(target.parent))):  # noqa: PTH208 - names
            path = target.with_name(match[0])
            if not alone and _is_running(int(match[1])):
                continue
            with contextlib.suppress(OSError):
                if match[2] == "old" and not target.exists():
                    path.rename(target)
                else:
                    storage.remove(path)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's; a number that no process has, so the file is not ours
        return True
    return True


def sync(path: Path) -> None:
    """Flush a file's content, or a folder's names, to the disk.

    Raises:
        OSError: the disk is full or fails.
    """
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_free_space(folder: Path, needed: int, kind: type[CatsdogsError] = StoreError) -> None:
    """Raise an error if a folder's disk has less than `needed` bytes free; an object store has no end."""
    if storage.is_remote(folder):
        return
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise kind(
            f"{folder} needs about {needed / 2**20:,.0f} MiB and has {free / 2**20:,.0f} MiB free",
            "Free some space and run the same command again",
        )

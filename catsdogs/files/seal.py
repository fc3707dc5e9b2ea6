"""The seal of an HDF5 file of ours: its length and checksum, so that a torn file is found before HDF5 parses it.

The seal stands in the file's user block, 512 bytes that every reader of HDF5 skips. It detects accidents. Attackers can
compute a checksum as well.
"""

import contextlib
import functools
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c
import h5py

from catsdogs.errors import DamagedError
from catsdogs.files import storage

try:
    import fcntl
except ImportError:  # Windows, where a file that is open for writing cannot be opened at all
    fcntl = None  # type: ignore[assignment]

USER_BLOCK_BYTES = 512  # the least user block that HDF5 allows
SEAL_MAGIC = b"catsdogs sealed\n"
_HDF5 = b"\x89HDF\r\n\x1a\n"  # the start of a file without a user block
_SEAL = struct.Struct("<16sQI")  # magic, length and CRC-32C of the bytes behind the block
SEAL_BYTES = _SEAL.size
_CHUNK_BYTES = 2**20


def seal(path: Path) -> bytes:
    """Write the seal into the user block of a finished file, and return it.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("r+b") as file:
        length, checksum = _measure(file)
        file.seek(0)
        written = _SEAL.pack(SEAL_MAGIC, length, checksum)
        file.write(written)
    return written


def size_told_by(written: bytes) -> int:
    """The bytes of the file that has this seal."""
    return USER_BLOCK_BYTES + int(_SEAL.unpack(written)[1])


def check_seal(path: Path) -> bool:
    """Check a file against its seal, once as long as it does not change; False for a file without a seal.

    Raises:
        DamagedError: it is not what was written.
        OSError: it cannot be read; or it is not what was written, and another program has it open for writing.
    """
    status = os.stat(path)  # noqa: PTH116 - quicker, and done each time a file is opened
    return _check_once(path, status.st_size, status.st_mtime_ns, status.st_ino)


@functools.lru_cache(maxsize=2**16)
def _check_once(path: Path, size: int, changed: int, inode: int) -> bool:
    with path.open("rb") as file:
        head = file.read(_SEAL.size)
        if head.startswith(_HDF5):
            return False
        if len(head) < _SEAL.size or _SEAL.unpack(head) != (SEAL_MAGIC, *_measure(file)):
            share(file)
            raise DamagedError(f"{path} is cut short or damaged: its checksum is wrong", "Delete it")
    return True


def open_sealed(path: Path) -> h5py.File:
    """An HDF5 file to read from, without HDF5's lock where the file system has none.

    Raises:
        OSError: it cannot be read, does not parse, or another program has it open for writing.
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if error.errno not in storage.WITHOUT_LOCKS:
            raise
        return h5py.File(path, "r", locking=False)


@contextlib.contextmanager
def lockable(path: Path) -> Iterator[Path]:
    """The same file where another library's HDF5 can lock it: a copy if its file system has no locks.

    Raises:
        OSError: it cannot be read, or another program has it open for writing.
    """
    with path.open("rb") as file:
        has_locks = share(file)
    if has_locks:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="catsdogs-") as folder:
        yield Path(shutil.copyfile(path, Path(folder) / path.name))


def share(file: BinaryIO) -> bool:
    """Lock a file as HDF5 does to read it, as long as it is open; False on a file system without locks.

    Raises:
        BlockingIOError: another program has it open for writing.
        OSError: it cannot be locked.
    """
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in storage.WITHOUT_LOCKS:
            raise
        return False
    return True


def _measure(file: BinaryIO) -> tuple[int, int]:
    """Length and CRC-32C of the bytes behind the user block."""
    file.seek(USER_BLOCK_BYTES)
    checksum = google_crc32c.Checksum()
    length = sum(map(len, checksum.consume(file, _CHUNK_BYTES)))
    return length, int.from_bytes(checksum.digest(), "big")

"""HDF5 files of ours: written whole and sealed, and read only once they are known to be whole."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from catsdogs.errors import CatsdogsError, DamagedError, MissingError, StoreError
from catsdogs.files import seal, storage, trial
from catsdogs.files.atomic import replacing, write_errors


@contextlib.contextmanager
def writing(
    path: Path, has_long_attributes: bool = False, seals: dict[Path, bytes] | None = None
) -> Iterator[h5py.File]:
    """A new HDF5 file, sealed, that appears under its name only once it is whole and on the disk.

    Attributes of more than 64 KB, the names of some thousand classes, take the format of HDF5 1.8.

    Args:
        seals: gets the file's seal under its path, when the file is there.

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    with replacing(path) as temporary, contextlib.closing(_Disk(temporary)) as disk:
        versions = ("v108" if has_long_attributes else "earliest", "v110")
        with h5py.File(disk, "w", libver=versions, userblock_size=seal.USER_BLOCK_BYTES) as file:
            yield file
        if disk.error:
            raise disk.error
        written = seal.seal(temporary)
    if seals is not None:
        seals[path] = written


class _Disk:
    """A new file whose writes never fail: HDF5 crashes the process if it cannot finish a file on a full disk.

    The first error is kept in `error`. From then on the content lives in memory, where HDF5 finds all it wrote.
    """

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self._file: io.FileIO | io.BytesIO = io.FileIO(path, "w+")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: memoryview) -> None:
        start, rest = self._file.tell(), data
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._go_on_in_memory(error)
            self._file.seek(start)
            self._file.write(data)

    def truncate(self, size: int) -> None:
        try:
            self._file.truncate(size)
        except OSError as error:
            self._go_on_in_memory(error)

    def _go_on_in_memory(self, error: OSError) -> None:
        with self._file as disk:
            disk.seek(0)
            self._file = io.BytesIO(disk.read())
        self.error = error


@contextlib.contextmanager
def reading(path: Path, remedy: str = "Run this again", stamp: str = "") -> Iterator[h5py.File]:
    """An HDF5 file to read from, checked against its seal first or, without one, tried out in another process.

    Args:
        stamp: of an object, if a listing has just told it.

    Raises:
        DamagedError: its checksum is wrong, or it does not parse.
        MissingError: there is none.
        StoreError: it cannot be read, which says nothing of its content; or another program has it open to write.
    """
    try:
        copy = storage.local(path, stamp)
        try:  # before HDF5 parses a damaged file in this process
            if not seal.check_seal(copy):
                trial.try_out(copy)
        except DamagedError as error:
            reason = error.problem.partition("damaged: ")[2]
            raise DamagedError(f"{path} is cut short or damaged: {reason}", remedy) from None
        with seal.open_sealed(copy) as file:
            yield file
    except CatsdogsError:
        raise
    except FileNotFoundError:
        raise MissingError(f"{path} is missing", remedy) from None
    except BlockingIOError:
        raise StoreError(f"{path} is open in another program that may write to it", "Close it there") from None
    except (OSError, AttributeError, IndexError, KeyError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        if storage.reason_of(error) and not isinstance(error, IsADirectoryError):  # a folder is no file of ours
            raise storage.read_error(path, error) from None
        reason = str(error).strip("'\"").split("(")[0].strip()
        raise DamagedError(f"{path} is cut short or damaged: {reason}", remedy) from None


def set_aside(path: Path, folder: Path) -> Path:
    """Move a damaged file out of the way, into `folder` under a name that nothing reads, and return where it is now.

    Raises:
        StoreError: it cannot be moved.
    """
    target = folder / f"{path.name}.damaged"
    with write_errors(target):
        if storage.is_remote(path):
            storage.upload(storage.local(path), target)
            storage.remove_all([path])
        else:
            path.replace(target)
    return target

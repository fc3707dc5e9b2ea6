"""A file or object opened to jump about in: what lies in an object store is read by ranges, never as a whole."""

import io
import threading
from pathlib import Path
from typing import BinaryIO, cast

from catsdogs.files import storage

BLOCK_BYTES = 4 * 2**20  # read ahead: some hundred photographs, and more than a request's delay costs
_TAIL_BYTES = 2**16  # where a zip says how long the list before it is; who reads there goes on just before


def open_by_ranges(path: Path) -> BinaryIO:
    """The file, to be read.

    Raises:
        FileNotFoundError: there is none.
        OSError: a local file cannot be opened.
        StoreError: the store went on failing, here or while the file is read.
    """
    return cast(BinaryIO, Ranges(path)) if storage.is_remote(path) else path.open("rb")


class Ranges(io.RawIOBase):
    """An object as a file. Each thread keeps the range that it read last; the position is that of all, as in any file.

    Attributes:
        size: its bytes, counted when it was opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._kept = threading.local()
        self.size = storage.size(path)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if at < 0:
            raise OSError(f"a place {-at:,} bytes before the start of {self._path}")
        self._at = at
        return at

    def read(self, size: int | None = -1) -> bytes:
        stop = self.size if size is None or size < 0 else min(self._at + size, self.size)
        start, length = self._at, max(0, stop - self._at)
        if not length:
            return b""
        kept_from, kept = getattr(self._kept, "range", (0, b""))
        if not kept_from <= start <= stop <= kept_from + len(kept):
            ahead = max(length, BLOCK_BYTES)
            is_tail = self.size - start <= _TAIL_BYTES
            kept_from, kept = self.fetch(max(0, min(start, self.size - ahead)) if is_tail else start, ahead)
        data = kept[start - kept_from : stop - kept_from]
        self._at = start + len(data)  # less than asked for if the object has become shorter
        return data

    def fetch(self, start: int, length: int) -> tuple[int, bytes]:
        """Read a range for this thread to find."""
        data = storage.read_bytes(self._path, start, min(length, self.size - start))
        self._kept.range = start, data
        return self._kept.range

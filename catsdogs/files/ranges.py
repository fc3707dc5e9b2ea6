"""Files and objects opened for random access: an object in a store is read by ranges, never as a whole."""

import io
import threading
from pathlib import Path
from typing import BinaryIO, cast

from catsdogs.files import storage

READ_AHEAD_BYTES = 4 * 2**20  # some hundred photographs, which take longer to arrive than a request's delay
_TAIL_BYTES = 2**16  # a zip's end says how long the list before it is, so readers of the end go on just before it


def open_by_ranges(path: Path) -> BinaryIO:
    """The file or object, opened to read.

    Raises:
        FileNotFoundError: there is none.
        OSError: a local file cannot be opened.
        StoreError: the store went on failing, here or while the file is read.
    """
    return cast(BinaryIO, Ranges(path)) if storage.is_remote(path) else path.open("rb")


class Ranges(io.RawIOBase):
    """An object as a file. Threads share its position, as of any file, and each keeps the range that it read last.

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
        kept_start, kept = getattr(self._kept, "range", (0, b""))
        if not kept_start <= start <= stop <= kept_start + len(kept):
            ahead = max(length, READ_AHEAD_BYTES)
            is_tail = self.size - start <= _TAIL_BYTES
            kept_start, kept = self.fetch(max(0, min(start, self.size - ahead)) if is_tail else start, ahead)
        data = kept[start - kept_start : stop - kept_start]
        self._at = start + len(data)  # less than asked for if the object has become shorter
        return data

    def fetch(self, start: int, length: int) -> tuple[int, bytes]:
        """Read a range ahead for this thread, and return its start and its bytes."""
        data = storage.read_bytes(self._path, start, min(length, self.size - start))
        self._kept.range = start, data
        return self._kept.range

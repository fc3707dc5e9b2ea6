"""Copies of objects on this machine, each kept while its object stays the same and this process lives."""

import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

from catsdogs.files import object_store

_KEPT_BYTES = 4 * 2**30  # of all copies together; the newest is kept whatever its size


class LocalCopies:
    """The copies that this process keeps, least recently used first."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._paths: OrderedDict[tuple[str, str], Path] = OrderedDict()
        self._lock = threading.Lock()
        self._count = 0

    def of(self, path: Path) -> Path:
        """The copy of an object, downloaded if there is none of its present content; errors as in `storage.local`."""
        with self._lock:
            size, stamp = object_store.size_and_stamp(path)
            key = (str(path), stamp)
            if key not in self._paths or not stamp:
                self._folder = self._folder or tempfile.TemporaryDirectory(prefix="catsdogs-")
                self._count += 1
                folder = Path(self._folder.name) / str(self._count)
                folder.mkdir()
                copy = folder / path.name
                object_store.copy_object(path, copy, size)
                self._paths[key] = copy
                self._drop_oldest()
            self._paths.move_to_end(key)
            return self._paths[key]

    def _drop_oldest(self) -> None:
        sizes = {key: copy.stat().st_size for key, copy in self._paths.items()}
        for key in list(self._paths)[:-1]:
            if sum(sizes.values()) <= _KEPT_BYTES:
                break
            self._paths.pop(key).unlink()
            del sizes[key]

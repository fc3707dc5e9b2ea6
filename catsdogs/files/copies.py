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

    def of(self, path: Path) -> Path:
        """The copy of an object, downloaded if there is none of its present content; errors as in `storage.local`."""
        with self._lock:
            size, stamp = object_store.size_and_stamp(path)
            key = (str(path), stamp)
            if key not in self._paths or not stamp:
                self._folder = self._folder or tempfile.TemporaryDirectory(prefix="catsdogs-")
                copy = Path(tempfile.mkdtemp(dir=self._folder.name)) / path.name
                object_store.copy_object(path, copy, size)
                self._paths[key] = copy
            self._paths.move_to_end(key)
            while len(self._paths) > 1 and sum(kept.stat().st_size for kept in self._paths.values()) > _KEPT_BYTES:
                self._paths.popitem(last=False)[1].unlink()
            return self._paths[key]

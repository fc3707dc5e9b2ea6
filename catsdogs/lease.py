"""A lock in an object store: an object that its holder rewrites every few seconds, like a beating heart.

No clock is compared with another: who finds the object watches whether it changes. While it does, its holder lives; if
it does not for a while, the holder has died, and the lock is taken over.
"""

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from catsdogs import storage
from catsdogs.errors import LockedError, StoreError

BEAT_SECONDS = 5.0
PATIENCE_BEATS = 4  # without a beat, after which a holder counts as dead


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock while the body runs.

    Raises:
        LockedError: another process holds it; or took it over, because this one was stopped for long.
        StoreError: the store went on failing.
    """
    lease = _Lease(path)
    lease.take()
    try:
        yield
    finally:
        lease.release()
    if lease.lost:
        raise LockedError(f"{path} was taken over by another process", "Run the same command again")


class _Lease:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4()}"
        self._beats = 0
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)
        self.lost = False

    def take(self) -> None:
        if not self._created() and self._someone_lives():
            raise LockedError(
                f"Another process is writing to {self._path.parent}", "Wait until it ends, or choose another --out"
            )
        storage.write(self._path, self._content())
        time.sleep(min(1.0, BEAT_SECONDS))  # of several that find a dead holder, the last one to write has it
        if not self._is_ours():
            raise LockedError(f"Another process has just begun to write to {self._path.parent}", "Wait until it ends")
        self._heart.start()

    def release(self) -> None:
        self._over.set()
        self._heart.join()
        if not self.lost and self._is_ours():
            storage.remove(self._path)

    def _created(self) -> bool:
        try:
            storage.write(self._path, self._content(), new=True)
        except FileExistsError:  # it may be ours, if the answer to the first attempt was lost
            return self._is_ours()
        return True

    def _someone_lives(self) -> bool:
        before = self._read()
        for _ in range(PATIENCE_BEATS):
            time.sleep(BEAT_SECONDS)
            now = self._read()
            if now != before:
                return bool(now)
        return False

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            with contextlib.suppress(StoreError):  # a store that is away for long shows in `lost` when it is back
                self.lost = not self._is_ours()
                if self.lost:
                    return
                self._beats += 1
                storage.write(self._path, self._content())

    def _is_ours(self) -> bool:
        return self._read().startswith(self._name.encode())

    def _read(self) -> bytes:
        try:
            return storage.read(self._path)
        except FileNotFoundError:
            return b""

    def _content(self) -> bytes:
        return f"{self._name} {self._beats}\n".encode()

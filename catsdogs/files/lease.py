"""A lock where the operating system has none: a file or object that its holder rewrites every few seconds.

No clocks are compared: another process that finds the file watches whether it changes. While it does, its holder lives.
If it does not for a while, the holder has died, and the lock is taken over. A holder that was stopped for that long and
wakes must do no harm: where the store writes on conditions, it cannot overwrite the lock of its successor, and
`confirm` stops it before it writes or removes anything.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from catsdogs.errors import LockedError, StoreError
from catsdogs.files import storage
from catsdogs.files.notes import note

BEAT_SECONDS = 5.0
PATIENCE_BEATS = 4  # a holder that has missed so many counts as dead
_leases: "list[_Lease]" = []  # which this process holds, or has lost without knowing


@contextlib.contextmanager
def hold_lease(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock at `path` over its folder while the body runs; wait `patience` seconds for a holder that lives.

    Raises:
        LockedError: another process holds it, or took it over because this one was stopped for long.
        OSError: a file cannot be written.
        StoreError: the store went on failing.
    """
    lease = _Lease(path)
    lease.take(patience)
    _leases.append(lease)
    try:
        yield
    except BaseException:
        with contextlib.suppress(StoreError):  # the error that ended the body is raised
            lease.release()
        raise
    else:
        lease.release()
    finally:
        _leases.remove(lease)
    if lease.lost:
        raise lease.taken_over()


def confirmation_for(place: Path) -> Callable[[], None] | None:
    """The `confirm` of the newest lease that this process holds over a place; None where it holds none."""
    leases = [lease for lease in _leases if str(place).startswith(str(lease.path).removesuffix(lease.path.name))]
    return leases[-1].confirm if leases else None


def confirm(place: Path) -> None:
    """Make sure that this process still holds its lease over a place, before it writes or removes something there.

    Raises:
        LockedError: another process has taken the lease over.
        StoreError: the store went on failing, so nobody knows.
    """
    if renew := confirmation_for(place):
        renew()


class _Lease:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = False
        self._name = f"{socket.gethostname()} {os.getpid()} {os.urandom(16).hex()}"
        self._beats = 0
        self._version = ""
        self._beating = threading.Lock()
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)

    def take(self, patience: float) -> None:
        is_new = self._created() or self._waited_for_another(patience)
        if storage.is_remote(self.path) or not is_new:
            time.sleep(min(1.0, BEAT_SECONDS))  # without conditional writes, the last writer has the lock
        self._version = self._version or storage.version(self.path)  # before its owner is looked at
        if not self._is_ours():
            raise self._lost_race()
        self._heart.start()

    def release(self) -> None:
        self._ended.set()
        self._heart.join()
        try:
            if not self.lost and self._is_ours():
                with contextlib.suppress(FileExistsError):  # taken over at this moment
                    if self._version:
                        storage.remove_version(self.path, self._version)
                    else:
                        storage.remove(self.path)
        except OSError as error:
            raise storage.read_error(self.path, error) from None

    def confirm(self) -> None:
        """Renew the lease now, whenever that was done last."""
        if not storage.is_remote(self.path) and not self.path.parent.exists():
            return  # a finished folder may get another name while its lock is held
        with self._beating:
            if not self.lost and not self._ended.is_set():
                self._beats += 1
                self.lost = not self._renewed()
        if self.lost:
            raise self.taken_over()

    def taken_over(self) -> LockedError:
        return LockedError(
            f"{self.path} was taken over by another process, for this one was stopped for long",
            "Run the same command again: what is finished is kept",
        )

    def _created(self) -> bool:
        try:
            self._version = storage.write_bytes(self.path, self._content(), new=True)
        except FileExistsError:  # it may be ours, if the answer to the first attempt was lost
            return self._is_ours()
        return True

    def _waited_for_another(self, patience: float) -> bool:
        """Wait for the holder: True if it released the lock, False if it died and the lock was taken over.

        Raises:
            LockedError: its holder lives, for longer than `patience`.
        """
        if not patience:
            note(
                f"{self.path} is there: it shows within {PATIENCE_BEATS * BEAT_SECONDS:.0f} s whether its holder lives"
            )
        started = changed = time.monotonic()
        seen, version = self._read(), storage.version(self.path)
        while time.monotonic() < changed + PATIENCE_BEATS * BEAT_SECONDS:
            time.sleep(min(BEAT_SECONDS, patience / 100) if patience else BEAT_SECONDS)
            now = self._read()
            if not now and self._created():
                return True
            if now != seen:
                seen, version, changed = now, storage.version(self.path), time.monotonic()
                if changed >= started + patience:
                    raise LockedError(
                        f"Another process is writing to {self.path.parent}",
                        "Wait until it ends, or choose another --out",
                    )
        self._version = version
        if not self._renewed():
            raise self._lost_race()
        return False

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.confirm()
            except LockedError as error:
                note(str(error))
                return
            except (StoreError, OSError) as error:  # the store may be back in time; otherwise `confirm` stops the work
                note(f"The lock {self.path} cannot be renewed, so another process may take it over: {error}")

    def _renewed(self) -> bool:
        """Renew the lock; False if another process has it."""
        try:
            if not self._version and self._beats and not self._is_ours():
                return False
            self._version = storage.write_bytes(self.path, self._content(), instead_of=self._version)
        except FileExistsError:  # it may be ours, if the answer to an earlier attempt was lost
            self._version = storage.version(self.path)
            return self._read() == self._content()
        return True

    def _lost_race(self) -> LockedError:
        return LockedError(f"Another process has just begun to write to {self.path.parent}", "Wait until it ends")

    def _is_ours(self) -> bool:
        return self._read().startswith(self._name.encode())

    def _read(self) -> bytes:
        try:
            return storage.read_bytes(self.path)
        except FileNotFoundError:
            return b""

    def _content(self) -> bytes:
        return f"{self._name} {self._beats:09}\n".encode()

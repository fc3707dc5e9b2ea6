"""A lock where the operating system has none: a file or object that its holder rewrites every few seconds.

No clock is compared with another: who finds it watches whether it changes. While it does, its holder lives; if it does
not for a while, the holder has died, and the lock is taken over. A holder that was stopped for that long and wakes must
do no more harm: where the store writes under conditions, it cannot overwrite the lock of the next one, and `confirm`
stops it before it puts or removes anything.
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
from catsdogs.progress import note

BEAT_SECONDS = 5.0
PATIENCE_BEATS = 4  # without a beat, after which a holder counts as dead
_held: "list[_Lease]" = []  # those that this process holds, or has lost without knowing


@contextlib.contextmanager
def hold(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock at `path` over its folder while the body runs; `patience` is in seconds, for a holder that lives.

    Raises:
        LockedError: another process holds it; or took it over, because this one was stopped for long.
        OSError: a file cannot be written.
        StoreError: the store went on failing.
    """
    lease = _Lease(path)
    lease.take(patience)
    _held.append(lease)
    try:
        yield
    except BaseException:
        with contextlib.suppress(StoreError):  # what ended the body is told
            lease.release()
        raise
    else:
        lease.release()
    finally:
        _held.remove(lease)
    if lease.lost:
        raise lease.taken_over()


def over(place: Path) -> Callable[[], None] | None:
    """What confirms the newest lease that this process holds over a place, see `confirm`; None where it holds none."""
    leases = [lease for lease in _held if str(place).startswith(str(lease.path).removesuffix(lease.path.name))]
    return leases[-1].confirm if leases else None


def confirm(place: Path) -> None:
    """Before something is put to or removed from a folder that this process holds by a lease: it still does.

    Raises:
        LockedError: another process has taken the lease over.
        StoreError: the store went on failing, so nobody knows.
    """
    if renew := over(place):
        renew()


class _Lease:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = False
        self._name = f"{socket.gethostname()} {os.getpid()} {os.urandom(16).hex()}"
        self._beats = 0
        self._version = ""
        self._beating = threading.Lock()
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)

    def take(self, patience: float) -> None:
        is_new = self._created() or self._waited_for_another(patience)
        if storage.is_remote(self.path) or not is_new:
            time.sleep(min(1.0, BEAT_SECONDS))  # where nothing is written under conditions, the last to write has it
        self._version = self._version or storage.version(self.path)  # before a look at whose it is
        if not self._is_ours():
            raise self._outrun()
        self._heart.start()

    def release(self) -> None:
        self._over.set()
        self._heart.join()
        try:
            if not self.lost and self._is_ours():
                self._remove()
        except OSError as error:
            raise storage.read_error(self.path, error) from None

    def confirm(self) -> None:
        """Beat once, whenever the last time was."""
        if not storage.is_remote(self.path) and not self.path.parent.exists():
            return  # what is finished may give its folder another name while it holds the lock
        with self._beating:
            if not self.lost and not self._over.is_set():
                self._beats += 1
                self.lost = not self._written()
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
        """Take the lock when its holder lets go of it, True, or over when it has died, False.

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
        if not self._written():
            raise self._outrun()
        return False

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            try:
                self.confirm()
            except LockedError as error:
                note(str(error))
                return
            except (StoreError, OSError) as error:  # it may be back in time; and if not, `confirm` stops the work
                note(f"The lock {self.path} cannot be renewed, so another process may take it over: {error}")

    def _written(self) -> bool:
        """Renew the lock, unless another process has it."""
        try:
            if not self._version and self._beats and not self._is_ours():
                return False
            self._version = storage.write_bytes(self.path, self._content(), instead_of=self._version)
        except FileExistsError:  # it may be ours, if the answer to an earlier attempt was lost
            self._version = storage.version(self.path)
            return self._read() == self._content()
        return True

    def _remove(self) -> None:
        if not self._version:
            storage.remove(self.path)
            return
        with contextlib.suppress(FileExistsError):  # taken over at this moment
            storage.remove_version(self.path, self._version)

    def _outrun(self) -> LockedError:
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

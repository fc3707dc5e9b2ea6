"""Processes that load photographs: they write the pixels into memory shared with this one, beside its lock.

Python's lock lets four threads do what sixteen do. What this has over a pool of `concurrent.futures` or
`multiprocessing`: a photograph that crashes its decoder costs that photograph and not the pool; pixels are not sent but
written in place; and the caller's main module is not imported again.
"""

import contextlib
import json
import mmap
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from catsdogs.errors import CatsdogsError, StoreError
from catsdogs.files import storage
from catsdogs.photographs import blocks
from catsdogs.photographs.blocks import Block, Choose, State
from catsdogs.photographs.fitting import Fit
from catsdogs.photographs.locations import Location, Reader

MODULE = "catsdogs.photographs.decoders"
PATIENCE = 120.0  # seconds that a process may take for a chunk; hostile files take five at most
_CHUNK = 8  # photographs
_CHUNKS_AHEAD = 2  # for each process, so that it never waits for the next
_TRIES = 2  # of a photograph whose process died
_MOST_DEATHS = 3  # of one process after the other, without a chunk done in between
# Each of many processes would start threads for matrices on every core, and has none to multiply.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_PACKAGE = Path(__file__).parents[2]


@dataclass
class _Chunk:
    """Photographs handed in together: how many of them are missing still, and who waits for them."""

    missing: int
    reasons: dict[int, str] = field(default_factory=dict)
    future: "Future[dict[int, str]]" = field(default_factory=Future)

    def finish(self, rows: int, reasons: dict[int, str]) -> None:
        self.missing -= rows
        self.reasons |= reasons
        if not self.missing and not self.future.done():
            self.future.set_result(self.reasons)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(frozen=True)
class _Task:
    """A chunk, or what is left of one whose process died."""

    chunk: _Chunk
    block: int
    photographs: dict[int, Location]
    choose: Choose | None
    tries: int = 1


class Processes:
    """Some processes, each with a thread here that hands it chunks and starts another in its place if it dies.

    They end with this process, however it ends: then nothing holds the other end of their channels. The memory has no
    name in any file system, so it ends with them.
    """

    chunk = _CHUNK

    def __init__(self, count: int, rows: int, fits: Sequence[Fit], block_count: int) -> None:
        """Raises: OSError: the machine cannot share memory between processes."""
        size = blocks.bytes_needed(rows, fits)
        self.fits = fits
        self.memory = _anonymous_file(size * block_count)
        self.layout = [rows, fits, block_count]
        self.blocks = _blocks(self.memory, rows, fits, block_count)
        self.tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._drivers = [_Driver(self) for _ in range(count)]

    def submit(self, block: int, photographs: dict[int, Location], choose: Choose | None) -> "Future[dict[int, str]]":
        """See `loading.Hands.submit`."""
        chunk = _Chunk(len(photographs))
        self.tasks.put(_Task(chunk, block, photographs, choose))
        return chunk.future

    def close(self) -> None:
        """See `loading.Hands.close`."""
        for _ in self._drivers:
            self.tasks.put(None)
        for driver in self._drivers:
            driver.join()
        os.close(self.memory)


class _Driver:
    """The thread of one process."""

    def __init__(self, pool: Processes) -> None:
        self._pool = pool
        self._under_way: deque[_Task] = deque()
        self._again: deque[_Task] = deque()
        self._deaths = 0
        self._is_closing = False
        self._process = _Process(pool.memory, pool.layout)  # here, where the caller learns that it cannot be started
        self._thread = threading.Thread(target=self._run, name="loader", daemon=True)
        self._thread.start()
        self.join = self._thread.join

    def _run(self) -> None:
        while self._send():
            task = self._under_way[0]
            try:
                reasons = self._answer(task)
            except (EOFError, OSError) as error:
                self._replace_dead(f"took more than {PATIENCE:g} s" if isinstance(error, TimeoutError) else "")
            except Exception as error:  # whoever waits for the chunk raises it; the process may wait for an answer
                task.chunk.fail(error)
                self._under_way.popleft()
                self._replace_dead("")
            else:
                task.chunk.finish(len(task.photographs), reasons)
                self._under_way.popleft()
                self._deaths = 0
        self._process.end()

    def _send(self) -> bool:
        """Send the process what it is to do next, and wait for that if there is nothing; False when all is done."""
        while len(self._under_way) < _CHUNKS_AHEAD:
            task = self._again.popleft() if self._again else self._next(is_needed=not self._under_way)
            if task is None:
                break
            self._under_way.append(task)
            photographs = {row: (str(container), name) for row, (container, name) in task.photographs.items()}
            self._process.send({"block": task.block, "photographs": photographs, "asks": task.choose is not None})
        return bool(self._under_way)

    def _next(self, is_needed: bool) -> _Task | None:
        if self._is_closing:
            return None
        with contextlib.suppress(queue.Empty):
            while task := self._pool.tasks.get(block=is_needed):
                if task.chunk.future.set_running_or_notify_cancel():
                    return task
            self._is_closing = True
        return None

    def _answer(self, task: _Task) -> dict[int, str]:
        while True:
            answer = self._process.receive()
            if "failure" in answer:
                raise StoreError(*answer["failure"])
            if "reasons" in answer:
                return {int(row): reason for row, reason in answer["reasons"].items()}
            rows = answer["read"]
            digests = self._pool.blocks[task.block].digest[rows].tolist()
            needed = task.choose(rows, digests) if task.choose else ()
            self._process.send([[self._pool.fits.index(fit) for fit in fits] for fits in needed])

    def _replace_dead(self, cause: str) -> None:
        """Start another process, which does what is left. What one died of twice is not tried again."""
        ending = self._process.end()
        cause = cause or ending
        self._deaths += 1
        tasks, self._under_way = self._under_way, deque()
        for task in tasks:
            self._split(task, cause)
        if self._deaths > _MOST_DEATHS:
            self._fail(f"The processes that load photographs do not stay alive: the last {cause}")
        try:
            self._process = _Process(self._pool.memory, self._pool.layout)
        except OSError as error:
            self._fail(f"No process can be started to load photographs: {error.strerror}")

    def _split(self, task: _Task, cause: str) -> None:
        """Put what is missing of a task back: those photographs alone that its process was at when it died."""
        states, rest = self._pool.blocks[task.block].state, {}
        for row, location in task.photographs.items():
            state, states[row] = State(states[row]), State.WAITING  # the next process may die before it comes to it
            if state == State.LOADED:
                task.chunk.finish(1, {})
            elif state not in (State.READING, State.DECODING):
                rest[row] = location
            elif task.tries < _TRIES:
                self._again.append(replace(task, photographs={row: location}, tries=task.tries + 1))
            elif state == State.DECODING:
                task.chunk.finish(1, {row: f"the process that decoded it {cause}, {_TRIES} times"})
                self._deaths = 0
            else:
                name = f"{location.container}/{location.name}"
                task.chunk.fail(StoreError(f"{name}: the process that read it {cause}", "Run the same command again"))
        if rest:
            self._again.append(replace(task, photographs=rest))

    def _fail(self, problem: str) -> None:
        for task in self._again:
            task.chunk.fail(StoreError(problem, "Free some memory, and run the same command again: shards are kept"))
        self._again.clear()
        self._deaths = 0


class _Process:
    """One process and this end of its channel, through which JSON goes."""

    def __init__(self, memory: int, layout: Sequence[Any]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._channel = Connection(ours.detach())
            arguments = [str(theirs.fileno()), str(memory), json.dumps(layout)]
            search = os.pathsep.join([str(_PACKAGE), *filter(None, sys.path)])
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", MODULE, *arguments],
                env=os.environ | _ONE_THREAD | {"PYTHONPATH": search},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), memory),
            )

    def send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # it has died, which `receive` tells
            self._channel.send_bytes(json.dumps(message).encode())

    def receive(self) -> Any:
        """Raises: EOFError, OSError: it has died; TimeoutError: it does not answer."""
        if not self._channel.poll(PATIENCE):
            raise TimeoutError
        return json.loads(self._channel.recv_bytes())

    def end(self) -> str:
        """End it, in the middle of what it does, and say how it has ended."""
        self._channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.1)  # which has died already says why
        self._process.kill()
        code = self._process.wait()
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _anonymous_file(size: int) -> int:
    """Memory as an open file without a name: `/dev/shm` may be small, and a file there would outlive a killed run."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("photographs")
    else:  # macOS
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    os.ftruncate(file, size)
    return file


def _blocks(memory: int, rows: int, fits: Sequence[Fit], count: int) -> list[Block]:
    size = blocks.bytes_needed(rows, fits)
    buffer = mmap.mmap(memory, size * count)
    return [Block(rows, fits, buffer, number * size) for number in range(count)]


def main() -> None:
    """Load what the channel asks for, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that started this one
    channel, memory, (rows, listed, count) = Connection(int(sys.argv[1])), int(sys.argv[2]), json.loads(sys.argv[3])
    fits = [Fit._make(tuple(field) if isinstance(field, list) else field for field in fit) for fit in listed]
    shared = _blocks(memory, rows, fits, count)
    tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    answers: queue.SimpleQueue[list[list[int]]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(channel, tasks, answers), daemon=True).start()

    def choose(read: Sequence[int], _: Sequence[int]) -> list[list[Fit]]:
        channel.send_bytes(json.dumps({"read": list(read)}).encode())
        return [[fits[number] for number in one] for one in answers.get()]

    read = Reader().read
    blocks.keep_freed_memory()
    while True:
        task = tasks.get()
        photographs = {
            int(row): Location(storage.place(container), name) for row, (container, name) in task["photographs"].items()
        }
        try:
            reasons = blocks.fill(shared[task["block"]], photographs, read, choose if task["asks"] else None)
            answer: dict[str, Any] = {"reasons": reasons}
        except CatsdogsError as error:
            answer = {"failure": [error.problem, error.remedy]}
        channel.send_bytes(json.dumps(answer).encode())


def _listen(
    channel: Connection, tasks: "queue.SimpleQueue[dict[str, Any]]", answers: "queue.SimpleQueue[list[list[int]]]"
) -> None:
    """Sort what comes in, and end this process when the other one has, even in the middle of a photograph."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            message = json.loads(channel.recv_bytes())
            (answers if isinstance(message, list) else tasks).put(message)
    os._exit(0)


if __name__ == "__main__":
    main()

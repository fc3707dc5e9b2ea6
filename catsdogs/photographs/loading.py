"""Photographs loaded ahead of the networks: read, decoded and resized into blocks, by threads or by processes."""

import contextlib
import os
import queue
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from catsdogs.photographs import blocks, decoders
from catsdogs.photographs.blocks import Block, Choose
from catsdogs.photographs.fitting import Fit
from catsdogs.photographs.locations import Location, Reader

_BLOCKS = 3  # while the photographs of one go through the networks, two are filled


class Request(NamedTuple):
    """Photographs to be loaded together. Without `choose`, each is decoded for all fits."""

    photographs: Sequence[Location]
    choose: Choose | None = None


class Hands(Protocol):
    """Who loads: threads here, or processes, see `decoders`. `chunk` is how many photographs each takes at a time."""

    blocks: list[Block]
    chunk: int

    def submit(self, block: int, photographs: dict[int, Location], choose: Choose | None) -> Future[dict[int, str]]:
        """Start to load photographs into rows of a block. The result: row -> the reason why it cannot be read."""
        ...

    def close(self) -> None:
        """End what is under way."""
        ...


class Loaded:
    """Photographs on their way into a block; `wait` for a row before it is used, and `release` the block afterwards."""

    def __init__(self, block: Block, free: Callable[[], object]) -> None:
        self.block = block
        self._free: Callable[[], object] | None = free
        self._parts: list[Future[dict[int, str]]] = []
        self._part_of: list[int] = []

    def add(self, part: Future[dict[int, str]], rows: int) -> None:
        """Count the next rows among those that a part will have loaded."""
        self._part_of += [len(self._parts)] * rows
        self._parts.append(part)

    def wait(self, row: int) -> str:
        """Wait until a row is loaded. Returns the reason why it cannot be read, or nothing.

        Raises:
            StoreError: an object store went on failing, or reading failed for what other files would meet as well.
        """
        return self._parts[self._part_of[row]].result().get(row, "")

    def release(self) -> None:
        """Let the block be used again, once nothing is written into it."""
        for part in self._parts:
            part.cancel()
        wait(self._parts)
        free, self._free = self._free, None
        if free:
            free()


class Loader:
    """Loads stretches of photographs, some ahead of the one that is used."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(len(hands.blocks)):
            self._free.put(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hands.close()

    def stream(self, requests: Iterable[Request]) -> Generator[Loaded, None, None]:
        """The photographs of each request, in order. Those to come are begun while there are free blocks."""
        rest, begun = iter(requests), deque[Loaded]()
        request = next(rest, None)
        try:
            while request or begun:
                while request and (number := self._free_block(is_needed=not begun)) is not None:
                    begun.append(self._begin(number, request))
                    request = next(rest, None)
                yield begun.popleft()
        finally:
            for loaded in begun:
                loaded.release()

    def _free_block(self, is_needed: bool) -> int | None:
        try:
            return self._free.get(block=is_needed)
        except queue.Empty:
            return None

    def _begin(self, number: int, request: Request) -> Loaded:
        block = self._hands.blocks[number]
        block.state[:] = blocks.State.WAITING
        loaded = Loaded(block, partial(self._free.put, number))
        rows = list(enumerate(request.photographs))
        for start in range(0, len(rows), self._hands.chunk):
            chunk = dict(rows[start : start + self._hands.chunk])
            loaded.add(self._hands.submit(number, chunk, request.choose), len(chunk))
        return loaded


class Threads:
    """Threads of this process. Pillow, simplejpeg, the resizer and the hash release Python's lock while they work."""

    chunk = 1

    def __init__(self, count: int, rows: int, fits: Sequence[Fit]) -> None:
        blocks.keep_freed_memory()
        self.blocks = [Block(rows, fits) for _ in range(_BLOCKS)]
        self._read = Reader().read
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="loader")

    def submit(self, block: int, photographs: dict[int, Location], choose: Choose | None) -> Future[dict[int, str]]:
        """See `Hands.submit`."""
        return self._pool.submit(blocks.fill, self.blocks[block], photographs, self._read, choose)

    def close(self) -> None:
        """See `Hands.close`."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def by_threads(count: int, rows: int, fits: Iterable[Fit]) -> Loader:
    """A loader of stretches of at most so many rows, by threads of this process."""
    return Loader(Threads(count, rows, sorted(set(fits))))


def by_processes(count: int, rows: int, fits: Iterable[Fit]) -> Loader:
    """The same by processes, or by threads where the machine cannot share memory between processes, or start them."""
    if os.name == "posix":  # elsewhere a process cannot be handed an open file
        with contextlib.suppress(OSError):
            return Loader(decoders.Processes(count, rows, sorted(set(fits)), _BLOCKS))
    return by_threads(count, rows, fits)

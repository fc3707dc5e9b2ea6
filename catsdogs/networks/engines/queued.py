"""What the engines that drive GPUs share: queues, batches dealt out to copies of a network, uploads, memory's end."""

import gc
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import UsageError
from catsdogs.networks.devices import ran_out_of_memory
from catsdogs.networks.engines.interface import Output

CPU_BATCH_SIZE = 32
GPU_BATCH_SIZE = 256
_BATCHES_UNDER_WAY = 4  # for each copy
_WARM_AT_ONCE = 8  # networks that compile side by side; compilers use further threads of their own
# Numbers that a network holds at once for each pixel of its input, at most: three maps of 128 channels at half the
# side, as early layers of Xception have. It is an estimate, not measured on a GPU; where it is too small the batch is
# halved once it has failed.
_NUMBERS_PER_PIXEL = 96
_SHARE_OF_MEMORY = 0.5  # for one network's batch; weights, other networks and what a compiler tries out have the rest

# A batch under way in parts of so many rows: their outputs, which a GPU may still be computing, or the failure.
_Started = tuple[int, list[Any] | Exception]


class _Upload(NamedTuple):
    """A batch in a GPU's memory: the array it was made of, if that still exists, whose GPU it is, and who used it."""

    source: "weakref.ref[NDArray[np.uint8]]"
    copy: int
    batch: Any
    used_by: set[int]


class QueuedEngine:
    """Starts batches on one thread and waits for them on another.

    To start a batch on a GPU only queues it. So the next batch is uploaded and queued while this one computes. Where
    several GPUs are used, each has a copy of every network, and whole batches are dealt out to them in turn. So a
    batch's numbers are those that one GPU would give it.
    """

    name = ""

    def __init__(self, precision: str, batch_size: int, copies: int = 1, memory: int | None = None) -> None:
        """`memory` is that of a GPU in bytes, None if it is unknown or this is none."""
        self.precision, self.batch_size, self.copies, self.memory = precision, batch_size, copies, memory
        self.starter = ThreadPoolExecutor(1, thread_name_prefix=f"{self.name}-start")
        self.finisher = ThreadPoolExecutor(1, thread_name_prefix=f"{self.name}-finish")
        self.warmers = ThreadPoolExecutor(_WARM_AT_ONCE, thread_name_prefix=f"{self.name}-warm")
        self.places = threading.BoundedSemaphore(_BATCHES_UNDER_WAY * copies)
        self._turns: Counter[tuple[int, ...]] = Counter()
        self._uploads: dict[tuple[int, ...], _Upload] = {}

    def upload(self, pixels: NDArray[np.uint8], copy: int) -> Any:
        """The batch in the memory of the GPU of this copy, as bytes; the way there may still be under way."""
        raise NotImplementedError

    def uploaded(self, pixels: NDArray[np.uint8], network: object) -> tuple[int, Any]:
        """The copy that computes this batch, and the batch there; on the starter's thread.

        The last batch of each shape stays. A network that is given the same array right after another computes on the
        same copy and shares the upload. Given an array a second time, a network takes its pixels anew.
        """
        kept, who = self._uploads.get(pixels.shape), id(network)
        if kept is None or kept.source() is not pixels or who in kept.used_by:
            copy = self.turn(pixels)
            self._uploads.pop(pixels.shape, None)  # so that its memory can be used again
            kept = _Upload(weakref.ref(pixels), copy, self.upload(pixels, copy), set())
            self._uploads[pixels.shape] = kept
        kept.used_by.add(who)
        return kept.copy, kept.batch

    def turn(self, pixels: NDArray[np.uint8]) -> int:
        """The copy whose turn it is, of batches of this shape."""
        self._turns[pixels.shape] += 1
        return (self._turns[pixels.shape] - 1) % self.copies

    def forget_uploads(self) -> None:
        """Give their memory back."""
        self._uploads.clear()


class QueuedNetwork:
    """A loaded network. A batch that the memory of a GPU cannot take is computed in halves, and so are all after it.

    Heirs give `_start`, `_fetch` and `_make_room`, and `_warm` if they compile.
    """

    def __init__(self, engine: QueuedEngine, name: str, side: int) -> None:
        self.note = ""
        self._engine, self._name = engine, name
        self._rows = rows_at_once(engine.batch_size, side, engine.precision, engine.memory)
        self._warming: list[Future[None]] = []

    def warm_up(self) -> None:
        """Compile on a thread of its own, by a batch of zeros for each copy. The first batch waits for it."""
        self._warming = [self._engine.warmers.submit(self._warm)]

    def submit(self, pixels: NDArray[np.uint8]) -> Callable[[], Output]:
        """See `interface.Network.submit`.

        What it returns raises UsageError if not even one photograph fits, or the precision cannot hold the numbers.
        """
        self._engine.places.acquire()
        started = self._engine.starter.submit(self._try, pixels)
        return self._engine.finisher.submit(self._finish, pixels, started).result

    def _warm(self) -> None:
        raise NotImplementedError

    def _start(self, batch: Any, copy: int) -> Any:
        """Queue an uploaded batch on a copy; returns what `_fetch` takes."""
        raise NotImplementedError

    def _fetch(self, started: Any) -> dict[str, NDArray]:
        """Wait for a batch's outputs."""
        raise NotImplementedError

    def _make_room(self) -> None:
        """Release what a failed batch left, before a smaller one is tried; `_rows` is the new size."""
        raise NotImplementedError

    def _try(self, pixels: NDArray[np.uint8]) -> _Started:
        try:
            while self._warming:
                self._warming.pop().result()
            if self._rows >= len(pixels):
                copy, batch = self._engine.uploaded(pixels, self)
                return self._rows, [self._start(batch, copy)]
            copy = self._engine.turn(pixels)
            return self._rows, [self._start(self._engine.upload(part, copy), copy) for part in self._parts(pixels)]
        except Exception as error:  # the thread that waits raises it
            return self._rows, error

    def _parts(self, pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        """The batch in parts of one shape, which is all that a compiled network should see; the last is filled up."""
        for start in range(0, len(pixels), self._rows):
            part = pixels[start : start + self._rows]
            missing = self._rows - len(part) if start else 0
            yield np.pad(part, [(0, missing), (0, 0), (0, 0), (0, 0)]) if missing else part

    def _finish(self, pixels: NDArray[np.uint8], waiting: Future[_Started]) -> Output:
        try:
            while True:
                rows, outputs = waiting.result()
                try:
                    return self._output(outputs, len(pixels))
                except Exception as error:
                    if not ran_out_of_memory(error):
                        raise
                    waiting = self._engine.starter.submit(self._try_smaller, pixels, rows, error)
        finally:
            self._engine.places.release()

    def _output(self, outputs: list[Any] | Exception, count: int) -> Output:
        if isinstance(outputs, Exception):
            raise outputs
        parts = [self._fetch(part) for part in outputs]
        output = {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}
        precision = self._engine.precision
        if precision != "float32" and not np.isfinite(output["vector"]).all():
            raise UsageError(f"{self._name} gives numbers that {precision} cannot hold", "Give --precision float32")
        if "topk_class" in output:
            output["topk_class"] = output["topk_class"].astype(np.int16)
        return Output(**output)

    def _try_smaller(self, pixels: NDArray[np.uint8], failed: int, error: Exception) -> _Started:
        """Start on a batch again, on the starter's thread, in halves of the parts that did not fit."""
        if failed <= self._rows:  # and not halved since, for an earlier batch
            smaller = self._half(failed)
            if not smaller:
                raise UsageError(
                    f"{self._name} does not fit into the memory of the GPU",
                    "End other programs that use it, or give --engine openvino",
                ) from error
            self._rows = smaller
            self.note = f"{self._name}: {failed:,} photographs at once do not fit into the GPU's memory, {smaller:,} do"
            error.__traceback__ = None  # it holds what was computed so far
            self._engine.forget_uploads()
            self._make_room()
            gc.collect()
        return self._try(pixels)

    def _half(self, rows: int) -> int:
        return rows // 2


def rows_at_once(batch_size: int, side: int, precision: str, memory: int | None) -> int:
    """How many photographs of a batch a GPU with so many bytes of memory computes at once: the batch by halves.

    Its whole memory decides, not what is free at the moment, so that a run that is resumed computes in the same parts.
    """
    if memory is None:
        return batch_size
    rows, each = batch_size, _NUMBERS_PER_PIXEL * side**2 * (4 if precision == "float32" else 2)
    while rows > 1 and rows * each > _SHARE_OF_MEMORY * memory:
        rows //= 2
    return rows

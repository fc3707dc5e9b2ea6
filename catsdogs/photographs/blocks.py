"""Blocks: memory for the pixels and figures of some hundred photographs, which processes can share."""

import contextlib
import ctypes
import mmap
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import UnreadablePhotographError
from catsdogs.photographs import images
from catsdogs.photographs.fitting import Fit
from catsdogs.photographs.images import STATISTICS
from catsdogs.photographs.locations import Location

# Rows of a block, and the digests of their photographs -> the fits that each needs, maybe none.
Choose = Callable[[Sequence[int], Sequence[int]], Sequence[Iterable[Fit]]]
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_ALIGNED = 64  # bytes, a line of the processor's cache


class State(IntEnum):
    """How far the photograph of a row is. One that stays at `READING` or `DECODING` took its process along."""

    WAITING = 0
    READING = 1
    READ = 2
    DECODING = 3
    LOADED = 4
    UNREADABLE = 5


class Block:
    """The photographs of a stretch: row i of every array is that of photograph i.

    Attributes:
        state: (rows,) uint8, see `State`.
        digest: (rows,) uint64, see `images.digest`.
        statistics: (rows, 4) float32, see `images.Pixels`.
        squares: fit -> (rows * views, size, size, 3) uint8; the views of a photograph follow each other. Only where
            that fit was asked for.
    """

    def __init__(self, rows: int, fits: Sequence[Fit], buffer: mmap.mmap | None = None, start: int = 0) -> None:
        """Args: buffer: memory of at least `start + bytes_needed(rows, fits)` bytes; None takes this process's own."""
        memory = np.frombuffer(buffer, np.uint8) if buffer else np.empty(bytes_needed(rows, fits), np.uint8)
        place = start if buffer else 0
        arrays: list[NDArray] = []
        for shape, kind in _arrays(rows, fits):
            size = int(np.prod(shape)) * np.dtype(kind).itemsize
            arrays.append(memory[place : place + size].view(kind).reshape(shape))
            place += _rounded_up(size)
        self.state, self.digest, self.statistics, *squares = arrays
        self.squares: dict[Fit, NDArray[np.uint8]] = dict(zip(fits, squares, strict=True))

    def put(self, row: int, pixels: images.Pixels) -> None:
        """Write a photograph into a row."""
        self.statistics[row] = pixels.statistics
        for fit, views in pixels.by_fit.items():
            self.squares[fit][row * fit.view_count : (row + 1) * fit.view_count] = views


def bytes_needed(rows: int, fits: Sequence[Fit]) -> int:
    """The bytes of a block."""
    return sum(_rounded_up(int(np.prod(shape)) * np.dtype(kind).itemsize) for shape, kind in _arrays(rows, fits))


def keep_freed_memory() -> None:
    """Let this process keep the memory of a photograph for the next one, up to 256 MiB.

    glibc gives it back to the system after each, and asks for it again: 240 page faults, a fifth of the time that a
    photograph takes. See mallopt(3). Other systems' C libraries have no such setting.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_MMAP_THRESHOLD, 2**25)  # the most that it takes
        set_option(_TRIM_THRESHOLD, 2**28)


def _arrays(rows: int, fits: Sequence[Fit]) -> list[tuple[tuple[int, ...], type]]:
    squares = [((rows * fit.view_count, fit.size, fit.size, 3), np.uint8) for fit in fits]
    return [((rows,), np.uint8), ((rows,), np.uint64), ((rows, len(STATISTICS)), np.float32), *squares]


def _rounded_up(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def fill(
    block: Block,
    photographs: dict[int, Location],
    read: Callable[[Location], bytes],
    choose: Choose | None = None,
) -> dict[int, str]:
    """Read photographs into rows of a block, and decode what is needed of them.

    Args:
        photographs: row -> where the photograph is.
        choose: None decodes for all fits.

    Returns:
        Row -> the reason why it cannot be read.

    Raises:
        StoreError: an object store went on failing, or reading failed for what other files would meet as well.
    """
    reasons, found = {}, {}
    for row, location in photographs.items():
        block.state[row] = State.READING
        try:
            found[row] = read(location)
        except UnreadablePhotographError as error:
            reasons[row], block.state[row] = error.reason, State.UNREADABLE
            continue
        block.digest[row] = images.digest(found[row])
        block.state[row] = State.READ
    rows = list(found)
    needed = choose(rows, block.digest[rows].tolist()) if choose and rows else [tuple(block.squares)] * len(rows)
    # However little of it one network needs, a photograph is decoded alike: at how many pixels depends on all fits.
    side = max(fit.enlarged for fit in block.squares)
    for row, fits in zip(rows, needed, strict=True):
        block.state[row] = State.DECODING
        try:
            if fits:
                block.put(row, images.load(found[row], fits, side))
        except UnreadablePhotographError as error:
            reasons[row], block.state[row] = error.reason, State.UNREADABLE
        else:
            block.state[row] = State.LOADED
    return reasons

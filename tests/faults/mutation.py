"""Spoils files, by the ways in which disks, networks and attackers do."""

import re
import struct
from collections.abc import Callable, Sequence

import numpy as np

Spoil = Callable[[bytearray, bytes, np.random.Generator], bytes]

_NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**62, 2**63 - 1, 2**64 - 1)
_CELLS = ("", "-1", "1e999", "nan", "9" * 5000, "../../../etc/passwd", "/dev/zero", '"', "\0", "é" * 3000, "[" * 3000)


def spoilt(seeds: Sequence[bytes], count: int, seed: int) -> list[tuple[int, str, bytes]]:
    """So many different files: which seed each was made from, what was done to it, and its bytes.

    The seeds take turns, and each is spoilt by one to three of `WAYS`.
    """
    rng = np.random.default_rng(seed)
    made: dict[bytes, tuple[int, str]] = {}
    while len(made) < count:
        number = len(made) % len(seeds)
        data, done = seeds[number], []
        for way in rng.choice(list(WAYS), rng.choice([1, 1, 2, 3])):
            data = WAYS[way](bytearray(data), seeds[rng.integers(len(seeds))], rng)
            done.append(str(way))
        if data not in (*seeds, *made):
            made[data] = number, " and ".join(done)
    return [(number, how, data) for data, (number, how) in made.items()]


def _some(data: bytearray, rng: np.random.Generator, most: int) -> Sequence[int]:
    """Places; half the time near the start, where headers are."""
    end = max(1, len(data) if rng.random() < 0.5 else min(len(data), 256))
    return [int(place) for place in rng.integers(end, size=rng.integers(1, most + 1))]


def _block(data: bytearray, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(max(1, len(data))))
    return start, min(len(data), start + int(2 ** rng.uniform(0, 11)))


def _flip(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    for place in _some(data, rng, 20):
        data[place : place + 1] = bytes(byte ^ 1 << int(rng.integers(8)) for byte in data[place : place + 1])
    return bytes(data)


def _extremes(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    for place in _some(data, rng, 8):
        data[place : place + 1] = bytes((int(rng.choice([0, 255])),)) * min(1, len(data))
    return bytes(data)


def _cut_out(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _block(data, rng)
    return bytes(data[:start] + data[stop:])


def _double(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _block(data, rng)
    return bytes(data[:stop] + data[start:stop] * int(rng.integers(1, 50)) + data[stop:])


def _swap(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    (start, stop), (again, end) = sorted((_block(data, rng), _block(data, rng)))
    stop = min(stop, again)
    return bytes(data[:start] + data[again:end] + data[stop:again] + data[start:stop] + data[end:])


def _zero(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _block(data, rng)
    return bytes(data[:start] + bytes(stop - start) + data[stop:])


def _cut_short(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    return bytes(data[: int(rng.integers(len(data) + 1))])


def _number(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    """A length, count or offset of a header made any of those that parsers mistake."""
    for place in _some(data, rng, 3):
        form = str(rng.choice(["<H", ">H", "<I", ">I", "<Q", ">Q"]))
        size = struct.calcsize(form)
        data[place : place + size] = struct.pack(form, int(rng.choice(_NUMBERS)) % 256**size)
    return bytes(data)


def _cell(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    """A word or number of a text made another."""
    words = list(re.finditer(rb"[\w.:+-]+", bytes(data[:4096])))
    word = words[int(rng.integers(len(words)))] if words else None
    start, stop = word.span() if word else (0, 0)
    return bytes(data[:start]) + str(rng.choice(_CELLS)).encode() + bytes(data[stop:])


def _splice(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    return bytes(data[: int(rng.integers(len(data) + 1))]) + other[int(rng.integers(len(other) + 1)) :]


WAYS: dict[str, Spoil] = {
    "bits flipped": _flip,
    "bytes 0 or 255": _extremes,
    "block cut out": _cut_out,
    "block doubled": _double,
    "blocks swapped": _swap,
    "block zeroed": _zero,
    "cut short": _cut_short,
    "number changed": _number,
    "word changed": _cell,
    "spliced": _splice,
}

"""Colours of a scale from low to high: blue to orange, told apart on light and dark and by the colour-blind."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# The first two colours of `canvas`, and between them a grey of about their lightness.
_STOPS = np.array([(0x44, 0x77, 0xAA), (0x8A, 0x85, 0x85), (0xCC, 0x66, 0x33)], np.float64)


def colours(places: NDArray[np.float64]) -> list[str]:
    """`#rrggbb` for (n,) places from 0, low, to 1, high."""
    at = np.linspace(0, 1, len(_STOPS))
    parts = [np.interp(places, at, channel) for channel in _STOPS.T]
    return ["#{:02x}{:02x}{:02x}".format(*map(round, rgb)) for rgb in zip(*parts, strict=True)]


def steps(count: int) -> Sequence[str]:
    """So many colours from low to high."""
    return colours(np.linspace(0, 1, count))

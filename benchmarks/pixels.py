"""Pixels for what is measured beside this program, by nothing but what reads and resizes pictures here."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catsdogs.photographs import images
from catsdogs.photographs.fitting import Fit


def squares(path: Path, sides: Iterable[int]) -> dict[int, NDArray[np.uint8]]:
    """Side -> the (side, side, 3) pixels of a file, decoded once and resized as ours are."""
    return {fit.size: views[0] for fit, views in images.load(path.read_bytes(), map(Fit, sides)).by_fit.items()}

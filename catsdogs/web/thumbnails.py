"""Thumbnails of the data set's rows, found by split and id and never by path; the latest of them stay in memory."""

import functools
from collections.abc import Callable

from catsdogs.errors import UnreadablePhotographError
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset, Photograph

SIDE = 240  # pixels
KEPT = 2000  # of some 15 KB each


def make_thumbnail(dataset: Dataset | None, split: str, id: str) -> bytes | None:
    """A JPEG of at most `SIDE` pixels a side, or None for what is no row, or cannot be read."""
    photograph = dataset.find(split, id) if dataset else None
    try:
        return _kept(dataset.read, photograph) if dataset and photograph else None
    except UnreadablePhotographError:
        return None


@functools.lru_cache(KEPT)
def _kept(read: Callable[[Photograph], bytes], photograph: Photograph) -> bytes:
    return images.thumbnail(read(photograph), SIDE)

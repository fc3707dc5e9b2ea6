"""Thumbnails of the data set's rows, found by split and id and never by path; the latest of them stay in memory."""

import functools

from catsdogs.errors import UnreadablePhotographError
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset, Photograph

SIDE = 240  # pixels
KEPT = 2000  # of some 15 KB each


class Thumbnails:
    """The thumbnails of a data set, if there is one; safe to use from several threads."""

    def __init__(self, dataset: Dataset | None) -> None:
        self._dataset = dataset
        self._make = functools.lru_cache(KEPT)(self._read)

    def of(self, split: str, id: str) -> bytes | None:
        """A JPEG of at most `SIDE` pixels a side, or None for what is no row, or cannot be read."""
        photograph = self._dataset.find(split, id) if self._dataset else None
        try:
            return self._make(photograph) if photograph else None
        except UnreadablePhotographError:
            return None

    def has(self, split: str, id: str) -> bool:
        """Whether this is a row of the data set."""
        return self._dataset is not None and self._dataset.find(split, id) is not None

    def _read(self, photograph: Photograph) -> bytes:
        assert self._dataset is not None  # noqa: S101 - for the type checker
        return images.thumbnail(self._dataset.read(photograph), SIDE)

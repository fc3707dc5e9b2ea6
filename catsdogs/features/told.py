"""What a worker of a cluster knows of the rows that there are: what it is told with each stretch, and no more."""

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catsdogs.features import feature_file, index
from catsdogs.features.cache import Cache
from catsdogs.features.feature_file import SPLITS
from catsdogs.features.recipes import Recipe
from catsdogs.features.rows import Renamed
from catsdogs.files import storage


class ToldCache(Cache):
    """A cache that reads nothing when it is opened.

    Only where a photograph is not among the rows that it has been told of, it reads the digests of the feature file,
    once: the photograph may have been renamed.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self._name(folder, recipe)
        self.existing = None

    def tell(self, keys: NDArray[np.uint64], digests: NDArray[np.uint64]) -> None:
        """Rows that there are, by their hashed keys and digests."""
        self._places.add(keys, digests)

    @property
    def is_new(self) -> bool:
        return not storage.exists(self.path)

    @property
    def is_empty(self) -> bool:
        return self.is_new and not storage.names_in(self._shards, ".h5")

    @cached_property
    def _renamed(self) -> Renamed:
        if self.is_new:
            digests = np.empty(0, np.uint64)
        elif found := index.fitting(self.path):
            digests = found.digests
        else:
            with feature_file.reading_rows(self.path) as file:
                digests = np.concatenate([file[f"{split}_digest"][...] for split in SPLITS])
        return Renamed(digests, np.zeros(len(digests), np.int64))

"""Streams photographs, or pairs for twins, from the disk: decoded in parallel, in batches of a seeded order."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from catsdogs.heads.twin import balanced_pairs
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset, Photograph

# (n, side, side, 3) uint8 and (n, c) float32 labels, epoch, batch -> float32 pixels in 0..255 and labels
Augment = Callable[[NDArray[np.uint8], NDArray[np.float32], int, int], tuple[NDArray[np.float32], NDArray[np.float32]]]


@dataclass(frozen=True)
class SquarePhotographs:
    """Photographs as squares of `side` pixels; only those of one call are in memory."""

    dataset: Dataset
    photographs: Sequence[Photograph]
    side: int

    def of(self, rows: NDArray[np.integer]) -> "SquarePhotographs":
        """Those of some rows."""
        return replace(self, photographs=[self.photographs[row] for row in rows])

    def read(self, rows: NDArray[np.integer]) -> NDArray[np.uint8]:
        """(n, side, side, 3) RGB of these rows, decoded on all cores.

        Raises:
            UnreadablePhotographError: a file changed since it was first read.
        """
        return np.stack(list(images.in_parallel(self._load, (self.photographs[row] for row in rows), len(rows))))

    def _load(self, photograph: Photograph) -> NDArray[np.uint8]:
        return images.square(self.dataset.read(photograph), self.side)


class Batches(keras.utils.PyDataset):
    """Batches of one shape, (pixels, labels, weights), as a pure function of seed, epoch and batch number.

    So a training that was killed and resumed sees what an undisturbed one would have seen. Pixels are float32 RGB in
    0..255. A last batch that is not full is filled up: with photographs from the beginning of the epoch where there is
    a seed to shuffle by, else with photographs of weight 0.
    """

    def __init__(
        self,
        photographs: SquarePhotographs,
        labels: NDArray[Any],
        batch_size: int,
        seed: int | None = None,
        augment: Augment | None = None,
    ) -> None:
        """`photographs` with their (n, c) labels; with a seed in another order each epoch."""
        super().__init__(workers=2, max_queue_size=4)
        self._photographs, self._labels = photographs, labels
        self._batch_size, self._seed, self._augment = batch_size, seed, augment
        self.epoch = 0  # `fit` sets it before each epoch of training, so those of validation are always the same

    def __len__(self) -> int:
        return math.ceil(len(self._labels) / self._batch_size)

    def __getitem__(self, number: int) -> Any:
        places = self._places(number)
        weights = (places < len(self._labels)) | (self._seed is not None)
        chosen = self._order(self.epoch)[places % len(self._labels)]
        return *self._read(chosen, self._labels[chosen], number), weights.astype(np.float32)

    def _places(self, number: int) -> NDArray[np.int64]:
        """Those of a batch within an epoch, or beyond its end."""
        return np.arange(number * self._batch_size, (number + 1) * self._batch_size)

    def _read(
        self, rows: NDArray[np.integer], labels: NDArray[np.float32], number: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The pixels of these rows and their labels, augmented as those of a batch."""
        pixels = self._photographs.read(rows)
        return (
            self._augment(pixels, labels, self.epoch, number) if self._augment else (pixels.astype(np.float32), labels)
        )

    @functools.lru_cache(maxsize=1)  # noqa: B019 - as long-lived as the epoch
    def _order(self, epoch: int) -> NDArray[np.integer]:
        if self._seed is None:
            return np.arange(len(self._labels))
        return np.random.default_rng((self._seed, epoch)).permutation(len(self._labels))


class Pairs(Batches):
    """Batches of one shape, ((left, right), same): two (b, side, side, 3) float32 in 0..255, and (b, 1) 1 or 0.

    Made of photographs whose classes are `labels`, (n,), and a seed. An epoch has a pair for each photograph; a last
    batch that is not full is filled up from the epoch's beginning. The left and right photographs of a batch are
    augmented as one array.
    """

    _seed: int

    def __getitem__(self, number: int) -> Any:
        left, right = self.rows(number)
        same = (self._labels[left] == self._labels[right]).astype(np.float32)
        pixels, same = self._read(np.concatenate((left, right)), same[:, np.newaxis], number)
        return (pixels[: len(left)], pixels[len(left) :]), same

    def rows(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The left and right photographs of a batch in this epoch."""
        left, right = balanced_pairs(self._labels, np.random.default_rng((self._seed, self.epoch)))
        places = self._places(number) % len(self._labels)
        return left[places], right[places]

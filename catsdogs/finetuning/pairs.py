"""Pairs of photographs for twins: half of them of one class, drawn anew for each epoch."""

import math
from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import NDArray

from catsdogs.finetuning.stream import SquarePhotographs
from catsdogs.heads.twin import balanced_pairs

PairBatch = tuple[tuple[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
AugmentImages = Callable[[NDArray[np.uint8], int, int], NDArray[np.float32]]


class Pairs(keras.utils.PyDataset):
    """Batches of one shape, ((left, right), same): two (b, side, side, 3) float32 in 0..255, and (b, 1) 1 or 0.

    An epoch has a pair for each photograph; a last batch that is not full is filled up from the epoch's beginning. A
    batch depends on the seed, the epoch and its number alone, so a training that was killed and resumed sees the pairs
    that an undisturbed one would have seen.
    """

    def __init__(
        self,
        photographs: SquarePhotographs,
        labels: NDArray[np.int64],
        batch_size: int,
        seed: int,
        augment: AugmentImages | None = None,
    ) -> None:
        """Pairs of `photographs`, whose classes are `labels`, (n,).

        `augment(images, epoch, batch)` is given the left and right photographs of a batch as one array.
        """
        super().__init__(workers=2, max_queue_size=4)
        self._photographs, self._labels = photographs, labels
        self._batch_size, self._seed, self._augment = batch_size, seed, augment
        self.epoch = 0  # `fit` sets it before each epoch of training, so the pairs of validation are always the same

    def __len__(self) -> int:
        return math.ceil(len(self._labels) / self._batch_size)

    def __getitem__(self, number: int) -> PairBatch:
        left, right = self.rows(number)
        images = self._photographs.read(np.concatenate((left, right)))
        pixels = self._augment(images, self.epoch, number) if self._augment else images.astype(np.float32)
        same = (self._labels[left] == self._labels[right]).astype(np.float32)
        return (pixels[: len(left)], pixels[len(left) :]), same[:, np.newaxis]

    def rows(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The left and right photographs of a batch in this epoch."""
        left, right = balanced_pairs(self._labels, np.random.default_rng((self._seed, self.epoch)))
        places = np.arange(number * self._batch_size, (number + 1) * self._batch_size) % len(self._labels)
        return left[places], right[places]

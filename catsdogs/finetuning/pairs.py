"""Pairs of photographs for twins: half of them of one class, drawn anew for each epoch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs.finetuning.stream import Batches
from catsdogs.heads.twin import balanced_pairs


class Pairs(Batches):
    """Batches of one shape, ((left, right), same): two (b, side, side, 3) float32 in 0..255, and (b, 1) 1 or 0.

    Made of photographs whose classes are `labels`, (n,), and a seed. An epoch has a pair for each photograph; a last
    batch that is not full is filled up from the epoch's beginning. The left and right photographs of a batch are
    augmented as one array.
    """

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

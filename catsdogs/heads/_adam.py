"""Adam on a NumPy array (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980)."""

import math

import numpy as np
from numpy.typing import NDArray

_BETAS = (0.9, 0.999)  # as the paper and Keras have them
_EPSILON = 1e-7
_MIN_BATCHES = 16  # to an epoch: a few hundred rows get smaller batches


def epochs_and_batches(rows: int, batch_size: int, min_epochs: int, min_updates: int) -> tuple[int, int]:
    """As many epochs as give `min_epochs` and `min_updates`, and the batches to each, of `batch_size` rows at most."""
    batches = math.ceil(rows / min(batch_size, math.ceil(rows / _MIN_BATCHES)))
    return max(min_epochs, math.ceil(min_updates / batches)), batches


class Adam:
    """Updates an array in place, at a rate that falls from `rate` to 0 along a cosine in `updates` steps.

    The rate is the same for all, or an array that fits theirs.
    """

    def __init__(self, theta: NDArray[np.float32], rate: float | NDArray[np.float32], updates: int) -> None:
        self._theta, self._rate, self._updates = theta, rate, updates
        self._mean, self._square, self._work = np.zeros_like(theta), np.zeros_like(theta), np.empty_like(theta)
        self._step = 0

    def update(self, gradient: NDArray[np.float32]) -> None:
        """One step; in place, for of many classes the arrays are larger than any cache."""
        share, work = (1 + math.cos(math.pi * self._step / self._updates)) / 2, self._work
        self._step += 1
        first, second = _BETAS
        np.subtract(gradient, self._mean, out=work)
        work *= 1 - first
        self._mean += work
        np.multiply(gradient, gradient, out=work)
        work -= self._square
        work *= 1 - second
        self._square += work
        np.sqrt(self._square, out=work)
        work *= 1 / math.sqrt(1 - second**self._step)
        work += _EPSILON
        np.divide(self._mean, work, out=work)
        work *= share / (1 - first**self._step)
        work *= self._rate
        self._theta -= work

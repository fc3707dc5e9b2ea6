"""How a network runs. An engine loads networks and takes batches; which one serves is chosen here."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import Weights

PRECISIONS = ("float32", "bfloat16", "float16")
SMALLEST_COSINE = 0.999  # to the vector in float32, of any photograph, for `auto` to take another precision


ENGINES = ("keras", "openvino")
AUTO = "auto"


class Output(NamedTuple):
    """What a network says of a batch: (b, width) float32; (b, 10) float32 and int16, or None without a classifier."""

    vector: NDArray[np.float32]
    topk_prob: NDArray[np.float32] | None = None
    topk_class: NDArray[np.int16] | None = None


class Network(Protocol):
    """A loaded network; `note` is what the user should know of how it ran, or empty."""

    note: str

    def submit(self, pixels: NDArray[np.uint8]) -> Callable[[], Output]:
        """Start on a batch (b, size, size, 3); the returned function waits for its result.

        It blocks while too many batches are under way, so that memory stays flat.
        """
        ...


class Engine(Protocol):
    """A way to run networks; `precision` is what it computes in, `backend` what lies below it."""

    name: str
    precision: str
    backend: str
    batch_size: int

    def load(self, backbone: Backbone, weights: Weights) -> Network:
        """Make a network ready to take batches of `batch_size`."""
        ...


def agree(rounded: NDArray[np.float32], exact: NDArray[np.float32]) -> bool:
    """Whether (n, width) vectors lie where those in float32 do, each of them, to `SMALLEST_COSINE`."""
    products = np.linalg.norm(rounded, axis=1) * np.linalg.norm(exact, axis=1)
    # Written so that NaN and infinity do not agree.
    return bool(((rounded * exact).sum(axis=1) >= SMALLEST_COSINE * products).all() and np.isfinite(products).all())

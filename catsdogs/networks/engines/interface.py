"""What every engine offers: it loads networks, and a loaded network takes batches."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import Weights

ENGINES = ("keras", "openvino", "torch")
PRECISIONS = ("float32", "bfloat16", "float16")
FEATURE_MAP = "feature map"  # in an exported network the name of what its pooling reads
AUTO = "auto"  # an engine or precision: what suits the machine
SMALLEST_COSINE = 0.999  # of each photograph's vector to that in float32, for `auto` to take another precision


class Output(NamedTuple):
    """The output of a batch: (b, width) float32; (b, 10) float32 and int16, or None without a classifier."""

    vector: NDArray[np.float32]
    topk_prob: NDArray[np.float32] | None = None
    topk_class: NDArray[np.int16] | None = None


def per_photograph(squares: Output, backbone: Backbone) -> Output:
    """The output of the squares of some photographs, one photograph after the other -> that of the photographs.

    Of the vectors the backbone's columns are kept, their mean over the views; the labels are those of the first view.
    """
    views, vector = backbone.fit.view_count, squares.vector[:, backbone.columns]
    if views > 1:
        vector = vector.reshape(-1, views, vector.shape[1]).mean(axis=1)
    if squares.topk_prob is None or squares.topk_class is None:
        return Output(vector)
    return Output(vector, squares.topk_prob[::views], squares.topk_class[::views])


class Network(Protocol):
    """A loaded network. `note` tells the user how it ran, if that is worth a sentence, or is empty."""

    note: str

    def submit(self, pixels: NDArray[np.uint8]) -> Callable[[], Output]:
        """Start on a batch (b, size, size, 3); the returned function waits for its result.

        It blocks while too many batches are under way, so that memory stays flat. The pixels must stay as they are
        until the result is there. Networks with inputs of one size are best given the same array, right after another:
        an engine on a GPU uploads it once. Memory that is filled again is given as a new array, a new view of it.
        """
        ...


class Engine(Protocol):
    """A way to run networks. `precision` is what it computes in, `backend` the library that it uses."""

    name: str
    precision: str
    backend: str
    batch_size: int

    def load(self, backbone: Backbone, weights: Weights) -> Network:
        """Make a network ready to take batches of `batch_size`."""
        ...


def agree(rounded: NDArray[np.float32], exact: NDArray[np.float32]) -> bool:
    """Whether each of (n, width) vectors has a cosine of `SMALLEST_COSINE` or more to that in float32."""
    products = np.linalg.norm(rounded, axis=1) * np.linalg.norm(exact, axis=1)
    # Written so that NaN and infinity do not agree.
    return bool(((rounded * exact).sum(axis=1) >= SMALLEST_COSINE * products).all() and np.isfinite(products).all())

"""Small networks to train from scratch: for baselines, for teaching, and where there are no pretrained weights."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catsdogs.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    import keras

SMALLEST_INPUT = 32  # pixels; below it SqueezeNet has nothing left to pool


@dataclass(frozen=True)
class Small:
    """One architecture.

    Attributes:
        name: as on the command line.
        input_size: side of the square input, in pixels, unless another is asked for.
        width: length of its vector, whatever the input size.
    """

    name: str
    input_size: int
    width: int


_SMALL = (Small("four-conv", 96, 512), Small("squeezenet", 128, 512), Small("siamese-cnn", 96, 32))
ARCHITECTURES = {small.name: small for small in _SMALL}


def build(
    name: str,
    input_size: int,
    *,
    dropout: float = 0.0,
    batch_norm: bool = False,
    initializer: str = "glorot_uniform",
) -> "keras.Model":
    """A network with random weights: float32 pixels in -1..1, (n, input_size, input_size, 3) -> (n, width) float32.

    The weights follow from `keras.utils.set_random_seed`. They fit the same network built with another `dropout`, which
    works in training only.

    Args:
        dropout: the largest rate within the network; each architecture's file says where, and the other rates.
        batch_norm: whether each layer is normalised over the batch before its ReLU, in place of a bias.
        initializer: of the kernels, by Keras's name for it.

    Raises:
        UnknownNameError: no network is called so.
        UsageError: the input is too small.
    """
    if name not in ARCHITECTURES:
        raise UnknownNameError("small network", name, list(ARCHITECTURES))
    if input_size < SMALLEST_INPUT:
        raise UsageError(
            f"An input size of {input_size} pixels is too small for {name}", f"Take at least {SMALLEST_INPUT}"
        )
    from catsdogs.networks.architectures import four_conv, siamese_cnn, squeezenet

    builders = {"four-conv": four_conv.build, "squeezenet": squeezenet.build, "siamese-cnn": siamese_cnn.build}
    return builders[name](input_size, dropout=dropout, batch_norm=batch_norm, initializer=initializer)

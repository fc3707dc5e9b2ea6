"""Small networks to train from scratch: for baselines, for teaching, and where there are no pretrained weights."""

from typing import TYPE_CHECKING, NamedTuple

from catsdogs.errors import UsageError

if TYPE_CHECKING:
    import keras

SMALLEST_INPUT = 32  # pixels; below it SqueezeNet has nothing left to pool


class Small(NamedTuple):
    """One architecture.

    Attributes:
        input_size: side of the square input, in pixels, unless another is asked for.
        width: length of its vector, whatever the input size.
    """

    input_size: int
    width: int


ARCHITECTURES = {"four-conv": Small(96, 512), "squeezenet": Small(128, 512), "siamese-cnn": Small(96, 32)}


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
        dropout: the largest rate within the network; each architecture says where, and the other rates.
        batch_norm: whether each layer is normalised over the batch before its ReLU, in place of a bias.
        initializer: of the kernels, by Keras's name for it.

    Raises:
        UsageError: the input is too small.
    """
    if input_size < SMALLEST_INPUT:
        raise UsageError(
            f"An input size of {input_size} pixels is too small for {name}", f"Take at least {SMALLEST_INPUT}"
        )
    import keras

    from catsdogs.networks.architectures import scratch

    pixels = keras.Input((input_size, input_size, 3), name="pixels")
    layers = scratch.Settings(dropout, batch_norm, initializer)
    return keras.Model(pixels, scratch.BUILDERS[name](pixels, layers), name=name)

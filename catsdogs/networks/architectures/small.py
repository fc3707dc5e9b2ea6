"""Small networks to train from scratch: for baselines, for teaching, and where there are no pretrained weights."""

from dataclasses import dataclass

import keras

from catsdogs.errors import UsageError
from catsdogs.networks.table import SMALLEST_INPUT

# Keras's 0.99 averages over a hundred steps. With a thousand photographs that is random values in the first epochs.
MOMENTUM = 0.9
# SqueezeNet's filters of the squeeze and of either expand layer, for fire2 to fire9; a pool stands before POOLED_FIRES.
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
POOLED_FIRES = (2, 4, 6)


@dataclass(frozen=True)
class Settings:
    """What every layer of a network is built with, see `small.build`."""

    dropout: float
    batch_norm: bool
    initializer: str

    def convolution(
        self, x: keras.KerasTensor, filters: int, name: str, kernel: int = 3, strides: int = 1, padding: str = "same"
    ) -> keras.KerasTensor:
        """A convolution named `name`, then `activated`."""
        bias, initializer = not self.batch_norm, self.initializer
        layer = keras.layers.Conv2D(
            filters, kernel, strides, padding, use_bias=bias, kernel_initializer=initializer, name=name
        )
        return self.activated(layer(x), name)

    def activated(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """The ReLU of the layer `name`, after its batch normalisation (Ioffe and Szegedy, 2015, arXiv:1502.03167)."""
        if self.batch_norm:
            # Averages are of the whole batch, however many devices share it. JAX does so, TensorFlow if synchronized.
            synchronized = keras.backend.backend() == "tensorflow"
            x = keras.layers.BatchNormalization(momentum=MOMENTUM, synchronized=synchronized, name=f"{name}_bn")(x)
        return keras.layers.ReLU(name=f"{name}_relu")(x)

    def pooled(self, x: keras.KerasTensor, number: int, dropout: float) -> keras.KerasTensor:
        """The pool of this number, and a dropout."""
        x = keras.layers.MaxPooling2D(name=f"pool{number}")(x)
        return keras.layers.Dropout(dropout, name=f"pool{number}_dropout")(x)


def four_conv(x: keras.KerasTensor, settings: Settings) -> keras.KerasTensor:
    """Four convolutions and a dense layer: Keras's classic example for CIFAR-10 (cifar10_cnn.py).

    Dropout is behind each pool, at half the rate, and behind the dense layer, as there.
    """
    for stage, filters in enumerate((32, 64), start=1):
        x = settings.convolution(x, filters, f"conv{2 * stage - 1}")
        x = settings.convolution(x, filters, f"conv{2 * stage}", padding="valid")
        x = settings.pooled(x, stage, settings.dropout / 2)
    x = keras.layers.Flatten(name="flatten")(x)
    bias, initializer = not settings.batch_norm, settings.initializer
    x = keras.layers.Dense(512, use_bias=bias, kernel_initializer=initializer, name="dense")(x)
    return keras.layers.Dropout(settings.dropout, dtype="float32", name="dense_dropout")(settings.activated(x, "dense"))


def squeezenet(x: keras.KerasTensor, settings: Settings) -> keras.KerasTensor:
    """SqueezeNet 1.1 (Iandola et al., 2016, arXiv:1602.07360; github.com/forresti/SqueezeNet) without its classifier.

    There is one dropout, as in the paper, but on the pooled vector. The paper has it before the last convolution. Here
    the map is averaged, and dropout on it would average out.
    """
    x = settings.convolution(x, 64, "conv1", strides=2, padding="valid")
    for number, (squeeze, expand) in enumerate(FIRES, start=2):
        if number in POOLED_FIRES:
            x = keras.layers.MaxPooling2D(3, 2, name=f"pool{number - 1}")(x)
        x = settings.convolution(x, squeeze, f"fire{number}_squeeze1x1", kernel=1)
        x = keras.layers.Concatenate(name=f"fire{number}")(
            [settings.convolution(x, expand, f"fire{number}_expand{side}x{side}", kernel=side) for side in (1, 3)]
        )
    x = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool9")(x)
    return keras.layers.Dropout(settings.dropout, dtype="float32", name="pool9_dropout")(x)


def siamese_cnn(x: keras.KerasTensor, settings: Settings) -> keras.KerasTensor:
    """The path of a twin network: four convolutions and pools, and 32 units for a bilinear layer to compare.

    Dropout is behind each pool, at half the rate but for the last, and not on the vector. The vector ends in tanh: a
    join multiplies two vectors, and products of bounded numbers stay bounded.
    """
    for number, filters in enumerate((32, 64, 128, 128), start=1):
        x = settings.convolution(x, filters, f"conv{number}")
        x = settings.pooled(x, number, settings.dropout if number == 4 else settings.dropout / 2)
    x = keras.layers.Flatten(name="flatten")(x)
    # Glorot's initializer, whatever the others have: it was derived for tanh.
    return keras.layers.Dense(32, activation="tanh", dtype="float32", name="vector")(x)


BUILDERS = {"four-conv": four_conv, "squeezenet": squeezenet, "siamese-cnn": siamese_cnn}


def build(
    name: str,
    input_size: int,
    *,
    dropout: float = 0.0,
    batch_norm: bool = False,
    initializer: str = "glorot_uniform",
) -> keras.Model:
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
    pixels = keras.Input((input_size, input_size, 3), name="pixels")
    layers = Settings(dropout, batch_norm, initializer)
    return keras.Model(pixels, BUILDERS[name](pixels, layers), name=name)

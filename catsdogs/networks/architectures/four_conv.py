"""Four convolutions and a dense layer: Keras's classic example for CIFAR-10 (cifar10_cnn.py), on larger photographs."""

from functools import partial

import keras

from catsdogs.networks.architectures import blocks

DENSE_UNITS = 512


def build(input_size: int, *, dropout: float, batch_norm: bool, initializer: str) -> keras.Model:
    """See `small.build`. Dropout is behind each pool, at half the rate, and behind the dense layer, as there."""
    convolution = partial(blocks.convolution, kernel=3, batch_norm=batch_norm, initializer=initializer)
    pixels = x = keras.Input((input_size, input_size, 3), name="pixels")
    for stage, filters in enumerate((32, 64), start=1):
        x = convolution(x, filters, name=f"conv{2 * stage - 1}")
        x = convolution(x, filters, name=f"conv{2 * stage}", padding="valid")
        x = keras.layers.MaxPooling2D(name=f"pool{stage}")(x)
        x = keras.layers.Dropout(dropout / 2, name=f"pool{stage}_dropout")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(DENSE_UNITS, use_bias=not batch_norm, kernel_initializer=initializer, name="dense")(x)
    x = blocks.activated(x, "dense", batch_norm)
    x = keras.layers.Dropout(dropout, dtype="float32", name="dense_dropout")(x)
    return keras.Model(pixels, x, name="four-conv")

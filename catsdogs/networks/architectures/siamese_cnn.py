"""The path of a twin network: four convolutions and pools, and 32 units for a bilinear layer to compare."""

from functools import partial

import keras

from catsdogs.networks.architectures import blocks

FILTERS = (32, 64, 128, 128)
UNITS = 32


def build(input_size: int, *, dropout: float, batch_norm: bool, initializer: str) -> keras.Model:
    """See `networks.build`. Dropout is behind each pool, at half the rate but for the last; the vector stays whole.

    The vector ends in tanh: a join multiplies two of them, and products of bounded numbers do not run away.
    """
    convolution = partial(blocks.convolution, kernel=3, batch_norm=batch_norm, initializer=initializer)
    pixels = x = blocks.pixels(input_size)
    for number, filters in enumerate(FILTERS, start=1):
        x = convolution(x, filters, name=f"conv{number}")
        x = keras.layers.MaxPooling2D(name=f"pool{number}")(x)
        rate = dropout if number == len(FILTERS) else dropout / 2
        x = keras.layers.Dropout(rate, name=f"pool{number}_dropout")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    # Glorot's, whatever the others have: that is what it was derived for.
    x = keras.layers.Dense(UNITS, activation="tanh", dtype="float32", name="vector")(x)
    return keras.Model(pixels, x, name="siamese-cnn")

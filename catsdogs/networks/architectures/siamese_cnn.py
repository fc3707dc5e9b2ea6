"""The path of a twin network: four convolutions and pools, and 32 units for a bilinear layer to compare."""

from functools import partial

import keras

from catsdogs.networks.architectures import blocks

FILTERS = (32, 64, 128, 128)
VECTOR_UNITS = 32


def build(input_size: int, *, dropout: float, batch_norm: bool, initializer: str) -> keras.Model:
    """See `small.build`. Dropout is behind each pool, at half the rate but for the last, and not on the vector.

    The vector ends in tanh: a join multiplies two vectors, and products of bounded numbers stay bounded.
    """
    convolution = partial(blocks.convolution, kernel=3, batch_norm=batch_norm, initializer=initializer)
    pixels = x = keras.Input((input_size, input_size, 3), name="pixels")
    for number, filters in enumerate(FILTERS, start=1):
        x = convolution(x, filters, name=f"conv{number}")
        x = keras.layers.MaxPooling2D(name=f"pool{number}")(x)
        rate = dropout if number == len(FILTERS) else dropout / 2
        x = keras.layers.Dropout(rate, name=f"pool{number}_dropout")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    # Glorot's initializer, whatever the others have: it was derived for tanh.
    x = keras.layers.Dense(VECTOR_UNITS, activation="tanh", dtype="float32", name="vector")(x)
    return keras.Model(pixels, x, name="siamese-cnn")

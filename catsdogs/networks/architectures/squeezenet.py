"""SqueezeNet 1.1 (Iandola et al., 2016, arXiv:1602.07360; github.com/forresti/SqueezeNet) without its classifier."""

from functools import partial

import keras

from catsdogs.networks.architectures import blocks

# Filters of the squeeze and of either expand layer, for fire2 to fire9; a pool stands before POOLED_FIRES.
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
POOLED_FIRES = (2, 4, 6)


def build(input_size: int, *, dropout: float, batch_norm: bool, initializer: str) -> keras.Model:
    """See `small.build`. There is one dropout, as in the paper, but on the pooled vector.

    The paper has it before the last convolution. Here the map is averaged, and dropout on it would average out.
    """
    convolution = partial(blocks.convolution, batch_norm=batch_norm, initializer=initializer)
    pixels = keras.Input((input_size, input_size, 3), name="pixels")
    x = convolution(pixels, 64, 3, "conv1", strides=2, padding="valid")
    for number, (squeeze, expand) in enumerate(FIRES, start=2):
        if number in POOLED_FIRES:
            x = keras.layers.MaxPooling2D(3, 2, name=f"pool{number - 1}")(x)
        x = convolution(x, squeeze, 1, f"fire{number}_squeeze1x1")
        x = keras.layers.Concatenate(name=f"fire{number}")(
            [convolution(x, expand, side, f"fire{number}_expand{side}x{side}") for side in (1, 3)]
        )
    x = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool9")(x)
    x = keras.layers.Dropout(dropout, dtype="float32", name="pool9_dropout")(x)
    return keras.Model(pixels, x, name="squeezenet")

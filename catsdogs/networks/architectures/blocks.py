"""What the small networks are made of: a convolution or dense layer, batch normalisation if asked for, and a ReLU."""

import keras

# Keras's 0.99 remembers a hundred steps; on a thousand photographs the first epochs would be judged by random averages.
MOMENTUM = 0.9


def pixels(input_size: int) -> keras.KerasTensor:
    """The input of all of them."""
    return keras.Input((input_size, input_size, 3), name="pixels")


def convolution(
    x: keras.KerasTensor,
    filters: int,
    kernel: int,
    name: str,
    *,
    batch_norm: bool,
    initializer: str,
    strides: int = 1,
    padding: str = "same",
) -> keras.KerasTensor:
    """A convolution, called `name`, and what follows it: see `activated`."""
    layer = keras.layers.Conv2D(
        filters, kernel, strides, padding, use_bias=not batch_norm, kernel_initializer=initializer, name=name
    )
    return activated(layer(x), name, batch_norm)


def activated(x: keras.KerasTensor, name: str, batch_norm: bool) -> keras.KerasTensor:
    """The ReLU of the layer `name`, after its batch normalisation (Ioffe and Szegedy, 2015, arXiv:1502.03167)."""
    if batch_norm:
        # One batch, however many devices share it: JAX sees it whole, TensorFlow's replicas have to be told.
        synchronized = keras.backend.backend() == "tensorflow"
        x = keras.layers.BatchNormalization(momentum=MOMENTUM, synchronized=synchronized, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)

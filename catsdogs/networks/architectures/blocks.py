"""Blocks of the small networks: a convolution or dense layer, batch normalisation if wanted, and a ReLU."""

import keras

# Keras's 0.99 averages over a hundred steps. With a thousand photographs that is random values in the first epochs.
MOMENTUM = 0.9


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
    """A convolution named `name`, then `activated`."""
    layer = keras.layers.Conv2D(
        filters, kernel, strides, padding, use_bias=not batch_norm, kernel_initializer=initializer, name=name
    )
    return activated(layer(x), name, batch_norm)


def activated(x: keras.KerasTensor, name: str, batch_norm: bool) -> keras.KerasTensor:
    """The ReLU of the layer `name`, after its batch normalisation (Ioffe and Szegedy, 2015, arXiv:1502.03167)."""
    if batch_norm:
        # Averages are of the whole batch, however many devices share it. JAX does so, TensorFlow only if synchronized.
        synchronized = keras.backend.backend() == "tensorflow"
        x = keras.layers.BatchNormalization(momentum=MOMENTUM, synchronized=synchronized, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)

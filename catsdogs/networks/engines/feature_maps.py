"""The feature map that a network averages into its vector, in float32 by OpenVINO, whatever engine ran the network.

The exported file that the OpenVINO engine runs has it already: what its pooling reads becomes the output. So nothing
is exported twice, and no deep-learning library is loaded for one photograph.
"""

import openvino
from numpy.typing import NDArray
from openvino import opset13

from catsdogs.networks.engines import export
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import Weights

_PASSED_THROUGH = ("Convert", "Reshape", "Squeeze", "Transpose")  # of (n, width), changing nothing
_OPTIONS = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


class FeatureMaps:
    """A network up to its pooling; one photograph at a time."""

    def __init__(self, compiled: openvino.CompiledModel, channels_last: bool) -> None:
        self._compiled, self._channels_last = compiled, channels_last

    def __call__(self, pixels: NDArray) -> NDArray:
        """The (h, w, width) float32 map of a (1, size, size, 3) uint8 square. Its mean over places is the vector."""
        found = self._compiled.create_infer_request().infer([pixels])[0][0]  # its own: several threads may ask
        return found.copy() if self._channels_last else found.transpose(1, 2, 0).copy()


def load(backbone: Backbone, weights: Weights) -> FeatureMaps | None:
    """The network's feature maps; None where its vector is something else than the average of one.

    Raises:
        WeightsError: as `export.exported`.
    """
    core = openvino.Core()
    model = core.read_model(export.exported(backbone, weights))
    export.release()
    vector = next(result for result in model.get_results() if "vector" in result.output(0).names)
    node = vector.input_value(0).get_node()
    while node.get_type_name() in _PASSED_THROUGH:
        node = node.input_value(0).get_node()
    if node.get_type_name() != "ReduceMean" or len(node.get_input_partial_shape(0)) != 4:
        return None
    axes = sorted(int(axis) % 4 for axis in node.input_value(1).get_node().get_data().ravel())
    if axes not in ([1, 2], [2, 3]):
        return None
    whole = openvino.Model([opset13.result(node.input_value(0))], model.get_parameters())
    whole.reshape([1, backbone.input_size, backbone.input_size, 3])
    return FeatureMaps(core.compile_model(whole, "CPU", _OPTIONS), channels_last=axes == [1, 2])

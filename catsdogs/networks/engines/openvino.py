"""The OpenVINO engine: a network is exported once, and runs on the CPU without a deep-learning library."""

import functools
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13, passes

from catsdogs.errors import UsageError, WeightsError
from catsdogs.networks.engines import export
from catsdogs.networks.engines.interface import AUTO, FEATURE_MAP, Output
from catsdogs.networks.table import HUB, TIMM, Backbone
from catsdogs.networks.weights import Weights

OPENVINO_BATCH_SIZE = 4  # small batches keep the activations in the caches: 1 to 7 % over 8, measured on four networks
_HINTS = {"float32": "f32", "bfloat16": "bf16"}

# The first call that needs NumPy's interface imports it. Two threads that make it at once wait for each other for ever:
# seen in 2 of some 100 processes on a busy machine. So the importing thread makes it.
openvino.Type.f32.to_dtype()


class OpenVINOEngine:
    """Runs networks by asynchronous requests, compiled for throughput."""

    name = "openvino"
    backend = "openvino"

    def __init__(self, precision: str = AUTO, batch_size: int | None = None, cores: int | None = None) -> None:
        if precision == AUTO:
            precision = "bfloat16" if bfloat16_is_faster() else "float32"
        if precision == "bfloat16" and not computes_bfloat16():
            raise UsageError("This processor does not compute in bfloat16", "Use --precision float32")
        self.precision = precision
        self.batch_size = batch_size or OPENVINO_BATCH_SIZE
        self._core = openvino.Core()
        if cores:  # other workers would pin their threads to the first cores, too
            self._core.set_property("CPU", {"INFERENCE_NUM_THREADS": cores, "ENABLE_CPU_PINNING": False})

    def load(self, backbone: Backbone, weights: Weights) -> "OpenVINONetwork":
        """Compile the exported network for batches of one shape.

        Raises:
            WeightsError: the weights do not fit, the exported file cannot be written, or OpenVINO cannot run it.
            UsageError: a network whose classifier cannot be cut off to compute in float32.
        """
        model = self._core.read_model(export.exported(backbone, weights))
        try:
            model.reshape([self.batch_size, backbone.input_size, backbone.input_size, 3])
        except RuntimeError:  # seen of KerasHub's Swin Transformers: their windows are cut by the batch's size
            raise WeightsError(
                f"OpenVINO cannot run {backbone.name} as Keras exports it", "Give --engine keras"
            ) from None
        options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": _HINTS[self.precision]}
        if self.precision == "float32":
            return OpenVINONetwork(self._core.compile_model(model, "CPU", options))
        # OpenVINO knows one precision for a whole network; in bfloat16 logits tie, and the ten best are chance.
        trunk, classifier = _cut_off_classifier(model, backbone)
        exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
        return OpenVINONetwork(
            self._core.compile_model(trunk, "CPU", options),
            classifier and self._core.compile_model(classifier, "CPU", exact),
        )


class OpenVINONetwork:
    """One compiled network, as many requests as it runs at once, and a thread for each.

    OpenVINO's own queue, `AsyncInferQueue`, does not call back for a request that failed (in 2026.4: of three whose
    second fails, for two), and whoever waits for it would wait for ever.
    """

    note = ""

    def __init__(self, compiled: openvino.CompiledModel, classifier: openvino.CompiledModel | None = None) -> None:
        self._names, self._rest = _output_names(compiled), _output_names(classifier) if classifier else []
        self._is_busy = False
        count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._idle: queue.SimpleQueue[tuple[openvino.InferRequest, openvino.InferRequest | None]] = queue.SimpleQueue()
        for _ in range(count):
            self._idle.put((compiled.create_infer_request(), classifier and classifier.create_infer_request()))
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="openvino")
        self._places = threading.BoundedSemaphore(2 * count)  # as many again wait, so that no request does

    def submit(self, pixels: NDArray[np.uint8]) -> Callable[[], Output]:
        """See `interface.Network.submit`."""
        if not self._is_busy:  # now all networks are loaded, usually
            self._is_busy = True
            export.release()
        self._places.acquire()
        return self._threads.submit(self._run, pixels).result

    def _run(self, pixels: NDArray[np.uint8]) -> Output:
        request, rest = requests = self._idle.get()
        try:
            request.start_async([pixels], share_inputs=True)
            request.wait()
            tensors = list(zip(self._names, request.output_tensors, strict=True))
            if rest:
                rest.infer([next(tensor.data for name, tensor in tensors if name == FEATURE_MAP)], share_inputs=True)
                tensors += zip(self._rest, rest.output_tensors, strict=True)
            # The request's memory is used again by the next batch.
            output = {name: tensor.data.copy() for name, tensor in tensors if name != FEATURE_MAP}
        finally:
            self._idle.put(requests)
            self._places.release()
        if "topk_class" in output:
            output["topk_class"] = output["topk_class"].astype(np.int16)
        return Output(**output)


def _output_names(compiled: openvino.CompiledModel) -> list[str]:
    """The name of each output. Its tensor can have further names, those of the layers it comes from."""
    known = (*Output._fields, FEATURE_MAP)
    return [next(name for name in known if name in output.names) for output in compiled.outputs]


def _cut_off_classifier(model: openvino.Model, backbone: Backbone) -> tuple[openvino.Model, openvino.Model | None]:
    """Two models: photographs -> the vector and the last feature map; this map -> the labels, where there are any."""
    if len(model.outputs) == 1:
        return model, None
    if backbone.source == TIMM:  # some read the number of photographs from the pixels, which is known by now
        folding = passes.Manager()
        folding.register_pass(passes.ConstantFolding())
        folding.run_passes(model)
    other = model.clone()
    feature_map, again = _feature_map(model, backbone), _feature_map(other, backbone)
    vector = next(result for result in model.get_results() if "vector" in result.output(0).names)
    feature_map.add_names({FEATURE_MAP})
    trunk = openvino.Model([vector, opset13.result(feature_map)], model.get_parameters())
    start = opset13.parameter(again.get_partial_shape(), again.get_element_type())
    for reader in again.get_target_inputs():
        reader.replace_source_output(start.output(0))
    labels = [result for result in other.get_results() if "vector" not in result.output(0).names]
    return trunk, openvino.Model(labels, [start])


def _feature_map(model: openvino.Model, backbone: Backbone) -> "openvino.Output":
    """What the classifier's pooling reads: it has a name, or is the last map of four dimensions that is averaged."""
    outputs = (output for node in model.get_ordered_ops() for output in node.outputs())
    named = next((output for output in outputs if FEATURE_MAP in output.names), None)
    if named:
        return named
    if backbone.source == HUB:
        return _shared(model)
    if backbone.source == TIMM:  # it reads several
        raise UsageError(f"timm:{backbone.model} does not compute in bfloat16 here", "Give --precision float32")
    averages = [node.input_value(0) for node in model.get_ordered_ops() if node.get_type_name() == "ReduceMean"]
    return [source for source in averages if len(source.get_partial_shape()) == 4][-1]


def _shared(model: openvino.Model) -> "openvino.Output":
    """The last, before the vector, that both it and the labels are computed from: what the classifier reads."""
    vector, *labels = (_sources(result) for result in _by_name(model.get_results()))
    common = vector.intersection(*labels)
    outputs = [node.output(0) for node in model.get_ordered_ops() if node.get_friendly_name() in common]
    return [output for output in outputs if "vector" not in output.names][-1]


def _by_name(results: "list[openvino.Node]") -> "list[openvino.Node]":
    """The result of the vector first."""
    return sorted(results, key=lambda result: "vector" not in result.output(0).names)


def _sources(result: "openvino.Node") -> set[str]:
    """The names of the nodes that a result is computed from, without constants."""
    found: set[str] = set()
    waiting = [result]
    while waiting:
        node = waiting.pop()
        above = [source.get_source_output().get_node() for source in node.inputs()]
        fresh = [other for other in above if other.get_friendly_name() not in found]
        found |= {other.get_friendly_name() for other in fresh if other.get_type_name() != "Constant"}
        waiting += fresh
    return found


@functools.cache
def computes_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16, and they may be used."""
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return False
    try:
        _compiled(np.zeros((1, 8, 4, 4), np.float32), np.zeros((8, 8, 3, 3), np.float32), "bf16")
    except RuntimeError:  # ONEDNN_MAX_CPU_ISA forbids them, which OpenVINO's list does not know
        return False
    return True


def bfloat16_is_faster() -> bool:
    """Whether this processor convolves faster in bfloat16 than in float32.

    Processors with matrix units for bfloat16 and AMD's since Zen 4 do. Others support it and are twice as slow in it,
    and nothing that they report tells the two kinds apart. So a small convolution is timed both ways. The verdict is
    kept, so that a run that is resumed gets the same one.
    """
    processor = openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")
    return computes_bfloat16() and export.remembered(
        f"bfloat16 {processor} {openvino.__version__}",
        lambda: 1.2 * _seconds_of_a_convolution("bf16") < _seconds_of_a_convolution("f32"),
    )


def _seconds_of_a_convolution(hint: str) -> float:
    """3 x 3, 128 channels to 128, on 8 maps of 28 x 28: a middle layer of ResNet50."""
    random = np.random.default_rng(0)
    maps = random.normal(size=(8, 128, 28, 28)).astype(np.float32)
    request = _compiled(maps, random.normal(size=(128, 128, 3, 3)).astype(np.float32), hint).create_infer_request()
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        request.infer([maps])
        seconds.append(time.perf_counter() - started)
    return min(seconds)  # other work on the machine can only add to it


def _compiled(maps: NDArray[np.float32], kernel: NDArray[np.float32], hint: str) -> openvino.CompiledModel:
    """A convolution of maps of this shape; a RuntimeError where it cannot be computed in this precision."""
    image, once = opset13.parameter(maps.shape, np.float32), [1, 1]
    model = openvino.Model([opset13.convolution(image, opset13.constant(kernel), once, once, once, once)], [image])
    return openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})

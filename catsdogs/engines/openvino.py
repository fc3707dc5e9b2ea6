"""The OpenVINO engine: a network exported once from Keras, then run on the CPU without a deep-learning library."""

import functools
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13

from catsdogs.backbones import Backbone
from catsdogs.backbones.weights import Weights
from catsdogs.engines import AUTO, Output, export
from catsdogs.errors import UsageError

BATCH_SIZE = 8  # with several requests under way, small batches keep the activations in the processor's cache
_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVINOEngine:
    """Runs networks through asynchronous queues, compiled for throughput."""

    name = "openvino"

    def __init__(self, precision: str = AUTO, batch_size: int | None = None) -> None:
        if precision == AUTO:
            precision = "bfloat16" if bfloat16_is_faster() else "float32"
        if precision == "bfloat16" and not computes_bfloat16():
            raise UsageError("This processor does not compute in bfloat16", "Use --precision float32")
        self.precision = precision
        self.backend = "openvino"
        self.batch_size = batch_size or BATCH_SIZE
        self._core = openvino.Core()

    def load(self, backbone: Backbone, weights: Weights) -> "OpenVINONetwork":
        """Compile the exported network for batches of one shape."""
        model = self._core.read_model(export.exported(backbone, weights))
        model.reshape([self.batch_size, backbone.input_size, backbone.input_size, 3])
        options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": _HINTS[self.precision]}
        return OpenVINONetwork(self._core.compile_model(model, "CPU", options))


class OpenVINONetwork:
    """One compiled network and its queue of requests."""

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        # A tensor can have further names, those of the layers it comes from.
        self._names = [next(name for name in Output._fields if name in output.names) for output in compiled.outputs]
        self._queue = openvino.AsyncInferQueue(compiled)
        self._queue.set_callback(self._finish)
        weakref.finalize(self, self._queue.wait_all)  # a callback still running when Python ends would crash it

    def submit(self, pixels: NDArray[np.uint8]) -> Callable[[], Output]:
        """See `engines.Network.submit`."""
        future: Future[Output] = Future()
        self._queue.start_async(pixels, future)
        return future.result

    def _finish(self, request: Any, future: "Future[Output]") -> None:
        try:
            # The request's memory is used again as soon as this returns.
            tensors = zip(self._names, request.output_tensors, strict=True)
            found = {name: tensor.data.copy() for name, tensor in tensors}
            if "topk_class" in found:
                found["topk_class"] = found["topk_class"].astype(np.int16)
            future.set_result(Output(**found))
        except Exception as error:  # else who waits for the batch would wait for ever
            future.set_exception(error)


def computes_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@functools.cache
def bfloat16_is_faster() -> bool:
    """Whether this processor convolves faster in bfloat16 than in float32.

    Processors with matrix units for bfloat16 and AMD's since Zen 4 do. Others list it among what they can and are twice
    as slow in it, and nothing they say of themselves tells the two apart: so a small convolution is timed both ways.
    """
    return computes_bfloat16() and 1.2 * _seconds_of_a_convolution("bf16") < _seconds_of_a_convolution("f32")


def _seconds_of_a_convolution(hint: str) -> float:
    """3 x 3, 128 channels to 128, on 8 maps of 28 x 28: a middle layer of ResNet50."""
    random = np.random.default_rng(0)
    maps = random.normal(size=(8, 128, 28, 28)).astype(np.float32)
    kernel = opset13.constant(random.normal(size=(128, 128, 3, 3)).astype(np.float32))
    image = opset13.parameter(maps.shape, np.float32)
    once = [1, 1]
    model = openvino.Model([opset13.convolution(image, kernel, once, once, once, once)], [image])
    request = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint}).create_infer_request()
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        request.infer([maps])
        seconds.append(time.perf_counter() - started)
    return min(seconds)  # other work on the machine can only add to it

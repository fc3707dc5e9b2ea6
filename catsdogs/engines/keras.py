"""The Keras engine: CPU or GPU, on the TensorFlow, JAX and PyTorch backends."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from catsdogs.backbones import Backbone
from catsdogs.backbones.build import build
from catsdogs.backbones.weights import Weights
from catsdogs.devices import count, on_accelerator, scope, split
from catsdogs.engines import AUTO, Output

CPU_BATCH_SIZE = 32
GPU_BATCH_SIZE = 256
_BATCHES_UNDER_WAY = 4


class KerasEngine:
    """Starts batches on one thread and waits for them on another.

    On a GPU, whose work is only queued by starting it, the next batch is so copied and queued while this one computes.
    Where several devices share a batch, its size is rounded up to a multiple of their number.
    """

    name = "keras"

    def __init__(self, precision: str = AUTO, batch_size: int | None = None, devices: str = "one") -> None:
        self.on_gpu = on_accelerator(devices)
        self.precision = ("bfloat16" if self.on_gpu else "float32") if precision == AUTO else precision
        self.backend = keras.backend.backend()
        size, parts = batch_size or (GPU_BATCH_SIZE if self.on_gpu else CPU_BATCH_SIZE), count(devices)
        self.batch_size = -(-size // parts) * parts
        self._devices = devices
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="keras-start")
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix="keras-finish")
        self._places = threading.BoundedSemaphore(_BATCHES_UNDER_WAY)

    def load(self, backbone: Backbone, weights: Weights) -> "KerasNetwork":
        """Build the network, and let Keras compile it where that pays.

        Keras's `auto` compiles on JAX, and on TensorFlow with a GPU: on a CPU, XLA is slower than plain TensorFlow.
        PyTorch runs eagerly: its compiler breaks off at nearly every layer of Keras, after minutes.
        """
        with scope(self._devices):
            model = build(backbone, weights, "mixed_bfloat16" if self.precision == "bfloat16" else "float32")
            model.compile(jit_compile="auto")
        return KerasNetwork(model, self._devices, self._starter, self._finisher, self._places)


class KerasNetwork:
    """One loaded model. It calls what `Model.predict_on_batch` calls, but without waiting for the result."""

    def __init__(
        self,
        model: keras.Model,
        devices: str,
        starter: ThreadPoolExecutor,
        finisher: ThreadPoolExecutor,
        places: threading.BoundedSemaphore,
    ) -> None:
        self._model = model
        self._devices = devices
        self._starter = starter
        self._finisher = finisher
        self._places = places
        self._variables: Any = None

    def submit(self, pixels: NDArray[np.uint8]) -> Callable[[], Output]:
        """See `engines.Network.submit`."""
        self._places.acquire()
        started = self._starter.submit(self._split_and_start, pixels)
        return self._finisher.submit(self._finish, started).result

    def _split_and_start(self, pixels: NDArray[np.uint8]) -> dict[str, Any]:
        with scope(self._devices):
            return self._start(split(pixels, self._devices))

    def _start(self, pixels: Any) -> dict[str, Any]:
        """The outputs, which on a GPU are still to be computed."""
        if self._model.predict_function is None:  # Keras makes it, and what else it needs, for the first batch
            return self._model.predict_on_batch(pixels)
        if keras.backend.backend() != "jax":
            return self._model.predict_function([(pixels,)])
        # On JAX the function takes the variables, uses their memory again, and hands them back.
        if self._variables is None:
            groups = (self._model.trainable_variables, self._model.non_trainable_variables)
            self._variables = tuple([variable.value for variable in group] for group in groups)
        outputs, self._variables = self._model.predict_function(self._variables, iter([(pixels,)]))
        return outputs

    def _finish(self, started: Future[dict[str, Any]]) -> Output:
        try:
            found = {name: keras.ops.convert_to_numpy(tensor) for name, tensor in started.result().items()}
        finally:
            self._places.release()
        if "topk_class" in found:
            found["topk_class"] = found["topk_class"].astype(np.int16)
        return Output(**found)

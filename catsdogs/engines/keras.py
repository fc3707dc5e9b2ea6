"""The Keras engine: CPU or GPU, on the TensorFlow, JAX and PyTorch backends."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
from numpy.typing import NDArray

from catsdogs.backbones import Backbone
from catsdogs.backbones.build import build
from catsdogs.backbones.weights import Weights
from catsdogs.engines import AUTO, Output

CPU_BATCH_SIZE = 32
GPU_BATCH_SIZE = 256
_BATCHES_UNDER_WAY = 4


class KerasEngine:
    """Runs networks with `predict_on_batch` on a thread of its own, so that the next batch is gathered meanwhile."""

    name = "keras"

    def __init__(self, precision: str = AUTO, batch_size: int | None = None) -> None:
        self.on_gpu = "cpu" not in str(keras.ops.zeros(1).device).lower()
        self.precision = ("bfloat16" if self.on_gpu else "float32") if precision == AUTO else precision
        self.backend = keras.backend.backend()
        self.batch_size = batch_size or (GPU_BATCH_SIZE if self.on_gpu else CPU_BATCH_SIZE)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keras")
        self._places = threading.BoundedSemaphore(_BATCHES_UNDER_WAY)

    def load(self, backbone: Backbone, weights: Weights) -> "KerasNetwork":
        """Build the network and compile it on a GPU; on a CPU, XLA is slower than plain TensorFlow."""
        model = build(backbone, weights, "mixed_bfloat16" if self.precision == "bfloat16" else "float32")
        model.compile(jit_compile="auto" if self.on_gpu else False)
        return KerasNetwork(model, self._thread, self._places)


class KerasNetwork:
    """One loaded model."""

    def __init__(self, model: keras.Model, thread: ThreadPoolExecutor, places: threading.BoundedSemaphore) -> None:
        self._model = model
        self._thread = thread
        self._places = places

    def submit(self, pixels: NDArray[np.uint8]) -> Callable[[], Output]:
        """See `engines.Network.submit`."""
        self._places.acquire()
        return self._thread.submit(self._run, pixels).result

    def _run(self, pixels: NDArray[np.uint8]) -> Output:
        try:
            output = self._model.predict_on_batch(pixels)
        finally:
            self._places.release()
        if "topk_class" not in output:
            return Output(output["vector"], None, None)
        return Output(output["vector"], output["topk_prob"], output["topk_class"].astype(np.int16))

"""The Keras engine: CPU or GPU, on the TensorFlow, JAX and PyTorch backends."""

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import UsageError
from catsdogs.networks.build import build
from catsdogs.networks.devices import (
    device_count,
    fast_precision,
    on_accelerator,
    ran_out_of_memory,
    scope,
    split_batch,
)
from catsdogs.networks.engines.interface import AUTO, Output
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import Weights

CPU_BATCH_SIZE = 32
GPU_BATCH_SIZE = 256
_BATCHES_UNDER_WAY = 4
# A batch under way in parts of so many rows: their outputs, which a GPU may still be computing, or the failure.
_Started = tuple[int, list[dict[str, Any]] | Exception]
_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


class KerasEngine:
    """Starts batches on one thread and waits for them on another.

    To start a batch on a GPU only queues it. So the next batch is copied and queued while this one computes. Where
    several devices share a batch, its size is rounded up to a multiple of their number.
    """

    name = "keras"

    def __init__(self, precision: str = AUTO, batch_size: int | None = None, devices: str = "one") -> None:
        self.on_gpu = on_accelerator(devices)
        self.precision = fast_precision(devices) if precision == AUTO else precision
        self.backend = keras.backend.backend()
        size, self.parts = batch_size or (GPU_BATCH_SIZE if self.on_gpu else CPU_BATCH_SIZE), device_count(devices)
        self.batch_size = -(-size // self.parts) * self.parts
        self.devices = devices
        self.starter = ThreadPoolExecutor(1, thread_name_prefix="keras-start")
        self.finisher = ThreadPoolExecutor(1, thread_name_prefix="keras-finish")
        self.places = threading.BoundedSemaphore(_BATCHES_UNDER_WAY)

    def load(self, backbone: Backbone, weights: Weights) -> "KerasNetwork":
        """Build the network, and let Keras compile it where that pays.

        Keras's `auto` compiles on JAX, and on TensorFlow with a GPU: on a CPU, XLA is slower than plain TensorFlow.
        PyTorch runs eagerly: its compiler breaks off at nearly every layer of Keras, after minutes.
        """
        return KerasNetwork(self, backbone, weights)


def exact_vectors(backbone: Backbone, weights: Weights, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The (b, width) vectors of a few photographs in float32, to compare another precision with; not compiled."""
    outputs = build(backbone, weights)(pixels, training=False)
    vectors: NDArray[np.float32] = keras.ops.convert_to_numpy(outputs["vector"])
    return vectors


class KerasNetwork:
    """One loaded model. It does what `Model.predict_on_batch` does, without waiting for the result.

    A batch that the memory of a GPU cannot take is computed in two halves, and so are all after it.
    """

    def __init__(self, engine: KerasEngine, backbone: Backbone, weights: Weights) -> None:
        self.note = ""
        self._engine, self._backbone, self._weights = engine, backbone, weights
        self._model = self._make()
        self._name = self._model.name
        self._rows = engine.batch_size
        self._variables: Any = None

    def _make(self) -> keras.Model:
        with scope(self._engine.devices):
            model = build(self._backbone, self._weights, _POLICIES[self._engine.precision])
            model.compile(jit_compile="auto")
        return model

    def submit(self, pixels: NDArray[np.uint8]) -> Callable[[], Output]:
        """See `interface.Network.submit`.

        What it returns raises UsageError if not even one photograph fits, or the precision cannot hold the numbers.
        """
        self._engine.places.acquire()
        started = self._engine.starter.submit(self._try, pixels)
        return self._engine.finisher.submit(self._finish, pixels, started).result

    def _try(self, pixels: NDArray[np.uint8]) -> _Started:
        try:
            return self._rows, [self._start(part) for part in self._parts(pixels)]
        except Exception as error:  # the thread that waits raises it
            return self._rows, error

    def _parts(self, pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        """The batch in parts of one shape, which is all that a compiled network should see; the last is filled up."""
        for start in range(0, len(pixels), self._rows):
            part = pixels[start : start + self._rows]
            missing = self._rows - len(part) if start else 0
            yield np.pad(part, [(0, missing), (0, 0), (0, 0), (0, 0)]) if missing else part

    def _start(self, pixels: NDArray[np.uint8]) -> dict[str, Any]:
        """The outputs, which a GPU may still be computing."""
        with scope(self._engine.devices):
            parts = split_batch(pixels, self._engine.devices)
            if self._model.predict_function is None:  # Keras makes it, and what else it needs, for the first batch
                return self._model.predict_on_batch(parts)
            if keras.backend.backend() != "jax":
                return self._model.predict_function([(parts,)])
            # On JAX the function takes the variables, uses their memory again, and hands them back.
            if self._variables is None:
                groups = (self._model.trainable_variables, self._model.non_trainable_variables)
                self._variables = tuple([variable.value for variable in group] for group in groups)
            outputs, self._variables = self._model.predict_function(self._variables, iter([(parts,)]))
            return outputs

    def _finish(self, pixels: NDArray[np.uint8], waiting: Future[_Started]) -> Output:
        try:
            while True:
                rows, outputs = waiting.result()
                try:
                    return self._output(outputs, len(pixels))
                except Exception as error:
                    if not ran_out_of_memory(error):
                        raise
                    waiting = self._engine.starter.submit(self._try_smaller, pixels, rows, error)
        finally:
            self._engine.places.release()

    def _output(self, outputs: list[dict[str, Any]] | Exception, count: int) -> Output:
        if isinstance(outputs, Exception):
            raise outputs
        parts = [{name: keras.ops.convert_to_numpy(tensor) for name, tensor in part.items()} for part in outputs]
        output = {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}
        precision = self._engine.precision
        if precision != "float32" and not np.isfinite(output["vector"]).all():
            raise UsageError(f"{self._name} gives numbers that {precision} cannot hold", "Give --precision float32")
        if "topk_class" in output:
            output["topk_class"] = output["topk_class"].astype(np.int16)
        return Output(**output)

    def _try_smaller(self, pixels: NDArray[np.uint8], failed: int, error: Exception) -> _Started:
        """Start on a batch again, on the starter's thread, in halves of the parts that did not fit."""
        if failed <= self._rows:  # and not halved since, for an earlier batch
            parts = self._engine.parts
            smaller = failed // 2 // parts * parts
            if not smaller:
                raise UsageError(
                    f"{self._name} does not fit into the memory of the GPU",
                    "End other programs that use it, or give --engine openvino",
                ) from error
            self._rows = smaller
            self.note = f"{self._name}: {failed:,} photographs at once do not fit into the GPU's memory, {smaller:,} do"
            # What failed may have taken the variables along; and room is made before more is asked for.
            self._model = self._variables = error.__traceback__ = None
            gc.collect()
            self._model = self._make()
        return self._try(pixels)

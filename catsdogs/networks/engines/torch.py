"""The PyTorch engine: timm's networks on a GPU, or on the CPU if it is asked for."""

import gc
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from catsdogs.errors import UsageError
from catsdogs.networks.devices import precision_of, ran_out_of_memory
from catsdogs.networks.engines import timm_models
from catsdogs.networks.engines.interface import AUTO, Output
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import Weights

CPU_BATCH_SIZE = 32
GPU_BATCH_SIZE = 256
_BATCHES_UNDER_WAY = 4
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class _Queued(NamedTuple):
    """Outputs of a part of a batch on their way into this machine's memory, and what says that they are there."""

    outputs: dict[str, torch.Tensor]
    arrival: "torch.cuda.Event | None"


# A batch under way in parts of so many rows, or the failure.
_Started = tuple[int, list[_Queued] | Exception]


class TorchEngine:
    """Starts batches on one thread and waits for them on another, as the Keras engine does.

    To start a batch on a GPU only queues it: its upload from pinned memory, the network, and the way back. Matrices
    and convolutions compute in what the card has units for, in blocks of channels last; from the pooling on all is
    float32. Networks are not compiled: that takes a minute or more, in which a GPU sees ten thousands of photographs.
    None of this was tried on a GPU yet.
    """

    name = "torch"
    backend = "torch"

    def __init__(self, precision: str = AUTO, batch_size: int | None = None, cores: int | None = None) -> None:
        self.on_gpu = has_cuda()
        if precision == AUTO:
            precision = precision_of(torch.cuda.get_device_capability()) if self.on_gpu else "float32"
        self.precision = precision
        self.device = torch.device("cuda" if self.on_gpu else "cpu")
        self.batch_size = batch_size or (GPU_BATCH_SIZE if self.on_gpu else CPU_BATCH_SIZE)
        if cores and not self.on_gpu:
            torch.set_num_threads(cores)
        self.starter = ThreadPoolExecutor(1, thread_name_prefix="torch-start")
        self.finisher = ThreadPoolExecutor(1, thread_name_prefix="torch-finish")
        self.places = threading.BoundedSemaphore(_BATCHES_UNDER_WAY)

    def load(self, backbone: Backbone, weights: Weights) -> "TorchNetwork":
        """Build the network and put it on the GPU.

        Raises:
            WeightsError: the weights do not fit.
        """
        return TorchNetwork(self, backbone, weights)


def has_cuda() -> bool:
    """Whether PyTorch can use a GPU; it warns of drivers that it cannot use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(torch.cuda.is_available())


def exact_vectors(backbone: Backbone, weights: Weights, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The (b, width) vectors of a few photographs in float32 on the CPU, to compare another precision with."""
    with torch.inference_mode():
        vectors: NDArray[np.float32] = timm_models.build(backbone, weights)(torch.from_numpy(pixels))["vector"].numpy()
    return vectors


class TorchNetwork:
    """One loaded network. A batch that the memory of a GPU cannot take is computed in halves, and so are all after it.

    Computing is eager, so that parts of a batch may differ in size.
    """

    def __init__(self, engine: TorchEngine, backbone: Backbone, weights: Weights) -> None:
        self.note = ""
        self._engine, self._name = engine, backbone.name
        module = timm_models.build(backbone, weights)
        self._module = module.to(engine.device, memory_format=torch.channels_last)
        self._rows = engine.batch_size

    def submit(self, pixels: NDArray[np.uint8]) -> Callable[[], Output]:
        """See `interface.Network.submit`.

        What it returns raises UsageError if not even one photograph fits, or the precision cannot hold the numbers.
        """
        self._engine.places.acquire()
        started = self._engine.starter.submit(self._try, pixels)
        return self._engine.finisher.submit(self._finish, pixels, started).result

    def _try(self, pixels: NDArray[np.uint8]) -> _Started:
        rows = self._rows
        try:
            return rows, [self._start(pixels[first : first + rows]) for first in range(0, len(pixels), rows)]
        except Exception as error:  # the thread that waits raises it
            return rows, error

    def _start(self, pixels: NDArray[np.uint8]) -> _Queued:
        engine = self._engine
        batch = torch.from_numpy(np.ascontiguousarray(pixels))
        if engine.on_gpu:
            batch = batch.pin_memory().to(engine.device, non_blocking=True)
        rounds = engine.precision != "float32"
        with torch.inference_mode():
            with torch.autocast(engine.device.type, _DTYPES[engine.precision], enabled=rounds, cache_enabled=False):
                read = self._module.trunk(batch)
            outputs = self._module.answer(read)
            if not engine.on_gpu:
                return _Queued(outputs, None)
            outputs = {name: tensor.to("cpu", non_blocking=True) for name, tensor in outputs.items()}
            arrival = torch.cuda.Event()
            arrival.record()
        return _Queued(outputs, arrival)

    def _finish(self, pixels: NDArray[np.uint8], waiting: Future[_Started]) -> Output:
        try:
            while True:
                rows, parts = waiting.result()
                try:
                    return self._output(parts)
                except Exception as error:
                    if not ran_out_of_memory(error):
                        raise
                    waiting = self._engine.starter.submit(self._try_smaller, pixels, rows, error)
        finally:
            self._engine.places.release()

    def _output(self, parts: list[_Queued] | Exception) -> Output:
        if isinstance(parts, Exception):
            raise parts
        for part in parts:
            if part.arrival:
                part.arrival.synchronize()
        output = {name: np.concatenate([part.outputs[name].numpy() for part in parts]) for name in parts[0].outputs}
        precision = self._engine.precision
        if precision != "float32" and not np.isfinite(output["vector"]).all():
            raise UsageError(f"{self._name} gives numbers that {precision} cannot hold", "Give --precision float32")
        if "topk_class" in output:
            output["topk_class"] = output["topk_class"].astype(np.int16)
        return Output(**output)

    def _try_smaller(self, pixels: NDArray[np.uint8], failed: int, error: Exception) -> _Started:
        """Start on a batch again, on the starter's thread, in halves of the parts that did not fit."""
        if failed <= self._rows:  # and not halved since, for an earlier batch
            smaller = failed // 2
            if not smaller:
                raise UsageError(
                    f"{self._name} does not fit into the memory of the GPU",
                    "End other programs that use it, or give --engine openvino",
                ) from error
            self._rows = smaller
            self.note = f"{self._name}: {failed:,} photographs at once do not fit into the GPU's memory, {smaller:,} do"
            error.__traceback__ = None  # it holds what was computed so far
            gc.collect()
            if self._engine.on_gpu:
                torch.cuda.empty_cache()
        return self._try(pixels)

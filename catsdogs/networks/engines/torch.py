"""The PyTorch engine: timm's networks on a GPU, or on the CPU if it is asked for."""

import contextlib
import copy as copies
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from catsdogs.networks import devices
from catsdogs.networks.engines import timm_models
from catsdogs.networks.engines.interface import AUTO
from catsdogs.networks.engines.queued import CPU_BATCH_SIZE, GPU_BATCH_SIZE, QueuedEngine, QueuedNetwork
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import Weights

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class _OnItsWay(NamedTuple):
    """Tensors that are being copied, and what says that they are there; None where they are."""

    tensors: Any
    arrival: "torch.cuda.Event | None"


class TorchEngine(QueuedEngine):
    """See `QueuedEngine`.

    A batch goes up from pinned memory, on a stream of its own beside the one that computes. Matrices and convolutions
    compute in what the card has units for, in blocks of channels last; from the pooling on all is float32. Networks are
    not compiled: that takes a minute or more, in which a GPU sees ten thousands of photographs. None of this was tried
    on a GPU yet.
    """

    name = "torch"
    backend = "torch"

    def __init__(
        self,
        precision: str = AUTO,
        batch_size: int | None = None,
        cores: int | None = None,
        choice: str = "one",
    ) -> None:
        self.on_gpu = has_cuda()
        cards = devices.chosen(choice, devices.cuda_cards()) if self.on_gpu else []
        if precision == AUTO:
            precision = devices.precision_of(cards[0].capability) if cards else "float32"
        self.seats = [torch.device(card.name) for card in cards] or [torch.device("cpu")]
        self._uploading = [torch.cuda.Stream(seat) for seat in self.seats] if cards else []
        devices.sum_in_float32(self.backend)
        if cores and not self.on_gpu:
            torch.set_num_threads(cores)
        size = batch_size or (GPU_BATCH_SIZE if self.on_gpu else CPU_BATCH_SIZE)
        super().__init__(precision, size, len(self.seats), devices.smallest_memory(cards))

    def load(self, backbone: Backbone, weights: Weights) -> "TorchNetwork":
        """Build the network and put a copy of it on each GPU.

        Raises:
            WeightsError: the weights do not fit.
        """
        return TorchNetwork(self, backbone, weights)

    def upload(self, pixels: NDArray[np.uint8], copy: int) -> _OnItsWay:
        """See `QueuedEngine.upload`."""
        batch = torch.from_numpy(np.ascontiguousarray(pixels))
        if not self.on_gpu:
            return _OnItsWay(batch, None)
        with torch.cuda.stream(self._uploading[copy]):
            return _OnItsWay(batch.pin_memory().to(self.seats[copy], non_blocking=True), _event())


def has_cuda() -> bool:
    """Whether PyTorch can use a GPU; it warns of drivers that it cannot use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(devices.cuda_cards())


def exact_vectors(backbone: Backbone, weights: Weights, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The (b, width) vectors of a few photographs in float32 on the CPU, to compare another precision with."""
    with torch.inference_mode():
        vectors: NDArray[np.float32] = timm_models.build(backbone, weights)(torch.from_numpy(pixels))["vector"].numpy()
    return vectors


class TorchNetwork(QueuedNetwork):
    """One loaded network, or a copy on each GPU. Computing is eager."""

    _engine: TorchEngine

    def __init__(self, engine: TorchEngine, backbone: Backbone, weights: Weights) -> None:
        super().__init__(engine, backbone.name, backbone.input_size)
        first = timm_models.build(backbone, weights)
        # Copied before they are moved: to move a module changes it.
        made = [first, *(copies.deepcopy(first) for _ in engine.seats[1:])]
        self._modules = [
            one.to(seat, memory_format=torch.channels_last) for one, seat in zip(made, engine.seats, strict=True)
        ]

    def _start(self, batch: _OnItsWay, copy: int) -> _OnItsWay:
        engine, pixels, module = self._engine, batch.tensors, self._modules[copy]
        kind, rounds = engine.seats[copy].type, engine.precision != "float32"
        with torch.inference_mode(), self._on(copy):
            if batch.arrival:
                stream = torch.cuda.current_stream()
                stream.wait_event(batch.arrival)
                pixels.record_stream(stream)  # its memory is used again no earlier than this stream is done with it
            with torch.autocast(kind, _DTYPES[engine.precision], enabled=rounds, cache_enabled=False):
                read = module.trunk(pixels)
            outputs = module.answer(read)
            if not engine.on_gpu:
                return _OnItsWay(outputs, None)
            return _OnItsWay({name: one.to("cpu", non_blocking=True) for name, one in outputs.items()}, _event())

    def _on(self, copy: int) -> "contextlib.AbstractContextManager[Any]":
        return torch.cuda.device(self._engine.seats[copy]) if self._engine.on_gpu else contextlib.nullcontext()

    def _fetch(self, started: _OnItsWay) -> dict[str, NDArray]:
        if started.arrival:
            started.arrival.synchronize()
        return {name: tensor.numpy() for name, tensor in started.tensors.items()}

    def _make_room(self) -> None:
        if self._engine.on_gpu:
            torch.cuda.empty_cache()


def _event() -> "torch.cuda.Event":
    """What says that all queued so far on the current stream is done."""
    event = torch.cuda.Event()
    event.record()
    return event

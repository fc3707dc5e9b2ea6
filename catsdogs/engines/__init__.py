"""How a network runs. An engine loads networks and takes batches; which one serves is chosen here."""

import os
import shutil
import sys
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from catsdogs.backbones import Backbone
from catsdogs.backbones.weights import Weights
from catsdogs.devices import check as check_devices
from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.quiet import importing_keras

NAMES = ("keras", "openvino")
PRECISIONS = ("float32", "bfloat16", "float16")
SMALLEST_COSINE = 0.999  # to the vector in float32, of any photograph, for `auto` to take another precision
AUTO = "auto"
ACCELERATORS = ("/dev/nvidia0", "/dev/kfd", "/dev/accel0", "/dev/vfio/0")  # NVIDIA, AMD, and Google's TPUs, old and new


# OpenVINO reports each import and export to its makers over the network. Without this package it keeps to itself.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


class Output(NamedTuple):
    """What a network says of a batch: (b, width) float32; (b, 10) float32 and int16, or None without a classifier."""

    vector: NDArray[np.float32]
    topk_prob: NDArray[np.float32] | None = None
    topk_class: NDArray[np.int16] | None = None


class Network(Protocol):
    """A loaded network; `note` is what the user should know of how it ran, or empty."""

    note: str

    def submit(self, pixels: NDArray[np.uint8]) -> Callable[[], Output]:
        """Start on a batch (b, size, size, 3); the returned function waits for its result.

        It blocks while too many batches are under way, so that memory stays flat.
        """
        ...


class Engine(Protocol):
    """A way to run networks; `precision` is what it computes in, `backend` what lies below it."""

    name: str
    precision: str
    backend: str
    batch_size: int

    def load(self, backbone: Backbone, weights: Weights) -> Network:
        """Make a network ready to take batches of `batch_size`."""
        ...


def check(name: str, precision: str, batch_size: int | None, devices: str = "one") -> None:
    """Refuse what `create` would refuse, without making an engine.

    Raises:
        UnknownNameError, UsageError: no such engine, precision, batch size or choice of devices.
    """
    if name not in (AUTO, *NAMES):
        raise UnknownNameError("engine", name, [AUTO, *NAMES])
    if precision not in (AUTO, *PRECISIONS):
        raise UnknownNameError("precision", precision, [AUTO, *PRECISIONS])
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"A batch size of {batch_size}", "Give --batch-size a number above 0")
    check_devices(devices)
    if name == "openvino" and devices == "all":
        raise UsageError(
            "OpenVINO uses every core of the processor, and no other device, whatever --devices says",
            "Leave --devices out, or give --engine keras",
        )
    if name == "openvino" and precision == "float16":
        raise UsageError("OpenVINO does not compute in float16 here", "Give --precision float32, or --engine keras")


def agree(rounded: NDArray[np.float32], exact: NDArray[np.float32]) -> bool:
    """Whether (n, width) vectors lie where those in float32 do, each of them, to `SMALLEST_COSINE`."""
    products = np.linalg.norm(rounded, axis=1) * np.linalg.norm(exact, axis=1)
    # Written so that NaN and infinity do not agree.
    return bool(((rounded * exact).sum(axis=1) >= SMALLEST_COSINE * products).all() and np.isfinite(products).all())


def feeding(name: str) -> tuple[int, int]:
    """How many threads decode for an engine, and how many photographs may wait for it.

    OpenVINO computes on every core, and each further thread takes the processor's caches from it: 4 % on two cores. For
    a GPU every core decodes, two of its batches ahead.
    """
    cores = os.cpu_count() or 1
    return (max(1, cores // 2), 128) if name == "openvino" else (cores, 512)


def create(name: str, precision: str, batch_size: int | None, devices: str = "one", cores: int | None = None) -> Engine:
    """The engine of that name; `auto` takes what suits the machine, no batch size the engine's own, no cores all.

    For all devices `auto` is Keras, whose they are.

    Raises:
        UnknownNameError, UsageError: no such engine, precision, batch size or choice of devices, Keras lacks its
            backend, the backend cannot use all devices, or the processor the precision.
    """
    check(name, precision, batch_size, devices)
    if name == AUTO and devices == "all":
        name = "keras"
    if name == "openvino" or (name == AUTO and not _accelerator_in_sight()):
        return _openvino(precision, batch_size, cores)
    with importing_keras():
        from catsdogs.engines.keras import KerasEngine

        engine = KerasEngine(precision, batch_size, devices)
    return engine if name == "keras" or engine.on_gpu else _openvino(precision, batch_size, cores)


def _openvino(precision: str, batch_size: int | None, cores: int | None) -> Engine:
    from catsdogs.engines.openvino import OpenVINOEngine

    check("openvino", precision, batch_size)  # `auto` may have been asked for
    return OpenVINOEngine(precision, batch_size, cores)


def _accelerator_in_sight() -> bool:
    """Whether it is worth the seconds to import Keras and ask it for a GPU or TPU."""
    return bool(shutil.which("nvidia-smi")) or any(map(os.path.exists, ACCELERATORS))

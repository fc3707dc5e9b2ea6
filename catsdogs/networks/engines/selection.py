"""The engine that runs the networks on this machine: named by the user, or chosen."""

import os
import shutil

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.files import interrupts
from catsdogs.networks import devices as machine
from catsdogs.networks.engines.interface import AUTO, ENGINES, PRECISIONS, Engine
from catsdogs.networks.quiet import importing_keras, importing_timm
from catsdogs.networks.table import TIMM, Backbone
from catsdogs.networks.weights import Weights

DEVICES = (machine.AUTO, *machine.CHOICES)
ACCELERATORS = ("/dev/nvidia0", "/dev/kfd", "/dev/accel0", "/dev/vfio/0")  # NVIDIA, AMD, and Google's TPUs, old and new


def check_engine(name: str, precision: str, batch_size: int | None, devices: str = AUTO) -> None:
    """Refuse what `create_engine` would refuse, without making an engine.

    Raises:
        UnknownNameError, UsageError: no such engine, precision, batch size or choice of devices.
    """
    for kind, given, known in (("engine", name, ENGINES), ("precision", precision, PRECISIONS)):
        if given not in (AUTO, *known):
            raise UnknownNameError(kind, given, [AUTO, *known])
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"A batch size of {batch_size}", "Give --batch-size a number above 0")
    machine.check_choice(devices, DEVICES)
    if name == "openvino" and devices == "all":
        raise UsageError(
            "OpenVINO uses every core of the processor, and no other device, whatever --devices says",
            "Leave --devices out, or give --engine keras",
        )
    if name == "openvino" and precision == "float16":
        raise UsageError("OpenVINO does not compute in float16 here", "Give --precision float32, or --engine keras")


def engine_for(backbone: Backbone, name: str) -> str:
    """The engine that a network runs on, where `name` was asked for; `auto` for one of Keras's is decided later.

    Raises:
        UsageError: that engine does not run it.
    """
    is_timms = backbone.source == TIMM
    if name == ("keras" if is_timms else "torch"):
        others = "torch" if is_timms else "keras"
        raise UsageError(f"The engine {name} does not run {backbone.name}", f"Give --engine {others} or openvino")
    if name == AUTO and is_timms:
        return "torch" if _has_cuda() else "openvino"
    return name


def is_openvino(name: str, devices: str) -> bool:
    """Whether an engine that is asked for, or `auto` on this machine, is sure to be OpenVINO."""
    return name == "openvino" or (name == AUTO and devices != "all" and not accelerator_in_sight())


def _has_cuda() -> bool:
    if not accelerator_in_sight():
        return False
    with importing_timm():
        from catsdogs.networks.engines import torch

    return torch.has_cuda()


def accelerator_in_sight() -> bool:
    """Whether there may be a GPU or TPU, without a library being asked."""
    return bool(shutil.which("nvidia-smi")) or any(map(os.path.exists, ACCELERATORS))


def exact_vectors(engine: str, backbone: Backbone, weights: Weights, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The (b, width) vectors of a few photographs in float32, to compare an engine's other precisions with."""
    if engine == "torch":
        with importing_timm():
            from catsdogs.networks.engines import torch

        return torch.exact_vectors(backbone, weights, pixels)
    from catsdogs.networks.engines import keras

    return keras.exact_vectors(backbone, weights, pixels)


def create_engine(
    name: str, precision: str, batch_size: int | None, devices: str = AUTO, cores: int | None = None
) -> Engine:
    """The engine of that name. `auto` is what suits the machine; with all devices it is Keras, which uses TPUs, too.

    The devices `auto` are all GPUs of the first one's model, else one device. Without a batch size the engine takes its
    own, without a number of cores all.

    Raises:
        UnknownNameError, UsageError: no such engine, precision, batch size or choice of devices, Keras lacks its
            backend, the backend cannot use all devices, or the processor the precision.
    """
    check_engine(name, precision, batch_size, devices)
    if name == AUTO and devices == "all":
        name = "keras"
    if name == "torch":
        with importing_timm():
            from catsdogs.networks.engines.torch import TorchEngine

        return TorchEngine(precision, batch_size, cores, devices)
    if name == "keras" or (name == AUTO and accelerator_in_sight()):  # worth the seconds to import Keras and ask it
        with importing_keras():
            from catsdogs.networks.engines.keras import KerasEngine

            engine = KerasEngine(precision, batch_size, devices)
        if name == "keras" or engine.on_gpu:
            return engine
    with interrupts.later():
        from catsdogs.networks.engines.openvino import OpenVINOEngine

    check_engine("openvino", precision, batch_size)  # until here it may have been `auto`
    return OpenVINOEngine(precision, batch_size, cores)

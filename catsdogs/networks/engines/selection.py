"""The engine that runs the networks on this machine: named by the user, or chosen."""

import os
import shutil

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.networks.devices import check_choice as check_devices
from catsdogs.networks.engines.interface import AUTO, ENGINES, PRECISIONS, Engine
from catsdogs.networks.quiet import importing_keras

ACCELERATORS = ("/dev/nvidia0", "/dev/kfd", "/dev/accel0", "/dev/vfio/0")  # NVIDIA, AMD, and Google's TPUs, old and new


def check_engine(name: str, precision: str, batch_size: int | None, devices: str = "one") -> None:
    """Refuse what `create_engine` would refuse, without making an engine.

    Raises:
        UnknownNameError, UsageError: no such engine, precision, batch size or choice of devices.
    """
    for kind, given, known in (("engine", name, ENGINES), ("precision", precision, PRECISIONS)):
        if given not in (AUTO, *known):
            raise UnknownNameError(kind, given, [AUTO, *known])
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


def decoding_threads(name: str) -> tuple[int, int]:
    """How many threads decode for an engine, and how many photographs may wait for it.

    OpenVINO computes on every core, and more threads take the processor's caches from it: 4 % on two cores. For a GPU
    every core decodes, two of its batches ahead.
    """
    cores = os.cpu_count() or 1
    return (max(1, cores // 2), 128) if name == "openvino" else (cores, 512)


def create_engine(
    name: str, precision: str, batch_size: int | None, devices: str = "one", cores: int | None = None
) -> Engine:
    """The engine of that name. `auto` is what suits the machine; with all devices it is Keras, which alone uses them.

    Without a batch size the engine takes its own, without a number of cores all.

    Raises:
        UnknownNameError, UsageError: no such engine, precision, batch size or choice of devices, Keras lacks its
            backend, the backend cannot use all devices, or the processor the precision.
    """
    check_engine(name, precision, batch_size, devices)
    if name == AUTO and devices == "all":
        name = "keras"
    in_sight = bool(shutil.which("nvidia-smi")) or any(map(os.path.exists, ACCELERATORS))
    if name == "keras" or (name == AUTO and in_sight):  # worth the seconds to import Keras and ask it
        with importing_keras():
            from catsdogs.networks.engines.keras import KerasEngine

            engine = KerasEngine(precision, batch_size, devices)
        if name == "keras" or engine.on_gpu:
            return engine
    from catsdogs.networks.engines.openvino import OpenVINOEngine

    check_engine("openvino", precision, batch_size)  # until here it may have been `auto`
    return OpenVINOEngine(precision, batch_size, cores)

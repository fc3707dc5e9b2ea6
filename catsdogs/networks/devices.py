"""The devices of a machine: which cards there are and what they are good at, and all devices used as one.

Features deal whole batches out to GPUs of one model, see `engines.queued`. Training, TPUs and simulated devices share
every batch: each device computes a part of it, and all hold the same weights. On JAX this is Keras's distribution API,
on TensorFlow `tf.distribute`. Both remember the scope per thread.
"""

import contextlib
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from catsdogs.errors import UnknownNameError, UsageError

CHOICES = ("one", "all")
AUTO = "auto"  # for features: all GPUs of one model, else one device
TPUS = ("/dev/accel0", "/dev/vfio/0")  # Google's, old and new


class Card(NamedTuple):
    """A GPU: its name as `keras.device` or `torch.device` takes it, its model, its memory in bytes if it is known."""

    name: str
    model: str
    capability: object = None
    memory: int | None = None


def check_choice(devices: str, known: Sequence[str] = CHOICES) -> None:
    """Refuse what is not one of those known.

    Raises:
        UnknownNameError: it is not.
    """
    if devices not in known:
        raise UnknownNameError("choice of devices", devices, list(known))


def chosen(choice: str, cards: Sequence[Card]) -> list[Card]:
    """The GPUs to deal batches out to: the first, or with `auto` and `all` each that is of the first one's model.

    Two models round differently, and which of them computed a row would be chance.
    """
    return [card for card in cards if card.model == cards[0].model] if choice != "one" else list(cards[:1])


def cards_in_use(choice: str) -> list[Card]:
    """The GPUs that Keras deals batches out to; none where it sees no GPU."""
    backend = _backend()
    if backend == "jax":
        import jax

        found = [device for device in jax.local_devices() if device.platform == "gpu"]
        return chosen(choice, [_card_of_jax(device) for device in found])
    if backend == "torch":
        return chosen(choice, cuda_cards())
    import tensorflow as tf

    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    memory = _memory_by_nvidia() if details else None
    cards = [
        Card(f"gpu:{number}", str(known.get("device_name")), known.get("compute_capability"), memory)
        for number, known in enumerate(details)
    ]
    return chosen(choice, cards)


def cuda_cards() -> list[Card]:
    """The GPUs that PyTorch can use. It also lists those that it brings no code for, and fails at the first use of one.

    So it is with a P100 since its packages are of CUDA 12.8: https://github.com/Kaggle/docker-python/issues/1546.
    """
    import torch

    if not torch.cuda.is_available():
        return []
    built_for = torch.cuda.get_arch_list()
    found = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return [
        Card(f"cuda:{number}", one.name, (one.major, one.minor), one.total_memory)
        for number, one in enumerate(found)
        if _has_code((one.major, one.minor), built_for)
    ]


def _has_code(capability: tuple[int, int], built_for: Sequence[str]) -> bool:
    """Whether a library built for `sm_75` and the like, and `compute_90` to be compiled on the way, runs on a card.

    Code runs on later minor versions of its major version; what is compiled on the way, on all later versions. Of AMD's
    cards, `gfx90a`, nothing is known, and PyTorch is believed.
    """
    named = [re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", name) for name in built_for]
    versions = [(found[1], (int(found[2]), int(found[3]))) for found in named if found]
    return not versions or any(
        version <= capability and (kind == "compute" or version[0] == capability[0]) for kind, version in versions
    )


def _card_of_jax(device: Any) -> Card:
    memory = (device.memory_stats() or {}).get("bytes_limit")  # what JAX takes of it, three quarters
    return Card(f"gpu:{device.id}", device.device_kind, getattr(device, "compute_capability", None), memory)


def _memory_by_nvidia() -> int | None:
    """The memory of the machine's smallest GPU in bytes, by NVIDIA's own tool: TensorFlow does not tell."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20).stdout  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    mebibytes = [int(line) for line in told.split() if line.isdigit()]
    return min(mebibytes) * 2**20 if mebibytes else None


def smallest_memory(cards: Sequence[Card]) -> int | None:
    """In bytes; None where it is not known."""
    return min((card.memory for card in cards if card.memory), default=None)


def sum_in_float32(backend: str) -> None:
    """Let products of float16 and bfloat16 be summed in float32 on GPUs.

    cuDNN's convolutions and cuBLAS's matrix products do on TensorFlow and JAX, unless their flags say otherwise.
    PyTorch lets cuBLAS split a long sum into parts that are added in float16, unless it is told not to:
    https://docs.pytorch.org/docs/stable/notes/numerical_accuracy.html, reduced precision reduction.
    """
    if backend == "torch":
        import torch

        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def tensorflow_errors() -> tuple[type[Exception], ...]:
    """What TensorFlow raises where something fails in it; nothing on other backends."""
    if _backend() != "tensorflow":
        return ()
    import tensorflow as tf

    return (tf.errors.OpError,)


def device_count(devices: str) -> int:
    """How many devices share a batch; every batch's size must be a multiple of it.

    Raises:
        UnknownNameError, UsageError: see `scope`.
    """
    distribution = _distribution(devices)
    if distribution is None:
        return 1
    return distribution.num_model_replicas if _backend() == "jax" else distribution.num_replicas_in_sync


def scope(devices: str) -> contextlib.AbstractContextManager[Any]:
    """The context in which models are built, given weights, compiled and fitted, in each thread; `one` changes nothing.

    Raises:
        UnknownNameError: neither `one` nor `all`.
        UsageError: Keras cannot use them all on this backend, or TensorFlow cannot start the TPU.
    """
    distribution = _distribution(devices)
    return contextlib.nullcontext() if distribution is None else distribution.scope()


def check_batch(size: int, devices: str) -> None:
    """Refuse to train on batches that cannot be cut into equal parts.

    JAX does not take them; on TensorFlow the rows of a smaller part would count for more, and an empty part fails.

    Raises:
        UnknownNameError, UsageError: see `scope`; or the size is no multiple of `count(devices)`.
    """
    if size % (parts := device_count(devices)):
        raise UsageError(f"A batch size of {size} for {parts} devices", f"Give --batch-size a multiple of {parts}")


def on_accelerator(devices: str) -> bool:
    """Whether a model built in `scope(devices)` runs on a GPU or TPU rather than a CPU."""
    import keras

    distribution = _distribution(devices)
    if distribution is None:
        name = str(keras.ops.zeros(1).device)
    elif _backend() == "jax":
        name = keras.distribution.list_devices()[0]
    else:
        name = distribution.extended.worker_devices[0]
    return "cpu" not in name.lower()


def fast_precision(devices: str) -> str:
    """The fastest precision for features on the devices chosen: `bfloat16`, `float16` or `float32`.

    TPUs compute in bfloat16. Of GPUs the compute capability decides, see `precision_of`. Nothing is known of other
    accelerators, and float32 is right on all.
    """
    cards = cards_in_use(devices)
    if cards:
        return precision_of(cards[0].capability)
    shared = devices if devices in CHOICES else "one"
    return "bfloat16" if on_accelerator(shared) and _is_tpu() else "float32"


def _is_tpu() -> bool:
    """Whether Keras's accelerator, which is no GPU, is a TPU."""
    backend = _backend()
    if backend == "jax":
        import jax

        return bool(jax.devices()[0].platform == "tpu")
    return backend == "tensorflow"


def precision_of(capability: object) -> str:
    """The fastest precision of an NVIDIA card of a compute capability such as "7.5" or (7, 5).

    Cards have units for bfloat16 from 8.0 (Ampere), and for float16 from 7.0 (Volta, and the T4). The P100, 6.0,
    computes in float16 at twice the rate of float32, 6.1 at a sixty-fourth of it:
    https://docs.nvidia.com/cuda/cuda-c-programming-guide, throughput of native arithmetic instructions. But on a P100,
    too, sums are of float32, see `sum_in_float32`: its units have no product of float16 that is added up in float32, so
    cuDNN and cuBLAS read and write float16, and compute in float32. What it gains is half the bytes to move. Without
    such units a card is no faster, or much slower.
    """
    version = _version_numbers(capability)
    if version >= (8, 0):
        return "bfloat16"
    return "float16" if version >= (7, 0) or version == (6, 0) else "float32"


def _version_numbers(capability: object) -> tuple[int, int]:
    """A compute capability, such as "7.5" or (7, 5); (0, 0) for a card that has none, such as AMD's or Apple's."""
    match = re.fullmatch(r"\(?(\d+)(?:\.|, )(\d+)\)?", str(capability))
    return (int(match[1]), int(match[2])) if match else (0, 0)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an accelerator had no memory left. Each backend, and each library below it, has its own words for it."""
    message = f"{type(error).__name__} {error}".lower().replace(" ", "").replace("_", "")
    return any(words in message for words in ("outofmemory", "resourceexhausted", "allocfailed", "failedtoallocate"))


def split_batch(batch: NDArray, devices: str) -> Any:
    """The batch (b, ...) in equal parts, one for each device, as `Model.predict_function` takes it.

    The function's outputs are whole again, in the order of the batch.
    """
    distribution = _distribution(devices)
    if distribution is None:
        return batch
    if _backend() == "jax":
        import keras

        return keras.distribution.distribute_tensor(batch, distribution.get_data_layout(batch.shape))
    import tensorflow as tf

    size = len(batch) // distribution.num_replicas_in_sync

    def part(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
        start = context.replica_id_in_sync_group * size
        return tf.constant(batch[start : start + size])

    # A plain array would go to every device whole.
    return distribution.experimental_distribute_values_from_function(part)


def _distribution(devices: str) -> Any:
    check_choice(devices)
    return _all_devices() if devices == "all" else None


def _backend() -> str:
    import keras

    return keras.backend.backend()


@functools.cache  # a TPU is started once in a process, and models of two strategies do not mix
def _all_devices() -> Any:
    """Keras's distribution or TensorFlow's strategy over all devices; None where there is one device."""
    backend = _backend()
    if backend == "jax":
        import keras

        return keras.distribution.DataParallel() if len(keras.distribution.list_devices()) > 1 else None
    if backend == "tensorflow":
        return _strategy()
    if backend == "torch":
        import torch

        if (gpus := torch.cuda.device_count()) > 1:
            raise UsageError(
                f"--devices all on the PyTorch backend: Keras cannot share a batch among its {gpus} GPUs",
                "Set KERAS_BACKEND to jax or tensorflow, or leave --devices out",
            )
    return None


def _strategy() -> Any:
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    if not gpus and (tpu := _tpu()):
        try:
            return tf.distribute.TPUStrategy(tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu))
        except (tf.errors.OpError, RuntimeError, ValueError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UsageError(
                f"TensorFlow cannot start the TPU {tpu!r}: {reason}",
                "Install tensorflow-tpu, or set KERAS_BACKEND=jax",
            ) from None
    names = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
    return tf.distribute.MirroredStrategy(names) if len(names) > 1 else None


def _tpu() -> str | None:
    """The TPU as TensorFlow names it, from the environment: TensorFlow would look for one over the network."""
    if name := os.environ.get("TPU_NAME"):
        return name
    return "local" if "TPU_WORKER_ID" in os.environ or any(map(os.path.exists, TPUS)) else None

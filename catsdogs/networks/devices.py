"""All devices of a machine used as one: each computes a part of every batch, and all hold the same weights.

On JAX this is Keras's distribution API, on TensorFlow `tf.distribute`. Both remember the scope per thread.
"""

import contextlib
import functools
import os
import re
from typing import Any

from numpy.typing import NDArray

from catsdogs.errors import UnknownNameError, UsageError

CHOICES = ("one", "all")
TPUS = ("/dev/accel0", "/dev/vfio/0")  # Google's, old and new


def check_choice(devices: str) -> None:
    """Refuse what is not one of `CHOICES`.

    Raises:
        UnknownNameError: it is not.
    """
    if devices not in CHOICES:
        raise UnknownNameError("choice of devices", devices, list(CHOICES))


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
    """The fastest precision for models built in `scope(devices)`: `bfloat16`, `float16` or `float32`.

    NVIDIA's cards have units for bfloat16 from compute capability 8.0 (Ampere), and for float16 from 7.0 (Volta, and
    the T4): https://docs.nvidia.com/cuda/cuda-c-programming-guide, features by compute capability. Without such units
    a card is no faster in them, or much slower. TPUs compute in bfloat16. Nothing is known of other accelerators, and
    float32 is right on all.
    """
    if not on_accelerator(devices):
        return "float32"
    backend = _backend()
    if backend == "jax":
        import jax

        if jax.devices()[0].platform == "tpu":
            return "bfloat16"
        found = [getattr(device, "compute_capability", None) for device in jax.devices()]
    elif backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        if not gpus:  # so it is a TPU
            return "bfloat16"
        found = [tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in gpus]
    else:
        import torch

        found = [torch.cuda.get_device_capability(0) if torch.cuda.is_available() else None]
    # The oldest of several cards decides.
    return precision_of(*(found if devices == "all" else found[:1]))


def precision_of(*capabilities: object) -> str:
    """The fastest precision of all NVIDIA cards of these compute capabilities, see `fast_precision`."""
    capability = min(map(_version_numbers, capabilities))
    return "bfloat16" if capability >= (8, 0) else "float16" if capability >= (7, 0) else "float32"


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

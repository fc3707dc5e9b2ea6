"""The Keras engine: what goes up to a GPU, where its memory runs out, and where its compiler fails."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from catsdogs.errors import UsageError
from catsdogs.networks import devices
from catsdogs.networks.engines import keras as engine
from catsdogs.networks.engines import selection
from catsdogs.networks.table import BACKBONES
from catsdogs.networks.weights import RANDOM_WEIGHTS, Weights
from tests.conftest import need, refused

RANDOM = Weights(None, RANDOM_WEIGHTS)
SMALL = BACKBONES["MobileNetV2"]
SIDE = 32


class OutOfMemoryError(RuntimeError):
    """As PyTorch calls it."""


MEMORY_ERRORS = [
    OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor with shape[256,64,112,112]"),
    type("XlaRuntimeError", (RuntimeError,), {})("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes."),
    type("InternalError", (Exception,), {})("CUDNN_STATUS_ALLOC_FAILED"),
]


def small(backbone: object, weights: object, policy: str = "float32") -> keras.Model:
    """A network that is built at once, whatever is asked for."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    maps = keras.layers.Conv2D(4, 3, strides=2)(keras.ops.cast(image, "float32") / 127.5 - 1)
    return keras.Model(image, {"vector": keras.layers.GlobalAveragePooling2D(dtype="float32")(maps)}, name="small")


@pytest.fixture
def small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "build", small)


def pixels_of(seed: int, rows: int = 10) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (rows, SIDE, SIDE, 3), np.uint8)


class TestOutOfMemory:
    """A GPU whose memory takes so many photographs at once is stood in for."""

    @pytest.mark.parametrize("error", MEMORY_ERRORS, ids=lambda error: type(error).__name__)
    def test_the_batch_is_halved_and_the_work_goes_on(
        self, small_ones: None, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start = engine.KerasNetwork._start

        def limited(self: engine.KerasNetwork, batch: object, copy: int) -> object:
            if len(batch) > 3:  # type: ignore[arg-type]
                raise error
            return start(self, batch, copy)

        network = selection.create_engine("keras", "float32", 10).load(SMALL, RANDOM)
        whole = [network.submit(pixels_of(seed))().vector for seed in range(3)]
        monkeypatch.setattr(engine.KerasNetwork, "_start", limited)
        waiting = [network.submit(pixels_of(seed)) for seed in range(3)]
        for vectors, result in zip(whole, waiting, strict=True):
            np.testing.assert_allclose(result().vector, vectors, atol=1e-6)
        assert network.note == "MobileNetV2: 5 photographs at once do not fit into the GPU's memory, 2 do"

    def test_not_even_one(self, small_ones: None, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise MEMORY_ERRORS[0]

        monkeypatch.setattr(engine.KerasNetwork, "_start", full)
        network = selection.create_engine("keras", "float32", 4).load(SMALL, RANDOM)
        with refused(UsageError, "MobileNetV2 does not fit into the memory of the GPU"):
            network.submit(pixels_of(0, 4))()


def test_bytes_go_up_once_for_all_networks_of_a_size(small_ones: None, monkeypatch: pytest.MonkeyPatch) -> None:
    ups, convert = [], keras.ops.convert_to_tensor

    def counted(value: object, *arguments: object, **options: object) -> object:
        if isinstance(value, np.ndarray) and value.ndim == 4:
            ups.append((value.shape, str(value.dtype)))
        return convert(value, *arguments, **options)

    made = selection.create_engine("keras", "float32", 10)
    networks = [made.load(SMALL, RANDOM) for _ in range(3)]
    monkeypatch.setattr(keras.ops, "convert_to_tensor", counted)
    for seed in range(4):
        pixels = pixels_of(seed)
        first, *others = [result().vector for result in [network.submit(pixels) for network in networks]]
        assert all(np.array_equal(first, other) for other in others)
    assert ups == [((10, SIDE, SIDE, 3), "uint8")] * 4


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_what_is_traced_takes_bytes(precision: str, small_ones: None) -> None:
    """So that Keras has nothing to convert before the upload."""
    network = selection.create_engine("keras", precision, 4).load(SMALL, RANDOM)
    network.submit(pixels_of(0, 4))()
    function = network._models[0].predict_function  # type: ignore[attr-defined]
    (traced,) = function._list_all_concrete_functions()
    types = {str(spec.dtype) for spec in traced.inputs if len(spec.shape) == 4 and spec.shape[-1] == 3}
    assert types == {"<dtype: 'uint8'>"}


def test_a_compiler_that_fails_is_done_without(small_ones: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    monkeypatch.setattr(keras.Model, "_resolve_auto_jit_compile", lambda _: True)
    monkeypatch.setattr(devices, "tensorflow_errors", lambda: (tf.errors.OpError,))
    start = engine.KerasNetwork._start

    def failing(self: engine.KerasNetwork, batch: object, copy: int) -> object:
        if self._models[copy].jit_compile:
            raise tf.errors.InternalError(None, None, "cannot be serialised\nat length")
        return start(self, batch, copy)

    monkeypatch.setattr(engine.KerasNetwork, "_start", failing)
    network = selection.create_engine("keras", "float32", 10).load(SMALL, RANDOM)
    expected = small(None, None)(pixels_of(0))["vector"]
    np.testing.assert_allclose(network.submit(pixels_of(0))().vector, expected, atol=1e-6)
    assert network.note == "MobileNetV2 is not compiled: cannot be serialised"


TWO_GPUS = """
    import os
    import sys

    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    import keras
    import numpy as np

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)

    from catsdogs.networks import devices
    from catsdogs.networks.engines import selection
    from tests.networks.engines import test_keras as given

    cards = [devices.Card("cpu:0", "T4", "7.5", 2**34), devices.Card("cpu:1", "T4", "7.5", 2**34)]
    devices.cards_in_use = lambda choice: devices.chosen(choice, cards)
    given.engine.build = given.small
    found, where = {}, {}
    for choice in ("one", "auto"):
        made = selection.create_engine("keras", "float32", 6, choice)
        assert made.copies == (1 if choice == "one" else 2), made.copies
        networks = [made.load(given.SMALL, given.RANDOM) for _ in range(2)]
        waiting = []
        for seed in range(5):
            pixels = given.pixels_of(seed, 6)
            waiting += [(seed, number, one.submit(pixels)) for number, one in enumerate(networks)]
        for seed, number, result in waiting:
            found[f"{choice} {number} {seed}"] = result().vector
    for copy in range(2):
        batch = made.upload(given.pixels_of(0, 6), copy)
        outputs = networks[0]._start(batch, copy)["vector"]
        where[str(copy)] = [str(one.device).lower().replace("_", ":")[-1] for one in (batch, outputs)]
    np.savez(sys.argv[1], **found, where=[where["0"], where["1"]])
"""


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_two_gpus_give_the_bits_of_one(backend: str, tmp_path: Path) -> None:
    """Two parts of the processor stand in for them."""
    need(backend)
    environment = os.environ | {"KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", textwrap.dedent(TWO_GPUS), str(tmp_path / "found.npz")]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    with np.load(tmp_path / "found.npz") as found:
        assert found["where"].tolist() == [["0", "0"], ["1", "1"]]
        for seed in range(5):
            for number in range(2):
                np.testing.assert_array_equal(found[f"auto {number} {seed}"], found[f"one 0 {seed}"])
        assert len(np.unique(found["one 0 0"], axis=0)) == 6

"""Several devices as one, and the precision that a card computes fast in."""

import functools
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.networks import devices
from tests.conftest import need, refused

BACKENDS = ("jax", "tensorflow")
Arrays = dict[str, np.ndarray]

TWO_DEVICES = """
    import os
    import sys

    # Unoptimised: to compile takes longer than to compute.
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    import keras
    import numpy as np

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)

    from catsdogs.networks import devices

    assert (devices.device_count("one"), devices.device_count("all")) == (1, 2)
"""


TRAINING = """
    from catsdogs.networks.architectures import small as architectures

    ROWS, BATCH = 20, 8
    pixels = np.random.default_rng(0).uniform(-1, 1, (ROWS, 32, 32, 3)).astype("float32")
    labels = np.random.default_rng(1).integers(0, 2, (ROWS, 1)).astype("float32")

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return -(-ROWS // BATCH)

        def __getitem__(self, number):
            places = np.arange(BATCH) + number * BATCH
            weights = (places < ROWS).astype("float32")  # the last batch is filled up with rows that do not count
            return pixels[places % ROWS], labels[places % ROWS], weights

    def trained(choice):
        keras.utils.set_random_seed(0)
        with devices.scope(choice):
            path = architectures.build("four-conv", 32, batch_norm=True)
            first, *others = [layer for layer in path.layers if isinstance(layer, keras.layers.BatchNormalization)]
            first.trainable = False  # as in a pretrained network; the others normalise over the batch
            model = keras.Sequential([path, keras.layers.Dense(1, "sigmoid", name="top")], name="model")
            optimizer = keras.optimizers.SGD(0.02, momentum=0.9)
            model.compile(optimizer, "binary_crossentropy", weighted_metrics=["accuracy"])
            kept = keras.callbacks.ModelCheckpoint(sys.argv[1] + "kept.weights.h5", save_weights_only=True)
            resumable = keras.callbacks.BackupAndRestore(sys.argv[1] + "state")
            watched = {"validation_data": Batches(workers=0), "callbacks": [kept, resumable]}
            before = {weight.path: weight.numpy() for weight in model.weights}
            history = model.fit(Batches(workers=1), shuffle=False, verbose=0, **watched).history
            model.load_weights(kept.filepath)
            predicted = model.predict(Batches(workers=0), verbose=0)[:ROWS]
            assert len(np.unique(predicted)) == ROWS  # so that rows in another order would show
        learnt = {f"{choice} {weight.path}": weight.numpy() - before[weight.path] for weight in model.weights}
        return learnt | {f"{choice} {name}": np.array(figures) for name, figures in history.items()} | {
            f"{choice} predicted": predicted
        }

    np.savez(sys.argv[1] + "training.npz", **trained("one"), **trained("all"))
"""

FEATURES = """
    from catsdogs.networks import weights
    from catsdogs.networks.architectures import small as architectures
    from catsdogs.networks.engines import selection
    from catsdogs.networks.table import BACKBONES

    def small(backbone, weights, policy):
        keras.utils.set_random_seed(0)
        image = keras.Input((32, 32, 3), dtype="uint8")
        vector = architectures.build("four-conv", 32)(keras.ops.cast(image, "float32") / 127.5 - 1)
        top = keras.ops.top_k(keras.layers.Dense(1000, "softmax")(vector), 10)
        return keras.Model(image, {"vector": vector, "topk_prob": top[0], "topk_class": top[1]})

    import catsdogs.networks.engines.keras

    catsdogs.networks.engines.keras.build = small  # to compile a pretrained network takes most of a minute
    backbone = BACKBONES["MobileNetV2"]
    batches = np.random.default_rng(0).integers(0, 256, (3, 6, 32, 32, 3), np.uint8)
    found = {}
    for choice in devices.CHOICES:
        engine = selection.create_engine("keras", "float32", 5 if choice == "all" else 6, choice)
        assert engine.batch_size == 6  # a multiple of two
        network = engine.load(backbone, weights.obtain(backbone, "random"))
        waiting = [network.submit(batch) for batch in batches]
        for number, result in enumerate(waiting):
            for name, array in result()._asdict().items():
                if array is not None:
                    found[f"{choice} {name} {number}"] = array
    parts = devices.split_batch(batches[0], "all")
    jax = keras.backend.backend() == "jax"
    found["parts"] = [part.data for part in parts.addressable_shards] if jax else [part for part in parts.values]
    found["batch"] = batches[0]
    np.savez(sys.argv[1] + "features.npz", **found)
"""

# TensorFlow starts once in a process; here it has none to start, and the program ends with that.
A_TPU = """
    os.environ["TPU_NAME"] = "local"
    devices._all_devices.cache_clear()
    devices.device_count("all")
"""


@pytest.fixture(scope="module")
def on_two_devices(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, str]]:
    """Of a backend: where its programs left their arrays, and the last output of its process. They run once."""

    @functools.cache
    def run(backend: str) -> tuple[Path, str]:
        need(backend)
        folder, tpu = tmp_path_factory.mktemp(backend), backend == "tensorflow"
        program = "".join(map(textwrap.dedent, (TWO_DEVICES, TRAINING, FEATURES, A_TPU if tpu else "")))
        environment = os.environ | {"KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, "-c", program, f"{folder}{os.sep}"]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
        assert (folder / "features.npz").exists() and ended.returncode == tpu, ended.stderr
        return folder, (ended.stderr.strip().splitlines() or [""])[-1]

    return run


def arrays(path: Path) -> Arrays:
    with np.load(path) as file:
        return dict(file)


def agree(found: Arrays) -> None:
    """What was found on one device and on both, but for the rounding, which batch normalisation amplifies."""
    names = [name.removeprefix("one ") for name in found if name.startswith("one ")]
    assert names
    for name in names:
        one, both = found[f"one {name}"], found[f"all {name}"]
        assert np.isfinite(one).all() and (one.shape, one.dtype) == (both.shape, both.dtype)
        assert np.linalg.norm(both - one) <= 0.01 * np.linalg.norm(one), name


@pytest.fixture
def unsettled() -> Iterator[None]:
    """Nothing is remembered of the devices, before the test or after it."""
    devices._all_devices.cache_clear()
    yield
    devices._all_devices.cache_clear()


@pytest.mark.parametrize("backend", BACKENDS)
def test_training_on_two_devices_is_training_on_one(backend: str, on_two_devices: Callable) -> None:
    found = arrays(on_two_devices(backend)[0] / "training.npz")
    agree(found)
    assert np.abs(found["one conv1/kernel"]).max() > 1e-4


@pytest.mark.parametrize("backend", BACKENDS)
def test_features_of_two_devices_are_those_of_one(backend: str, on_two_devices: Callable) -> None:
    found = arrays(on_two_devices(backend)[0] / "features.npz")
    np.testing.assert_array_equal(found["parts"], found["batch"].reshape(2, 3, 32, 32, 3))
    agree(found)
    vectors = np.concatenate([found[f"one vector {number}"] for number in range(3)])
    assert len(np.unique(vectors, axis=0)) == len(vectors)  # so that rows in another order would show


def test_another_choice() -> None:
    for function in (devices.check_choice, devices.device_count, devices.scope):
        with refused(UnknownNameError, r"No choice of devices is called 'two'\. Choose from: one, all"):
            function("two")


def test_one_device_changes_nothing() -> None:
    batch = np.zeros((3, 4), np.uint8)
    assert devices.device_count("one") == 1 and devices.split_batch(batch, "one") is batch


def test_a_batch_that_cannot_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "device_count", lambda choice: 2 if choice == "all" else 1)
    with refused(UsageError, r"A batch size of 7 for 2 devices\. Give --batch-size a multiple of 2"):
        devices.check_batch(7, "all")
    devices.check_batch(8, "all")
    devices.check_batch(7, "one")


def test_pytorch_has_no_data_parallel(unsettled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = SimpleNamespace(device_count=lambda: 2)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=gpus))
    monkeypatch.setattr(devices, "_backend", lambda: "torch")
    with refused(UsageError, r"PyTorch backend: Keras cannot share a batch among its 2 GPUs\. Set KERAS_BACKEND"):
        devices.scope("all")
    assert devices.device_count("one") == 1
    gpus.device_count = lambda: 1
    assert devices.device_count("all") == 1


def test_where_a_tpu_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "TPUS", (str(tmp_path / "accel0"),))
    for name in ("TPU_NAME", "TPU_WORKER_ID"):
        monkeypatch.delenv(name, raising=False)
    assert devices._tpu() is None
    (tmp_path / "accel0").touch()
    assert devices._tpu() == "local"
    (tmp_path / "accel0").unlink()
    monkeypatch.setenv("TPU_WORKER_ID", "0")
    assert devices._tpu() == "local"
    monkeypatch.setenv("TPU_NAME", "mine")
    assert devices._tpu() == "mine"


def test_a_tpu_that_tensorflow_cannot_start(on_two_devices: Callable) -> None:
    last = on_two_devices("tensorflow")[1]
    assert "UsageError: TensorFlow cannot start the TPU 'local': " in last
    assert last.endswith("Install tensorflow-tpu, or set KERAS_BACKEND=jax.")


def described(backend: str, kinds: list[object], monkeypatch: pytest.MonkeyPatch, models: str = "AAAA") -> None:
    """A machine with these GPUs, as the backend describes them: a compute capability, a name for another, or "tpu".

    `models` has a letter for each.
    """
    monkeypatch.setattr(devices, "_backend", lambda: backend)
    monkeypatch.setattr(devices, "on_accelerator", lambda _: bool(kinds))
    tpu = "tpu" in kinds
    if backend == "jax":
        parts = [{"platform": "tpu"} if tpu else {"platform": "gpu", "compute_capability": kind} for kind in kinds]
        found = [
            SimpleNamespace(id=number, device_kind=models[number], memory_stats=lambda: {"bytes_limit": 12}, **known)
            for number, known in enumerate({name: value for name, value in part.items() if value} for part in parts)
        ]
        library = SimpleNamespace(devices=lambda: found, local_devices=lambda: found)
        monkeypatch.setitem(sys.modules, "jax", library)
    elif backend == "tensorflow":
        monkeypatch.setattr(devices, "_memory_by_nvidia", lambda: 12)
        details = [
            {"compute_capability": kind, "device_name": models[number]} if kind else {"device_name": "METAL"}
            for number, kind in enumerate(kinds)
        ]
        config = SimpleNamespace(
            list_physical_devices=lambda kind: [] if tpu else list(range(len(kinds))),
            experimental=SimpleNamespace(get_device_details=lambda number: details[number]),
        )
        monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(config=config))
    else:
        properties = [
            SimpleNamespace(name=models[number], major=major, minor=minor, total_memory=12)
            for number, (major, minor) in enumerate(kind or (0, 0) for kind in kinds)
        ]
        cuda = SimpleNamespace(
            is_available=lambda: any(kinds),
            device_count=lambda: len(kinds),
            get_arch_list=list,
            get_device_properties=lambda number: properties[number],
        )
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
@pytest.mark.parametrize(
    ("major", "minor", "precision"),
    [
        *((6, 0, "float16"), (6, 1, "float32"), (6, 2, "float32"), (5, 2, "float32"), (3, 7, "float32")),
        *((7, 0, "float16"), (7, 5, "float16")),
        *((8, 0, "bfloat16"), (8, 6, "bfloat16"), (8, 9, "bfloat16"), (9, 0, "bfloat16"), (12, 0, "bfloat16")),
    ],
)
def test_the_precision_is_what_the_card_is_fast_in(
    backend: str, major: int, minor: int, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    described(backend, [f"{major}.{minor}" if backend == "jax" else (major, minor)], monkeypatch)
    assert devices.fast_precision("one") == devices.fast_precision("auto") == precision


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_cards_of_one_model_share_the_work(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ["7.5", "7.5", "8.0", "7.5"] if backend == "jax" else [(7, 5), (7, 5), (8, 0), (7, 5)]
    described(backend, kinds, monkeypatch, "TTAT")
    kind = "cuda" if backend == "torch" else "gpu"
    for choice in ("auto", "all"):
        cards = devices.cards_in_use(choice)
        assert [card.name for card in cards] == [f"{kind}:0", f"{kind}:1", f"{kind}:3"]
        assert devices.smallest_memory(cards) == 12 and devices.fast_precision(choice) == "float16"
    assert [card.name for card in devices.cards_in_use("one")] == [f"{kind}:0"]
    described(backend, [], monkeypatch)
    assert devices.cards_in_use("auto") == [] and devices.smallest_memory([]) is None


@pytest.mark.parametrize(
    ("capability", "built_for", "runs"),
    [
        ((6, 0), ["sm_70", "sm_75", "sm_120"], False),  # a P100 and a package of CUDA 12.8
        ((6, 0), ["sm_50", "sm_60", "sm_70"], True),
        ((7, 5), ["sm_70", "sm_80"], True),
        ((8, 9), ["sm_80", "sm_86", "sm_90a"], True),
        ((9, 0), ["sm_90a"], True),
        ((10, 0), ["sm_90", "sm_120"], False),
        ((12, 1), ["sm_90", "compute_90"], True),
        ((7, 0), ["compute_90"], False),
        ((9, 0), ["gfx90a"], True),
        ((9, 0), [], True),
    ],
)
def test_a_card_that_a_library_has_no_code_for(capability: tuple[int, int], built_for: list[str], runs: bool) -> None:
    assert devices._has_code(capability, built_for) is runs


@pytest.mark.parametrize(
    ("told", "memory"), [("15360\n16384\n", 15360 * 2**20), ("", None), ("[N/A]\n", None), ("no devices", None)]
)
def test_memory_as_nvidia_s_tool_tells_it(
    told: str, memory: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "told").write_text(told)
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat {tmp_path / 'told'}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert devices._memory_by_nvidia() == memory


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_other_accelerators(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    described(backend, [None], monkeypatch)
    assert devices.fast_precision("one") == "float32"
    described(backend, [], monkeypatch)
    assert devices.fast_precision("one") == "float32"
    if backend == "jax":
        described(backend, ["gfx90a"], monkeypatch)
        assert devices.fast_precision("one") == "float32"
    if backend != "torch":
        described(backend, ["tpu"], monkeypatch)
        assert devices.fast_precision("one") == "bfloat16"

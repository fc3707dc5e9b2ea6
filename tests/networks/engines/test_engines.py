import os
import platform
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from catsdogs.errors import UnknownNameError, UsageError, WeightsError
from catsdogs.features import extract, feature_file, worker
from catsdogs.networks import weights
from catsdogs.networks.engines import export, interface, openvino, selection
from catsdogs.networks.engines import interface as interface_module
from catsdogs.networks.engines.interface import Network
from catsdogs.networks.table import BACKBONES
from catsdogs.networks.weights import Weights
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset
from tests.conftest import jpeg, need, need_bfloat16_of_keras, refused

LITE0 = BACKBONES["EfficientNetLite0"]
BATCH = 4


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    return np.stack([images.load(jpeg(seed), [224]).by_size[224] for seed in range(BATCH)])


@pytest.fixture(scope="module", params=interface_module.ENGINES)
def network(request: pytest.FixtureRequest) -> Network:
    return lite0(request.param, "float32")


@pytest.fixture(scope="module")
def keras_network() -> Network:
    return lite0("keras", "float32")


def lite0(engine: str, precision: str) -> Network:
    need(str(LITE0.package))
    return selection.create(engine, precision, BATCH).load(LITE0, weights.obtain(LITE0, None))


def cosines(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row by row."""
    return (ours * theirs).sum(axis=1) / (np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1))


def test_unknown_names_list_the_valid_ones() -> None:
    with refused(UnknownNameError, r"No engine is called 'tpu'\. Choose from: auto, keras, openvino"):
        selection.create("tpu", "float32", None)
    with refused(UnknownNameError, r"No precision is called 'int3'\. Choose from: auto, float32, bfloat16"):
        selection.create("keras", "int3", None)
    for size in (0, -1):
        with refused(UsageError, rf"A batch size of {size}\. Give --batch-size"):
            selection.create("keras", "float32", size)


def test_all_devices_are_keras_s() -> None:
    with refused(UsageError, r"OpenVINO uses every core .* Leave --devices out, or give --engine keras"):
        selection.create("openvino", "float32", None, "all")
    with refused(UnknownNameError, r"No choice of devices is called 'both'\. Choose from: one, all"):
        selection.check_engine("auto", "auto", None, "both")
    engine = selection.create("auto", "float32", 6, "all")
    assert engine.name == "keras" and engine.batch_size >= 6


@pytest.mark.parametrize("backend", ["bogus", "jax"])
def test_backend_that_keras_lacks(backend: str) -> None:
    code = "import sys; sys.modules['jax'] = None  # absent\n"
    code += "from catsdogs.networks.engines import selection; selection.create('keras', 'auto', None)"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=300,
    )
    last = ended.stderr.splitlines()[-1]
    assert f"UsageError: Keras cannot start on KERAS_BACKEND={backend}: " in last
    assert last.endswith("Set KERAS_BACKEND to tensorflow, jax or torch, whichever is installed.")


def test_auto_settles_on_names_that_can_be_asked_for() -> None:
    engine = selection.create("auto", "auto", None)
    assert (
        engine.name in interface_module.ENGINES and engine.precision in interface.PRECISIONS and engine.batch_size > 0
    )
    again = selection.create(engine.name, engine.precision, 7)
    assert (again.name, again.precision, again.batch_size) == (engine.name, engine.precision, 7)


def test_output(network: Network, pixels: NDArray[np.uint8]) -> None:
    output = network.submit(pixels)()
    assert output.topk_prob is not None and output.topk_class is not None
    assert (output.vector.shape, output.vector.dtype) == ((BATCH, LITE0.width), np.float32)
    assert (output.topk_prob.dtype, output.topk_class.dtype) == (np.float32, np.int16)
    assert np.isfinite(output.vector).all() and output.topk_class.min() >= 0 and output.topk_class.max() < 1000
    assert (np.diff(output.topk_prob, axis=1) <= 0).all() and (output.topk_prob.sum(axis=1) <= 1 + 1e-5).all()


def test_a_padded_batch_does_not_change_its_rows(network: Network, pixels: NDArray[np.uint8]) -> None:
    padded = np.zeros_like(pixels)
    padded[:2] = pixels[:2]
    whole, part = network.submit(pixels)(), network.submit(padded)()
    np.testing.assert_allclose(part.vector[:2], whole.vector[:2], atol=1e-5)
    np.testing.assert_array_equal(part.topk_class[:2, 0], whole.topk_class[:2, 0])


def test_results_can_be_asked_for_late_and_in_any_order(network: Network, pixels: NDArray[np.uint8]) -> None:
    order = [np.roll(pixels, shift, axis=0) for shift in range(BATCH)] * 2
    waiting = [network.submit(batch) for batch in order]
    got = [result() for result in reversed(waiting)][::-1]
    for shift, output in enumerate(got):
        np.testing.assert_allclose(np.roll(output.vector, -shift, axis=0), got[0].vector, atol=1e-5)


@pytest.mark.parametrize("engine", interface_module.ENGINES)
def test_bfloat16_is_close_to_float32(keras_network: Network, pixels: NDArray[np.uint8], engine: str) -> None:
    if engine == "openvino" and not openvino.computes_bfloat16():
        with refused(UsageError, "does not compute in bfloat16"):
            lite0(engine, "bfloat16")
        return
    if engine == "keras":
        need_bfloat16_of_keras()
    rounded, exact = lite0(engine, "bfloat16").submit(pixels)(), keras_network.submit(pixels)()
    assert rounded.vector.dtype == np.float32
    assert cosines(rounded.vector, exact.vector).min() > 0.98
    assert (rounded.vector != exact.vector).any()


def test_engines_agree_in_float32(network: Network, keras_network: Network, pixels: NDArray[np.uint8]) -> None:
    ours, theirs = network.submit(pixels)(), keras_network.submit(pixels)()
    assert cosines(ours.vector, theirs.vector).min() > 0.999999
    np.testing.assert_allclose(ours.topk_prob, theirs.topk_prob, atol=1e-4)


class TestExport:
    def test_a_network_is_exported_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lite0("openvino", "float32")
        monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("exported again"))
        output = lite0("openvino", "float32").submit(np.zeros((BATCH, 224, 224, 3), np.uint8))()
        assert output.vector.shape == (BATCH, LITE0.width)

    @pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
    def test_a_damaged_network_is_exported_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
    ) -> None:
        def write(_backbone: object, _weights: object, path: Path) -> None:
            made.append(path)
            for suffix in (".xml", ".bin"):
                path.with_suffix(suffix).write_bytes(b"network" * 100)

        made: list[Path] = []
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(export, "_export_elsewhere", write)
        path = export.exported(LITE0, Weights(None, "random"))
        victim = path.with_suffix(".xml" if damage == "remove" else ".bin")
        whole = victim.read_bytes()
        if damage == "remove":
            victim.unlink()
        else:
            victim.write_bytes(whole[:-1] + (b"!" if damage == "flip" else b""))
        assert export.exported(LITE0, Weights(None, "random")) == path
        assert victim.read_bytes() == whole and len(made) == 2
        assert export.exported(LITE0, Weights(None, "other")) != path

    def test_one_process_exports_several_networks_until_they_compute(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def start(command: list[str], **how: object) -> "subprocess.Popen[str]":
            process = popen(command, **how)
            started.extend([process] if export.__name__ in command else [])
            return process

        started: list[subprocess.Popen[str]] = []
        popen = subprocess.Popen
        export.release()
        monkeypatch.setattr(subprocess, "Popen", start)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        engine = selection.create("openvino", "float32", 1)
        with h5py.File(tmp_path / "MobileNet.weights.h5", "w") as file:
            file["a"] = [1.0]
        loaded = [engine.load(LITE0, Weights(None, "random"))]
        with refused(WeightsError, "does not fit MobileNet"):
            engine.load(BACKBONES["MobileNet"], weights.obtain(BACKBONES["MobileNet"], str(tmp_path)))
        loaded.append(engine.load(BACKBONES["MobileNetV3Small"], Weights(None, "random")))
        assert len(started) == 1 and started[0].poll() is None
        loaded[0].submit(np.zeros((1, 224, 224, 3), np.uint8))()
        assert started[0].poll() == 0
        # Killed while it exports, it is named as the reason; the next network gets another one.
        begun = export._exporter._started()
        begun.kill()
        begun.wait()
        engine.load(BACKBONES["MobileNet"], Weights(None, "random"))
        assert len(started) == 3
        export.release()
        assert not list(tmp_path.rglob("*.tmp"))

    def test_weights_that_do_not_fit(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "Xception.weights.h5", "w") as file:
            file["a"] = [1.0]
        xception = BACKBONES["Xception"]
        with refused(WeightsError, r"Xception\.weights\.h5 does not fit Xception: it holds 1 arrays"):
            export.exported(xception, weights.obtain(xception, str(tmp_path)))
        cache = Path(os.environ["XDG_CACHE_HOME"]) / "catsdogs/openvino"
        assert not [path for path in cache.glob("Xception*") if path.is_dir()]

    def test_without_tensorflow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "tensorflow.py").write_text("raise ModuleNotFoundError('no tensorflow here')")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.syspath_prepend(tmp_path)
        with refused(WeightsError, r"cannot be exported for OpenVINO: .*no tensorflow here\. Install tensorflow"):
            export.exported(BACKBONES["MobileNetV2"], Weights(None, "random"))

    def test_modules_in_the_folder_of_the_call_are_not_meant(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "keras.py").write_text("raise SystemExit('not Keras')")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        assert export.exported(LITE0, Weights(None, "random")).exists()

    def test_the_converter_is_told_the_version_of_tensorflow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From Python 3.13 on it cannot find that out, and no network could be exported."""
        from openvino.frontend.tensorflow import utils

        monkeypatch.setattr(utils, "get_environment_setup", utils.get_environment_setup)  # put back at the end
        monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(__version__="9.9"))
        with monkeypatch.context() as patch:
            patch.setattr(export.sys, "version_info", (3, 13))
            export._mend_converter()
        assert utils.get_environment_setup("tf") == {"tensorflow": "9.9"}

    def test_cache_that_cannot_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setattr(export, "_cache", lambda: tmp_path / "file")  # nor is there another
        with refused(WeightsError, r"EfficientNetLite0 cannot be kept in .*: .* set XDG_CACHE_HOME"):
            export.exported(LITE0, Weights(None, "random"))
        assert export.remembered("anything", lambda: True) is True


def test_a_failed_inference_is_raised_and_the_next_one_runs(pixels: NDArray[np.uint8]) -> None:
    network = lite0("openvino", "float32")
    for _ in range(5):  # more than there are requests: each must come back
        with pytest.raises(Exception, match="shape"):
            network.submit(np.zeros((BATCH, 7, 7, 3), np.uint8))()
    assert np.isfinite(network.submit(pixels)().vector).all()


def test_a_process_that_ends_with_batches_under_way() -> None:
    lite0("openvino", "float32")
    code = """
        import sys
        import numpy as np
        from catsdogs.networks import weights
        from catsdogs.networks.engines import selection
        from catsdogs.networks.table import BACKBONES

        backbone = BACKBONES["EfficientNetLite0"]
        network = selection.create("openvino", "float32", 4).load(backbone, weights.obtain(backbone, None))
        for _ in range(4):
            network.submit(np.zeros((4, 224, 224, 3), np.uint8))
        assert not {"keras", "tensorflow", "openvino_telemetry.main"} & set(sys.modules)
    """
    for _ in range(3):
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=300)


def test_the_verdict_on_bfloat16_is_found_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"bf16": 1.0, "f32": 2.0}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(openvino, "computes_bfloat16", lambda: True)
    monkeypatch.setattr(openvino, "_seconds_of_a_convolution", lambda hint: seconds[hint])
    assert openvino.bfloat16_is_faster()
    seconds["bf16"] = 3.0
    assert openvino.bfloat16_is_faster()
    next(tmp_path.rglob("*.json")).write_text("{")
    assert not openvino.bfloat16_is_faster()


def test_bfloat16_is_taken_only_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "computes_bfloat16", lambda: True)
    for faster, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(openvino, "bfloat16_is_faster", lambda faster=faster: faster)
        assert selection.create("openvino", "auto", None).precision == precision
        assert selection.create("openvino", "float32", None).precision == "float32"


def test_instructions_that_may_not_be_used_are_not_counted_on() -> None:
    """What oneDNN is told of the processor, OpenVINO's own list of what it can do does not know."""
    code = (
        "from catsdogs.networks.engines import selection; print(selection.create('openvino', 'auto', None).precision)"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    # Arm's processors are not limited by it: any precision will do there.
    assert ended.stdout.strip() == "float32" or (platform.machine() not in ("x86_64", "AMD64") and not ended.returncode)


def test_a_gpu_that_keras_does_not_use_leaves_the_work_to_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "ACCELERATORS", (os.devnull,))
    engine = selection.create("auto", "float32", None)
    assert engine.name == ("keras" if getattr(engine, "on_gpu", False) else "openvino")


@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=pytest.mark.optional("torch"))])
def test_other_backends_of_keras_agree(
    keras_network: Network, pixels: NDArray[np.uint8], tmp_path: Path, backend: str
) -> None:
    need(backend)
    code = """
        import sys
        import numpy as np
        from catsdogs.networks import weights
        from catsdogs.networks.engines import selection
        from catsdogs.networks.table import BACKBONES

        pixels, out = sys.argv[1:]
        engine = selection.create("keras", "float32", 4)
        backbone = BACKBONES["EfficientNetLite0"]
        output = engine.load(backbone, weights.obtain(backbone, None)).submit(np.load(pixels))()
        np.savez(out, backend=engine.backend, **output._asdict())
    """
    np.save(tmp_path / "pixels.npy", pixels)
    arguments = [tmp_path / "pixels.npy", tmp_path / "out.npz"]
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        # Unoptimised: for JAX to compile takes longer than to compute.
        env=os.environ | {"KERAS_BACKEND": backend, "XLA_FLAGS": "--xla_backend_optimization_level=0"},
        check=True,
        timeout=300,
    )
    with np.load(tmp_path / "out.npz") as got:
        expected = keras_network.submit(pixels)()
        assert got["backend"] == backend
        assert got["topk_class"].dtype == np.int16
        np.testing.assert_allclose(got["vector"], expected.vector, atol=1e-4)
        np.testing.assert_allclose(got["topk_prob"], expected.topk_prob, atol=1e-4)


@pytest.mark.parametrize(
    ("engine", "precision"), [("keras", "bfloat16"), ("keras", "float16"), ("openvino", "bfloat16")]
)
def test_the_ten_best_do_not_tie_in_a_low_precision(engine: str, precision: str) -> None:
    if engine == "openvino" and not openvino.computes_bfloat16():
        pytest.skip("this processor does not compute in bfloat16")
    pixels = np.stack([images.load(jpeg(seed), [224]).by_size[224] for seed in range(16)])
    network = lite0(engine, precision)
    outputs = [network.submit(pixels[start : start + BATCH])() for start in range(0, len(pixels), BATCH)]
    assert all((np.diff(output.topk_prob, axis=1) < 0).all() for output in outputs)


def test_openvino_refuses_float16() -> None:
    with refused(UsageError, r"OpenVINO does not compute in float16 here\. Give --precision float32"):
        selection.create("openvino", "float16", None)


def test_vectors_agree_or_do_not() -> None:
    exact = np.random.default_rng(0).normal(size=(3, 100)).astype(np.float32)
    assert interface.agree(exact, exact) and interface.agree(exact.astype(np.float16).astype(np.float32), exact)
    for number in (0, np.nan, np.inf, 5):
        rounded = exact.copy()
        rounded[1, :20] = number
        assert not interface.agree(rounded, exact)


class OutOfMemoryError(RuntimeError):
    """As PyTorch calls it."""


MEMORY_ERRORS = [
    OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor with shape[256,64,112,112]"),
    type("XlaRuntimeError", (RuntimeError,), {})("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes."),
    type("InternalError", (Exception,), {})("CUDNN_STATUS_ALLOC_FAILED"),
]


class TestOutOfMemory:
    """A GPU whose memory takes so many photographs at once is stood in for."""

    @pytest.fixture
    def sizes(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        from catsdogs.networks.engines import keras as engine

        def start(self: object, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
            tried.append(len(pixels))
            if len(pixels) > self.fits:  # type: ignore[attr-defined]
                raise self.error  # type: ignore[attr-defined]
            return {"vector": pixels.reshape(len(pixels), -1)[:, :2].astype(np.float32)}

        tried: list[int] = []
        monkeypatch.setattr(engine.KerasNetwork, "_start", start)
        monkeypatch.setattr(engine.KerasNetwork, "fits", 3, raising=False)
        monkeypatch.setattr(engine.KerasNetwork, "error", MEMORY_ERRORS[0], raising=False)
        monkeypatch.setattr(engine, "build", lambda *_: SimpleNamespace(name="Small", compile=lambda **_: None))
        return tried

    @pytest.mark.parametrize("error", MEMORY_ERRORS, ids=lambda error: type(error).__name__)
    def test_the_batch_is_halved_and_the_work_goes_on(
        self, sizes: list[int], error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from catsdogs.networks.engines import keras as engine

        monkeypatch.setattr(engine.KerasNetwork, "error", error)
        network = selection.create("keras", "float32", 10).load(LITE0, Weights(None, "random"))
        batches = [np.arange(10 * 4, dtype=np.uint8).reshape(10, 2, 2, 1) + number for number in range(3)]
        waiting = [network.submit(batch) for batch in batches]
        for batch, result in zip(batches, waiting, strict=True):
            np.testing.assert_array_equal(result().vector, batch.reshape(10, -1)[:, :2])
        assert network.note == "Small: 5 photographs at once do not fit into the GPU's memory, 2 do"
        del sizes[:]
        network.submit(batches[0])()
        assert sizes == [2] * 5  # and is not tried at full size again

    def test_not_even_one(self, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
        from catsdogs.networks.engines import keras as engine

        monkeypatch.setattr(engine.KerasNetwork, "fits", 0)
        network = selection.create("keras", "float32", 4).load(LITE0, Weights(None, "random"))
        with refused(UsageError, "Small does not fit into the memory of the GPU"):
            network.submit(np.zeros((4, 2, 2, 1), np.uint8))()
        assert sizes == [4, 2, 1]

    def test_other_failures_are_not_taken_for_it(self, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
        from catsdogs.networks.engines import keras as engine

        monkeypatch.setattr(engine.KerasNetwork, "error", ValueError("wrong shape"))
        network = selection.create("keras", "float32", 4).load(LITE0, Weights(None, "random"))
        with pytest.raises(ValueError, match="wrong shape"):
            network.submit(np.zeros((4, 2, 2, 1), np.uint8))()
        assert sizes == [4]


class TestPrecisionIsTried:
    """On the first photographs, before anything is kept; the GPU is stood in for."""

    @pytest.fixture
    def volta(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from catsdogs.networks.engines import keras as engine

        need(str(LITE0.package))
        monkeypatch.setattr(engine, "fast_precision", lambda _: "float16")

    def test_what_agrees_is_kept(self, volta: None, make_dataset: Callable[..., Dataset], tmp_path: Path) -> None:
        how = worker.Settings(engine="keras", batch_size=4)
        summary = extract.extract(make_dataset(), [LITE0.name], tmp_path / "features", how)
        assert feature_file.recipe_of(summary.paths[0]).precision == "float16" and summary.notes == []

    def test_what_does_not_is_computed_in_float32(
        self, volta: None, make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interface, "SMALLEST_COSINE", 1.1)
        how = worker.Settings(engine="keras", batch_size=4)
        summary = extract.extract(make_dataset(), [LITE0.name], tmp_path / "features", how)
        assert feature_file.recipe_of(summary.paths[0]).precision == "float32"
        assert summary.notes == ["EfficientNetLite0 computes in float32: float16 gives other vectors here"]
        again = extract.extract(make_dataset(), [LITE0.name], tmp_path / "features", how)  # the file says what it is
        assert again.computed == {LITE0.name: 0} and again.notes == []

"""What all engines have in common, and that they agree."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.networks.engines import interface, openvino, selection
from catsdogs.networks.engines.interface import Network
from catsdogs.photographs import images
from tests.conftest import need, need_bfloat16_of_keras, refused
from tests.support.datasets import jpeg
from tests.support.engines import BATCH, LITE0, lite0

KERAS_ENGINES = ("keras", "openvino")  # those that run Keras's networks


@pytest.fixture(scope="module", params=KERAS_ENGINES)
def network(request: pytest.FixtureRequest) -> Network:
    return lite0(request.param, "float32")


@pytest.fixture(scope="module")
def keras_network() -> Network:
    return lite0("keras", "float32")


def cosines(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row by row."""
    return (ours * theirs).sum(axis=1) / (np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1))


def test_unknown_names_list_the_valid_ones() -> None:
    with refused(UnknownNameError, r"No engine is called 'tpu'\. Choose from: auto, keras, openvino"):
        selection.create_engine("tpu", "float32", None)
    with refused(UnknownNameError, r"No precision is called 'int3'\. Choose from: auto, float32, bfloat16"):
        selection.create_engine("keras", "int3", None)
    for size in (0, -1):
        with refused(UsageError, rf"A batch size of {size}\. Give --batch-size"):
            selection.create_engine("keras", "float32", size)


def test_all_devices_are_keras_s() -> None:
    with refused(UsageError, r"OpenVINO uses every core .* Leave --devices out, or give --engine keras"):
        selection.create_engine("openvino", "float32", None, "all")
    with refused(UnknownNameError, r"No choice of devices is called 'both'\. Choose from: auto, one, all"):
        selection.check_engine("auto", "auto", None, "both")
    engine = selection.create_engine("auto", "float32", 6, "all")
    assert engine.name == "keras" and engine.batch_size >= 6


@pytest.mark.parametrize("backend", ["bogus", "jax"])
def test_backend_that_keras_lacks(backend: str) -> None:
    code = "import sys; sys.modules['jax'] = None  # absent\n"
    code += "from catsdogs.networks.engines import selection; selection.create_engine('keras', 'auto', None)"
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
    engine = selection.create_engine("auto", "auto", None)
    assert engine.name in interface.ENGINES and engine.precision in interface.PRECISIONS and engine.batch_size > 0
    again = selection.create_engine(engine.name, engine.precision, 7)
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


@pytest.mark.parametrize("engine", KERAS_ENGINES)
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
        engine = selection.create_engine("keras", "float32", 4)
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
    pixels = np.stack([images.square(jpeg(seed), 224) for seed in range(16)])
    network = lite0(engine, precision)
    outputs = [network.submit(pixels[start : start + BATCH])() for start in range(0, len(pixels), BATCH)]
    assert all((np.diff(output.topk_prob, axis=1) < 0).all() for output in outputs)


def test_vectors_agree_or_do_not() -> None:
    exact = np.random.default_rng(0).normal(size=(3, 100)).astype(np.float32)
    assert interface.agree(exact, exact) and interface.agree(exact.astype(np.float16).astype(np.float32), exact)
    for number in (0, np.nan, np.inf, 5):
        rounded = exact.copy()
        rounded[1, :20] = number
        assert not interface.agree(rounded, exact)

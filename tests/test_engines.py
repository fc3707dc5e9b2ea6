import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from catsdogs import engines, images
from catsdogs.backbones import TABLE, weights
from catsdogs.engines import Network, openvino
from catsdogs.errors import UnknownNameError, UsageError
from tests.conftest import jpeg, need, refused

LITE0 = TABLE["EfficientNetLite0"]
BATCH = 4


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    return np.stack([images.load(jpeg(seed), [224]).by_size[224] for seed in range(BATCH)])


@pytest.fixture(scope="module", params=engines.NAMES)
def network(request: pytest.FixtureRequest) -> Network:
    return lite0(request.param, "float32")


@pytest.fixture(scope="module")
def keras_network() -> Network:
    return lite0("keras", "float32")


def lite0(engine: str, precision: str) -> Network:
    need(str(LITE0.package))
    return engines.create(engine, precision, BATCH).load(LITE0, weights.obtain(LITE0, None))


def cosines(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row by row."""
    return (ours * theirs).sum(axis=1) / (np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1))


def test_unknown_names_list_the_valid_ones() -> None:
    with refused(UnknownNameError, r"No engine is called 'tpu'\. Choose from: auto, keras, openvino"):
        engines.create("tpu", "float32", None)
    with refused(UnknownNameError, r"No precision is called 'int3'\. Choose from: auto, float32, bfloat16"):
        engines.create("keras", "int3", None)
    for size in (0, -1):
        with refused(UsageError, rf"A batch size of {size}\. Give --batch-size"):
            engines.create("keras", "float32", size)


@pytest.mark.parametrize("backend", ["bogus", "jax"])
def test_backend_that_keras_lacks(backend: str) -> None:
    code = "import sys; sys.modules['jax'] = None  # absent\n"
    code += "from catsdogs import engines; engines.create('keras', 'auto', None)"
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
    engine = engines.create("auto", "auto", None)
    assert engine.name in engines.NAMES and engine.precision in engines.PRECISIONS and engine.batch_size > 0
    again = engines.create(engine.name, engine.precision, 7)
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


@pytest.mark.parametrize("engine", engines.NAMES)
def test_bfloat16_is_close_to_float32(keras_network: Network, pixels: NDArray[np.uint8], engine: str) -> None:
    if engine == "openvino" and not openvino.computes_bfloat16():
        with refused(UsageError, "does not compute in bfloat16"):
            lite0(engine, "bfloat16")
        return
    rounded, exact = lite0(engine, "bfloat16").submit(pixels)(), keras_network.submit(pixels)()
    assert rounded.vector.dtype == np.float32
    assert cosines(rounded.vector, exact.vector).min() > 0.99
    assert (rounded.vector != exact.vector).any()


def test_engines_agree_in_float32(network: Network, keras_network: Network, pixels: NDArray[np.uint8]) -> None:
    ours, theirs = network.submit(pixels)(), keras_network.submit(pixels)()
    assert cosines(ours.vector, theirs.vector).min() > 0.999999
    np.testing.assert_allclose(ours.topk_prob, theirs.topk_prob, atol=1e-4)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_of_keras_agree(
    keras_network: Network, pixels: NDArray[np.uint8], tmp_path: Path, backend: str
) -> None:
    need(backend)
    code = """
        import sys
        import numpy as np
        from catsdogs import engines
        from catsdogs.backbones import TABLE, weights

        pixels, out = sys.argv[1:]
        engine = engines.create("keras", "float32", 4)
        backbone = TABLE["EfficientNetLite0"]
        output = engine.load(backbone, weights.obtain(backbone, None)).submit(np.load(pixels))()
        np.savez(out, backend=engine.backend, **output._asdict())
    """
    np.save(tmp_path / "pixels.npy", pixels)
    arguments = [tmp_path / "pixels.npy", tmp_path / "out.npz"]
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env=os.environ | {"KERAS_BACKEND": backend},
        check=True,
        timeout=300,
    )
    with np.load(tmp_path / "out.npz") as got:
        expected = keras_network.submit(pixels)()
        assert got["backend"] == backend
        assert got["topk_class"].dtype == np.int16
        np.testing.assert_allclose(got["vector"], expected.vector, atol=1e-4)
        np.testing.assert_allclose(got["topk_prob"], expected.topk_prob, atol=1e-4)

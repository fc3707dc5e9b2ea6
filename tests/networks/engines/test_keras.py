"""The Keras engine where a GPU's memory runs out."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from catsdogs.errors import UsageError
from catsdogs.networks.engines import selection
from catsdogs.networks.weights import Weights
from tests.conftest import refused
from tests.support.engines import LITE0


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
        network = selection.create_engine("keras", "float32", 10).load(LITE0, Weights(None, "random"))
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
        network = selection.create_engine("keras", "float32", 4).load(LITE0, Weights(None, "random"))
        with refused(UsageError, "Small does not fit into the memory of the GPU"):
            network.submit(np.zeros((4, 2, 2, 1), np.uint8))()
        assert sizes == [4, 2, 1]

    def test_other_failures_are_not_taken_for_it(self, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
        from catsdogs.networks.engines import keras as engine

        monkeypatch.setattr(engine.KerasNetwork, "error", ValueError("wrong shape"))
        network = selection.create_engine("keras", "float32", 4).load(LITE0, Weights(None, "random"))
        with pytest.raises(ValueError, match="wrong shape"):
            network.submit(np.zeros((4, 2, 2, 1), np.uint8))()
        assert sizes == [4]

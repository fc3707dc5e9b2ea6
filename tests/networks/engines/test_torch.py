"""The PyTorch engine: which networks it runs, in what precision, and where a GPU's memory runs out."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from catsdogs.errors import UsageError
from catsdogs.networks import devices, timm_rows
from catsdogs.networks.engines import selection
from catsdogs.networks.engines import torch as engine
from catsdogs.networks.engines.interface import agree
from catsdogs.networks.table import BACKBONES, HUB, Backbone
from catsdogs.networks.weights import RANDOM_WEIGHTS, Weights
from tests.conftest import refused
from tests.support import timm_networks

RANDOM = Weights(None, RANDOM_WEIGHTS)
BATCH = 10


@pytest.fixture(scope="module")
def row() -> Backbone:
    return timm_rows.row("tiny_vit_cls").network


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    side = timm_networks.SIDE
    return np.random.default_rng(0).integers(0, 256, (BATCH, side, side, 3), np.uint8)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_is_close_to_float32(row: Backbone, pixels: NDArray[np.uint8], precision: str) -> None:
    exact = selection.exact_vectors("torch", row, RANDOM, pixels)
    output = selection.create_engine("torch", precision, BATCH).load(row, RANDOM).submit(pixels)()
    assert output.vector.dtype == np.float32 and agree(output.vector, exact)
    assert not np.array_equal(output.vector, exact)


def test_batches_come_back_in_order(row: Backbone, pixels: NDArray[np.uint8]) -> None:
    network = selection.create_engine("torch", "float32", BATCH).load(row, RANDOM)
    waiting = [network.submit(np.roll(pixels, shift, axis=0)) for shift in range(8)]
    whole = waiting[0]().vector
    for shift, result in enumerate(waiting):
        np.testing.assert_allclose(result().vector, np.roll(whole, shift, axis=0), atol=1e-5)


class TestOutOfMemory:
    """A GPU whose memory takes so many photographs at once is stood in for."""

    @pytest.fixture
    def fits(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        fitting, start = [3], engine.TorchNetwork._start

        def limited(self: engine.TorchNetwork, pixels: NDArray[np.uint8]) -> object:
            if len(pixels) > fitting[0]:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return start(self, pixels)

        monkeypatch.setattr(engine.TorchNetwork, "_start", limited)
        return fitting

    def test_the_batch_is_halved_and_the_work_goes_on(
        self, row: Backbone, pixels: NDArray[np.uint8], fits: list[int]
    ) -> None:
        network = selection.create_engine("torch", "float32", BATCH).load(row, RANDOM)
        waiting = [network.submit(pixels[::step]) for step in (1, -1, 1)]
        exact = selection.exact_vectors("torch", row, RANDOM, pixels)
        for step, result in zip((1, -1, 1), waiting, strict=True):
            np.testing.assert_allclose(result().vector, exact[::step], atol=1e-5)
        assert network.note.endswith(": 5 photographs at once do not fit into the GPU's memory, 2 do")

    def test_not_even_one(self, row: Backbone, pixels: NDArray[np.uint8], fits: list[int]) -> None:
        fits[0] = 0
        network = selection.create_engine("torch", "float32", BATCH).load(row, RANDOM)
        with refused(UsageError, "does not fit into the memory of the GPU"):
            network.submit(pixels)()

    def test_other_failures_are_not_taken_for_it(self, row: Backbone) -> None:
        network = selection.create_engine("torch", "float32", BATCH).load(row, RANDOM)
        with pytest.raises(Exception, match=r"size|height|shape"):
            network.submit(np.zeros((BATCH, 7, 7, 3), np.uint8))()
        assert not network.note


def test_numbers_beyond_a_precision(row: Backbone, pixels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    network = selection.create_engine("torch", "float16", BATCH).load(row, RANDOM)
    with torch.no_grad():
        network._module.model.norm.weight.fill_(torch.inf)  # type: ignore[attr-defined]
    with refused(UsageError, r"gives numbers that float16 cannot hold\. Give --precision float32"):
        network.submit(pixels)()


class TestSelection:
    def test_auto_is_openvino_without_a_gpu_and_pytorch_with_one(
        self, row: Backbone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for gpus, driver, name in ((0, True, "openvino"), (1, True, "torch"), (1, False, "openvino")):
            monkeypatch.setattr(selection, "ACCELERATORS", (os.devnull,) if driver else ())
            monkeypatch.setattr(selection.shutil, "which", lambda _: None)
            monkeypatch.setattr(torch.cuda, "is_available", lambda gpus=gpus: bool(gpus))
            assert selection.engine_for(row, "auto") == name

    def test_others_are_left_to_what_suits_keras(self) -> None:
        for backbone in (BACKBONES["Xception"], replace(BACKBONES["Xception"], source=HUB)):
            assert [selection.engine_for(backbone, name) for name in ("auto", "keras", "openvino")] == [
                "auto", "keras", "openvino",
            ]  # fmt: skip

    def test_an_engine_that_does_not_run_it(self, row: Backbone) -> None:
        with refused(UsageError, r"The engine keras does not run timm-tiny_vit_cls.*Give --engine torch or openvino"):
            selection.engine_for(row, "keras")
        with refused(UsageError, r"The engine torch does not run Xception\. Give --engine keras or openvino"):
            selection.engine_for(BACKBONES["Xception"], "torch")

    def test_it_uses_one_gpu(self) -> None:
        with refused(UsageError, "uses one GPU"):
            selection.create_engine("torch", "auto", None, "all")

    def test_precision_follows_the_card(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert engine.TorchEngine().precision == "float32" or torch.cuda.is_available()
        for capability, precision in (
            ((9, 0), "bfloat16"),
            ((8, 0), "bfloat16"),
            ((7, 5), "float16"),
            ((6, 0), "float32"),
        ):
            monkeypatch.setattr(engine, "has_cuda", lambda: True)
            monkeypatch.setattr(torch.cuda, "get_device_capability", lambda capability=capability: capability)
            assert engine.TorchEngine().precision == precision == devices.precision_of(capability)
            assert engine.TorchEngine("float32").batch_size == engine.GPU_BATCH_SIZE

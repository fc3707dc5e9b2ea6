"""The PyTorch engine: which networks it runs, in what precision, and where a GPU's memory runs out."""

import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from catsdogs.errors import UsageError
from catsdogs.networks import timm_rows
from catsdogs.networks.engines import selection
from catsdogs.networks.engines import torch as engine
from catsdogs.networks.engines.interface import agree
from catsdogs.networks.engines.queued import GPU_BATCH_SIZE
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

        def limited(self: engine.TorchNetwork, batch: engine._OnItsWay, copy: int) -> object:
            if len(batch.tensors) > fitting[0]:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return start(self, batch, copy)

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
        network._modules[0].model.norm.weight.fill_(torch.inf)  # type: ignore[attr-defined]
    with refused(UsageError, r"gives numbers that float16 cannot hold\. Give --precision float32"):
        network.submit(pixels)()


class TestSelection:
    def test_auto_is_openvino_without_a_gpu_and_pytorch_with_one(
        self, row: Backbone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(selection.shutil, "which", lambda _: None)
        for cards, driver, name in (
            ([], True, "openvino"),
            ([T4], True, "torch"),
            ([T4], False, "openvino"),
            ([P100], True, "openvino"),  # this PyTorch has no code for it
        ):
            monkeypatch.setattr(selection, "ACCELERATORS", (os.devnull,) if driver else ())
            Cards(monkeypatch, *cards)
            monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_70", "sm_75", "sm_80"])
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

    def test_without_a_gpu_all_devices_are_the_processor(self) -> None:
        made = selection.create_engine("torch", "auto", None, "all")
        assert made.precision == "float32" or torch.cuda.is_available()


class Cards:
    """GPUs that are stood in for: this machine's processor computes for them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *found: tuple[str, tuple[int, int], int]) -> None:
        properties = [
            SimpleNamespace(name=model, major=major, minor=minor, total_memory=memory)
            for model, (major, minor), memory in found
        ]
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(found))
        monkeypatch.setattr(torch.cuda, "get_arch_list", list)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties[number])
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: device)


T4, P100, A100 = ("Tesla T4", (7, 5), 2**34), ("Tesla P100-PCIE-16GB", (6, 0), 2**34), ("A100", (8, 0), 40 * 2**30)


class TestGPUs:
    @pytest.mark.parametrize(
        ("card", "precision"),
        [
            (("H100", (9, 0), 80 * 2**30), "bfloat16"),
            (A100, "bfloat16"),
            (T4, "float16"),
            (P100, "float16"),
            (("GTX 1080", (6, 1), 2**33), "float32"),
        ],
    )
    def test_precision_follows_the_card(self, card: tuple, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
        Cards(monkeypatch, card)
        made = engine.TorchEngine()
        assert made.precision == precision and made.batch_size == GPU_BATCH_SIZE and made.memory == card[2]

    @pytest.mark.parametrize(
        ("cards", "choice", "used"),
        [
            ([T4, T4], "auto", [0, 1]),
            ([T4, T4], "all", [0, 1]),
            ([T4, T4], "one", [0]),
            ([A100, T4, A100], "auto", [0, 2]),
            ([T4, A100], "all", [0]),
        ],
    )
    def test_all_of_one_model_are_used(
        self, cards: list, choice: str, used: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Cards(monkeypatch, *cards)
        made = engine.TorchEngine(choice=choice)
        assert [seat.index for seat in made.seats] == used and made.copies == len(used)

    def test_sums_are_of_float32(self) -> None:
        settings = torch.backends.cuda.matmul
        settings.allow_fp16_reduced_precision_reduction = settings.allow_bf16_reduced_precision_reduction = True
        engine.TorchEngine("float32")
        assert not settings.allow_fp16_reduced_precision_reduction
        assert not settings.allow_bf16_reduced_precision_reduction

    def test_copies_share_the_work_and_give_the_same_bits(
        self, row: Backbone, pixels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = engine.TorchEngine("float32", BATCH)
        made.seats, made.copies = [torch.device("cpu")] * 2, 2
        networks, seats = [made.load(row, RANDOM) for _ in range(2)], []
        start = engine.TorchNetwork._start

        def noted(self: engine.TorchNetwork, batch: engine._OnItsWay, copy: int) -> object:
            seats.append(copy)
            return start(self, batch, copy)

        monkeypatch.setattr(engine.TorchNetwork, "_start", noted)
        first, second = networks[0]._modules
        assert first is not second
        assert {one.data_ptr() for one in first.parameters()}.isdisjoint(one.data_ptr() for one in second.parameters())
        batches = [pixels.copy() for _ in range(4)]
        results = [network.submit(batch) for batch in batches for network in networks]
        exact = results[0]().vector
        assert all(np.array_equal(result().vector, exact) for result in results)
        assert seats == [0, 0, 1, 1] * 2

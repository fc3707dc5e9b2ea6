"""Queues, dealing, uploads and the end of a GPU's memory, on an engine whose GPUs are stood in for."""

import gc
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from catsdogs.errors import UsageError
from catsdogs.networks.engines import queued
from catsdogs.networks.engines.queued import QueuedEngine, QueuedNetwork, rows_at_once
from tests.conftest import refused


class FullError(RuntimeError):
    """CUDA out of memory."""


class Engine(QueuedEngine):
    """Uploads by copying; `uploads` says where to, and how many photographs."""

    name = "stand-in"

    def __init__(self, batch_size: int = 10, copies: int = 1, memory: int | None = None) -> None:
        super().__init__("float32", batch_size, copies, memory)
        self.uploads: list[tuple[int, int]] = []

    def upload(self, pixels: NDArray[np.uint8], copy: int) -> Any:
        self.uploads.append((copy, len(pixels)))
        return pixels.copy()


class Summing(QueuedNetwork):
    """The vector is a photograph's first two numbers, plus the network's own."""

    def __init__(self, engine: Engine, own: int = 0, fits: int = 1000, error: Exception | None = None) -> None:
        super().__init__(engine, "Small", 2)
        self.own, self.fits, self.error = own, fits, error or FullError("CUDA out of memory")
        self.seats: list[int] = []
        self.sizes: list[int] = []
        self.rooms_made = 0

    def _start(self, batch: NDArray[np.uint8], copy: int) -> Any:
        self.seats.append(copy)
        self.sizes.append(len(batch))
        if len(batch) > self.fits:
            raise self.error
        return batch.reshape(len(batch), -1)[:, :2].astype(np.float32) + self.own

    def _fetch(self, started: Any) -> dict[str, NDArray]:
        return {"vector": started}

    def _make_room(self) -> None:
        self.rooms_made += 1


@pytest.fixture(autouse=True, scope="module")
def only_new_objects_are_collected() -> Iterator[None]:
    """An engine out of memory collects garbage, which among the objects of all earlier tests takes half a second."""
    gc.freeze()
    yield
    gc.unfreeze()


def batch(seed: int, rows: int = 10, side: int = 2) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (rows, side, side, 3), np.uint8)


def expected(pixels: NDArray[np.uint8], own: int = 0) -> NDArray[np.float32]:
    return pixels.reshape(len(pixels), -1)[:, :2].astype(np.float32) + own


class TestUploads:
    def test_networks_of_a_size_share_one(self) -> None:
        engine = Engine()
        networks = [Summing(engine, own) for own in range(3)]
        batches = [batch(seed) for seed in range(20)]
        waiting = [(one, pixels, one.submit(pixels)) for pixels in batches for one in networks]
        for one, pixels, result in waiting:
            np.testing.assert_array_equal(result().vector, expected(pixels, one.own))
        assert engine.uploads == [(0, 10)] * 20

    def test_sizes_do_not_push_each_other_out(self) -> None:
        engine = Engine()
        small, large, third = Summing(engine), Summing(engine), Summing(engine)
        for seed in range(4):
            of_two, of_three = batch(seed), batch(seed, side=3)
            for one, pixels in ((small, of_two), (large, of_three), (third, of_two)):
                np.testing.assert_array_equal(one.submit(pixels)().vector, expected(pixels))
        assert len(engine.uploads) == 8

    def test_memory_that_is_filled_again_goes_up_again(self) -> None:
        engine, memory = Engine(), batch(0)
        first, second = Summing(engine), Summing(engine, 1)
        for seed in range(5):
            memory[:] = batch(seed)
            for one, pixels in ((first, memory), (second, memory)):
                np.testing.assert_array_equal(one.submit(pixels)().vector, expected(pixels, one.own))
            view = memory[:]  # what stands in the place of an array, as another one, is another batch
            np.testing.assert_array_equal(second.submit(view)().vector, expected(view, 1))
        assert len(engine.uploads) == 10

    def test_nothing_is_kept_alive(self) -> None:
        engine = Engine()
        for seed in range(30):  # one array often takes the place of another that is gone
            pixels = batch(seed)
            result = Summing(engine).submit(pixels)
            np.testing.assert_array_equal(result().vector, expected(pixels))
            del pixels
        assert len(engine.uploads) == 30


class TestDealing:
    def test_whole_batches_in_turn_and_networks_of_a_size_together(self) -> None:
        engine = Engine(copies=2)
        first, second, large = Summing(engine), Summing(engine, 1), Summing(engine)
        for seed in range(6):
            of_two, of_three = batch(seed), batch(seed, side=3)
            for one, pixels in ((first, of_two), (large, of_three), (second, of_two)):
                np.testing.assert_array_equal(one.submit(pixels)().vector, expected(pixels, one.own))
        assert first.seats == second.seats == large.seats == [0, 1] * 3

    @given(
        copies=st.integers(1, 4), order=st.lists(st.integers(0, 2), min_size=1, max_size=30), fits=st.integers(1, 12)
    )
    def test_what_comes_back_is_what_one_gpu_gives(self, copies: int, order: list[int], fits: int) -> None:
        engine = Engine(copies=copies)
        networks = [Summing(engine, own, fits) for own in range(3)]
        waiting = []
        for seed, number in enumerate(order):
            pixels = batch(seed)
            waiting.append((networks[number], pixels, networks[number].submit(pixels)))
            if len(waiting) > 3:
                one, earlier, result = waiting.pop(0)
                np.testing.assert_array_equal(result().vector, expected(earlier, one.own))
        for one, pixels, result in waiting:
            np.testing.assert_array_equal(result().vector, expected(pixels, one.own))
        shares = Counter(copy for copy, _ in engine.uploads)
        assert set(shares) <= set(range(copies))

    def test_no_more_are_under_way_than_there_are_places(self) -> None:
        engine, gate = Engine(copies=2), threading.Event()
        network = Summing(engine)
        network._fetch = lambda started: gate.wait(60) and {"vector": started}  # type: ignore[method-assign]
        places = [engine.places.acquire(blocking=False) for _ in range(8)]
        assert places == [True] * 8 and not engine.places.acquire(blocking=False)
        for _ in places:
            engine.places.release()
        gate.set()
        network.submit(batch(0))()


class TestOutOfMemory:
    """Of a GPU whose memory takes so many photographs at once."""

    def test_the_batch_is_halved_and_the_work_goes_on(self) -> None:
        engine = Engine()
        network, other = Summing(engine, fits=3), Summing(engine, own=1)
        batches = [batch(seed) for seed in range(3)]
        waiting = [(pixels, network.submit(pixels), other.submit(pixels)) for pixels in batches]
        for pixels, result, beside in waiting:
            np.testing.assert_array_equal(result().vector, expected(pixels))
            np.testing.assert_array_equal(beside().vector, expected(pixels, 1))
        assert network.note == "Small: 5 photographs at once do not fit into the GPU's memory, 2 do"
        assert network.rooms_made == 2 and not other.note
        del network.sizes[:]
        network.submit(batches[0])()
        assert network.sizes == [2] * 5  # and is not tried at full size again

    def test_not_even_one(self) -> None:
        network = Summing(Engine(4), fits=0)
        with refused(UsageError, "Small does not fit into the memory of the GPU"):
            network.submit(batch(0, 4))()
        assert network.sizes == [4, 2, 1]

    def test_other_failures_are_not_taken_for_it(self) -> None:
        network = Summing(Engine(), fits=0, error=ValueError("wrong shape"))
        with pytest.raises(ValueError, match="wrong shape"):
            network.submit(batch(0))()
        assert network.sizes == [10] and not network.note


class TestWarmingUp:
    def test_networks_compile_side_by_side_and_their_first_batches_wait(self) -> None:
        engine, meeting = Engine(), threading.Barrier(3)

        class Compiled(Summing):
            is_warm = False

            def _warm(self) -> None:
                meeting.wait(60)
                self.is_warm = True

            def _start(self, batch: NDArray[np.uint8], copy: int) -> Any:
                assert self.is_warm
                return super()._start(batch, copy)

        networks = [Compiled(engine) for _ in range(3)]
        for network in networks:
            network.warm_up()  # the barrier falls only if all three are at it at once
        for network in networks:
            np.testing.assert_array_equal(network.submit(batch(0))().vector, expected(batch(0)))

    def test_a_failure_is_the_first_batch_s(self, monkeypatch: pytest.MonkeyPatch) -> None:
        network = Summing(Engine())

        def fail() -> None:
            raise FullError("CUDA out of memory")

        monkeypatch.setattr(network, "_warm", fail)
        network.warm_up()
        np.testing.assert_array_equal(network.submit(batch(0))().vector, expected(batch(0)))
        assert network.note == "Small: 10 photographs at once do not fit into the GPU's memory, 5 do"


GIGABYTE = 2**30


@pytest.mark.parametrize(
    ("side", "precision", "memory", "rows"),
    [
        (299, "float16", 16 * GIGABYTE, 256),  # Kaggle's T4
        (299, "float32", 16 * GIGABYTE, 128),  # a P100 in float32
        (224, "float32", 16 * GIGABYTE, 256),
        (299, "bfloat16", 80 * GIGABYTE, 256),
        (299, "bfloat16", 4 * GIGABYTE, 64),  # a laptop's
        (600, "float32", 8 * GIGABYTE, 16),
        (600, "float32", 1, 1),
        (600, "float32", None, 256),
    ],
)
def test_small_cards_compute_parts_of_a_batch(side: int, precision: str, memory: int | None, rows: int) -> None:
    assert rows_at_once(queued.GPU_BATCH_SIZE, side, precision, memory) == rows


@given(st.integers(1, 256), st.integers(8, 1024), st.sampled_from(["float32", "bfloat16"]), st.integers(1, 2**38))
def test_parts_are_halves_of_halves(batch_size: int, side: int, precision: str, memory: int) -> None:
    rows = rows_at_once(batch_size, side, precision, memory)
    halves: Callable[[], list[int]] = lambda: [batch_size >> times for times in range(9)]  # noqa: E731
    assert 1 <= rows <= batch_size and rows in halves()
    assert rows_at_once(batch_size, side, precision, 2 * memory) >= rows

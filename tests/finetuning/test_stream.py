"""Batches from the disk: the right photographs, the same ones whenever they are asked for."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import UnreadablePhotographError
from catsdogs.networks.quiet import importing_keras
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset

with importing_keras():
    from catsdogs.finetuning.stream import Batches, SquarePhotographs


class Numbers:
    """Pictures whose only value is a number: their row and `first`."""

    def __init__(self, first: int = 0) -> None:
        self.first = first

    def read(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows + self.first, np.uint8).reshape(-1, 1, 1, 1)


def epoch_of(batches: Batches, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, labels and weights of an epoch."""
    batches.epoch = epoch
    parts = [batches[number] for number in range(len(batches))]
    pixels, labels, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    return pixels.ravel().astype(int), labels.ravel().astype(int), weights


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_has_every_row_with_its_label(count: int, size: int, seed: int, epoch: int) -> None:
    rows = np.arange(count) + 7
    batches = Batches(Numbers(7), (rows * 2)[:, np.newaxis].astype(np.float32), size, seed)  # type: ignore[arg-type]
    seen, labels, weights = epoch_of(batches, epoch)
    assert len(seen) % size == 0 and sorted(seen[:count]) == rows.tolist()
    assert (labels == seen * 2).all() and (weights == 1).all()
    again = epoch_of(Batches(Numbers(7), (rows * 2)[:, np.newaxis], size, seed), epoch)  # type: ignore[arg-type]
    assert np.array_equal(seen, again[0])


@given(st.integers(1, 60), st.integers(1, 20))
def test_without_a_seed_they_come_in_order_and_filling_counts_nothing(count: int, size: int) -> None:
    batches = Batches(Numbers(), np.zeros((count, 1), np.float32), size)  # type: ignore[arg-type]
    seen, _, weights = epoch_of(batches, 0)
    assert seen[weights == 1].tolist() == list(range(count)) and len(seen) % size == 0


def test_epochs_differ() -> None:
    batches = Batches(Numbers(), np.zeros((50, 1), np.float32), 50, seed=1)  # type: ignore[arg-type]
    assert not np.array_equal(epoch_of(batches, 0)[0], epoch_of(batches, 1)[0])


def test_pictures_are_those_that_features_are_made_of(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset()
    rows = dataset.of("train")
    pictures = SquarePhotographs(dataset, rows, 40)
    for number, square in zip((5, 0, 5), pictures.read(np.array([5, 0, 5])), strict=True):
        assert np.array_equal(square, images.load(dataset.read(rows[number]), [40]).by_size[40])
    assert np.array_equal(pictures.of(np.array([3, 4])).read(np.array([1])), pictures.read(np.array([4])))
    dataset.read(rows[0])
    (dataset.root / rows[0].location.name).write_bytes(b"no picture")
    with pytest.raises(UnreadablePhotographError):
        pictures.read(np.array([0]))

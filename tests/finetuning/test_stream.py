"""Batches from the disk: the right photographs, or pairs of them, the same ones whenever they are asked for."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from catsdogs.errors import UnreadablePhotographError
from catsdogs.networks.quiet import importing_keras
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset

with importing_keras():
    import keras

    from catsdogs.finetuning.stream import Batches, Pairs, SquarePhotographs
    from catsdogs.networks.architectures.twin import join_twins


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
        assert np.array_equal(square, images.square(dataset.read(rows[number]), 40))
    assert np.array_equal(pictures.of(np.array([3, 4])).read(np.array([1])), pictures.read(np.array([4])))
    dataset.read(rows[0])
    (dataset.root / rows[0].location.name).write_bytes(b"no picture")
    with pytest.raises(UnreadablePhotographError):
        pictures.read(np.array([0]))


LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])


class Plain:
    """Photographs of one colour each: their row."""

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.broadcast_to(rows.astype(np.uint8)[:, None, None, None], (len(rows), 4, 4, 3)).copy()


class Coloured:
    """Photographs of a class have its channel bright, somewhere."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self._pixels = np.random.default_rng(0).integers(0, 120, (len(labels), 8, 8, 3)).astype(np.uint8)
        self._pixels[np.arange(len(labels)), ..., labels] += 130

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self._pixels[rows]


def pairs(**other: object) -> Pairs:
    return Pairs(**{"photographs": Plain(), "labels": LABELS, "batch_size": 4, "seed": 1, **other})  # type: ignore[arg-type]


def test_a_batch_holds_the_pictures_of_its_pairs() -> None:
    data = pairs()
    assert len(data) == 3
    lefts = []
    for number in range(3):
        (left, right), same = data[number]
        rows = data.rows(number)
        assert left.dtype == right.dtype == same.dtype == np.float32
        assert left.shape == right.shape == (4, 4, 4, 3) and same.shape == (4, 1)
        assert np.array_equal(left[:, 0, 0, 0], rows[0]) and np.array_equal(right[:, 3, 3, 2], rows[1])
        assert np.array_equal(same[:, 0], LABELS[rows[0]] == LABELS[rows[1]]) and same.sum() == 2
        lefts += rows[0].tolist()
    assert sorted(lefts[:10]) == list(range(10)) and lefts[10:] == lefts[:2]


def test_batches_follow_from_seed_epoch_and_number_alone() -> None:
    first, second = pairs(), pairs()
    for epoch in (0, 1, 2):
        first.epoch = epoch
        seen = [first.rows(number) for number in range(3)]
    second.epoch = 2
    assert np.array_equal([second.rows(number) for number in (2, 0, 1)], [seen[2], seen[0], seen[1]])
    second.epoch = 0
    assert not np.array_equal([second.rows(number) for number in range(3)], seen)
    assert not np.array_equal(pairs(seed=2).rows(0), pairs().rows(0))
    second.on_epoch_end()
    assert np.array_equal(second.rows(0), pairs().rows(0))  # who only validationes sees the same pairs again


def test_left_and_right_are_augmented_as_one_batch() -> None:
    asked = []

    def brighter(
        images: NDArray[np.uint8], labels: NDArray[np.float32], epoch: int, batch: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        asked.append((len(images), epoch, batch))
        return images + np.float32(100), labels

    data = pairs(augment=brighter)
    data.epoch = 5
    (left, right), _ = data[1]
    assert asked == [(8, 5, 1)] and left.min() >= 100 and right.min() >= 100


def test_twins_learn_from_pairs() -> None:
    keras.utils.set_random_seed(0)
    labels = np.arange(90) % 3
    extractor = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 127.5, -1),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(32, activation="tanh"),
        ]
    )
    model = join_twins(extractor)
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    training = Pairs(Coloured(labels), labels, 16, 0)
    model.fit(training, epochs=12, verbose=0)
    validation = Pairs(Coloured(labels), labels, 16, 7)
    probabilities = model.predict(validation, verbose=0)
    right = np.concatenate([validation[number][1] for number in range(len(validation))])
    assert ((probabilities > 0.5) == right).mean() > 0.8

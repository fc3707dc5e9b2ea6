"""Pairs of photographs: what a batch holds, that it depends on seed, epoch and number alone, and that twins learn."""

import keras
import numpy as np
from numpy.typing import NDArray

from catsdogs.finetuning.pairs import Pairs
from catsdogs.networks.architectures.twin import join_twins

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

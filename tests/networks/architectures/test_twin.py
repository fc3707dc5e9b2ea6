"""Twins on pixels: the bilinear layer's formula, one path for two photographs, and that pairs can be learnt."""

from pathlib import Path

import keras
import numpy as np

from catsdogs.networks.architectures import small
from catsdogs.networks.architectures.twin import Bilinear, join_twins


def numbers(tensor: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def test_bilinear_is_its_formula() -> None:
    random = np.random.default_rng(0)
    left, right = random.normal(size=(2, 7, 5)).astype(np.float32)
    layer = Bilinear()
    logits = numbers(layer((left, right)))
    weights, bias = random.normal(size=(5, 5)).astype(np.float32), np.array([0.3], np.float32)
    layer.set_weights([weights, bias])
    expected = np.array([[a @ weights @ b + 0.3] for a, b in zip(left, right, strict=True)])
    assert logits.shape == (7, 1)
    assert np.allclose(numbers(layer((left, right))), expected, atol=1e-5)


def test_both_inputs_go_through_one_path() -> None:
    path = small.build("siamese-cnn", 48)
    model = join_twins(path)
    assert model.count_params() == path.count_params() + 32 * 32 + 1
    left, right = np.random.default_rng(0).uniform(-1, 1, (2, 3, 48, 48, 3)).astype(np.float32)
    probabilities = numbers(model([left, right]))
    assert probabilities.shape == (3, 1) and probabilities.min() >= 0 and probabilities.max() <= 1
    vectors = (keras.ops.convert_to_tensor(numbers(path(photos))) for photos in (left, right))
    again = 1 / (1 + np.exp(-numbers(model.get_layer("join")(tuple(vectors)))))
    assert np.allclose(probabilities, again, atol=1e-5)


def test_a_saved_twin_answers_the_same(tmp_path: Path) -> None:
    model = join_twins(keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, activation="tanh")]))
    model.save(tmp_path / "twin.keras")
    left, right = np.random.default_rng(0).normal(size=(2, 3, 6)).astype(np.float32)
    restored = keras.saving.load_model(tmp_path / "twin.keras")
    assert np.allclose(numbers(model([left, right])), numbers(restored([left, right])), atol=1e-6)

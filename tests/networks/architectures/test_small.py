"""The small networks: shapes, settings, what they learn, and JAX."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from catsdogs.errors import UsageError
from catsdogs.networks.architectures import small
from catsdogs.networks.table import SMALL, SMALLEST_INPUT
from tests.conftest import need, refused

NAMES = list(SMALL)
SIZE = 64


def photographs(count: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, size, size, 3)).astype(np.float32)


def answer(network: keras.Model, photos: np.ndarray, training: bool = False) -> np.ndarray:
    return keras.ops.convert_to_numpy(network(photos, training=training))


def convolution_parameters(kernel: int, inputs: int, filters: int) -> int:
    """A weight for each place of the kernel and channel of the input, and a bias, for each filter."""
    return (kernel * kernel * inputs + 1) * filters


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_vectors_are_as_wide_as_the_table_says(name: str, batch_norm: bool) -> None:
    network = small.build(name, SIZE, batch_norm=batch_norm)
    vectors = answer(network, photographs(3))
    assert vectors.shape == (3, SMALL[name].width) and vectors.dtype == np.float32
    assert np.isfinite(vectors).all() and np.ptp(vectors, axis=0).max() > 0
    own = small.build(name, SMALL[name].input_size)
    assert own.output_shape == (None, SMALL[name].width)


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_input_and_too_small_a_one(name: str) -> None:
    assert small.build(name, SMALLEST_INPUT).output_shape == (None, SMALL[name].width)
    with refused(UsageError, f"31 pixels is too small for {name}. Take at least 32"):
        small.build(name, 31)


def test_four_conv_is_the_example_of_keras() -> None:
    # cifar10_cnn.py's summary, with its ten classes: 1,250,858 parameters.
    assert small.build("four-conv", 32).count_params() == 1_250_858 - (512 + 1) * 10
    convolutions = [
        layer for layer in small.build("four-conv", SIZE).layers if "conv2d" in type(layer).__name__.lower()
    ]
    assert [(layer.filters, layer.kernel_size) for layer in convolutions] == [
        (32, (3, 3)),
        (32, (3, 3)),
        (64, (3, 3)),
        (64, (3, 3)),
    ]


def test_squeezenet_has_the_published_number_of_parameters() -> None:
    # SqueezeNet 1.1 as torchvision publishes it, whose classifier of 1,000 labels is a 1x1 convolution.
    network = small.build("squeezenet", SIZE)
    assert network.count_params() + convolution_parameters(1, 512, 1000) == 1_235_496


def test_squeezenets_maps_are_the_published_ones() -> None:
    network = small.build("squeezenet", 224)
    sides = {layer.name: layer.output.shape[1] for layer in network.layers if layer.output.shape[1:2]}
    assert [sides[name] for name in ("conv1", "fire2", "fire4", "fire6", "fire9")] == [111, 55, 27, 13, 13]


def test_siamese_cnn_parameters() -> None:
    channels = (3, 32, 64, 128, 128)
    expected = sum(convolution_parameters(3, *pair) for pair in itertools.pairwise(channels))
    expected += ((SIZE // 2**4) ** 2 * 128 + 1) * 32
    assert small.build("siamese-cnn", SIZE).count_params() == expected


@pytest.mark.parametrize("name", NAMES)
def test_batch_norm_takes_the_place_of_biases(name: str) -> None:
    plain, normalised = small.build(name, SIZE), small.build(name, SIZE, batch_norm=True)
    normalising = [layer for layer in normalised.layers if isinstance(layer, keras.layers.BatchNormalization)]
    outputs = sum(layer.output.shape[-1] for layer in normalising)
    assert normalised.count_params() - plain.count_params() == 3 * outputs  # four numbers for an output less its bias
    photos = photographs(16)
    before = answer(normalised, photos)
    normalised(photos, training=True)
    assert not np.allclose(before, answer(normalised, photos))  # it has learnt what is average


@pytest.mark.parametrize("name", NAMES)
def test_dropout_works_in_training_only(name: str) -> None:
    network, photos = small.build(name, SIZE, dropout=0.5), photographs(2)
    answers = [answer(network, photos, training=training) for training in (False, False, True, True)]
    np.testing.assert_array_equal(answers[0], answers[1])
    assert not np.allclose(answers[0], answers[2]) and not np.allclose(answers[2], answers[3])
    plain = small.build(name, SIZE)
    np.testing.assert_array_equal(answer(plain, photos, training=True), answer(plain, photos))


@pytest.mark.parametrize("name", NAMES)
def test_weights_fit_the_same_network_without_dropout(name: str, tmp_path: Path) -> None:
    trained, plain = small.build(name, SIZE, dropout=0.5), small.build(name, SIZE)
    trained.save_weights(tmp_path / "all.weights.h5")
    plain.load_weights(tmp_path / "all.weights.h5")
    np.testing.assert_array_equal(answer(trained, photographs(2)), answer(plain, photographs(2)))


def test_dropouts_rates() -> None:
    def rates(name: str) -> list[float]:
        layers = small.build(name, SIZE, dropout=0.5).layers
        return [layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout)]

    assert rates("four-conv") == [0.25, 0.25, 0.5]
    assert rates("squeezenet") == [0.5]
    assert rates("siamese-cnn") == [0.25, 0.25, 0.25, 0.5]


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_settles_the_weights(name: str) -> None:
    built = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        built.append([keras.ops.convert_to_numpy(weight) for weight in small.build(name, SIZE).weights])
    assert all(np.array_equal(a, b) for a, b in zip(built[0], built[1], strict=True))
    assert not np.array_equal(built[0][0], built[2][0])


@pytest.mark.parametrize("name", NAMES)
def test_initializers(name: str) -> None:
    def spread(initializer: str) -> float:
        layer = small.build(name, SIZE, initializer=initializer).get_layer("conv1")
        return float(keras.ops.convert_to_numpy(layer.kernel).std())

    # Variance 2 / (fan in + fan out) against 2 / fan in: Glorot and Bengio 2010, He et al. 2015.
    filters = small.build(name, SIZE).get_layer("conv1").filters
    assert spread("he_uniform") / spread("glorot_uniform") == pytest.approx((1 + filters / 3) ** 0.5, rel=0.15)


def test_layers_have_the_same_names_in_every_network_that_is_built() -> None:
    for name in NAMES:
        assert [layer.name for layer in small.build(name, SIZE).layers] == [
            layer.name for layer in small.build(name, SIZE, dropout=0.3).layers
        ]


ON_JAX = """
import keras, numpy as np
from catsdogs.networks.architectures import small
from catsdogs.networks.table import SMALL
assert keras.backend.backend() == "jax"
photographs = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
for name, row in SMALL.items():
    assert small.build(name, 32).predict(photographs, verbose=0).shape == (4, row.width)
path = small.build("siamese-cnn", 32, dropout=0.2, batch_norm=True)
before = path.predict(photographs, verbose=0)
model = keras.Sequential([path, keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(photographs, np.array([[0.0], [1.0]] * 2), verbose=0)
assert not np.allclose(before, path.predict(photographs, verbose=0))
"""


def test_they_answer_and_learn_on_jax() -> None:
    need("jax")
    unoptimised = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}  # to compile takes longer than to compute
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", **unoptimised}
    done = subprocess.run([sys.executable, "-c", ON_JAX], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

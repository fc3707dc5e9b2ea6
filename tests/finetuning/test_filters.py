"""Pictures of filters: which convolutions there are, what they respond to, and what is drawn of it."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from catsdogs.errors import UnknownNameError
from catsdogs.finetuning import filters
from catsdogs.networks.architectures import small
from tests.conftest import refused

SIZE = 48
PICTURE = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
BATCH = PICTURE[np.newaxis].astype(np.float32)


def nested(name: str, **settings: bool) -> tuple[keras.Model, keras.Model]:
    """A small network, and one that has it two levels down."""
    path = small.build(name, SIZE, **settings)
    pixels, image = keras.Input((SIZE, SIZE, 3)), keras.Input((SIZE, SIZE, 3))
    inner = keras.Model(pixels, keras.layers.Dense(1)(path(pixels / 127.5 - 1)))
    return path, keras.Model(image, inner(image), name="outer")


def test_convolutions_are_listed_in_order() -> None:
    path, outer = nested("four-conv", batch_norm=True)
    assert list(filters.convolutions(path)) == ["conv1", "conv2", "conv3", "conv4"]
    assert list(filters.convolutions(outer)) == ["conv1", "conv2", "conv3", "conv4"]
    kinds = [keras.layers.SeparableConv2D(4, 3, name="a"), keras.layers.DepthwiseConv2D(3, name="b")]
    network = keras.Sequential([keras.Input((9, 9, 3)), *kinds, keras.layers.Flatten()])
    assert list(filters.convolutions(network)) == ["a", "b"]


def test_a_pretrained_networks_convolutions() -> None:
    network = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(64, 64, 3))
    names = list(filters.convolutions(network))
    assert names[0] == "Conv1" and names[-1] == "Conv_1" and len(names) == 52


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("name", ["conv1", "conv3"])
def test_a_response_is_what_the_next_layer_reads(batch_norm: bool, name: str) -> None:
    path, outer = nested("four-conv", batch_norm=batch_norm)
    _, heard = filters._record(outer, path.get_layer(name), BATCH)
    passed_on = keras.Model(path.input, path.get_layer(f"{name}_relu").output)
    expected = keras.ops.convert_to_numpy(passed_on(BATCH / 127.5 - 1))
    np.testing.assert_allclose(heard, expected, rtol=1e-5, atol=1e-6)


def test_filters_of_a_network_that_reads_blue_first_are_shown_red_first() -> None:
    path = small.build("four-conv", SIZE)
    convolution = path.get_layer("conv1")
    kernel = keras.ops.convert_to_numpy(convolution.kernel)
    image = keras.Input((SIZE, SIZE, 3))
    as_is = filters._rgb_kernel(path, convolution, SIZE)
    caffe = filters._rgb_kernel(keras.Model(image, path(image[..., ::-1] - 110.0)), convolution, SIZE)
    np.testing.assert_array_equal(as_is, kernel)
    np.testing.assert_array_equal(caffe, kernel[:, :, ::-1])
    assert filters._rgb_kernel(path, path.get_layer("conv2"), SIZE) is None


def test_colours_of_filters() -> None:
    kernel = np.zeros((3, 3, 3, 2), np.float32)
    kernel[0, 0, :, 0] = 0.1, -0.2, 0.0
    first, silent = filters.kernel_pictures(kernel)
    assert first[0, 0].tolist() == [191, 0, 128] and (first[1:] == 128).all() and (silent == 128).all()


def test_a_photograph_reddens_where_a_filter_responds() -> None:
    response = np.zeros((6, 6), np.float32)
    response[1, 4] = 2.0
    lit = filters._highlighted(PICTURE, response).astype(int)
    redness = lit[:, :, 0] - lit[:, :, 1:].mean(axis=2)
    row, column = np.unravel_index(redness.argmax(), redness.shape)
    assert (row * 6 // SIZE, column * 6 // SIZE) == (1, 4)
    assert (redness[SIZE // 2 :] == 0).all()
    assert (filters._highlighted(PICTURE, -response) == filters._highlighted(PICTURE, 0 * response)).all()


@pytest.mark.parametrize(
    ("name", "layer"), [("four-conv", "conv1"), ("four-conv", "conv4"), ("squeezenet", "fire9_expand3x3")]
)
def test_picture_of_a_layer(tmp_path: Path, name: str, layer: str) -> None:
    _, outer = nested(name)
    filters.draw_filters(tmp_path / "filters.png", outer, layer, PICTURE)
    with Image.open(tmp_path / "filters.png") as drawn:
        pixels = np.asarray(drawn.convert("RGB"))
    assert pixels.shape[1] == 14 * 120 and pixels.shape[0] >= 300
    assert (pixels[[0, -1]] == 255).all() and (pixels[:, [0, -1]] == 255).all()  # a margin: nothing is cut
    assert [path.name for path in tmp_path.iterdir()] == ["filters.png"]


def test_of_many_filters_those_that_say_most() -> None:
    strength = np.arange(100, dtype=np.float32)
    assert filters.strongest(strength).tolist() == list(range(36, 100))
    assert filters.strongest(-strength[:5]).tolist() == [0, 1, 2, 3, 4]


def test_unknown_layer(tmp_path: Path) -> None:
    network = small.build("squeezenet", SIZE)
    with refused(UnknownNameError, "No convolution of squeezenet is called 'conv9'. Choose from: conv1, fire2"):
        filters.draw_filters(tmp_path / "filters.png", network, "conv9", PICTURE)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UnknownNameError, match=r"fire8_squeeze1x1, or one of 5 more\.$"):
        filters.draw_filters(tmp_path / "filters.png", network, "conv9", PICTURE)

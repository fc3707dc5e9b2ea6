"""The table of networks against Keras, and what its networks know of cats and dogs."""

from pathlib import Path

import keras
import numpy as np
import pytest

from catsdogs.errors import UnknownNameError
from catsdogs.networks import build, choice, imagenet, table, weights
from catsdogs.networks.engines import selection
from catsdogs.networks.table import BACKBONES, Backbone
from catsdogs.photographs import images
from catsdogs.photographs.dataset import scan
from tests.support.networks import LITE


def test_the_table_lists_every_network_of_keras() -> None:
    ours = {name for name, backbone in BACKBONES.items() if not backbone.package}
    assert ours == {name for name in dir(keras.applications) if name[0].isupper()}


@pytest.mark.parametrize(
    "module",
    sorted({name for name in dir(keras.applications) if name[0].islower()} - {"imagenet_utils"}),
)
def test_preprocessing_is_that_of_keras(module: str) -> None:
    keras_module = getattr(keras.applications, module)
    image = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3), np.uint8)
    expected = keras_module.preprocess_input(image.astype(np.float32))
    for name in dir(keras_module):
        if name in BACKBONES:
            got = keras.ops.convert_to_numpy(build.preprocess(keras.ops.array(image), BACKBONES[name].preprocessing))
            np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-5)


def test_resnet50_reads_mean_subtracted_bgr() -> None:
    red = keras.ops.array(np.array([[[[255, 0, 10]]]], np.uint8))
    got = keras.ops.convert_to_numpy(build.preprocess(red, BACKBONES["ResNet50"].preprocessing))
    # The mean of ImageNet's training pixels in BGR, from Caffe's model zoo.
    np.testing.assert_allclose(got.ravel(), [10 - 103.939, 0 - 116.779, 255 - 123.68], atol=1e-3)


def test_names() -> None:
    assert choice.split_names(" a, ,b,") == ["a", "b"] and choice.split_names(None) == []
    assert choice.expand("lite, Xception,EfficientNetLite0") == [*table.SHORTHANDS["lite"], "Xception"]
    with pytest.raises(UnknownNameError, match=r"'Inceptionv3'\. Choose from: lite, ResNet50, InceptionV3"):
        choice.choose(["Inceptionv3"])
    with pytest.raises(UnknownNameError):
        choice.choose(choice.expand(" , "))


# Of 64 cats and 64 dogs: how many top-1 labels are house cats, how many dog breeds (98 to 100 %).
@pytest.mark.parametrize(("backbone", "cats"), list(zip(LITE, (0.69, 0.75, 0.83), strict=True)))
def test_embedded_networks_know_cats_and_dogs(backbone: Backbone, cats: float, shared_photographs: Path) -> None:
    dataset = scan(shared_photographs)
    train = dataset.of("train")
    chosen = train[:64] + train[-800:-736]
    size = backbone.input_size
    batch = np.stack([images.square(dataset.read(row), size) for row in chosen])
    network = selection.create_engine("keras", "float32", 64).load(backbone, weights.obtain(backbone, None))
    top = [network.submit(part)().topk_class[:, 0] for part in (batch[:64], batch[64:])]
    assert np.isin(top[0], imagenet.CATS).mean() == pytest.approx(cats, abs=0.035)  # two cats
    assert np.isin(top[1], imagenet.DOGS).mean() >= 0.98

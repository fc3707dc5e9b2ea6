"""Networks as they are built, against Keras's own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest

from catsdogs.networks import build, choice, weights
from catsdogs.networks.table import BACKBONES, Backbone
from tests.support.networks import RANDOM

MISSION = choice.choose(["ResNet50", "InceptionV3", "Xception"])


@pytest.mark.parametrize(
    "backbone", [*MISSION, BACKBONES["VGG16"], BACKBONES["MobileNetV3Small"]], ids=lambda row: row.name
)
def test_networks_of_keras_give_vectors_of_their_width_and_labels(backbone: Backbone) -> None:
    model = build.build(backbone, RANDOM)
    shapes = {name: output.shape for name, output in model.output.items()}
    assert model.input.dtype == "uint8"
    assert model.input_shape == (None, backbone.input_size, backbone.input_size, 3)
    assert shapes == {"vector": (None, backbone.width), "topk_prob": (None, 10), "topk_class": (None, 10)}


def test_the_vector_is_the_pooled_input_of_the_classifier() -> None:
    backbone = BACKBONES["MobileNetV2"]
    image = np.random.default_rng(1).integers(0, 256, (2, 224, 224, 3), np.uint8)
    ours = build.build(backbone, RANDOM)
    keras.utils.set_random_seed(build.RANDOM_SEED)
    whole = keras.applications.MobileNetV2(weights=None)
    pooled = keras.Model(whole.input, [whole.layers[-2].output, whole.output])
    vector, probabilities = pooled.predict(keras.applications.mobilenet_v2.preprocess_input(image * 1.0), verbose=0)
    got = ours.predict(image, verbose=0)
    np.testing.assert_allclose(got["vector"], vector, atol=1e-5)
    np.testing.assert_array_equal(got["topk_class"], np.argsort(-probabilities, axis=1)[:, :10])


def test_bfloat16_leaves_the_policy_as_it_was_and_the_vector_in_float32() -> None:
    model = build.build(BACKBONES["MobileNetV3Small"], RANDOM, "mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"
    assert {output.dtype for name, output in model.output.items() if name != "topk_class"} == {"float32"}
    policies = {layer.dtype_policy.name for part in model.layers for layer in part._flatten_layers()}
    assert "mixed_bfloat16" in policies


KERAS = [name for name, backbone in BACKBONES.items() if not backbone.package]


SEVERAL_WAYS = ("ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "MobileNet", "MobileNetV3Small")


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras's networks with few of their equal blocks: what is compared are stems, widths and tops."""
    ours = keras.src.applications

    def once(module: ModuleType, function: str, is_first: Callable[..., bool]) -> None:
        whole = getattr(module, function)
        skip = (lambda ip, p, *_, **__: (ip, p)) if module is ours.nasnet else (lambda x, *_, **__: x)
        monkeypatch.setattr(module, function, lambda *a, **k: (whole if is_first(*a, **k) else skip)(*a, **k))

    once(ours.inception_resnet_v2, "inception_resnet_block", lambda *_, block_idx, **__: block_idx == 1)
    once(ours.nasnet, "_normal_a_cell", lambda ip, _, filters, **__: ip.shape[-1] != 6 * filters)
    for module, function in ((ours.resnet, "stack_residual_blocks_v1"), (ours.resnet, "stack_residual_blocks_v2")):
        whole = getattr(module, function)
        monkeypatch.setattr(module, function, lambda x, n, _, w=whole, **k: w(x, n, 2, **k))
    dense = ours.densenet.dense_block
    monkeypatch.setattr(ours.densenet, "dense_block", lambda x, blocks, name: dense(x, 1, name))
    monkeypatch.setattr(ours.efficientnet, "DEFAULT_BLOCKS_ARGS", ours.efficientnet.DEFAULT_BLOCKS_ARGS[:1])
    for name, blocks in ours.efficientnet_v2.DEFAULT_BLOCKS_ARGS.items():
        monkeypatch.setitem(ours.efficientnet_v2.DEFAULT_BLOCKS_ARGS, name, blocks[:1])
    for config in ours.convnext.MODEL_CONFIGS.values():
        monkeypatch.setitem(config, "depths", [1, 1, 1, 1])


@pytest.fixture
def imagenet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., keras.Model]:
    """Keras's own networks for `weights="imagenet"`, with what they would download lying at `IMAGENET`.

    In place of a download each writes the numbers that it has, and an empty file of the name that Keras gives it.
    """

    def download(name: str, *_: object, **__: object) -> str:
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / name).touch()
        return name

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", download)

    def build(name: str, **how: object) -> keras.Model:
        keras.utils.set_random_seed(1)
        with monkeypatch.context() as patch:
            file = tmp_path / f"{name}.weights.h5"
            patch.setattr(keras.Model, "load_weights", lambda self, _: (_moved(self), self.save_weights(file)))
            return getattr(keras.applications, name)(weights="imagenet", **how)

    return build


def _moved(network: keras.Model) -> None:
    """Let normalisations do something: as they start, some of what may be wrong with them would not show."""
    random = np.random.default_rng(2)
    for layer in network.layers:
        if "Normalization" in type(layer).__name__ and layer.weights:
            layer.set_weights([weight + random.uniform(0, 0.2, weight.shape) for weight in layer.get_weights()])
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def _pixels(size: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (2, size, size, 3), np.uint8)


def _prepared(name: str, pixels: np.ndarray) -> np.ndarray:
    modules = [module for module in vars(keras.applications).values() if hasattr(module, "preprocess_input")]
    found = [module for module in modules if hasattr(module, name)] or [keras.applications.mobilenet_v3]
    return found[0].preprocess_input(pixels.astype(np.float32))


def _numbers(tensor: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("name", KERAS)
def test_a_network_is_that_of_keras_with_imagenet_weights(
    name: str, imagenet: Callable[..., keras.Model], shallow: None, tmp_path: Path
) -> None:
    """On pixels: not only is the preprocessing that of Keras, the network behind it is, too."""
    size = 96 if "ception" in name else 64
    theirs = imagenet(name, include_top=False, pooling="avg", input_shape=(size, size, 3))
    file = weights.Weights(tmp_path / f"{name}.weights.h5", "")
    pixels = _pixels(size)
    expected = _numbers(theirs(_prepared(name, pixels)))
    backbone = replace(BACKBONES[name], input_size=size)
    assert weights.find_file(BACKBONES[name], str(tmp_path / "models"))
    found = [build.build(backbone, file)(pixels)["vector"]]
    if name in SEVERAL_WAYS:
        found.append(build.build_path(name, size, file)(pixels * 1.0))
    for ours in found:
        np.testing.assert_allclose(_numbers(ours), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", SEVERAL_WAYS)
def test_a_network_has_one_vector_whether_its_file_has_the_classifier(
    name: str, imagenet: Callable[..., keras.Model], shallow: None, tmp_path: Path
) -> None:
    backbone, path = BACKBONES[name], tmp_path / f"{name}.weights.h5"
    theirs = imagenet(name)
    assert weights.find_file(backbone, str(tmp_path / "models"))
    pixels = _pixels(backbone.input_size)
    probabilities = _numbers(theirs(_prepared(name, pixels)))
    whole = build.build(backbone, weights.Weights(path, ""))(pixels)
    np.testing.assert_allclose(_numbers(whole["topk_prob"]), -np.sort(-probabilities)[:, :10], rtol=1e-3)
    topless = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=theirs.input_shape[1:])
    topless.set_weights(theirs.get_weights()[: len(topless.weights)])
    topless.save_weights(path)
    part = build.build(backbone, weights.Weights(path, ""))(pixels)
    assert "topk_prob" not in part
    np.testing.assert_allclose(_numbers(part["vector"]), _numbers(whole["vector"]), rtol=1e-4, atol=1e-5)


def test_what_is_trained_from_an_efficientnet_carries_its_scaling(
    imagenet: Callable[..., keras.Model], shallow: None, tmp_path: Path
) -> None:
    theirs = imagenet("EfficientNetB0", include_top=False, pooling="avg", input_shape=(64, 64, 3))
    start = build.build_path("EfficientNetB0", 64, weights.Weights(tmp_path / "EfficientNetB0.weights.h5", ""))
    start.save_weights(tmp_path / "all.weights.h5")
    again = build.build_path("EfficientNetB0", 64)
    again.load_weights(tmp_path / "all.weights.h5")
    pixels = _pixels(64) * 1.0
    np.testing.assert_allclose(_numbers(again(pixels)), _numbers(theirs(pixels)), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", [*SEVERAL_WAYS, "VGG16", "EfficientNetLite0"])
def test_the_classifier_computes_in_float32(name: str, shallow: None) -> None:
    parts = build.pretrained(BACKBONES[name], RANDOM, "mixed_bfloat16")
    assert {layer.compute_dtype for layer in parts.trunk.layers} >= {"bfloat16"}
    assert {layer.compute_dtype for layer in parts.classifier.layers} == {"float32"}

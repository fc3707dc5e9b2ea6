"""Small random networks of KerasHub's families, as its own `save_to_preset` writes them."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from catsdogs.networks import hub_rows, weights
from catsdogs.networks.quiet import importing_keras
from catsdogs.networks.table import Backbone

with importing_keras():
    import keras
    import keras_hub

    from catsdogs.networks import build

Arrays = dict[str, NDArray[np.float32]]
Saved = Callable[..., tuple[Backbone, Any]]

models = keras_hub.models
_SMALL = {"num_layers": 5, "num_heads": 2, "hidden_dim": 16}
_VISION = {"name": "small", "patch_size": 8, **_SMALL, "intermediate_dim": 24, "image_shape": (32, 32, 3)}
_VIT = {"image_shape": (32, 32, 3), "patch_size": 8, **_SMALL}
FAMILIES: dict[str, Callable[[], Any]] = {
    "resnet": lambda: models.ResNetBackbone(
        [64], [7], [64, 64], [1, 1], [1, 2], "basic_block", use_pre_activation=True, image_shape=(64, 64, 3)
    ),
    "efficientnet": lambda: models.EfficientNetBackbone(
        stackwise_width_coefficients=[1.0, 1.0],
        stackwise_depth_coefficients=[1.0, 1.0],
        stackwise_kernel_sizes=[3, 3],
        stackwise_num_repeats=[1, 2],
        stackwise_input_filters=[8, 8],
        stackwise_output_filters=[8, 16],
        stackwise_expansion_ratios=[1, 4],
        stackwise_squeeze_and_excite_ratios=[0.25, 0.25],
        stackwise_strides=[1, 2],
        stackwise_block_types=["v1", "v1"],
    ),
    "mobilenet": lambda: models.MobileNetBackbone(
        stackwise_expansion=[[16, 24]],
        stackwise_num_blocks=[2],
        stackwise_num_filters=[[16, 16]],
        stackwise_kernel_size=[[3, 5]],
        stackwise_num_strides=[[2, 1]],
        stackwise_se_ratio=[[None, 0.25]],
        stackwise_activation=[["relu", "hard_swish"]],
        stackwise_padding=[[1, 2]],
        output_num_filters=32,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=32,
        image_shape=(32, 32, 3),
    ),
    "hgnetv2": lambda: models.HGNetV2Backbone(
        depths=[1, 1],
        embedding_size=8,
        hidden_sizes=[16, 32],
        stem_channels=[3, 8, 8],
        hidden_act="relu",
        use_learnable_affine_block=False,
        stackwise_stage_filters=[(8, 8, 16, 1, 1, 3), (16, 8, 32, 1, 1, 3)],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, False],
    ),
    "vit": lambda: models.ViTBackbone(**_VIT, mlp_dim=24),
    "vit-without-class": lambda: models.ViTBackbone(**_VIT, mlp_dim=24, use_class_token=False),
    "deit": lambda: models.DeiTBackbone(**_VIT, intermediate_dim=24),
    "dinov2": lambda: models.DINOV2Backbone(**_VISION, position_embedding_shape=(48, 48, 3)),
    "dinov2-with-registers": lambda: models.DINOV2Backbone(
        **_VISION, position_embedding_shape=(32, 32, 3), num_register_tokens=3
    ),
    "dinov3": lambda: models.DINOV3Backbone(**_VISION),
    "clip": lambda: models.CLIPVisionEncoder(**_VISION),
    "siglip": lambda: models.SigLIPVisionEncoder(**_VISION),
    "swin": lambda: models.SwinTransformerBackbone(
        image_shape=(64, 64, 3), embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4
    ),
}
HEADS: dict[str, Callable[[Any], Any]] = {
    "resnet": functools.partial(models.ResNetImageClassifier, num_classes=1000),
    "hgnetv2": functools.partial(models.HGNetV2ImageClassifier, num_classes=1000, preprocessor=None),
    "mobilenet": functools.partial(models.MobileNetImageClassifier, num_classes=1000),
    "vit": functools.partial(models.ViTImageClassifier, num_classes=1000, intermediate_dim=8),
    "deit": functools.partial(models.DeiTImageClassifier, num_classes=1000, activation="softmax"),
}


def stirred(network: Any, seed: int = 0) -> Any:
    """A network whose biases, normalisations and tokens do something; as they start, mistakes would not show."""
    random = np.random.default_rng(seed)
    for weight in network.weights:
        if weight.dtype == "float32" and weight.name != "interpolated_position_embeddings":
            scale = 0.2 if len(weight.shape) == 1 else 0.02
            weight.assign(keras.ops.convert_to_numpy(weight) + scale * random.uniform(size=weight.shape))
    return network


def save_family(folder: Path, family: str, with_head: bool = False, seed: int = 0) -> Any:
    """Save a network of a family as a preset, and return it."""
    keras.utils.set_random_seed(seed)
    network = FAMILIES[family]()
    if with_head:
        network = HEADS[family](network)
    stirred(network, seed).save_to_preset(str(folder))
    if not with_head:  # as it is loaded, DINOv2 interpolates its position embeddings
        network.load_weights(folder / "model.weights.h5")
    return network


def save_converter(folder: Path, **how: Any) -> Any:
    """Save an image converter beside a network, and return it."""
    converter = keras_hub.layers.ImageConverter(**how)
    converter.save_to_preset(str(folder))
    return converter


def change_json(path: Path, **parts: Any) -> None:
    """Change parts of what a preset's file describes."""
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


def pixels(size: int = 32, count: int = 3, seed: int = 5) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def numbers(tensor: Any) -> NDArray[Any]:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def keeper(folders: pytest.TempPathFactory) -> Saved:
    """Gives the row of a small network that KerasHub saved, and the network itself; each is made once."""
    known: dict[tuple[str, bool], tuple[Backbone, Any]] = {}

    def save(family: str, with_head: bool = False) -> tuple[Backbone, Any]:
        if (family, with_head) not in known:
            folder = folders.mktemp(family) / f"{family}{'-classifier' * with_head}"
            theirs = save_family(folder, family, with_head)
            known[family, with_head] = (hub_rows.row(str(folder), None), theirs)
        return known[family, with_head]

    return save


def ours(row: Backbone, pixels: NDArray[np.uint8]) -> Arrays:
    """What this program's network answers."""
    answers = build.build(row, weights.obtain(row, None))(pixels, training=False)
    return {name: numbers(answer) for name, answer in answers.items()}


def vectors(row: Backbone, pixels: NDArray[np.uint8]) -> Arrays:
    """Each vector that is offered, by its kind."""
    whole = ours(row, pixels)["vector"]
    assert whole.shape == (len(pixels), row.network.width)
    return {kind: whole[:, start:stop] for kind, start, stop in row.offers}


def prepared(row: Backbone, pixels: NDArray[np.uint8]) -> Any:
    """What KerasHub's own network is given."""
    return build.preprocess(keras.ops.array(pixels), row.preprocessing)

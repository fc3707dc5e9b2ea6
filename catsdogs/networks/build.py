"""Builds Keras models: uint8 photographs in, the vector and the ten most probable ImageNet labels out."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import keras
import numpy as np

from catsdogs.errors import WeightsError
from catsdogs.networks import choice, pth, trained
from catsdogs.networks.architectures import efficientnet_lite, small
from catsdogs.networks.imagenet import TOP_K
from catsdogs.networks.quiet import settle_keras
from catsdogs.networks.table import BACKBONES, HUB, NORMALISED, RESCALED, SMALL, Backbone, mean_and_deviation
from catsdogs.networks.weights import Weights, fill

if TYPE_CHECKING:
    from catsdogs.networks.hub import HubNetwork

RANDOM_SEED = 0
# The deviation of ImageNet's training pixels, RGB in 0..1: keras/src/applications/efficientnet.py, IMAGENET_STDDEV_RGB.
_DEVIATION = np.array([0.229, 0.224, 0.225])


class Pretrained(NamedTuple):
    """A network of the table, cut at its last feature map.

    Attributes:
        trunk: preprocessed pixels -> the map.
        norm: the LayerNormalization through which the classifier reads the pooled map, where there is one.
        classifier: the map -> 1,000 probabilities, where the weights have one. It computes in float32 whatever the
            trunk does. In bfloat16 dozens of logits tie, and the order of the ten best would be chance.
    """

    trunk: keras.Model
    norm: keras.layers.LayerNormalization | None
    classifier: keras.Model | None

    def vector(self, feature_map: keras.KerasTensor) -> keras.KerasTensor:
        """The map (n, h, w, width) -> the vector (n, width) float32: its average, normalised if there is a `norm`."""
        name = "vector" if self.norm is None else "pooled"
        pooled = keras.layers.GlobalAveragePooling2D(dtype="float32", name=name)(feature_map)
        if self.norm is None:
            return pooled
        norm = keras.layers.LayerNormalization(epsilon=self.norm.epsilon, dtype="float32", name="vector")
        norm.trainable = False  # as batch normalisation, see `fit.build_model`
        vector = norm(pooled)
        norm.set_weights(self.norm.get_weights())
        return vector


def build(backbone: Backbone, weights: Weights, policy: str = "float32") -> keras.Model:
    """A model on uint8 RGB (n, size, size, 3), preprocessing included.

    Its outputs are `vector` (n, width) float32 and, where the weights have the classifier, `topk_prob` (n, 10) float32,
    the ten highest probabilities, and `topk_class` (n, 10) int32, their ImageNet indices. `policy` is Keras's dtype
    policy, such as `mixed_bfloat16`. The layers from the pooling on compute in float32.

    Raises:
        WeightsError: the file's arrays do not fit the network.
    """
    settle_keras()
    if weights.path is None:
        keras.utils.set_random_seed(RANDOM_SEED)
    image = keras.Input((backbone.input_size, backbone.input_size, 3), dtype="uint8", name="image")
    if backbone.trained:
        with _computing_in(policy):
            vector = read_path(backbone.trained, member_of(weights))(keras.ops.cast(image, "float32"))
            return keras.Model(image, {"vector": keras.layers.Identity(dtype="float32", name="vector")(vector)})
    parts = pretrained(backbone, weights, policy)
    feature_map = parts.trunk(preprocess(image, backbone.preprocessing))
    outputs = {"vector": parts.vector(feature_map)}
    if parts.classifier:
        # It is float32 already, but Keras notes the type from before the classifier's layers were set to float32.
        top = keras.ops.top_k(keras.ops.cast(parts.classifier(feature_map), "float32"), TOP_K)
        outputs |= {"topk_prob": top[0], "topk_class": top[1]}
    return keras.Model(image, outputs, name=backbone.name)


def pretrained(backbone: Backbone, weights: Weights, policy: str = "float32") -> "Pretrained | HubNetwork":
    """A network of the table, or KerasHub's, with these weights; `policy` is Keras's dtype policy, for the trunk.

    Raises:
        WeightsError: as `build`.
    """
    with _computing_in(policy):
        if backbone.source == HUB:
            from catsdogs.networks import hub  # KerasHub is imported for its own networks only

            return hub.pretrained(backbone, weights)
        network = _whole_network(backbone, weights.has_classifier)
    _load_weights(network, backbone, weights)
    if backbone.preprocessing == RESCALED:
        _rescale(network)
    return _cut_top(network, backbone)


def build_path(
    base: str,
    input_size: int,
    weights: Weights | None = None,
    dropout: float = 0.0,
    batch_norm: bool = False,
    initializer: str = "glorot_uniform",
    folder: Path | None = None,
) -> keras.Model:
    """The model that fine-tuning trains: RGB in 0..255, float32 (n, size, size, 3) -> the vector (n, width).

    `base` is a network of the table, or KerasHub's, with these weights if they are given, or one of
    `architectures.small`. Only these take the three settings that follow. KerasHub's is described by the preset's JSON
    in the `folder`; if none is given, beside its weights.

    Raises:
        WeightsError: as `build`.
    """
    settle_keras()
    image = keras.Input((input_size, input_size, 3), name="image")
    if base in SMALL:
        network = small.build(base, input_size, dropout=dropout, batch_norm=batch_norm, initializer=initializer)
        return keras.Model(image, network(preprocess(image, SMALL[base].preprocessing)), name=base)
    if base not in BACKBONES:
        from catsdogs.networks import hub, hub_rows

        preset = folder or cast(Path, cast(Weights, weights).path).parent
        network, vector = hub.path(preset, input_size, weights)
        preprocessing = hub_rows.colours(hub_rows.read_preset(preset))
        return keras.Model(image, vector(network(preprocess(image, preprocessing))), name=choice.file_name(base))
    backbone = replace(BACKBONES[base], input_size=input_size)
    parts = (
        pretrained(backbone, weights) if weights else _cut_top(_whole_network(backbone, include_top=False), backbone)
    )
    network = keras.Model(parts.trunk.input, parts.trunk.output, name="network")
    vector = parts.vector(network(preprocess(image, backbone.preprocessing)))
    return keras.Model(image, vector, name=base)


def with_language(path: keras.Model) -> keras.Model:
    """A path and a linear layer, which maps the vectors of a member to the space of those of the member `all`."""
    vector = keras.layers.Dense(path.output.shape[-1], dtype="float32", name="language")(path.output)
    return keras.Model(path.input, vector, name=path.name)


def read_path(folder: Path, member: str) -> keras.Model:
    """A trained network's path, see `build_path`, of one of its members.

    Raises:
        WeightsError: the weights do not fit.
    """
    card = trained.read_card(folder)
    path = build_path(card.base, card.input_size, batch_norm="batch-norm" in card.tricks, folder=folder)
    if member != trained.ALL:
        path = with_language(path)
    fill_member(path.load_weights, folder, member)
    return path


def fill_member(load: Callable[[Path], object], folder: Path, member: str) -> None:
    """Load a member's weights by `load_weights` of a model of its layers; raises as `read_path`."""
    card = trained.read_card(folder)
    fill(load, trained.weights_path(folder, member), card.base, f"Train {card.name} again with --force")


def member_of(weights: Weights) -> str:
    """Which member of a trained network these weights are."""
    assert weights.path  # noqa: S101 - `obtain` gives a trained network no random weights
    return weights.path.name.removesuffix(".weights.h5")


def preprocess(image: keras.KerasTensor, mode: str) -> keras.KerasTensor:
    """RGB in 0..255 -> the numbers that the network was trained on; see `Backbone.preprocessing`."""
    image = keras.ops.cast(image, "float32")
    if mode == "lite":
        return (image - 127.0) / 128.0
    if mode in ("none", RESCALED):  # the network does it all
        return image
    if given := mean_and_deviation(mode):
        mean, deviation = np.array(given, np.float32)
        return (image / 255.0 - mean) / deviation
    return keras.applications.imagenet_utils.preprocess_input(image, data_format="channels_last", mode=mode)


def _whole_network(backbone: Backbone, include_top: bool) -> keras.Model:
    if backbone.package:
        return efficientnet_lite.build(backbone.base, backbone.input_size, include_top)
    shape = (backbone.input_size, backbone.input_size, 3)
    return getattr(keras.applications, backbone.base)(weights=None, include_top=include_top, input_shape=shape)


def _load_weights(network: keras.Model, backbone: Backbone, weights: Weights) -> None:
    if weights.path is None:
        return
    if weights.path.suffix == ".pth":
        efficientnet_lite.set_weights(network, pth.read_pth(weights.path))
        return
    remedy = f"Use weights of keras.applications.{backbone.base}"
    found, expected = sorted(weights.shapes()), sorted(tuple(weight.shape) for weight in network.weights)
    if found != expected:  # Keras would only warn, and leave layers that the file lacks at random
        problem = f"it holds {len(found)} arrays, or other shapes, where the network has {len(expected)}"
        raise WeightsError(f"{weights.path} does not fit {backbone.name}: {problem}", remedy)
    fill(network.load_weights, weights.path, network.name, remedy)


def _rescale(network: keras.Model) -> None:
    """Divide the kernel of an EfficientNet's first convolution by the root of ImageNet's deviation.

    The networks that the weights come from divide their input so. Keras adds a layer that does, but only for
    `weights="imagenet"`. In the kernel it is the same, since padding is with zeros, and later training keeps it.
    """
    first = next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
    first.kernel.assign(first.kernel / np.sqrt(_DEVIATION)[:, np.newaxis].astype(np.float32))


def _cut_top(network: keras.Model, backbone: Backbone) -> Pretrained:
    """A network of Keras's, with or without top, cut before its last global pooling; VGG flattens instead."""
    norm = None
    if backbone.vector == NORMALISED:
        norm = [layer for layer in network.layers if isinstance(layer, keras.layers.LayerNormalization)][-1]
    if len(network.output.shape) == 4:  # without a top Keras normalises the map, not the pooled vector
        feature_map = norm.input if norm else network.output
        return Pretrained(keras.Model(network.input, feature_map), norm, None)
    kinds = (keras.layers.GlobalAveragePooling2D, keras.layers.Flatten)
    pooling = next(found for kind in kinds if (found := [layer for layer in network.layers if isinstance(layer, kind)]))
    feature_map = pooling[-1].input
    classifier = keras.Model(feature_map, network.output, name="classifier")
    for layer in classifier.layers:
        layer.dtype_policy = "float32"
    return Pretrained(keras.Model(network.input, feature_map), norm, classifier)


@contextlib.contextmanager
def _computing_in(policy: str) -> Iterator[None]:
    """In the block layers are made with this dtype policy of Keras."""
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)

"""The Keras model of extraction: uint8 photographs in, pooled vector and top-10 ImageNet labels out."""

from dataclasses import replace
from pathlib import Path

import keras

from catsdogs import networks, sealed, storage
from catsdogs.backbones import TABLE, Backbone, efficientnet_lite, pth, trained
from catsdogs.backbones.weights import Weights
from catsdogs.errors import WeightsError
from catsdogs.store import TOP_K

RANDOM_SEED = 0


def build(backbone: Backbone, weights: Weights, policy: str = "float32") -> keras.Model:
    """A model on uint8 RGB (n, size, size, 3), preprocessing included.

    Its outputs: `vector`, the pooled vector (n, width) float32, and where the weights have the classifier `topk_prob`,
    the ten highest probabilities (n, 10) float32, and `topk_class`, their ImageNet indices (n, 10) int32. `policy` is
    Keras's dtype policy, such as `mixed_bfloat16`; pooling and what follows stay in float32.

    Raises:
        WeightsError: the file's arrays do not fit the network.
    """
    if weights.path is None:
        keras.utils.set_random_seed(RANDOM_SEED)
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        if backbone.trained:
            return _of_trained(backbone, backbone.trained, weights)
        split = pretrained(backbone, weights)
    finally:
        keras.config.set_dtype_policy(previous)

    image = keras.Input((backbone.input_size, backbone.input_size, 3), dtype="uint8", name="image")
    feature_map, *labels = split(preprocess(image, backbone.preprocessing))
    vector = keras.layers.GlobalAveragePooling2D(dtype="float32", name="vector")(feature_map)
    outputs = {"vector": vector}
    if labels:
        top = keras.ops.top_k(keras.ops.cast(labels[0], "float32"), TOP_K)
        outputs |= {"topk_prob": top[0], "topk_class": top[1]}
    return keras.Model(image, outputs, name=backbone.name)


def pretrained(backbone: Backbone, weights: Weights) -> keras.Model:
    """A network of the table, from preprocessed pixels to its last feature map and, where there are, its labels.

    Raises:
        WeightsError: as `build`.
    """
    network = _network(backbone, weights.has_classifier)
    _load(network, backbone, weights)
    return keras.Model(network.input, _feature_map_and_labels(network))


def path_of(
    base: str,
    input_size: int,
    weights: Weights | None = None,
    dropout: float = 0.0,
    batch_norm: bool = False,
    initializer: str = "glorot_uniform",
) -> keras.Model:
    """What fine-tuning trains: RGB in 0..255, float32 (n, size, size, 3), to the vector (n, width), for any size.

    `base` is a network of the table, with these weights if they are given, or one of `networks`, which the last three
    settings are for.
    """
    image = keras.Input((input_size, input_size, 3), name="image")
    if base in networks.TABLE:
        network = networks.build(base, input_size, dropout=dropout, batch_norm=batch_norm, initializer=initializer)
        return keras.Model(image, network(preprocess(image, trained.SCRATCH_PREPROCESSING)), name=base)
    backbone = replace(TABLE[base], input_size=input_size)
    network = pretrained(backbone, weights) if weights else _network(backbone, include_top=False)
    feature_map = keras.Model(network.input, network.outputs[0], name="network")(
        preprocess(image, backbone.preprocessing)
    )
    vector = keras.layers.GlobalAveragePooling2D(dtype="float32", name="vector")(feature_map)
    return keras.Model(image, vector, name=base)


def with_language(path: keras.Model) -> keras.Model:
    """A path and a linear layer, by which the members of a network come to speak one language."""
    vector = keras.layers.Dense(path.output.shape[-1], dtype="float32", name="language")(path.output)
    return keras.Model(path.input, vector, name=path.name)


def read_path(folder: Path, member: str) -> keras.Model:
    """A trained network's path, see `path_of`, of one of its members.

    Raises:
        WeightsError: the weights do not fit.
    """
    card = trained.read(folder)
    path = path_of(card.base, card.input_size, batch_norm="batch-norm" in card.tricks)
    if member != trained.ALL:
        path = with_language(path)
    return _filled(path, trained.weights_path(folder, member), f"Train {card.name} again with --force")


def _of_trained(backbone: Backbone, folder: Path, weights: Weights) -> keras.Model:
    assert weights.path  # noqa: S101 - `obtain` gives a trained network no random weights
    path = read_path(folder, weights.path.name.removesuffix(".weights.h5"))
    image = keras.Input((backbone.input_size, backbone.input_size, 3), dtype="uint8", name="image")
    vector = path(keras.ops.cast(image, "float32"))
    return keras.Model(image, {"vector": keras.layers.Identity(dtype="float32", name="vector")(vector)})


def preprocess(image: keras.KerasTensor, mode: str) -> keras.KerasTensor:
    """RGB in 0..255 -> what the network was trained on; see `Backbone.preprocessing`."""
    image = keras.ops.cast(image, "float32")
    if mode == "lite":
        return (image - 127.0) / 128.0
    if mode == "none":
        return image
    return keras.applications.imagenet_utils.preprocess_input(image, data_format="channels_last", mode=mode)


def _network(backbone: Backbone, include_top: bool) -> keras.Model:
    if backbone.package:
        return efficientnet_lite.build(backbone.name, backbone.input_size, include_top)
    shape = (backbone.input_size, backbone.input_size, 3)
    return getattr(keras.applications, backbone.name)(weights=None, include_top=include_top, input_shape=shape)


def _load(network: keras.Model, backbone: Backbone, weights: Weights) -> None:
    if weights.path is None:
        return
    if weights.path.suffix == ".pth":
        efficientnet_lite.set_weights(network, pth.read(weights.path))
        return
    remedy = f"Use weights of keras.applications.{backbone.name}"
    found, expected = sorted(weights.shapes()), sorted(tuple(weight.shape) for weight in network.weights)
    if (
        found != expected
    ):  # Keras leaves layers that it does not find in the file at random, with no more than a warning
        what = f"it holds {len(found)} arrays, or other shapes, where the network has {len(expected)}"
        raise WeightsError(f"{weights.path} does not fit {backbone.name}: {what}", remedy)
    _filled(network, weights.path, remedy)


def _filled(network: keras.Model, path: Path, remedy: str) -> keras.Model:
    try:
        with sealed.lockable(path) as lockable:
            network.load_weights(lockable)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        if storage.reason_of(error):
            raise storage.read_error(path, error, WeightsError) from None
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path} does not fit {network.name}: {reason}", remedy) from None
    return network


def _feature_map_and_labels(network: keras.Model) -> list[keras.KerasTensor]:
    """What the network's last global pooling reads (VGG flattens instead), and its probabilities if it has a top."""
    if len(network.output.shape) == 4:
        return [network.output]
    for kind in (keras.layers.GlobalAveragePooling2D, keras.layers.Flatten):
        pooling = [layer for layer in network.layers if isinstance(layer, kind)]
        if pooling:
            return [pooling[-1].input, network.output]
    raise AssertionError(f"{network.name} neither pools nor flattens")

"""The Keras model of extraction: uint8 photographs in, pooled vector and top-10 ImageNet labels out."""

import keras

from catsdogs.backbones import Backbone, efficientnet_lite, pth
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
    include_top = weights.has_classifier
    if weights.path is None:
        keras.utils.set_random_seed(RANDOM_SEED)
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        network = _network(backbone, include_top)
    finally:
        keras.config.set_dtype_policy(previous)
    _load(network, backbone, weights)

    image = keras.Input((backbone.input_size, backbone.input_size, 3), dtype="uint8", name="image")
    split = keras.Model(network.input, _feature_map_and_labels(network))
    feature_map, *labels = split(preprocess(image, backbone.preprocessing))
    vector = keras.layers.GlobalAveragePooling2D(dtype="float32", name="vector")(feature_map)
    outputs = {"vector": vector}
    if labels:
        top = keras.ops.top_k(keras.ops.cast(labels[0], "float32"), TOP_K)
        outputs |= {"topk_prob": top[0], "topk_class": top[1]}
    return keras.Model(image, outputs, name=backbone.name)


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
    try:
        # Keras leaves layers that it does not find in the file at random, with no more than a warning.
        found, expected = sorted(weights.shapes()), sorted(tuple(weight.shape) for weight in network.weights)
        if found != expected:
            raise ValueError(f"it holds {len(found)} arrays, or other shapes, where the network has {len(expected)}")
        network.load_weights(weights.path)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{weights.path} does not fit {backbone.name}: {reason}",
            f"Use weights of keras.applications.{backbone.name}",
        ) from None


def _feature_map_and_labels(network: keras.Model) -> list[keras.KerasTensor]:
    """What the network's last global pooling reads (VGG flattens instead), and its probabilities if it has a top."""
    if len(network.output.shape) == 4:
        return [network.output]
    for kind in (keras.layers.GlobalAveragePooling2D, keras.layers.Flatten):
        pooling = [layer for layer in network.layers if isinstance(layer, kind)]
        if pooling:
            return [pooling[-1].input, network.output]
    raise AssertionError(f"{network.name} neither pools nor flattens")

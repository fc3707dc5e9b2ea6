"""KerasHub's networks as Keras models: a preset's image backbone, how its vectors are read, and its classifier.

This alone imports KerasHub.
"""

import copy
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import keras_hub

from catsdogs.errors import CatsdogsError, UsageError, WeightsError
from catsdogs.networks import hub_rows
from catsdogs.networks.hub_features import Features, features_of, offered
from catsdogs.networks.hub_rows import Preset
from catsdogs.networks.imagenet import IMAGENET_CLASSES
from catsdogs.networks.table import HUB, SMALLEST_INPUT, Backbone
from catsdogs.networks.weights import Weights, fill

USUAL_SIZE = 224  # pixels, of a network that takes any, where its preset names none
_AGAIN = "Download the preset again, all of it"
_ANOTHER = "Choose a preset of an image backbone"
_TOWERS = ("CLIPBackbone", "SigLIPBackbone")  # of pictures and texts, of which the image tower is taken
# What Keras and KerasHub raise for a configuration that is none, or a size that a network does not take.
_MISFITS = (ValueError, TypeError, KeyError, AttributeError, IndexError, ArithmeticError)


class HubNetwork(NamedTuple):
    """A preset's network, cut where its classifier begins.

    Attributes:
        trunk: preprocessed pixels (n, size, size, 3) -> a list, `Features.classes` and then `Features.last`.
        patches: see `Features`.
        head: `Features.last` -> (n, 1000) logits or probabilities, in float32, where there is ImageNet's classifier.
        is_softmax: whether the head ends with it.
    """

    trunk: keras.Model
    patches: int
    head: keras.Model | None = None
    is_softmax: bool = False

    def vector(self, features: list[keras.KerasTensor]) -> keras.KerasTensor:
        """What the trunk gives -> (n, width) float32, all that the network offers side by side, see `offered`."""
        *classes, last = (keras.ops.cast(part, "float32") for part in features)
        averaged = self.mean(last)
        joined = keras.layers.Concatenate(dtype="float32")([*classes, averaged]) if classes else averaged
        return keras.layers.Identity(dtype="float32", name="vector")(joined)

    def mean(self, last: keras.KerasTensor) -> keras.KerasTensor:
        """`Features.last` -> (n, d), the average of the map or of the patches' tokens."""
        if len(last.shape) == 4:
            return keras.layers.GlobalAveragePooling2D(dtype="float32", name="pooled")(last)
        return keras.layers.GlobalAveragePooling1D(dtype="float32", name="pooled")(last[:, self.patches :])

    @property
    def classifier(self) -> Callable[[list[keras.KerasTensor]], keras.KerasTensor] | None:
        """What the trunk gives -> (n, 1000) probabilities."""
        head = self.head
        if head is None:
            return None
        softmax = keras.layers.Identity() if self.is_softmax else keras.layers.Softmax(dtype="float32")
        return lambda features: softmax(head(keras.ops.cast(features[-1], "float32")))


def describe(preset: Preset, name: str, size: int = 0) -> Backbone:
    """The row of a preset, at its own input size (0) or another, from a network without numbers.

    Raises:
        UsageError: the network does not take this size.
        WeightsError: it is no network for pictures, or its configuration is damaged.
    """
    usual = _own_size(preset)
    side = size or usual
    if side < SMALLEST_INPUT:
        raise UsageError(f"{name} at {side} pixels", f"Give --size at least {SMALLEST_INPUT}")
    own, features = _without_numbers(preset, usual)
    if side != usual:
        _refuse_other_shapes(own, preset, name, side, usual)
    offers = offered(features, _is_averaged(preset))
    count = sum(math.prod(weight.shape) for weight in own.weights)
    keras.utils.clear_session()  # it still knows of variables that have no numbers
    return Backbone(
        name=name,
        input_size=side,
        width=offers[0].stop - offers[0].start,
        preprocessing=hub_rows.colours(preset),
        vector=offers[0].kind,
        source=HUB,
        model=name.removeprefix(f"{HUB}-"),
        offers=offers,
        labels=preset.labels,
        parameters=round(count / 1e6, 3),
        **hub_rows.resizing(preset),
    )


def pretrained(backbone: Backbone, weights: Weights) -> HubNetwork:
    """A preset's network with these weights, in Keras's present dtype policy.

    Raises:
        WeightsError: they do not fit, or the preset is damaged.
    """
    assert backbone.folder  # noqa: S101 - `hub_rows` gives each of its rows one
    return load(backbone.folder, backbone.input_size, weights, backbone.labels == IMAGENET_CLASSES)


def load(folder: Path, size: int, weights: Weights | None, with_classifier: bool = False) -> HubNetwork:
    """The network that the JSON of a preset describes, with these weights or random ones.

    Raises:
        WeightsError: as `pretrained`.
    """
    preset = hub_rows.read_preset(folder)
    parts = _built(preset, size, with_classifier)
    if weights and weights.path:
        _fill(parts.whole.load_weights, weights.path, parts.whole.weights)
        if parts.task:
            known = set(map(id, parts.whole.weights))
            own = [weight for weight in parts.task.weights if id(weight) not in known]
            _fill(parts.task.load_task_weights, folder / hub_rows.TASK_WEIGHTS_FILE, own)
    features = features_of(parts.tower, _is_averaged(preset))
    trunk = keras.Model(parts.tower.inputs[0], [*features.classes, features.last])
    if not parts.task:
        return HubNetwork(trunk, features.patches)
    return HubNetwork(trunk, features.patches, *_head_of(parts.task, features.last))


def path(folder: Path, size: int, weights: Weights | None) -> tuple[keras.Model, Callable[..., keras.KerasTensor]]:
    """What fine-tuning trains: preprocessed pixels -> what its usual vector is read from; and this -> the vector.

    Raises:
        WeightsError: as `pretrained`.
    """
    network, preset = load(folder, size, weights), hub_rows.read_preset(folder)
    *classes, last = network.trunk.outputs
    identity = keras.layers.Identity(dtype="float32", name="vector")
    if _is_averaged(preset) or not classes:
        return keras.Model(network.trunk.input, last, name="network"), lambda map: identity(network.mean(map))
    return keras.Model(network.trunk.input, classes[-1], name="network"), identity


def handle_of(preset: str) -> str:
    """Where one of KerasHub's own presets lies, as `kaggle://...`; empty for another name."""
    known = keras_hub.models.Backbone.presets.get(preset, {})
    return str(known.get("kaggle_handle", ""))


def download(handle: str) -> Path:
    """Download a preset's files, and return their folder.

    Raises:
        WeightsError: that failed.
    """
    scheme, _, place = handle.partition("://")
    try:
        if scheme == "kaggle":
            import kagglehub

            return Path(kagglehub.model_download(place))
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(place, allow_patterns=["*.json", "*.weights.h5"]))
    # Both raise what requests or httpx do, or ValueErrors for handles that are none.
    except Exception as error:
        if isinstance(error, CatsdogsError) or not _is_of_download(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = "On Kaggle attach the model to the notebook; elsewhere give --weights-dir the folder in which it lies"
        raise WeightsError(f"{handle} could not be downloaded: {reason}", remedy) from None


def _is_of_download(error: Exception) -> bool:
    makers = ("kagglehub", "kagglesdk", "huggingface_hub", "httpx", "requests", "urllib3")
    kinds = [kind.__module__.partition(".")[0] for kind in type(error).__mro__]
    return isinstance(error, OSError | ValueError) or not set(kinds).isdisjoint(makers)


class _Parts(NamedTuple):
    """Of a preset: the model whose weights its file has, the image backbone in it, the task around it if asked for."""

    whole: keras.Model
    tower: keras.Model
    task: keras.Model | None = None


def _built(preset: Preset, size: int, with_classifier: bool = False) -> _Parts:
    """The models that a preset's JSON describes, for squares of this size, with random weights."""
    named = f"{preset.folder} has a {preset.family}"
    if preset.family not in _TOWERS and "vocabulary_size" in preset.config["config"]:
        raise WeightsError(f"{named}, which reads text", _ANOTHER)
    serialized = preset.task if with_classifier else preset.config
    try:
        made = keras.saving.deserialize_keras_object(_adapted(serialized, size))
    except _MISFITS as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{named} that cannot be built: {reason}", "Download the preset again") from None
    whole = made.backbone if with_classifier else made
    if not isinstance(whole, keras_hub.models.Backbone):
        raise WeightsError(f"{named}, which is no backbone", _ANOTHER)
    tower = whole.vision_encoder if preset.family in _TOWERS else whole
    if len(tower.inputs) != 1 or len(tower.inputs[0].shape) != 4:
        raise WeightsError(f"{named}, which does not read pictures alone", _ANOTHER)
    return _Parts(whole, tower, made if with_classifier else None)


def _adapted(serialized: dict[str, Any], size: int) -> dict[str, Any]:
    """The configuration of a backbone or task for squares of this size, in Keras's present dtype policy."""
    adapted = copy.deepcopy(serialized)
    config = adapted["config"]
    # As a network answers, these do nothing; as one learns, dropout is a trick, off until it is named.
    config |= {key: 0.0 for key in config if key.startswith(("drop", "attention_drop")) and config[key]}
    if "backbone" in config:
        config |= {"backbone": _adapted(config["backbone"], size), "preprocessor": None}
        return adapted
    config["dtype"] = keras.config.dtype_policy().name
    for key in ("image_shape", "input_shape"):
        if config.get(key):
            config[key] = [size, size, 3]
    for tower in ("vision_encoder", "text_encoder"):
        if isinstance(config.get(tower), dict):
            config[tower] = _adapted(config[tower], size)
    return adapted


def _own_size(preset: Preset) -> int:
    """The side of the square that a preset's network is made for; of one that takes any, what it is usually given."""
    config = preset.config["config"]
    tower = config.get("vision_encoder")
    config = tower.get("config", {}) if isinstance(tower, dict) else config
    shape = config.get("image_shape") or config.get("input_shape")
    for sides in (shape, preset.converter.get("config", {}).get("image_size")):
        if isinstance(sides, list) and len(sides) >= 2 and all(isinstance(side, int) for side in sides[:2]):
            if sides[0] != sides[1]:
                raise WeightsError(f"{preset.folder} is for {sides[0]} x {sides[1]} pixels", "Choose one for squares")
            return int(sides[0])
    return USUAL_SIZE


def _without_numbers(preset: Preset, size: int) -> tuple[keras.Model, Features]:
    """A preset's image backbone whose variables have shapes only: of the largest they would be gigabytes."""
    with keras.StatelessScope(initialize_variables=False):
        tower = _built(preset, size).tower
        return tower, features_of(tower, _is_averaged(preset))


def _refuse_other_shapes(own: keras.Model, preset: Preset, name: str, side: int, usual: int) -> None:
    """Refuse a size at which a network has other arrays than its file: such are learnt position embeddings.

    Those of DINOv2 KerasHub interpolates as it loads them, from an array that keeps its shape.
    """
    try:
        other, _ = _without_numbers(preset, side)
    except WeightsError as error:
        raise UsageError(f"{name} at {side} pixels: {error.problem}", f"Give another --size, or {usual}") from None
    arrays = [
        [weight.shape for weight in model.weights if weight.name != "interpolated_position_embeddings"]
        for model in (own, other)
    ]
    if arrays[0] != arrays[1]:
        raise UsageError(f"{name} takes {usual} pixels only: its arrays are of that size", "Leave --size out")


def _is_averaged(preset: Preset) -> bool:
    """Whether a classifier that comes with it reads the average of tokens rather than the class token."""
    return preset.task.get("config", {}).get("pooling") == "gap"


def _fill(load: Callable[[Path], object], path: Path, arrays: list[keras.Variable]) -> None:
    """Load a weights file that must have all these arrays: of parts that it lacks Keras but warns, or says nothing."""
    floats = [array for array in arrays if keras.backend.is_float_dtype(array.dtype)]
    for array in floats:
        array.assign(keras.ops.full(array.shape, math.nan, array.dtype))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fill(load, path, path.parent.name, _AGAIN)
    missing = [array.path for array in floats if keras.ops.any(keras.ops.isnan(array))]
    if missing:
        raise WeightsError(f"{path} has no numbers for {len(missing)} arrays, such as {missing[0]}", _AGAIN)


def _head_of(task: keras.Model, last: keras.KerasTensor) -> tuple[keras.Model, bool]:
    """What a task does with its backbone's output, in float32, and whether it ends with a softmax."""
    outputs = keras.tree.flatten(task.backbone.output)  # of a pyramid several, of which one is the last map
    place = next((number for number, output in enumerate(outputs) if output is last), 0)
    head = keras.Model(task.backbone._inbound_nodes[-1].output_tensors[place], task.output, name="classifier")
    for layer in head._flatten_layers(include_self=False):
        layer.dtype_policy = "float32"
    return head, keras.activations.get(task.get_config().get("activation")) == keras.activations.softmax

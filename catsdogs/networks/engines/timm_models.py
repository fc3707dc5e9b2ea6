"""timm's networks as PyTorch modules on uint8 photographs, and exported for OpenVINO."""

import warnings
from collections.abc import Mapping
from typing import Any

import openvino
import timm
import torch
from timm.data import ImageNetInfo, infer_imagenet_subset

from catsdogs.errors import WeightsError
from catsdogs.networks.engines import torch_files
from catsdogs.networks.engines.interface import FEATURE_MAP
from catsdogs.networks.engines.timm_facts import BLOCKS, MISFITS, Config, configured, sized
from catsdogs.networks.imagenet import CATS, DOGS, IMAGENET_CLASSES, TOP_K, VOTING_HEADS, other_head
from catsdogs.networks.table import CLS, LAST4, Backbone, mean_and_deviation
from catsdogs.networks.weights import Weights

RANDOM_SEED = 0
_MOST_LABELS = 2**18  # a file may claim any number; the largest classifier of timm's has 115,217


class Answering(torch.nn.Module):
    """A network on uint8 RGB (n, size, size, 3), in two parts: `trunk`, and what computes in float32 always, `answer`.

    Its output has `vector` (n, width) float32, all that it offers side by side, and, if its classifier votes,
    `topk_prob` (n, 10) float32 and `topk_class` (n, 10) int64, ImageNet's 1,000 labels.
    """

    def __init__(self, model: torch.nn.Module, backbone: Backbone, labels: int) -> None:
        super().__init__()
        self.model = model
        self._kinds = {offered.kind for offered in backbone.offers}
        self.votes = labels in VOTING_HEADS
        self._head = _AsImageNet(labels) if self.votes else None
        given = mean_and_deviation(backbone.preprocessing)
        assert given  # noqa: S101 - `describe` wrote it
        mean, deviation = (torch.tensor(part, dtype=torch.float32).view(1, 3, 1, 1) for part in given)
        self.register_buffer("mean", 255 * mean, persistent=False)
        self.register_buffer("deviation", 255 * deviation, persistent=False)

    def trunk(self, pixels: torch.Tensor) -> tuple[Any, ...]:
        """What the pooling reads: the features, and the class tokens of the blocks before the last, (n, d) each."""
        image = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.deviation
        if LAST4 not in self._kinds:
            return (self.model.forward_features(image),)
        features, layers = self.model.forward_intermediates(
            image, indices=BLOCKS, return_prefix_tokens=True, norm=True, output_fmt="NLC"
        )
        return (features, *(prefix[:, 0] for _, prefix in layers[:-1]))

    def answer(self, read: tuple[Any, ...]) -> dict[str, torch.Tensor]:
        """The outputs from what `trunk` gave, in whatever precision."""
        features, *tokens = (_in_float32(part) for part in read)
        pooled = self.model.forward_head(features, pre_logits=True)
        if CLS not in self._kinds:
            outputs = {"vector": pooled}
        elif self.model.global_pool == "avg":
            outputs = {"vector": torch.cat([*tokens, features[:, 0], pooled], 1)}
        else:
            mean = features[:, self.model.num_prefix_tokens :].mean(1)
            outputs = {"vector": torch.cat([*tokens, pooled, mean], 1)}
        if self._head is not None:
            probabilities = self._head(self.model.forward_head(features).softmax(-1))
            outputs["topk_prob"], outputs["topk_class"] = probabilities.topk(TOP_K, -1)
        return outputs

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.answer(self.trunk(pixels))


def build(backbone: Backbone, weights: Weights) -> Answering:
    """The network with its weights, ready to answer, in float32; without a weights file they are random.

    How many labels its classifier has is read from the file. Without one, or with labels that are not ImageNet's,
    there are vectors only. At another size than its own, position embeddings are interpolated as timm does.

    Raises:
        WeightsError: the file is damaged, holds anything but tensors, or does not fit.
    """
    _, config = configured(backbone.model)
    if weights.path is None:
        torch.manual_seed(RANDOM_SEED)
        model, labels = _created(backbone, config), config.num_classes
    else:
        model, labels = _filled(backbone, config, weights)
    return Answering(model, backbone, labels).eval()


def export(backbone: Backbone, weights: Weights, path: str) -> None:
    """Write the module of `build` as an OpenVINO file, `.xml`.

    What the pooling reads is named `FEATURE_MAP` in it, so that an engine can compute all that follows in float32.

    Raises:
        WeightsError: as `build`.
    """
    traced = _Traced(build(backbone, weights)).eval()
    side = backbone.input_size
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = torch.zeros((2, side, side, 3), dtype=torch.uint8)
        converted = openvino.convert_model(traced, example_input=example, input=[-1, side, side, 3])
    for name, output in zip(traced.names, converted.outputs, strict=True):
        output.get_tensor().set_names({name})
    if FEATURE_MAP in traced.names:
        result = converted.get_results()[-1]
        result.input_value(0).get_tensor().add_names({FEATURE_MAP})
        converted.remove_result(result)
    openvino.save_model(converted, path, compress_to_fp16=False)


class _AsImageNet(torch.nn.Module):
    """Probabilities (n, labels) of a classifier that votes -> (n, 1000) of ImageNet-1k's labels, where it knows them.

    What a larger one gives to further dogs goes to the likeliest breed of the photograph, and likewise for cats.
    """

    def __init__(self, labels: int) -> None:
        super().__init__()
        self._is_larger = labels != IMAGENET_CLASSES
        if self._is_larger:
            head = other_head(ImageNetInfo(infer_imagenet_subset({"num_classes": labels})).label_names())
            own = torch.tensor(head.own)
            tensors = {"own": own.clamp(min=0), "known": (own >= 0).float(), "places": torch.arange(IMAGENET_CLASSES)}
            for name, tensor in (tensors | {"dogs": torch.tensor(head.dogs), "cats": torch.tensor(head.cats)}).items():
                self.register_buffer(name, tensor, persistent=False)

    def forward(self, probabilities: torch.Tensor) -> torch.Tensor:
        if not self._is_larger:
            return probabilities
        known = probabilities[:, self.own] * self.known
        for further, pets in ((self.dogs, DOGS), (self.cats, CATS)):
            likeliest = known[:, pets.start : pets.stop].argmax(1, keepdim=True) + pets.start
            known = known + (self.places == likeliest).float() * probabilities[:, further].sum(1, keepdim=True)
        return known


class _Traced(torch.nn.Module):
    """As `Answering`, with the features among a tuple of outputs if they are one tensor and a classifier reads them."""

    def __init__(self, module: Answering) -> None:
        super().__init__()
        self.module = module
        self.names: list[str] = []

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        read = self.module.trunk(pixels)
        outputs = self.module.answer(read)
        if self.module.votes and isinstance(read[0], torch.Tensor):
            outputs[FEATURE_MAP] = read[0]
        self.names = list(outputs)
        return tuple(outputs.values())


def _created(backbone: Backbone, config: Config, **options: Any) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return timm.create_model(backbone.model, **sized(config, backbone.input_size), **options)


def _filled(backbone: Backbone, config: Config, weights: Weights) -> tuple[torch.nn.Module, int]:
    """The network with the tensors of a file, loaded by timm, and how many labels its classifier has."""
    assert weights.path  # noqa: S101 - see `build`
    tensors, reason = torch_files.read(weights.path), ""
    names = [config.classifier] if isinstance(config.classifier, str) else config.classifier or ()
    matrices = [tensors[f"{name}.weight"] for name in names if f"{name}.weight" in tensors]
    found = [matrix.shape[0] for matrix in matrices if matrix.ndim > 1 and matrix.shape[0] <= _MOST_LABELS]
    # The makers' own files may have other names for the classifier, so that only loading them shows if there is one.
    for labels in dict.fromkeys([found[0]] if found else [config.num_classes, 0]):
        # With the number of labels that the network is given timm leaves nothing out, and is strict.
        overlay = {"state_dict": dict(tensors), "num_classes": labels}
        try:
            torch.manual_seed(RANDOM_SEED)  # see `_left_random`
            model = _created(backbone, config, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=labels)
        except MISFITS as error:
            reason = reason or torch_files.misfit(error)
            continue
        model.pretrained_cfg = model.default_cfg = {}  # they hold a copy of all tensors
        if not _left_random(model, backbone, config, labels, tensors):
            return model, labels
        reason = reason or "it lacks some of its tensors"
    raise WeightsError(f"{weights.path} does not fit timm:{backbone.model}: {reason}", "Use weights of this network")


def _left_random(
    model: torch.nn.Module, backbone: Backbone, config: Config, labels: int, tensors: Mapping[str, torch.Tensor]
) -> bool:
    """Whether parameters kept the numbers that they started with: for a few networks timm is not strict.

    The file of this network's makers may have other names for them. Then a network without weights, made from the same
    seed, tells.
    """
    missing = [name for name, _ in model.named_parameters() if name not in tensors]
    if not missing:
        return False
    torch.manual_seed(RANDOM_SEED)
    twin = dict(_created(backbone, config, num_classes=labels).named_parameters())
    own = dict(model.named_parameters())
    return any(twin[name].numel() > 1 and twin[name].std() > 0 and own[name].equal(twin[name]) for name in missing)


def _in_float32(part: Any) -> Any:
    """Tensors, in lists or dictionaries too, as float32."""
    if isinstance(part, torch.Tensor):
        return part.float() if part.is_floating_point() else part
    if isinstance(part, list | tuple):
        return type(part)(map(_in_float32, part))
    return {name: _in_float32(value) for name, value in part.items()} if isinstance(part, dict) else part

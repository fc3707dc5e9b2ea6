"""What timm says of its networks: rows of the table, from its configurations and from models without numbers."""

import difflib
import inspect
import warnings
from typing import Any

import timm
import torch
from timm.models import get_deprecated_models, get_pretrained_cfg, is_model, list_models, split_model_name_tag
from torch.utils.flop_counter import FlopCounterMode

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.networks.engines import torch_files
from catsdogs.networks.table import (
    CLS,
    CLS_MEAN,
    LAST4,
    MEAN,
    SMALLEST_INPUT,
    TIMM,
    Backbone,
    Offered,
    standardising,
)
from catsdogs.photographs.fitting import CROP, INTERPOLATIONS, PAD, SQUASH

BLOCKS = 4  # whose class tokens are `last4`
# What timm and PyTorch raise for a size that a network does not take, and for weights that are not its own.
MISFITS = (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, ArithmeticError)
_RESIZES = {"center": CROP, "squash": SQUASH, "border": PAD}  # by timm's crop_mode
Config = Any  # timm.models.PretrainedCfg


def describe(model: str, size: int = 0) -> Backbone:
    """The row of a network, from timm's configuration and a model without weights; 0 is its own size.

    Raises:
        UnknownNameError: timm has no such network, or not with this tag.
        UsageError: the network does not take this size, sees no squares, or gives no vector.
    """
    full, config = configured(model)
    channels, height, width = config.input_size
    if height != width or channels != 3:
        raise UsageError(f"timm:{full} sees {width} x {height} pixels in {channels} channels", "Choose another network")
    side = size or height
    if side < SMALLEST_INPUT:
        raise UsageError(f"timm:{full} at {size} pixels", f"Give --size at least {SMALLEST_INPUT}")
    network = _on_meta(full, config, side)
    features, pooled, operations = _tried(network, full, side, config.input_size[1])
    inside = sum(parameter.numel() for parameter in network.parameters()) - _classifier_size(network)
    offers = _offered(network, features, pooled.shape[1])
    mean, deviation = config.mean, config.std
    return Backbone(
        name=f"timm-{full}",
        input_size=side,
        width=offers[0].stop - offers[0].start,
        preprocessing=standardising(mean, deviation),
        hashes=torch_files.promised(config.url),
        vector=offers[0].kind,
        source=TIMM,
        model=full,
        offers=offers,
        resize=_RESIZES.get(config.crop_mode, CROP),
        share=config.crop_pct,
        interpolation=config.interpolation if config.interpolation in INTERPOLATIONS else "bicubic",
        labels=config.num_classes,
        licence=config.license or "",
        parameters=round(inside / 1e6, 3),
        gflops=round(operations / 1e9, 3),
        repository=config.hf_hub_id or config.url or "",
    )


def configured(model: str) -> tuple[str, Config]:
    """timm's name with its tag, and its configuration."""
    name = get_deprecated_models().get(model) or model
    try:
        config = get_pretrained_cfg(name) if is_model(name) else None
    except RuntimeError:  # no such tag
        config = None
    architecture, tag = split_model_name_tag(name)
    if not config:
        known = list_models(include_tags=True)
        tagged = [other for other in known if other.startswith(f"{architecture}.")]
        close = tagged or difflib.get_close_matches(model, [*list_models(), *known], n=5, cutoff=0)
        raise UnknownNameError("network of timm's", model, close)
    tag = config.tag or tag
    return f"{architecture}.{tag}" if tag else architecture, config


def sized(config: Config, size: int) -> dict[str, int]:
    """What `create_model` has to be told, for a network that is made for one size."""
    return {"img_size": size} if config.fixed_input_size and size != config.input_size[1] else {}


def _on_meta(full: str, config: Config, size: int) -> torch.nn.Module:
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = timm.create_model(full, **sized(config, size))
    except MISFITS as error:
        raise _other_size(full, size, config.input_size[1], error) from None
    return network.eval().requires_grad_(False)


def _tried(network: torch.nn.Module, full: str, size: int, usual: int) -> tuple[Any, torch.Tensor, int]:
    """Features and pooled vector of one square, without numbers, and how many operations they take."""
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if isinstance(patch, tuple) and size != usual and size % patch[0]:  # timm would cut the border off, and say nothing
        lower = size - size % patch[0]
        raise UsageError(
            f"timm:{full} at {size} pixels: it sees patches of {patch[0]}",
            f"Give --size {lower} or {lower + patch[0]}" if lower else f"Give --size {patch[0]}",
        )
    try:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            features = network.forward_features(torch.zeros((1, 3, size, size), device="meta"))
            pooled = network.forward_head(features, pre_logits=True)
    except (NotImplementedError, *MISFITS) as error:
        if size != usual:
            raise _other_size(full, size, usual, error) from None
        raise UsageError(
            f"timm:{full} is no network for classification: {_reason(error)}", "Choose another network"
        ) from None
    if not isinstance(pooled, torch.Tensor) or pooled.ndim != 2:
        raise UsageError(f"timm:{full} gives no vector of a photograph", "Choose another network")
    return features, pooled, counter.get_total_flops()


def _other_size(full: str, size: int, usual: int, error: Exception) -> UsageError:
    return UsageError(
        f"timm:{full} does not take {size} pixels: {_reason(error)}", f"Give --size {usual}, or leave it out"
    )


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _offered(network: torch.nn.Module, features: Any, width: int) -> tuple[Offered, ...]:
    """The vectors that a network offers, the usual one first.

    A network that pools by its class token or by attention offers `cls`, what its classifier reads, beside the mean of
    its patches. One that averages offers `mean`, what its classifier reads, and the class token too if the norm of the
    last block is before the pooling, as in DINOv3. Networks of other kinds offer what their classifier reads.
    """
    prefix = getattr(network, "num_prefix_tokens", None)
    pool = getattr(network, "global_pool", "")
    plain = (Offered(MEAN, 0, width),)
    if prefix is None or not isinstance(features, torch.Tensor) or features.ndim != 3 or features.shape[2] != width:
        return plain
    has_norm = not isinstance(getattr(network, "norm", None), torch.nn.Identity | None)
    has_token = prefix > 0 and getattr(network, "cls_token", None) is not None
    averages = pool == "avg"
    if not (pool in ("token", "map") or (averages and has_norm and has_token)):
        return plain
    start = 0
    if has_token and has_norm and pool != "map" and _gives_blocks(network):
        start = (BLOCKS - 1) * width
    middle, stop = start + width, start + 2 * width
    token, mean = Offered(CLS, start, middle), Offered(MEAN, middle, stop)
    kinds = [*((mean, token) if averages else (token, mean)), Offered(CLS_MEAN, start, stop)]
    return (*kinds, Offered(LAST4, 0, stop)) if start else tuple(kinds)


def _gives_blocks(network: torch.nn.Module) -> bool:
    """Whether the class tokens of the last four blocks can be had, and are what the classifier reads of the last."""
    intermediates = getattr(network, "forward_intermediates", None)
    return (
        intermediates is not None
        and "return_prefix_tokens" in inspect.signature(intermediates).parameters
        and len(network.blocks) >= BLOCKS
        and not hasattr(network, "head_dist")  # distilled networks read the average of two tokens
    )


def _classifier_size(network: torch.nn.Module) -> int:
    classifier = network.get_classifier()
    parts = classifier if isinstance(classifier, tuple | list) else [classifier]
    return sum(parameter.numel() for part in parts if part is not None for parameter in part.parameters())


def pretrained() -> list[str]:
    """timm's names, with their tags, of all networks that have weights."""
    return list(timm.list_pretrained())

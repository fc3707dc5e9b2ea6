"""Small networks of timm's families, registered as timm's own are, and their random weights as files."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from timm.layers import LayerNorm
from timm.models import convnext, eva, generate_default_cfgs, register_model, swin_transformer, vision_transformer

SIDE = 56
_SMALL = {"patch_size": 14, "embed_dim": 24, "depth": 5, "num_heads": 2}
_VIT, _EVA = vision_transformer._create_vision_transformer, eva._create_eva
_ROPE = {"use_rot_pos_emb": True, "img_size": SIDE}
# Each as the function of the family's real network is called, but for its size.
_MADE: dict[str, tuple[Callable[..., torch.nn.Module], dict[str, Any]]] = {
    "tiny_vit_cls": (_VIT, _SMALL),
    "tiny_shallow": (_VIT, _SMALL | {"depth": 3}),
    "tiny_gap": (_VIT, _SMALL | {"class_token": False, "global_pool": "avg", "fc_norm": False}),
    "tiny_gap_reg": (_VIT, _SMALL | {"class_token": False, "reg_tokens": 2, "global_pool": "avg"}),
    "tiny_dinov2": (_VIT, _SMALL | {"init_values": 1e-5}),
    "tiny_dinov2_reg": (_VIT, _SMALL | {"init_values": 1e-5, "reg_tokens": 4, "no_embed_class": True}),
    "tiny_siglip": (_VIT, _SMALL | {"class_token": False, "global_pool": "map"}),
    "tiny_clip": (_VIT, _SMALL | {"pre_norm": True, "norm_layer": partial(LayerNorm, eps=1e-5)}),
    "tiny_eva02": (_EVA, _SMALL | _ROPE | {"mlp_ratio": 4 * 2 / 3, "swiglu_mlp": True, "ref_feat_shape": (4, 4)}),
    "tiny_dinov3": (
        _EVA,
        _SMALL
        | _ROPE
        | {
            "qkv_bias": False,
            "init_values": 1e-5,
            "rope_type": "dinov3",
            "rope_temperature": 100,
            "rope_rotate_half": True,
            "use_abs_pos_emb": False,
            "num_reg_tokens": 4,
            "use_fc_norm": False,
        },
    ),
    "tiny_convnext": (convnext._create_convnext, {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}),
    "tiny_convnextv2": (
        convnext._create_convnext,
        {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32), "use_grn": True, "ls_init_value": None},
    ),
    "tiny_swin": (
        swin_transformer._create_swin_transformer,
        {"patch_size": 4, "window_size": 4, "embed_dim": 12, "depths": (1, 1), "num_heads": (1, 2)},
    ),
}
_LABELS = {"tiny_dinov2": 0, "tiny_dinov2_reg": 0, "tiny_dinov3": 0, "tiny_siglip": 0, "tiny_clip": 16}
_CLASSIFIERS = {"tiny_convnext": "head.fc", "tiny_convnextv2": "head.fc", "tiny_swin": "head.fc"}
FAMILIES = sorted(_MADE)


def _config(name: str) -> dict[str, Any]:
    is_convolutional = "convnext" in name
    return {
        "url": f"https://example.org/{name}-0123abcd.pth",
        "hf_hub_id": "timm/",
        "input_size": (3, SIDE, SIDE),
        "fixed_input_size": not is_convolutional,
        "num_classes": _LABELS.get(name, 1000),
        "classifier": _CLASSIFIERS.get(name, "head"),
        "first_conv": {"tiny_convnext": "stem.0", "tiny_convnextv2": "stem.0"}.get(name, "patch_embed.proj"),
        "license": "mit",
        "crop_pct": 0.9,
    }


default_cfgs = generate_default_cfgs({f"{name}.made_up": _config(name) for name in FAMILIES})


def _register(name: str) -> None:
    create, made = _MADE[name]

    def function(pretrained: bool = False, **options: Any) -> torch.nn.Module:
        return create(name, pretrained=pretrained, **(made | options))

    function.__name__, function.__module__ = name, __name__
    register_model(function)


for _name in FAMILIES:
    _register(_name)


def random_model(name: str, seed: int = 1, **options: Any) -> torch.nn.Module:
    """A network whose numbers all matter: of fresh ones some are zero, or nearly so, and hide what follows them."""
    torch.manual_seed(seed)
    model = timm.create_model(name, **options).eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point() and tensor.std(unbiased=False) < 1e-3:
                tensor.add_(0.2 * torch.rand_like(tensor))
    return model


def save(model: torch.nn.Module, path: Path) -> Path:
    """Write a network's tensors, as its makers would; the ending decides how."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path

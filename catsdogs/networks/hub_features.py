"""Where the vectors of KerasHub's image backbones are read: their tokens, their blocks and their maps."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras

from catsdogs.errors import WeightsError
from catsdogs.networks.table import CLS, CLS_MEAN, LAST4, MEAN, Offered

_BLOCKS = 4  # whose class tokens are `last4`


class Features(NamedTuple):
    """What the vectors of a network are read from: symbolic tensors of its graph.

    Attributes:
        last: the last feature map (n, h, w, d), or the last block's tokens (n, tokens, d), as the classifier reads it.
        classes: (n, d) each: the class token of the last block, or what stands in its place, and before it those of
            the three blocks before where they can be reached; empty without one.
        patches: how many tokens stand before those of the patches.
    """

    last: keras.KerasTensor
    classes: tuple[keras.KerasTensor, ...] = ()
    patches: int = 0


def offered(features: Features, is_averaged: bool) -> tuple[Offered, ...]:
    """The vectors of a network, in columns of `HubNetwork.vector`: class tokens, earliest first, and the average.

    The first is what a classifier reads: of tokens the class token, or, if it `is_averaged`, the average.
    """
    width = features.last.shape[-1]
    classes = width * len(features.classes)
    mean = Offered(MEAN, classes, classes + width)
    if not classes:
        return (mean,)
    cls, both = Offered(CLS, classes - width, classes), Offered(CLS_MEAN, classes - width, classes + width)
    first = (mean, cls) if is_averaged else (cls, mean)
    return (*first, both, *([Offered(LAST4, 0, classes + width)] if len(features.classes) == _BLOCKS else []))


def features_of(tower: keras.Model, is_averaged: bool = False) -> Features:
    """What the vectors of an image backbone of KerasHub are read from; see `offered` for `is_averaged`.

    Raises:
        WeightsError: it gives neither a feature map nor tokens that this program knows how to read.
    """
    family = type(tower).__name__
    if reader := _READERS.get(family):
        features = reader(tower)
        # KerasHub's `gap` averages all tokens (vit_image_classifier.py), and the classifier learnt from that.
        return features._replace(patches=0) if is_averaged else features
    last = tower.output
    if isinstance(last, dict):  # HGNetV2 and other pyramids
        last = last[getattr(tower, "stage_names", [None])[-1]]
    if len(getattr(last, "shape", ())) == 4 or family == "SwinTransformerBackbone":
        return Features(last)
    raise WeightsError(f"No vectors can be read from a {family}", "Choose a preset of an image backbone")


class _WithoutScores(keras.layers.Layer):
    """A block of DeiT's, which gives its attention scores as well, or None: a graph takes tensors only."""

    def __init__(self, block: keras.layers.Layer) -> None:
        super().__init__(name=f"{block.name}_alone", dtype=block.dtype_policy)
        self.block, self.built = block, True

    def call(self, tokens: Any) -> Any:
        return self.block(tokens)[0]


def _of_blocks(
    tokens: keras.KerasTensor, blocks: Iterable[Any], norm: Callable[..., Any], patches: int, **how: Any
) -> Features:
    """Of blocks that stand within one layer: they are called again, one by one, on the embedded tokens."""
    made = []
    for block in blocks:
        tokens = block(tokens, **how)
        made.append(tokens)
    return _normed(made, norm, patches)


def _normed(blocks: list[keras.KerasTensor], norm: Callable[..., Any], patches: int) -> Features:
    """The tokens of the last block, and the class tokens of the last blocks, all through the final normalisation."""
    last = norm(blocks[-1])
    earlier = [norm(block[:, :1])[:, 0] for block in blocks[-_BLOCKS:-1]]
    return Features(last, (*(earlier if len(earlier) == _BLOCKS - 1 else []), last[:, 0]), patches)


def _of_vit(tower: keras.Model) -> Features:
    tokens, encoder = tower.get_layer("vit_patching_and_embedding").output, tower.get_layer("vit_encoder")
    features = _of_blocks(encoder.dropout(tokens), encoder.encoder_layers, encoder.layer_norm, 1)
    return features if tower.use_class_token else Features(features.last)


def _of_deit(tower: keras.Model) -> Features:
    tokens, encoder = tower.get_layer("deit_patching_and_embedding").output, tower.get_layer("deit_encoder")
    blocks = map(_WithoutScores, encoder.encoder_layers)
    return _of_blocks(tokens, blocks, encoder.layer_norm, 2)  # the second token is that of distillation


def _of_dinov2(tower: keras.Model) -> Features:
    patches = 1 + tower.num_register_tokens
    return _of_blocks(tower.embeddings.output, tower.encoder.layers, tower.layernorm, patches)


def _of_dinov3(tower: keras.Model) -> Features:
    patches, places = 1 + tower.num_register_tokens, tower.rope_embedding.output
    how = {"position_embeddings": places, "num_prefix_tokens": patches}
    return _of_blocks(tower.embeddings.output, tower.encoder.layers, tower.layernorm, patches, **how)


def _of_clip(tower: keras.Model) -> Features:
    return _normed([block.output for block in tower.encoder_layers], tower.layer_norm, 1)


def _of_siglip(tower: keras.Model) -> Features:
    """What it pools by attention stands in the place of a class token."""
    return Features(tower.post_layer_norm.output, (tower.output,))


_READERS = {
    "ViTBackbone": _of_vit,
    "DeiTBackbone": _of_deit,
    "DINOV2Backbone": _of_dinov2,
    "DINOV3Backbone": _of_dinov3,
    "CLIPVisionEncoder": _of_clip,
    "SigLIPVisionEncoder": _of_siglip,
}

"""timm's networks in PyTorch and in OpenVINO, against the families' own functions, and against our Keras networks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from timm.data import ImageNetInfo
from torch.nn.functional import normalize

from catsdogs.errors import WeightsError
from catsdogs.networks import build, imagenet, pth, timm_rows, weights
from catsdogs.networks.engines import export, openvino, selection, timm_models
from catsdogs.networks.engines.interface import Output
from catsdogs.networks.table import BACKBONES, CLS, CLS_MEAN, LAST4, MEAN, Backbone, mean_and_deviation
from catsdogs.networks.weights import Weights
from catsdogs.photographs import images
from tests.conftest import refused
from tests.support import timm_networks
from tests.support.networks import LITE, lite_file
from tests.support.timm_networks import FAMILIES, SIDE, random_model, save

COUNT = 3


@pytest.fixture
def exported_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that only this process has registered are exported in it."""

    def exported(backbone: Backbone, weights: Weights) -> Path:
        timm_models.export(backbone, weights, str(tmp_path / "network.xml"))
        return tmp_path / "network.xml"

    monkeypatch.setattr(export, "exported", exported)


def pixels_of(side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(side).integers(0, 256, (COUNT, side, side, 3), np.uint8)


def standardised(backbone: Backbone, pixels: NDArray[np.uint8]) -> torch.Tensor:
    """As timm's transforms: ToTensor and Normalize."""
    mean, deviation = (np.array(part) for part in mean_and_deviation(backbone.preprocessing) or ())
    return torch.tensor(((pixels / 255 - mean) / deviation).transpose(0, 3, 1, 2), dtype=torch.float32)


def references(model: torch.nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Each vector kind by the functions that the family itself has for it."""
    with torch.inference_mode():
        features = model.forward_features(image)
        pooled = model.forward_head(features, pre_logits=True)
        if features.ndim != 3:
            return {MEAN: pooled}
        mean = features[:, model.num_prefix_tokens :].mean(1)
        if model.global_pool == "map":
            return {CLS: pooled, MEAN: mean, CLS_MEAN: torch.cat([pooled, mean], 1)}
        if model.global_pool == "avg" and not isinstance(model.fc_norm, torch.nn.Identity) or not model.cls_token_here:
            return {MEAN: pooled}
        found = {CLS: features[:, 0], MEAN: mean, CLS_MEAN: torch.cat([features[:, 0], mean], 1)}
        if len(model.blocks) >= 4:
            layers = last_layers(model, image)
            found[LAST4] = torch.cat([*(token for _, token in layers), layers[-1][0].mean(1)], 1)
        return found


def last_layers(model: torch.nn.Module, image: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Patch tokens and class token of the last four blocks, as DINOv2's `get_intermediate_layers` gives them."""
    if hasattr(model, "get_intermediate_layers"):
        layers = model.get_intermediate_layers(image, 4, return_prefix_tokens=True, norm=True)
    else:
        layers = model.forward_intermediates(
            image, 4, return_prefix_tokens=True, norm=True, output_fmt="NLC", intermediates_only=True
        )
    return [(patches, prefix[:, 0]) for patches, prefix in layers]


@pytest.mark.usefixtures("exported_here")
@pytest.mark.parametrize("ending", ["safetensors"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_vector_is_the_familys_own_in_both_engines(name: str, ending: str, tmp_path: Path) -> None:
    model = random_model(name)
    model.cls_token_here = getattr(model, "cls_token", None) is not None
    usual = timm_rows.row(name)
    save(model, tmp_path / f"{usual.model}.{ending}")
    found = weights.obtain(usual, str(tmp_path))
    pixels = pixels_of(SIDE)
    expected = references(model, standardised(usual, pixels))
    assert {offered.kind for offered in usual.offers} == expected.keys()
    with torch.inference_mode():
        answers = model(standardised(usual, pixels)).softmax(1)
    for engine in ("torch", "openvino"):
        output = selection.create_engine(engine, "float32", COUNT).load(usual.network, found).submit(pixels)()
        for offered in usual.offers:
            row = replace(usual, vector=offered.kind, width=offered.stop - offered.start)
            vector = output.vector[:, row.columns]
            assert vector.shape == (COUNT, row.width) and vector.dtype == np.float32
            np.testing.assert_allclose(vector, expected[offered.kind], atol=1e-4, err_msg=f"{engine} {offered.kind}")
        if usual.labels == 1000:
            best = answers.topk(10)
            np.testing.assert_allclose(output.topk_prob, best.values, atol=1e-5)
            assert output.topk_class is not None and output.topk_class.dtype == np.int16
            np.testing.assert_array_equal(output.topk_class, best.indices)
        else:
            assert output.topk_class is None

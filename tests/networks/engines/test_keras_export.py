"""Keras's OpenVINO backend and TensorFlow make files of the same numbers."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from catsdogs.networks import build, weights
from catsdogs.networks.engines import export, openvino, selection
from catsdogs.networks.engines.interface import Output
from catsdogs.networks.table import BACKBONES, Backbone
from catsdogs.networks.weights import Weights
from tests.conftest import need

# At sizes that are quick. The others of `TRACED` were compared likewise, but for their classifiers.
SIZES = {
    "DenseNet121": 97,
    "EfficientNetLite0": 224,
    "InceptionV3": 110,
    "MobileNetV2": 97,
    "ResNet50": 97,
    "Xception": 110,
}


def output_of(backbone: Backbone, found: Weights, precision: str) -> Output:
    photographs = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), np.uint8)
    pixels = photographs.repeat(backbone.input_size // 9 + 1, 1).repeat(backbone.input_size // 9 + 1, 2)
    network = selection.create_engine("openvino", precision, 2).load(backbone, found)
    return network.submit(np.ascontiguousarray(pixels[:, : backbone.input_size, : backbone.input_size]))()


@pytest.mark.parametrize("name", SIZES)
def test_the_same_numbers_bit_for_bit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = replace(BACKBONES[name], input_size=SIZES[name])
    found = weights.obtain(backbone, None) if backbone.package else _drawn_weights(backbone, tmp_path)
    precisions = ["float32", *(["bfloat16"] if openvino.computes_bfloat16() else [])]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "traced"))
    traced = [output_of(backbone, found, precision) for precision in precisions]
    export.release()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "converted"))
    monkeypatch.setattr(export, "TRACED", frozenset())
    for precision, one in zip(precisions, traced, strict=True):
        other = output_of(backbone, found, precision)
        assert one.vector.std() > 0
        for array, expected in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, expected)
    export.release()


def _drawn_weights(backbone: Backbone, folder: Path) -> Weights:
    """Weights such that the vectors depend on all of them: Keras's own random ones normalise by 0 and 1 everywhere."""
    need("tensorflow")
    random = np.random.default_rng(0)
    network = build._whole_network(backbone, include_top=True)
    for variable in network.weights:
        shape, kind = variable.shape, variable.path.rsplit("/", 1)[-1]
        if kind in ("gamma", "moving_variance"):
            variable.assign(random.uniform(0.5, 1.5, shape))
        elif kind in ("beta", "moving_mean", "bias"):
            variable.assign(random.normal(0, 0.1, shape))
    path = folder / f"{backbone.name}.weights.h5"
    network.save_weights(path)
    keras.utils.clear_session()
    return weights.obtain(backbone, str(folder))

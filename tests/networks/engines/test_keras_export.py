"""Keras's OpenVINO backend and TensorFlow make files of the same numbers."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from catsdogs.networks import build, trained, weights
from catsdogs.networks.engines import export, keras_export, openvino, selection
from catsdogs.networks.engines.interface import Output
from catsdogs.networks.table import BACKBONES, Backbone
from catsdogs.networks.weights import Weights
from tests.conftest import need
from tests.support.networks import CARD

exported = export.exported

# At sizes that are quick. The others of `TRACED` were compared likewise, but for their classifiers.
SIZES = {
    "EfficientNetLite0": 224,
    "InceptionV3": 110,
    "MobileNetV2": 97,
    "ResNet50": 97,
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
    precisions = ["float32", *(["bfloat16"] if name == "MobileNetV2" and openvino.computes_bfloat16() else [])]
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


def test_members_are_one_model_with_other_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member's numbers do not depend on those exported before it, nor on how."""
    monkeypatch.chdir(tmp_path)
    row = trained.row(_trained_in_folds(trained.FOLDER / "mine"))
    members = [weights.obtain(row, None), *weights.of_folds(row).values()]
    one_after_the_other = keras_export.Exporter()
    for number, member in enumerate(members):
        one_after_the_other.export(row.network, member, str(tmp_path / f"{number}.xml"))  # on this process's backend
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pixels = np.random.default_rng(0).integers(0, 256, (2, row.input_size, row.input_size, 3), np.uint8)
    vectors = []
    for number, member in enumerate(members):
        network = selection.create_engine("openvino", "float32", 2).load(row.network, member)
        vectors.append(network.submit(pixels)().vector)
        monkeypatch.setattr(export, "exported", lambda *_, path=tmp_path / f"{number}.xml": path)
        other = selection.create_engine("openvino", "float32", 2).load(row.network, member)
        np.testing.assert_array_equal(other.submit(pixels)().vector, vectors[-1])
        monkeypatch.setattr(export, "exported", exported)
    assert not any(np.array_equal(vectors[0], other) for other in vectors[1:])
    export.release()


def _trained_in_folds(folder: Path) -> Path:
    """A small network, its member `all` and one for each of two folds, as if they had learnt."""
    folder.mkdir(parents=True)
    sums = {}
    for number, member in enumerate((trained.ALL, "fold-1", "fold-2")):
        keras.utils.set_random_seed(number)
        path = build.build_path("four-conv", 32, batch_norm=True)
        path = path if member == trained.ALL else build.with_language(path)
        file = trained.weights_path(folder, member)
        path.save_weights(file)
        sums[member] = trained.file_digest(file)
    learnt = trained.Learnt(
        np.array(["a", "b"], object), np.array([7, 8], np.uint64), np.array([0, 1]), np.array([1, 2])
    )
    trained.write_learnt(folder, learnt, CARD.classes, {})
    digest = trained.file_digest(folder / trained.LEARNT_FILE)
    trained.write_card(folder, replace(CARD, tricks=("batch-norm",), weights=sums, learnt=digest))
    return folder


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

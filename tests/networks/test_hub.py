"""KerasHub's networks against KerasHub's own calls: vectors, classifiers and sizes, in each engine, and trained."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from catsdogs.errors import UsageError, WeightsError
from catsdogs.networks import build, choice, hub_rows, weights
from catsdogs.networks import hub as kerashub
from catsdogs.networks.engines import export, openvino, selection
from catsdogs.networks.table import CLS, CLS_MEAN, LAST4, MEAN, Backbone
from tests.conftest import need, refused
from tests.support import hub
from tests.support.hub import Arrays, Saved

ROOT = Path(__file__).parents[2]
keras = hub.keras
TOKENS = ["vit", "deit", "dinov2-with-registers", "dinov3", "clip"]
ALL_KINDS = [CLS, MEAN, CLS_MEAN, LAST4]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return hub.keeper(tmp_path_factory)


def tokens_of(theirs: Any, image: Any, blocks: int | None = None) -> NDArray[np.float32]:
    """The normalised tokens of KerasHub's own network, or of the one that ends after so many of its blocks."""
    if blocks is not None:
        config = theirs.get_config() | {"num_layers": blocks}
        numbers = {weight.path: hub.numbers(weight) for weight in theirs.weights}
        theirs = type(theirs).from_config(config)
        for weight in theirs.weights:
            weight.assign(numbers[weight.path])
    return hub.numbers(theirs({theirs.inputs[0].name: image} if isinstance(theirs.input, dict) else image))


@pytest.mark.parametrize("family", ["resnet", "efficientnet", "mobilenet", "hgnetv2"])
def test_the_vector_of_a_map_is_its_average(family: str, saved: Saved) -> None:
    row, theirs = saved(family)
    pixels = hub.pixels(row.input_size)
    feature_map = theirs(hub.prepared(row, pixels))
    if isinstance(feature_map, dict):
        feature_map = feature_map[theirs.stage_names[-1]]
    assert [offered.kind for offered in row.offers] == [MEAN]
    expected = hub.numbers(feature_map).mean(axis=(1, 2))
    np.testing.assert_allclose(hub.vectors(row, pixels)[MEAN], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("family", TOKENS)
def test_the_vectors_of_tokens_are_those_of_the_family(family: str, saved: Saved) -> None:
    row, theirs = saved(family)
    pixels = hub.pixels(row.input_size)
    image = hub.prepared(row, pixels)
    patches = {"deit": 2, "dinov2-with-registers": 4, "dinov3": 5}.get(family, 1)
    tokens = tokens_of(theirs, image)
    assert tokens.shape[1] == patches + (32 // 8) ** 2
    cls, mean = tokens[:, 0], tokens[:, patches:].mean(axis=1)
    earlier = [tokens_of(theirs, image, blocks)[:, 0] for blocks in (2, 3, 4)]
    expected = {CLS: cls, MEAN: mean, CLS_MEAN: np.hstack([cls, mean]), LAST4: np.hstack([*earlier, cls, mean])}
    assert [offered.kind for offered in row.offers] == ALL_KINDS and row.vector == CLS
    for kind, vector in hub.vectors(row, pixels).items():
        np.testing.assert_allclose(vector, expected[kind], rtol=1e-4, atol=1e-5)


def test_dinov2s_last_blocks_are_its_pyramid(saved: Saved) -> None:
    row, theirs = saved("dinov2-with-registers")
    again = type(theirs).from_config(theirs.get_config() | {"apply_layernorm": True})
    again.set_weights(theirs.get_weights())
    pixels = hub.pixels(row.input_size)
    stages = keras.Model(again.inputs[0], again.pyramid_outputs)(hub.prepared(row, pixels))
    found = hub.vectors(row, pixels)[LAST4][:, :64]
    expected = np.hstack([hub.numbers(stages[f"stage{number}"])[:, 0] for number in (2, 3, 4, 5)])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_what_is_pooled_by_attention_stands_for_the_class_token(saved: Saved) -> None:
    row, theirs = saved("siglip")
    pixels = hub.pixels(row.input_size)
    image = hub.prepared(row, pixels)
    tokens = keras.Model(theirs.inputs[0], theirs.post_layer_norm.output)(image)
    found = hub.vectors(row, pixels)
    np.testing.assert_allclose(found[CLS], hub.numbers(theirs({"images": image})), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[MEAN], hub.numbers(tokens).mean(axis=1), rtol=1e-4, atol=1e-5)
    assert list(found) == [CLS, MEAN, CLS_MEAN]
    with refused(UsageError, r"hub-siglip has no vector last4\. Give --vector cls or mean or cls\+mean"):
        choice.choose([f"hub:{row.folder}@last4"])


@pytest.mark.parametrize("family", ["vit-without-class", "swin"])
def test_tokens_without_a_class_are_averaged(family: str, saved: Saved) -> None:
    row, theirs = saved(family)
    pixels = hub.pixels(row.input_size)
    found = hub.vectors(row, pixels)
    assert list(found) == [MEAN]
    expected = tokens_of(theirs, hub.prepared(row, pixels)).mean(axis=1)
    np.testing.assert_allclose(found[MEAN], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["CLIP", "SigLIP"])
def test_of_pictures_and_texts_the_image_tower_is_taken(kind: str, saved: Saved, tmp_path: Path) -> None:
    row, tower = saved(kind.lower())
    models = hub.models
    text = {"vocabulary_size": 11, "embedding_dim": 16, "hidden_dim": 16, "num_layers": 1, "num_heads": 2}
    text |= {"intermediate_dim": 24, "max_sequence_length": 8}
    if kind == "CLIP":
        whole = models.CLIPBackbone(tower, models.CLIPTextEncoder(**text), projection_dim=8)
    else:
        whole = models.SigLIPBackbone(tower, models.SigLIPTextEncoder(**text))
    whole.save_to_preset(str(tmp_path / "whole"))
    both = hub_rows.row(str(tmp_path / "whole"), None)
    assert (both.offers, both.preprocessing, both.parameters) == (row.offers, row.preprocessing, row.parameters)
    pixels = hub.pixels(row.input_size)
    np.testing.assert_allclose(hub.ours(both, pixels)["vector"], hub.ours(row, pixels)["vector"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", sorted(hub.HEADS))
def test_a_classifier_of_imagenet_gives_its_ten_best(family: str, saved: Saved) -> None:
    row, theirs = saved(family, with_head=True)
    pixels = hub.pixels(row.input_size)
    answers = hub.numbers(theirs(hub.prepared(row, pixels)))
    if "activation" not in hub.HEADS[family].keywords:  # type: ignore[attr-defined]
        answers = hub.numbers(keras.ops.softmax(answers))
    found = hub.ours(row, pixels)
    assert row.labels == 1000
    best = -np.sort(-answers)[:, :10]
    np.testing.assert_allclose(found["topk_prob"], best, rtol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(answers, found["topk_class"], axis=1), best, rtol=1e-4)
    assert row.vector == saved(family)[0].vector


def test_other_classifiers_give_none(tmp_path: Path) -> None:
    task = hub.models.ViTImageClassifier(hub.FAMILIES["vit"](), num_classes=7)
    task.save_to_preset(str(tmp_path / "seven"))
    row = hub_rows.row(str(tmp_path / "seven"), None)
    assert row.labels == 7 and list(hub.ours(row, hub.pixels())) == ["vector"]
    (tmp_path / "seven/task.weights.h5").unlink()
    assert hub_rows.row(str(tmp_path / "seven"), None).labels == 0


def test_a_classifier_that_averages_all_tokens_makes_that_the_usual_vector(tmp_path: Path) -> None:
    network = hub.stirred(hub.FAMILIES["vit"]())
    hub.models.ViTImageClassifier(network, num_classes=7, pooling="gap").save_to_preset(str(tmp_path / "gap"))
    row = hub_rows.row(str(tmp_path / "gap"), None)
    pixels = hub.pixels()
    assert row.vector == MEAN
    tokens = tokens_of(network, hub.prepared(row, pixels))
    np.testing.assert_allclose(hub.vectors(row, pixels)[MEAN], tokens.mean(axis=1), rtol=1e-4, atol=1e-5)


class TestSize:
    def test_convolutions_take_any(self, saved: Saved) -> None:
        row, theirs = saved("mobilenet")
        other = hub_rows.row(str(row.folder), None, 64)
        assert (other.input_size, other.offers, other.name) == (64, row.offers, row.name)
        pixels = hub.pixels(64)
        network = type(theirs).from_config(theirs.get_config() | {"image_shape": (64, 64, 3)})
        network.set_weights(theirs.get_weights())
        expected = hub.numbers(network(hub.prepared(other, pixels))).mean(axis=(1, 2))
        np.testing.assert_allclose(hub.ours(other, pixels)["vector"], expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("family", ["dinov2", "dinov3"])
    def test_dinos_do_as_kerashub_interpolates(self, family: str, saved: Saved) -> None:
        row, _ = saved(family)
        other = choice.choose([f"hub:{row.folder}@64"])[0]
        assert other.name == f"hub-{family}@64"
        theirs = hub.models.Backbone.from_preset(str(row.folder), image_shape=(64, 64, 3))
        pixels = hub.pixels(64)
        expected = tokens_of(theirs, hub.prepared(row, pixels))[:, 0]
        np.testing.assert_allclose(hub.vectors(other, pixels)[CLS], expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("family", ["vit", "deit", "clip", "siglip"])
    def test_learnt_position_embeddings_stay(self, family: str, saved: Saved) -> None:
        row, _ = saved(family)
        with refused(UsageError, f"hub-{family} takes 32 pixels only: its arrays are of that size"):
            hub_rows.row(str(row.folder), None, 64)

    def test_patches_must_fit(self, saved: Saved) -> None:
        row, _ = saved("vit")
        with refused(UsageError, "hub-vit at 60 pixels: .* should be divisible by patch size"):
            hub_rows.row(str(row.folder), None, 60)
        with refused(UsageError, "hub-vit at 8 pixels. Give --size at least 32"):
            hub_rows.row(str(row.folder), None, 8)


def test_arrays_that_a_file_lacks_are_not_left_at_random(saved: Saved, tmp_path: Path) -> None:
    """Keras itself only warns, for some of them."""
    row, theirs = saved("vit")
    folder = shutil.copytree(row.folder or "", tmp_path / "vit")
    with h5py.File(folder / "model.weights.h5", "r+") as file:
        del file["layers/vi_t_encoder/encoder_layers"]
    other = hub_rows.row(str(folder), None)
    with refused(WeightsError, r"model\.weights\.h5 does not fit vit: A total of"):
        build.build(other, weights.obtain(other, None))
    network = type(theirs).from_config(theirs.get_config())
    with refused(WeightsError, r"model\.weights\.h5 has no numbers for 86 arrays, such as vit_patching_and_embedding"):
        kerashub._fill(lambda path: None, folder / "model.weights.h5", network.weights)


def test_weights_in_several_files(tmp_path: Path) -> None:
    network = hub.stirred(hub.FAMILIES["vit"]())
    network.save_to_preset(str(tmp_path / "vit"), max_shard_size=2e-5)  # gigabytes
    shards = sorted((tmp_path / "vit").glob("model_*.weights.h5"))
    row, pixels = hub_rows.row(str(tmp_path / "vit"), None), hub.pixels()
    found, digest = hub.vectors(row, pixels)[CLS], weights.obtain(row, None).sha256
    assert len(shards) > 1
    np.testing.assert_allclose(found, tokens_of(network, hub.prepared(row, pixels))[:, 0], rtol=1e-4, atol=1e-5)
    shards[-1].write_bytes(shards[-1].read_bytes() + b"0")
    assert weights.obtain(row, None).sha256 != digest
    shards[0].unlink()
    with refused(WeightsError, r"model\.weights\.json "):
        build.build(row, weights.obtain(row, None))


def test_another_backend_gives_the_same(saved: Saved) -> None:
    """Of a network without numbers PyTorch has no parameters: that of CLIP holds whole numbers, too."""
    need("torch")
    row, _ = saved("clip")
    code = f"""
import numpy as np
from catsdogs.networks import build, hub_rows, weights
row = hub_rows.row({str(row.folder)!r}, None)
model = build.build(row, weights.obtain(row, None))
pixels = np.random.default_rng(5).integers(0, 256, (3, 32, 32, 3), np.uint8)
np.save("vector.npy", model.predict(pixels, verbose=0)["vector"])
"""
    folder = row.folder or Path()
    environment = os.environ | {
        "KERAS_BACKEND": "torch",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=True, capture_output=True)
    np.testing.assert_allclose(
        np.load(folder / "vector.npy"), hub.ours(row, hub.pixels())["vector"], rtol=1e-3, atol=1e-4
    )


def test_bfloat16_is_taken_by_the_trunk_alone(saved: Saved) -> None:
    row, _ = saved("vit", with_head=True)
    model = build.build(row, weights.obtain(row, None), "mixed_bfloat16")
    assert {output.dtype for name, output in model.output.items() if name != "topk_class"} == {"float32"}
    pixels = hub.pixels(row.input_size, count=16)
    rounded, exact = hub.numbers(model(pixels)["vector"]), hub.ours(row, pixels)["vector"]
    assert 0 < np.abs(rounded - exact).max() < 0.1


ENGINES = [("resnet", True), ("vit", True), ("dinov2-with-registers", False), ("siglip", False)]


def test_openvino_gives_what_keras_gives(saved: Saved) -> None:
    engine = selection.create_engine("openvino", "float32", 4)
    swin, _ = saved("swin")
    with refused(WeightsError, r"OpenVINO cannot run hub-swin as Keras exports it\. Give --engine keras"):
        engine.load(swin, weights.obtain(swin, None))
    rows = [saved(*which)[0] for which in ENGINES]  # all are loaded first, by one process that exports
    networks = [engine.load(row, weights.obtain(row, None)) for row in rows]
    for row, network in zip(rows, networks, strict=True):
        pixels = hub.pixels(row.input_size, count=4)
        found, expected = network.submit(pixels)(), hub.ours(row, pixels)
        assert np.abs(found.vector - expected["vector"]).max() <= 1e-4 * max(1, np.abs(expected["vector"]).max())
        if row.labels:
            np.testing.assert_allclose(found.topk_prob, expected["topk_prob"], atol=1e-4)
            _parts_are_the_whole(row, pixels, expected)


def _parts_are_the_whole(row: Backbone, pixels: NDArray[np.uint8], expected: Arrays) -> None:
    """In bfloat16 OpenVINO runs a network in two parts."""
    core = openvino.openvino.Core()
    model = core.read_model(export.exported(row, weights.obtain(row, None)))
    model.reshape(list(pixels.shape))
    trunk, classifier = openvino._cut_off_classifier(model, row)
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    parts = [core.compile_model(part, "CPU", exact) for part in (trunk, classifier)]
    output = openvino.OpenVINONetwork(*parts).submit(pixels)()
    np.testing.assert_allclose(output.vector, expected["vector"], atol=1e-4 * max(1, np.abs(expected["vector"]).max()))
    np.testing.assert_allclose(output.topk_prob, expected["topk_prob"], atol=1e-4)

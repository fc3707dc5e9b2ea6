"""timm's networks in PyTorch and in OpenVINO, against the families' own functions, and against our Keras networks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from timm.data import ImageNetInfo

from catsdogs.errors import WeightsError
from catsdogs.networks import imagenet, timm_rows, weights
from catsdogs.networks.engines import export, openvino, selection, timm_models
from catsdogs.networks.engines.interface import Output
from catsdogs.networks.table import BACKBONES, CLS, CLS_MEAN, LAST4, MEAN, Backbone, mean_and_deviation
from catsdogs.networks.weights import Weights
from catsdogs.photographs import images
from tests.conftest import refused
from tests.support import timm_networks
from tests.support.networks import LITE
from tests.support.timm_networks import FAMILIES, SIDE, random_model, save

COUNT = 3


@pytest.fixture
def exported_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that only this process has registered are exported in it."""

    def exported(backbone: Backbone, weights: Weights) -> Path:
        timm_models.export(backbone, weights, str(tmp_path / "network.xml"))
        return tmp_path / "network.xml"

    monkeypatch.setattr(export, "exported", exported)


def saved(model: torch.nn.Module, backbone: Backbone, folder: Path) -> Weights:
    save(model, folder / f"{backbone.model}.safetensors")
    return weights.obtain(backbone, str(folder))


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
        if model.cls_token is None or not isinstance(model.fc_norm, torch.nn.Identity):
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
@pytest.mark.parametrize("name", FAMILIES)
def test_every_vector_is_the_familys_own_in_both_engines(name: str, tmp_path: Path) -> None:
    model = random_model(name)
    usual = timm_rows.row(name)
    found = saved(model, usual, tmp_path)
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


@pytest.mark.parametrize(
    "name", ["tiny_vit_cls", "tiny_dinov2_reg", "tiny_clip", "tiny_siglip", "tiny_eva02", "tiny_dinov3"]
)
def test_another_size_interpolates_positions_as_timm_does(name: str, tmp_path: Path) -> None:
    """timm resizes a network that has its weights by another function than weights on their way into one."""
    model, row = random_model(name), timm_rows.row(name, 84)
    built = timm_models.build(row.network, saved(model, row, tmp_path))
    model.set_input_size((84, 84))
    pixels = pixels_of(84)
    with torch.inference_mode():
        expected = model.forward_features(standardised(row, pixels))
        np.testing.assert_allclose(built.trunk(torch.from_numpy(pixels))[0], expected, atol=1e-5)
    assert expected.shape[1] == 36 + model.num_prefix_tokens


@pytest.mark.parametrize("name", ["tiny_convnext", "tiny_swin"])
def test_another_size_without_position_embeddings(name: str, tmp_path: Path) -> None:
    model, row = random_model(name), timm_rows.row(name, 64)
    built = timm_models.build(row.network, saved(model, row, tmp_path))
    pixels = pixels_of(64)
    if name == "tiny_swin":
        model.set_input_size((64, 64))
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(standardised(row, pixels)), pre_logits=True)
        np.testing.assert_allclose(built(torch.from_numpy(pixels))["vector"], expected, atol=1e-5)


@pytest.mark.usefixtures("exported_here")
@pytest.mark.parametrize("labels", [0, 2, 11821])
def test_the_file_says_how_many_labels_there_are(labels: int, tmp_path: Path) -> None:
    """As after fine-tuning, whatever timm has configured."""
    row = timm_rows.row("tiny_vit_cls")
    found = saved(random_model("tiny_vit_cls", num_classes=labels), row, tmp_path)
    output = selection.create_engine("openvino", "float32", COUNT).load(row.network, found).submit(pixels_of(SIDE))()
    assert (output.topk_class is not None) == (labels == 11821)
    assert output.vector.shape == (COUNT, 5 * 24)


class TestOtherHeads:
    """Classifiers of more labels than ImageNet-1k's, against the same in NumPy, photograph by photograph."""

    @pytest.mark.parametrize("labels", sorted(imagenet.VOTING_HEADS - {1000}))
    def test_pets_keep_what_the_classifier_gives_them(self, labels: int, tmp_path: Path) -> None:
        row = timm_rows.row("tiny_vit_cls")
        model = random_model("tiny_vit_cls", num_classes=labels)
        built = timm_models.build(row.network, saved(model, row, tmp_path))
        pixels = pixels_of(SIDE)
        with torch.inference_mode():
            probabilities = model(standardised(row, pixels)).softmax(1).numpy()
            output = built(torch.from_numpy(pixels))
        for photograph, place, found in zip(probabilities, output["topk_class"], output["topk_prob"], strict=True):
            expected = self.in_numpy(photograph, labels)
            best = np.argsort(-expected)[:10]
            np.testing.assert_allclose(found, expected[best], rtol=1e-4)
            np.testing.assert_array_equal(place, best)

    @staticmethod
    def in_numpy(probabilities: NDArray[np.float32], labels: int) -> NDArray[np.float32]:
        info = ImageNetInfo(
            {11221: "imagenet-21k-miil", 11821: "imagenet-12k", 21841: "imagenet-22k"}.get(
                labels, "imagenet-22k-ms" if labels == 21842 else "imagenet-21k-goog"
            )
        )
        of_synset = dict(zip(info.label_names(), probabilities, strict=True))
        known = imagenet.wordnet_ids()
        expected = np.array([of_synset.get(synset, 0) for synset in known], np.float32)
        kinds = {imagenet.DOGS: ("n02084071", "n02113978"), imagenet.CATS: ("n02121808", "n02124484")}
        more = {}
        for pets, (first, last) in kinds.items():
            further = [synset for synset in of_synset if first <= synset <= last and synset not in known]
            more[max(pets, key=expected.__getitem__)] = sum(of_synset[synset] for synset in further)
        for label, probability in more.items():
            expected[label] += probability
        return expected

    def test_the_ranges_are_dogs_and_house_cats(self) -> None:
        """By the names that timm has for the synsets that are added."""
        info = ImageNetInfo("imagenet-21k-goog")
        head = imagenet.other_head(info.label_names())
        dogs, cats = ([info.index_to_description(place) for place in places] for places in (head.dogs, head.cats))
        assert {"dog, domestic dog, Canis familiaris", "poodle, poodle dog", "corgi, Welsh corgi"} <= set(dogs)
        assert {"domestic cat, house cat, Felis domesticus, Felis catus", "Manx, Manx cat"} <= set(cats)
        assert not any(
            word in name for name in (*dogs, *cats) for word in ("wolf,", "wildcat", "fox,", "lion", "dingo")
        )
        assert (len(dogs), len(cats), head.own.count(-1)) == (71, 16, 1)
        dogs_of_1k, cats_of_1k = (
            [imagenet.wordnet_ids()[label] for label in pets] for pets in (range(151, 269), range(281, 286))
        )
        assert min(dogs_of_1k) > "n02084071" and max(dogs_of_1k) == "n02113978"
        assert min(cats_of_1k) > "n02121808" and max(cats_of_1k) < "n02124484"


class TestGenuineWeights:
    """What the Keras networks give, from the same numbers."""

    @pytest.fixture
    def photographs(self, shared_photographs: Path) -> Callable[[int], NDArray[np.uint8]]:
        paths = sorted((shared_photographs / "train").iterdir())[::8]
        assert len(paths) == 200
        return lambda side: np.stack([images.square(path.read_bytes(), side) for path in paths])

    @staticmethod
    def outputs(backbone: Backbone, weights: Weights, pixels: NDArray[np.uint8]) -> Output:
        network = selection.create_engine("openvino", "float32", 4).load(backbone, weights)
        waiting = [network.submit(pixels[start : start + 4]) for start in range(0, len(pixels), 4)]
        parts = [result() for result in waiting]
        return Output(*(None if part[0] is None else np.concatenate(part) for part in zip(*parts, strict=True)))  # type: ignore[arg-type]

    @staticmethod
    def least_cosine(one: Output, other: Output) -> float:
        return min((normalised(one.vector) * normalised(other.vector)).sum(1))

    def test_efficientnet_lite0(self, photographs: Callable[[int], NDArray[np.uint8]], tmp_path: Path) -> None:
        pixels = photographs(224)
        ours = self.outputs(LITE[0], weights.obtain(LITE[0], None), pixels)
        timms = self.outputs(*timm_networks.lite0(tmp_path), pixels)
        assert self.least_cosine(ours, timms) > 0.9999
        assert timms.topk_class is not None
        np.testing.assert_array_equal(ours.topk_class, timms.topk_class)
        np.testing.assert_allclose(ours.topk_prob, timms.topk_prob, atol=1e-4)

    def test_xception(
        self,
        photographs: Callable[[int], NDArray[np.uint8]],
        shared_weights: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """At 295 pixels every map that is halved has odd sides, and Keras's `same` is PyTorch's padding by one."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        network = keras.applications.Xception(weights=None, include_top=False, input_shape=(295, 295, 3))
        network.load_weights(shared_weights / "Xception.weights.h5")
        save_file(as_timms_xception(network), tmp_path / "legacy_xception.tf_in1k.safetensors")
        row = timm_rows.row("legacy_xception", 295)
        keras_row = replace(BACKBONES["Xception"], input_size=295)
        pixels = photographs(295)[::5]
        ours = self.outputs(keras_row, weights.obtain(keras_row, str(shared_weights)), pixels)
        timms = self.outputs(row.network, weights.obtain(row, str(tmp_path)), pixels)
        assert self.least_cosine(ours, timms) > 0.9999
        assert timms.topk_class is None and row.labels == 1000


def normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def as_timms_xception(network: keras.Model) -> dict[str, torch.Tensor]:
    """The tensors of Keras's Xception under timm's names; both count their layers in order."""
    tensors: dict[str, torch.Tensor] = {}

    def put(name: str, array: NDArray[np.float32]) -> None:
        tensors[name] = torch.tensor(np.ascontiguousarray(array))

    def convolution(layer: str, name: str) -> None:
        put(f"{name}.weight", network.get_layer(layer).get_weights()[0].transpose(3, 2, 0, 1))

    def norm(layer: str, name: str) -> None:
        parts = zip(
            ("weight", "bias", "running_mean", "running_var"), network.get_layer(layer).get_weights(), strict=True
        )
        for part, array in parts:  # the variance has another epsilon added
            put(f"{name}.{part}", array + np.float32(1e-3 - 1e-5) if part == "running_var" else array)
        tensors[f"{name}.num_batches_tracked"] = torch.tensor(0)

    def separable(layer: str, name: str) -> None:
        depthwise, pointwise = network.get_layer(layer).get_weights()
        put(f"{name}.conv1.weight", depthwise.transpose(2, 3, 0, 1))
        put(f"{name}.pointwise.weight", pointwise.transpose(3, 2, 0, 1))

    for number in (1, 2):
        convolution(f"block1_conv{number}", f"conv{number}")
        norm(f"block1_conv{number}_bn", f"bn{number}")
    skips = [layer.name for layer in network.layers if layer.name.startswith("conv2d")]
    norms = [layer.name for layer in network.layers if layer.name.startswith("batch_normalization")]
    for block, conv, bn in zip((1, 2, 3, 12), skips, norms, strict=True):
        convolution(conv, f"block{block}.skip")
        norm(bn, f"block{block}.skipbn")
    for block in range(1, 13):  # timm has no number for the first one, of plain convolutions
        count, first = (2, 0 if block == 1 else 1) if block in (1, 2, 3, 12) else (3, 1)
        for repeat in range(count):
            layer = f"block{block + 1}_sepconv{repeat + 1}"
            separable(layer, f"block{block}.rep.{first + 3 * repeat}")
            norm(f"{layer}_bn", f"block{block}.rep.{first + 3 * repeat + 1}")
    for number in (1, 2):
        separable(f"block14_sepconv{number}", f"conv{number + 2}")
        norm(f"block14_sepconv{number}_bn", f"bn{number + 2}")
    return tensors


def test_the_makers_own_names_are_understood(tmp_path: Path) -> None:
    """DINOv2's: registers are called otherwise, positions are not added to them, and there is a token for masks."""
    model, row = random_model("tiny_dinov2_reg"), timm_rows.row("tiny_dinov2_reg")
    tensors = dict(model.state_dict())
    tensors["register_tokens"] = tensors.pop("reg_token")
    tensors["pos_embed"] = torch.cat([torch.zeros_like(tensors["cls_token"]), tensors["pos_embed"]], 1)
    tensors["mask_token"] = torch.zeros(1, 24)
    torch.save({"model": tensors}, tmp_path / "tiny_dinov2_reg.pth")
    pixels = pixels_of(SIDE)
    output = timm_models.build(row.network, weights.obtain(row, str(tmp_path)))(torch.from_numpy(pixels))
    expected = references(model, standardised(row, pixels))[LAST4]
    np.testing.assert_allclose(output["vector"].detach(), expected, atol=1e-5)


class TestMisfits:
    @pytest.mark.parametrize(
        ("name", "change", "problem"),
        [
            ("tiny_vit_cls", "shape", "size mismatch for norm.weight"),
            ("tiny_vit_cls", "missing", "norm.weight"),
            ("tiny_convnext", "missing", "norm.weight|lacks"),
            ("tiny_vit_cls", "other family", "does not fit"),
            ("tiny_convnext", "other family", "does not fit"),
            ("tiny_vit_cls", "labels", "does not fit"),
        ],
    )
    def test_tensors_that_do_not_fit(self, name: str, change: str, problem: str, tmp_path: Path) -> None:
        row, other = timm_rows.row(name), "tiny_swin"
        tensors = dict(random_model(other if change == "other family" else name).state_dict())
        norm = "norm.weight" if name == "tiny_vit_cls" else "stages.1.blocks.0.norm.weight"
        if change == "shape":
            tensors[norm] = tensors[norm][:3]
        elif change == "missing":
            del tensors[norm]
        elif change == "labels":  # a view of one number
            tensors["head.weight"] = torch.zeros(1).expand(10**12, 24)
        torch.save(tensors, tmp_path / f"{name}.bin")
        with refused(WeightsError, problem):
            timm_models.build(row.network, weights.obtain(row, str(tmp_path)))


def test_random_weights_are_the_same_in_each_process(tmp_path: Path) -> None:
    row, random = timm_rows.row("test_resnet"), weights.obtain(timm_rows.row("test_resnet"), "random")
    pixels = pixels_of(row.input_size)
    by_torch = selection.create_engine("torch", "float32", COUNT).load(row.network, random).submit(pixels)()
    exported = selection.create_engine("openvino", "float32", COUNT).load(row.network, random).submit(pixels)()
    np.testing.assert_allclose(by_torch.vector, exported.vector, atol=1e-4)
    np.testing.assert_array_equal(by_torch.topk_class, exported.topk_class)


@pytest.mark.usefixtures("exported_here")
@pytest.mark.parametrize("name", ["tiny_vit_cls", "tiny_dinov2_reg", "tiny_convnext", "tiny_swin"])
def test_in_bfloat16_the_classifier_computes_in_float32(name: str, tmp_path: Path) -> None:
    if not openvino.computes_bfloat16():
        pytest.skip("this processor does not compute in bfloat16")
    row = timm_rows.row(name)
    found, pixels = saved(random_model(name), row, tmp_path), pixels_of(SIDE)
    exact = selection.create_engine("torch", "float32", COUNT).load(row.network, found).submit(pixels)()
    for engine in ("torch", "openvino"):
        rounded = selection.create_engine(engine, "bfloat16", COUNT).load(row.network, found).submit(pixels)()
        assert (normalised(rounded.vector) * normalised(exact.vector)).sum(1).min() > 0.999
        if exact.topk_prob is not None and rounded.topk_prob is not None:
            assert (np.diff(rounded.topk_prob, axis=1) < 0).all()
            np.testing.assert_allclose(rounded.topk_prob, exact.topk_prob, rtol=0.1)

"""Ways through a network: each has a file of its own, what several share is computed once, and none needs another."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from catsdogs.features import feature_file
from catsdogs.features.extract import Settings, extract
from catsdogs.networks import choice, weights
from catsdogs.networks.engines import selection
from catsdogs.networks.engines.interface import Output
from catsdogs.networks.engines.openvino import OpenVINONetwork
from catsdogs.networks.table import BACKBONES, Offered
from catsdogs.photographs import images
from catsdogs.photographs.dataset import scan
from catsdogs.runs import ensemble
from tests.support.extraction import CATS, DOGS, LITE0, TEST, content, run
from tests.support.runs import train

pytestmark = pytest.mark.usefixtures("lite_networks")

VARIANTS = (f"{LITE0}@crop", f"{LITE0}@96-pad-flip", f"{LITE0}@96-crops5")
BATCH = 4


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The number of squares in each batch that goes into a network."""
    batches: list[int] = []
    submit = OpenVINONetwork.submit
    monkeypatch.setattr(
        OpenVINONetwork, "submit", lambda network, pixels: batches.append(len(pixels)) or submit(network, pixels)
    )
    yield batches


@pytest.fixture
def two_vectors(monkeypatch: pytest.MonkeyPatch) -> Sequence[str]:
    """EfficientNetLite0 as if the two halves of its vector were two kinds."""
    halves = (Offered("cls", 0, 640), Offered("mean", 640, 1280))
    row = replace(BACKBONES[LITE0], offers=halves, vector="cls", width=640)
    monkeypatch.setitem(choice.BACKBONES, LITE0, row)
    return (LITE0, f"{LITE0}@mean")


def outputs_of(name: str, data: bytes) -> Output:
    """What the network says of each square of a photograph, asked directly."""
    (row,) = choice.choose([name])
    views = images.load(data, [row.fit]).by_fit[row.fit]
    network = selection.create_engine("openvino", "float32", len(views)).load(row.network, weights.obtain(row, None))
    return network.submit(views)()


def test_each_variant_is_the_mean_over_its_views(tmp_path: Path, kaggle_folder: Path) -> None:
    summary = run(kaggle_folder, tmp_path, *VARIANTS)
    assert list(summary.computed) == [*VARIANTS] and {*summary.computed.values()} == {11}
    data = (kaggle_folder / "train" / f"{DOGS[1]}.jpg").read_bytes()
    for name, path in zip(VARIANTS, summary.paths, strict=True):
        file, squares = feature_file.read_features(path), outputs_of(name, data)
        row = file.ids["train"].tolist().index(DOGS[1])
        assert path.name == f"{name}.h5" and squares.topk_prob is not None
        np.testing.assert_allclose(file.vectors("train")[row], squares.vector.mean(axis=0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(file.topk_prob["train"][row], squares.topk_prob[0], rtol=1e-3, atol=1e-6)
    recipes = [feature_file.recipe_of(path) for path in summary.paths]
    assert [(recipe.input_size, recipe.resize, recipe.views) for recipe in recipes] == [
        (224, "crop 0.875", ""), (96, "pad", "flip"), (96, "squash", "crops5")
    ]  # fmt: skip


def test_vectors_of_a_network_are_computed_once_and_like_alone(
    tmp_path: Path, kaggle_folder: Path, two_vectors: Sequence[str], submitted: list[int]
) -> None:
    both = run(kaggle_folder, tmp_path / "both", *two_vectors).paths
    assert submitted == [BATCH] * 3  # 11 photographs, once
    alone = [run(kaggle_folder, tmp_path / "alone", name).paths[0] for name in two_vectors]
    assert len(submitted) == 9
    assert [content(path) for path in both] == [content(path) for path in alone]
    first, second = (feature_file.read_features(path).vectors("train") for path in both)
    assert first.shape == second.shape == (8, 640) and not np.array_equal(first, second)


def test_a_vector_that_comes_later_costs_the_other_nothing(
    tmp_path: Path, kaggle_folder: Path, two_vectors: Sequence[str], submitted: list[int]
) -> None:
    """Also where one vector lacks some rows only: then each has the batches that it would have alone."""
    run(kaggle_folder, tmp_path / "one", two_vectors[0], limit=5)
    submitted.clear()
    computed = run(kaggle_folder, tmp_path / "one", *two_vectors).computed
    assert computed == {two_vectors[0]: 6, two_vectors[1]: 11} and len(submitted) == 5
    undisturbed = run(kaggle_folder, tmp_path / "two", two_vectors[1]).paths[0]
    assert content(tmp_path / "one" / undisturbed.name) == content(undisturbed)


def test_a_run_asks_its_networks_in_the_same_way(tmp_path: Path, kaggle_folder: Path, submitted: list[int]) -> None:
    names = (LITE0, f"{LITE0}@96-pad-flip", f"{LITE0}@96-crops5")
    files = [feature_file.read_features(path) for path in run(kaggle_folder, tmp_path / "features", *names).paths]
    made = train(files, tmp_path / "submissions")
    members = ensemble.load_members(ensemble.networks_of(tmp_path / "submissions", made, None))
    submitted.clear()
    data = (kaggle_folder / "test" / f"{TEST[0]}.jpg").read_bytes()
    pixels = images.load(data, {member.backbone.fit for member in members})
    outputs, vectors = ensemble.look(members, pixels)
    row = files[0].ids["test"].tolist().index(TEST[0])
    expected = np.concatenate([file.vectors("test")[row] for file in files])
    np.testing.assert_allclose(vectors[0], expected, rtol=1e-4, atol=1e-5)
    assert [output.vector.shape for output in outputs] == [(1, 1280)] * 3 and submitted == [1] * 8


def test_settings_of_a_network_are_part_of_the_recipe(tmp_path: Path, kaggle_folder: Path) -> None:
    """Another size than a file's is another file, and nothing of it is computed again."""
    dataset = scan(kaggle_folder)
    names = [LITE0, f"{LITE0}@96"]
    assert extract(dataset, names, tmp_path, Settings()).computed == {LITE0: 11, f"{LITE0}@96": 11}
    again = extract(dataset, [*names, f"{LITE0}@96-crop"], tmp_path, Settings())
    assert again.computed == {LITE0: 0, f"{LITE0}@96": 0, f"{LITE0}@96-crop": 11}
    assert len(CATS) + len(DOGS) + len(TEST) == 11

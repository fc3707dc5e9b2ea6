"""Extraction: what a first run writes, for one network and for several."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from catsdogs.features import extract as extract_module
from catsdogs.features import feature_file, joining
from catsdogs.features.extract import Settings
from catsdogs.features.feature_file import SPLITS, Features
from catsdogs.networks import weights
from catsdogs.networks.engines import openvino
from catsdogs.networks.table import BACKBONES
from catsdogs.photographs import images
from catsdogs.photographs.dataset import scan
from catsdogs.photographs.fitting import Fit
from catsdogs.photographs.locations import Reader
from tests.support.extraction import CATS, DOGS, LITE0, LITE1, TEST, files_in, run

pytestmark = pytest.mark.usefixtures("lite_networks")


def test_a_fresh_run(reference: Features) -> None:
    data = scan(Path(reference.source))
    assert reference.ids["train"].tolist() == CATS + DOGS and reference.ids["test"].tolist() == TEST
    assert reference.labels.tolist() == [0] * 4 + [1] * 4 and reference.classes == ("cat", "dog")
    assert reference.width == 1280 and not reference.unreadable
    assert reference.recipe.weights == next(iter(BACKBONES[LITE0].hashes.values()))
    assert (reference.recipe.input_size, reference.recipe.preprocessing) == (224, "lite")
    for split in SPLITS:
        assert reference.digests[split].tolist() == [images.digest(data.read(row)) for row in data.of(split)]
        assert reference.topk_class[split].shape == (len(data.of(split)), 10)
        assert (reference.statistics[split][:, :2] == (80, 60)).all()
        assert len(np.unique(reference.vectors(split), axis=0)) == len(data.of(split))
    assert files_in(reference.path.parent) == [f"{LITE0}.h5"]


def test_two_networks_in_one_pass_decode_each_photograph_once(
    tmp_path: Path, kaggle_folder: Path, reference: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[bytes] = []
    resized: list[set[Fit]] = []
    load = images.load
    monkeypatch.setattr(
        images,
        "load",
        lambda data, fits, side: loaded.append(data) or resized.append({*fits}) or load(data, fits, side),
    )
    summary = run(kaggle_folder, tmp_path, LITE0, LITE1)
    assert len(loaded) == len(set(loaded)) == 11 and resized == [{BACKBONES[LITE0].fit, BACKBONES[LITE1].fit}] * 11
    assert summary.computed == {LITE0: 11, LITE1: 11} and summary.rows == {"train": 8, "test": 3}
    files = [feature_file.read_features(path) for path in summary.paths]
    joining.check_joinable(files)
    assert joining.Joined(files, "train").read().shape == (8, 2560)
    np.testing.assert_array_equal(files[0].vectors("train"), reference.vectors("train"))

    loaded.clear()
    resized.clear()
    summary.paths[1].unlink()  # the network that is missing catches up, the other one rests
    assert run(kaggle_folder, tmp_path, LITE0, LITE1).computed == {LITE0: 0, LITE1: 11}
    assert len(loaded) == 11 and resized == [{BACKBONES[LITE1].fit}] * 11


def test_what_a_table_lists_and_is_not_there_is_not_waited_for(
    tmp_path: Path, kaggle_folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [f"train/{id}.jpg,{id[:3]}\n" for id in CATS + DOGS] + [f"train/gone.{n}.jpg,cat\n" for n in range(8)]
    (kaggle_folder / "labels.csv").write_text("file,label\n" + "".join(listed))
    asked: list[str] = []
    read = Reader.read
    monkeypatch.setattr(Reader, "read", lambda self, place: asked.append(Path(place.name).stem) or read(self, place))
    summary = run(kaggle_folder, tmp_path)
    assert sorted(set(asked) - {"labels"}) == sorted(CATS + DOGS + TEST) and summary.rows == {"train": 8, "test": 3}
    assert len(summary.unreadable) == 8 and {row.reason for row in summary.unreadable} == {"no such file"}
    assert "| 11/11 [" in capfd.readouterr().err
    limited = run(kaggle_folder, tmp_path / "limited", limit=4)
    assert sum(limited.rows.values()) == 4 and "| 4/4 [" in capfd.readouterr().err


def test_random_weights_and_float16_are_marked(tmp_path: Path, kaggle_folder: Path) -> None:
    settings = Settings(weights_dir="random", dtype="float16", batch_size=4, engine="keras")  # which needs no export
    summary = run(kaggle_folder, tmp_path, LITE0, settings=settings)
    got = feature_file.read_features(summary.paths[0])
    assert (got.recipe.weights, got.recipe.dtype) == (weights.RANDOM_WEIGHTS, "float16")
    with h5py.File(got.path) as file:
        assert file["train"].dtype == np.float16
    assert got.vectors("train").dtype == np.float32


def test_auto_takes_bfloat16_only_for_networks_that_bear_it(
    tmp_path: Path, kaggle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "computes_bfloat16", lambda: True)
    monkeypatch.setattr(openvino, "bfloat16_is_faster", lambda: True)
    settings = Settings(engine="openvino", batch_size=3)
    recipe = feature_file.read_features(run(kaggle_folder, tmp_path, settings=settings, limit=3).paths[0]).recipe
    assert (recipe.engine, recipe.precision) == ("openvino", "float32")
    assert [row.name for row in BACKBONES.values() if row.bfloat16] == ["ResNet50", "InceptionV3", "Xception"]


@pytest.mark.parametrize(
    ("source", "engine", "expected"),
    [("timm", "torch", "bfloat16"), ("hub", "keras", "bfloat16"), ("keras", "keras", "float32"),
     ("timm", "openvino", "float32")],
)  # fmt: skip
def test_what_a_gpu_computes_in_is_tried_and_not_forbidden(
    tmp_path: Path, source: str, engine: str, expected: str
) -> None:
    """OpenVINO tries nothing, and of the table's networks it is known which bear bfloat16."""
    made: list[str] = []

    def engine_of(name: str, precision: str) -> SimpleNamespace:
        made.append(precision)
        return SimpleNamespace(name=engine, precision="bfloat16" if precision == "auto" else precision)

    row = replace(BACKBONES[LITE0], source=source)
    recipe = extract_module._settle_recipe(row, tmp_path, Settings(weights_dir="random"), engine_of)  # type: ignore[arg-type]
    assert (recipe.engine, recipe.precision, made[-1]) == (
        engine,
        expected,
        "auto" if expected == "bfloat16" else expected,
    )

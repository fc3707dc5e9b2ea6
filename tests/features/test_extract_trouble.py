"""Extraction in trouble: bad photographs, other settings or data, full disks, damaged files."""

import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from catsdogs.errors import DatasetError, LockedError, StoreError, UnknownNameError, UsageError, WeightsError
from catsdogs.features import feature_file
from catsdogs.features.extract import Settings, extract
from catsdogs.features.feature_file import Features
from catsdogs.files import locks
from catsdogs.networks import weights
from catsdogs.photographs import images
from catsdogs.photographs.dataset import scan
from catsdogs.photographs.task import Task
from catsdogs.runs import run_card
from catsdogs.runs.prediction import predict
from tests.conftest import refused
from tests.photographs.test_images import png_header
from tests.support.datasets import jpeg
from tests.support.extraction import LITE0, LITE1, SETTINGS, content, files_in, run, vector

pytestmark = pytest.mark.usefixtures("lite_networks")


class TestBadPhotographs:
    def test_they_are_listed_and_the_rest_goes_on(
        self, tmp_path: Path, kaggle_folder: Path, reference: Features
    ) -> None:
        train, test = kaggle_folder / "train", kaggle_folder / "test"
        (train / "cat.1.jpg").write_bytes(jpeg(1)[:-300])
        (train / "cat.2.jpg").write_bytes(b"")
        (train / "dog.0.jpg").write_text("<html>404</html>")
        (train / "dog.3.jpg").write_bytes(png_header(60_000, 60_000))
        data = scan(kaggle_folder)
        (test / "2.jpg").unlink()
        summary = extract(data, [LITE0], tmp_path / "features", SETTINGS)
        got = feature_file.read_features(summary.paths[0])
        assert got.unreadable == tuple(summary.unreadable)
        reasons = {(row.split, row.id): row.reason for row in got.unreadable}
        assert list(reasons) == [*(("train", id) for id in ("cat.1", "cat.2", "dog.0", "dog.3")), ("test", "2")]
        words = ("truncated", "empty", "not a picture", "pixels", "no such file")
        assert all(word in reason for word, reason in zip(words, reasons.values(), strict=True))
        assert summary.rows == {"train": 4, "test": 2} and summary.computed == {LITE0: 6}
        assert got.labels.tolist() == [0, 0, 1, 1]
        for split, ids in (("train", ("cat.0", "cat.3", "dog.1", "dog.2")), ("test", ("1", "3"))):
            assert got.ids[split].tolist() == list(ids)
            for id in ids:
                np.testing.assert_allclose(vector(got, split, id), vector(reference, split, id), atol=1e-5)

        before = content(summary.paths[0])
        assert extract(data, [LITE0], tmp_path / "features", SETTINGS).computed == {LITE0: 0}
        assert content(summary.paths[0]) == before
        (train / "cat.2.jpg").write_bytes(jpeg(2))  # mended
        (test / "2.jpg").write_bytes(jpeg(9))
        assert run(kaggle_folder, tmp_path / "features").computed == {LITE0: 2}
        assert {row.id for row in feature_file.read_features(summary.paths[0]).unreadable} == {
            "cat.1",
            "dog.0",
            "dog.3",
        }

    def test_none_can_be_read(self, cached: Path, kaggle_folder: Path) -> None:
        before = (cached / f"{LITE0}.h5").read_bytes()
        data = scan(kaggle_folder)
        shutil.rmtree(kaggle_folder)  # a disk that was pulled out must not empty the feature file
        with refused(DatasetError, r"None of the 11 photographs of .* can be read; cat\.0: no such file"):
            extract(data, [LITE0], cached, SETTINGS)
        assert (cached / f"{LITE0}.h5").read_bytes() == before


class TestRefused:
    """What would spoil a feature file is refused before the first photograph is read."""

    @pytest.fixture(autouse=True)
    def nothing_is_read_or_written(self, cached: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(images, "decode", None)
        before, names = (cached / f"{LITE0}.h5").read_bytes(), files_in(cached)
        yield
        assert (cached / f"{LITE0}.h5").read_bytes() == before and files_in(cached) == names

    @pytest.mark.parametrize(
        ("settings", "problem"),
        [
            (Settings(precision="bfloat16"), "precision: float32, not bfloat16"),
            (Settings(dtype="float16"), "dtype: float32, not float16"),
            (Settings(weights_dir="random"), "weights: 579344248a93…, not random"),
        ],
    )
    def test_other_settings(self, cached: Path, kaggle_folder: Path, settings: Settings, problem: str) -> None:
        with refused(StoreError, problem):
            run(kaggle_folder, cached, settings=settings)

    def test_another_data_set(self, tmp_path: Path, cached: Path) -> None:
        other = tmp_path / "other"
        for number in range(30, 40):
            path = other / f"train/cat.{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(number))
        with refused(StoreError, rf"holds 11 photographs of .*data; {other} has only 0 of them\. Choose another"):
            run(other, cached)

    def test_other_pictures_under_the_same_names(self, tmp_path: Path, cached: Path, kaggle_folder: Path) -> None:
        other = shutil.copytree(kaggle_folder, tmp_path / "other")
        for seed, path in enumerate(sorted(other.rglob("*.jpg"))[:6]):
            path.write_bytes(jpeg(seed + 100))
        with refused(StoreError, rf"holds 11 photographs of .*data; {other} has other pictures under 6 of 11 names"):
            run(other, cached)

    def test_weights_that_do_not_fit(self, tmp_path: Path, kaggle_folder: Path) -> None:
        (tmp_path / "MobileNetV3Small.weights.h5").write_bytes(b"text")
        with refused(WeightsError, "not an HDF5 file"):
            settings = Settings(weights_dir=str(tmp_path))
            run(kaggle_folder, tmp_path / "out", "MobileNetV3Small", settings=settings)

    def test_prediction_on_other_weights(
        self, tmp_path: Path, cached: Path, kaggle_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recipe = feature_file.read_features(cached / f"{LITE0}.h5").recipe
        run = SimpleNamespace(backbones={LITE0: vars(recipe)}, task=Task.of_classes(("cat", "dog")))
        monkeypatch.setattr(run_card, "load_run", lambda folder: SimpleNamespace(run=run))
        with refused(StoreError, rf"trained on other vectors of {LITE0}: weights: random, not 579344248a93…\. Give"):
            target, cache = tmp_path / "answer.csv", tmp_path / "cache"
            predict(tmp_path / "run", kaggle_folder / "test", target, cache, weights.RANDOM_WEIGHTS)

    def test_unknown_names(self, cached: Path, kaggle_folder: Path) -> None:
        with refused(UnknownNameError, r"No dtype is called 'float64'\. Choose from: float32, float16"):
            run(kaggle_folder, cached, settings=Settings(dtype="float64"))
        with refused(UnknownNameError, "No backbone is called 'ResNet51'"):
            run(kaggle_folder, cached, LITE0, "ResNet51")
        with refused(UnknownNameError, "No engine is called 'abacus'"):
            run(kaggle_folder, cached, settings=Settings(engine="abacus"))
        with refused(UnknownNameError, "No precision is called 'half'"):
            run(kaggle_folder, cached, settings=Settings(precision="half"))
        with refused(UsageError, "A batch size of 0"):
            run(kaggle_folder, cached, settings=Settings(batch_size=0))

    def test_second_writer(self, cached: Path, kaggle_folder: Path) -> None:
        with locks.hold_folder(cached), refused(LockedError, "Another process is writing"):
            run(kaggle_folder, cached)

    def test_no_room(self, tmp_path: Path, kaggle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000))
        with refused(StoreError, "has 0 MiB free"):
            run(kaggle_folder, tmp_path / "full")


def test_a_damaged_feature_file_is_set_aside_and_computed_again(
    cached: Path, kaggle_folder: Path, reference: Features
) -> None:
    damaged = (cached / f"{LITE0}.h5").read_bytes()[:5000]
    (cached / f"{LITE0}.h5").write_bytes(damaged)
    summary = run(kaggle_folder, cached)
    assert summary.set_aside == [cached / f"{LITE0}.h5.damaged"]
    assert summary.set_aside[0].read_bytes() == damaged
    assert summary.computed == {LITE0: 11}
    assert summary.paths[0].exists() and feature_file.read_features(summary.paths[0]).digests["test"].size == 3


def test_full_disk_then_room_again(tmp_path: Path, kaggle_folder: Path, reference: Features) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with refused(StoreError, "The disk is full"):
            run(kaggle_folder, tmp_path / "features")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_in(tmp_path / "features") == []
    got = feature_file.read_features(run(kaggle_folder, tmp_path / "features").paths[0])
    np.testing.assert_array_equal(got.vectors("train"), reference.vectors("train"))


class TestFreeSpace:
    """Only what is computed takes room: not what a limit leaves out, nor what is cached."""

    ROW = 2 * 1280 * 4  # bytes of a photograph's row, as shard and in the file

    @pytest.fixture
    def free(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
        """Let so many rows fit on the disk."""
        return lambda rows: monkeypatch.setattr(
            shutil, "disk_usage", lambda _: SimpleNamespace(free=int(rows * self.ROW))
        )

    def test_of_a_limited_run(self, tmp_path: Path, kaggle_folder: Path, free: Callable[[float], None]) -> None:
        free(3)
        with refused(StoreError, r"needs about 0 MiB and has 0 MiB free"):
            run(kaggle_folder, tmp_path / "features", limit=4)
        assert run(kaggle_folder, tmp_path / "features", limit=3).computed == {LITE0: 3}
        with refused(StoreError, "free"):
            run(kaggle_folder, tmp_path / "features")
        free(8)
        assert run(kaggle_folder, tmp_path / "features").computed == {LITE0: 8}
        free(0)
        assert run(kaggle_folder, tmp_path / "features").computed == {LITE0: 0}

    def test_of_several_networks(self, kaggle_folder: Path, cached: Path, free: Callable[[float], None]) -> None:
        free(2.2)  # Lite1's rows are as wide, and Lite0's are there
        with refused(StoreError, "free"):
            run(kaggle_folder, cached, LITE0, LITE1, limit=3)
        assert run(kaggle_folder, cached, LITE0, LITE1, limit=2).computed == {LITE0: 0, LITE1: 2}

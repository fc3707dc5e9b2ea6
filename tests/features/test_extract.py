import os
import resource
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from catsdogs.errors import DatasetError, LockedError, StoreError, UnknownNameError, UsageError, WeightsError
from catsdogs.features import feature_file, joining
from catsdogs.features.extract import Extraction, Settings, extract
from catsdogs.features.feature_file import SPLITS, Features
from catsdogs.files import locks
from catsdogs.networks import weights
from catsdogs.networks.engines import openvino, selection
from catsdogs.networks.table import BACKBONES
from catsdogs.photographs import images, stamps
from catsdogs.photographs.dataset import Dataset, scan
from catsdogs.runs import run_card
from catsdogs.runs.prediction import predict
from tests.conftest import jpeg, need, opened, refused, write_kaggle_folder
from tests.photographs.test_images import png_header

LITE0, LITE1 = "EfficientNetLite0", "EfficientNetLite1"
SETTINGS = Settings(batch_size=4)
CATS, DOGS, TEST = [f"cat.{n}" for n in range(4)], [f"dog.{n}" for n in range(4)], ["1", "2", "3"]


@pytest.fixture(scope="module", autouse=True)
def networks(networks_are_loaded_once: None) -> None:
    need(str(BACKBONES[LITE0].package))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Features:
    """The features of `write_kaggle_folder`, from a run that nothing disturbed."""
    root = tmp_path_factory.mktemp("reference")
    write_kaggle_folder(root / "data")
    return feature_file.read_features(run(root / "data", root / "features").paths[0])


@pytest.fixture
def cached(tmp_path: Path, kaggle_folder: Path, reference: Features) -> Path:
    """A folder with the finished feature file of `kaggle_folder`."""
    out = tmp_path / "features"
    out.mkdir()
    shutil.copy(reference.path, out)
    return out


def run(data: Path, out: Path, *names: str, limit: int | None = None, settings: Settings = SETTINGS) -> Extraction:
    return extract(scan(data), names or (LITE0,), out, settings, limit)


def content(path: Path) -> dict[str, object]:
    """Everything in a feature file but the time it was written at."""

    def attributes(item: h5py.HLObject) -> dict[str, object]:
        return {name: np.asarray(value).tolist() for name, value in item.attrs.items() if name != "created"}

    with h5py.File(path) as file:
        parts = {name: (data.dtype, data.shape, data[...].tolist(), attributes(data)) for name, data in file.items()}
        return parts | {"": attributes(file)}


def files_in(folder: Path) -> list[str]:
    return sorted(
        path.name for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", stamps.STAMPS_FILE)
    )


def vector(features: Features, split: str, id: str) -> np.ndarray:
    return features.vectors(split)[features.ids[split].tolist().index(id)]


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
    resized: list[set[int]] = []
    load = images.load
    monkeypatch.setattr(
        images, "load", lambda data, sizes: loaded.append(data) or resized.append(set(sizes)) or load(data, sizes)
    )
    summary = run(kaggle_folder, tmp_path, LITE0, LITE1)
    assert len(loaded) == len(set(loaded)) == 11 and resized == [{224, 240}] * 11
    assert summary.computed == {LITE0: 11, LITE1: 11} and summary.rows == {"train": 8, "test": 3}
    files = [feature_file.read_features(path) for path in summary.paths]
    joining.check_joinable(files)
    assert joining.join(files, "train")[1].shape == (8, 2560)
    np.testing.assert_array_equal(files[0].vectors("train"), reference.vectors("train"))

    loaded.clear()
    resized.clear()
    summary.paths[1].unlink()  # the network that is missing catches up, the other one rests
    assert run(kaggle_folder, tmp_path, LITE0, LITE1).computed == {LITE0: 0, LITE1: 11}
    assert len(loaded) == 11 and resized == [{240}] * 11


def test_what_a_table_lists_and_is_not_there_is_not_waited_for(
    tmp_path: Path, kaggle_folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [f"train/{id}.jpg,{id[:3]}\n" for id in CATS + DOGS] + [f"train/gone.{n}.jpg,cat\n" for n in range(9222)]
    (kaggle_folder / "labels.csv").write_text("file,label\n" + "".join(listed))
    asked: list[str] = []
    read = Dataset.read
    monkeypatch.setattr(Dataset, "read", lambda dataset, row: asked.append(row.id) or read(dataset, row))
    summary = run(kaggle_folder, tmp_path)
    assert sorted(asked) == sorted(CATS + DOGS + TEST) and summary.rows == {"train": 8, "test": 3}
    assert len(summary.unreadable) == 9222 and {row.reason for row in summary.unreadable} == {"no such file"}
    assert "| 11/11 [" in capfd.readouterr().err
    limited = run(kaggle_folder, tmp_path / "limited", limit=4)
    assert sum(limited.rows.values()) == 4 and "| 4/4 [" in capfd.readouterr().err


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


class TestAgain:
    def test_nothing_to_do(self, cached: Path, kaggle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = cached / f"{LITE0}.h5"
        run(kaggle_folder, cached)
        before, status = path.read_bytes(), path.stat()
        monkeypatch.setattr(selection, "create", None)  # not even an engine is made
        assert run(kaggle_folder, cached).computed == {LITE0: 0}
        assert path.read_bytes() == before
        assert (path.stat().st_mtime_ns, path.stat().st_ino) == (status.st_mtime_ns, status.st_ino)

    def test_a_folder_that_moved_is_followed(self, cached: Path, kaggle_folder: Path) -> None:
        moved = kaggle_folder.rename(kaggle_folder.with_name("moved"))
        summary = run(moved, cached)
        assert (summary.computed, summary.written) == ({LITE0: 0}, {LITE0: True})
        assert feature_file.read_features(cached / f"{LITE0}.h5").source == str(moved)

    @pytest.mark.parametrize(
        ("change", "computed"),
        [("changed", 1), ("new", 2), ("renamed", 0), ("relabelled", 0), ("removed", 0), ("swapped", 0), ("twin", 0)],
    )
    def test_the_file_follows_the_photographs(
        self, tmp_path: Path, cached: Path, kaggle_folder: Path, change: str, computed: int
    ) -> None:
        train, test = kaggle_folder / "train", kaggle_folder / "test"
        match change:
            case "changed":
                (train / "cat.2.jpg").write_bytes(jpeg(100))
            case "new":
                (train / "cat.10.jpg").write_bytes(jpeg(100))
                (test / "10.jpg").write_bytes(jpeg(101))
            case "renamed":
                (train / "dog.1.jpg").rename(train / "dog.77.jpg")
            case "relabelled":
                (train / "dog.1.jpg").rename(train / "cat.77.jpg")
            case "removed":
                (train / "cat.0.jpg").unlink()
                (test / "2.jpg").unlink()
            case "swapped":
                (train / "cat.0.jpg").rename(train / "x")
                (train / "cat.1.jpg").rename(train / "cat.0.jpg")
                (train / "x").rename(train / "cat.1.jpg")
            case "twin":
                shutil.copy(train / "cat.3.jpg", test / "4.jpg")
        assert run(kaggle_folder, cached).computed == {LITE0: computed}
        got = feature_file.read_features(cached / f"{LITE0}.h5")
        fresh = feature_file.read_features(run(kaggle_folder, tmp_path / "fresh").paths[0])
        assert got.labels.tolist() == fresh.labels.tolist()
        for split in SPLITS:
            assert got.ids[split].tolist() == fresh.ids[split].tolist()
            assert got.digests[split].tolist() == fresh.digests[split].tolist()
            np.testing.assert_allclose(got.vectors(split), fresh.vectors(split), atol=1e-5)
            np.testing.assert_array_equal(got.statistics[split], fresh.statistics[split])
            np.testing.assert_array_equal(got.topk_class[split][:, 0], fresh.topk_class[split][:, 0])
        with h5py.File(got.path) as ours, h5py.File(fresh.path) as theirs:
            assert ours.attrs["backend"] == theirs.attrs["backend"]

    def test_duplicates_each_get_a_row(self, tmp_path: Path, kaggle_folder: Path) -> None:
        shutil.copy(kaggle_folder / "train/cat.0.jpg", kaggle_folder / "test/2.jpg")
        shutil.copy(kaggle_folder / "train/cat.0.jpg", kaggle_folder / "train/cat.3.jpg")
        got = feature_file.read_features(run(kaggle_folder, tmp_path / "features").paths[0])
        assert got.ids["train"].tolist() == CATS + DOGS and got.ids["test"].tolist() == TEST
        for split, id in (("train", "cat.3"), ("test", "2")):
            np.testing.assert_allclose(vector(got, split, id), vector(got, "train", "cat.0"), atol=1e-5)

    def test_a_batch_size_may_change(self, cached: Path, kaggle_folder: Path) -> None:
        settings = Settings(batch_size=3)
        assert run(kaggle_folder, cached, settings=settings).computed == {LITE0: 0}


class TestUnchanged:
    """A photograph that is as it was when it was last read is not read again, and nobody can tell from the results."""

    @pytest.fixture(autouse=True)
    def settled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stamps, "SETTLED_NS", -(10**12))  # files that were written just now count as old

    @pytest.fixture
    def ids_read(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        ids: list[str] = []
        read = Dataset.read
        monkeypatch.setattr(Dataset, "read", lambda self, row: ids.append(row.id) or read(self, row))
        return ids

    def test_only_what_changed_is_read(self, cached: Path, kaggle_folder: Path, ids_read: list[str]) -> None:
        path = kaggle_folder / "train/cat.2.jpg"

        def again(*names: str, limit: int | None = None) -> tuple[list[str], list[int]]:
            ids_read.clear()
            summary = run(kaggle_folder, cached, *names, limit=limit)
            return sorted(ids_read), list(summary.computed.values())

        again()
        assert again() == ([], [0])
        (cached / stamps.STAMPS_FILE).unlink()
        assert again() == (sorted(CATS + DOGS + TEST), [0])
        assert again() == ([], [0])
        os.utime(path)
        assert again() == (["cat.2"], [0])
        assert again() == ([], [0])
        size = path.stat().st_size
        path.write_bytes(jpeg(100)[:-2].ljust(size - 2, b"\0")[: size - 2] + b"\xff\xd9")
        assert path.stat().st_size == size
        assert again() == (["cat.2"], [1])
        (kaggle_folder / "test/9.jpg").write_bytes(b"")
        for _ in range(2):  # what cannot be read may have been mended in a way that does not show
            assert again() == (["9"], [0])
        assert again(LITE0, LITE1) == (sorted([*CATS, *DOGS, *TEST, "9"]), [0, 11])
        assert again(limit=3) == (["9"], [0])
        assert again(LITE0, LITE1) == (["9"], [0, 0])

    def test_what_changed_just_now_is_read_again(
        self, cached: Path, kaggle_folder: Path, ids_read: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stamps, "SETTLED_NS", 3600 * 10**9)
        for _ in range(2):
            run(kaggle_folder, cached)
            assert set(ids_read) == {*CATS, *DOGS, *TEST}
            ids_read.clear()

    def test_archives_are_not_read_either(self, tmp_path: Path, kaggle_folder: Path, ids_read: list[str]) -> None:
        zips = tmp_path / "zips"
        for split in SPLITS:
            shutil.make_archive(str(zips / split), "zip", kaggle_folder / split)
        first = run(zips, tmp_path / "features")
        ids_read.clear()
        again = run(zips, tmp_path / "features")
        assert (ids_read, again.computed, again.rows) == ([], {LITE0: 0}, first.rows)

    @pytest.mark.parametrize("lie", ["of another photograph", "of none"])
    def test_a_wrong_digest_does_no_harm(
        self, cached: Path, kaggle_folder: Path, reference: Features, ids_read: list[str], lie: str
    ) -> None:
        run(kaggle_folder, cached)
        before = content(cached / f"{LITE0}.h5")
        with opened(cached / stamps.STAMPS_FILE) as file:
            digests = file["digest"][...]
            file["digest"][...] = np.roll(digests, 1) if lie == "of another photograph" else digests + 1
        ids_read.clear()
        assert run(kaggle_folder, cached).computed == {LITE0: 0}
        assert len(ids_read) == 11 and content(cached / f"{LITE0}.h5") == before
        ids_read.clear()
        run(kaggle_folder, cached)
        assert not ids_read

    def test_a_complete_cache_takes_no_deep_learning_library(self, cached: Path, kaggle_folder: Path) -> None:
        run(kaggle_folder, cached)
        code = """
            import sys
            from pathlib import Path
            from catsdogs.photographs import stamps
            from catsdogs.photographs.dataset import Dataset, scan
            from catsdogs.features.extract import extract

            stamps.SETTLED_NS = -(10**12)
            Dataset.read = None  # no photograph is read
            print(extract(scan(Path(sys.argv[1])), ["EfficientNetLite0"], Path(sys.argv[2])).computed)
            print({"jax", "keras", "openvino", "tensorflow", "torch"} & set(sys.modules))
        """
        command = [sys.executable, "-c", textwrap.dedent(code), str(kaggle_folder), str(cached)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert (ended.stdout, ended.stderr) == (f"{{'{LITE0}': 0}}\nset()\n", "")


class TestLimit:
    def test_photographs_are_spread_over_both_splits(self, tmp_path: Path, kaggle_folder: Path) -> None:
        summary = run(kaggle_folder, tmp_path, limit=4)
        assert summary.computed == {LITE0: 4}
        got = feature_file.read_features(summary.paths[0])
        assert set(got.labels.tolist()) == {0, 1} and len(got.ids["test"]) > 0

        assert run(kaggle_folder, tmp_path, limit=4).computed == {LITE0: 0}
        assert run(kaggle_folder, tmp_path, limit=1000).computed == {LITE0: 7}
        assert feature_file.read_features(summary.paths[0]).ids["train"].tolist() == CATS + DOGS

    def test_rows_in_the_file_stay(self, cached: Path, kaggle_folder: Path) -> None:
        path = cached / f"{LITE0}.h5"
        run(kaggle_folder, cached)
        before = path.read_bytes()
        summary = run(kaggle_folder, cached, limit=3)
        assert (summary.computed, summary.written) == ({LITE0: 0}, {LITE0: False})
        assert summary.rows == {"train": 8, "test": 3}  # of the file, not of the three
        assert path.read_bytes() == before
        (kaggle_folder / "train/cat.0.jpg").write_bytes(jpeg(100))  # the first is always looked at
        (kaggle_folder / "train/cat.1.jpg").unlink()
        summary = run(kaggle_folder, cached, limit=1)
        assert (summary.computed, summary.written) == ({LITE0: 1}, {LITE0: True})
        assert summary.rows == {"train": 7, "test": 3}
        assert feature_file.read_features(path).ids["train"].tolist() == ["cat.0", *CATS[2:], *DOGS]

    def test_what_was_unreadable_stays_listed(self, tmp_path: Path, kaggle_folder: Path) -> None:
        (kaggle_folder / "train/cat.1.jpg").write_bytes(b"")
        path = run(kaggle_folder, tmp_path).paths[0]
        before = path.read_bytes()
        assert not run(kaggle_folder, tmp_path, limit=1).unreadable  # of those it read
        assert path.read_bytes() == before

    def test_shards_of_an_interrupted_run_stay(
        self, tmp_path: Path, kaggle_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*arguments: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("catsdogs.features.extract.Cache.assemble", interrupted)
            run(kaggle_folder, tmp_path)
        summary = run(kaggle_folder, tmp_path, limit=1)
        assert summary.computed == {LITE0: 0}
        assert feature_file.read_features(summary.paths[0]).ids["test"].tolist() == TEST

    @pytest.mark.parametrize("limit", [0, -5])
    def test_no_photographs_at_all(self, tmp_path: Path, kaggle_folder: Path, limit: int) -> None:
        with refused(UsageError, f"A limit of {limit} photographs"):
            run(kaggle_folder, tmp_path, limit=limit)


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
        run = SimpleNamespace(backbones={LITE0: vars(recipe)})
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


def test_random_weights_and_float16_are_marked(tmp_path: Path, kaggle_folder: Path) -> None:
    settings = Settings(weights_dir="random", dtype="float16", batch_size=4, engine="keras")  # which needs no export
    summary = run(kaggle_folder, tmp_path, LITE0, settings=settings)
    got = feature_file.read_features(summary.paths[0])
    assert (got.recipe.weights, got.recipe.dtype) == (weights.RANDOM_WEIGHTS, "float16")
    with h5py.File(got.path) as file:
        assert file["train"].dtype == np.float16
    assert got.vectors("train").dtype == np.float32


# When to kill: before or after the n-th rename or assignment of a data set; how many photographs are left to compute.
# Eleven photographs in shards of four are three shards, each of five data sets, then the feature file with its labels.
# From outside, the kill comes once a first shard is there, and may come late.
MOMENTS = (
    ("after", "replace", 2, 3),
    ("after", "__setitem__", 8, 7),
    ("after", "__setitem__", 16, 0),
    ("before", "replace", 4, 0),
    ("after", "replace", 4, 0),
    ("outside", "", 1, 7),
)
KILLER = """
    import itertools, os, signal, sys, time
    from pathlib import Path
    import h5py
    from catsdogs.features import extract
    from catsdogs.photographs.dataset import scan

    def run(out):
        extract.SHARD_ROWS = 4
        extract.extract(scan(Path(data)), ["EfficientNetLite0"], out, extract.Settings(batch_size=4))

    def kill_at(owner, name, count, when):
        original, numbers = getattr(owner, name), itertools.count(1)

        def method(self, *arguments):
            here = (name == "__setitem__" or self.suffix == ".tmp") and next(numbers) == count
            if here and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(self, *arguments)
            if here:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, method)

    data, out, *moments = sys.argv[1:]
    for number, moment in enumerate(moments):
        when, name, count = moment.split(",")
        folder = Path(out) / str(number)
        child = os.fork()  # nothing has been computed yet, so there are no threads that a fork would lose
        if not child:
            if name:
                kill_at(h5py.Group if name == "__setitem__" else Path, name, int(count), when)
            run(folder)
            os._exit(1)
        if not name:
            while not list(folder.rglob("*.h5")):
                time.sleep(0.01)
            os.kill(child, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL or not name, moment
"""


@pytest.fixture(scope="module")
def wrecks(reference: Features, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each of `MOMENTS`, as SIGKILL left it."""
    out = tmp_path_factory.mktemp("wrecks")
    moments = [f"{when},{name},{count}" for when, name, count, _ in MOMENTS]
    command = [sys.executable, "-c", textwrap.dedent(KILLER), reference.source, str(out), *moments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return out


@pytest.mark.parametrize("number", range(len(MOMENTS)), ids=[" ".join(map(str, moment)) for moment in MOMENTS])
def test_after_a_kill_the_second_run_gives_the_same_file_bit_for_bit(
    wrecks: Path, reference: Features, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    when, _, _, left = MOMENTS[number]
    monkeypatch.setattr("catsdogs.features.extract.SHARD_ROWS", 4)
    out = wrecks / str(number)
    summary = run(Path(reference.source), out)
    assert summary.computed[LITE0] == left or (when == "outside" and summary.computed[LITE0] < left)
    assert content(summary.paths[0]) == content(reference.path)
    assert files_in(out) == [f"{LITE0}.h5"]


def test_auto_takes_bfloat16_only_for_networks_that_bear_it(
    tmp_path: Path, kaggle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "computes_bfloat16", lambda: True)
    monkeypatch.setattr(openvino, "bfloat16_is_faster", lambda: True)
    settings = Settings(engine="openvino", batch_size=3)
    recipe = feature_file.read_features(run(kaggle_folder, tmp_path, settings=settings, limit=3).paths[0]).recipe
    assert (recipe.engine, recipe.precision) == ("openvino", "float32")
    assert [row.name for row in BACKBONES.values() if row.bfloat16] == ["ResNet50", "InceptionV3", "Xception"]


class TestFreeSpace:
    """Only what is computed takes room: not what a limit leaves out, nor what is cached."""

    ROW = 2 * 1280 * 4  # bytes of a photograph's row, as shard and in the file

    @pytest.fixture
    def free(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
        """Let so many rows fit on the disk."""
        return lambda rows: monkeypatch.setattr(
            feature_file.shutil, "disk_usage", lambda _: SimpleNamespace(free=int(rows * self.ROW))
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

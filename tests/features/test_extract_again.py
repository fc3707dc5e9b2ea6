"""Extraction again: only what is new or changed is read, and only what is missing is computed."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

from catsdogs.errors import UsageError
from catsdogs.features import feature_file
from catsdogs.features.extract import Settings
from catsdogs.features.feature_file import SPLITS, Features
from catsdogs.networks.engines import selection
from catsdogs.photographs import stamps
from catsdogs.photographs.locations import Reader
from tests.conftest import refused
from tests.support.datasets import jpeg
from tests.support.extraction import CATS, DOGS, LITE0, LITE1, TEST, content, run, vector
from tests.support.features import opened

pytestmark = pytest.mark.usefixtures("lite_networks")


class TestAgain:
    def test_nothing_to_do(self, cached: Path, kaggle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = cached / f"{LITE0}.h5"
        run(kaggle_folder, cached)
        before, status = path.read_bytes(), path.stat()
        monkeypatch.setattr(selection, "create_engine", None)  # not even an engine is made
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
        read = Reader.read
        monkeypatch.setattr(Reader, "read", lambda self, place: ids.append(Path(place.name).stem) or read(self, place))
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
            from catsdogs.photographs.dataset import scan
            from catsdogs.photographs.locations import Reader
            from catsdogs.features.extract import extract

            stamps.SETTLED_NS = -(10**12)
            Reader.read = None  # no photograph is read
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

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from catsdogs.photographs import images, stamps
from catsdogs.photographs.dataset import Dataset, Photograph, scan, scan_unlabelled
from catsdogs.photographs.stamps import STAMPS_FILE, Stamps
from tests.support.datasets import jpeg, write_kaggle_folder
from tests.support.features import opened


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written just now count as old."""
    monkeypatch.setattr(stamps, "SETTLED_NS", -(10**12))


def digests(dataset: Dataset) -> list[int]:
    return [images.digest(dataset.read(row)) for row in dataset.photographs]


def known(dataset: Dataset, folder: Path) -> list[int | None]:
    found = Stamps(folder).look(dataset.photographs)
    return [digest if is_known else None for digest, is_known in zip(*map(np.ndarray.tolist, found), strict=True)]


def keep(dataset: Dataset, folder: Path) -> None:
    remembered = Stamps(folder)
    remembered.look(dataset.photographs)
    remembered.keep(*read(dataset.photographs, dataset), others=False)


def read(rows: Sequence[Photograph], dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The digests of photographs, all of them known."""
    return np.array([images.digest(dataset.read(row)) for row in rows], np.uint64), np.ones(len(rows), bool)


def same_times(path: Path, status: os.stat_result) -> None:
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def dataset(kaggle_folder: Path) -> Dataset:
    return scan(kaggle_folder)


class TestRemembered:
    @pytest.fixture(autouse=True)
    def kept(self, settled: None, tmp_path: Path, dataset: Dataset) -> None:
        assert known(dataset, tmp_path) == [None] * 11
        keep(dataset, tmp_path)

    def test_what_did_not_change(self, tmp_path: Path, dataset: Dataset) -> None:
        assert known(dataset, tmp_path) == digests(dataset)

    @pytest.mark.parametrize("change", ["touched", "grown", "other content", "another file", "linked", "removed"])
    def test_one_that_changed(self, tmp_path: Path, dataset: Dataset, kaggle_folder: Path, change: str) -> None:
        expected = [*digests(dataset)]
        path = kaggle_folder / "train/cat.2.jpg"
        status, data = path.stat(), path.read_bytes()
        match change:
            case "touched":
                os.utime(path)
            case "grown":
                path.write_bytes(data + b"\0")
                same_times(path, status)
            case "other content":  # of the same size, the time set back as archivers do
                path.write_bytes(data[::-1])
                same_times(path, status)
            case "another file":  # of the same size and time, moved into its place
                other = path.with_name("other")
                other.write_bytes(data[::-1])
                same_times(other, status)
                other.replace(path)
            case "linked":
                elsewhere = tmp_path / "elsewhere.jpg"
                path.rename(elsewhere)
                path.symlink_to(elsewhere)
                elsewhere.write_bytes(data[::-1])
            case "removed":
                path.unlink()
        assert known(dataset, tmp_path) == [*expected[:2], None, *expected[3:]]

    def test_files_that_swapped_names(self, tmp_path: Path, dataset: Dataset, kaggle_folder: Path) -> None:
        first, second = kaggle_folder / "train/cat.0.jpg", kaggle_folder / "train/cat.1.jpg"
        first.rename(first.with_suffix(".x"))
        second.rename(first)
        first.with_suffix(".x").rename(second)
        assert known(dataset, tmp_path)[:2] == [None, None]

    def test_a_folder_that_moved(self, tmp_path: Path, dataset: Dataset, kaggle_folder: Path) -> None:
        expected = digests(dataset)
        moved = scan(kaggle_folder.rename(tmp_path / "moved"))
        assert known(moved, tmp_path) == expected

    def test_nothing_new_is_not_written(self, tmp_path: Path, dataset: Dataset) -> None:
        before = (tmp_path / STAMPS_FILE).stat()
        keep(dataset, tmp_path)
        after = (tmp_path / STAMPS_FILE).stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    def test_a_run_with_a_limit_keeps_the_others(self, tmp_path: Path, dataset: Dataset) -> None:
        some = dataset.photographs[::3]
        os.utime(dataset.root / "train/cat.0.jpg")
        for others, remembered in ((True, 11), (False, len(some))):
            limited = Stamps(tmp_path)
            limited.look(some)
            limited.keep(*read(some, dataset), others)
            assert sum(digest is not None for digest in known(dataset, tmp_path)) == remembered

    def test_what_could_not_be_read_is_not_kept(self, tmp_path: Path, dataset: Dataset) -> None:
        remembered = Stamps(tmp_path)
        remembered.look(dataset.photographs)
        found, is_known = read(dataset.photographs, dataset)
        is_known[0] = False
        remembered.keep(found, is_known, others=False)
        assert known(dataset, tmp_path) == [None, *digests(dataset)[1:]]

    @pytest.mark.parametrize(
        "damage", ["gone", "empty", "text", "cut short", "other HDF5", "newer", "uneven", "folder"]
    )
    def test_damage_is_no_news(self, tmp_path: Path, dataset: Dataset, damage: str) -> None:
        path = tmp_path / STAMPS_FILE
        data = path.read_bytes()
        match damage:
            case "newer" | "uneven":
                with opened(path) as file:
                    if damage == "newer":
                        file.attrs["version"] = stamps.STAMPS_VERSION + 1
                    else:
                        values = file["digest"][1:]
                        del file["digest"]
                        file["digest"] = values
            case "other HDF5":
                with h5py.File(path, "w") as file:
                    file["stamp"] = [[1.0]]
            case "empty" | "text" | "cut short":
                path.write_bytes({"empty": b"", "text": b"id,label\n" * 99, "cut short": data[:-1]}[damage])
            case "gone" | "folder":
                path.unlink()
        if damage == "folder":
            path.mkdir()
        assert known(dataset, tmp_path) == [None] * 11
        keep(dataset, tmp_path)
        assert known(dataset, tmp_path) == ([None] * 11 if damage == "folder" else digests(dataset))

    def test_leftovers_of_a_killed_run_go(self, tmp_path: Path, dataset: Dataset) -> None:
        (tmp_path / f".{STAMPS_FILE}.4711.tmp").write_bytes(b"half a file")
        os.utime(dataset.root / "train/cat.0.jpg")
        keep(dataset, tmp_path)
        assert not list(tmp_path.glob("*.tmp"))


def test_what_changed_just_now_is_not_remembered(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A second change within the resolution of the file's times would not show.
    monkeypatch.setattr(stamps, "SETTLED_NS", 3600 * 10**9)
    path = dataset.root / "train/cat.0.jpg"
    os.utime(path, (0, 0))  # the time that anyone can set says nothing
    keep(dataset, tmp_path)
    assert not (tmp_path / STAMPS_FILE).exists()
    with monkeypatch.context() as patch:
        patch.setattr(stamps, "SETTLED_NS", -(10**12))
        keep(dataset, tmp_path)
        os.utime(path, (2**33, 2**33))  # a camera whose clock is ahead
        keep(dataset, tmp_path)
        assert known(dataset, tmp_path) == [None, *digests(dataset)[1:]]
    assert known(dataset, tmp_path) == [None] * 11


@pytest.mark.usefixtures("settled")
def test_archives(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()

    def write(split: str, names: list[str], first: int) -> None:
        with zipfile.ZipFile(root / f"{split}.zip", "w") as archive:
            for seed, name in enumerate(names, first):
                archive.writestr(name, jpeg(seed))

    write("train", ["cat.0.jpg", "dog.0.jpg"], 0)
    write("test", ["cat.0.jpg", "1.jpg"], 10)  # the same name in both
    dataset = scan(root)
    keep(dataset, tmp_path)
    expected = digests(dataset)
    assert len(set(expected)) == 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZipFile", None)  # what stands in an archive need not be looked at
        assert known(dataset, tmp_path) == expected
    write("test", ["cat.0.jpg", "1.jpg"], 20)
    assert known(scan(root), tmp_path) == [*expected[:2], None, None]


@pytest.mark.usefixtures("settled")
def test_a_single_file(tmp_path: Path) -> None:
    dataset = scan_unlabelled(write_kaggle_folder(tmp_path / "data") / "train/cat.0.jpg")
    keep(dataset, tmp_path)
    assert known(dataset, tmp_path) == digests(dataset)

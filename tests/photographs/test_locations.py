"""Data sets in an object store: read in every layout as on this machine, with few requests."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import s3fs

from catsdogs.errors import DatasetError, UnreadablePhotographError
from catsdogs.files import ranges, storage
from catsdogs.photographs import locations, tfrecord_writer
from catsdogs.photographs.dataset import Dataset, scan, scan_unlabelled
from catsdogs.photographs.locations import Location, Reader
from catsdogs.photographs.stamps import Stamps
from tests.conftest import refused
from tests.support.datasets import jpeg, write_kaggle_folder
from tests.support.s3 import Faults, upload

pytest_plugins = ("tests.support.s3",)


def zipped(folder: Path, path: Path, start: str = "") -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.jpg")):
            archive.write(file, start + file.relative_to(folder).as_posix())


def kaggle(root: Path) -> str:
    write_kaggle_folder(root)
    (root / "sample_submission.csv").write_text("id,label\n1,0.5\n2,0.5\n3,0.5\n")
    return ""


def two_zips(root: Path) -> str:
    data = write_kaggle_folder(root.with_name("unpacked"))
    zipped(data / "train", root / "train.zip", "train/")
    zipped(data / "test", root / "test.zip")
    return ""


def one_zip_in_a_folder(root: Path) -> str:
    zipped(write_kaggle_folder(root.with_name("unpacked")), root / "all.zip", "comp/")
    return ""


def one_zip(root: Path) -> str:
    one_zip_in_a_folder(root)
    return "all.zip"


def class_folders(root: Path) -> str:
    for seed, name in enumerate(["cat/1.jpg", "cat/b c#d%20é.jpg", "dog/1.jpg", ".hidden/1.jpg", "dog/.x.jpg"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(jpeg(seed))
    return ""


def table(root: Path) -> str:
    for seed, name in enumerate(["a.jpg", "b.jpg", "c.jpg"]):
        (root / name).write_bytes(jpeg(seed))
    (root / "what.csv").write_text("file,breed\na,x\nb.jpg,y\ngone,x\n")
    return "what.csv"


def record_files(root: Path) -> str:
    tfrecord_writer.write_record_files(scan(write_kaggle_folder(root.with_name("photographs"))), root, count=3)
    return ""


def one_record_file(root: Path) -> str:
    record_files(root)
    return "train-00001-of-00003.tfrecord"


def record_files_in_splits(root: Path) -> str:
    record_files(root.with_name("ours"))
    for split in ("train", "test"):
        (root / split).mkdir()
        for path in root.with_name("ours").glob(f"{split}-*"):
            path.rename(root / split / path.name)
    return ""


def read(dataset: Dataset) -> list[bytes | str]:
    found: list[bytes | str] = []
    for photograph in dataset.photographs:
        try:
            found.append(dataset.read(photograph))
        except UnreadablePhotographError as error:
            found.append(error.reason)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("write", "below"),
    [
        (kaggle, ""),
        (two_zips, "/deep/er"),
        (one_zip_in_a_folder, ""),
        (one_zip, ""),
        (class_folders, "/deep/er"),
        (table, ""),
        (record_files, ""),
        (one_record_file, "/deep/er"),
        (record_files_in_splits, ""),
    ],
)
def test_every_layout_is_what_it_is_on_this_machine(
    root: Path, s3_bucket: str, write: Callable[[Path], str], below: str
) -> None:
    name = write(root)
    upload(root, s3_bucket + below)
    here, there = root / name, storage.place("/".join(filter(None, (s3_bucket + below, name))))
    for look in (scan,) if write is table else (scan, scan_unlabelled):
        expected, dataset = look(here), look(there)
        assert [row[:3] for row in dataset.photographs] == [row[:3] for row in expected.photographs]
        assert (dataset.classes, dataset.sample_submission) == (expected.classes, expected.sample_submission)
        assert read(dataset) == read(expected)
        assert str(dataset.root.resolve()) == str(there)


@pytest.mark.parametrize(
    ("write", "requests"),
    [
        (kaggle, 2),
        (class_folders, 1),
        (table, 2),
        (two_zips, 5),
        (one_zip, 2),
        (record_files, 16),
        (one_record_file, 6),
    ],
)
def test_a_photograph_is_one_request(
    root: Path, s3_bucket: str, s3_faults: Faults, write: Callable[[Path], str], requests: int
) -> None:
    name = write(root)
    upload(root, s3_bucket)
    there = storage.place(f"{s3_bucket}/{name}")
    _ = scan(there)  # a new client asks where the bucket is
    s3_faults.requests.clear()
    dataset = scan(there)
    assert len(s3_faults.requests) <= requests
    assert pickle.loads(pickle.dumps(dataset.photographs)) == dataset.photographs
    read(dataset)  # the lists of zips
    s3_faults.requests.clear()
    read(dataset)
    assert len(s3_faults.requests) == len(dataset.photographs)
    assert {request.split()[0] for request in s3_faults.requests} == {"GET"}


def test_a_zip_larger_than_what_is_read_ahead(
    root: Path, s3_bucket: str, s3_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "READ_AHEAD_BYTES", 100)
    two_zips(root)
    upload(root, s3_bucket)
    dataset = scan(storage.place(s3_bucket))
    assert read(dataset) == read(scan(root))
    s3_faults.requests.clear()
    read(dataset)
    assert len(s3_faults.requests) == len(dataset.photographs)


@pytest.mark.parametrize(
    "name", ["train/../../dog.1.jpg", "/dog.1.jpg", "..", "s3://other/dog.1.jpg", "gs://other/dog.1.jpg"]
)
def test_no_name_leads_elsewhere(s3_bucket: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = dict.fromkeys(["train/cat.0.jpg", name], "1")
    monkeypatch.setattr(storage, "list_stamps", lambda root: listed)
    with refused(DatasetError, "holds an object of the unsafe name"):
        scan(storage.place(f"{s3_bucket}/x"))
    with pytest.raises(UnreadablePhotographError, match="no such file"):
        Reader().read(Location(storage.place(f"{s3_bucket}/x"), name))


@pytest.mark.parametrize("name", ["../secret.jpg", "gs://bucket/secret.jpg"])
def test_a_table_that_names_other_places(root: Path, s3_bucket: str, s3_faults: Faults, name: str) -> None:
    (root / "data").mkdir()
    (root / "data/a.jpg").write_bytes(jpeg(0))
    (root / "secret.jpg").write_bytes(jpeg(1))
    (root / "data/labels.csv").write_text(f"id,label\na,x\n{name},y\n")
    upload(root, s3_bucket)
    with refused(DatasetError, "not below that folder"):
        scan(storage.place(f"{s3_bucket}/data"))
    assert not any("GET" in request and "secret" in request for request in s3_faults.requests)


def test_an_object_that_is_gone_empty_or_huge(root: Path, s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kaggle(root)
    (root / "train/cat.1.jpg").write_bytes(b"")
    upload(root, s3_bucket)
    dataset = scan(storage.place(s3_bucket))
    s3fs.S3FileSystem().rm(f"{s3_bucket}/train/cat.0.jpg")
    monkeypatch.setattr(locations, "MAX_FILE_BYTES", 10)
    found = read(dataset)
    assert (found[0], found[1]) == ("no such file", b"")
    assert set(found[2:]) == {"11 bytes, more than 10"}


def test_nothing_there(s3_bucket: str) -> None:
    with refused(DatasetError, f"Nothing is stored at {s3_bucket}/nowhere. Check --data"):
        scan(storage.place(f"{s3_bucket}/nowhere"))
    with refused(DatasetError, "Nothing is stored at s3://no-such-bucket-here"):
        scan(storage.place("s3://no-such-bucket-here/data"))
    with refused(DatasetError, "No such zip"):
        scan(storage.place(f"{s3_bucket}/nothing.zip"))
    with refused(DatasetError, "Nothing is stored"):
        scan(storage.place(f"{s3_bucket}/labels.csv"))
    storage.place(f"{s3_bucket}/a.jpg").write_bytes(jpeg(0))
    with refused(DatasetError, "labels.csv is not a table: no such file. Check its name"):
        scan(storage.place(f"{s3_bucket}/labels.csv"))


class TestStamps:
    def known(self, dataset: Dataset, folder: Path) -> list[int | None]:
        digests, is_known = Stamps(folder).look(dataset.photographs)
        return [int(digest) if known else None for digest, known in zip(digests, is_known, strict=True)]

    @pytest.mark.parametrize("write", [kaggle, two_zips, record_files])
    def test_what_did_not_change_is_known_after_few_requests(
        self, root: Path, tmp_path: Path, s3_bucket: str, s3_faults: Faults, write: Callable[[Path], str]
    ) -> None:
        write(root)
        upload(root, s3_bucket)
        dataset = scan(storage.place(s3_bucket))
        remembered = Stamps(tmp_path)
        assert not remembered.look(dataset.photographs)[1].any()
        digests = list(range(len(dataset.photographs)))
        remembered.keep(np.array(digests, np.uint64), np.ones(len(digests), bool), others=False)
        s3_faults.requests.clear()
        assert self.known(dataset, tmp_path) == digests
        assert len(s3_faults.requests) == {kaggle: 1, two_zips: 2, record_files: 4}[write]

    @pytest.mark.parametrize("change", ["other content", "put again", "removed"])
    def test_one_that_changed(self, root: Path, tmp_path: Path, s3_bucket: str, change: str) -> None:
        kaggle(root)
        upload(root, s3_bucket)
        dataset = scan(storage.place(s3_bucket))
        remembered = Stamps(tmp_path)
        remembered.look(dataset.photographs)
        remembered.keep(np.arange(11, dtype=np.uint64), np.ones(11, bool), others=False)
        store, key = s3fs.S3FileSystem(), f"{s3_bucket}/train/cat.2.jpg"
        match change:
            case "other content":  # of the same size
                store.pipe_file(key, (root / "train/cat.2.jpg").read_bytes()[::-1])
            case "removed":
                store.rm(key)
        expected = [*range(11)] if change == "put again" else [0, 1, None, *range(3, 11)]
        assert self.known(dataset, tmp_path) == expected

"""TFRecord files as a data set: ids, labels and bytes are those of the photographs that were packed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catsdogs.errors import DatasetError, UnreadablePhotographError
from catsdogs.photographs import images, stamps, tfexample, tfrecord, tfrecord_writer
from catsdogs.photographs.dataset import Dataset, scan, scan_unlabelled
from tests.conftest import refused
from tests.support.datasets import class_names, ids, jpeg, write_kaggle_folder


@pytest.fixture
def source(tmp_path: Path) -> Dataset:
    return scan(write_kaggle_folder(tmp_path / "data", cats=6, dogs=5, test=4))


@pytest.fixture
def folder(source: Dataset, tmp_path: Path) -> Path:
    tfrecord_writer.write_record_files(source, tmp_path / "packed", count=3)
    return tmp_path / "packed"


def test_nothing_is_lost(source: Dataset, folder: Path) -> None:
    dataset = scan(folder)
    assert (dataset.classes, dataset.sample_submission) == (source.classes, None)
    assert [row[:3] for row in dataset.photographs] == [row[:3] for row in source.photographs]
    assert list(map(dataset.read, dataset.photographs)) == list(map(source.read, source.photographs))


@pytest.mark.parametrize("chosen", [{"holdout": 0.3}, {"classes": ["dog"]}, {"classes": ["cat"], "holdout": 0.5}])
def test_the_same_is_chosen(source: Dataset, folder: Path, chosen: dict[str, Any]) -> None:
    dataset, expected = scan(folder, **chosen), scan(source.root, **chosen)
    assert [row[:3] for row in dataset.photographs] == [row[:3] for row in expected.photographs]
    assert dataset.truth == expected.truth


def test_one_file(source: Dataset, folder: Path) -> None:
    parts = [scan(path) for path in sorted(folder.glob("train-*"))]
    assert len(parts) == 3
    found = {id: label for part in parts for id, label in class_names(part).items()}
    assert found == class_names(source)


def test_split_folders(source: Dataset, folder: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "sorted" / split).mkdir(parents=True)
        for number, path in enumerate(folder.glob(f"{split}-*")):
            path.rename(tmp_path / "sorted" / split / f"{number}.tfrec")
    dataset = scan(tmp_path / "sorted")
    assert class_names(dataset) == class_names(source) and ids(dataset, "test") == ids(source, "test")


def test_a_sample_submission_beside_them(folder: Path) -> None:
    (folder / "sample_submission.csv").write_text("id,label\n1,0.5\n")
    assert scan(folder).sample_submission == "id,label\n1,0.5\n"


def test_photographs_beside_them_come_first(source: Dataset, folder: Path) -> None:
    for path in folder.iterdir():
        path.rename(source.root / path.name)
    assert replace(scan(source.root), others=0) == source


def test_to_predict(source: Dataset, folder: Path) -> None:
    dataset = scan_unlabelled(folder)
    expected = [row.id for row in source.photographs]
    assert sorted(ids(dataset, "test")) == sorted(expected) and not dataset.of("train")


def test_to_predict_where_splits_share_ids(tmp_path: Path) -> None:
    both = tmp_path / "both"
    both.mkdir()
    for split, label in (("train", "a"), ("test", "")):
        data = tfexample.encode_example({"id": b"1", "class": label.encode(), "image": jpeg(0)})
        (both / f"{split}.tfrecord").write_bytes(tfrecord.frame(data))
    assert ids(scan_unlabelled(both), "test") == ["test/1", "train/1"]
    (both / "train.tfrecord").rename(both / "test2.tfrecord")
    with refused(DatasetError, r"both have the id 1\."):
        scan(both)


def test_their_stamps(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamps, "SETTLED_NS", -(10**12))
    dataset = scan(folder)
    digests = np.array([images.digest(dataset.read(row)) for row in dataset.photographs], np.uint64)
    remembered = stamps.Stamps(tmp_path)
    assert not remembered.look(dataset.photographs)[1].any()
    remembered.keep(digests, np.ones(len(digests), bool), others=False)
    found, known = stamps.Stamps(tmp_path).look(dataset.photographs)
    assert known.all() and found.tolist() == digests.tolist()


def test_a_file_that_is_gone(folder: Path) -> None:
    dataset = scan(folder)
    row = dataset.photographs[0]
    row.location.container.unlink()
    with refused(UnreadablePhotographError, "gone"):
        dataset.read(row)
    with refused(DatasetError, row.location.container.name):
        scan(folder)

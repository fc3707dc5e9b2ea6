"""What `shards --holdout` held out is known again wherever the shards are read: the same rows, the same truth."""

import json
from pathlib import Path

import numpy as np
import pytest

from catsdogs.competition import grading, submission
from catsdogs.errors import DatasetError
from catsdogs.features import extract
from catsdogs.front.extracting import extract_files
from catsdogs.photographs import tfrecord, tfrecord_writer
from catsdogs.photographs.dataset import Dataset, scan
from tests.conftest import refused
from tests.support.datasets import write_kaggle_folder


@pytest.fixture
def held_out(tmp_path: Path) -> Dataset:
    dataset = scan(write_kaggle_folder(tmp_path / "data", cats=8, dogs=6, test=2), holdout=0.3)
    tfrecord_writer.write_record_files(dataset, tmp_path / "shards", count=2)
    return dataset


def test_the_rows_and_the_truth_are_those_of_the_files(held_out: Dataset, tmp_path: Path) -> None:
    found = scan(tmp_path / "shards")
    assert found.truth == held_out.truth and len(found.truth) == 4
    assert [row[:3] for row in found.photographs] == [row[:3] for row in held_out.photographs]
    assert list(map(found.read, found.photographs)) == list(map(held_out.read, held_out.photographs))


def test_it_is_passed_on_and_chosen_from(held_out: Dataset, tmp_path: Path) -> None:
    tfrecord_writer.write_record_files(scan(tmp_path / "shards"), tmp_path / "copy", count=1)
    assert scan(tmp_path / "copy").truth == held_out.truth
    cats = scan(tmp_path / "copy", classes=["cat"])
    assert cats.truth == {id: label for id, label in held_out.truth.items() if label == "cat"}
    assert {row.id for row in cats.of("test")} == cats.truth.keys()
    again = scan(tmp_path / "copy", holdout=0.3)
    assert {
        row.id for row in again.of("test")
    } == again.truth.keys() and not again.truth.items() & held_out.truth.items()
    (one,) = (tmp_path / "copy").glob("test-*")
    assert scan(one).truth == held_out.truth
    (one,) = (tmp_path / "copy").glob("train-*")
    assert scan(one).truth == {}


def test_a_held_out_photograph_that_cannot_be_read_is_in_neither(tmp_path: Path) -> None:
    data = write_kaggle_folder(tmp_path / "data", cats=8, dogs=6)
    gone = next(iter(scan(data, holdout=0.3).truth))
    (data / f"train/{gone}.jpg").write_bytes(b"nothing")
    dataset = scan(data, holdout=0.3)
    tfrecord_writer.write_record_files(dataset, tmp_path / "shards")
    found = scan(tmp_path / "shards")
    assert found.truth == {id: label for id, label in dataset.truth.items() if id != gone}
    assert {row.id for row in found.of("test")} == found.truth.keys()


def test_without_a_holdout_there_is_none_and_older_sets_are_read(tmp_path: Path) -> None:
    tfrecord_writer.write_record_files(scan(write_kaggle_folder(tmp_path / "data")), tmp_path / "shards")
    assert "truth" not in json.loads((tmp_path / "shards" / tfrecord.MANIFEST).read_text())
    assert scan(tmp_path / "shards").truth == {}


@pytest.mark.parametrize("truth", [{"cat.0": "cow"}, ["cat.0"], "cat", {"cat.0": 1}])
def test_a_truth_that_cannot_be_ours(held_out: Dataset, tmp_path: Path, truth: object) -> None:
    path = tmp_path / "shards" / tfrecord.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"truth": truth}))
    with refused(DatasetError, "manifest.json is damaged"):
        scan(tmp_path / "shards")


def test_the_commands_write_the_same_truth_and_grade_takes_it(
    held_out: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = extract.Extraction(*([], {}, {}, {}, [], []))
    monkeypatch.setattr(extract, "extract", lambda *arguments: summary)
    for name, dataset in (("files", held_out), ("shards", scan(tmp_path / "shards"))):
        extract_files(dataset, [], tmp_path / name, extract.Settings())
    truth = tmp_path / "shards/truth.csv"
    assert truth.read_bytes() == (tmp_path / "files/truth.csv").read_bytes()
    certain = np.array([[label == name for name in held_out.classes] for label in held_out.truth.values()], float)
    submission.write_submission(tmp_path / "s.csv", list(held_out.truth), certain, held_out.classes, None, {})
    assert grading.grade_submission(tmp_path / "s.csv", truth, held_out.classes).accuracy == 1

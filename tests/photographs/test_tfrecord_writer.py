"""TFRecord files of ours: what is written, in which order, and what a killed writer leaves."""

import io
import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from catsdogs.errors import DatasetError, StoreError, UsageError
from catsdogs.photographs import images, tfrecord_writer
from catsdogs.photographs.dataset import scan
from catsdogs.photographs.tfrecord import MANIFEST, UNFINISHED, records
from tests.conftest import refused
from tests.support.datasets import jpeg, write_kaggle_folder
from tests.support.tfrecords import originals, pictures, row, rows, write_file
from tests.support.tfrecords import tf as tf


@pytest.mark.parametrize("count", [1, 3, None])
def test_round_trip_bit_for_bit(tmp_path: Path, count: int | None) -> None:
    dataset = scan(write_kaggle_folder(tmp_path / "data", cats=7, dogs=5, test=4))
    summary = tfrecord_writer.write_record_files(dataset, tmp_path / "out", count, None)
    found = records(tmp_path / "out")
    assert pictures(found) == originals(dataset) and len(found) == 16
    labels = {record.id: record.label for record in found if record.split == "train"}
    assert labels == {row.id: dataset.classes[row.label] for row in dataset.of("train")}
    assert {record.label for record in found if record.split == "test"} == {""}
    train = [file for file in summary.files if file.split == "train"]
    assert [file.file for file in train] == [f"train-{k:05d}-of-{count or 1:05d}.tfrecord" for k in range(count or 1)]
    assert all((tmp_path / "out" / file.file).stat().st_size == file.bytes for file in summary.files)
    assert summary.odd_sizes == summary.files and not summary.unreadable  # a few small JPEGs are no ten megabytes
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [MANIFEST, *(file.file for file in summary.files)]
    )
    again = scan(tmp_path / "out")
    assert again.classes == dataset.classes and originals(again) == originals(dataset)
    assert [row[:3] for row in again.photographs] == [row[:3] for row in dataset.photographs]
    assert tfrecord_writer.write_record_files(again, tmp_path / "copy", count).files == summary.files
    alone = tmp_path / "out" / train[0].file
    assert records(alone) == [record for record in found if record.path == alone]


def test_tensorflow_reads_ours(tf: Any, tmp_path: Path) -> None:
    dataset = scan(write_kaggle_folder(tmp_path / "data"))
    tfrecord_writer.write_record_files(dataset, tmp_path / "out", 2)
    of = {"id": tf.io.FixedLenFeature([], tf.string), "image": tf.io.FixedLenFeature([], tf.string)}
    labelled = of | {"class": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    seen = {}
    for split, features in (("train", labelled), ("test", of)):
        files = [str(path) for path in (tmp_path / "out").glob(f"{split}-*")]
        for data in tf.data.TFRecordDataset(files):
            example = {name: value.numpy() for name, value in tf.io.parse_single_example(data, features).items()}
            seen[split, example["id"].decode()] = example["image"]
            if split == "train":
                assert dataset.classes[example["label"]] == example["class"].decode()
                assert example["id"].startswith(example["class"])
    assert seen == originals(dataset)


def test_the_lines_for_a_notebook(tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs/tfrecord.md").read_text(encoding="utf-8")
    tfrecord_writer.write_record_files(scan(write_kaggle_folder(tmp_path / "data")), tmp_path / "shards", 2)
    monkeypatch.chdir(tmp_path)
    notebook: dict[str, Any] = {}
    exec(text.split("```python\n")[1].split("```")[0], notebook)
    ((images, labels),) = list(notebook["dataset"])
    assert images.shape == (8, 224, 224, 3) and sorted(labels.numpy()) == [0] * 4 + [1] * 4


def test_the_order_is_mixed_and_needs_no_seed(tmp_path: Path) -> None:
    dataset = scan(write_kaggle_folder(tmp_path / "data", cats=40, dogs=40, test=8))
    first = tfrecord_writer.write_record_files(dataset, tmp_path / "one", 4)
    second = tfrecord_writer.write_record_files(dataset, tmp_path / "two", 4)
    assert first.files == second.files  # with the hash of each file
    assert [file.rows for file in first.files] == [20] * 4 + [8]
    for file in first.files[:4]:
        labels = [record.label for record in records(tmp_path / "one" / file.file)]
        assert sum(here != next for here, next in itertools.pairwise(labels)) > 1  # in no blocks


def test_resized_pictures_are_those_of_the_program(tmp_path: Path) -> None:
    dataset = scan(write_kaggle_folder(tmp_path / "data", cats=1, dogs=1, test=1))
    tfrecord_writer.write_record_files(dataset, tmp_path / "out", None, 32)
    found = pictures(records(tmp_path / "out"))
    for key, photograph in dataset.by_key.items():
        picture = Image.open(io.BytesIO(found[key]))
        assert (picture.format, picture.size, picture.mode) == ("JPEG", (32, 32), "RGB")
        exact = images.square(dataset.read(photograph), 32).astype(int)
        assert np.abs(np.asarray(picture) - exact).mean() < 12  # grey levels: noise in colours


def test_unreadable_photographs_are_listed_and_left_out(tmp_path: Path) -> None:
    data = write_kaggle_folder(tmp_path / "data")
    (data / "train" / "cat.1.jpg").write_bytes(b"")
    (data / "test" / "2.jpg").write_bytes(jpeg(1)[:-200])
    summary = tfrecord_writer.write_record_files(scan(data), tmp_path / "out", 2)
    assert {row[:2] for row in summary.unreadable} == {("train", "cat.1"), ("test", "2")}
    kept = {record[:2][::-1] for record in records(tmp_path / "out")}
    assert len(kept) == 9 and not kept & {row[:2] for row in summary.unreadable}
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert sorted(map(tuple, manifest["unreadable"])) == sorted(summary.unreadable)
    for path in data.rglob("*.jpg"):
        path.write_bytes(b"nothing")
    with refused(DatasetError, "Not one photograph"):
        tfrecord_writer.write_record_files(scan(data), tmp_path / "out", 2)
    with refused(DatasetError, "are unfinished"):
        records(tmp_path / "out")


def test_another_set_takes_the_place_of_the_whole_earlier_one(tmp_path: Path) -> None:
    dataset, out = scan(write_kaggle_folder(tmp_path / "data")), tmp_path / "out"
    tfrecord_writer.write_record_files(dataset, out, 4)
    (out / "notes.txt").write_text("mine")
    (out / ".train-00000-of-00007.tfrecord.77.tmp").write_text("of a killed run")
    tfrecord_writer.write_record_files(dataset, out, 2)
    assert sorted(path.name for path in out.iterdir()) == [
        MANIFEST,
        "notes.txt",
        "test-00000-of-00001.tfrecord",
        *(f"train-0000{k}-of-00002.tfrecord" for k in (0, 1)),
    ]
    write_file(out, b"left over", "train-00003-of-00004.tfrecord")  # the manifest is believed
    assert pictures(records(out)) == originals(dataset)


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    data = write_kaggle_folder(tmp_path / "data")
    foreign = write_file(tmp_path / "theirs", rows(row(1)), "train/flowers.tfrec")
    (tmp_path / "theirs" / MANIFEST).write_text('{"format": "web app"}')
    with refused(StoreError, "holds shards that are not of this program"):
        tfrecord_writer.write_record_files(scan(data), tmp_path / "theirs", 1)
    assert foreign.exists() and len(records(tmp_path / "theirs")) == 1
    for out in (data, data / "train"):
        with refused(UsageError, "The data set itself lies in"):
            tfrecord_writer.write_record_files(scan(data), out, 1)
    for count, size in ((0, None), (-1, None), (9, None), (1, 0), (1, 10**6)):
        with refused(UsageError, "shards can be made|--size"):
            tfrecord_writer.write_record_files(scan(data), tmp_path / "out", count, size)
    assert not (tmp_path / "out").exists()


WRITER_KILLED_AT = """
import os, signal, sys
from pathlib import Path
from catsdogs.photographs import tfrecord_writer
from catsdogs.photographs.dataset import scan

left, frame = int(sys.argv[3]), tfrecord_writer.frame
def mortal(data):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return frame(data)
tfrecord_writer.frame = mortal
tfrecord_writer.write_record_files(scan(Path(sys.argv[1])), Path(sys.argv[2]), 8)
"""


@pytest.mark.parametrize(("records_before", "whole_files"), [(0, 0), (20, 4), (44, 8)])
def test_a_killed_writer_leaves_nothing_that_passes_for_a_set(
    tmp_path: Path, records_before: int, whole_files: int
) -> None:
    data, out = write_kaggle_folder(tmp_path / "data", cats=20, dogs=20, test=5), tmp_path / "out"
    tfrecord_writer.write_record_files(scan(data), out, 2)  # an earlier set, which does not shine through
    command = [sys.executable, "-c", WRITER_KILLED_AT, str(data), str(out), str(records_before)]
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == -signal.SIGKILL
    assert (out / UNFINISHED).exists() and not (out / MANIFEST).exists()
    with refused(DatasetError, "are unfinished"):
        records(out)
    left = sorted(out.glob("*.tfrecord"))
    assert [path.name for path in left] == [f"train-{k:05d}-of-00008.tfrecord" for k in range(whole_files)]
    for path in left:
        assert len(records(path.rename(tmp_path / path.name))) == 5  # what has its name is whole
        (tmp_path / path.name).rename(path)
    summary = tfrecord_writer.write_record_files(scan(data), out, 3)
    assert sorted(path.name for path in out.iterdir()) == sorted([MANIFEST, *(file.file for file in summary.files)])
    assert pictures(records(out)) == originals(scan(data))


def test_the_shared_photographs(shared_photographs: Path, tmp_path: Path) -> None:
    dataset = scan(shared_photographs)
    summary = tfrecord_writer.write_record_files(dataset, tmp_path, None, 64)
    assert [file.rows for file in summary.files] == [1600 - sum(r[0] == "train" for r in summary.unreadable), 400]
    found = records(tmp_path)
    assert {record.label for record in found} == {"", *dataset.classes}
    assert {(record.split, record.id) for record in found} <= set(dataset.by_key)

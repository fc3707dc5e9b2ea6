"""TFRecord files, ours and TensorFlow's, whole and damaged, and the manifest of a set; TensorFlow is the oracle."""

import gzip
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from catsdogs.errors import DatasetError, UnreadablePhotographError
from catsdogs.photographs import tfexample, tfrecord, tfrecord_writer
from catsdogs.photographs.dataset import scan
from catsdogs.photographs.tfrecord import MANIFEST, frame, read_photograph, records
from tests.conftest import refused
from tests.support.datasets import write_kaggle_folder
from tests.support.tfrecords import originals, pictures, row, rows, write_file, written_by
from tests.support.tfrecords import tf as tf

PICTURE = b"some picture" * 500


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"image": PICTURE, "class": 7, "id": b"a1"}, ("a1", "train", "7")),  # flowers on a TPU
        ({"image": PICTURE, "id": b"a1"}, ("a1", "test", "")),
        ({"image": PICTURE, "image_name": b"ISIC_1", "target": 0}, ("ISIC_1", "train", "0")),  # melanoma
        (
            {
                "image/encoded": PICTURE,
                "image/class/label": 3,
                "image/class/text": b"tench",
                "image/filename": b"n01/n01_5.JPEG",
            },
            ("n01/n01_5", "train", "tench"),
        ),
        ({"image/encoded": PICTURE, "image/class/label": 3}, ("some-1", "train", "3")),
        ({"image": PICTURE, "label": b"dog", "id": 12}, ("12", "train", "dog")),
        ({"image": PICTURE, "label": -1, "id": b""}, ("some-1", "test", "")),
    ],
)
def test_we_read_what_others_wrote(
    tf: Any, tmp_path: Path, features: dict[str, bytes | int], expected: tuple[str, str, str]
) -> None:
    path = tmp_path / "some.tfrec"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(written_by(tf, features | {"width": 500, "height": 375, "colorspace": b"RGB"}))
    (found,) = records(tmp_path)
    assert found[:3] == expected
    assert read_photograph(*found[3:]) == PICTURE


@given(data=st.lists(st.binary(max_size=99), max_size=4))
def test_frames_as_tensorflow_has_them(tf: Any, tmp_path_factory: pytest.TempPathFactory, data: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("frames") / "shard"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for each in data:
            writer.write(each)
    assert path.read_bytes() == b"".join(map(frame, data))


def test_a_file_cut_at_every_byte_is_one_line(tmp_path: Path) -> None:
    data = rows(row(1), row(2), row(3))
    ends = {len(rows(*(row(n) for n in range(1, k + 1)))): k for k in range(4)}
    for stop in range(len(data)):
        path = write_file(tmp_path, data[:stop])
        if stop in ends:  # only a manifest can tell
            assert len(records(path)) == ends[stop]
        else:
            whole = sum(end <= stop for end in ends)
            with refused(DatasetError, rf"some\.tfrecord, record {whole}: it is cut short"):
                records(path)


def test_a_written_file_cut_at_every_byte_is_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for n in range(2):
        path = data / "train" / f"{('cat', 'dog')[n]}.{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (n, 0, 0)).save(path)
    (written,) = tfrecord_writer.write_record_files(scan(data), tmp_path / "out", 1).files
    path = tmp_path / "out" / written.file
    whole = path.read_bytes()
    for stop in range(len(whole)):
        path.write_bytes(whole[:stop])
        with refused(DatasetError, rf"{written.file} has {stop} bytes, where manifest.json says {len(whole)}"):
            records(tmp_path / "out")
    path.unlink()
    with refused(DatasetError, f"{written.file} is missing"):
        records(tmp_path / "out")


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    """Where listing passes over it, reading does not."""
    data = rows(row(1), row(2))
    for at in range(len(data)):
        path = write_file(tmp_path, data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            found = records(path)
        except DatasetError as error:
            assert "some.tfrecord, record" in str(error) and "\n" not in str(error)
            continue
        damaged = at // (len(data) // 2)
        with refused(UnreadablePhotographError, "its record in some.tfrecord is damaged"):
            read_photograph(*found[damaged][3:])
        assert read_photograph(*found[1 - damaged][3:]) == b"picture %d" % (2 - damaged)


@given(st.binary(max_size=400), st.integers(0, 200))
@settings(max_examples=200)
def test_any_bytes_are_a_file_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int) -> None:
    sound = rows(row(1), row(2))
    for content in (data, sound[:cut] + data, sound + frame(data)):
        path = write_file(tmp_path_factory.mktemp("any"), content)
        try:
            found = records(path)
        except DatasetError:
            continue
        for record in found:
            try:
                read_photograph(*record[3:])
            except UnreadablePhotographError:
                continue


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (struct.pack("<Q", 2**62) + frame(b"")[8:], "record 1: the checksum of its length is wrong"),
        (tfrecord._HEAD.pack(2**62, tfrecord._masked_crc(struct.pack("<Q", 2**62))), "claims 4,611,.* more than"),
        (rows(row(1)) + frame(b""), "record 2: it holds no picture"),
        (frame(tfexample.encode_example({"text": b"no picture"})), "record 1: it holds no picture"),
        (frame(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), "record 1: not a tf.train.Example"),
        (frame(b"\x0b" * 40), "record 1: not a tf.train.Example"),
        (frame(b"\x08\x00" * 10**6), "record 1: cut into too many pieces"),
        (rows({"id": b"\xff", "image": b"x"}), "record 1: a name that is not UTF-8"),
        (rows({"class": b"x" * 5000, "image": b"x"}), "record 1: 5,000 bytes where a name should be"),
        (gzip.compress(rows(row(1)), mtime=0), "is compressed. Unpack it: gunzip"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "the checksum of its length is wrong"),
    ],
)
def test_hostile_files_are_one_line(tmp_path: Path, data: bytes, match: str) -> None:
    with refused(DatasetError, match):
        records(write_file(tmp_path, data))


def test_a_damaged_or_vanished_record_is_unreadable(tmp_path: Path) -> None:
    path = write_file(tmp_path, rows(row(1)))
    (record,) = records(path)
    for offset, length in ((0, record.length - 1), (0, record.length + 1), (1, record.length), (10**9, 99)):
        with refused(UnreadablePhotographError, "damaged"):
            read_photograph(path, offset, length)
    with refused(UnreadablePhotographError, "a record of 999,999,999 bytes"):
        read_photograph(path, 0, 999_999_999)
    path.unlink()
    with refused(UnreadablePhotographError, "gone"):
        read_photograph(*record[3:])


def test_splits_follow_labels_files_and_folders(tmp_path: Path) -> None:
    labelled, unlabelled = rows(row(1)), rows({"id": b"1", "image": b"x"})
    write_file(tmp_path, labelled, "train/00-1.tfrec")
    write_file(tmp_path, labelled, "test/00-1.tfrec")
    write_file(tmp_path, labelled, "Test-0.TFRECORDS")
    write_file(tmp_path, unlabelled, "more.tfrecord")
    write_file(tmp_path, b"other", "val/00.tfrec")
    write_file(tmp_path, b"hidden", ".train.tfrec")
    (tmp_path / "folder.tfrec").mkdir()
    splits = {
        record.path.relative_to(tmp_path).as_posix(): (record.split, record.label) for record in records(tmp_path)
    }
    test = ("test", "")
    assert splits == {
        "train/00-1.tfrec": ("train", "cat"),
        "test/00-1.tfrec": test,
        "Test-0.TFRECORDS": test,
        "more.tfrecord": test,
    }


def test_a_folder_called_test_may_hold_a_whole_set(tmp_path: Path) -> None:
    dataset = scan(write_kaggle_folder(tmp_path / "data"))
    tfrecord_writer.write_record_files(dataset, tmp_path / "test", 1)
    assert pictures(records(tmp_path / "test")) == originals(dataset)


@pytest.mark.parametrize("total", ["3", "00003", "99999"])
def test_without_a_manifest_the_names_say_what_is_missing(tmp_path: Path, total: str) -> None:
    for number in (0, 2):
        write_file(tmp_path, rows(row(number)), f"flowers-{number:0{len(total)}d}-of-{total}.tfrecord")
    with refused(DatasetError, f"lacks flowers-0*1-of-{total}.tfrecord, one of {int(total)} shards"):
        records(tmp_path)


def test_no_files(tmp_path: Path) -> None:
    with refused(DatasetError, "holds no shards"):
        records(tmp_path)
    with refused(DatasetError, "cannot be read"):
        records(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 99},
        {"shards": []},
        {"shards": [{"file": "../data/train-00000-of-00001.tfrecord"}]},
        {"shards": None},
        {"classes": None},
        {"classes": ["dog"]},
        {"shards": [{"file": "train-00000-of-00001.tfrecord", "rows": float("inf"), "bytes": 1, "sha256": ""}]},
    ],
)
def test_a_damaged_manifest_is_one_line(tmp_path: Path, change: dict[str, object]) -> None:
    tfrecord_writer.write_record_files(scan(write_kaggle_folder(tmp_path / "data")), tmp_path / "out", 1)
    path = tmp_path / "out" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with refused(DatasetError, MANIFEST):
        records(tmp_path / "out")
    path.write_text("[" * 10**5)
    with refused(DatasetError, "is damaged"):
        records(tmp_path / "out")

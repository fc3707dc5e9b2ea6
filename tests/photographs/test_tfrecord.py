"""TFRecord shards: ours and TensorFlow's, whole and damaged; TensorFlow itself is the oracle."""

import gzip
import io
import itertools
import json
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from catsdogs.errors import DatasetError, StoreError, UnreadablePhotographError, UsageError
from catsdogs.photographs import images, tfexample, tfrecord, tfrecord_writer
from catsdogs.photographs.dataset import Dataset, scan
from catsdogs.photographs.tfexample import NoExampleError, Span
from catsdogs.photographs.tfrecord import MANIFEST, UNFINISHED, Record, frame, read_photograph, records
from tests.conftest import jpeg, refused, write_kaggle_folder

PICTURE = b"some picture" * 500
NAMES = st.text("abc/é", min_size=1, max_size=9)
VALUES = st.binary(max_size=300) | st.integers(-(2**63), 2**63 - 1)


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow")


def pictures(found: Sequence[Record]) -> dict[tuple[str, str], bytes]:
    return {(record.split, record.id): read_photograph(record.path, record.offset, record.length) for record in found}


def originals(dataset: Dataset) -> dict[tuple[str, str], bytes]:
    return {(row.split, row.id): dataset.read(row) for row in dataset.photographs}


def rows(*examples: dict[str, bytes | int]) -> bytes:
    """A shard of such features."""
    return b"".join(frame(tfexample.encode_example(features)) for features in examples)


def row(number: int, **features: bytes | int) -> dict[str, bytes | int]:
    return {"id": b"%d" % number, "class": b"cat", **features, "image": b"picture %d" % number}


def one_shard(folder: Path, data: bytes, name: str = "some.tfrecord") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("count", [1, 3, None])
def test_round_trip_bit_for_bit(tmp_path: Path, count: int | None) -> None:
    dataset = scan(write_kaggle_folder(tmp_path / "data", cats=7, dogs=5, test=4))
    summary = tfrecord_writer.write_record_files(dataset, tmp_path / "out", count, None)
    found = records(tmp_path / "out")
    assert pictures(found) == originals(dataset) and len(found) == 16
    labels = {record.id: record.label for record in found if record.split == "train"}
    assert labels == {row.id: dataset.classes[row.label] for row in dataset.of("train")}
    assert {record.label for record in found if record.split == "test"} == {""}
    train = [shard for shard in summary.files if shard.split == "train"]
    assert [shard.file for shard in train] == [f"train-{k:05d}-of-{count or 1:05d}.tfrecord" for k in range(count or 1)]
    assert all((tmp_path / "out" / shard.file).stat().st_size == shard.bytes for shard in summary.files)
    assert summary.odd_sizes == summary.files and not summary.unreadable  # a few small JPEGs are no ten megabytes
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [MANIFEST, *(shard.file for shard in summary.files)]
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


def written_by(tf: Any, features: dict[str, bytes | int]) -> bytes:
    """TensorFlow's message, with a list of floats that nobody asks for."""
    all_of_them = {"bbox": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5, 0.25]))}
    for name, value in features.items():
        if isinstance(value, bytes):
            all_of_them[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value, b"second"]))
        else:
            all_of_them[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[value, 77]))
    return tf.train.Example(features=tf.train.Features(feature=all_of_them)).SerializeToString()


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_messages_as_tensorflow_has_them(tf: Any, features: dict[str, bytes | int]) -> None:
    theirs = tf.train.Example.FromString(tfexample.encode_example(features)).features.feature
    assert {name: [*value.bytes_list.value, *value.int64_list.value] for name, value in theirs.items()} == {
        name: [value] for name, value in features.items()
    }
    assert decoded(written_by(tf, features)) == decoded(tfexample.encode_example(features)) == features


def test_integers_that_are_not_packed(tf: Any) -> None:
    message = tfexample.encode_example({"label": 5})
    unpacked = message.replace(b"\x0a\x01\x05", b"\x08\x85\x00")  # the list's one number, and as long as before
    assert list(tf.train.Example.FromString(unpacked).features.feature["label"].int64_list.value) == [5]
    assert unpacked != message and decoded(unpacked) == decoded(message) == {"label": 5}


class Everything:
    """Holds whatever is asked for."""

    def __contains__(self, name: object) -> bool:
        return name != "bbox"


def decoded(message: bytes) -> dict[str, bytes | int]:
    found = tfexample.read_example(io.BytesIO(message), Span(0, len(message)), Everything())
    return {
        name: message[value.start : value.stop] if isinstance(value, Span) else value for name, value in found.items()
    }


@given(data=st.lists(st.binary(max_size=99), max_size=4))
def test_frames_as_tensorflow_has_them(tf: Any, tmp_path_factory: pytest.TempPathFactory, data: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("frames") / "shard"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for each in data:
            writer.write(each)
    assert path.read_bytes() == b"".join(map(frame, data))


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_are_an_example_or_refused(data: bytes) -> None:
    sound = tfexample.encode_example({"id": b"1", "label": 3, "image": b"x"})
    for message in (data, sound[: len(data) % len(sound)] + data):
        try:
            found = decoded(message)
        except NoExampleError:
            continue
        assert sum(len(value) for value in found.values() if isinstance(value, bytes)) <= len(message) * len(found)


def test_a_shard_cut_at_every_byte_is_one_line(tmp_path: Path) -> None:
    data = rows(row(1), row(2), row(3))
    ends = {len(rows(*(row(n) for n in range(1, k + 1)))): k for k in range(4)}
    for stop in range(len(data)):
        path = one_shard(tmp_path, data[:stop])
        if stop in ends:  # only a manifest can tell
            assert len(records(path)) == ends[stop]
        else:
            whole = sum(end <= stop for end in ends)
            with refused(DatasetError, rf"some\.tfrecord, record {whole}: it is cut short"):
                records(path)


def test_a_written_shard_cut_at_every_byte_is_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for n in range(2):
        path = data / "train" / f"{('cat', 'dog')[n]}.{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (n, 0, 0)).save(path)
    (shard,) = tfrecord_writer.write_record_files(scan(data), tmp_path / "out", 1).files
    path = tmp_path / "out" / shard.file
    whole = path.read_bytes()
    for stop in range(len(whole)):
        path.write_bytes(whole[:stop])
        with refused(DatasetError, rf"{shard.file} has {stop} bytes, where manifest.json says {len(whole)}"):
            records(tmp_path / "out")
    path.unlink()
    with refused(DatasetError, f"{shard.file} is missing"):
        records(tmp_path / "out")


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    """Where listing passes over it, reading does not."""
    data = rows(row(1), row(2))
    for at in range(len(data)):
        path = one_shard(tmp_path, data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
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
def test_any_bytes_are_a_shard_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int) -> None:
    sound = rows(row(1), row(2))
    for content in (data, sound[:cut] + data, sound + frame(data)):
        path = one_shard(tmp_path_factory.mktemp("any"), content)
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
def test_hostile_shards_are_one_line(tmp_path: Path, data: bytes, match: str) -> None:
    with refused(DatasetError, match):
        records(one_shard(tmp_path, data))


def test_a_damaged_or_vanished_record_is_unreadable(tmp_path: Path) -> None:
    path = one_shard(tmp_path, rows(row(1)))
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
    one_shard(tmp_path, labelled, "train/00-1.tfrec")
    one_shard(tmp_path, labelled, "test/00-1.tfrec")
    one_shard(tmp_path, labelled, "Test-0.TFRECORDS")
    one_shard(tmp_path, unlabelled, "more.tfrecord")
    one_shard(tmp_path, b"other", "val/00.tfrec")
    one_shard(tmp_path, b"hidden", ".train.tfrec")
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
        one_shard(tmp_path, rows(row(number)), f"flowers-{number:0{len(total)}d}-of-{total}.tfrecord")
    with refused(DatasetError, f"lacks flowers-0*1-of-{total}.tfrecord, one of {int(total)} shards"):
        records(tmp_path)


def test_no_shards(tmp_path: Path) -> None:
    with refused(DatasetError, "holds no shards"):
        records(tmp_path)
    with refused(DatasetError, "cannot be read"):
        records(tmp_path / "nowhere")


def test_the_order_is_mixed_and_needs_no_seed(tmp_path: Path) -> None:
    dataset = scan(write_kaggle_folder(tmp_path / "data", cats=40, dogs=40, test=8))
    first = tfrecord_writer.write_record_files(dataset, tmp_path / "one", 4)
    second = tfrecord_writer.write_record_files(dataset, tmp_path / "two", 4)
    assert first.files == second.files  # with the hash of each file
    assert [shard.rows for shard in first.files] == [20] * 4 + [8]
    for shard in first.files[:4]:
        labels = [record.label for record in records(tmp_path / "one" / shard.file)]
        assert sum(here != next for here, next in itertools.pairwise(labels)) > 1  # in no blocks


def test_resized_pictures_are_those_of_the_program(tmp_path: Path) -> None:
    dataset = scan(write_kaggle_folder(tmp_path / "data", cats=1, dogs=1, test=1))
    tfrecord_writer.write_record_files(dataset, tmp_path / "out", None, 32)
    found = pictures(records(tmp_path / "out"))
    for key, photograph in dataset.by_key.items():
        picture = Image.open(io.BytesIO(found[key]))
        assert (picture.format, picture.size, picture.mode) == ("JPEG", (32, 32), "RGB")
        exact = images.load(dataset.read(photograph), {32}).by_size[32].astype(int)
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
    one_shard(out, b"left over", "train-00003-of-00004.tfrecord")  # the manifest is believed
    assert pictures(records(out)) == originals(dataset)


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    data = write_kaggle_folder(tmp_path / "data")
    theirs = one_shard(tmp_path / "theirs", rows(row(1)), "train/flowers.tfrec")
    (tmp_path / "theirs" / MANIFEST).write_text('{"format": "web app"}')
    with refused(StoreError, "holds shards that are not of this program"):
        tfrecord_writer.write_record_files(scan(data), tmp_path / "theirs", 1)
    assert theirs.exists() and len(records(tmp_path / "theirs")) == 1
    for out in (data, data / "train"):
        with refused(UsageError, "The data set itself lies in"):
            tfrecord_writer.write_record_files(scan(data), out, 1)
    for count, size in ((0, None), (-1, None), (9, None), (1, 0), (1, 10**6)):
        with refused(UsageError, "shards can be made|--size"):
            tfrecord_writer.write_record_files(scan(data), tmp_path / "out", count, size)
    assert not (tmp_path / "out").exists()


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
tfrecord_writer.write(scan(Path(sys.argv[1])), Path(sys.argv[2]), 8)
"""


@pytest.mark.parametrize(("records_before", "whole_shards"), [(0, 0), (20, 4), (44, 8)])
def test_a_killed_writer_leaves_nothing_that_passes_for_a_set(
    tmp_path: Path, records_before: int, whole_shards: int
) -> None:
    data, out = write_kaggle_folder(tmp_path / "data", cats=20, dogs=20, test=5), tmp_path / "out"
    tfrecord_writer.write_record_files(scan(data), out, 2)  # an earlier set, which does not shine through
    command = [sys.executable, "-c", WRITER_KILLED_AT, str(data), str(out), str(records_before)]
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == -signal.SIGKILL
    assert (out / UNFINISHED).exists() and not (out / MANIFEST).exists()
    with refused(DatasetError, "are unfinished"):
        records(out)
    shards = sorted(out.glob("*.tfrecord"))
    assert [path.name for path in shards] == [f"train-{k:05d}-of-00008.tfrecord" for k in range(whole_shards)]
    for path in shards:
        assert len(records(path.rename(tmp_path / path.name))) == 5  # what has its name is whole
        (tmp_path / path.name).rename(path)
    summary = tfrecord_writer.write_record_files(scan(data), out, 3)
    assert sorted(path.name for path in out.iterdir()) == sorted([MANIFEST, *(shard.file for shard in summary.files)])
    assert pictures(records(out)) == originals(scan(data))


def test_the_shared_photographs(shared_photographs: Path, tmp_path: Path) -> None:
    dataset = scan(shared_photographs)
    summary = tfrecord_writer.write_record_files(dataset, tmp_path, None, 64)
    assert [shard.rows for shard in summary.files] == [1600 - sum(r[0] == "train" for r in summary.unreadable), 400]
    found = records(tmp_path)
    assert {record.label for record in found} == {"", *dataset.classes}
    assert {(record.split, record.id) for record in found} <= set(dataset.by_key)

"""Labels and ids in TFRecord files of others: numbers of other ranges and kinds, names with dots."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import DatasetError
from catsdogs.photographs import tfexample
from catsdogs.photographs.dataset import scan
from catsdogs.photographs.tfrecord import frame, records
from tests.conftest import refused
from tests.support.datasets import jpeg


def with_floats(values: list[float], is_packed: bool, name: str = "label") -> bytes:
    """An `Example` with a picture and a FloatList, see https://protobuf.dev/programming-guides/encoding/#packed."""
    floats = [struct.pack("<f", value) for value in values]
    inside = tfexample._field(1, b"".join(floats)) if is_packed else b"".join(b"\x0d" + value for value in floats)
    entry = tfexample._field(1, name.encode()) + tfexample._field(2, tfexample._field(2, inside))
    features = tfexample._field(1, tfexample._field(1, entry))
    return features + tfexample.encode_example({"id": b"1", "image": jpeg(0)})


def record_file(folder: Path, *examples: bytes) -> Path:
    path = folder / "some.tfrec"
    path.write_bytes(b"".join(map(frame, examples)))
    return path


@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize(("value", "label"), [(1.0, "1"), (0.0, "0"), (7.0, "7"), (-1.0, "")])
def test_a_label_that_is_a_float_is_a_label(tmp_path: Path, value: float, label: str, is_packed: bool) -> None:
    (record,) = records(record_file(tmp_path, with_floats([value, 5.0], is_packed)))
    assert (record.label, record.split) == (label, "train" if label else "test")


@pytest.mark.parametrize("value", [0.5, float("nan"), float("inf"), 1e-9])
def test_a_measurement_is_no_class(tmp_path: Path, value: float) -> None:
    with refused(DatasetError, r"some\.tfrec, record 1: its label is .*, which is neither a class nor an id"):
        records(record_file(tmp_path, with_floats([value], True)))


def test_floats_that_nobody_asks_for_and_empty_lists(tmp_path: Path) -> None:
    assert records(record_file(tmp_path, with_floats([0.5], True, "bbox")))[0].split == "test"
    for is_packed in (True, False):
        assert records(record_file(tmp_path, with_floats([], is_packed)))[0].split == "test"


@given(st.binary(max_size=12), st.binary(max_size=9))
def test_any_list_of_floats_is_one_or_refused(
    tmp_path_factory: pytest.TempPathFactory, inside: bytes, rest: bytes
) -> None:
    entry = tfexample._field(1, b"label") + tfexample._field(2, tfexample._field(2, inside) + rest)
    data = tfexample._field(1, tfexample._field(1, entry)) + tfexample.encode_example({"image": b"x"})
    try:
        records(record_file(tmp_path_factory.mktemp("floats"), data))
    except DatasetError as error:
        assert "\n" not in str(error)


def test_file_names_with_dots_stay_apart(tmp_path: Path) -> None:
    names = ["1.2.826.0.1", "1.2.826.0.2.jpg", "n01/n01_5.JPEG", "cat.0"]
    examples = [
        tfexample.encode_example({"image/filename": name.encode(), "class": b"ab"[n % 2 : n % 2 + 1], "image": jpeg(n)})
        for n, name in enumerate(names)
    ]
    dataset = scan(record_file(tmp_path, *examples))
    assert {row.id for row in dataset.photographs} == {"1.2.826.0.1", "1.2.826.0.2", "n01/n01_5", "cat.0"}


@pytest.mark.parametrize("train", ["train", "training_set", "Train"])
def test_files_in_a_third_split_are_not_left_out_in_silence(tmp_path: Path, train: str) -> None:
    example = {"image": jpeg(0), "class": b"cat"}
    for folder in (train, "val", train.replace("train", "test").replace("Train", "Test").replace("testing", "test")):
        (tmp_path / folder).mkdir()
        record_file(tmp_path / folder, tfexample.encode_example({"id": folder.encode(), **example}))
    dataset = scan(tmp_path)
    assert [row.id for row in dataset.of("train")] == [train] and len(dataset.of("test")) == 1
    assert dataset.notes == ("left out, for they are in no folder train/ or test/: 1 shards, val/some.tfrec",)

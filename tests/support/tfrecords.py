"""TFRecord files and their records, built and read back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from catsdogs.photographs import tfexample
from catsdogs.photographs.dataset import Dataset
from catsdogs.photographs.tfrecord import Record, frame, read_photograph


@pytest.fixture(scope="module")
def tf() -> Any:
    """TensorFlow; the test is skipped without it."""
    return pytest.importorskip("tensorflow")


def pictures(listing: Sequence[Record]) -> dict[tuple[str, str], bytes]:
    """(split, id) -> the picture in the record."""
    return {(record.split, record.id): read_photograph(record.path, record.offset, record.length) for record in listing}


def originals(dataset: Dataset) -> dict[tuple[str, str], bytes]:
    """(split, id) -> the bytes of the photograph."""
    return {(row.split, row.id): dataset.read(row) for row in dataset.photographs}


def rows(*examples: dict[str, bytes | int]) -> bytes:
    """A TFRecord file of such features."""
    return b"".join(frame(tfexample.encode_example(features)) for features in examples)


def row(number: int, **features: bytes | int) -> dict[str, bytes | int]:
    """The features of a small training record."""
    return {"id": b"%d" % number, "class": b"cat", **features, "image": b"picture %d" % number}


def write_file(folder: Path, data: bytes, name: str = "some.tfrecord") -> Path:
    """A file of these bytes in a folder that is made if need be."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def written_by(tf: Any, features: dict[str, bytes | int]) -> bytes:
    """TensorFlow's message, with a list of floats that nobody asks for."""
    all_of_them = {"bbox": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5, 0.25]))}
    for name, value in features.items():
        if isinstance(value, bytes):
            all_of_them[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value, b"second"]))
        else:
            all_of_them[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[value, 77]))
    return tf.train.Example(features=tf.train.Features(feature=all_of_them)).SerializeToString()

"""`tf.train.Example` messages: encoded and read as TensorFlow does, the oracle, and any bytes read or refused."""

import io
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from catsdogs.photographs import tfexample
from catsdogs.photographs.tfexample import NoExampleError, Span
from tests.support.tfrecords import tf as tf
from tests.support.tfrecords import written_by

NAMES = st.text("abc/é", min_size=1, max_size=9)
VALUES = st.binary(max_size=300) | st.integers(-(2**63), 2**63 - 1)


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_messages_as_tensorflow_has_them(tf: Any, features: dict[str, bytes | int]) -> None:
    parsed = tf.train.Example.FromString(tfexample.encode_example(features)).features.feature
    assert {name: [*value.bytes_list.value, *value.int64_list.value] for name, value in parsed.items()} == {
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

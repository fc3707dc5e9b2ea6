"""`tf.train.Example` messages without TensorFlow: a map from names to bytes or integers, in protobuf's wire format.

Own code, see https://protobuf.dev/programming-guides/encoding/, for two reasons: listing reads the few bytes of ids and
labels and skips the pictures, and the cost of hostile bytes is bounded. The messages, by field numbers:

    Example   1: Features
    Features  1: map entry, repeated     entry  1: name, 2: Feature
    Feature   1: BytesList, 2: FloatList, or 3: Int64List; the list's field 1 is its values
"""

import struct
from collections.abc import Container, Iterator
from typing import BinaryIO

MAX_TEXT_BYTES = 4096  # of an id, which may be a path, a label, or the name of a feature
_MAX_FIELDS = 10_000  # of a message; each is a turn of a Python loop, and ten megabytes of empty ones take seconds
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_VARINT_BYTES = 10  # the longest
_WINDOW_BYTES = 1024
_FLOATS, _FLOAT = 2, struct.Struct("<f")  # the number of FloatList's field in Feature, and one of its values
_NO_EXAMPLE = "not a tf.train.Example"
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}


class NoExampleError(Exception):
    """Bytes that are no `Example`; the message says why."""


Span = range  # the offsets of some bytes of a file


def encode_example(features: dict[str, bytes | int]) -> bytes:
    """An `Example` of features with one value each, in the order given; readers are quickest with the largest last."""
    entries = []
    for name, value in features.items():
        if isinstance(value, bytes):
            feature = _field(1, _field(1, value))
        else:
            feature = _field(3, _field(1, _varint(value % 2**64)))
        entries.append(_field(1, _field(1, name.encode()) + _field(2, feature)))
    return _field(1, b"".join(entries))


def read_example(file: BinaryIO, message: Span, wanted: Container[str]) -> dict[str, Span | int | float]:
    """The first value of each wanted feature of an `Example`: a number, or the span of its bytes.

    Raises:
        NoExampleError: the bytes are no `Example`, or one of more than 10,000 fields.
    """
    walk = _Walk(file)
    values: dict[str, Span | int | float] = {}
    for inner in walk.spans(message, 1):
        for entry in walk.spans(inner, 1):
            name, feature = "", None
            for number, field in walk.fields(entry):
                if number == 1 and isinstance(field, Span):
                    name = read_text(file, field)
                elif number == 2 and isinstance(field, Span):
                    feature = field
            if feature and name in wanted:
                value = walk.first_value(feature)
                if value is not None:
                    values[name] = value
    return values


def read_text(file: BinaryIO, span: Span) -> str:
    """The text in a span of a file.

    Raises:
        NoExampleError: they are not UTF-8, or more than `MAX_TEXT_BYTES`.
    """
    if span.stop - span.start > MAX_TEXT_BYTES:
        raise NoExampleError(f"{span.stop - span.start:,} bytes where a name should be")
    file.seek(span.start)
    try:
        return file.read(span.stop - span.start).decode()
    except UnicodeDecodeError:
        raise NoExampleError("a name that is not UTF-8") from None


class _Walk:
    """Walks through the fields of messages, up to `_MAX_FIELDS` in all, and reads only the bytes that it needs."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MAX_FIELDS
        self._window, self._window_start = b"", 0

    def fields(self, message: Span) -> Iterator[tuple[int, Span | int]]:
        """Number and value of each field: an integer, or the span of its bytes; values of fixed size are left out."""
        at, stop = message.start, message.stop
        while at < stop:
            self._left -= 1
            if self._left < 0:
                raise NoExampleError("cut into too many pieces")
            tag, at = self._varint(at)
            value: Span | int | None = None
            kind = tag & 7
            if kind == _BYTES:
                size, start = self._varint(at)
                at = start + size
                value = Span(start, at)
            elif kind == _VARINT:
                value, at = self._varint(at)
            elif kind in _FIXED_SIZES:
                at += _FIXED_SIZES[kind]
            else:
                raise NoExampleError(_NO_EXAMPLE)
            if at > stop or tag < 8:  # no field has the number 0
                raise NoExampleError(_NO_EXAMPLE)
            if value is not None:
                yield tag >> 3, value

    def spans(self, message: Span, wanted: int) -> Iterator[Span]:
        """The fields of one number that are messages or bytes."""
        return (value for number, value in self.fields(message) if number == wanted and isinstance(value, Span))

    def first_value(self, feature: Span) -> Span | int | float | None:
        """The first value of the list of bytes or numbers that a `Feature` is."""
        for kind, values in self.fields(feature):
            if isinstance(values, Span) and kind == _FLOATS:
                return self._first_float(values)
            if isinstance(values, Span) and kind in (1, 3):
                value = next((value for number, value in self.fields(values) if number == 1), None)
                if kind == 1:
                    return value if isinstance(value, Span) else None
                if isinstance(value, Span):  # packed, as most writers do
                    value = self._first_packed(value)
                return None if value is None else (value + 2**63) % 2**64 - 2**63  # as int64
        return None

    def _first_float(self, values: Span) -> float | None:
        """The first of a list of floats: packed, as most writers do, or each as a field of its own."""
        if values.stop - values.start < 1 + _FLOAT.size:
            return None
        tag, start = self._varint(values.start)
        if tag & 7 == _BYTES:
            size, start = self._varint(start)
            if size < _FLOAT.size:
                return None
        if start + _FLOAT.size > values.stop:
            raise NoExampleError(_NO_EXAMPLE)
        self._file.seek(start)
        return float(_FLOAT.unpack(self._file.read(_FLOAT.size))[0])

    def _first_packed(self, numbers: Span) -> int | None:
        if numbers.start == numbers.stop:
            return None
        number, stop = self._varint(numbers.start)
        if stop > numbers.stop:
            raise NoExampleError(_NO_EXAMPLE)
        return number

    def _varint(self, at: int) -> tuple[int, int]:
        """A number and the offset behind it: seven bits a byte, lowest first; the eighth bit says that more follow."""
        index = at - self._window_start
        if not 0 <= index <= len(self._window) - _VARINT_BYTES:
            self._file.seek(at)
            self._window, self._window_start, index = self._file.read(_WINDOW_BYTES), at, 0
        value = shift = 0
        for byte in self._window[index : index + _VARINT_BYTES]:
            at += 1
            if byte < 128:
                return value | byte << shift, at
            value |= (byte & 127) << shift
            shift += 7
        raise NoExampleError(_NO_EXAMPLE)


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value

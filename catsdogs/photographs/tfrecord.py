"""TFRecord files of photographs, read without TensorFlow: framing, checksums, features, and the manifest of a set.

A file is a row of records: length (uint64, little-endian), masked CRC-32C of those eight bytes, the data, masked
CRC-32C of the data; see https://www.tensorflow.org/tutorials/load_data/tfrecord. The data are a `tf.train.Example`.
"""

import io
import json
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import google_crc32c

from catsdogs.errors import DatasetError, UnreadablePhotographError, and_more
from catsdogs.files import storage
from catsdogs.photographs import splits, tfexample
from catsdogs.photographs.names import without_suffix
from catsdogs.photographs.tfexample import NoExampleError, Span

SUFFIXES = (".tfrecord", ".tfrec", ".tfrecords")
MAX_RECORD_BYTES = 257 * 2**20  # a photograph of 256 MiB, its id and label; a record that claims more is a bomb
MANIFEST = "manifest.json"
UNFINISHED = ".unfinished"  # lies in a folder while files are written to it, and after a run that was killed
SET_FORMAT, SET_VERSION = "catsdogs tfrecord", 1
RECORD_FILE_NAME = re.compile(r"(train|test)-\d{5}-of-(\d{5})\.tfrecord")

# Our names first, then those of Kaggle's competitions and of TensorFlow's data sets; class names before class numbers.
IMAGE_FEATURES = ("image", "image/encoded")
LABEL_FEATURES = ("class", "image/class/text", "label", "image/class/label", "target")
FILE_NAME_FEATURE = "image/filename"
ID_FEATURES = ("id", "image_name", FILE_NAME_FEATURE)

_FEATURES = {*IMAGE_FEATURES, *LABEL_FEATURES, *ID_FEATURES}

_HEAD = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
_FRAME_BYTES = _HEAD.size + _CHECKSUM.size
_GZIP = b"\x1f\x8b"
_MANIFEST_BYTES = 256 * 2**20  # the truth of some millions of photographs
_WRITE_AGAIN = "Write the set again with `catsdogs shards`, or get the file from its source again"


class Record(NamedTuple):
    """One photograph's place in a TFRecord file, its id and its label.

    Attributes:
        split: `train` or `test`.
        label: the class by name, or its number as text where the record has no name; empty for a test record.
        offset, length: of the whole framed record, in bytes.
    """

    id: str
    split: str
    label: str
    path: Path
    offset: int
    length: int


class RecordFile(NamedTuple):
    """A TFRecord file as the manifest lists it; `bytes` is the size of the file."""

    file: str
    split: str
    rows: int
    bytes: int
    sha256: str


class Manifest(NamedTuple):
    """What a set of TFRecord files holds.

    Attributes:
        truth: id -> class of each test record that was a labelled photograph, held out when the set was written.
    """

    classes: tuple[str, ...]
    files: tuple[RecordFile, ...]
    truth: Mapping[str, str]


class _NoRecordError(Exception):
    """Bytes that are no record of a photograph; the message says why."""


def records(root: Path, paths: Sequence[Path] = (), truth: dict[str, str] | None = None) -> list[Record]:
    """Every record of one file, or of the files in a folder and its subfolders train/ and test/, file by file.

    In a folder with a manifest of ours, only the files that it lists are read. A record belongs to `test` if it has no
    label, or lies in the folder test/ or in a file whose name starts with test. Pictures are neither read nor checked
    here; see `read_photograph`.

    Args:
        paths: the files of a folder in an object store, see `record_files_among`; a local folder is listed here.
        truth: gets the class of each test id that was held out when the set was written.

    Raises:
        DatasetError: no files; a set that is unfinished or incomplete; a file that is cut short or compressed, or whose
            records cannot be parsed.
        StoreError: the object store went on failing, or refuses to be read.
    """
    is_one = is_record_file(root.name) if storage.is_remote(root) else root.is_file()
    folder = root.parent if is_one else root
    if storage.exists(folder / UNFINISHED):
        raise DatasetError(f"The shards in {folder} are unfinished", "Run `catsdogs shards` again with the same folder")
    manifest = read_manifest(folder)
    listed = {folder / file.file: file for file in manifest.files} if manifest else {}
    paths = [root] if is_one else list(listed) or paths or record_files_in(root)
    if not paths:
        raise DatasetError(f"{root} holds no shards", f"Give --data a folder with {', '.join(SUFFIXES)} files")
    if not listed and not is_one:
        _refuse_missing(paths)

    def scan(path: Path) -> list[Record]:
        if manifest and path in listed:
            return _scan_checked(path, listed[path], manifest.classes)
        below = _split_of(path.parent.name) if path.parent != folder else None
        is_test = below == splits.TEST or path.name.lower().startswith("test")
        return [record._replace(split="test", label="") if is_test else record for record in _scan(path)]

    with ThreadPoolExecutor() as pool:  # parsing holds the interpreter's lock; waiting for a disk or a network does not
        listing = [record for several in pool.map(scan, paths) for record in several]
    if truth is not None and manifest:
        ids = {record.id for record in listing if record.split == "test"}
        truth.update({id: label for id, label in manifest.truth.items() if id in ids})
    return listing


def read_photograph(path: Path, offset: int, length: int) -> bytes:
    """The bytes of the picture in the framed record of `length` bytes at `offset`, checked against their checksum.

    Raises:
        UnreadablePhotographError: the record is damaged, or the file is gone or cannot be read.
        StoreError: the object store went on failing, or refuses to be read.
    """
    if not _FRAME_BYTES <= length <= MAX_RECORD_BYTES:
        raise UnreadablePhotographError(f"a record of {length:,} bytes")
    try:
        record = storage.read_bytes(path, offset, length)
        span = _record_at(io.BytesIO(record), 0, len(record))
        if len(record) < length or record[span.stop :] != _CHECKSUM.pack(_masked_crc(record[span.start : span.stop])):
            raise _NoRecordError("its checksum is wrong")
        image = _image_span(tfexample.read_example(io.BytesIO(record), span, IMAGE_FEATURES))
    except FileNotFoundError:
        raise UnreadablePhotographError(f"{path} is gone") from None
    except OSError as error:
        storage.refuse_passing(path, error)
        raise UnreadablePhotographError(f"cannot be read: {error}") from None
    except (_NoRecordError, NoExampleError) as error:
        raise UnreadablePhotographError(f"its record in {path.name} is damaged: {error}") from None
    return record[image.start : image.stop]


def frame(data: bytes) -> bytes:
    """A framed record around its data."""
    length = struct.pack("<Q", len(data))
    return length + _CHECKSUM.pack(_masked_crc(length)) + data + _CHECKSUM.pack(_masked_crc(data))


def record_files_in(root: Path) -> list[Path]:
    """The TFRecord files in a folder and in its subfolders train/ and test/, in the order of their names.

    Raises:
        DatasetError: a folder that is not there, or cannot be read.
    """
    try:
        folders = [root, *(sub for sub in root.iterdir() if _split_of(sub.name) and sub.is_dir())]
        return sorted(
            path for folder in folders for path in folder.iterdir() if is_record_file(path.name) and path.is_file()
        )
    except OSError as error:
        raise storage.read_error(root, error, DatasetError) from None


def record_files_among(root: Path, names: Iterable[str]) -> list[Path]:
    """Like `record_files_in`, for a folder whose files have been listed: their names relative to it."""
    parts = sorted(name.split("/") for name in names)
    parts = [part for part in parts if len(part) == 1 or (len(part) == 2 and _split_of(part[0]))]
    return [root / "/".join(part) for part in parts if is_record_file(part[-1])]


def is_record_file(name: str) -> bool:
    """Whether a file is a TFRecord file, by its name."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _split_of(folder: str) -> str | None:
    """The split, for training or testing, of a subfolder whose name has no other word."""
    split = splits.split_of(folder)
    return split.role if split and not split.rest and split.role != splits.THIRD else None


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder of TFRecord files; None without one, or with one that is not ours.

    Raises:
        DatasetError: it is ours, but damaged or of a newer version.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(storage.read_bytes(path, length=_MANIFEST_BYTES))
        if not isinstance(content, dict) or content.get("format") != SET_FORMAT:
            return None
        if content["version"] != SET_VERSION:
            raise DatasetError(f"{path} has the version {content['version']!r}, not {SET_VERSION}", "Update catsdogs")
        files = tuple(map(_record_file_of, content["shards"]))
        if not files:
            raise ValueError("no shards")
        classes = tuple(map(str, content["classes"]))
        truth = {str(id): str(label) for id, label in content.get("truth", {}).items()}
        unknown = sorted(set(truth.values()) - set(classes))
        if unknown:
            raise ValueError(f"the truth has the class {unknown[0]!r}")
        return Manifest(classes, files, truth)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage.read_error(path, error) from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DatasetError(f"{path} is damaged: {error!r}", _WRITE_AGAIN) from None


def _record_file_of(entry: dict[str, Any]) -> RecordFile:
    match = RECORD_FILE_NAME.fullmatch(entry["file"])  # nothing outside the folder
    if not match:
        raise ValueError(entry["file"])
    return RecordFile(entry["file"], match[1], int(entry["rows"]), int(entry["bytes"]), str(entry["sha256"]))


def _refuse_missing(paths: Sequence[Path]) -> None:
    """Refuse an incomplete set without a manifest: names that end in `-00001-of-00016` tell how many files it has."""
    sets: dict[tuple[Path, str, str, str], dict[int, Path]] = {}
    for path in paths:
        if match := re.fullmatch(r"(.*-)(\d{1,5})-of-(\d{1,5})(\.\w+)", path.name):
            sets.setdefault((path.parent, match[1], match[3], match[4]), {})[int(match[2])] = path
    for (folder, start, total, suffix), numbers in sets.items():
        missing = [number for number in range(int(total)) if number not in numbers]
        if missing:
            names = [f"{start}{number:0{len(total)}d}-of-{total}{suffix}" for number in missing]
            raise DatasetError(
                f"{folder} lacks {names[0]}, one of {int(total)} shards{and_more(names[1:], 'like it')}", _WRITE_AGAIN
            )


def _scan_checked(path: Path, listed: RecordFile, classes: Sequence[str]) -> list[Record]:
    """The records of a file, checked against the manifest."""
    try:
        size = storage.size(path)
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing", _WRITE_AGAIN) from None
    except OSError as error:
        raise storage.read_error(path, error, DatasetError) from None
    if size != listed.bytes:
        raise DatasetError(f"{path} has {size:,} bytes, where {MANIFEST} says {listed.bytes:,}", _WRITE_AGAIN)
    scanned = _scan(path)
    if len(scanned) != listed.rows:
        raise DatasetError(f"{path} has {len(scanned)} records, where {MANIFEST} says {listed.rows}", _WRITE_AGAIN)
    known = set(classes) if listed.split == "train" else {""}
    for number, record in enumerate(scanned, start=1):
        if record.label not in known:
            raise DatasetError(
                f"{path}, record {number}: its class {record.label!r} is none of {MANIFEST}", _WRITE_AGAIN
            )
    return scanned


def _scan(path: Path) -> list[Record]:
    """The records of one file; those without a label are test records."""
    scanned: list[Record] = []
    at = 0
    try:
        with storage.open_by_ranges(path) as file:
            size = file.seek(0, io.SEEK_END)
            while at < size:
                span = _record_at(file, at, size)
                id, label = _id_and_label(file, span)
                id = id or f"{path.stem}-{len(scanned) + 1}"
                stop = span.stop + _CHECKSUM.size
                scanned.append(Record(id, "train" if label else "test", label, path, at, stop - at))
                at = stop
    except OSError as error:
        raise storage.read_error(path, error, DatasetError) from None
    except (_NoRecordError, NoExampleError) as error:
        if not scanned and storage.read_bytes(path, length=len(_GZIP)) == _GZIP:
            raise DatasetError(f"{path} is compressed", f"Unpack it: gunzip < {path.name} > plain.tfrecord") from None
        raise DatasetError(f"{path}, record {len(scanned) + 1}: {error}", _WRITE_AGAIN) from None
    return scanned


def _record_at(file: BinaryIO, start: int, size: int) -> Span:
    """The span of the data in the framed record at `start`, in a file of `size` bytes."""
    file.seek(start)
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise _NoRecordError("it is cut short")
    length, checksum = _HEAD.unpack(head)
    if checksum != _masked_crc(head[:8]):
        raise _NoRecordError("the checksum of its length is wrong")
    if length > MAX_RECORD_BYTES - _FRAME_BYTES:
        raise _NoRecordError(f"it claims {length:,} bytes, more than a photograph has")
    span = Span(start + _HEAD.size, start + _HEAD.size + length)
    if span.stop + _CHECKSUM.size > size:
        raise _NoRecordError("it is cut short")
    return span


def _masked_crc(data: bytes) -> int:
    """TensorFlow's masked CRC-32C: rotated, and a constant added, so that data can hold checksums themselves."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _id_and_label(file: BinaryIO, span: Span) -> tuple[str, str]:
    """A record's id and label, each empty where it has none; a record without a picture is refused."""
    values = tfexample.read_example(file, span, _FEATURES)
    _image_span(values)
    texts = {name: text for name, value in values.items() if (text := _text_of(file, name, value))}
    id, label = (next((texts[name] for name in names if name in texts), "") for names in (ID_FEATURES, LABEL_FEATURES))
    return id, label


def _image_span(values: dict[str, Span | int | float]) -> Span:
    image = next((values[name] for name in IMAGE_FEATURES if name in values), None)
    if not isinstance(image, Span):
        raise _NoRecordError(f"it holds no picture, which would be called {' or '.join(IMAGE_FEATURES)}")
    return image


def _text_of(file: BinaryIO, name: str, value: Span | int | float) -> str:
    if isinstance(value, float) and not value.is_integer():
        raise _NoRecordError(f"its {name} is {value:g}, which is neither a class nor an id")
    if not isinstance(value, Span):
        return "" if name in LABEL_FEATURES and value < 0 else str(int(value))  # -1 often stands for no label
    if name in IMAGE_FEATURES:
        return ""
    text = tfexample.read_text(file, value)
    return without_suffix(text) if name == FILE_NAME_FEATURE else text

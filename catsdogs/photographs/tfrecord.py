"""TFRecord shards of photographs, read without TensorFlow: framing, checksums, features, and the manifest of a set.

A shard is a row of records: length (uint64, little-endian), masked CRC-32C of those eight bytes, the data, masked
CRC-32C of the data; see https://www.tensorflow.org/tutorials/load_data/tfrecord. The data are a `tf.train.Example`.
"""

import io
import json
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import google_crc32c

from catsdogs.errors import DatasetError, UnreadablePhotographError, and_more
from catsdogs.files import ranges, storage
from catsdogs.photographs import splits, tfexample
from catsdogs.photographs.names import without_suffix
from catsdogs.photographs.tfexample import NoExampleError, Span

SUFFIXES = (".tfrecord", ".tfrec", ".tfrecords")
MAX_RECORD_BYTES = 257 * 2**20  # a photograph of 256 MiB and what is said of it; a record that claims more is a bomb
MANIFEST = "manifest.json"
UNFINISHED = ".unfinished"  # stands in a folder while shards are written to it, and after a run that was killed
FORMAT, VERSION = "catsdogs tfrecord", 1
RECORD_FILE_NAME = re.compile(r"(train|test)-\d{5}-of-(\d{5})\.tfrecord")

# Ours first, then those of Kaggle's competitions and of TensorFlow's own data sets; a class by name before its number.
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
    """Where one photograph lies in a shard, and what is said of it.

    Attributes:
        split: `train` or `test`.
        label: the class by name, or its number as text where the record has no name; empty for a test record.
        offset, length: of the whole framed record, in bytes.
    """

    id: str
    split: str
    label: str
    shard: Path
    offset: int
    length: int


class RecordFile(NamedTuple):
    """A shard as the manifest lists it; `bytes` is the size of the file."""

    file: str
    split: str
    rows: int
    bytes: int
    sha256: str


class Manifest(NamedTuple):
    """What a set of shards holds.

    Attributes:
        truth: the class of each test record that was a labelled photograph, held out when the set was written, by id.
    """

    classes: tuple[str, ...]
    shards: tuple[RecordFile, ...]
    truth: Mapping[str, str] = MappingProxyType({})


class _NoRecordError(Exception):
    """Bytes that are no record of a photograph; the text says why."""


def records(root: Path, shards: Sequence[Path] = (), truth: dict[str, str] | None = None) -> list[Record]:
    """Every record of one shard, or of a folder and its subfolders train/ and test/, shard by shard.

    In a folder with a manifest of ours, only the shards it lists are read. A record belongs to `test` if it has no
    label, or lies in the folder test/ or in a file whose name starts with test. Pictures are neither read nor checked
    here; see `read_photograph`. A folder in an object store has to come with its files, see `record_files_among`.

    Args:
        truth: gets the class of each test id that was held out when the set was written.

    Raises:
        DatasetError: no shards; a set that is unfinished or incomplete; a shard that is cut short, compressed, or whose
            records cannot be followed.
        StoreError: the object store went on failing, or refuses to be read.
    """
    is_one = is_record_file(root.name) if storage.is_remote(root) else root.is_file()
    folder = root.parent if is_one else root
    if storage.exists(folder / UNFINISHED):
        raise DatasetError(f"The shards in {folder} are unfinished", "Run `catsdogs shards` again with the same folder")
    manifest = read_manifest(folder)
    listed = {folder / shard.file: shard for shard in manifest.shards} if manifest else {}
    shards = [root] if is_one else list(listed) or shards or record_files_in(root)
    if not shards:
        raise DatasetError(f"{root} holds no shards", f"Give --data a folder with {', '.join(SUFFIXES)} files")
    if not listed and not is_one:
        _refuse_missing(shards)

    def scan(shard: Path) -> list[Record]:
        if manifest and shard in listed:
            return _scan_checked(shard, listed[shard], manifest.classes)
        below = _split_of(shard.parent.name) if shard.parent != folder else None
        is_test = below == splits.TEST or shard.name.lower().startswith("test")
        return [record._replace(split="test", label="") if is_test else record for record in _scan(shard)]

    with ThreadPoolExecutor() as pool:  # parsing holds the interpreter's lock; waiting for a disk or a network does not
        listing = [record for found in pool.map(scan, shards) for record in found]
    if truth is not None and manifest:
        ids = {record.id for record in listing if record.split == "test"}
        truth.update({id: label for id, label in manifest.truth.items() if id in ids})
    return listing


def read_photograph(shard: Path, offset: int, length: int) -> bytes:
    """The bytes of the picture in the framed record at `offset`, checked against their checksum.

    Raises:
        UnreadablePhotographError: the record is damaged, or the shard is gone or cannot be read.
        StoreError: the object store went on failing, or refuses to be read.
    """
    if not _FRAME_BYTES <= length <= MAX_RECORD_BYTES:
        raise UnreadablePhotographError(f"a record of {length:,} bytes")
    try:
        found = storage.read_bytes(shard, offset, length)
        span = _record_at(io.BytesIO(found), 0, len(found))
        if len(found) < length or found[span.stop :] != _CHECKSUM.pack(_masked_crc(found[span.start : span.stop])):
            raise _NoRecordError("its checksum is wrong")
        image = _image_span(tfexample.read_example(io.BytesIO(found), span, IMAGE_FEATURES))
    except FileNotFoundError:
        raise UnreadablePhotographError(f"{shard} is gone") from None
    except OSError as error:
        storage.refuse_passing(shard, error)
        raise UnreadablePhotographError(f"cannot be read: {error}") from None
    except (_NoRecordError, NoExampleError) as error:
        raise UnreadablePhotographError(f"its record in {shard.name} is damaged: {error}") from None
    return found[image.start : image.stop]


def frame(data: bytes) -> bytes:
    """One record of a shard around its data."""
    length = struct.pack("<Q", len(data))
    return length + _CHECKSUM.pack(_masked_crc(length)) + data + _CHECKSUM.pack(_masked_crc(data))


def record_files_in(root: Path) -> list[Path]:
    """The shards in a folder and in its subfolders train/ and test/, in the order of their names.

    Raises:
        DatasetError: a folder that is not there, or cannot be read.
    """
    try:
        folders = [root, *(sub for sub in root.iterdir() if _split_of(sub.name) and sub.is_dir())]
        return sorted(
            path for folder in folders for path in folder.iterdir() if is_record_file(path.name) and path.is_file()
        )
    except FileNotFoundError as error:
        raise DatasetError(f"{root} cannot be read: {error}", "Check --data") from None
    except OSError as error:
        raise storage.read_error(root, error, DatasetError) from None


def record_files_among(root: Path, names: Iterable[str]) -> list[Path]:
    """The same as `record_files_in`, of a folder whose files have been listed: their names relative to it."""
    parts = sorted(name.split("/") for name in names)
    parts = [part for part in parts if len(part) == 1 or (len(part) == 2 and _split_of(part[0]))]
    return [root / "/".join(part) for part in parts if is_record_file(part[-1])]


def is_record_file(name: str) -> bool:
    """Whether a file is a shard, by its name."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _split_of(folder: str) -> str | None:
    """The split, for training or testing, that a subfolder's name says and nothing else."""
    said = splits.split_of(folder)
    return said.role if said and not said.rest and said.role != splits.THIRD else None


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder of shards, or None if it has none, or one that is not ours.

    Raises:
        DatasetError: ours, but damaged or of a newer version.
    """
    path = folder / MANIFEST
    try:
        found = json.loads(storage.read_bytes(path, length=_MANIFEST_BYTES))
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            return None
        if found["version"] != VERSION:
            raise DatasetError(f"{path} has the version {found['version']!r}, not {VERSION}", "Update catsdogs")
        shards = tuple(_record_file_of(shard) for shard in found["shards"])
        if not shards:
            raise ValueError("no shards")
        classes = tuple(map(str, found["classes"]))
        truth = {str(id): str(label) for id, label in found.get("truth", {}).items()}
        strange = sorted(set(truth.values()) - set(classes))
        if strange:
            raise ValueError(f"the truth has the class {strange[0]!r}")
        return Manifest(classes, shards, truth)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage.read_error(path, error) from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DatasetError(f"{path} is damaged: {error!r}", _WRITE_AGAIN) from None


def _record_file_of(shard: dict[str, Any]) -> RecordFile:
    match = RECORD_FILE_NAME.fullmatch(shard["file"])  # nothing outside the folder
    if not match:
        raise ValueError(shard["file"])
    return RecordFile(shard["file"], match[1], int(shard["rows"]), int(shard["bytes"]), str(shard["sha256"]))


def _refuse_missing(shards: Sequence[Path]) -> None:
    """Without a manifest, names that end in `-00001-of-00016` still say how many there should be."""
    sets: dict[tuple[Path, str, str, str], dict[int, Path]] = {}
    for path in shards:
        if match := re.fullmatch(r"(.*-)(\d{1,5})-of-(\d{1,5})(\.\w+)", path.name):
            sets.setdefault((path.parent, match[1], match[3], match[4]), {})[int(match[2])] = path
    for (folder, start, total, suffix), found in sets.items():
        missing = [number for number in range(int(total)) if number not in found]
        if missing:
            names = [f"{start}{number:0{len(total)}d}-of-{total}{suffix}" for number in missing]
            raise DatasetError(
                f"{folder} lacks {names[0]}, one of {int(total)} shards{and_more(names[1:], 'like it')}", _WRITE_AGAIN
            )


def _scan_checked(shard: Path, listed: RecordFile, classes: Sequence[str]) -> list[Record]:
    """The records of a shard, held against what the manifest says of it."""
    try:
        size = storage.size(shard)
    except FileNotFoundError:
        raise DatasetError(f"{shard} is missing", _WRITE_AGAIN) from None
    except OSError as error:
        raise storage.read_error(shard, error, DatasetError) from None
    if size != listed.bytes:
        raise DatasetError(f"{shard} has {size:,} bytes, where {MANIFEST} says {listed.bytes:,}", _WRITE_AGAIN)
    found = _scan(shard)
    if len(found) != listed.rows:
        raise DatasetError(f"{shard} has {len(found)} records, where {MANIFEST} says {listed.rows}", _WRITE_AGAIN)
    known = set(classes) if listed.split == "train" else {""}
    for number, record in enumerate(found, start=1):
        if record.label not in known:
            raise DatasetError(
                f"{shard}, record {number}: its class {record.label!r} is none of {MANIFEST}", _WRITE_AGAIN
            )
    return found


def _scan(shard: Path) -> list[Record]:
    """The records of one shard; those without a label are test records."""
    found: list[Record] = []
    at = 0
    try:
        with ranges.open_by_ranges(shard) as file:
            size = file.seek(0, io.SEEK_END)
            while at < size:
                span = _record_at(file, at, size)
                id, label = _id_and_label(file, span)
                id = id or f"{shard.stem}-{len(found) + 1}"
                stop = span.stop + _CHECKSUM.size
                found.append(Record(id, "train" if label else "test", label, shard, at, stop - at))
                at = stop
    except OSError as error:
        raise storage.read_error(shard, error, DatasetError) from None
    except (_NoRecordError, NoExampleError) as error:
        if not found and _starts_with_gzip(shard):
            raise DatasetError(f"{shard} is compressed", f"Unpack it: gunzip < {shard.name} > plain.tfrecord") from None
        raise DatasetError(f"{shard}, record {len(found) + 1}: {error}", _WRITE_AGAIN) from None
    return found


def _starts_with_gzip(shard: Path) -> bool:
    return storage.read_bytes(shard, length=len(_GZIP)) == _GZIP


def _record_at(file: BinaryIO, start: int, size: int) -> Span:
    """Where the data of the framed record at `start` are, in a file of so many bytes."""
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
    """TensorFlow's disguise of a CRC-32C, so that data which hold checksums can be checked: rotated, and a constant."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _id_and_label(file: BinaryIO, span: Span) -> tuple[str, str]:
    """What a record says of its photograph, empty where it says nothing; there must be one."""
    values = tfexample.read_example(file, span, _FEATURES)
    _image_span(values)
    texts = {name: text for name, value in values.items() if (text := _text_of(file, name, value))}
    return _first_text(texts, ID_FEATURES), _first_text(texts, LABEL_FEATURES)


def _image_span(values: dict[str, Span | int | float]) -> Span:
    image = next((values[name] for name in IMAGE_FEATURES if name in values), None)
    if not isinstance(image, Span):
        raise _NoRecordError(f"it holds no picture, which would be called {' or '.join(IMAGE_FEATURES)}")
    return image


def _text_of(file: BinaryIO, name: str, value: Span | int | float) -> str:
    if isinstance(value, float):
        if not value.is_integer():
            raise _NoRecordError(f"its {name} is {value:g}, which is neither a class nor an id")
        value = int(value)
    if isinstance(value, int):
        return "" if name in LABEL_FEATURES and value < 0 else str(value)  # -1 often stands for no label
    if name in IMAGE_FEATURES:
        return ""
    text = tfexample.read_text(file, value)
    return without_suffix(text) if name == FILE_NAME_FEATURE else text


def _first_text(texts: dict[str, str], names: Sequence[str]) -> str:
    """The first of these features that says something."""
    return next((texts[name] for name in names if texts.get(name)), "")

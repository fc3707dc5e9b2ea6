"""Which photographs there are: in Kaggle's folder or zips, a folder per class, TFRecords, by a CSV -> one table."""

import hashlib
import os
import re
import threading
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from catsdogs import tfrecord
from catsdogs.errors import DatasetError, UnknownNameError, UnreadablePhotographError, UsageError
from catsdogs.labels import (
    SAMPLE_SUBMISSION,
    TEST_FOLDERS,
    TRAIN_FOLDERS,
    UNLABELLED,
    Row,
    choose_table,
    common_folder,
    parse,
    photographs,
    tabulate,
    without_suffix,
)
from catsdogs.tfrecord import Record

MAX_FILE_BYTES = 256 * 2**20  # no camera writes more; a zip member that claims more is a bomb
SEED = 2018


class Location(NamedTuple):
    """Where a photograph's bytes are: a path inside a folder or zip, or `offset:length` of a record in a shard."""

    container: Path
    name: str

    def __str__(self) -> str:
        return str(self.container / self.name)


class Photograph(NamedTuple):
    """One row of the table: `id` is unique within its split, `label` indexes `Dataset.classes` or is -1."""

    id: str
    split: str
    label: int
    location: Location


@dataclass(frozen=True)
class Dataset:
    """All photographs of a competition, train rows first, each split in the natural order of its ids.

    `truth` names the class of each test id that `scan` held out.
    """

    root: Path
    classes: tuple[str, ...]
    photographs: tuple[Photograph, ...]
    sample_submission: str | None = None
    truth: dict[str, str] = field(default_factory=dict)
    _zips: dict[Path, zipfile.ZipFile] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def of(self, split: str) -> list[Photograph]:
        """The rows of `train` or `test`."""
        return [photograph for photograph in self.photographs if photograph.split == split]

    @cached_property
    def by_key(self) -> dict[tuple[str, str], Photograph]:
        """Every row under (split, id)."""
        return {(photograph.split, photograph.id): photograph for photograph in self.photographs}

    def find(self, split: str, id: str) -> Photograph | None:
        """The photograph of a row; of a test row that was once held out, the labelled photograph it was."""
        return self.by_key.get((split, id)) or (self.by_key.get(("train", id)) if split == "test" else None)

    def read(self, photograph: Photograph) -> bytes:
        """The bytes of one photograph.

        Raises:
            UnreadablePhotographError: the file is gone, cannot be read, or is larger than `MAX_FILE_BYTES`.
        """
        container, name = photograph.location
        try:
            if container.is_dir():
                path = container / name
                size = path.stat().st_size
                if size <= MAX_FILE_BYTES:
                    return path.read_bytes()
            elif tfrecord.is_shard(container.name):
                offset, length = name.split(":")
                return tfrecord.read(container, int(offset), int(length))
            else:
                archive = self._open_zip(container)
                size = archive.getinfo(name).file_size
                if size <= MAX_FILE_BYTES:
                    return archive.read(name)
        except FileNotFoundError:
            raise UnreadablePhotographError("no such file") from None
        except (OSError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise UnreadablePhotographError(f"cannot be read: {error}") from None
        raise UnreadablePhotographError(f"{size:,} bytes, more than {MAX_FILE_BYTES:,}")

    def _open_zip(self, path: Path) -> zipfile.ZipFile:
        with self._lock:  # the loader's threads share one open archive, which zipfile makes safe to read
            if path not in self._zips:
                self._zips[path] = zipfile.ZipFile(path)
            return self._zips[path]


def scan(root: Path, classes: Sequence[str] = (), holdout: float = 0.0, seed: int = SEED) -> Dataset:
    """Recognise the layout under `root` (a folder, a zip, TFRecords, or a CSV of names and labels) and list its rows.

    Args:
        classes: only these are learnt from, and labelled photographs of others left out; all, if none is named.
        holdout: between 0 and 1, this share of each class (at least one photograph) becomes the test rows, instead of
            the data set's own, and `Dataset.truth` keeps their classes.
        seed: which photographs those are, together with their ids and classes and nothing else.

    Raises:
        DatasetError: nothing there, no layout recognised, a name without a label, an id given twice, a class that
            `holdout` would leave without photographs to learn from.
        UnknownNameError: no such class.
        UsageError: `holdout` is not between 0 and 1.
    """
    if holdout and not 0 < holdout < 1:
        raise UsageError(f"--holdout {holdout:g} is no share of photographs", "Give one between 0 and 1, such as 0.15")
    dataset = _recognise(root.expanduser())
    if classes:
        dataset = _pick(dataset, classes)
    return _hold_out(dataset, holdout, seed) if holdout else dataset


def scan_unlabelled(root: Path) -> Dataset:
    """Every photograph under `root` (a folder, a zip, TFRecords or one file) as a test row, for predictions."""
    root = root.expanduser()
    locations = _list(root)
    names = photographs(locations)
    if names:
        prefix = common_folder(names)
        paths = [name.removeprefix(prefix) for name in names]
        ids = [without_suffix(path) for path in paths]
    else:
        records = _records(root)
        if not records:
            raise DatasetError(f"{root} holds no photographs", "Give --data a photograph, or a folder or zip of them")
        locations = {name: _location(record) for name, record in records.items()}
        names = list(records)
        paths = [f"{record.split}/{record.id}" for record in records.values()]
        ids = [record.id for record in records.values()]
    rows = tabulate((), zip(ids if len(set(ids)) == len(ids) else paths, names, strict=True), str(root))
    return _dataset(root, *rows, locations)


def _recognise(root: Path) -> Dataset:
    """Every row of a data set, as it is."""
    is_table = root.suffix.lower() == ".csv" and root.is_file()
    locations = _list(root.parent if is_table else root)
    names = photographs(locations)
    sample = locations.get(SAMPLE_SUBMISSION)
    if names:
        if is_table and root.name != SAMPLE_SUBMISSION:
            table: Location | None = Location(root.parent, root.name)
        else:
            chosen = choose_table(names, [name for name in locations if _is_table(name)], str(root))
            table = locations[chosen] if chosen else None
        # Only the tables that are needed are read: any other CSV may hold what it likes.
        classes, rows = parse(names, (table.name, _read_table(table)) if table else None, str(root))
    else:
        records = {} if is_table else _records(root)
        if not records:
            raise DatasetError(
                f"{root} holds no photographs", "Give --data the folder or zip that holds train/ and test/"
            )
        locations = {name: _location(record) for name, record in records.items()}
        classes, rows = tabulate(
            [(record.id, record.label, name) for name, record in records.items() if record.split == "train"],
            [(record.id, name) for name, record in records.items() if record.split == "test"],
            str(root),
        )
    return replace(_dataset(root, classes, rows, locations), sample_submission=_read_table(sample) if sample else None)


def _dataset(root: Path, classes: tuple[str, ...], rows: Iterable[Row], locations: Mapping[str, Location]) -> Dataset:
    folder = root if root.is_dir() else root.parent  # a table may list what is not there
    return Dataset(
        root,
        classes,
        tuple(
            Photograph(id, split, label, locations.get(name) or Location(folder, name))
            for id, split, label, name in rows
        ),
    )


def _pick(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Without the labelled photographs of other classes, and without a sample submission that asks for them."""
    for name in names:
        if name not in dataset.classes:
            raise UnknownNameError("class", name, list(dataset.classes))
    classes = tuple(name for name in dataset.classes if name in names)
    if classes == dataset.classes:
        return dataset
    label = {dataset.classes.index(name): position for position, name in enumerate(classes)} | {UNLABELLED: UNLABELLED}
    kept = tuple(row._replace(label=label[row.label]) for row in dataset.photographs if row.label in label)
    return replace(dataset, classes=classes, photographs=kept, sample_submission=None)


def _hold_out(dataset: Dataset, share: float, seed: int) -> Dataset:
    """With a share of each class's photographs for test rows.

    Photographs are drawn in the order of a hash of seed and id: which are held out does not change with the order of
    files, other classes or the versions of libraries, and a larger share holds out the same ones and more.
    """
    ids: dict[str, list[str]] = {name: [] for name in dataset.classes}
    for row in dataset.of("train"):
        ids[dataset.classes[row.label]].append(row.id)
    truth = {}
    for name, all_ids in ids.items():
        count = max(1, round(share * len(all_ids)))
        if count == len(all_ids):
            raise DatasetError(
                f"{dataset.root}: a share of {share:g} leaves none of the {count} photographs of {name} to learn from",
                "Hold out less, add photographs of it, or leave the class out",
            )
        drawn = sorted(all_ids, key=lambda id: hashlib.sha256(f"{seed} {id}".encode()).digest())
        truth.update(dict.fromkeys(drawn[:count], name))
    if not truth:
        raise DatasetError(f"{dataset.root} has no labelled photographs to hold out", "Give --data a labelled data set")
    train = dataset.of("train")
    kept = [row for row in train if row.id not in truth]
    held = [row._replace(split="test", label=UNLABELLED) for row in train if row.id in truth]
    return replace(dataset, photographs=(*kept, *held), sample_submission=None, truth=truth)


def _records(root: Path) -> dict[str, Record]:
    """The photographs in TFRecords, under the names of their places; none if there are no TFRecords."""
    found = tfrecord.shards_in(root) if root.is_dir() else tfrecord.is_shard(root.name)
    return {str(_location(record)): record for record in tfrecord.records(root)} if found else {}


def _location(record: Record) -> Location:
    return Location(record.shard, f"{record.offset}:{record.length}")


def _read_table(location: Location) -> str:
    try:
        data = Dataset(location.container, (), ()).read(Photograph(location.name, "", UNLABELLED, location))
        return data.decode("utf-8-sig")
    except (UnreadablePhotographError, UnicodeDecodeError) as error:
        raise DatasetError(f"{location} is not a table: {error}", "Save it as UTF-8 text, or remove it") from None


def _list(root: Path) -> dict[str, Location]:
    """Relative path -> location of every file under a folder or zip, or in the zips of train and test in a folder."""
    if not root.exists():
        raise DatasetError(f"No such folder or zip: {root}", "Check --data, or run `catsdogs fetch` to download it")
    if root.is_file():
        is_one = tfrecord.is_shard(root.name) or photographs([root.name])
        return {root.name: Location(root.parent, root.name)} if is_one else _list_zip(root)
    locations = {name: Location(root, name) for name in _walk(root)}
    for name in (name for name in locations if not name.isascii()):
        shown = name.encode(errors="backslashreplace").decode()
        if shown != name:
            raise DatasetError(f"The name of {root}/{shown} is not UTF-8", "Rename the file")
    zips = {name.lower(): root / name for name in locations if "/" not in name and name.lower().endswith(".zip")}
    for split in (*TRAIN_FOLDERS, *TEST_FOLDERS):
        start = f"{split}/"
        if f"{split}.zip" in zips and not any(name.lower().startswith(start) for name in locations):
            for name, member in _list_zip(zips[f"{split}.zip"]).items():
                below = name[len(start) :] if name.lower().startswith(start) else name
                locations[start + below] = member
    if len(zips) == 1 and not photographs(locations) and not any(map(tfrecord.is_shard, locations)):
        return _list_zip(*zips.values())
    return locations


def _walk(root: Path) -> Iterable[str]:
    """Relative paths of all files, links to folders followed, each real folder once."""

    def refuse(error: OSError) -> None:
        raise DatasetError(f"{error.filename} cannot be read: {error.strerror}", "Make it readable, or move it away")

    seen = set()
    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        relative = Path(folder).relative_to(root).as_posix()
        for name in sorted(files):
            if not _is_hidden(name):
                yield name if relative == "." else f"{relative}/{name}"


def _list_zip(path: Path) -> dict[str, Location]:
    try:
        with zipfile.ZipFile(path) as archive:  # read() needs the name as it stands there
            members = {_tidy(info.filename): info.filename for info in archive.infolist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path} is not a readable zip: {error}", "Delete it and download it again") from None
    for name in members:
        if ".." in name.split("/") or name.startswith("/") or re.match(r"[A-Za-z]:", name):
            raise DatasetError(f"{path} holds the unsafe name {name!r}", "Do not use this zip; get it from its source")
    names = [name for name in members if name[-1:] != "/" and not any(map(_is_hidden, name.split("/")))]
    inner = [name for name in names if name.endswith(".zip")]
    if inner and not photographs(names):
        raise DatasetError(f"{path} holds zips inside ({inner[0]})", f"Unpack the outer one: unzip {path.name}")
    return {name: Location(path, members[name]) for name in names}


def _tidy(name: str) -> str:
    """A zip member's name as a relative path: some programs write `train\\cat.0.jpg`, `./train/` or `train//`."""
    name = name.replace("\\", "/")
    return f"{PurePosixPath(name)}{'/' * name.endswith('/')}" if "//" in name or "./" in name else name


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_table(name: str) -> bool:
    return name.lower().endswith(".csv") and "/" not in name

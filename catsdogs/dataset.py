"""Which photographs there are: Kaggle's folder or zips, a folder per class, or a CSV beside a folder -> one table."""

import csv
import io
import os
import re
import threading
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from catsdogs.errors import DatasetError, UnreadablePhotographError

PHOTO_SUFFIXES = (".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
TRAIN_FOLDERS = ("train",)  # compared without case, as are the next two
TEST_FOLDERS = ("test", "test1")  # test1 is what the 2013 edition calls it
SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test", "testing"}
LABEL_TABLES = ("labels.csv", "train.csv")
SAMPLE_SUBMISSION = "sample_submission.csv"
FILE_COLUMNS = ("id", "file", "filename", "file_name", "image", "image_id", "path", "name")
LABEL_COLUMNS = ("label", "class", "breed", "category", "target")
MAX_FILE_BYTES = 256 * 2**20  # no camera writes more; a zip member that claims more is a bomb
UNLABELLED = -1
_NUMBERS = re.compile(r"(\d+)")
_LABEL_NUMBER_SUFFIX = re.compile(r"([^.]+)\..+\.[^.]+")


class Location(NamedTuple):
    """Where a photograph's bytes are: a path inside a folder or inside a zip."""

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
    """All photographs of a competition, train rows first, each split in the natural order of its ids."""

    root: Path
    classes: tuple[str, ...]
    photographs: tuple[Photograph, ...]
    sample_submission: str | None = None
    _zips: dict[Path, zipfile.ZipFile] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def of(self, split: str) -> list[Photograph]:
        """The rows of `train` or `test`."""
        return [photograph for photograph in self.photographs if photograph.split == split]

    @cached_property
    def by_key(self) -> dict[tuple[str, str], Photograph]:
        """Every row under (split, id)."""
        return {(photograph.split, photograph.id): photograph for photograph in self.photographs}

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


def scan(root: Path) -> Dataset:
    """Recognise the layout under `root` (a folder, a zip, or a CSV of file names and labels) and list its rows.

    Raises:
        DatasetError: nothing there, no layout recognised, a name without a label, an id given twice.
    """
    root = root.expanduser()
    is_table = root.suffix.lower() == ".csv" and root.is_file()
    locations = _list(root.parent if is_table else root)
    photographs = [name for name in locations if _is_photograph(name)]
    if not photographs:
        raise DatasetError(f"{root} holds no photographs", "Give --data the folder or zip that holds train/ and test/")
    if is_table and root.name != SAMPLE_SUBMISSION:
        table: Location | None = Location(root.parent, root.name)
    else:
        chosen = _choose_table(photographs, [name for name in locations if _is_table(name)], str(root))
        table = locations[chosen] if chosen else None
    # Only the tables that are needed are read: any other CSV may hold what it likes.
    classes, rows = parse(photographs, (table.name, _read_table(table)) if table else None, str(root))
    sample = locations.get(SAMPLE_SUBMISSION)
    folder = root if root.is_dir() else root.parent
    return Dataset(
        root=root,
        classes=classes,
        photographs=tuple(
            Photograph(id, split, label, locations.get(name) or Location(folder, name))
            for id, split, label, name in rows
        ),
        sample_submission=_read_table(sample) if sample else None,
    )


def scan_unlabelled(root: Path) -> Dataset:
    """Every photograph under `root` (a folder, a zip or one file) as a test row without label, for predictions."""
    root = root.expanduser()
    if root.is_file() and _is_photograph(root.name):
        locations = {root.name: Location(root.parent, root.name)}
    else:
        locations = _list(root)
    names = [name for name in locations if _is_photograph(name)]
    if not names:
        raise DatasetError(f"{root} holds no photographs", "Give --data a photograph, or a folder or zip of them")
    prefix = _common_folder(names, stop=())
    stems = [_without_suffix(name[len(prefix) :]) for name in names]
    ids = stems if len(set(stems)) == len(stems) else [name[len(prefix) :] for name in names]
    rows = sorted(zip(ids, names, strict=True), key=lambda row: natural_key(row[0]))
    photographs = tuple(Photograph(id, "test", UNLABELLED, locations[name]) for id, name in rows)
    return Dataset(root=root, classes=(), photographs=photographs)


Row = tuple[str, str, int, str]


def parse(names: Sequence[str], table: tuple[str, str] | None, root: str = ".") -> tuple[tuple[str, ...], list[Row]]:
    """Photographs' relative paths, and the name and text of a label table -> classes and rows (id, split, label, name).

    Without a table the label is the class folder, else what stands before the first dot of `<class>.<number>.jpg`.

    Raises:
        DatasetError: as `scan`.
    """
    prefix, train, rest, test = _splits(names)
    if table:
        labelled = _labels_from_table(*table, train or rest or names, prefix, root)
        if not train and not test:
            listed = {name for name, _ in labelled}
            test = [name for name in rest if name not in listed]
    else:
        if rest and not train and not any(_top(name, prefix) or _label_in(name) for name in rest):
            prefix = prefix[: prefix.rstrip("/").rfind("/") + 1]  # one class folder alone is common to all names
        labelled = [(name, _label_of(name, prefix, root)) for name in train or rest]
    classes = tuple(sorted({label for _, label in labelled}, key=natural_key))
    if not table and classes and {label.lower() for label in classes} <= SPLIT_NAMES:
        raise DatasetError(
            f"{root} has no classes but {', '.join(classes)}, which name splits",
            "Put the labelled photographs into train/, in a folder per class or named like cat.0.jpg",
        )
    index = {label: position for position, label in enumerate(classes)}
    rows = [(_without_suffix(_below(name, prefix)), "train", index[label], name) for name, label in labelled]
    stems = [_without_suffix(_last(name)) for name in test]  # what Kaggle's sample submission lists
    if len(set(stems)) < len(stems):
        stems = [_without_suffix(_below(name, prefix)) for name in test]
    rows += [(id, "test", UNLABELLED, name) for id, name in zip(stems, test, strict=True)]
    _refuse_twins(rows, root)
    return classes, sorted(rows, key=lambda row: (row[1] != "train", natural_key(row[0])))


def natural_key(text: str) -> tuple[list[str | int], str]:
    """A sort key by which `cat.10` follows `cat.9`; the text itself breaks ties such as `01` and `1`."""
    return [int(part) if part.isdecimal() else part for part in _NUMBERS.split(text)], text


def _splits(names: Sequence[str]) -> tuple[str, list[str], list[str], list[str]]:
    """The folder common to all names; the sorted names in a train folder, in neither, and in a test folder."""
    names = sorted(names)
    prefix = _common_folder(names, stop=(*TRAIN_FOLDERS, *TEST_FOLDERS))
    tops = {name: _top(name, prefix).lower() for name in names}
    train = [name for name in names if tops[name] in TRAIN_FOLDERS]
    test = [name for name in names if tops[name] in TEST_FOLDERS]
    return prefix, train, [name for name in names if tops[name] not in (*TRAIN_FOLDERS, *TEST_FOLDERS)], test


def _choose_table(names: Sequence[str], tables: Sequence[str], root: str) -> str | None:
    """`labels.csv` or `train.csv`; else the only CSV beside one flat folder whose names do not all carry a label."""
    for table in LABEL_TABLES:
        if table in tables:
            return table
    others = [table for table in tables if table != SAMPLE_SUBMISSION]
    if not others:
        return None
    prefix, train, rest, _ = _splits(names)
    if train or any(_top(name, prefix) for name in rest) or all(map(_label_in, rest)):
        return None
    if len(others) > 1:
        raise DatasetError(
            f"{root} holds several tables: {', '.join(others)}", "Give --data the path of the CSV with the labels"
        )
    return others[0]


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
        return _list_zip(root)
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
    if len(zips) == 1 and not any(map(_is_photograph, locations)):
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
    if inner and not any(map(_is_photograph, names)):
        raise DatasetError(f"{path} holds zips inside ({inner[0]})", f"Unpack the outer one: unzip {path.name}")
    return {name: Location(path, members[name]) for name in names}


def _tidy(name: str) -> str:
    """A zip member's name as a relative path: some programs write `train\\cat.0.jpg`, `./train/` or `train//`."""
    name = name.replace("\\", "/")
    return f"{PurePosixPath(name)}{'/' * name.endswith('/')}" if "//" in name or "./" in name else name


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_photograph(name: str) -> bool:
    return name.lower().endswith(PHOTO_SUFFIXES)


def _is_table(name: str) -> bool:
    return name.lower().endswith(".csv") and "/" not in name


def _common_folder(names: Sequence[str], stop: Sequence[str]) -> str:
    """The folder, with its slash, that every name starts with, down to but without a folder named in `stop`."""
    parts: list[str] = []
    folders = {name.rpartition("/")[0] for name in names}  # few, where names are many
    for level in zip(*(PurePosixPath(folder).parts for folder in folders), strict=False):
        if len(set(level)) > 1 or level[0].lower() in stop:
            break
        parts.append(level[0])
    return "".join(f"{part}/" for part in parts)


def _top(name: str, prefix: str) -> str:
    """The first folder below the prefix, or nothing for a file that lies in the prefix itself."""
    return name.removeprefix(prefix).rpartition("/")[0].split("/")[0]


def _below(name: str, prefix: str) -> str:
    """What follows the prefix and, if there is one, the train or test folder."""
    top = _top(name, prefix)
    return name.removeprefix(prefix).removeprefix(f"{top}/" if top.lower() in (*TRAIN_FOLDERS, *TEST_FOLDERS) else "")


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _without_suffix(name: str) -> str:
    stem, _, suffix = _last(name).rpartition(".")
    return name.removesuffix(f".{suffix}") if stem and suffix else name


def _label_in(name: str) -> str | None:
    match = _LABEL_NUMBER_SUFFIX.fullmatch(_last(name))
    return match[1] if match else None


def _label_of(name: str, prefix: str, root: str) -> str:
    """The class folder, or what stands before the first dot of `cat.0.jpg`."""
    for folder in name.removeprefix(prefix).split("/")[:-1]:
        if folder.lower() not in TRAIN_FOLDERS:
            return folder
    label = _label_in(name)
    if label is None:
        raise DatasetError(
            f"The name of {root}/{name} carries no label",
            "Name it like cat.0.jpg, put it into a folder per class, or list it in labels.csv",
        )
    return label


def _labels_from_table(table: str, text: str, names: Sequence[str], prefix: str, root: str) -> list[tuple[str, str]]:
    """(photograph, label) for each row of a CSV; rows name a file as `_keys` says, or one that is not there."""
    try:
        lines = list(csv.reader(io.StringIO(text, newline=None)))
    except csv.Error as error:
        raise DatasetError(f"{root}: {table} is not a table: {error}", "Save it as CSV, in UTF-8") from None
    header = [column.strip().lower() for column in lines[0]] if lines else []
    file_column = next((header.index(column) for column in FILE_COLUMNS if column in header), None)
    label_column = next((header.index(column) for column in LABEL_COLUMNS if column in header), None)
    if file_column is None or label_column is None:
        raise DatasetError(
            f"{root}: {table} has the columns {', '.join(header) or '(none)'}",
            f"Its first line must name a file column ({', '.join(FILE_COLUMNS)}) and a label column "
            f"({', '.join(LABEL_COLUMNS)})",
        )
    levels = _keys(names, prefix)
    labels: dict[str, str] = {}
    for number, row in enumerate(lines[1:], start=2):
        if not row:
            continue
        if len(row) <= max(file_column, label_column) or not row[file_column].strip() or not row[label_column].strip():
            raise DatasetError(
                f"{root}: {table}, row {number} has no file name or no label", "Complete or remove the row"
            )
        file, label = row[file_column].strip(), row[label_column].strip()
        spellings = (file, file.replace("\\", "/"))
        fits = next((level[key] for level in levels for key in spellings if key in level), [file])
        if len(fits) > 1:
            raise DatasetError(
                f"{root}: {table}, row {number} names {file}, which fits {fits[0]} and {fits[1]}",
                "Write the whole path of the one that is meant, with its suffix",
            )
        name = fits[0]
        if name in labels:
            raise DatasetError(f"{root}: {table}, row {number} lists {file} again", "Keep one row for each photograph")
        labels[name] = label
    if not labels:
        raise DatasetError(f"{root}: {table} has no rows", "List one photograph and its label on each row")
    return list(labels.items())


def _keys(names: Sequence[str], prefix: str) -> list[dict[str, list[str]]]:
    """What a table may call a photograph -> those it fits, strictest first: path, path below train, file name; stem."""
    levels: list[dict[str, list[str]]] = [{} for _ in range(6)]
    for name in names:
        below, last = _below(name, prefix), _last(name)
        keys = (name, _without_suffix(name), below, _without_suffix(below), last, _without_suffix(last))
        for level, key in zip(levels, keys, strict=True):
            level.setdefault(key, []).append(name)
    return levels


def _refuse_twins(rows: Sequence[Row], root: str) -> None:
    seen: dict[tuple[str, str], str] = {}
    for id, split, _, name in rows:
        twin = seen.setdefault((split, id), name)
        if twin != name:
            raise DatasetError(f"{root}: {twin} and {name} both have the id {id}", "Rename or remove one of them")

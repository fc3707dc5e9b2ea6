"""Which photographs there are: Kaggle's folder or zips, a folder per class, or a CSV beside a folder -> one table."""

import csv
import io
import os
import re
import threading
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from catsdogs.errors import DatasetError, UnreadablePhotographError

PHOTO_SUFFIXES = {".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
TRAIN_FOLDERS = ("train",)
TEST_FOLDERS = ("test", "test1")  # test1 is what the 2013 edition calls it
LABEL_TABLES = ("labels.csv", "train.csv")
SAMPLE_SUBMISSION = "sample_submission.csv"
FILE_COLUMNS = ("id", "file", "filename", "file_name", "image", "image_id", "path", "name")
LABEL_COLUMNS = ("label", "class", "breed", "category", "target")
MAX_FILE_BYTES = 256 * 2**20  # no camera writes more; a zip member that claims more is a bomb
UNLABELLED = -1


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
    table_path = root if root.suffix.lower() == ".csv" and root.is_file() else None
    locations, sample, tables = _list(root.parent if table_path else root)
    if table_path:
        tables = {table_path.name: table_path.read_text(encoding="utf-8-sig")}
    photographs = [name for name in locations if _is_photograph(name)]
    if not photographs:
        raise DatasetError(f"{root} holds no photographs", "Give --data the folder or zip that holds train/ and test/")
    classes, rows = parse(photographs, tables, str(root))
    missing = Location(root if root.is_dir() else root.parent, "")
    return Dataset(
        root=root,
        classes=classes,
        photographs=tuple(
            Photograph(id, split, label, locations.get(name, missing._replace(name=name)))
            for id, split, label, name in rows
        ),
        sample_submission=sample,
    )


def scan_unlabelled(root: Path) -> Dataset:
    """Every photograph under `root` (a folder, a zip or one file) as a test row without label, for predictions."""
    root = root.expanduser()
    if root.is_file() and _is_photograph(root.name):
        locations = {root.name: Location(root.parent, root.name)}
    else:
        locations, _, _ = _list(root)
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


def parse(names: Sequence[str], tables: Mapping[str, str], root: str = ".") -> tuple[tuple[str, ...], list[Row]]:
    """Photographs' relative paths, and the texts of CSV files beside them -> classes and rows (id, split, label, name).

    The layouts, first match wins: a `train` folder with class folders, a label table, or `<class>.<number>.jpg`;
    a label table beside a folder; a folder per class; `<class>.<number>.jpg` in one folder.

    Raises:
        DatasetError: as `scan`.
    """
    names = sorted(names)
    prefix = _common_folder(names, stop=(*TRAIN_FOLDERS, *TEST_FOLDERS))
    train = [name for name in names if _top(name, prefix) in TRAIN_FOLDERS]
    test = [name for name in names if _top(name, prefix) in TEST_FOLDERS]
    known = [table for table in LABEL_TABLES if table in tables]
    if not train and not known:
        known = [table for table in tables if table != SAMPLE_SUBMISSION]
        if len(known) > 1:
            raise DatasetError(
                f"{root} holds several tables: {', '.join(known)}", "Give --data the path of the CSV with the labels"
            )
    if known:
        labelled = _labels_from_table(known[0], tables[known[0]], train or names, root)
        if not train and not test:
            listed = {name for name, _ in labelled}
            test = [name for name in names if name not in listed]
    else:
        labelled = [(name, _label_of(name, prefix, root)) for name in train or sorted(set(names) - set(test))]
    classes = tuple(sorted({label for _, label in labelled}, key=natural_key))
    index = {label: position for position, label in enumerate(classes)}
    rows = [(_id(name, prefix), "train", index[label], name) for name, label in labelled]
    rows += [(PurePosixPath(name).stem, "test", UNLABELLED, name) for name in test]
    _refuse_twins(rows, root)
    return classes, sorted(rows, key=lambda row: (row[1] != "train", natural_key(row[0])))


def natural_key(text: str) -> tuple[list[str | int], str]:
    """A sort key by which `cat.10` follows `cat.9`; the text itself breaks ties such as `01` and `1`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)], text


def _list(root: Path) -> tuple[dict[str, Location], str | None, dict[str, str]]:
    """Relative path -> location of every file under a folder or zip; the sample submission; the tables at the top."""
    if not root.exists():
        raise DatasetError(f"No such folder or zip: {root}", "Check --data, or run `catsdogs fetch` to download it")
    if root.is_file():
        locations = _list_zip(root)
    else:
        locations = {name: Location(root, name) for name in _walk(root)}
        for name in locations:
            shown = name.encode(errors="backslashreplace").decode()
            if shown != name:
                raise DatasetError(f"The name of {root}/{shown} is not UTF-8", "Rename the file")
        for split in (*TRAIN_FOLDERS, *TEST_FOLDERS):
            if f"{split}.zip" in locations and not any(name.startswith(f"{split}/") for name in locations):
                members = _list_zip(root / f"{split}.zip")
                locations |= {f"{split}/{name.removeprefix(f'{split}/')}": member for name, member in members.items()}
        zips = [name for name in locations if name.endswith(".zip") and "/" not in name]
        if len(zips) == 1 and not any(map(_is_photograph, locations)):
            locations = _list_zip(root / zips[0])
    texts = {}
    for name, location in locations.items():
        if name.lower().endswith(".csv") and "/" not in name:
            reader = Dataset(root, (), ())
            try:
                texts[name] = reader.read(Photograph(name, "", UNLABELLED, location)).decode("utf-8-sig")
            except (UnreadablePhotographError, UnicodeDecodeError) as error:
                raise DatasetError(
                    f"{location} is not a table: {error}", "Save it as UTF-8 text, or remove it"
                ) from None
    return locations, texts.get(SAMPLE_SUBMISSION), texts


def _walk(root: Path) -> Iterable[str]:
    """Relative paths of all files, links to folders followed, each real folder once."""
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
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
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path} is not a readable zip: {error}", "Delete it and download it again") from None
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if ".." in parts or PurePosixPath(name).is_absolute() or re.match(r"[A-Za-z]:", name):
            raise DatasetError(f"{path} holds the unsafe name {name!r}", "Do not use this zip; get it from its source")
    names = [name for name in names if not any(map(_is_hidden, PurePosixPath(name).parts))]
    inner = [name for name in names if name.endswith(".zip")]
    if inner and not any(map(_is_photograph, names)):
        raise DatasetError(f"{path} holds zips inside ({inner[0]})", f"Unpack the outer one: unzip {path.name}")
    return {name: Location(path, name) for name in names}


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_photograph(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in PHOTO_SUFFIXES


def _common_folder(names: Sequence[str], stop: Sequence[str]) -> str:
    """The folder, with its slash, that every name starts with, down to but without a folder named in `stop`."""
    parts: list[str] = []
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    for level in zip(*folders, strict=False):
        if len(set(level)) > 1 or level[0] in stop:
            break
        parts.append(level[0])
    return "".join(f"{part}/" for part in parts)


def _top(name: str, prefix: str) -> str:
    """The first folder below the prefix, or nothing for a file that lies in the prefix itself."""
    return PurePosixPath(name[len(prefix) :]).parts[0] if "/" in name[len(prefix) :] else ""


def _without_suffix(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _id(name: str, prefix: str) -> str:
    relative = PurePosixPath(name[len(prefix) :])
    return _without_suffix(
        str(relative.relative_to(relative.parts[0]) if _top(name, prefix) in TRAIN_FOLDERS else relative)
    )


def _label_of(name: str, prefix: str, root: str) -> str:
    """The class folder, or what stands before the first dot of `cat.0.jpg`."""
    folders = [part for part in PurePosixPath(name[len(prefix) :]).parts[:-1] if part not in TRAIN_FOLDERS]
    if folders:
        return folders[0]
    match = re.fullmatch(r"([^.]+)\..+\.[^.]+", PurePosixPath(name).name)
    if not match:
        raise DatasetError(
            f"The name of {root}/{name} carries no label",
            "Name it like cat.0.jpg, put it into a folder per class, or list it in labels.csv",
        )
    return match[1]


def _labels_from_table(table: str, text: str, names: Sequence[str], root: str) -> list[tuple[str, str]]:
    """(photograph, label) for each row of a CSV; rows name a file by path, by name, or without its suffix."""
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
    found: dict[str, str] = {}
    for name in names:
        path = PurePosixPath(name)
        for key in (path.stem, path.name, _without_suffix(name), name):
            found[key] = name
    labels: dict[str, str] = {}
    for number, row in enumerate(lines[1:], start=2):
        if not row:
            continue
        if len(row) <= max(file_column, label_column) or not row[file_column].strip() or not row[label_column].strip():
            raise DatasetError(
                f"{root}: {table}, row {number} has no file name or no label", "Complete or remove the row"
            )
        file, label = row[file_column].strip(), row[label_column].strip()
        name = found.get(file, file)
        if name in labels:
            raise DatasetError(f"{root}: {table}, row {number} lists {file} again", "Keep one row for each photograph")
        labels[name] = label
    if not labels:
        raise DatasetError(f"{root}: {table} has no rows", "List one photograph and its label on each row")
    return list(labels.items())


def _refuse_twins(rows: Sequence[Row], root: str) -> None:
    seen: dict[tuple[str, str], str] = {}
    for id, split, _, name in rows:
        twin = seen.setdefault((split, id), name)
        if twin != name:
            raise DatasetError(f"{root}: {twin} and {name} both have the id {id}", "Rename or remove one of them")

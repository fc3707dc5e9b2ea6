"""What photographs' names and a table of labels say: which are to learn from, their ids and their classes."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

from catsdogs.errors import DatasetError
from catsdogs.filetypes import is_photograph

TRAIN_FOLDERS = ("train",)  # compared without case, as are the next four
TEST_FOLDERS = ("test", "test1")  # test1 is what the 2013 edition calls it
IMAGE_FOLDER, MASK_FOLDER = "images", "annotations"  # Oxford-IIIT Pet's; the second one holds pictures, too
SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test", "testing"}
CAMERA_NAMES = {"dsc", "dscn", "image", "img", "mg", "photo", "pxl"}  # who names a file IMG_1234 says nothing of it
LABEL_TABLES = ("labels.csv", "train.csv")
SAMPLE_SUBMISSION = "sample_submission.csv"
FILE_COLUMNS = ("id", "file", "filename", "file_name", "image", "image_id", "path", "name")
LABEL_COLUMNS = ("label", "class", "breed", "category", "target")
UNLABELLED = -1
_NUMBERS = re.compile(r"(\d+)")
_MAX_DIGITS = 1000  # of a number that counts in the order of names; Python refuses to read far longer ones
_LABEL_NUMBER_SUFFIX = re.compile(r"([^.]+)\.(?:.+\.[^.]+|\d+)")
_LABEL_UNDERSCORE_NUMBER = re.compile(r"([^\d.]+)_\d+\.[^.]+")  # a phone's IMG_20181224_183000 has digits before

Row = tuple[str, str, int, str]


def photographs(names: Iterable[str]) -> list[str]:
    """Those of the names that are photographs, without the masks that lie beside Oxford-IIIT Pet's."""
    names = [name for name in names if is_photograph(name)]
    prefix = common_folder(names, stop=(*TRAIN_FOLDERS, *TEST_FOLDERS))
    tops = [_top(name, prefix).lower() for name in names]
    if IMAGE_FOLDER in tops and MASK_FOLDER in tops:
        return [name for name, top in zip(names, tops, strict=True) if top != MASK_FOLDER]
    return names


def parse(names: Sequence[str], table: tuple[str, str] | None, root: str = ".") -> tuple[tuple[str, ...], list[Row]]:
    """Photographs' relative paths, and the name and text of a label table -> classes and rows (id, split, label, name).

    Without a table the label is the class folder, else what stands before the first dot of `<class>.<number>.jpg`. If
    there are no folders but train/ or images/ and none is named like that, it is what stands before the number in
    Oxford-IIIT Pet's `<class>_<number>.jpg`, provided that there are two classes: one is what a camera writes.

    Raises:
        DatasetError: no layout recognised, a name without a label, an id given twice.
    """
    prefix, train, rest, test = _splits(names)
    if table:
        labelled = _labels_from_table(*table, train or rest or names, prefix, root)
        if not train and not test:
            listed = {name for name, _ in labelled}
            test = [name for name in rest if name not in listed]
    else:
        prefix, labelled = _labels_from_names(train, rest, prefix, root)
        labels = {label for _, label in labelled}
        if labels and {label.lower() for label in labels} <= SPLIT_NAMES:
            raise DatasetError(
                f"{root} has no classes but {', '.join(sorted(labels, key=natural_key))}, which name splits",
                "Put the labelled photographs into train/, in a folder per class or named like cat.0.jpg",
            )
    stems = [without_suffix(_last(name)) for name in test]  # what Kaggle's sample submission lists
    if len(set(stems)) < len(stems):
        stems = [without_suffix(_below(name, prefix)) for name in test]
    return tabulate(
        [(without_suffix(_below(name, prefix)), label, name) for name, label in labelled],
        list(zip(stems, test, strict=True)),
        root,
    )


def tabulate(
    labelled: Iterable[tuple[str, str, str]], test: Iterable[tuple[str, str]], root: str
) -> tuple[tuple[str, ...], list[Row]]:
    """(id, label, name) to learn from and (id, name) to predict -> classes and rows in their natural order.

    Raises:
        DatasetError: an id is given twice in a split.
    """
    labelled = list(labelled)
    classes = tuple(sorted({label for _, label, _ in labelled}, key=natural_key))
    index = {label: position for position, label in enumerate(classes)}
    rows = [(id, "train", index[label], name) for id, label, name in labelled]
    rows += [(id, "test", UNLABELLED, name) for id, name in test]
    _refuse_twins(rows, root)
    return classes, sorted(rows, key=lambda row: (row[1] != "train", natural_key(row[0])))


def natural_key(text: str) -> tuple[list[str | int], str]:
    """A sort key by which `cat.10` follows `cat.9`; the text itself breaks ties such as `01` and `1`."""
    return [int(part[:_MAX_DIGITS]) if part.isdecimal() else part for part in _NUMBERS.split(text)], text


def choose_table(names: Sequence[str], tables: Sequence[str], root: str) -> str | None:
    """`labels.csv` or `train.csv`; else the only CSV beside one flat folder whose names do not all carry a label.

    Raises:
        DatasetError: there are several to choose from.
    """
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


def common_folder(names: Sequence[str], stop: Sequence[str] = ()) -> str:
    """The folder, with its slash, that every name starts with, down to but without a folder named in `stop`."""
    parts: list[str] = []
    folders = {name.rpartition("/")[0] for name in names}  # few, where names are many
    for level in zip(*(PurePosixPath(folder).parts for folder in folders), strict=False):
        if len(set(level)) > 1 or level[0].lower() in stop:
            break
        parts.append(level[0])
    return "".join(f"{part}/" for part in parts)


def without_suffix(name: str) -> str:
    """`train/cat.0.jpg` -> `train/cat.0`, which stays as it is."""
    stem, _, suffix = _last(name).rpartition(".")
    return name.removesuffix(f".{suffix}") if stem and suffix and not suffix.isdecimal() else name


def leads_elsewhere(name: str) -> bool:
    """Whether a name, with either slash, is not that of something below the folder that it is seen from."""
    parts = name.replace("\\", "/").split("/")
    return not parts[0] or ".." in parts or "\0" in name or re.match(r"[A-Za-z]:|[^/]+://", name) is not None


def _splits(names: Sequence[str]) -> tuple[str, list[str], list[str], list[str]]:
    """The folder common to all names; the sorted names in a train folder, in neither, and in a test folder."""
    names = sorted(names)
    prefix = common_folder(names, stop=(*TRAIN_FOLDERS, *TEST_FOLDERS))
    tops = {name: _top(name, prefix).lower() for name in names}
    train = [name for name in names if tops[name] in TRAIN_FOLDERS]
    test = [name for name in names if tops[name] in TEST_FOLDERS]
    return prefix, train, [name for name in names if tops[name] not in (*TRAIN_FOLDERS, *TEST_FOLDERS)], test


def _top(name: str, prefix: str) -> str:
    """The first folder below the prefix, or nothing for a file that lies in the prefix itself."""
    return name.removeprefix(prefix).rpartition("/")[0].split("/")[0]


def _below(name: str, prefix: str) -> str:
    """What follows the prefix and, if there is one, the train or test folder."""
    top = _top(name, prefix)
    return name.removeprefix(prefix).removeprefix(f"{top}/" if top.lower() in (*TRAIN_FOLDERS, *TEST_FOLDERS) else "")


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _label_in(name: str) -> str | None:
    """`cat` of `cat.0.jpg`."""
    match = _LABEL_NUMBER_SUFFIX.fullmatch(_last(name))
    return match[1] if match else None


def _breed_in(name: str) -> str | None:
    """`shiba_inu` of `shiba_inu_12.jpg`."""
    match = _LABEL_UNDERSCORE_NUMBER.fullmatch(_last(name))
    return match[1] if match and match[1].strip("_").lower() not in CAMERA_NAMES else None


def _labels_from_names(
    train: Sequence[str], rest: Sequence[str], prefix: str, root: str
) -> tuple[str, list[tuple[str, str]]]:
    """The folder below which the class folders are, and (photograph, label) for each in train or, without, in rest."""
    names, read = train or rest, _label_in
    if names and not any(_top(_below(name, prefix), "") or _label_in(name) for name in names):
        folder = _last(prefix.rstrip("/"))
        if not train and folder.lower() not in ("", IMAGE_FOLDER):
            prefix = prefix.removesuffix(f"{folder}/")  # one class folder alone is common to all names
        elif len({_breed_in(name) for name in names} - {None}) > 1:
            read = _breed_in
    return prefix, [(name, _label_of(name, prefix, read, root)) for name in names]


def _label_of(name: str, prefix: str, read: Callable[[str], str | None], root: str) -> str:
    """The class folder, or what `read` finds in the name."""
    for folder in name.removeprefix(prefix).split("/")[:-1]:
        if folder.lower() not in TRAIN_FOLDERS:
            return folder
    label = read(name)
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
    levels, there = _keys(names, prefix), set(names)
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
        if name not in there and leads_elsewhere(name):
            raise DatasetError(
                f"{root}: {table}, row {number} names {file!r}, which is not below that folder",
                "Move or link the photograph there, and name it as seen from the folder",
            )
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
        keys = (name, without_suffix(name), below, without_suffix(below), last, without_suffix(last))
        for level, key in zip(levels, keys, strict=True):
            level.setdefault(key, []).append(name)
    return levels


def _refuse_twins(rows: Sequence[Row], root: str) -> None:
    seen: dict[tuple[str, str], str] = {}
    for id, split, _, name in rows:
        twin = seen.setdefault((split, id), name)
        if twin != name:
            raise DatasetError(f"{root}: {twin} and {name} both have the id {id}", "Rename or remove one of them")

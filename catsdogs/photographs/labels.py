"""Names of photographs, and a label table -> which photographs are to learn from, their ids and their classes."""

import functools
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from posixpath import basename
from typing import NamedTuple

from catsdogs.errors import DatasetError, and_more, in_short
from catsdogs.photographs import label_cells, label_tables, splits
from catsdogs.photographs.filetypes import is_photograph
from catsdogs.photographs.label_columns import Wanted
from catsdogs.photographs.label_tables import Labels
from catsdogs.photographs.names import common_folder, natural_key, one_form, without_suffix
from catsdogs.photographs.sample import is_sample
from catsdogs.photographs.splits import TEST, THIRD, TRAIN, Placement, label_before_dot

IMAGE_FOLDER, MASK_FOLDER = "images", "annotations"  # Oxford-IIIT Pet's; the second holds pictures, too
CAMERA_NAMES = {"dsc", "dscn", "image", "img", "mg", "photo", "pxl"}  # names like IMG_1234 carry no label
LABEL_TABLES = ("labels.csv", "train.csv")
UNLABELLED = -1
_LABEL_UNDERSCORE_NUMBER = re.compile(r"([^\d.]+)_\d+\.[^.]+")  # a phone's IMG_20181224_183000 has digits before


class Row(NamedTuple):
    """A photograph of a data set: its id, which is unique in its split, the number of its class, and its name."""

    id: str
    split: str
    label: int
    name: str


def photographs(names: Iterable[str]) -> list[str]:
    """The names of photographs, without the masks that lie beside Oxford-IIIT Pet's."""
    names = [name for name in names if is_photograph(name)]
    prefix = common_folder(names)
    tops = [name.removeprefix(prefix).partition("/")[0].lower() for name in names]
    if IMAGE_FOLDER in tops and MASK_FOLDER in tops:
        return [name for name, top in zip(names, tops, strict=True) if top != MASK_FOLDER]
    return names


def classes_and_rows(
    names: Sequence[str],
    table: tuple[str, str] | None,
    root: str = ".",
    notes: list[str] | None = None,
    wanted: Wanted | None = None,
) -> tuple[tuple[str, ...], list[Row]]:
    """Photographs' relative paths, and the name and text of a label table -> classes and rows (id, split, label, name).

    As `read_alone`, without what it says of the labels.
    """
    return read_alone(names, table, root, notes, wanted)[1:]


def read_alone(
    names: Sequence[str],
    table: tuple[str, str] | None,
    root: str,
    notes: list[str] | None = None,
    wanted: Wanted | None = None,
    kind: str = "",
) -> tuple[Labels, tuple[str, ...], list[Row]]:
    """Photographs' relative paths, and the name and text of a label table -> labels, classes and rows.

    For a data set without a sample submission. Without a table the label is the class folder, else what stands before
    the first dot of `<class>.<number>.jpg`. If there are no folders but splits or images/ and no name is like that, the
    label is what stands before the number in Oxford-IIIT Pet's `<class>_<number>.jpg`, provided that there are two
    classes: one alone is a camera's prefix. Labelled photographs of a third split, such as validation/, are learnt
    from, too.

    Args:
        notes: gets sentences about photographs that are left out or treated in a surprising way.
        wanted: by what the label column is recognised, see `label_tables.read_label_table`.
        kind: that of labels, if a person gave it.

    Raises:
        DatasetError: no layout recognised, a name without a label, an id given twice.
    """
    where = splits.placements(sorted(names), root, has_table=table is not None)
    by_role = by_roles(where)
    if table:
        known = names_to_learn_from(by_role, where)
        labels = label_tables.read_label_table(*table, known, root, wanted, kind)
        labelled = [(name, label) for name, label in labels.labelled if name in known.names or name not in where]
        if (for_test := len(labels.labelled) - len(labelled)) and notes is not None:
            notes.append(_not_learnt_from(table[0], for_test))
        listed = {name for name, _ in labelled}
        is_split = by_role[TRAIN] or by_role[TEST]
        test = [name for name in (by_role[TEST] if is_split else by_role[None]) if name not in listed]
        why_left_out = f"not in {table[0]}"
    else:
        labels = of_names(_labels_from_names(by_role, where, root), root, kind)
        labelled = labels.labelled
        test = by_role[TEST]
        why_left_out = "in no split, or without a label there"
    classes, rows = tabulate(_ids(labelled, where), _test_ids(test, where), root)
    if notes is not None:
        notes += _notes(where, {name for name, _ in labelled}, set(test), why_left_out)
    return labels, classes, rows


def rows_beside(
    asked: Mapping[str, str], labels: Labels, where: dict[str, Placement], root: str, notes: list[str]
) -> tuple[tuple[str, ...], list[Row]]:
    """Classes and rows of a data set with a sample submission: those asked for, and all others that have a label.

    Args:
        asked: the name of each photograph that is asked for -> its id.
        where: the placement of each photograph.
        notes: as in `classes_and_rows`.
    """
    to_predict = functools.cache(lambda: label_tables.PhotographNames([[*asked]], lambda name: where[name].below))
    labelled = [
        (name, label)
        for name, label in labels.labelled
        if name not in asked and (name in where or not to_predict().matching(name))
    ]
    if for_test := len(labels.labelled) - len(labelled):
        notes.append(_not_learnt_from(labels.source, for_test))
    why = f"not asked for, and {f'not in {labels.source}' if labels.source else 'without a label'}"
    notes += _notes(where, {name for name, _ in labelled}, asked.keys(), why, has_class_folders=not labels.source)
    return tabulate(_ids(labelled, where), ((id, name) for name, id in asked.items()), root)


def of_names(labelled: list[tuple[str, str]], root: str, kind: str) -> Labels:
    """Labels that names carry: classes, unless a person gave another `kind`."""
    if not kind:
        return Labels("", labelled)
    texts, form = label_cells.of_column(dict(labelled), None, kind, "", root)
    return Labels("", list(texts.items()), form)


def labels_in_names(
    names: Sequence[str], asked: Mapping[str, str], root: str, kind: str = ""
) -> tuple[Labels, dict[str, Placement]]:
    """The labels that the names of photographs that are not asked for carry, and where all photographs lie.

    Raises:
        DatasetError: a name without a label; folders that may be splits or classes.
    """
    try:
        where = splits.placements(sorted(names), root)
    except DatasetError:  # beside those that are asked for folders may be unclear that alone are classes
        others = [name for name in sorted(names) if name not in asked]
        where = {name: Placement(TEST, "", name) for name in names} | splits.placements(others, root)
    return of_names(_labels_from_names(by_roles(where, asked), where, root), root, kind), where


def by_roles(where: Mapping[str, Placement], asked: Collection[str] = ()) -> dict[str | None, list[str]]:
    """Role -> the photographs of that placement, without those that are asked for."""
    by_role: dict[str | None, list[str]] = {role: [] for role in (TRAIN, THIRD, None, TEST)}
    for name, place in where.items():
        if name not in asked:
            by_role[place.role].append(name)
    return by_role


def names_to_learn_from(
    by_role: Mapping[str | None, Sequence[str]], where: Mapping[str, Placement], has_sample: bool = False
) -> label_tables.PhotographNames:
    """The spellings of the photographs that a label table may be about."""
    groups = [by_role[TRAIN], by_role[THIRD], by_role[None]]
    if has_sample or not any(groups):  # a test photograph that nobody asks for may be one of an earlier stage
        groups.append(by_role[TEST])
    return label_tables.PhotographNames(filter(None, groups), lambda name: where[name].below)


def _not_learnt_from(source: str, rows: int) -> str:
    return f"{source}: its {rows:,} rows about photographs to be predicted are not learnt from"


def tabulate(
    labelled: Iterable[tuple[str, str, str]], test: Iterable[tuple[str, str]], root: str
) -> tuple[tuple[str, ...], list[Row]]:
    """(id, label, name) to learn from and (id, name) to predict -> classes and rows in their natural order.

    Raises:
        DatasetError: an id is given twice in a split.
    """
    labelled = list(labelled)
    labels = sorted({label for _, label, _ in labelled}, key=natural_key)
    written: dict[str, str] = {}  # all Unicode forms of a class are one, named by the first
    classes = tuple(label for label in labels if written.setdefault(one_form(label), label) == label)
    position = {label: number for number, label in enumerate(classes)}
    rows = [Row(id, "train", position[written[one_form(label)]], name) for id, label, name in labelled]
    rows += [Row(id, "test", UNLABELLED, name) for id, name in test]
    _refuse_repeated_ids(rows, root)
    return classes, sorted(rows, key=lambda row: (row[1] != "train", natural_key(row[0])))


def choose_table(names: Sequence[str], tables: Sequence[str], root: str) -> str | None:
    """`labels.csv` or `train.csv`; else the only CSV beside one flat folder whose names do not all carry a label.

    Raises:
        DatasetError: there are several to choose from.
    """
    for name in LABEL_TABLES:
        if named := [table for table in tables if table.lower() == name]:
            return named[0]
    others = [table for table in tables if not is_sample(table)]
    if not others:
        return None
    where = splits.placements(names, root, has_table=True)
    rest = [place.below for place in where.values() if place.role is None]
    is_train = any(place.role in (TRAIN, THIRD) for place in where.values())
    if is_train or any("/" in below for below in rest) or all(map(label_before_dot, rest)):
        return None
    if len(others) > 1:
        raise DatasetError(
            f"{root} holds several tables: {in_short(others)}", "Give --data the path of the CSV with the labels"
        )
    return others[0]


def _breed_in(name: str) -> str | None:
    """`shiba_inu` of `shiba_inu_12.jpg`."""
    match = _LABEL_UNDERSCORE_NUMBER.fullmatch(basename(name))
    return match[1] if match and match[1].strip("_").lower() not in CAMERA_NAMES else None


def _labels_from_names(
    by_role: dict[str | None, list[str]], where: dict[str, Placement], root: str
) -> list[tuple[str, str]]:
    """(photograph, label) of the training split or, without one, of no split; and of a third split."""
    names, read_label = by_role[TRAIN] or by_role[None] or by_role[THIRD], label_before_dot
    if names and not any("/" in where[name].below or label_before_dot(name) for name in names):
        parent, _, folder = where[names[0]].folder.rstrip("/").rpartition("/")
        if where[names[0]].role is None and folder.lower() not in ("", IMAGE_FOLDER):
            for name in names:  # a class folder that is alone is common to all names
                where[name] = Placement(None, f"{parent}/" if parent else "", f"{folder}/{where[name].below}")
        elif len({_breed_in(name) for name in names} - {None}) > 1:
            read_label = _breed_in
    labels = [(name, _label_of(name, where[name].below, read_label)) for name in names]
    if names is not by_role[THIRD]:
        third = [(name, _label_of(name, where[name].below, read_label)) for name in by_role[THIRD]]
        labels += third if any(label for _, label in third) else []
    without = [name for name, label in labels if label is None]
    if without:
        raise DatasetError(
            f"The name of {root}/{without[0]} carries no label{and_more(without[1:], 'like it')}",
            "Name it like cat.0.jpg, put it into a folder per class, or list it in labels.csv",
            without,
        )
    known = [(name, label) for name, label in labels if label is not None]
    splits_used = {basename(where[name].folder.rstrip("/")) for name, _ in known if where[name].role}
    if len({label for _, label in known}) < 2 and len(splits_used) > 1:
        raise DatasetError(
            f"{root} has no classes but {', '.join(sorted(splits_used, key=natural_key))}, which name splits",
            "Put the labelled photographs into train/, in a folder per class or named like cat.0.jpg",
        )
    return known


def _label_of(name: str, below: str, read_label: Callable[[str], str | None]) -> str | None:
    """The class folder, or what `read_label` finds in the name."""
    folder, slash, _ = below.partition("/")
    return folder if slash else read_label(name)


def _ids(labelled: Sequence[tuple[str, str]], where: dict[str, Placement]) -> list[tuple[str, str, str]]:
    """(id, label, name). The id is the path below the split, after the split's name where several splits clash."""
    # A table may list what is not there.
    places = [where.get(name) or Placement(None, "", name) for name, _ in labelled]
    ids = [without_suffix(place.below) for place in places]
    several = len({place.folder for place in places if place.role == TRAIN}) > 1
    clash = several and len(set(map(one_form, ids))) < len(ids)
    is_third_alone = all(place.role == THIRD for place in places)
    rows = []
    for id, place, (name, label) in zip(ids, places, labelled, strict=True):
        if (clash and place.role) or (place.role == THIRD and not is_third_alone):
            id = f"{basename(place.folder.rstrip('/'))}/{id}"
        rows.append((id, label, name))
    return rows


def _test_ids(test: Sequence[str], where: dict[str, Placement]) -> list[tuple[str, str]]:
    """(id, name). The id is the file name, which Kaggle's sample submission lists; the path where names occur twice."""
    below = [where[name].below for name in test]
    folders = [basename(where[name].folder.rstrip("/")) for name in test]
    candidates = (
        [without_suffix(basename(name)) for name in test],
        [without_suffix(path) for path in below],
        [without_suffix(f"{folder}/{path}") for folder, path in zip(folders, below, strict=True)],
    )
    ids = next((ids for ids in candidates if len(set(map(one_form, ids))) == len(ids)), candidates[0])
    return list(zip(ids, test, strict=True))


def _notes(
    where: Mapping[str, Placement],
    labelled: Collection[str],
    test: Collection[str],
    why_left_out: str,
    has_class_folders: bool = True,
) -> list[str]:
    """Sentences about labelled photographs in other splits than the training split, and about those in no row."""
    third = Counter(where[name].folder for name in labelled if name in where and where[name].role == THIRD)
    classes = {where[name].below.partition("/")[0] for name in labelled if name in where}
    in_folders = (where[name] for name in test if has_class_folders and "/" in where[name].below)
    hidden = Counter(place.folder for place in in_folders if place.below.partition("/")[0] in classes)
    left_out = Counter(
        (place.folder if place.role else name.rpartition("/")[0]) or "the folder itself"
        for name, place in where.items()
        if name not in labelled and name not in test
    )
    notes = [
        f"{folder}: its {count:,} labelled photographs are learnt from, too" for folder, count in sorted(third.items())
    ]
    notes += [
        f"{folder}: its {count:,} photographs are there to be predicted, and their class folders are not looked at"
        for folder, count in sorted(hidden.items())
    ]
    if left_out:
        folders = in_short([f"{count:,} in {folder}" for folder, count in left_out.items()])
        notes.append(f"left out, for they are {why_left_out}: {left_out.total():,} photographs, {folders}")
    return notes


def _refuse_repeated_ids(rows: Sequence[Row], root: str) -> None:
    seen: dict[str, dict[str, str]] = {"train": {}, "test": {}}
    repeated: dict[str, tuple[str, str]] = {}
    for id, split, _, name in rows:
        first_name = seen[split].setdefault(one_form(id), name)
        if first_name != name:
            repeated.setdefault(id, (first_name, name))
    if repeated:
        (id, (first, second)), *others = repeated.items()
        raise DatasetError(
            f"{root}: {first} and {second} both have the id {id}{and_more([id for id, _ in others], 'ids like it')}",
            "Rename or remove one of them",
            [f"{one} and {other}" for one, other in repeated.values()],
        )

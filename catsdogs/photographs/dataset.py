"""A data set in any layout (Kaggle's folder or zips, a folder per class, TFRecord files, a CSV) -> one table."""

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from catsdogs.errors import DatasetError, UnknownNameError, UnreadablePhotographError, UsageError, in_short
from catsdogs.files import storage
from catsdogs.photographs import filetypes, locations, recognition, tfrecord
from catsdogs.photographs.groups import Offer
from catsdogs.photographs.labels import UNLABELLED, Row, photographs, tabulate
from catsdogs.photographs.locations import Location, Reader
from catsdogs.photographs.names import Names, common_folder, without_suffix
from catsdogs.photographs.recognition import Given
from catsdogs.photographs.sample import Sample
from catsdogs.photographs.task import ORDINAL, Task
from catsdogs.photographs.tfrecord import Record

SEED = 2018
_READERS = 8
_OF_ANY_LABEL = "any label"
_NOTHING = Given()


class Photograph(NamedTuple):
    """One row of the table: `id` is unique within its split, `label` indexes `Dataset.classes` or is -1."""

    id: str
    split: str
    label: int
    location: Location


@dataclass(frozen=True)
class Dataset:
    """All photographs of a competition, train rows first, each split in the natural order of its ids.

    Attributes:
        truth: the class of each test id that was held out, here or when TFRecord files were written.
        notes: sentences about photographs that are left out or treated in a surprising way.
        left_alone: names of pictures of kinds that are not read.
        absent: locations that a table lists and where there is no file.
        asked: what the sample submission asks for, where there is one.
        labels_from: where the labels stand, in words.
        others: how many files of other kinds there are besides.
        groups: id of a training row -> what it hangs together with, such as a patient; empty where no person said so.
        offers: columns by which photographs may hang together.
    """

    root: Path
    classes: tuple[str, ...]
    photographs: tuple[Photograph, ...]
    sample_submission: str | None = None
    truth: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_alone: tuple[str, ...] = ()
    absent: frozenset[Location] = frozenset()
    asked: Task | None = None
    labels_from: str = ""
    others: int = 0
    groups: Mapping[str, str] = field(default_factory=dict)
    offers: tuple[Offer, ...] = ()
    _reader: Reader = field(default_factory=Reader, repr=False, compare=False)

    @property
    def task(self) -> Task:
        """What the competition asks for; without a sample submission, what most ask."""
        return self.asked or Task.of_classes(self.classes)

    def of(self, split: str) -> list[Photograph]:
        """The rows of `train` or `test`."""
        return [photograph for photograph in self.photographs if photograph.split == split]

    @cached_property
    def by_key(self) -> dict[tuple[str, str], Photograph]:
        """Every row under (split, id)."""
        return {(photograph.split, photograph.id): photograph for photograph in self.photographs}

    def find(self, split: str, id: str) -> Photograph | None:
        """The photograph of a row; for a test row that was held out of the training rows, the labelled photograph."""
        return self.by_key.get((split, id)) or (self.by_key.get(("train", id)) if split == "test" else None)

    def size(self, photograph: Photograph) -> int | None:
        """How many bytes a photograph has, where that takes no reading; see `Reader.size`."""
        return self._reader.size(photograph.location)

    def read(self, photograph: Photograph) -> bytes:
        """The bytes of one photograph.

        Raises:
            UnreadablePhotographError: the file is gone, cannot be read, or is larger than `locations.MAX_FILE_BYTES`.
            StoreError: the object store that it lies in went on failing, or refuses to be read.
        """
        return self._reader.read(photograph.location)


def scan(
    root: Path,
    classes: Sequence[str] = (),
    holdout: float = 0.0,
    seed: int = SEED,
    given: Given = _NOTHING,
    is_answered: bool = True,
) -> Dataset:
    """Recognise the layout under `root` (a folder, a zip, TFRecord files, or a CSV of labels) and list its rows.

    Args:
        classes: labelled photographs of other classes are left out; without any name, all are kept.
        holdout: between 0 and 1, this share of each class (at least one photograph, and the copies of each) becomes the
            test rows, instead of the data set's own, and `Dataset.truth` keeps their classes.
        seed: with the ids and classes, and nothing else, it decides which photographs those are.
        given: what a person says where the files do not tell.
        is_answered: whether a sample submission must be such that it can be answered from what is there.

    Raises:
        DatasetError: nothing there, no layout recognised, a name without a label, an id given twice, a class that
            `holdout` would leave without photographs to learn from.
        StoreError: the object store went on failing, or refuses to be read.
        UnknownNameError: no such class.
        UsageError: `holdout` is not between 0 and 1.
    """
    if holdout and not 0 < holdout < 1:
        raise UsageError(f"--holdout {holdout:g} is no share of photographs", "Give one between 0 and 1, such as 0.15")
    root = root.expanduser()
    dataset = _recognise(root, given, is_answered and not (classes or holdout))
    if classes and (picked := _pick(dataset, classes)) is not dataset:
        dataset = picked
    elif classes and not holdout:  # all there are, so that the sample submission is answered after all
        dataset = _recognise(root, given, is_answered)
    return _hold_out(dataset, holdout, seed) if holdout else dataset


def scan_unlabelled(root: Path) -> Dataset:
    """Every photograph under `root` (a folder, a zip, TFRecord files or one file) as a test row, for predictions."""
    root = root.expanduser()
    files = locations.list_files(root)
    names = photographs(files)
    if names:
        prefix = common_folder(names)
        paths = [name.removeprefix(prefix) for name in names]
        ids = [without_suffix(path) for path in paths]
    else:
        records = _list_records(root, files)
        if not records:
            raise _empty(root, files, "Give --data a photograph, or a folder or zip of them")
        files = {name: _location(record) for name, record in records.items()}
        names = list(records)
        paths = [f"{record.split}/{record.id}" for record in records.values()]
        ids = [record.id for record in records.values()]
    rows = tabulate((), zip(ids if len(set(ids)) == len(ids) else paths, names, strict=True), str(root))
    return _dataset(root, *rows, files)


def scan_asked(root: Path, images: str = "") -> tuple[Dataset, Sample] | None:
    """The photographs that the sample submission under `root` asks for, as test rows; None without such a sample.

    Those it asks for that are not there are in the `Sample` alone. No labels are looked for.

    Raises:
        DatasetError: nothing there, or a sample that cannot be read.
    """
    root = root.expanduser()
    table = _table_at(root)
    files = locations.list_files(root.parent if table else root)
    sample = recognition.match_sample(root, files, photographs(files), table, images)
    if not sample:
        return None
    names = {id: name for id, name in sample.asked.items() if name in files}
    _, rows = tabulate((), names.items(), str(root))
    return replace(_dataset(root, (), rows, files), sample_submission=sample.text), sample


def _table_at(root: Path) -> str:
    """The name of the CSV that a person gave as the data set; empty if it is no CSV."""
    is_table = root.suffix.lower() == ".csv" and (storage.is_remote(root) or root.is_file())
    return root.name if is_table else ""


def _recognise(root: Path, given: Given, is_answered: bool) -> Dataset:
    """All rows of a data set in the layout that it has."""
    table = _table_at(root)
    files = locations.list_files(root.parent if table else root)
    if table:
        files.setdefault(table, Location(root.parent, table))
    names = photographs(files)
    notes: list[str] = []
    truth: dict[str, str] = {}
    task: Task | None = None
    labels_from, used = "the records", frozenset[str]()
    groups, offers = dict[str, str](), list[Offer]()
    if names:
        classes, rows, sample, task, notes, labels_from, used, groups, offers = recognition.recognise(
            root, files, names, given, table, is_answered
        )
    else:
        records = {} if table else _list_records(root, files, truth)
        if not records:
            raise _empty(root, files, "Give --data the folder or zip that holds train/ and test/")
        read = {str(record.path) for record in records.values()}
        rest = [name for name, place in files.items() if tfrecord.is_record_file(name) and str(place) not in read]
        if rest:
            notes.append(f"left out, for they are in no folder train/ or test/: {len(rest):,} shards, {in_short(rest)}")
        classes, rows = tabulate(
            [(record.id, record.label, name) for name, record in records.items() if record.split == "train"],
            [(record.id, name) for name, record in records.items() if record.split == "test"],
            str(root),
        )
        sample, task = recognition.of_records(root, files, classes, rows, given, is_answered)
        files = {name: _location(record) for name, record in records.items()}
    rows, absent = _without_absent(rows, files)
    return replace(
        _dataset(root, classes, rows, files),
        truth=truth,
        sample_submission=sample,
        asked=task,
        notes=(*notes, *absent),
        labels_from=labels_from,
        others=_count_others(files, names, used) if names else 0,
        groups={row.id: groups[row.name] for row in rows if row.split == "train" and row.name in groups},
        offers=tuple(offers),
    )


def _count_others(files: Mapping[str, Location], names: Sequence[str], used: AbstractSet[str]) -> int:
    """How many files are no photographs, were not read, and are no zip that others lie in."""
    opened = {location.container for location in files.values()}
    zips = sum(
        name.lower().endswith(".zip") and location.container / location.name in opened
        for name, location in files.items()
    )
    return len(files) - len(names) - len(used & files.keys()) - zips


def _without_absent(rows: Sequence[Row], files: Mapping[str, Location]) -> tuple[list[Row], list[str]]:
    """The rows, and what is to be said: of a part of a data set, whose table lists more than is there, that part's."""
    there = [row for row in rows if row.name in files]
    gone = len(rows) - len(there)
    if gone <= sum(row.split == "train" for row in there):
        return list(rows), []
    first = next(row.id for row in rows if row.name not in files)
    return there, [
        f"of the {len(rows):,} photographs that its table lists, {gone:,} are not there, such as {first}: "
        "a part of the data set, and the rest goes on"
    ]


def _empty(root: Path, files: Iterable[str], remedy: str) -> DatasetError:
    instead = filetypes.describe_instead(files)
    if instead:
        return DatasetError(f"{root} holds pictures of kinds that are not read: {instead}", remedy)
    return DatasetError(f"{root} holds no photographs", remedy)


def _dataset(root: Path, classes: tuple[str, ...], rows: Sequence[Row], files: Mapping[str, Location]) -> Dataset:
    folder = root if locations.is_folder(root) else root.parent  # a table may list what is not there
    absent = {name: Location(folder, name) for _, _, _, name in rows if name not in files}
    return Dataset(
        root,
        classes,
        tuple(Photograph(id, split, label, files.get(name) or absent[name]) for id, split, label, name in rows),
        left_alone=tuple(filetypes.left_alone(files)),
        absent=frozenset(absent.values()),
    )


def _pick(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """The data set without labelled photographs of other classes, and without its sample submission, which has them."""
    if not dataset.task.has_classes:
        raise UsageError(
            f"--classes {','.join(names)} would leave out rows by their class, and {dataset.root} is of the kind "
            f"{dataset.task.kind}",
            "Leave it out, or give --kind classes",
        )
    known = Names(dataset.classes)
    chosen = {known.find(name): name for name in names}
    if None in chosen:
        raise UnknownNameError("class", chosen[None], list(dataset.classes))
    classes = tuple(name for name in dataset.classes if name in chosen)
    if classes == dataset.classes:
        return dataset
    label = {dataset.classes.index(name): position for position, name in enumerate(classes)} | {UNLABELLED: UNLABELLED}
    others = {id for id, name in dataset.truth.items() if name not in classes}
    kept = tuple(
        row._replace(label=label[row.label])
        for row in dataset.photographs
        if row.label in label and not (row.split == "test" and row.id in others)
    )
    truth = {id: name for id, name in dataset.truth.items() if name in classes}
    asked = dataset.asked if dataset.task.kind == ORDINAL else None  # the others ask for these classes
    picked = replace(dataset, classes=classes, photographs=kept, sample_submission=None, asked=asked, truth=truth)
    return replace(picked, groups=_groups_of(kept, dataset.groups))


def _groups_of(photographs: Iterable[Photograph], groups: Mapping[str, str]) -> dict[str, str]:
    """The groups of those that are to learn from."""
    return {row.id: groups[row.id] for row in photographs if row.split == "train" and row.id in groups}


def _hold_out(dataset: Dataset, share: float, seed: int) -> Dataset:
    """The data set with a share of each class's photographs as its test rows.

    Photographs are drawn in the order of a hash of seed and id. So the choice does not change with the order of files,
    other classes or the versions of libraries, and a larger share holds out the same ones and more. Files of the same
    bytes are drawn together, so that none is tested on a head that has learnt from its copy; and so are groups.
    Of all photographs together the share is drawn where each label may be alone, or groups have several.
    """
    train = dataset.of("train")
    first_copy = _first_copies(dataset, train)
    if dataset.groups:
        first_copy = _first_of_groups(first_copy, dataset.groups)
    is_of_classes = dataset.task.has_classes
    ids: dict[str, list[str]] = {name: [] for name in dataset.classes} if is_of_classes else {_OF_ANY_LABEL: []}
    for row in train:
        ids[dataset.classes[row.label] if is_of_classes else _OF_ANY_LABEL].append(row.id)
    held_out: set[str] = set()
    for all_ids in [[row.id for row in train]] if dataset.groups else ids.values():
        count = max(1, round(share * len(all_ids)))
        drawn = sorted(all_ids, key=lambda id: hashlib.sha256(f"{seed} {first_copy[id]}".encode()).digest())
        held_out.update(first_copy[id] for id in drawn[:count])
    for name, all_ids in ids.items():
        if all_ids and {first_copy[id] for id in all_ids} <= held_out:
            raise DatasetError(
                f"{dataset.root}: a share of {share:g} leaves none of the {len(all_ids)} photographs of {name} "
                "to learn from",
                "Hold out less, add photographs of it, or leave the class out",
            )
    truth = {row.id: dataset.classes[row.label] for row in train if first_copy[row.id] in held_out}
    if not truth:
        raise DatasetError(f"{dataset.root} has no labelled photographs to hold out", "Give --data a labelled data set")
    kept = [row for row in train if row.id not in truth]
    test = [row._replace(split="test", label=UNLABELLED) for row in train if row.id in truth]
    held = replace(dataset, photographs=(*kept, *test), sample_submission=None, truth=truth)
    return replace(held, groups=_groups_of(kept, dataset.groups))


def _first_of_groups(first_copy: Mapping[str, str], groups: Mapping[str, str]) -> dict[str, str]:
    """Id -> id of the first row of those that hang together, by a group or as copies, also by way of others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ids, first_in = list(first_copy), dict[str, str]()
    number = {id: position for position, id in enumerate(ids)}
    pairs = [(number[id], number[first]) for id, first in first_copy.items()]
    pairs += [(number[id], number[first_in.setdefault(group, id)]) for id, group in groups.items()]
    one, other = zip(*pairs, strict=True)
    _, component = connected_components(coo_array(([1] * len(pairs), (one, other)), (len(ids), len(ids))), False)
    first = dict[int, str]()
    return {id: first.setdefault(int(of), id) for id, of in zip(ids, component, strict=True)}


def _first_copies(dataset: Dataset, rows: Sequence[Photograph]) -> dict[str, str]:
    """Id -> id of the first row with the same bytes; only files that share their size are read."""
    by_size: dict[int | None, list[Photograph]] = defaultdict(list)
    for row in rows:
        by_size[dataset.size(row)].append(row)
    alike = [row for size, several in by_size.items() if size != 0 and len(several) > 1 for row in several]

    def digest(row: Photograph) -> bytes:
        with contextlib.suppress(UnreadablePhotographError):
            return hashlib.sha256(dataset.read(row)).digest()
        return row.id.encode()  # it has no copy

    with ThreadPoolExecutor(_READERS, "reader") as readers:
        digests = dict(zip((row.id for row in alike), readers.map(digest, alike), strict=True))
    first_of: dict[bytes, str] = {}
    return {row.id: first_of.setdefault(digests.get(row.id, row.id.encode()), row.id) for row in rows}


def _list_records(root: Path, files: Mapping[str, Location], truth: dict[str, str] | None = None) -> dict[str, Record]:
    """The photographs in TFRecord files, by location; none if there are no such files."""
    if locations.is_folder(root):
        paths = tfrecord.record_files_among(root, (name for name, place in files.items() if place.container == root))
    else:
        paths = [root] if tfrecord.is_record_file(root.name) else []
    return {str(_location(record)): record for record in tfrecord.records(root, paths, truth)} if paths else {}


def _location(record: Record) -> Location:
    return Location(record.path, f"{record.offset}:{record.length}")

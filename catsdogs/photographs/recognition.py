"""Files -> what a data set is: its classes, its rows, and its task. Contents decide; names of files only break ties."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from posixpath import basename
from typing import NamedTuple

from catsdogs.errors import DatasetError, UnknownNameError, UnreadablePhotographError, in_short
from catsdogs.files import tables
from catsdogs.files.tables import NoTableError
from catsdogs.photographs import answer, coco, label_tables, sample, splits
from catsdogs.photographs.coco import Coco
from catsdogs.photographs.label_columns import Wanted
from catsdogs.photographs.label_tables import PhotographNames
from catsdogs.photographs.labels import (
    LABEL_TABLES,
    UNLABELLED,
    Labels,
    Row,
    by_roles,
    choose_table,
    classes_and_rows,
    labels_in_names,
    names_to_learn_from,
    rows_beside,
)
from catsdogs.photographs.locations import Location, Reader
from catsdogs.photographs.names import Names, common_folder
from catsdogs.photographs.sample import Sample
from catsdogs.photographs.splits import TEST, Placement
from catsdogs.photographs.task import PROBABILITY, Task

_NAMES_SHOWN = 4  # of classes that are joined to one


class Given(NamedTuple):
    """What a person says where the files do not tell.

    Attributes:
        labels: the label table, as seen from the data set or from here; after a colon, its column.
        images: the folder of the photographs, as seen from the data set.
        positive: classes, with commas between them, whose joint probability is asked for.
    """

    labels: str = ""
    images: str = ""
    positive: str = ""

    @property
    def flags(self) -> dict[str, str]:
        """Those that are given, by name."""
        return {name: value for name, value in self._asdict().items() if value}


class Recognised(NamedTuple):
    """What was recognised, see `dataset.Dataset`.

    Attributes:
        sample_text: of the sample submission.
        labels_from: where the labels stand, in words.
        used: the names of the files that were read besides photographs.
    """

    classes: tuple[str, ...]
    rows: list[Row]
    sample_text: str | None
    task: Task | None
    notes: list[str]
    labels_from: str
    used: frozenset[str]


class _Texts:
    """The files of a data set that are no photographs, read when they are needed."""

    def __init__(self, root: Path, files: Mapping[str, Location], sample_name: str = "") -> None:
        """`sample_name` is that of the sample submission in `files`, if a person gave it."""
        self.root, self._files, self._sample_name = str(root), files, sample_name
        self._reader, self._known = Reader(), dict[str, str]()

    @property
    def tables(self) -> list[str]:
        """The names of all tables but sample submissions."""
        return [name for name in self._files if name.lower().endswith(".csv") and not sample.is_sample(name)]

    def read(self, name: str) -> str:
        """The text of a file, which is read once.

        Raises:
            DatasetError: it cannot be read.
        """
        if name not in self._known:
            self._known[name] = self._read(self._files[name])
        return self._known[name]

    def _read(self, location: Location) -> str:
        try:
            return tables.decode(self._reader.read(location))[0]
        except (UnreadablePhotographError, NoTableError) as error:
            reason = error.reason if isinstance(error, UnreadablePhotographError) else str(error)
            raise DatasetError(
                f"{location} is not a table: {reason}", "Check its name, save it as CSV in UTF-8, or remove it"
            ) from None

    @cached_property
    def sample(self) -> tuple[str, str] | None:
        """The name and text of the sample submission, if there is one."""
        if self._sample_name:
            return self._sample_name, self.read(self._sample_name)
        named = [name for name in self._files if sample.is_sample(name)]
        chosen = sample.choose_sample({name: self.read(name) for name in named}, self.root)
        return (chosen, self.read(chosen)) if chosen else None

    @cached_property
    def annotations(self) -> list[Coco]:
        """What the JSON files of COCO's form say."""
        found = []
        for name in self._files:
            if name.lower().endswith(".json") and (parsed := coco.parse(name, self.read(name))):
                found.append(parsed)
        return found


def recognise(
    root: Path,
    files: Mapping[str, Location],
    names: Sequence[str],
    given: Given,
    table_name: str = "",
    is_answered: bool = True,
) -> Recognised:
    """The data set of these photographs, `names`, among all its files.

    Args:
        table_name: of the CSV among the files that a person gave as the data set, be it of labels or a sample; or none.
        is_answered: whether the sample submission is to be answered: else it need not fit what is there, there is no
            task, and it need not be of a kind that is there yet.

    Raises:
        DatasetError: nothing is recognised, or what is asked for cannot be answered; see `sample` and `answer`.
        UnknownNameError: no such class.
    """
    is_sample = bool(table_name) and sample.is_sample(table_name)
    texts = _Texts(root, files, table_name if is_sample else "")
    names = _below(names, given.images, texts.root)
    found = texts.sample
    if not found:
        return _without_sample(texts, files, names, given, "" if is_sample else table_name)
    where = splits.placements(sorted(names), texts.root, has_table=True)
    read = _read_sample(texts, where, *found)
    if is_answered:
        sample.refuse_missing(read, names, texts.root)
    values = {word for cells in read.values.values() for cell in cells for word in (cell, *cell.split())}
    wanted = Wanted(read.targets, frozenset(values), _column_of(given.labels, files))
    asked, notes = read.id_of, list[str]()
    chosen = _given_table(given.labels, files, texts.root) or ("" if is_sample else table_name)
    known = names_to_learn_from(by_roles(where, asked), where, has_sample=True)
    labels = _labels_beside_names(texts, known, wanted, chosen)
    if not labels:
        labels, where = _labels_in_names(texts, names, asked, known, wanted)
    classes, rows = rows_beside(asked, labels, where, texts.root, notes)
    if not any(row.split == "train" for row in rows):
        raise DatasetError(
            f"{texts.root} has no labelled photographs besides the {len(read.asked):,} that {read.name} asks for",
            "Add the training photographs, or say where their labels are with --labels",
        )
    classes, rows = _joined(classes, rows, given.positive)
    task = None
    if is_answered:
        column = wanted.column and f":{wanted.column}"
        told = given._replace(labels=chosen + column if given.labels else "").flags
        task = _with_positive(answer.wanted_by(read, classes, told, texts.root), classes, given.positive, read.name)
    return Recognised(
        classes, rows, found[1], task, notes, labels.source or _in_names(rows), frozenset({read.name, labels.source})
    )


def of_records(
    root: Path,
    files: Mapping[str, Location],
    classes: tuple[str, ...],
    rows: Sequence[Row],
    given: Given,
    is_answered: bool,
) -> tuple[str | None, Task | None]:
    """The text of the sample submission beside TFRecord files, and its task; None of each if there is none.

    Raises:
        DatasetError: as `recognise`.
    """
    texts = _Texts(root, files)
    if not texts.sample:
        return None, None
    if not is_answered:
        return texts.sample[1], None
    known = PhotographNames([[row.id for row in rows if row.split == "test"]], str)
    read = sample.read_sample(*texts.sample, known.matching, list, texts.root)
    sample.refuse_missing(read, [row.id for row in rows], texts.root)
    return texts.sample[1], answer.wanted_by(read, classes, given.flags, texts.root)


def match_sample(
    root: Path, files: Mapping[str, Location], names: Sequence[str], table_name: str, images: str
) -> Sample | None:
    """The sample submission among these files, and which of these photographs it asks for; None if there is none."""
    texts = _Texts(root, files, table_name if table_name and sample.is_sample(table_name) else "")
    if not texts.sample:
        return None
    names = sorted(_below(names, images, texts.root))
    where = splits.placements(names, texts.root, has_table=True) if names else {}
    return _read_sample(texts, where, *texts.sample)


def _without_sample(
    texts: _Texts, files: Mapping[str, Location], names: Sequence[str], given: Given, table_name: str
) -> Recognised:
    """A data set for which nothing says what is asked for: its folders and its table of labels tell all."""
    top = common_folder(list(files))  # many archives have everything in one folder
    beside = [name for name in texts.tables if "/" not in name.removeprefix(top)]
    notes: list[str] = []
    chosen = _given_table(given.labels, files, texts.root) or table_name
    if not chosen:
        short = choose_table(names, [name.removeprefix(top) for name in beside], texts.root)
        chosen = next((name for name in beside if short and name.removeprefix(top) == short), "")
    table, column = (chosen, texts.read(chosen)) if chosen else None, _column_of(given.labels, files)
    wanted = Wanted(column=column) if column else None
    classes, rows = _joined(*classes_and_rows(names, table, texts.root, notes, wanted=wanted), given.positive)
    task = replace(Task.of_classes(classes), given=given.flags) if given.flags else None
    return Recognised(classes, rows, None, task, notes, chosen or _in_names(rows), frozenset({chosen} - {""}))


def _labels_beside_names(texts: _Texts, known: PhotographNames, wanted: Wanted, chosen: str) -> Labels | None:
    """The labels that a table or annotations give, of the photographs `known`; None where nothing does.

    `chosen` is the table or JSON file that a person gave, if any.
    """
    if chosen:
        given = _annotated(texts, known, wanted, chosen)
        return given or Labels(
            chosen, label_tables.read_label_table(chosen, texts.read(chosen), known, texts.root, wanted)
        )
    contents = {name: texts.read(name) for name in texts.tables}
    if best := label_tables.choose_label_table(contents, known, wanted, texts.root):
        return Labels(*best)
    return _annotated(texts, known, wanted)


def _labels_in_names(
    texts: _Texts, names: Sequence[str], asked: Mapping[str, str], known: PhotographNames, wanted: Wanted
) -> tuple[Labels, dict[str, Placement]]:
    """The labels in names; where these carry none, a table that names no photograph is the likelier mistake."""
    try:
        return labels_in_names(names, asked, texts.root)
    except DatasetError:
        for name in texts.tables:
            if basename(name).lower() in LABEL_TABLES or len(texts.tables) == 1:
                label_tables.read_label_table(name, texts.read(name), known, texts.root, wanted)
        raise


def _annotated(texts: _Texts, known: PhotographNames, wanted: Wanted, only: str = "") -> Labels | None:
    """The labels of COCO's annotations, if there are any; of one file, `only`."""
    for one in texts.annotations:
        if one.categories and only in ("", one.name):
            labelled = coco.labels(one, known.matching, {*wanted.values, *wanted.targets}, texts.root)
            if any(name in known.names for name, _ in labelled):
                return Labels(one.name, labelled)
    return None


def _read_sample(texts: _Texts, where: Mapping[str, Placement], name: str, text: str) -> Sample:
    by_role = by_roles(where)
    groups = [by_role[TEST], *(of_role for role, of_role in by_role.items() if role != TEST)]
    known = PhotographNames(filter(None, groups), lambda name: where[name].below)

    def meanings() -> Iterable[tuple[str, dict[str, str]]]:
        for told in sorted(texts.annotations, key=lambda told: bool(told.categories)):  # those to predict have none
            yield told.name, _only_photographs(told.files, known.matching)
        for other in texts.tables:
            yield from _meanings_in_table(other, texts.read(other), known)

    return sample.read_sample(name, text, known.matching, meanings, texts.root)


def _only_photographs(files: Mapping[str, str], matching: Callable[[str], Sequence[str]]) -> dict[str, str]:
    """Number -> photograph, of the files that are there."""
    found = ((id, matching(written)) for id, written in files.items())
    return {id: fits[0] for id, fits in found if len(fits) == 1}


def _meanings_in_table(name: str, text: str, known: PhotographNames) -> Iterable[tuple[str, dict[str, str]]]:
    """Of a table with a column of photographs: what each other column calls them."""
    try:
        parsed = tables.parse_table(text)
    except NoTableError:
        return
    rows = [row for row in parsed.rows if len(row) == len(parsed.header)]
    named = [
        (column, [fits[0] if len(fits := known.matching(row[column])) == 1 else "" for row in rows])
        for column in range(len(parsed.header))
    ]
    column, photographs = max(named, key=lambda entry: sum(map(bool, entry[1])), default=(0, []))
    if any(photographs):
        for other in range(len(parsed.header)):
            if other != column:
                pairs = zip(rows, photographs, strict=True)
                yield name, {row[other].strip(): photograph for row, photograph in pairs if photograph}


def _below(names: Sequence[str], folder: str, root: str) -> Sequence[str]:
    """The photographs in a folder that a person gave, as seen from the data set or from here."""
    if not folder:
        return names
    inside = [Path(folder).as_posix().strip("/")]
    if Path(folder).resolve().is_relative_to(Path(root).resolve()):
        inside.append(Path(folder).resolve().relative_to(Path(root).resolve()).as_posix())
    found = [name for name in names if any(name.startswith(f"{start}/") or start == "." for start in inside)]
    if not found:
        folders = sorted({name.rpartition("/")[0] or "." for name in names})
        raise DatasetError(
            f"{root} has no photographs in the folder {folder}; it has them in {in_short(folders)}",
            "Give --images one of these, or a folder above it",
        )
    return found


def _given_table(labels: str, files: Mapping[str, Location], root: str) -> str:
    """The name among the files of the table that --labels names; empty if it is not given."""
    if not labels:
        return ""
    for path in (labels, labels.rpartition(":")[0]):
        for name, location in files.items():
            if path and (name == Path(path).as_posix() or Path(str(location)).absolute() == Path(path).absolute()):
                return name
    there = [name for name in files if name.lower().endswith((".csv", ".json"))]
    raise DatasetError(
        f"{root} has no table {labels}; it has {in_short(there) if there else 'none'}",
        "Give --labels a table of the data set, and after a colon the column",
    )


def _column_of(labels: str, files: Mapping[str, Location]) -> str:
    """The column that --labels names after a colon."""
    return "" if labels in files or Path(labels).is_file() else labels.rpartition(":")[2] if ":" in labels else ""


def _in_names(rows: Sequence[Row]) -> str:
    """Which names labels are read from, for a sentence."""
    is_below = any("/" in row.id for row in rows if row.split == "train")
    return "the names of folders" if is_below else "the file names"


def _joined(classes: tuple[str, ...], rows: list[Row], positive: str) -> tuple[tuple[str, ...], list[Row]]:
    """Two classes of several: all others, and those that a person called positive."""
    if not positive:
        return classes, rows
    known = Names(classes)
    chosen = []
    for name in filter(None, map(str.strip, positive.split(","))):
        if (found := known.find(name)) is None:
            raise UnknownNameError("class for --positive", name, classes)
        chosen.append(found)
    others = [name for name in classes if name not in chosen]
    if not others:
        raise DatasetError(f"--positive names all classes, {in_short(classes)}", "Leave out those that are not")
    numbers = {UNLABELLED: UNLABELLED} | {number: int(name in chosen) for number, name in enumerate(classes)}
    joined = (_called_together(others), _called_together([name for name in classes if name in chosen]))
    return joined, [row._replace(label=numbers[row.label]) for row in rows]


def _called_together(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return "+".join(names[:_NAMES_SHOWN]) + (f"+{more} more" if more > 0 else "")


def _with_positive(task: Task, classes: Sequence[str], positive: str, sample_name: str) -> Task:
    if not positive:
        return task
    if task.answer != PROBABILITY:
        raise DatasetError(
            f"--positive would do nothing: {sample_name} does not ask for the probability of one class",
            "Leave it out",
        )
    return replace(task, positive=classes[1])

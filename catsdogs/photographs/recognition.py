"""Files -> what a data set is: its classes, its rows, and its task. Contents decide; names of files only break ties."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from posixpath import basename
from typing import NamedTuple

from catsdogs.errors import DatasetError, UnknownNameError, in_short
from catsdogs.photographs import answer, coco, label_tables, sample, splits
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
from catsdogs.photographs.locations import Location
from catsdogs.photographs.names import Names, common_folder
from catsdogs.photographs.sample import Sample
from catsdogs.photographs.side_files import SideFiles, read_sample
from catsdogs.photographs.splits import Placement
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
    texts = SideFiles(root, files, table_name if is_sample else "")
    names = _below(names, given.images, texts.root)
    chosen = _given_table(given.labels, files, texts.root) or ("" if is_sample else table_name)
    column = _column_of(given.labels, files)
    if not texts.sample:
        return _without_sample(texts, names, given, chosen, column)
    where = splits.placements(sorted(names), texts.root, has_table=True)
    read = read_sample(texts, where, *texts.sample)
    if is_answered:
        sample.refuse_missing(read, names, texts.root)
    notes: list[str] = []
    labels, where = _find_labels(texts, names, where, read, chosen, column)
    classes, rows = rows_beside(read.id_of, labels, where, texts.root, notes)
    if not any(row.split == "train" for row in rows):
        raise DatasetError(
            f"{texts.root} has no labelled photographs besides the {len(read.asked):,} that {read.name} asks for",
            "Add the training photographs, or say where their labels are with --labels",
        )
    classes, rows = _joined(classes, rows, given.positive)
    task = None
    if is_answered:
        told = given._replace(labels=":".join(filter(None, (chosen, column))) if given.labels else "").flags
        task = _with_positive(answer.wanted_by(read, classes, told, texts.root), classes, given.positive, read.name)
    used = frozenset({read.name, labels.source})
    return Recognised(classes, rows, read.text, task, notes, labels.source or _in_names(rows), used)


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
    texts = SideFiles(root, files)
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
    texts = SideFiles(root, files, table_name if table_name and sample.is_sample(table_name) else "")
    if not texts.sample:
        return None
    names = sorted(_below(names, images, texts.root))
    where = splits.placements(names, texts.root, has_table=True) if names else {}
    return read_sample(texts, where, *texts.sample)


def _without_sample(texts: SideFiles, names: Sequence[str], given: Given, chosen: str, column: str) -> Recognised:
    """A data set for which nothing says what is asked for: its folders and its table of labels tell all.

    `chosen` and `column` are the table that a person gave and its column of labels, if any.
    """
    top = common_folder(texts.names)  # many archives have everything in one folder
    beside = [name for name in texts.tables if "/" not in name.removeprefix(top)]
    notes: list[str] = []
    if not chosen:
        short = choose_table(names, [name.removeprefix(top) for name in beside], texts.root)
        chosen = next((name for name in beside if short and name.removeprefix(top) == short), "")
    table = (chosen, texts.read(chosen)) if chosen else None
    wanted = Wanted(column=column) if column else None
    classes, rows = _joined(*classes_and_rows(names, table, texts.root, notes, wanted=wanted), given.positive)
    task = replace(Task.of_classes(classes), given=given.flags) if given.flags else None
    return Recognised(classes, rows, None, task, notes, chosen or _in_names(rows), frozenset({chosen} - {""}))


def _find_labels(
    texts: SideFiles, names: Sequence[str], where: dict[str, Placement], read: Sample, chosen: str, column: str
) -> tuple[Labels, dict[str, Placement]]:
    """The labels of photographs that a sample does not ask for, and where all photographs lie, by which ids are made.

    `chosen` and `column` are the table that a person gave and its column of labels, if any.
    """
    values = {word for cells in read.values.values() for cell in cells for word in (cell, *cell.split())}
    wanted, asked = Wanted(read.targets, frozenset(values), column), read.id_of
    known = names_to_learn_from(by_roles(where, asked), where, has_sample=True)
    if labels := _labels_beside_names(texts, known, wanted, chosen):
        return labels, where
    return _labels_in_names(texts, names, asked, known, wanted)


def _labels_beside_names(texts: SideFiles, known: PhotographNames, wanted: Wanted, chosen: str) -> Labels | None:
    """The labels that a table or annotations give, of the photographs `known`; None where nothing does.

    `chosen` is the table or JSON file that a person gave, if any.
    """
    if chosen:
        given = _annotated(texts, known, wanted, chosen)
        return given or Labels(
            chosen, label_tables.read_label_table(chosen, texts.read(chosen), known, texts.root, wanted)
        )
    contents = texts.read_those_that_can_be(".csv")
    if best := label_tables.choose_label_table(contents, known, wanted, texts.root):
        return Labels(*best)
    return _annotated(texts, known, wanted)


def _labels_in_names(
    texts: SideFiles, names: Sequence[str], asked: Mapping[str, str], known: PhotographNames, wanted: Wanted
) -> tuple[Labels, dict[str, Placement]]:
    """The labels in names; where these carry none, a table that names no photograph is the likelier mistake."""
    try:
        return labels_in_names(names, asked, texts.root)
    except DatasetError:
        label_tables.refuse_unclear_columns(texts.read_those_that_can_be(".csv"), known, texts.root)
        for name in texts.tables:
            if basename(name).lower() in LABEL_TABLES or len(texts.tables) == 1:
                label_tables.read_label_table(name, texts.read(name), known, texts.root, wanted)
        raise


def _annotated(texts: SideFiles, known: PhotographNames, wanted: Wanted, only: str = "") -> Labels | None:
    """The labels of COCO's annotations, if there are any; of one file, `only`."""
    for one in texts.annotations:
        if one.categories and only in ("", one.name):
            labelled = coco.labels(one, known.matching, {*wanted.values, *wanted.targets}, texts.root)
            if any(name in known.names for name, _ in labelled):
                return Labels(one.name, labelled)
    return None


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
    there = [name for name in files if name.lower().endswith((".csv", ".json"))]
    for path in filter(None, (labels, labels.rpartition(":")[0])):
        if (name := Path(path).as_posix()) in files:
            return name
        for name in there:
            if Path(str(files[name])).absolute() == Path(path).absolute():
                return name
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

"""Files -> what a data set is: its classes, its rows, and its task. Contents decide; names of files only break ties."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from posixpath import basename
from typing import NamedTuple

from catsdogs.errors import DatasetError, in_short
from catsdogs.photographs import answer, chosen_classes, coco, label_cells, label_tables, sample, splits
from catsdogs.photographs.groups import Grouping, Offer
from catsdogs.photographs.label_cells import Form
from catsdogs.photographs.label_columns import Wanted
from catsdogs.photographs.label_tables import Labels, PhotographNames
from catsdogs.photographs.label_texts import NO_LABEL, SEPARATOR
from catsdogs.photographs.labels import (
    LABEL_TABLES,
    Row,
    by_roles,
    choose_table,
    labels_in_names,
    names_to_learn_from,
    read_alone,
    rows_beside,
)
from catsdogs.photographs.locations import Location
from catsdogs.photographs.names import common_folder
from catsdogs.photographs.sample import Sample
from catsdogs.photographs.side_files import SideFiles, read_sample
from catsdogs.photographs.splits import Placement
from catsdogs.photographs.task import CLASSES, NUMBER, PROBABILITY, Task


class Given(NamedTuple):
    """What a person says where the files do not tell.

    Attributes:
        labels: the label table, as seen from the data set or from here; after a colon, its column.
        images: the folder of the photographs, as seen from the data set.
        positive: classes, with commas between them, whose joint probability is asked for.
        kind: one of `task.KINDS`, of what is to be predicted.
        groups: by what photographs hang together: a column, or a level of folders; see `groups.Grouping.of`.
    """

    labels: str = ""
    images: str = ""
    positive: str = ""
    kind: str = ""
    groups: str = ""

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
        groups: the name of a photograph to learn from -> its group, where a person said by what they hang together.
        offers: by what else they may.
    """

    classes: tuple[str, ...]
    rows: list[Row]
    sample_text: str | None
    task: Task | None
    notes: list[str]
    labels_from: str
    used: frozenset[str]
    groups: dict[str, str]
    offers: list[Offer]


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
        is_answered: whether the sample submission is to be answered: else it need not fit what is there, and there is
            no task for classes, and for others that which labels alone say.

    Raises:
        DatasetError: nothing is recognised, or what is asked for cannot be answered; see `sample` and `answer`.
        UnknownNameError: no such class.
    """
    chosen_classes.check_kind(given.kind, given.positive)
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
    labels, where = _find_labels(texts, names, where, read, (chosen, column), given.kind)
    classes, rows = rows_beside(read.id_of, labels, where, texts.root, notes)
    if not any(row.split == "train" for row in rows):
        raise DatasetError(
            f"{texts.root} has no labelled photographs besides the {len(read.asked):,} that {read.name} asks for",
            "Add the training photographs, or say where their labels are with --labels",
        )
    known = functools.partial(names_to_learn_from, by_roles(where, read.id_of), where, has_sample=True)
    groups, offers = _groups(Grouping(texts, _labelled(classes, rows), known, labels), given, notes)
    labels = labels._replace(form=answer.form_with(read, classes, given.kind, labels.form))
    classes, rows = _chosen(classes, rows, labels, given, texts.root)
    told = given._replace(labels=":".join(filter(None, (chosen, column))) if given.labels else "")
    task = _task_of(read if is_answered else None, classes, labels.form, told, texts.root)
    said = read.text, task, notes, labels.source or _in_names(rows)
    return Recognised(classes, rows, *said, frozenset({read.name, labels.source}), groups, offers)


def _chosen(
    classes: tuple[str, ...], rows: list[Row], labels: Labels, given: Given, root: str
) -> tuple[tuple[str, ...], list[Row]]:
    """Classes and rows as a person asks for them."""
    chosen_classes.refuse_positive(given.positive, labels.form.kind)
    return chosen_classes.joined(*chosen_classes.of_kind(classes, rows, given.kind, root), given.positive)


def _groups(grouping: Grouping, given: Given, notes: list[str]) -> tuple[dict[str, str], list[Offer]]:
    """The groups by what a person gave, which a note counts; without that the columns that are offered."""
    if not given.groups:
        return {}, grouping.offers()
    groups = grouping.of(given.groups)
    notes.append(f"{len({*groups.values()}):,} groups of {len(groups):,} photographs by {given.groups}")
    return groups, []


def _labelled(classes: Sequence[str], rows: Sequence[Row]) -> dict[str, str]:
    """The name of each photograph to learn from -> its label."""
    return {row.name: classes[row.label] for row in rows if row.split == "train"}


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
    chosen_classes.check_kind(given.kind, given.positive)
    if given.groups:
        raise DatasetError(
            f"{root}: --groups {given.groups}, and TFRecord files do not say which photographs hang together",
            "Give --data the photographs themselves, or leave it out",
        )
    texts = SideFiles(root, files)
    form = _form_of_texts(classes, given.kind, texts.root)
    if not texts.sample:
        return None, answer.without_sample(classes, given.flags, form)
    if not is_answered:
        return texts.sample[1], answer.without_sample(classes, given.flags, form)
    known = PhotographNames([[row.id for row in rows if row.split == "test"]], str)
    read = sample.read_sample(*texts.sample, known.matching, list, texts.root)
    sample.refuse_missing(read, [row.id for row in rows], texts.root)
    return texts.sample[1], answer.wanted_by(read, classes, given.flags, texts.root, form)


def _form_of_texts(classes: Sequence[str], kind: str, root: str) -> Form:
    """The form of labels whose texts were written as they are."""
    if not kind and not any(SEPARATOR in name or name == NO_LABEL for name in classes):
        kind = NUMBER if label_cells.is_fractional(classes, None) else CLASSES
    shown = {name: "" if name == NO_LABEL else name for name in classes}
    return label_cells.of_column(shown, None, kind, "", root, ";")[1]


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
    labels, classes, rows = read_alone(names, table, texts.root, notes, wanted, given.kind)

    def known() -> PhotographNames:
        where = splits.placements(sorted(names), texts.root, has_table=True)
        return names_to_learn_from(by_roles(where), where)

    groups, offers = _groups(Grouping(texts, _labelled(classes, rows), known, labels), given, notes)
    classes, rows = _chosen(classes, rows, labels, given, texts.root)
    task = answer.without_sample(classes, given.flags, labels.form)
    if not task and given.flags:
        task = replace(Task.of_classes(classes), given=given.flags)
    used = frozenset({chosen} - {""})
    return Recognised(classes, rows, None, task, notes, chosen or _in_names(rows), used, groups, offers)


def _find_labels(
    texts: SideFiles, names: Sequence[str], where: dict[str, Placement], read: Sample, table: tuple[str, str], kind: str
) -> tuple[Labels, dict[str, Placement]]:
    """The labels of photographs that a sample does not ask for, and where all photographs lie, by which ids are made.

    Args:
        table: that a person gave, and its column of labels, if any.
        kind: that of labels, if a person gave it.
    """
    chosen, column = table
    values = {word for cells in read.values.values() for cell in cells for word in (cell, *cell.split())}
    wanted, asked = Wanted(read.targets, frozenset(values), column), read.id_of
    known = names_to_learn_from(by_roles(where, asked), where, has_sample=True)
    if labels := _labels_beside_names(texts, known, wanted, chosen, kind):
        return labels, where
    return _labels_in_names(texts, names, asked, known, wanted, kind)


def _labels_beside_names(
    texts: SideFiles, known: PhotographNames, wanted: Wanted, chosen: str, kind: str
) -> Labels | None:
    """The labels that a table or annotations give, of the photographs `known`; None where nothing does.

    `chosen` is the table or JSON file that a person gave, if any.
    """
    if chosen:
        given = _annotated(texts, known, wanted, kind, chosen)
        return given or label_tables.read_label_table(chosen, texts.read(chosen), known, texts.root, wanted, kind)
    contents = texts.read_those_that_can_be(".csv")
    best = label_tables.choose_label_table(contents, known, wanted, texts.root, kind)
    return best or _annotated(texts, known, wanted, kind)


def _labels_in_names(
    texts: SideFiles, names: Sequence[str], asked: Mapping[str, str], known: PhotographNames, wanted: Wanted, kind: str
) -> tuple[Labels, dict[str, Placement]]:
    """The labels in names; where these carry none, a table that names no photograph is the likelier mistake."""
    try:
        return labels_in_names(names, asked, texts.root, kind)
    except DatasetError:
        label_tables.refuse_unclear_columns(texts.read_those_that_can_be(".csv"), known, texts.root)
        for name in texts.tables:
            if basename(name).lower() in LABEL_TABLES or len(texts.tables) == 1:
                label_tables.read_label_table(name, texts.read(name), known, texts.root, wanted, kind)
        raise


def _annotated(texts: SideFiles, known: PhotographNames, wanted: Wanted, kind: str, only: str = "") -> Labels | None:
    """The labels of COCO's annotations, if there are any; of one file, `only`."""
    for one in texts.annotations:
        if one.categories and only in ("", one.name):
            labelled, form = coco.labels(one, known.matching, wanted, texts.root, kind)
            if any(name in known.names for name, _ in labelled):
                return Labels(one.name, labelled, form)
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


def _task_of(read: Sample | None, classes: Sequence[str], form: Form, given: Given, root: str) -> Task | None:
    """The task of a sample submission, and of which class a probability is asked for; without one what labels say."""
    if not read:
        return answer.without_sample(classes, given.flags, form)
    answer.refuse_one(classes, root)
    task = answer.wanted_by(read, classes, given.flags, root, form)
    if not given.positive:
        return task
    if task.answer != PROBABILITY:
        raise DatasetError(
            f"--positive would do nothing: {read.name} does not ask for the probability of one class",
            "Leave it out",
        )
    return replace(task, positive=classes[1])

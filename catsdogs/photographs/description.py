"""A data set and its task told in a sentence, as a person would."""

import shlex
from collections import Counter
from collections.abc import Sequence

from catsdogs.errors import in_short, to_choose_from
from catsdogs.photographs import label_texts
from catsdogs.photographs.dataset import Dataset
from catsdogs.photographs.label_columns import as_number
from catsdogs.photographs.task import BEST_K, CLASSES, LABELS, NAME, NAMES, NUMBER, ORDINAL, PROBABILITY, Task


def describe(dataset: Dataset) -> str:
    """What is asked for, what there is to learn from, and what is left alone."""
    train, test, shown = len(dataset.of("train")), len(dataset.of("test")), _shown(dataset)
    task = dataset.task
    if dataset.sample_submission is None:
        return f"{dataset.root}: {train:,} train, {test:,} test photographs, {shown}"
    parts = [
        f"{test:,} photographs asked for, ids {task.id_form or 'as they are'}",
        f"{wanted(task, dataset.classes)}, scored by {task.metric}",
        f"labels from {dataset.labels_from}",
        f"{train:,} to learn from, {shown}" if task.kind != NUMBER else f"{train:,} to learn from",
    ]
    if dataset.others:
        files = "1 file of another kind" if dataset.others == 1 else f"{dataset.others:,} files of other kinds"
        parts.append(f"left alone: {files}")
    return f"{dataset.root}: {'; '.join(parts)}"


def wanted(task: Task, classes: Sequence[str]) -> str:
    """What is wanted of each photograph, whose label is one of these classes, or of these texts of labels."""
    if task.kind == LABELS:
        return (
            f"several of {len(task.names):,} labels, {'by name' if task.answer == NAMES else 'the probability of each'}"
        )
    if task.kind == ORDINAL:
        return f"a grade {_ranges(task, classes)[0]}"
    if task.kind == NUMBER:
        ranges = [
            f"{name}, {seen}" if seen else name for name, seen in zip(task.names, _ranges(task, classes), strict=True)
        ]
        return f"the number {ranges[0]}" if len(ranges) == 1 else f"{len(ranges):,} numbers: {'; '.join(ranges)}"
    if task.answer == PROBABILITY:
        return f"the probability of {task.positive}"
    if task.answer == NAME:
        return f"the name of one of {len(classes):,} classes"
    if task.answer == BEST_K:
        return f"the names of the {task.best} likeliest of {len(classes):,} classes, in order"
    return f"the probability of {in_short(classes)}"


def open_question(task: Task, classes: Sequence[str]) -> str:
    """What the files leave open, with the flag that answers it; empty if nothing."""
    is_told = task.competition or "kind" in task.given
    if task.kind == CLASSES and task.answer == NAME and not is_told and all(map(_is_whole, classes)):
        return (
            f"The labels are whole numbers, {classes[0]} to {classes[-1]}, taken for {len(classes):,} classes: if they "
            "are grades, say --kind ordinal; if they are numbers to be predicted, --kind number"
        )
    if task.may_be_name and task.metric == "log-loss":  # any other metric was chosen knowing what is asked for
        return (
            f"Taken for probabilities of {task.positive}: if the sample submission wants {task.targets[0]} itself, "
            "0 or 1, say so by the metric, such as --metric accuracy"
        )
    return ""


def offered_groups(dataset: Dataset) -> list[str]:
    """A sentence about each column by which photographs may hang together."""
    return [
        f"{offer.source} has the column {offer.column}, {offer.groups:,} values for {offer.photographs:,} photographs; "
        f"if those of one hang together, give --groups {shlex.quote(offer.column)}"
        for offer in dataset.offers
    ]


def _is_whole(text: str) -> bool:
    number = as_number(text)
    return number is not None and number.is_integer()


def _shown(dataset: Dataset) -> str:
    """What the photographs to learn from show: classes; labels, and how many have each; or numbers."""
    task = dataset.task
    if task.kind == LABELS:
        texts = Counter(dataset.classes[row.label] for row in dataset.of("train"))
        counts = Counter(dict.fromkeys(task.names, 0))
        for text, rows in texts.items():
            counts.update(dict.fromkeys(label_texts.labels_in(text) or [label_texts.NO_LABEL], rows))
        return f"labels {to_choose_from([f'{name} {count:,}' for name, count in counts.items()])}"
    if task.kind == NUMBER:
        return wanted(task, dataset.classes)
    called = "grades" if task.kind == ORDINAL else "classes"
    return f"{called} {to_choose_from(dataset.classes)}"


def _ranges(task: Task, classes: Sequence[str]) -> list[str]:
    """The range of each number or of the grade that these texts of labels show; empty where there are none."""
    if tuple(classes) == task.names:  # a run of numbers knows what they are of, and no labels
        return [""] * len(classes)
    seen = label_texts.table_of(task, classes)
    return [f"{low:,g} to {high:,g}" for low, high in zip(seen.min(axis=0), seen.max(axis=0), strict=True)]

"""A data set and its task told in a sentence, as a person would."""

from collections.abc import Sequence

from catsdogs.errors import in_short, to_choose_from
from catsdogs.photographs.dataset import Dataset
from catsdogs.photographs.task import BEST_K, NAME, PROBABILITY, Task


def describe(dataset: Dataset) -> str:
    """What is asked for, what there is to learn from, and what is left alone."""
    train, test, classes = len(dataset.of("train")), len(dataset.of("test")), to_choose_from(dataset.classes)
    task = dataset.task
    if dataset.sample_submission is None:
        return f"{dataset.root}: {train:,} train, {test:,} test photographs, classes {classes}"
    parts = [
        f"{test:,} photographs asked for, ids {task.id_form or 'as they are'}",
        f"{wanted(task, dataset.classes)}, scored by {task.metric}",
        f"labels from {dataset.labels_from}",
        f"{train:,} to learn from, classes {classes}",
    ]
    if dataset.others:
        parts.append(f"left alone: {dataset.others:,} files of other kinds")
    return f"{dataset.root}: {'; '.join(parts)}"


def wanted(task: Task, classes: Sequence[str]) -> str:
    """What is wanted of each photograph, which shows one of these classes."""
    if task.answer == PROBABILITY:
        return f"the probability of {task.positive}"
    if task.answer == NAME:
        return f"the name of one of {len(classes):,} classes"
    if task.answer == BEST_K:
        return f"the names of the {task.best} likeliest of {len(classes):,} classes, in order"
    return f"the probability of {in_short(classes)}"


def open_question(task: Task) -> str:
    """What the files leave open, with the flag that answers it; empty if nothing."""
    if task.may_be_name and task.metric == "log-loss":  # any other metric was chosen knowing what is asked for
        return (
            f"Taken for probabilities of {task.positive}: if the sample submission wants {task.targets[0]} itself, "
            "0 or 1, say so by the metric, such as --metric accuracy"
        )
    return ""

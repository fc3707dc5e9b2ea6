"""What a photograph's label says beyond one class, as a text that people read and as the numbers that heads learn.

A data set's classes are the different texts: `rust|scab` of several labels, `3` of a grade, `63.5` of a number. So
everything that shows a class shows these as well, and what is learnt follows from the text and the task alone.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import DatasetError, in_short
from catsdogs.files import tables
from catsdogs.photographs.task import (
    BINARY,
    CLASSES,
    LABEL_COLUMN,
    LABELS,
    NAME,
    NUMBER,
    NUMBERS,
    ORDINAL,
    PROBABILITIES,
    Task,
)

SEPARATOR = "|"  # between the labels of a photograph, or its numbers
NO_LABEL = "(none)"  # the text of a photograph without any of the labels
_CALLED = {ORDINAL: "a grade", NUMBER: "a number"}


def text_of(shown: Collection[str], names: Sequence[str]) -> str:
    """The text of the labels `shown`, in the order of `names`, all labels that there are."""
    return SEPARATOR.join(name for name in names if name in shown) or NO_LABEL


def labels_in(text: str) -> list[str]:
    """The labels that a text says."""
    return [] if text == NO_LABEL else text.split(SEPARATOR)


def table_of(task: Task, classes: Sequence[str]) -> NDArray[np.float64]:
    """(classes, k) what is learnt of each text: 0 or 1 for each of the task's labels, its numbers, or its grade.

    Indexed by the rows' classes it is the `targets` of a feature file. k is 0 for tasks of one class.

    Raises:
        DatasetError: a text does not say what the task asks for.
    """
    if task.kind in (BINARY, CLASSES):
        return np.empty((len(classes), 0))
    if task.kind == LABELS:
        unknown = {name for text in classes for name in labels_in(text)} - {*task.names}
        if unknown:
            raise DatasetError(
                f"The labels {in_short(sorted(unknown))} are none of {in_short(task.names)}",
                "Mend these labels, or say where the labels are with --labels",
            )
        return np.array([[float(name in labels_in(text)) for name in task.names] for text in classes])
    numbers = [_numbers_in(text) for text in classes]
    width = max(1, len(task.names))
    wrong = [text for text, found in zip(classes, numbers, strict=True) if found is None or len(found) != width]
    if wrong:
        raise DatasetError(
            f"The label {wrong[0]!r} is not {_CALLED[task.kind]}, which the task asks for",
            "Mend these labels, say which column has them with --labels, or give another --kind or --metric",
        )
    return np.array(numbers, np.float64).reshape(len(classes), width)


def refuse_several(task: Task, what: str) -> None:
    """Refuse what learns one class for each photograph, where each has several labels, or numbers.

    Raises:
        DatasetError: it is so.
    """
    if not task.has_classes:
        raise DatasetError(
            f"{what} learns one class for each photograph, and these have "
            f"{'numbers' if task.kind == NUMBER else 'several labels'}: {in_short(task.names)}",
            "Train a head on their features with `catsdogs train`",
        )


def as_kind(task: Task, kind: str, classes: Sequence[str]) -> Task:
    """The task taken for grades or numbers, which content cannot tell from numbers of classes; others as they are.

    Raises:
        DatasetError: a label is no number; a sample submission asks for something of each class.
    """
    if kind not in (ORDINAL, NUMBER):
        return task
    if not task.has_sample:  # whose columns would be others than those of the classes
        task = replace(task, targets=(LABEL_COLUMN,))
    if len(task.targets) > 1 and task.answer == PROBABILITIES:
        raise DatasetError(
            f"The sample submission asks for a probability for each class, not for {_CALLED[kind]}: its columns are "
            f"{in_short(task.targets)}",
            "Leave --kind out, or give another --metric",
        )
    if kind == ORDINAL:
        changed = replace(task, kind=ORDINAL, answer=NAME, positive="", best=0, metric="qwk", names=(), separator="")
    else:
        changed = replace(
            task, kind=NUMBER, answer=NUMBERS, positive="", best=0, metric="rmse", names=task.targets, separator=""
        )
    values = table_of(changed, classes)
    if kind == ORDINAL and (np.diff(values[:, 0]) <= 0).any():
        raise DatasetError(
            f"The grades {in_short(classes)} are not in increasing order", "Give --kind ordinal to `catsdogs features`"
        )
    return replace(changed, may_be_name=False)


def _numbers_in(text: str) -> list[float] | None:
    try:
        found = [tables.parse_number(part) for part in text.split(SEPARATOR)]
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None

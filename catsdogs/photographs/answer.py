"""What a sample submission wants of each photograph: a probability, one for each class, a class's name, the best names.

Content decides: the columns, what stands in them, and the classes that the labels show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from catsdogs.errors import DatasetError, in_short
from catsdogs.files import tables
from catsdogs.photographs.names import Names, loose
from catsdogs.photographs.sample import Sample
from catsdogs.photographs.task import BEST_K, BINARY, CLASSES, NAME, PROBABILITIES, PROBABILITY, Task

MOST_NAMES = 20  # that a cell may ask for; more blanks are those of a sentence


def wanted_by(sample: Sample, classes: Sequence[str], given: Mapping[str, str], root: str) -> Task:
    """The task of a sample submission, for labels of these classes.

    Raises:
        DatasetError: what is wanted is not there yet, cannot be told, or does not fit the classes.
    """
    place = f"{root}: {sample.name}"
    if len(classes) < 2:
        raise DatasetError(
            f"{root}: all labelled photographs are {classes[0]}, so there is nothing to tell apart",
            "Add photographs of another class, or say where the labels are with --labels",
        )
    task = Task(
        BINARY if len(classes) == 2 else CLASSES,
        PROBABILITIES,
        sample.id_column,
        sample.id_form,
        sample.targets,
        given=dict(given),
    )
    if len(sample.targets) > 1:
        _refuse_other_columns(sample.targets, classes, place)
        return task
    (target,) = sample.targets
    values = list(dict.fromkeys(sample.values[target]))
    if (best := _names_in_a_cell(values, classes)) > 1:
        return replace(task, answer=BEST_K, best=best, metric=f"map@{best}")
    numbers = [_number(value) for value in values if value]
    is_empty_for_names = not numbers and (len(classes) > 2 or None in map(_number, classes))
    if None in numbers or is_empty_for_names:
        return replace(task, answer=NAME, metric="accuracy")
    return _of_one_number(task, [number for number in numbers if number is not None], values, classes, place)


def _of_one_number(
    task: Task, numbers: Sequence[float], values: Sequence[str], classes: Sequence[str], place: str
) -> Task:
    """The task where numbers, or nothing, stand in the only column that is to be filled."""
    (target,) = task.targets
    of_classes = [_number(name) for name in classes]
    are_whole = all(number is not None and number.is_integer() for number in of_classes)
    are_shares = all(0 <= number <= 1 for number in numbers)
    is_fraction = any(not number.is_integer() for number in numbers)
    if None not in of_classes and (not are_whole or (is_fraction and not are_shares)):
        raise DatasetError(
            f"{place} asks for a number, {target}, such as {values[0]}",
            "Numbers to be predicted are not there yet: only one class for each photograph can be learnt",
        )
    as_names = are_whole and not is_fraction and bool(numbers)
    if len(classes) == 2 and are_shares and not (as_names and set(values) <= set(classes) != {"0", "1"}):
        positive = _named_by(target, classes)
        return replace(task, answer=PROBABILITY, positive=positive, may_be_name=as_names)
    if as_names:
        return replace(task, answer=NAME, metric="accuracy")
    raise DatasetError(
        f"{place} asks for one number, {target}, such as {values[0] or '(nothing)'}, and there are {len(classes):,} "
        f"classes: {in_short(classes)}",
        f"Say of which classes it is the probability with --positive, such as --positive {','.join(classes[1:3])}",
    )


def _named_by(target: str, classes: Sequence[str]) -> str:
    """The one of two classes that a column is called after, as `has_cactus` is; else the second."""
    alike = [name for name in classes if loose(name) and loose(name) in loose(target)]
    return Names(classes).find(target) or (alike[0] if len(alike) == 1 else classes[1])


def _refuse_other_columns(targets: Sequence[str], classes: Sequence[str], place: str) -> None:
    """Refuse columns that are not the classes, each the column of one."""
    columns, labels = Names(targets), Names(classes)
    never_asked = [name for name in classes if columns.find(name) is None]
    never_seen = [name for name in targets if labels.find(name) is None]
    if never_asked:
        raise DatasetError(
            f"{place} never asks for the label {in_short(never_asked)}; its columns are {in_short(targets)}",
            "Say where the labels are with --labels, the table, a colon, and the column; or mend these labels",
        )
    if never_seen:
        raise DatasetError(
            f"{place} asks for {in_short(never_seen)}, and no photograph has that label",
            "Add photographs of it, or say where the labels are with --labels",
        )


def _names_in_a_cell(values: Sequence[str], classes: Sequence[str]) -> int:
    """How many names a cell asks for: more than one where blanks part them, and no class is written with a blank."""
    counts = [len(value.split()) for value in values]
    if not counts or max(counts) > MOST_NAMES or min(counts) < 2 or any(" " in name for name in classes):
        return 1
    return max(counts)


def _number(text: str) -> float | None:
    try:
        return tables.parse_number(text)
    except ValueError:
        return None

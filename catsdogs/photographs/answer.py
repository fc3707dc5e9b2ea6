"""What a sample submission wants of each photograph: probabilities, names, or numbers.

Content decides: the columns, what stands in them, and the classes that the labels show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from catsdogs.errors import DatasetError, in_short
from catsdogs.photographs import label_texts
from catsdogs.photographs.label_cells import PLAIN, Form
from catsdogs.photographs.label_columns import as_number
from catsdogs.photographs.names import Names, loose
from catsdogs.photographs.sample import Sample
from catsdogs.photographs.task import (
    BEST_K,
    BINARY,
    CLASSES,
    LABELS,
    NAME,
    NAMES,
    NUMBER,
    NUMBERS,
    ORDINAL,
    PROBABILITIES,
    PROBABILITY,
    Task,
)

SEPARATORS = ("|", "; ", ";", ", ", ",", " ")  # between several names in a cell
MOST_NAMES = 20  # that a cell may ask for; more blanks are those of a sentence


def form_of(task: Task) -> Form:
    """The form of the labels that a task was made of, to answer another sample submission from them."""
    return PLAIN if task.has_classes else Form(task.kind, task.names, task.separator)


def form_with(sample: Sample, classes: Sequence[str], kind: str, form: Form) -> Form:
    """The form of labels in view of a sample submission, whose 64.06 makes numbers of what could be classes' names."""
    if form.kind or kind or len(sample.targets) > 1:
        return form
    shown = [as_number(value) for value in {*sample.values[sample.targets[0]]} - {""}]
    seen = [as_number(name) for name in classes]
    if not shown or None in (*shown, *seen):
        return form
    are_whole = all(number is None or number.is_integer() for number in seen)
    is_fraction = any(number is not None and not number.is_integer() for number in shown)
    is_beyond = any(number is not None and not 0 <= number <= 1 for number in shown)
    return Form(NUMBER, sample.targets) if not are_whole or (is_fraction and is_beyond) else form


def refuse_one(classes: Sequence[str], root: str) -> None:
    """Refuse photographs that are all alike.

    Raises:
        DatasetError: there is one class.
    """
    if len(classes) < 2:
        raise DatasetError(
            f"{root}: all labelled photographs are {classes[0]}, so there is nothing to tell apart",
            "Add photographs of another class, or say where the labels are with --labels",
        )


def wanted_by(sample: Sample, classes: Sequence[str], given: Mapping[str, str], root: str, form: Form = PLAIN) -> Task:
    """The task of a sample submission, for labels of these classes, which are of this form.

    Args:
        given: by flags, as in `recognition.Given`; a `kind` among them decides where content does not.

    Raises:
        DatasetError: what is wanted cannot be told, or does not fit the labels.
    """
    place, kind = f"{root}: {sample.name}", given.get("kind", "")
    form = form_with(sample, classes, kind, form)
    if form.kind:
        of_form = _of_labels if form.kind == LABELS else _of_numbers
        return replace(of_form(sample, form, place), given=dict(given))
    refuse_one(classes, root)
    task = Task(
        BINARY if len(classes) == 2 else CLASSES,
        PROBABILITIES,
        sample.id_column,
        sample.id_form,
        sample.targets,
        given=dict(given),
    )
    if kind in (ORDINAL, NUMBER):
        return label_texts.as_kind(task, kind, classes)
    if len(sample.targets) > 1:
        _refuse_other_columns(sample.targets, classes, place)
        return task
    (target,) = sample.targets
    values = list(dict.fromkeys(sample.values[target]))
    if (best := _names_in_a_cell(values, classes)) > 1:
        return replace(task, answer=BEST_K, best=best, metric=f"map@{best}")
    numbers = [as_number(value) for value in values if value]
    is_empty_for_names = not numbers and (len(classes) > 2 or None in map(as_number, classes))
    if None in numbers or is_empty_for_names:
        return replace(task, answer=NAME, metric="accuracy")
    return _of_one_number(task, [number for number in numbers if number is not None], values, classes, place)


def without_sample(classes: Sequence[str], given: Mapping[str, str], form: Form = PLAIN) -> Task | None:
    """What labels alone say, where no sample submission is answered; None where nothing but classes is known.

    Raises:
        DatasetError: the labels are not of the kind that is given.
    """
    kind = given.get("kind", "")
    if form.kind == LABELS:
        return Task(LABELS, PROBABILITIES, targets=form.names, names=form.names, given=dict(given))
    if form.kind == NUMBER:
        return Task(NUMBER, NUMBERS, targets=form.names, names=form.names, metric="rmse", given=dict(given))
    if kind in (ORDINAL, NUMBER):
        return label_texts.as_kind(replace(Task.of_classes(classes), given=dict(given)), kind, classes)
    return None


def _of_labels(sample: Sample, form: Form, place: str) -> Task:
    """The task where photographs have several labels: the probability of each, or the names of those that are there."""
    task = Task(LABELS, PROBABILITIES, sample.id_column, sample.id_form, sample.targets, names=form.names)
    if len(sample.targets) > 1:
        _refuse_never_asked(sample.targets, form.names, place)
        return replace(task, names=sample.targets)
    (target,) = sample.targets
    values = list(dict.fromkeys(filter(None, sample.values[target])))
    numbers = [as_number(value) for value in values]
    is_of_numbers = any(as_number(name) is not None for name in form.names)
    are_names = is_of_numbers and all(number is not None and number.is_integer() for number in numbers)
    if values and None not in numbers and not are_names:
        raise DatasetError(
            f"{place} asks for one number, {target}, such as {values[0]}, and photographs have several of "
            f"{len(form.names):,} labels: {in_short(form.names)}",
            "Say which column has the labels with --labels, the table, a colon, and the column",
        )
    between = _between_names(values, form.names) or form.separator or " "
    return replace(task, answer=NAMES, metric="f1-micro", separator=between)


def _between_names(values: Sequence[str], names: Sequence[str]) -> str:
    """What stands between several of these names in a cell; empty where none holds several."""
    known = Names(names)
    for value in values:
        for separator in SEPARATORS:
            parts = value.split(separator)
            if len(parts) > 1 and all(known.find(part.strip()) for part in parts):
                return separator
    return ""


def _of_numbers(sample: Sample, form: Form, place: str) -> Task:
    """The task where labels are numbers."""
    if len(sample.targets) != len(form.names):
        raise DatasetError(
            f"{place} asks for {in_short(sample.targets)}, and labels are numbers of {in_short(form.names)}",
            "Say which column has the labels with --labels, or leave --kind out",
        )
    return Task(NUMBER, NUMBERS, sample.id_column, sample.id_form, sample.targets, metric="rmse", names=sample.targets)


def _of_one_number(
    task: Task, numbers: Sequence[float], values: Sequence[str], classes: Sequence[str], place: str
) -> Task:
    """The task where numbers, or nothing, stand in the only column that is to be filled."""
    (target,) = task.targets
    of_classes = [as_number(name) for name in classes]
    are_whole = all(number is not None and number.is_integer() for number in of_classes)
    are_shares = all(0 <= number <= 1 for number in numbers)
    is_fraction = any(not number.is_integer() for number in numbers)
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
    _refuse_never_asked(targets, classes, place)
    labels = Names(classes)
    never_seen = [name for name in targets if labels.find(name) is None]
    if never_seen:
        raise DatasetError(
            f"{place} asks for {in_short(never_seen)}, and no photograph has that label",
            "Add photographs of it, or say where the labels are with --labels",
        )


def _refuse_never_asked(targets: Sequence[str], labels: Sequence[str], place: str) -> None:
    columns = Names(targets)
    never_asked = [name for name in labels if columns.find(name) is None]
    if never_asked:
        raise DatasetError(
            f"{place} never asks for the label {in_short(never_asked)}; its columns are {in_short(targets)}",
            "Say where the labels are with --labels, the table, a colon, and the column; or mend these labels",
        )


def _names_in_a_cell(values: Sequence[str], classes: Sequence[str]) -> int:
    """How many names a cell asks for: more than one where blanks part them, and no class is written with a blank."""
    counts = [len(value.split()) for value in values]
    if not counts or max(counts) > MOST_NAMES or min(counts) < 2 or any(" " in name for name in classes):
        return 1
    return max(counts)

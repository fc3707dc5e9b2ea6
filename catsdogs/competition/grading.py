"""A submission graded against a truth CSV, and where on Kaggle's leaderboard such a score would stand."""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catsdogs.competition import submission
from catsdogs.competition.sheet import Sheet, rows_error
from catsdogs.errors import SubmissionError, in_short
from catsdogs.files import tables
from catsdogs.photographs.names import Names, one_form
from catsdogs.photographs.task import ID_COLUMN, LABEL_COLUMN
from catsdogs.scoring.grades import Grade, score

TRUTH_FILE = "truth.csv"
_DIGIT_OF = {"true": "1", "false": "0"}  # as pandas and spreadsheets write what is 1 or 0


# Dogs vs. Cats Redux, private leaderboard: https://www.kaggle.com/c/dogs-vs-cats-redux-kernels-edition
MEDAL_LINES = (  # each with its log loss and rank
    ("best", 0.03302, 1),
    ("gold", 0.03882, 12),
    ("silver", 0.05038, 65),
    ("bronze", 0.06127, 131),
    ("median", 0.12216, None),
)


def grade_submission(path: Path, truth: Path, classes: Sequence[str], left_out: Collection[str] = ()) -> Grade:
    """Log loss and accuracy of a submission against a CSV with the columns `id,label`, matched by id.

    A label is the name of a class, or 0 or 1. One column is the probability of the class it is named after, or else of
    the second class; a label of 1 stands for the same class.

    Args:
        classes: the names in order.
        left_out: as in `order`.

    Raises:
        SubmissionError: either file is no such table, or they hold different ids or classes.
    """
    sheet, answers = Sheet.read(path), Sheet.read(truth)
    for absent, name in zip(submission.differences(answers.rows, sheet.rows), (path, truth), strict=True):
        submission.refuse_ids(absent, f"ids are missing from {name}", "Grade against the truth of the same photographs")
    values = sheet.probabilities("Write it again with `catsdogs train`")
    labels = _right_columns(answers, sheet, classes, left_out)
    return score(values, labels, f"{truth.name}, {len(labels):,} rows")


def write_truth(path: Path, truth: Mapping[str, str]) -> None:
    """Write the hidden classes of test rows, id -> class: a CSV that `grade_submission` takes.

    Raises:
        StoreError: the file cannot be written.
    """
    tables.write_table(path, (ID_COLUMN, LABEL_COLUMN), truth.items())


def standing(log_loss: float) -> str:
    """The `MEDAL_LINES` and where among them a log loss would fall, in words."""
    lines = ", ".join(f"{name} ({loss}{f', rank {rank}' if rank else ''})" for name, loss, rank in MEDAL_LINES)
    better = next((name for name, loss, _ in MEDAL_LINES if log_loss <= loss), "")
    place = f"at least {better}" if better else "behind the median"
    return f"Kaggle's private leaderboard: {lines}; this would be {place}, had it been measured on Kaggle's test set"


def _right_columns(
    answers: Sheet, sheet: Sheet, classes: Sequence[str], left_out: Collection[str]
) -> NDArray[np.int64]:
    """The right class of each row of `sheet`, as a column of its probabilities."""
    if len(answers.header) != 2:
        raise SubmissionError(
            f"{answers.name} has the columns {in_short(answers.header)}", f"A truth has {ID_COLUMN},{LABEL_COLUMN}"
        )
    texts = {id: values[0].strip() for id, values in answers.rows.items()}
    names = Names((*sheet.header[1:], *classes, *left_out))
    texts = {id: names.find(text) or _as_digits(text) for id, text in texts.items()}
    known = _names_of_columns(sheet.columns[1:], set(texts.values()), classes, left_out)
    places = {one_form(name): place for place, name in enumerate(known)}
    wrong = [id for id, text in texts.items() if one_form(text) not in places]
    if wrong:
        problem = f": the label {texts[wrong[0]]!r} of {wrong[0]} is none of {in_short(known)}"
        remedy = "Name each class as the submission does, or give 0 and 1 for two classes"
        raise rows_error(answers.name, problem, remedy, [(answers.lines[id], texts[id]) for id in wrong])
    ids = Names(texts)
    return np.array([places[one_form(texts[str(ids.find(id))])] for id in sheet.rows], np.int64)


def _as_digits(text: str) -> str:
    """`1` for 1.0, 1,0 and TRUE, as spreadsheets and pandas write what was 1; any other text as it is."""
    try:
        value = tables.parse_number(text)
        return str(int(value)) if value.is_integer() else text
    except (ValueError, OverflowError):
        return _DIGIT_OF.get(text.lower(), text)


def _names_of_columns(
    columns: Sequence[str], labels: AbstractSet[str], classes: Sequence[str], left_out: Collection[str]
) -> list[str]:
    """What a truth calls the columns of `Sheet.probabilities`; of two, a single column is the second."""
    places = submission.classes_of(columns, classes, left_out)
    if len(columns) > 1:
        return list(columns)
    if labels <= {"0", "1"} and not labels <= set(classes):
        return ["0", "1"]
    return list(classes if places == [1] else reversed(classes))

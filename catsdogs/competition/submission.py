"""The submission CSV: written in the sample's order, checked as Kaggle checks it, and read back."""

import io
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from catsdogs.competition.sheet import ID_COLUMN, LABEL_COLUMN, Sheet, classes_of, differences, refuse_ids
from catsdogs.errors import SubmissionError, in_short
from catsdogs.files import tables
from catsdogs.files.atomic import replacing
from catsdogs.photographs.names import Names, natural_key

_DIGITS = 12  # a float32 sigmoid comes within 6e-8 of 1; fewer digits would round it to a certainty


def order(
    ids: Collection[str],
    classes: Sequence[str],
    sample: str | None,
    missing: Collection[str],
    left_out: Collection[str] = (),
) -> tuple[list[str], list[int], list[str]]:
    """What a submission will look like: its header, the class each further column is of, and the ids, row by row.

    `sample` is the text of a sample submission; without one, ids follow each other in natural order. `missing` are
    the ids of photographs that were there but could not be read. `left_out` are classes that no head knows, numbered
    after the others: a sample may have columns for them, and without a sample they have.

    Raises:
        SubmissionError: the sample has other ids or classes than we, or is no table.
    """
    if sample is None:
        columns = [LABEL_COLUMN] if len(classes) == 2 and not left_out else [*classes, *left_out]
        return [ID_COLUMN, *columns], classes_of(columns, classes, left_out), sorted({*ids, *missing}, key=natural_key)
    sheet = Sheet.parse("The sample submission", sample)
    photographs = Names({*ids, *missing})
    photograph_of = {id: photographs.find(id) for id in sheet.rows}
    refuse_ids(
        [id for id, found in photograph_of.items() if found is None],
        "ids of the sample submission are not among the test photographs",
        "Extract the features of all test photographs, or give the sample submission of this data set",
    )
    rows_of = Counter(photograph_of.values())
    refuse_ids(
        [id for id in ids if id not in rows_of],
        "test photographs are not in the sample submission",
        "Give the sample submission of this data set, or remove the photographs that are not part of it",
    )
    refuse_ids(
        [id for id, found in photograph_of.items() if rows_of[found] > 1],
        "ids of the sample submission mean a photograph that another one means, too",
        "Keep one row for each id",
    )
    return sheet.header, classes_of(sheet.header[1:], classes, left_out), list(sheet.rows)


def write_submission(
    path: Path,
    ids: Sequence[str],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    sample: str | None,
    missing: Mapping[str, Sequence[float]],
    left_out: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Write the CSV, whole or not at all.

    For two classes the one column is the probability of the second class, for more there is a column per class.

    Args:
        probabilities: (n, classes), rows as `ids`.
        missing: id -> (classes,) probabilities of a photograph that could not be read, such as the class prior.
        left_out: classes that no head knows, with a probability for each, where `order` gives them columns.

    Raises:
        SubmissionError: as `order`, or a probability is not finite or outside [0, 1].
        StoreError: the disk is full, or the folder cannot be written.
    """
    header, columns, rows = order(ids, classes, sample, missing, left_out)
    known = dict(missing) | dict(zip(ids, probabilities, strict=True))
    if len(columns) > len(classes):
        known = dict(zip(known, widened(np.array([*known.values()]), [*left_out.values()]), strict=True))
    names = Names(known)
    text = io.StringIO(newline="")
    lines = ([id, *(as_text(known[str(names.find(id))][column]) for column in columns)] for id in rows)
    tables.Writer(text).writerows((header, *lines))
    sheet = Sheet.parse(str(path), text.getvalue())
    sheet.probabilities("Train again: the head gave a number that is no probability")
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")


def widened(probabilities: NDArray[np.float64], shares: Sequence[float]) -> NDArray[np.float64]:
    """(n, classes) probabilities and those of further classes, the same in each row: (n, classes + further)."""
    more = np.tile(np.array(shares, np.float64), (len(probabilities), 1))
    return np.hstack((probabilities.reshape(len(more), -1) * (1 - sum(shares)), more))


def as_text(probability: float) -> str:
    """How probabilities are written: rounded, but never to a certainty."""
    text = f"{probability:.{_DIGITS}g}"
    return repr(float(probability)) if float(text) == 1 != probability else text


def check_submission(
    path: Path,
    sample: str | None = None,
    classes: Sequence[str] | None = None,
    left_out: Collection[str] = (),
) -> int:
    """Look for all that Kaggle would reject, and return the number of rows; `left_out` as in `order`.

    Raises:
        SubmissionError: no such file, another header, an id twice, missing or foreign, a value that is no probability.
    """
    sheet = Sheet.read(path)
    remedy = "Write it again with `catsdogs train`"
    if sample is not None:
        expected = Sheet.parse("The sample submission", sample)
        if sheet.columns != expected.columns:
            raise SubmissionError(
                f"{path} has the columns {in_short(sheet.header)}, the sample submission {in_short(expected.header)}",
                remedy,
            )
        absent, foreign = differences(expected.rows, sheet.rows)
        refuse_ids(absent, f"ids of the sample submission are missing from {path}", remedy)
        refuse_ids(foreign, f"ids of {path} are not in the sample submission", remedy)
    if classes is not None:
        classes_of(sheet.header[1:], classes, left_out)
    sheet.probabilities(remedy)
    return len(sheet.rows)


def read_submission(
    path: Path, classes: Sequence[str], left_out: Collection[str] = ()
) -> tuple[list[str], NDArray[np.float64]]:
    """The ids of a submission in the order of its rows, and their (n, classes) probabilities in that of `classes`.

    Columns of classes that were `left_out`, see `order`, are not returned.

    Raises:
        SubmissionError: no such file, no such table, columns of other classes, a value that is no probability.
    """
    sheet = Sheet.read(path)
    columns = classes_of(sheet.header[1:], classes, left_out)
    values = sheet.probabilities("Write it again with `catsdogs train`")
    if len(columns) == 1:
        return list(sheet.rows), values if columns == [1] else values[:, ::-1]
    return list(sheet.rows), values[:, np.argsort(columns)[: len(classes)]]

"""The out-of-fold table of a run, `oof.csv`: written, and read back and held against the run, row by row."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import TrainingError
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.files import tables
from catsdogs.photographs.task import LABELS, NUMBER
from catsdogs.runs import run_card
from catsdogs.runs.run_card import Run, train_again
from catsdogs.scoring.crossval import SUM_TOLERANCE, CrossValidation
from catsdogs.scoring.likeliest import Likeliest

_HEADER_OF_LIKELIEST = ("id", "label", "p_label", "best", "fold", "dropped", "relabelled")


def write_out_of_fold(folder: Path, run: Run, crossed: CrossValidation, first: Features) -> None:
    """A row per training photograph; docs/runs.md lists the columns."""
    header, dropped = _header_of(run), set(run.dropped)
    start = len(run.classes) - len(_judged(run))
    rows = []
    held_out = zip(first.ids["train"], first.labels, crossed.predictions, crossed.fold, strict=True)
    for id, label, predictions, fold in held_out:
        # What comes back is the same number. The fold 0 is that of rows that were never held out, and have none.
        numbers = [repr(p) if fold != ALWAYS_LEARNT else "" for p in predictions[start:].tolist()]
        rows.append((id, first.classes[label], *numbers, fold + 1, int(id in dropped), run.relabelled.get(id, "")))
    tables.write_table(folder / run_card.OUT_OF_FOLD_FILE, header, rows)


def write_likeliest(folder: Path, run: Run, first: Features, found: Likeliest, fold: NDArray[np.int64]) -> None:
    """The same where only the likeliest classes are kept: the probability of the label, and the best names."""
    dropped, rows = set(run.dropped), []
    for row, (id, label) in enumerate(zip(first.ids["train"], first.labels, strict=True)):
        is_known = fold[row] != ALWAYS_LEARNT
        best = "|".join(run.classes[number] for number in found.numbers[row]) if is_known else ""
        right = repr(float(found.right[row])) if is_known else ""
        rows.append(
            (id, run.classes[label], right, best, fold[row] + 1, int(id in dropped), run.relabelled.get(id, ""))
        )
    tables.write_table(folder / run_card.OUT_OF_FOLD_FILE, _HEADER_OF_LIKELIEST, rows)


class Row(NamedTuple):
    """What a row of the table is: the photograph, its label and its fold, as they are written."""

    id: str
    label: str
    fold: str


def read_rows(folder: Path) -> list[Row]:
    """What the rows of a run's table are, which tells whether two runs may be laid beside each other.

    Raises:
        TrainingError: the table is gone, or has other columns.
    """
    path = folder / run_card.OUT_OF_FOLD_FILE
    run_card.must_exist(path)
    header, rows = tables.read_table(path, train_again(path))
    if not {"id", "label", "fold"} <= set(header) or any(len(row) != len(header) for row in rows):
        raise TrainingError(f"{path} does not have the columns of a run", train_again(path))
    places = [header.index(name) for name in Row._fields]
    return [Row(*(row[place] for place in places)) for row in rows]


def read_out_of_fold(folder: Path, run: Run, first: Features | None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(n_train, columns) predictions and (n_train,) folds from 0, after every row was held against the run.

    Both are as in `CrossValidation`. Without `first` ids and labels may be any.

    Raises:
        TrainingError: the table is gone, or is not that of this run on these rows.
    """
    path = folder / run_card.OUT_OF_FOLD_FILE
    run_card.must_exist(path)
    header, rows = tables.read_table(path, train_again(path))
    if tuple(header) == _HEADER_OF_LIKELIEST:
        raise TrainingError(
            f"{path} has the likeliest of {len(run.classes):,} classes alone, for all would not fit into memory",
            "Look at `catsdogs status`: a run of so many classes has no report, and teaches no network",
        )
    if header != _header_of(run):
        raise TrainingError(f"{path}, row 1 does not have the columns of this run", train_again(path))
    ids = first.ids["train"].tolist() if first else [row[0] for row in rows]
    names = [first.classes[label] for label in first.labels] if first else [row[1] for row in rows]
    if len(rows) != len(ids):
        problem = f"{path}, row {len(rows) + 1} is the last, and the run has {len(ids):,} training photographs"
        raise TrainingError(problem, train_again(path))
    predictions, fold = np.empty((len(rows), len(_judged(run)))), np.empty(len(rows), np.int64)
    for row, cells in enumerate(rows):
        try:
            tables.check_width(cells, header)
            for what, cell, expected in (("id", cells[0], ids[row]), ("label", cells[1], names[row])):
                if cell != expected:
                    raise ValueError(f"the {what} {cell!r}, where the features have {expected!r}")
            fold[row] = int(cells[-3]) - 1
            if fold[row] == ALWAYS_LEARNT and not any(cells[2:-3]):
                predictions[row] = np.nan
                continue
            predictions[row] = cells[2:-3]
            if not _are_of(predictions[row], run.task.kind):
                raise ValueError(f"what are no {'numbers' if run.task.kind == NUMBER else 'probabilities'}")
            if not 0 <= fold[row] < run.folds:
                raise ValueError(f"the fold {fold[row] + 1}, and there are {run.folds}")
        except (ValueError, OverflowError) as error:  # a fold may be of more digits than an array's numbers
            raise TrainingError(f"{path}, row {row + 2}: {error}", train_again(path)) from None
    empty = sorted(set(range(run.folds)) - set(fold.tolist()))
    if empty:
        raise TrainingError(f"{path} has no row of fold {empty[0] + 1}", train_again(path))
    if len(_judged(run)) < len(run.classes):
        predictions = np.concatenate((1 - predictions, predictions), axis=1)
    return predictions, fold


def _judged(run: Run) -> Sequence[str]:
    """The classes that have a column: of two that exclude each other, the second."""
    return run.classes[1:] if len(run.classes) == 2 and run.task.has_classes else run.classes


def _header_of(run: Run) -> list[str]:
    what = "predicted" if run.task.kind == NUMBER else "p"
    return ["id", "label", *(f"{what}_{name}" for name in _judged(run)), "fold", "dropped", "relabelled"]


def _are_of(row: NDArray[np.float64], kind: str) -> bool:
    if kind == NUMBER:
        return bool(np.isfinite(row).all())
    are_shares = bool(((row >= 0) & (row <= 1)).all())
    return are_shares and (kind == LABELS or len(row) == 1 or abs(row.sum() - 1) <= SUM_TOLERANCE)

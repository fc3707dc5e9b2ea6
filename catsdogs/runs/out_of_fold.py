"""The out-of-fold table of a run, read back and held against the run, row by row."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import TrainingError
from catsdogs.features.feature_file import Features
from catsdogs.files import tables
from catsdogs.files.tables import check_width, read_table
from catsdogs.runs import run_card
from catsdogs.runs.run_card import Run
from catsdogs.scoring.crossval import SUM_TOLERANCE, CrossValidation


def read_out_of_fold(folder: Path, run: Run, first: Features) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(n_train, classes) probabilities and (n_train,) folds from 0, after every row was held against the run.

    Raises:
        TrainingError: the table is gone, or is not that of this run on these rows.
    """
    path = folder / run_card.OUT_OF_FOLD_FILE
    must_exist(path)
    header, rows = read_table(path, train_again(path))
    judged = run.classes[1:] if len(run.classes) == 2 else run.classes
    expected = ["id", "label", *(f"p_{name}" for name in judged), "fold", "dropped", "relabelled"]
    if header != expected:
        raise TrainingError(f"{path}, row 1 does not have the columns of this run", train_again(path))
    ids, labels = first.ids["train"], first.labels
    if len(rows) != len(ids):
        problem = f"{path}, row {len(rows) + 1} is the last, and the run has {len(ids):,} training photographs"
        raise TrainingError(problem, train_again(path))
    said, fold = np.empty((len(rows), len(judged))), np.empty(len(rows), np.int64)
    for row, cells in enumerate(rows):
        try:
            check_width(cells, header)
            _check_identity(cells, str(ids[row]), run.classes[labels[row]])
            said[row] = [float(cell) for cell in cells[2 : 2 + len(judged)]]
            fold[row] = int(cells[-3]) - 1
            _check_numbers(said[row], int(fold[row]), run)
        except (ValueError, OverflowError) as error:  # a fold may be of more digits than an array's numbers
            raise TrainingError(f"{path}, row {row + 2}: {error}", train_again(path)) from None
    _check_folds(path, fold, run)
    return (np.concatenate((1 - said, said), axis=1) if len(judged) == 1 else said), fold


def _check_identity(cells: Sequence[str], id: str, label: str) -> None:
    if cells[0] != id:
        raise ValueError(f"the id {cells[0]!r}, where the features have {id!r}")
    if cells[1] != label:
        raise ValueError(f"the label {cells[1]!r}, where the features have {label!r}")


def _check_numbers(said: NDArray[Any], fold: int, run: Run) -> None:
    if not ((said >= 0) & (said <= 1)).all() or (len(said) > 1 and abs(said.sum() - 1) > SUM_TOLERANCE):
        raise ValueError("what are no probabilities")
    if not 0 <= fold < run.folds:
        raise ValueError(f"the fold {fold + 1}, and there are {run.folds}")


def _check_folds(path: Path, fold: NDArray[np.int64], run: Run) -> None:
    empty = sorted(set(range(run.folds)) - set(fold.tolist()))
    if empty:
        raise TrainingError(f"{path} has no row of fold {empty[0] + 1}", train_again(path))


def must_exist(path: Path) -> None:
    """TrainingError for a file of a run that is not there."""
    if not path.exists():
        raise TrainingError(f"{path} is gone", train_again(path))


def train_again(path: Path) -> str:
    """What to do about a damaged file of a run."""
    return f"Train again with --name {path.parent.name} --force"


_OUT_OF_FOLD_COLUMNS = ("fold", "dropped", "relabelled")


def write_out_of_fold(path: Path, run: Run, crossed: CrossValidation, first: Features) -> None:
    """A row per training photograph; docs/runs.md lists the columns."""
    columns = range(len(first.classes)) if len(first.classes) > 2 else (1,)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = tables.Writer(file)
        writer.writerow(["id", "label", *(f"p_{first.classes[column]}" for column in columns), *_OUT_OF_FOLD_COLUMNS])
        dropped = set(run.dropped)
        rows = zip(first.ids["train"], first.labels, crossed.probabilities, crossed.fold, strict=True)
        for id, label, probabilities, fold in rows:
            numbers = (repr(float(probabilities[column])) for column in columns)  # what comes back is the same number
            marks = (fold + 1, int(id in dropped), run.relabelled.get(id, ""))
            writer.writerow([id, first.classes[label], *numbers, *marks])

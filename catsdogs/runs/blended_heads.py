"""The heads of a blended run: for each fold one that joins the answers of that fold's heads of several runs."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import TrainingError
from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.files import storage
from catsdogs.heads import Head
from catsdogs.runs import run_card
from catsdogs.runs.blend_card import Blend, Part
from catsdogs.runs.out_of_fold import read_out_of_fold
from catsdogs.runs.run_card import Run, TrainedRun
from catsdogs.scoring import crossval, pooling
from catsdogs.scoring.pooling import Pool, Scale

_Floats = NDArray[np.float64]


class PooledHead:
    """Heads of one fold, each on the columns of its own networks, whose answers are joined."""

    def __init__(self, heads: Sequence[Head], columns: Sequence[NDArray[np.int64]], pool: Pool) -> None:
        """Take the heads, the columns of each, and how they are joined."""
        self._heads, self._columns, self._pool = heads, columns, pool

    def predict_proba(self, X: NDArray[np.float32]) -> _Floats:
        """(n, columns) answers for (n, width) vectors of all the networks."""
        kind = self._pool.task.kind
        pairs = zip(self._heads, self._columns, strict=True)
        return self._pool.join([crossval.predict(head, X[:, chosen], kind) for head, chosen in pairs])

    predict = predict_proba  # of numbers


def pooled_heads(run: Run, parts: Sequence[TrainedRun], pool: Pool) -> list[Head]:
    """A head for each fold of a blended run, which has the networks of all its parts."""
    ends = np.cumsum((0, *run.widths))
    of_network = {name: np.arange(*ends[place : place + 2]) for place, name in enumerate(run.backbones)}
    columns = [np.concatenate([of_network[name] for name in part.run.backbones]) for part in parts]
    folds = zip(*(part.heads for part in parts), strict=True)
    return [cast("Head", PooledHead(heads, columns, pool)) for heads in folds]


def read_blended(folder: Path, run: Run, blend: Blend) -> list[Head]:
    """The heads of a blended run, from the runs beside it that it is made of.

    Raises:
        TrainingError: such a run is gone, is not what it was, or is damaged; a CSV has joined the blend, which has
            nothing to say of other photographs.
    """
    for part in blend.parts:
        if part.is_fixed:
            raise TrainingError(
                f"The run {run.name} is blended with {part.name}, which answers for its own photographs only",
                "Blend the runs without it under another --name",
            )
        _check_table(folder, run, part)
    parts = [run_card.load_run(folder.parent / part.name) for part in blend.parts]
    scales = tuple(
        _scale(folder.parent / part.name, one.run, part, blend.space)
        for part, one in zip(blend.parts, parts, strict=True)
    )
    pool = Pool(run.task, blend.space, tuple(part.weight for part in blend.parts), scales, blend.lines)
    return pooled_heads(run, parts, pool)


def digest_of(table: Path) -> str:
    """SHA-256 of a table's bytes."""
    return hashlib.sha256(table.read_bytes()).hexdigest()


def _check_table(folder: Path, run: Run, part: Part) -> None:
    table = folder.parent / part.name / run_card.OUT_OF_FOLD_FILE
    is_there = storage.exists(table)
    if not is_there or digest_of(table) != part.table:
        what = "is not what it was" if is_there else "is gone"
        raise TrainingError(
            f"The run {part.name}, of which {run.name} is blended, {what}", "Bring that run back, or blend again"
        )


def _scale(folder: Path, run: Run, part: Part, space: str) -> Scale:
    if space != pooling.RANKS:
        return Scale(part.calibration)
    answers, fold = read_out_of_fold(folder, run, None)
    return pooling.steps_of(answers[fold != ALWAYS_LEARNT], run.task)

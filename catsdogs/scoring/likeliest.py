"""The likeliest classes of each row, kept where a table of all rows and classes would not fit into memory.

Of 10,000 classes and 200,000 photographs such a table takes 16 GB, and training holds several. Names of classes, and
all that they are scored by, need the likeliest few of each row and the probability of the right one.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from catsdogs import heads
from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.features.scaling import Vectors
from catsdogs.heads import Head
from catsdogs.photographs.task import BEST_K, NAME, Task
from catsdogs.progress import Progress
from catsdogs.scoring import crossval, decisions, measuring, metrics, streaming
from catsdogs.scoring.grades import Grade
from catsdogs.scoring.training_plan import Plan, TrainingRows

KEPT = decisions.CANDIDATES  # classes of each row: no metric of names looks at more
_BLOCK_CELLS = 2**23  # rows x classes that are in memory at once, 64 MB

_Probabilities = Callable[[Vectors], NDArray[np.float64]]


class Likeliest(NamedTuple):
    """Of n rows, in some order.

    Attributes:
        numbers, shares: (n, KEPT) classes, the most probable first, and their probabilities.
        right: (n,) the probability of the right class; NaN where that is not known.
        expected: (classes,) the sum of each class's probabilities over the rows.
    """

    numbers: NDArray[np.int64]
    shares: NDArray[np.float64]
    right: NDArray[np.float64]
    expected: NDArray[np.float64]

    @classmethod
    def empty(cls, rows: int, classes: int) -> Self:
        """For so many rows, of which nothing is known yet."""
        kept = min(KEPT, classes)
        unknown = np.full(rows, np.nan)
        return cls(np.zeros((rows, kept), np.int64), np.full((rows, kept), np.nan), unknown, np.zeros(classes))

    def fill(
        self, rows: NDArray[np.intp], probabilities: NDArray[np.float64], labels: NDArray[np.int64] | None = None
    ) -> None:
        """Take what is to be kept from (m, classes) probabilities of some rows."""
        best = decisions.best(probabilities, self.numbers.shape[1])
        self.numbers[rows], self.shares[rows] = best, np.take_along_axis(probabilities, best, axis=1)
        self.expected[:] += probabilities.sum(axis=0)
        if labels is not None:
            self.right[rows] = probabilities[np.arange(len(rows)), labels]

    def named(self, task: Task) -> NDArray[np.int64]:
        """(n,) the class that each row is called, see `decisions.names`."""
        if task.metric == metrics.F1_MACRO:
            return decisions.named_for_macro_f1(self.numbers, self.shares, self.expected)
        return self.numbers[:, 0]

    def cells(self, task: Task, classes: tuple[str, ...]) -> list[str]:
        """What a submission says of each row: a name, or the best few."""
        if task.answer == BEST_K:
            return [" ".join(classes[number] for number in row) for row in self.numbers[:, : task.best]]
        return [classes[number] for number in self.named(task)]


def are_kept(task: Task, rows: int, classes: int) -> bool:
    """Whether the likeliest classes are all that the task asks for, and a table of all would not fit into memory."""
    return task.answer in (NAME, BEST_K) and streaming.exceeds_memory(rows, classes)


def cross_validate(rows: TrainingRows, plan: Plan) -> tuple[list[Head], Likeliest, NDArray[np.int64]]:
    """The heads of all folds, what they say out of fold, and (n,) folds, as in `CrossValidation`.

    Raises:
        TrainingError, StoreError: as `streaming.fit_blocks`.
    """
    first, fold = rows.first, rows.deal(plan.folds, plan.seed)
    classes, widths = len(first.classes), tuple(file.width for file in rows.files)
    make = functools.partial(heads.create, plan.head, plan.seed, widths, **plan.settings)
    fitted = streaming.fit_blocks(rows.files, rows.learnt, rows.kept, fold, make, plan.seed)
    found = Likeliest.empty(len(rows.kept), classes)
    with Progress(len(fold), "out of fold", "row") as bar:
        for numbers, X in _small_blocks(streaming.blocks(fitted.vectors), classes):
            for number in np.setdiff1d(fold[numbers], [ALWAYS_LEARNT]):
                held_out = numbers[fold[numbers] == number]
                answers = crossval.checked_predictions(fitted.heads[number], X[fold[numbers] == number], classes)
                found.fill(held_out, answers, first.labels[held_out])
            bar.update(len(numbers))
    return fitted.heads, found, fold


def predicted(
    predict_proba: _Probabilities,
    blocks: Iterator[streaming.Block],
    rows: int,
    classes: int,
    labels: NDArray[np.int64] | None = None,
) -> Likeliest:
    """Of all rows of a split, a block at a time."""
    found = Likeliest.empty(rows, classes)
    for numbers, X in _small_blocks(blocks, classes):
        found.fill(numbers, predict_proba(X), None if labels is None else labels[numbers])
    return found


def of_prior(prior: NDArray[np.float64], rows: int) -> Likeliest:
    """The same for rows of which nothing but the shares of the classes is known."""
    found = Likeliest.empty(rows, len(prior))
    if rows:
        found.fill(np.arange(rows), np.tile(prior, (rows, 1)))
    return found


def grade(
    found: Likeliest, labels: NDArray[np.int64], scored: NDArray[np.bool_], task: Task, measured_on: str
) -> Grade:
    """The grade of the rows that are `scored`, by the task's metric; without a clip."""
    found = found._replace(numbers=found.numbers[scored], shares=found.shares[scored], right=found.right[scored])
    numbers, right = found.numbers, labels[scored]
    losses = -np.log(np.clip(found.right, measuring.KAGGLE_EPSILON, 1 - measuring.KAGGLE_EPSILON))
    loss, error = measuring.mean_and_error(losses)
    accuracy = float((numbers[:, 0] == right).mean())
    base = Grade(loss, error, accuracy, len(right), measured_on)
    if task.answer == BEST_K:
        hits = numbers[:, : task.best] == right[:, np.newaxis]
        value, error = measuring.mean_and_error((hits / np.arange(1, hits.shape[1] + 1)).sum(axis=1))
    elif task.metric == metrics.F1_MACRO:
        measured = measuring.macro_f1(found.named(task), right, len(found.expected))
        value, error = measured.value, measured.standard_error
    else:
        value, error = measuring.mean_and_error((numbers[:, 0] == right).astype(np.float64))
    return dataclasses.replace(base, metric=task.metric, value=value, value_error=error)


def _small_blocks(blocks: Iterator[streaming.Block], classes: int) -> Iterator[streaming.Block]:
    """The same rows in blocks of which a table of all classes is small."""
    step = max(1, _BLOCK_CELLS // classes)
    for numbers, X in blocks:
        for start in range(0, len(numbers), step):
            yield numbers[start : start + step], X[start : start + step]

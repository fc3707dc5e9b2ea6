"""Heads on vectors that do not fit into memory: joined rows are read in blocks, once for the heads of all folds."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from catsdogs.errors import TrainingError
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.features.joining import Joined
from catsdogs.features.scaling import Array, Labels, Scaling, Vectors
from catsdogs.heads import Head, class_of
from catsdogs.photographs.task import CLASSES
from catsdogs.progress import Progress
from catsdogs.scoring import crossval
from catsdogs.scoring.crossval import CrossValidation

# The hungriest head takes three times the memory of the vectors (docs/heads.md); as much again is left to all else.
MEMORY_SHARE = 0.25
# How many tables of float64 with a row for each photograph and a column for each class are held at once, at most:
# measured 13 to 17 for 3,000 to 6,000 photographs of 200 to 1,000 classes, with blend, logistic, stack and ridge.
_TABLES = 17
PASSES = 10  # over the rows, of a classifier that in memory goes over them until `max_iter`
_BUFFER_BYTES = 2**27  # rows that are shuffled and learnt from while the next are read
_BLOCK_BYTES = 2**25
_RUN_ROWS = 256  # rows that are read into a buffer together: 1 MB of a network in one read
_CGROUP = Path("/sys/fs/cgroup/memory.max")

Block = tuple[NDArray[np.intp], Vectors]  # the numbers of some rows, and their vectors


class Learner(Protocol):
    """Heads that learn together from blocks of rows.

    The class of a head makes one by `streamed(heads, scaling, classes, rows)`: of heads that have learnt nothing, the
    standardising of columns, the (classes,) labels, and how many rows each head will learn from in an epoch.
    Classifiers with scikit-learn's `partial_fit` need none.

    Attributes:
        epochs: how often all rows are read.
    """

    epochs: int

    def learn(self, X: Vectors, target: Labels | Array, allowed: NDArray[np.bool_], share: float) -> None:
        """Learn from (n, width) vectors, `share` of all; `allowed`, (heads, n): which head may learn from a row."""

    def end_epoch(self) -> None:
        """All rows were read once more."""


class _PartialFits:
    """A `Learner` of classifiers with `partial_fit`; those without `max_iter`, such as GaussianNB, need one pass."""

    def __init__(self, heads: Sequence[Any], classes: NDArray[np.int64]) -> None:
        names = {name.rpartition("__")[2] for name in heads[0].get_params()}  # of a pipeline, also its last's
        self.epochs = PASSES if "max_iter" in names else 1
        self._heads, self._classes = heads, classes

    def learn(self, X: Vectors, target: Labels | Array, allowed: NDArray[np.bool_], share: float) -> None:
        for head, rows in zip(self._heads, allowed, strict=True):
            if rows.any():
                head.partial_fit(X[rows], target[rows], classes=self._classes)

    def end_epoch(self) -> None:
        pass


def blocks(vectors: Joined) -> Iterator[Block]:
    """All rows in order, a block at a time, which is read while the one before is used."""
    return _read_ahead(vectors.blocks(max(1, _BLOCK_BYTES // (4 * vectors.width))))


def shuffled(vectors: Joined, labels: Labels, kept: NDArray[np.bool_], random: np.random.Generator) -> Iterator[Block]:
    """All kept rows, as `blocks`, in buffers of runs from everywhere, each with about the same share of each class.

    Rows mostly lie class by class, and a buffer of one class would undo what was learnt from the buffer before.
    """
    starts = np.arange(0, len(vectors), _RUN_ROWS)
    middle = labels[np.minimum(starts + _RUN_ROWS // 2, len(vectors) - 1)]
    by_class = np.lexsort((random.random(len(starts)), middle))
    counts = np.bincount(middle)
    rank = np.arange(len(starts)) - np.repeat(np.cumsum(counts) - counts, counts)
    position = (rank + random.random(len(starts))) / np.repeat(counts, counts)[: len(starts)]
    order = starts[by_class[np.argsort(position)]]
    step = max(1, _BUFFER_BYTES // (4 * vectors.width * _RUN_ROWS))

    def rows_of(runs: NDArray[np.intp]) -> NDArray[np.intp]:
        rows = (np.sort(runs)[:, np.newaxis] + np.arange(_RUN_ROWS)).ravel()
        return rows[(rows < len(vectors)) & kept[np.minimum(rows, len(vectors) - 1)]]

    buffers = (rows_of(order[start : start + step]) for start in range(0, len(order), step))
    return _read_ahead((rows, vectors.read(rows)) for rows in buffers if len(rows))


def table_bytes(rows: int, classes: int) -> int:
    """About how much memory training takes for its tables of so many rows and classes, besides the vectors."""
    return _TABLES * 8 * rows * classes


def exceeds_memory(rows: int, classes: int) -> bool:
    """Whether tables of so many rows and classes are larger than this machine's memory."""
    return table_bytes(rows, classes) > _memory()


def check_tables(rows: int, classes: int) -> None:
    """A TrainingError for tables of rows and classes that are larger than this machine's memory."""
    if exceeds_memory(rows, classes):
        raise TrainingError(
            f"{rows:,} photographs of {classes:,} classes take {table_bytes(rows, classes) / 1e9:,.1f} GB for their "
            f"probabilities, more than this machine's {_memory() / 1e9:,.1f} GB",
            "Train on a machine with more memory, or on fewer classes: `catsdogs features --classes` takes some",
        )


def is_needed(files: Sequence[Features], splits: Sequence[str] = ("train",)) -> bool:
    """Whether the joined vectors of these splits take more than `MEMORY_SHARE` of this machine's memory."""
    return _bytes(files, splits) > MEMORY_SHARE * _memory()


def cross_validate_blocks(
    files: Sequence[Features],
    target: Labels | Array,
    kept: NDArray[np.bool_],
    fold: NDArray[np.int64],
    make: Callable[[], Head],
    seed: int,
    first: Features | None = None,
    kind: str = CLASSES,
) -> CrossValidation:
    """As `crossval.cross_validate`, in flat memory for the vectors; arguments and errors are those of `fit_blocks`."""
    heads, vectors, seconds = fit_blocks(files, target, kept, fold, make, seed, first)
    columns = crossval.columns_of(target)
    predictions = np.full((len(vectors), columns), np.nan)
    with threadpool_limits(1), Progress(len(vectors), "out of fold", "row") as bar:
        for rows, X in _with_progress(blocks(vectors), bar):
            for number in np.setdiff1d(fold[rows], [ALWAYS_LEARNT]):
                held_out = fold[rows] == number
                answers = crossval.checked_predictions(heads[number], X[held_out], columns, kind)
                predictions[rows[held_out]] = answers
    return CrossValidation(heads, predictions, fold, seconds)


class Fitted(NamedTuple):
    """The heads of all folds, the vectors that they learnt from, and the seconds that it took."""

    heads: list[Head]
    vectors: Joined
    seconds: float


def fit_blocks(
    files: Sequence[Features],
    target: Labels | Array,
    kept: NDArray[np.bool_],
    fold: NDArray[np.int64],
    make: Callable[[], Head],
    seed: int,
    first: Features | None = None,
) -> Fitted:
    """Fit the heads of all folds: every block of rows is read once for all of them.

    Rows are those of `first`, of the first of the files if it is not given.

    Columns are standardised over all kept rows, held out or not: that uses no labels.

    Raises:
        TrainingError: the head cannot learn from blocks, refuses these vectors, or every column of a network is
            constant.
        StoreError: the files are damaged.
    """
    heads = [make() for _ in range(int(fold.max()) + 1)]
    check_head(heads[0], files)
    for head in heads:
        if see_range := getattr(head, "see_range", None):  # of numbers, which is needed before the first block
            see_range(target[kept])
    vectors = Joined(files, "train", first=first)
    allowed = kept & (fold != np.arange(len(heads))[:, np.newaxis])
    classes, strata = np.arange(crossval.columns_of(target)), _strata_of(target)
    random = np.random.default_rng(seed)
    with threadpool_limits(1):  # a second core reads meanwhile
        with Progress(len(vectors), "measuring columns", "row") as bar:
            scaling = Scaling(X[kept[rows]] for rows, X in _with_progress(blocks(vectors), bar) if kept[rows].any())
        refuse_constant(files, scaling.is_constant)
        for head in heads:
            if see_scaling := getattr(head, "see_scaling", None):  # of pipelines that standardise
                see_scaling(scaling)
        started = time.perf_counter()
        of_class, counts = getattr(heads[0], "streamed", None), allowed.sum(axis=1)
        learner: Learner = of_class(heads, scaling, classes, counts) if of_class else _PartialFits(heads, classes)
        with Progress(learner.epochs * int(kept.sum()), type(heads[0]).__name__, "row") as bar:
            for _ in range(learner.epochs):
                for rows, X in _with_progress(shuffled(vectors, strata, kept, random), bar):
                    with crossval.refusals(heads[0]):
                        learner.learn(X, target[rows], allowed[:, rows], len(rows) / kept.sum())
                learner.end_epoch()
    return Fitted(heads, vectors, time.perf_counter() - started)


def _strata_of(target: Labels | Array) -> Labels:
    """(n,) what rows are mixed by: their class; or which labels come together."""
    return target.astype(np.int64) if target.ndim == 1 else np.unique(target, axis=0, return_inverse=True)[1].ravel()


def check_head(head: Head, files: Sequence[Features], for_classes: bool = False) -> None:
    """A TrainingError for a head that cannot learn from blocks of rows, as vectors or, `for_classes`, tables ask."""
    if hasattr(head, "streamed") or hasattr(head, "partial_fit"):
        return
    if for_classes:
        raise TrainingError(
            f"The head {class_of(head).__name__} needs the probabilities of all classes for all photographs in memory",
            "Choose --head dropout-sigmoid or a classifier with partial_fit, which learn from blocks of rows",
        )
    raise TrainingError(
        f"The training vectors take {_bytes(files) / 1e9:,.1f} GB, more than {MEMORY_SHARE:.0%} of this machine's "
        f"{_memory() / 1e9:,.1f} GB, and the head {class_of(head).__name__} needs all of them in memory",
        "Choose dropout-sigmoid or a classifier with partial_fit, such as GaussianNB, which read them in blocks",
    )


def check_memory(files: Sequence[Features]) -> None:
    """A TrainingError for vectors that `is_needed` would stream, where they are to be in memory."""
    if is_needed(files):
        raise TrainingError(
            f"The training vectors take {_bytes(files) / 1e9:,.1f} GB, more than {MEMORY_SHARE:.0%} of this machine's "
            f"{_memory() / 1e9:,.1f} GB, and they were in memory when this run was trained",
            "Repeat it on a machine with more memory, or train anew without --repeat",
        )


def predicted(predict: Callable[[Vectors], Array], files: Sequence[Features], split: str) -> Array:
    """(n, columns) predictions of all rows of a split, a block at a time; (0, 0) without rows.

    Raises:
        StoreError: the files hold different rows, or are damaged.
    """
    predictions = [predict(X) for _, X in blocks(Joined(files, split))]
    return np.concatenate(predictions) if predictions else np.empty((0, 0))


def check_readable(files: Sequence[Features], split: str) -> None:
    """Read all vectors of a split, only to see that they can be read; raises as `predicted`."""
    for _ in blocks(Joined(files, split)):
        pass


def check_columns(files: Sequence[Features]) -> None:
    """Read all training vectors, only to raise as `cross_validate_blocks` for damage and constant columns."""
    refuse_constant(files, Scaling(X for _, X in blocks(Joined(files, "train"))).is_constant)


def refuse_constant(files: Sequence[Features], is_constant: NDArray[np.bool_]) -> None:
    """A TrainingError for a network of which every column is constant; `is_constant` is of the joined columns."""
    start = 0
    for file in files:
        if is_constant[start : start + file.width].all():
            raise TrainingError(
                f"{file.path} says the same of every training photograph",
                f"Write it again with working weights: `catsdogs features --backbones {file.name}`",
            )
        start += file.width


def _bytes(files: Sequence[Features], splits: Sequence[str] = ("train",)) -> int:
    return 4 * sum(len(files[0].ids[split]) for split in splits) * sum(file.width for file in files)


def _memory() -> int:
    """Bytes of this machine's memory, or of its container's; not those free, so that a run repeats alike."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**33
    limit = _CGROUP.read_text(encoding="utf-8").strip() if _CGROUP.exists() else "max"
    return min(machine, int(limit)) if limit.isdigit() else machine


def _read_ahead(read: Iterator[Block]) -> Iterator[Block]:
    """The same blocks, each read in a thread while the one before is used."""
    with ThreadPoolExecutor(1, "reader") as reader:
        coming = reader.submit(next, read, None)
        while block := coming.result():
            coming = reader.submit(next, read, None)
            yield block
            del block


def _with_progress(read: Iterator[Block], bar: Progress) -> Iterator[Block]:
    for rows, X in read:
        yield rows, X
        bar.update(len(rows))

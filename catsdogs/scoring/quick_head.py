"""The quick head: least squares on all rows at once, held out in folds, that learns corrected labels within a second.

It is the head `ridge` with its penalty, solved by the Gram matrix of each fold's rows, which are added up once. What a
person corrects changes the targets alone, so learning again is two products and a triangular solve. scikit-learn's
`RidgeCV` leaves out single rows, not folds, and would let copies learn from one another.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax

from catsdogs.cleaning.duplicates import Copies
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.features.joining import Joined
from catsdogs.features.scaling import Scaling, Vectors
from catsdogs.photographs.task import LABELS, NUMBER
from catsdogs.scoring import streaming, training_plan
from catsdogs.scoring.training_plan import TrainingRows

RIDGE = 0.1  # times width, as of the head `ridge`
MOST_CELLS = 2**27  # of the vectors in memory: 512 MiB; of more rows, or wider ones, random projections are kept
MOST_COLUMNS = 2**12  # whose products and factors take 64 MiB a fold
_LEAST_WIDTH = 64
_BLOCK_ROWS = 4096
_SEED = 2018
_LARGEST_SCALE = 50.0  # of scores, which lie around -1 and 1

_Floats = NDArray[np.float64]


class QuickHead:
    """Rows held in memory, at most `MOST_CELLS` numbers, and the factors of each fold's least squares."""

    def __init__(self, files: Sequence[Features], fold: NDArray[np.int64], kind: str) -> None:
        """Read all train rows of `files`, whose first gives their order.

        Args:
            fold: (n_train,) the fold that each row is held out in, or `ALWAYS_LEARNT`.
            kind: the task's.

        Raises:
            StoreError: vectors cannot be read.
        """
        self._kind, self._fold = kind, fold
        self._folds = [int(number) for number in np.unique(fold) if number != ALWAYS_LEARNT]
        self._vectors, width = _read(files)
        grams = {number: _gram(self._vectors[fold == number]) for number in np.unique(fold).tolist()}
        total = np.sum([*grams.values()], axis=0)
        total[np.diag_indices_from(total)] += np.float32(RIDGE * width)
        self._factors = {number: cho_factor(total - grams[number], overwrite_a=True) for number in self._folds}

    def out_of_fold(self, target: _Floats, left_out: NDArray[np.bool_] | None = None) -> _Floats:
        """(n_train, k) predictions of each row by a head that did not learn from its fold; NaN of `ALWAYS_LEARNT` ones.

        Probabilities of classes add up to 1. They are calibrated by one number, chosen on these very predictions.

        Args:
            target: (n_train, k) what is to be learnt: 0 or 1 for each class or label, or the numbers.
            left_out: (n_train,) rows not to learn from. They are learnt as what heads that do not know them say of
                them, so that they pull nowhere, and the factors can stay.
        """
        middle, spread = target.mean(axis=0), target.std(axis=0)
        spread = np.where(spread > 0, spread, 1)
        scaled = ((target - middle) / spread if self._kind == NUMBER else 2 * target - 1).astype(np.float32)
        scores = self._scores(scaled)
        if left_out is not None and left_out.any():
            told = np.where(left_out[:, np.newaxis] & ~np.isnan(scores), scores, scaled)
            scores = self._scores(told.astype(np.float32))
        if self._kind == NUMBER:
            return scores * spread + middle
        known = ~np.isnan(scores[:, 0])
        if left_out is not None:
            known &= ~left_out
        scale = _scale(scores[known], target[known], self._kind == LABELS)
        shares: _Floats = expit(scale * scores) if self._kind == LABELS else softmax(scale * scores, axis=1)
        return shares

    def _scores(self, target: Vectors) -> _Floats:
        products = {number: self._vectors[rows].T @ target[rows] for number, rows in self._rows_of().items()}
        total = np.sum([*products.values()], axis=0)
        sums = self._vectors.sum(axis=0, dtype=np.float64).astype(np.float32)
        scores = np.full(target.shape, np.nan)
        for number in self._folds:
            held_out = self._fold == number
            middle = target[~held_out].mean(axis=0)
            known = sums - self._vectors[held_out].sum(axis=0, dtype=np.float64).astype(np.float32)
            coef = cho_solve(self._factors[number], total - products[number] - np.outer(known, middle))
            scores[held_out] = self._vectors[held_out] @ coef + middle
        return scores

    def _rows_of(self) -> dict[int, NDArray[np.bool_]]:
        return {number: self._fold == number for number in np.unique(self._fold).tolist()}


def of_files(files: Sequence[Features], copies: Copies, folds: int, seed: int) -> tuple[QuickHead, TrainingRows]:
    """The quick head of feature files, folds dealt as `train` deals them, and the rows it learns from.

    Raises:
        TrainingError: as `training_plan.check_trainable` and `TrainingRows.check_folds`.
        StoreError: vectors cannot be read.
    """
    rows = training_plan.check_trainable(files).with_copies(copies)
    rows.check_folds(folds, (seed,))
    return QuickHead(rows.files, rows.deal(folds, seed), rows.task.kind), rows


def targets_of(rows: TrainingRows) -> _Floats:
    """(n_train, columns) what the rows are learnt as: 0 or 1 for each class or label, or the numbers."""
    learnt = rows.to_learn
    return np.eye(rows.columns)[learnt] if rows.task.has_classes else np.asarray(learnt, np.float64)


def _read(files: Sequence[Features]) -> tuple[Vectors, int]:
    """(n, columns) rows with the products of the standardised ones, and how wide those were."""
    table = Joined(files, "train")
    scaling = Scaling(block for _, block in table.blocks(_BLOCK_ROWS))
    rows, width = len(table), table.width
    streaming.refuse_constant(files, scaling.is_constant)
    columns = min(width, MOST_COLUMNS, max(_LEAST_WIDTH, MOST_CELLS // rows))
    projection = None
    if columns < width:
        projection = np.random.default_rng(_SEED).standard_normal((width, columns), np.float32) / columns**0.5
    vectors = np.empty((rows, columns), np.float32)
    for places, block in table.blocks(_BLOCK_ROWS):
        scaling.apply(block, out=block)
        vectors[places] = block if projection is None else block @ projection
    if rows >= columns:
        return vectors, width
    # Fewer rows than columns: the factor of their products tells as much in fewer columns.
    products = (vectors @ vectors.T).astype(np.float64)
    products[np.diag_indices(rows)] += 1e-6 * width
    return cholesky(products, lower=True).astype(np.float32), width


def _gram(rows: Vectors) -> Vectors:
    product: Vectors = rows.T @ rows  # NumPy sees that it is symmetric, and computes half of it
    return product


def _scale(scores: _Floats, target: _Floats, is_labels: bool) -> float:
    """By what scores are multiplied to be logits of the least log loss."""

    def loss(scale: float) -> float:
        if is_labels:
            return float(np.logaddexp(0, -scale * scores * (2 * target - 1)).mean())
        return float(-(log_softmax(scale * scores, axis=1) * target).sum(axis=1).mean())

    return float(minimize_scalar(loss, bounds=(0.0, _LARGEST_SCALE), method="bounded").x)

"""Penalties chosen from the data: fits with a row of penalties, judged on rows that they never saw.

Each penalty is `STEP` times the one before. The search begins with a strong one and goes on in each direction as long
as the held-out loss falls, so the one that is taken has a worse neighbour on either side: on photographs the loss has a
single valley (docs/heads.md). Fits with weak penalties begin where those with stronger ones ended. Of labels and
numbers each has a penalty of its own: one may be told to the last digit while another is all noise.

A few rows that can all be told apart would have no penalty at all. So a penalty has a prior: its logarithm is normal
around that of the usual one, which pictures of cats and dogs asked for.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from warnings import warn

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve
from scipy.linalg.blas import ssymv, ssyr, strsv
from scipy.sparse.linalg import LinearOperator, cg

from catsdogs.errors import FitWarning
from catsdogs.features.scaling import Array
from catsdogs.heads import _convex
from catsdogs.heads._convex import (
    SEARCH_TOLERANCE,
    TOLERANCE,
    DesignMatrix,
    InnerSplit,
    Loss,
    Penalty,
    Target,
    lower_of,
)
from catsdogs.heads._linear import PRIOR_VARIANCE, Lesson

STEP = 3.0
DEVIATION = float(np.log(10))  # of the logarithm of a penalty; some hundred rows say more than this prior
FIRST_STEP = 3  # from the usual penalty
MOST_STEPS = 12  # from the first, in each direction: a factor of 500,000
_NEAR_FACTOR = 3.5 * float(np.log(STEP))  # of the logarithms of two penalties: some dozen refinements are enough
_REFINEMENTS, _RESIDUAL = 40, 1e-4  # of the moments, in float32
Steps = Sequence[float]


def steps_of(penalty: float | None) -> Steps:
    """What to try: a penalty, times the usual one; None has one searched for; a ValueError if it is not above 0."""
    if penalty is not None and not penalty > 0:
        raise ValueError(f"a penalty of {penalty:g}, which has to be above 0")
    return () if penalty is None else (float(np.log(penalty) / np.log(STEP)),)


def prior_of(step: float) -> float:
    """-ln of the prior of the penalty some steps from the usual one, but for what is the same for all."""
    return float((step * np.log(STEP) / DEVIATION) ** 2 / 2)


def sums(loss: Loss, scores: Array, target: Target, weights: Array | None) -> Array:
    """(shares,) losses of (n, units) scores, each row or cell as often as its weight says; (1,) of classes."""
    losses = loss(scores, target)[0]
    return np.atleast_1d((losses if weights is None else _convex.weighed(losses, weights)).sum(axis=0))


class Fitted(NamedTuple):
    """A fit to all rows, and the scores of held-out rows by fits that never saw them.

    Attributes:
        coef, intercept: (width, units) and (units,), of the vectors as they are.
        held_out: (held-out rows, units) scores, one split after the other.
        penalty: what was chosen; (k,) for shares.
        step: how many steps that is from the usual one; the median of shares.
    """

    coef: Array
    intercept: Array
    held_out: Array
    penalty: Penalty
    step: float


def fit(
    matrix: DesignMatrix,
    lesson: Lesson,
    usual: float,
    splits: Sequence[InnerSplit],
    among: Steps = (),
    near: float | None = None,
) -> Fitted:
    """Least log loss of all rows, with the penalty that serves held-out rows best, if only `among` some.

    `near` is a step to go on from if it is better than the first: what another member of the head took.
    """
    loss = _convex.log_loss_of(lesson.target)
    found = _LogLoss(matrix, lesson, usual, splits, among, near).run()
    theta = matrix.minimise(loss, lesson.target, found.penalty, start=found.theta, weights=lesson.weights)
    return Fitted(*matrix.of_vectors(theta[:, 0]), found.held_out, found.penalty, found.step)


def fit_networks(
    parts: Iterable[DesignMatrix], lesson: Lesson, splits: Sequence[InnerSplit], among: Steps = ()
) -> list[Fitted]:
    """A `fit` for each network's columns; near where the first one's search ends, those of the others begin."""
    fits = list[Fitted]()
    for part in parts:
        usual = part.vectors.shape[1] / PRIOR_VARIANCE
        fits.append(fit(part, lesson, usual, splits, among, fits[0].step if fits else None))
    return fits


def fit_squares(
    matrix: DesignMatrix, lesson: Lesson, usual: float, splits: Sequence[InnerSplit], among: Steps = ()
) -> Fitted:
    """Least squares on ±1 of all rows, with the penalty that serves held-out rows best, if only `among` some.

    Of classes and labels that is the least log loss of the scores as logits, see `Lesson.logits_of`; of numbers the
    least squares. Without weights each fit is a closed form of the products of the columns.
    """
    if lesson.weights is None:
        search = _ClosedForm(matrix, lesson, usual, splits, among)
        found, factor = search.run(), search.squares[-1].factor
        del search  # which holds the products of each split
        theta = Squares(matrix, lesson, np.arange(len(lesson.target)), factor).solve_each(found.penalty)
    else:
        found, loss = _WeightedSquares(matrix, lesson, usual, splits, among).run(), _convex.squared_loss
        theta = matrix.minimise(loss, lesson.target, found.penalty, start=found.theta, weights=lesson.weights)[:, 0]
    return Fitted(*matrix.of_vectors(theta), found.held_out, found.penalty, found.step)


class Squares:
    """Least squares on ±1 of some rows: a closed form for any penalty.

    Attributes:
        factor: the last penalty whose L had to be computed, see `lower_of`, and that; None before the first.
    """

    def __init__(
        self,
        matrix: DesignMatrix,
        lesson: Lesson,
        learnt: NDArray[np.intp],
        factor: tuple[float, NDArray[np.float32]] | None = None,
    ) -> None:
        """Of the rows `learnt`; `factor` is that of nearly the same rows."""
        is_learnt = np.zeros((len(lesson.target), 1))
        is_learnt[learnt] = 1
        wanted = _convex.wanted_of(lesson.target, _convex.units_of(lesson.target))
        self._wanted_mean = wanted[learnt].mean(axis=0)
        self._moments = matrix.transposed_dot((wanted - self._wanted_mean) * is_learnt).astype(np.float32)
        self._mean = matrix.transposed_dot(is_learnt)[:, 0] / len(learnt)
        self._products = matrix.products(np.flatnonzero(is_learnt[:, 0] == 0))
        if len(learnt) < len(is_learnt):  # else the mean of standardised columns is 0
            self._products = ssyr(-len(learnt), self._mean.astype(np.float32), lower=1, a=self._products, overwrite_a=1)
        self.factor = factor

    def solve(self, penalty: float, units: NDArray[np.intp] | slice = slice(None)) -> Array:
        """(columns + 1, units) coefficients, intercepts last."""
        moments = self._moments[:, units]
        found = self._refined(moments, penalty)
        if found is None:
            self.factor = penalty, lower_of(self._products.copy(order="F"), penalty)
            found = cho_solve((self.factor[1], True), moments, check_finite=False)
        coef = found.astype(np.float64)
        return np.vstack((coef, self._wanted_mean[units] - self._mean @ coef))

    def _refined(self, moments: NDArray[np.float32], penalty: float) -> NDArray[np.float32] | None:
        """The same of one unit by conjugate gradients, with the last penalty's factor to precondition them.

        None where that is too far away, or there are several units, for which another factor is quicker.
        """
        if moments.shape[1] > 1 or self.factor is None or abs(np.log(penalty / self.factor[0])) > _NEAR_FACTOR:
            return None
        added = np.float32(_convex.raised(penalty, self._products))
        count, lower = len(self._products), self.factor[1]
        found, failed = cg(
            _operator(count, lambda x: ssymv(1, self._products, x, lower=1) + added * x),
            moments[:, 0],
            rtol=_RESIDUAL,
            maxiter=_REFINEMENTS,
            M=_operator(count, lambda x: strsv(lower, strsv(lower, x, lower=1), lower=1, trans=1)),
        )
        return None if failed else found[:, np.newaxis]

    def solve_each(self, penalty: Penalty) -> Array:
        """The same with a penalty for each unit, or one for all."""
        if not isinstance(penalty, np.ndarray):
            return self.solve(penalty)
        theta = np.empty((len(self._mean) + 1, len(penalty)))
        for one in np.unique(penalty):
            theta[:, penalty == one] = self.solve(float(one), np.flatnonzero(penalty == one))
        return theta


def _operator(count: int, product: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> LinearOperator:
    return LinearOperator((count, count), matvec=product, dtype=np.float32)


class _Found(NamedTuple):
    """What a search ends with: as in `Fitted`, and (columns + 1, 1, units) mean coefficients of the splits' fits."""

    penalty: Penalty
    held_out: Array
    theta: Array
    step: float


class _Search(ABC):
    """The search for the penalty of each share, or for the one of all classes."""

    def __init__(
        self,
        matrix: DesignMatrix,
        lesson: Lesson,
        usual: float,
        splits: Sequence[InnerSplit],
        among: Steps = (),
        near: float | None = None,
    ) -> None:
        """`among`: the steps that are tried, none of them likelier than others; without them they are searched for."""
        self.matrix, self.lesson, self.usual, self.splits, self._among = matrix, lesson, usual, splits, among
        self._near = near if lesson.target.ndim == 1 else None  # each share has its own
        self.learnt = [rows for rows, _ in splits]
        self._count = lesson.target.shape[1] if lesson.target.ndim == 2 else 1
        self._steps = np.full(self._count, among[0] if among else FIRST_STEP, np.float64)

    @abstractmethod
    def solve(self, shares: NDArray[np.intp], penalty: float, start: Array | None) -> Array:
        """(columns + 1, splits, units) coefficients of some shares, all with one penalty."""

    @abstractmethod
    def losses(self, part: Lesson, held_out: Array) -> Array:
        """(shares,) losses of (held-out rows, units) scores, in nats."""

    def run(self) -> _Found:
        """Try penalties until each share has found its own."""
        first, every = self._steps[0], np.arange(self._count)
        _, start = self._try(first, every, None)
        if self._among:
            for step in self._among[1:]:
                _, start = self._try(step, every, start)
        else:
            if self._near is not None and self._near != first:
                (is_better, *_), nearer = self._try(self._near, every, start)
                first, start = (self._near, nearer) if is_better else (first, start)
            self._walk(1, first, start)
            self._walk(-1, first, start)
        penalty, is_of_shares = self.usual * STEP**self._steps, self.lesson.target.ndim == 2
        joint = self._theta.mean(axis=1).reshape(len(self._theta), 1, -1)
        held_out = self._held_out.reshape(len(self._held_out), -1)
        step = round(float(np.median(self._steps)))
        return _Found(penalty if is_of_shares else float(penalty[0]), held_out, joint, step)

    def _walk(self, direction: int, first: float, start: Array) -> None:
        """Go on from the first step as long as the loss of a share falls."""
        shares = np.flatnonzero(self._steps == first)
        start = start[..., shares, :]
        for step in first + direction * np.arange(1, MOST_STEPS + 1):
            if not len(shares):
                return
            falls, start = self._try(step, shares, start)
            shares, start = shares[falls], start[..., falls, :]
        last = f"The penalty {self.usual * STEP**step:.3g} of a head is the last that was tried"
        warn(f"{last}: one beyond it may be better", FitWarning, stacklevel=2)

    def _try(self, step: float, shares: NDArray[np.intp], start: Array | None) -> tuple[NDArray[np.bool_], Array]:
        """Fit some shares with a penalty, and keep it where it is better than those before.

        Returns:
            (shares,) whether it was better, and (columns + 1, splits, shares, units of each) coefficients.
        """
        flat = None if start is None else start.reshape(*start.shape[:2], -1)
        theta = self.solve(shares, self.usual * STEP**step, flat)
        scores = self.matrix.scores(theta)
        held_out = np.concatenate([scores[rows, split] for split, (_, rows) in enumerate(self.splits)])
        losses = self.losses(self.lesson.only(shares), held_out) + (0.0 if self._among else prior_of(step))
        held_out, theta = (one.reshape(*one.shape[:-1], len(shares), -1) for one in (held_out, theta))
        if start is None:
            self._least, self._held_out, self._theta = losses, held_out, theta.copy()
            return np.ones(len(shares), bool), theta
        falls: NDArray[np.bool_] = losses < self._least[shares]
        better = shares[falls]
        self._steps[better], self._least[better] = step, losses[falls]
        self._held_out[..., better, :], self._theta[..., better, :] = held_out[..., falls, :], theta[..., falls, :]
        return falls, theta

    def _sums(self, loss: Loss, part: Lesson, scores: Array) -> Array:
        target, weights = part.held_out(self.splits)
        return sums(loss, scores, target, weights)


class _LogLoss(_Search):
    def solve(self, shares: NDArray[np.intp], penalty: float, start: Array | None) -> Array:
        part = self.lesson.only(shares)
        loss = _convex.log_loss_of(part.target)
        tolerance = TOLERANCE if self._among else SEARCH_TOLERANCE
        return self.matrix.minimise(loss, part.target, penalty, self.learnt, start, part.weights, tolerance)

    def losses(self, part: Lesson, held_out: Array) -> Array:
        return self._sums(_convex.log_loss_of(part.target), part, held_out)


class _WeightedSquares(_Search):
    def solve(self, shares: NDArray[np.intp], penalty: float, start: Array | None) -> Array:
        part = self.lesson.only(shares)
        return self.matrix.minimise(_convex.squared_loss, part.target, penalty, self.learnt, start, part.weights)

    def losses(self, part: Lesson, held_out: Array) -> Array:
        if part.is_number:  # normal errors, whose variance is theirs
            rows, squares = len(held_out), self._sums(_convex.squared_loss, part, held_out)
            nats: Array = rows / 2 * np.log(np.maximum(squares / rows, np.finfo(np.float64).tiny))
            return nats
        scale, offset = part.logits_of(held_out, self.splits)
        return self._sums(_convex.log_loss_of(part.target), part, scale * held_out + offset)


class _ClosedForm(_WeightedSquares):
    def run(self) -> _Found:
        self.squares = [Squares(self.matrix, self.lesson, rows) for rows in self.learnt]
        return super().run()

    def solve(self, shares: NDArray[np.intp], penalty: float, start: Array | None) -> Array:
        units = shares if self.lesson.target.ndim == 2 else slice(None)
        return np.stack([split.solve(penalty, units) for split in self.squares], axis=1)

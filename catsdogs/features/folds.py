"""Folds: in which one each row is held out. Classes are spread evenly, copies together; dropping rows moves none.

scikit-learn's `StratifiedGroupKFold` keeps copies together, too, but one copy more among 2,000 rows moves 1,625 of them
into another fold. Here it moves 6.
"""

import warnings

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import UsageError

ALWAYS_LEARNT = -1  # the fold of a row that no head may miss, so that it is never held out
BINS = 10  # strata of numbers
MAX_SEED = 2**32 - 1  # NumPy's legacy generator takes no larger one


def deal(labels: NDArray[np.int64], pictures: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """(n,) the fold, from 0, in which each row is held out: stratified by class, in an order drawn with the seed.

    Rows of one picture share a fold, and each class is spread as evenly as that allows. Without copies, its rows in
    two folds differ by at most one. A class with at least as many pictures as there are folds is in each. Every row
    is dealt, whether it will be learnt from or not. So dropping or relabelling rows moves no other row, and one copy
    more moves few.

    Args:
        labels: (n,) the classes as they were given, from 0.
        pictures: (n,) numbers, the same for copies of a picture.

    Raises:
        UsageError: fewer than two folds, or a seed that cannot be used.
    """
    fold = _stratified(labels, folds, seed)
    _, first, which = np.unique(pictures, return_index=True, return_inverse=True)
    if len(first) == len(labels):
        return fold
    order = np.random.default_rng(seed).permutation(len(labels))[first]
    return _levelled(fold[first], which, labels, folds, order)[which]


def deal_labels(targets: NDArray[np.float64], pictures: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """(n,) the fold, from 0, of rows with several labels: each label spread evenly, rows of one picture together.

    Iterative stratification (K. Sechidis, G. Tsoumakas and I. Vlahavas, On the stratification of multi-label data,
    2011), of pictures in the place of rows: the label that fewest pictures are left of goes first, to the fold that
    lacks most rows of it. Of its pictures those with most rows go first, others in an order drawn with the seed. Rows
    without a label are a label of their own.

    Args:
        targets: (n, k) 0 or 1 for each label.
        pictures: (n,) numbers, the same for copies of a picture.

    Raises:
        UsageError: as `deal`.
    """
    _check(folds, seed)
    _, which = np.unique(pictures, return_inverse=True)
    rows = np.hstack((targets, targets.sum(axis=1, keepdims=True) == 0, np.ones((len(targets), 1))))
    counts = np.zeros((int(which.max(initial=-1)) + 1, rows.shape[1]))
    np.add.at(counts, which, rows)
    random = np.random.default_rng(seed)
    order = random.permutation(len(counts))
    lacking = np.tile(counts.sum(axis=0) / folds, (folds, 1))  # rows of each label, the last column of all
    left = (counts > 0).sum(axis=0)
    fold = np.full(len(counts), -1)
    while (open_ := left[:-1] > 0).any():
        label = int(np.where(open_, left[:-1], np.iinfo(left.dtype).max).argmin())
        own = order[(fold[order] < 0) & (counts[order, label] > 0)]
        for picture in own[np.argsort(-counts[own, -1], kind="stable")]:
            # Ties go to the fold that lacks most rows, and then to a drawn one.
            fold[picture] = np.lexsort((random.random(folds), -lacking[:, -1], -lacking[:, label]))[0]
            lacking[fold[picture]] -= counts[picture]
            left -= counts[picture] > 0
    return fold[which]


def bins_of(targets: NDArray[np.float64], folds: int) -> NDArray[np.int64]:
    """(n,) strata of rows with numbers: tenths by their order, or fewer where a tenth has fewer rows than folds.

    Of several numbers, (n, k), the order is that of the mean of their ranks. Equal numbers share a stratum.
    """
    from scipy.stats import rankdata

    means = rankdata(rankdata(targets, axis=0).mean(axis=1), method="min") - 1
    bins = max(1, min(BINS, len(targets) // folds))
    result: NDArray[np.int64] = np.unique((means * bins / max(1, len(means))).astype(np.int64), return_inverse=True)[1]
    return result


def fold_numbers(labels: NDArray[np.int64], kept: NDArray[np.bool_], folds: int, seed: int) -> NDArray[np.int64]:
    """(n,) folds as runs before version 3 dealt them, to repeat such runs: first the kept rows, then all others."""
    rows = np.flatnonzero(kept)
    fold = np.empty(len(labels), np.int64)
    fold[~kept] = np.arange(np.count_nonzero(~kept)) % folds
    fold[rows] = _stratified(labels[rows], folds, seed)
    return fold


def _check(folds: int, seed: int) -> None:
    if folds < 2:
        raise UsageError(f"{folds} folds", "Give --folds a number of 2 or more")
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"The seed {seed}", f"Give --seed a number from 0 to {MAX_SEED}")


def _stratified(labels: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """(n,) the fold of each row; copies may lie in different folds."""
    from sklearn.model_selection import StratifiedKFold

    _check(folds, seed)
    fold = np.empty(len(labels), np.int64)
    if np.bincount(labels).max(initial=0) < folds:  # which scikit-learn refuses: class by class, one fold after another
        order = np.lexsort((np.random.default_rng(seed).random(len(labels)), labels))
        fold[order] = np.arange(len(labels)) % folds
        return fold
    with warnings.catch_warnings():  # a class with fewer rows than folds is missing from some
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
        for number, (_, held_out) in enumerate(splits):
            fold[held_out] = number
    return fold


def _levelled(
    fold: NDArray[np.int64],
    which: NDArray[np.intp],
    labels: NDArray[np.int64],
    folds: int,
    order: NDArray[np.int64],
) -> NDArray[np.int64]:
    """(pictures,) the fold of each picture, after few were moved to spread the classes evenly.

    Class by class, the rarest first, pictures move from a fold with many rows of the class to the one with the fewest,
    as long as the numbers come closer. A picture under several labels moves with the rarest of these classes.

    Args:
        fold: (pictures,) where they were dealt.
        which, labels: (n,) the picture and the class of each row.
        order: (pictures,) pictures of a low number are moved first.
    """
    fold = fold.copy()
    rows_of = np.bincount(which)
    sizes = np.bincount(labels)
    rank = np.empty(len(sizes), np.int64)
    rank[np.argsort(sizes, kind="stable")] = np.arange(len(sizes))
    owner = np.full(len(fold), len(sizes))
    np.minimum.at(owner, which, rank[labels])
    total = np.bincount(fold[which], minlength=folds)
    for label in np.argsort(sizes, kind="stable").tolist():
        own = labels == label
        counts = np.bincount(fold[which[own]], minlength=folds)
        if counts.max() - counts.min() <= 1:
            continue
        size = np.bincount(which[own], minlength=len(fold))
        movable = np.flatnonzero(owner == rank[label])
        movable = movable[np.argsort(order[movable])]
        while (move := _next_move(counts, total, fold[movable], size[movable])) is not None:
            place, target = move
            picture = movable[place]
            for array, moved in ((counts, size[picture]), (total, rows_of[picture])):
                array[fold[picture]] -= moved
                array[target] += moved
            fold[picture] = target
    return fold


def _next_move(
    counts: NDArray[np.int64], total: NDArray[np.int64], fold: NDArray[np.int64], size: NDArray[np.int64]
) -> tuple[int, int] | None:
    """The next picture to move and its new fold, so that the numbers of a class in the folds come closer; None if even.

    Args:
        counts, total: (folds,) rows of the class and of all classes.
        fold, size: (m,) the fold of each picture that may move, and its rows of the class.
    """
    target = int(np.lexsort((total, counts))[0])
    for giver in np.lexsort((-total, -counts)).tolist():
        surplus = counts[giver] - counts[target]
        if surplus < 2:
            return None
        able = np.flatnonzero((fold == giver) & (size < surplus))
        if able.size:
            return int(able[np.argmin(abs(2 * size[able] - surplus))]), target
    return None

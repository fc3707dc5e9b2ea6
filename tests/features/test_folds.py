"""Folds that are dealt once: classes spread evenly, copies together, and nothing moves when rows are dropped."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from catsdogs.errors import UsageError
from catsdogs.features import folds
from tests.conftest import refused

Rows = tuple[NDArray[np.int64], NDArray[np.int64], int, int]


@st.composite
def dealt(draw: st.DrawFn, one_label: bool = False) -> Rows:
    """Labels, pictures, a number of folds and a seed; of some pictures there are copies, some under two labels."""
    classes, seed = draw(st.integers(2, 4)), draw(st.integers(0, 2**32 - 1))
    sizes = draw(st.lists(st.integers(1, 6), min_size=classes * 2, max_size=40))
    number = draw(st.integers(2, 6))
    random = np.random.default_rng(seed)
    pictures = np.repeat(np.arange(len(sizes)), sizes)
    labels = random.permutation(np.arange(len(sizes)) % classes)[pictures]
    if not one_label:
        labels = np.where(random.random(len(labels)) < 0.1, (labels + 1) % classes, labels)
    order = random.permutation(len(labels))
    number = min(number, int(np.bincount(labels).max()))
    return labels[order], pictures[order], max(2, number), seed


@settings(deadline=None)
@given(dealt())
def test_copies_share_a_fold_whatever_their_labels(rows: Rows) -> None:
    labels, pictures, number, seed = rows
    fold = folds.deal(labels, pictures, number, seed)
    assert np.array_equal(fold, folds.deal(labels, pictures, number, seed))
    assert all(len(set(fold[pictures == picture])) == 1 for picture in set(pictures.tolist()))
    assert set(fold.tolist()) <= set(range(number))


@settings(deadline=None)
@given(dealt(one_label=True))
def test_a_class_is_in_each_fold_if_it_shows_as_many_pictures_and_as_evenly_as_its_copies_allow(rows: Rows) -> None:
    labels, pictures, number, seed = rows
    fold = folds.deal(labels, pictures, number, seed)
    for label in set(labels.tolist()):
        own = labels == label
        counts = np.bincount(fold[own], minlength=number)
        sizes = np.bincount(pictures[own])
        assert np.count_nonzero(counts) == min(number, np.count_nonzero(sizes))
        assert counts.max() - counts.min() <= sizes.max()


@settings(deadline=None)
@given(dealt(one_label=True), st.integers(1, 4))
@example((np.array([0, 1, 0, 0, 1, 0]), np.array([2, 0, 1, 2, 3, 1]), 4, 154), 1)  # two pictures of two rows in a fold
def test_single_photographs_fill_what_copies_leave_uneven(rows: Rows, singles: int) -> None:
    """A class's numbers in two folds differ by one at most, unless the fullest fold has no photograph to give.

    A picture of as many rows as two folds differ by would only make the other fold the fullest.
    """
    labels, pictures, number, seed = rows
    more = int(np.bincount(pictures).max()) * number * singles
    classes = int(labels.max()) + 1
    labels = np.concatenate((labels, np.repeat(np.arange(classes), more)))
    pictures = np.concatenate((pictures, len(pictures) + np.arange(classes * more)))
    fold = folds.deal(labels, pictures, number, seed)
    for label in range(classes):
        own = labels == label
        counts = np.bincount(fold[own], minlength=number)
        spread = counts.max() - counts.min()
        sizes = np.bincount(pictures[own])
        for fullest in np.flatnonzero(counts == counts.max()):
            assert spread <= 1 or sizes[np.unique(pictures[own & (fold == fullest)])].min() >= spread


@pytest.mark.filterwarnings("ignore:The least populated class")
@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=8, max_size=60), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_without_copies_the_folds_are_scikit_learns(given_labels: list[int], number: int, seed: int) -> None:
    """So runs and networks made before copies were looked for have the same folds as those made now."""
    labels = np.unique(given_labels, return_inverse=True)[1]
    number = max(2, min(number, int(np.bincount(labels).max())))
    if np.bincount(labels).max() < number:
        return
    fold = folds.deal(labels, np.arange(len(labels)), number, seed)
    splits = StratifiedKFold(number, shuffle=True, random_state=seed).split(labels, labels)
    assert all(np.array_equal(held_out, np.flatnonzero(fold == n)) for n, (_, held_out) in enumerate(splits))
    assert np.array_equal(fold, folds.fold_numbers(labels, np.ones(len(labels), bool), number, seed))


def test_one_copy_more_moves_few_rows() -> None:
    """Or a network more, which sees another near-copy, would make two runs' scores of other folds."""
    random = np.random.default_rng(0)
    labels, pictures = np.arange(2000) % 2, np.arange(2000)
    pictures[random.permutation(2000)[:400]] = random.integers(0, 200, 400)
    before = folds.deal(labels, pictures, 5, 0)
    for one, other in random.integers(0, 2000, (10, 2)):
        after = folds.deal(labels, np.where(pictures == pictures[one], pictures[other], pictures), 5, 0)
        assert np.count_nonzero(before != after) < 100


@pytest.mark.parametrize(("number", "seed", "message"), [(1, 0, "1 folds"), (4, -1, "-1.*from 0"), (4, 2**32, "seed")])
def test_numbers_that_cannot_be_used(number: int, seed: int, message: str) -> None:
    with refused(UsageError, message):
        folds.deal(np.arange(20) % 2, np.arange(20), number, seed)


@settings(deadline=None)
@given(dealt(), st.integers(1, 5))
def test_copies_share_a_fold_whatever_labels_they_have(rows: Rows, labels: int) -> None:
    _, pictures, number, seed = rows
    targets = np.random.default_rng(seed).random((len(pictures), labels)) < 0.3
    fold = folds.deal_labels(targets.astype(float), pictures, number, seed)
    assert np.array_equal(fold, folds.deal_labels(targets.astype(float), pictures, number, seed))
    assert all(len(set(fold[pictures == picture])) == 1 for picture in set(pictures.tolist()))
    assert 0 <= fold.min() <= fold.max() < number


@pytest.mark.parametrize("seed", range(5))
def test_each_label_is_spread_evenly_however_rare(seed: int) -> None:
    """Better than folds that are dealt blindly, and to a row or two of what a single label would get."""
    draw = np.random.default_rng(seed)
    targets = (draw.random((2000, 8)) < np.geomspace(0.004, 0.5, 8)).astype(float)
    fold = folds.deal_labels(targets, np.arange(2000), 5, seed)
    counts = np.array([targets[fold == number].sum(axis=0) for number in range(5)])
    assert (counts.max(axis=0) - counts.min(axis=0) <= 2).all()
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= 0.03 * 2000
    blind = draw.permutation(2000) % 5
    blindly = np.array([targets[blind == number].sum(axis=0) for number in range(5)])
    assert counts.std(axis=0).sum() < blindly.std(axis=0).sum() / 5


def test_groups_of_labels_stay_whole_and_spread() -> None:
    draw = np.random.default_rng(0)
    groups = draw.integers(0, 100, 2000)
    targets = (draw.random((2000, 4)) < np.array([0.02, 0.1, 0.3, 0.5])).astype(float)
    fold = folds.deal_labels(targets, groups, 5, 0)
    assert all(len(set(fold[groups == group])) == 1 for group in range(100))
    counts = np.array([targets[fold == number].sum(axis=0) for number in range(5)])
    assert (counts.min(axis=0) >= 0.8 * targets.sum(axis=0) / 5).all()


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=200), st.integers(2, 6))
def test_bins_are_in_the_order_of_the_numbers_and_keep_equal_ones_together(numbers: list[int], number: int) -> None:
    values = np.array(numbers, float)[:, np.newaxis]
    bins = folds.bins_of(values, number)
    order = np.argsort(values[:, 0], kind="stable")
    assert (np.diff(bins[order]) >= 0).all()
    assert all(len(set(bins[values[:, 0] == value])) == 1 for value in set(numbers))
    assert sorted(set(bins.tolist())) == list(range(bins.max() + 1))
    assert bins.max() < folds.BINS


def test_folds_of_numbers_have_the_same_distribution() -> None:
    values = np.random.default_rng(0).lognormal(size=(1000, 1))
    fold = folds.deal(folds.bins_of(values, 5), np.arange(1000), 5, 0)
    means = np.array([np.log(values[fold == number]).mean() for number in range(5)])
    assert np.ptp(means) < 0.1  # blind folds of 200 differ by some 0.17
    assert np.ptp(np.bincount(fold)) <= folds.BINS

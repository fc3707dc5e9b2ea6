"""Nearest neighbours and near pairs: exact ones against brute force, those of the index by recall, blocks of both."""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from catsdogs.errors import StoreError, UsageError
from catsdogs.features import feature_file, neighbours
from catsdogs.features.feature_file import SPLITS
from catsdogs.features.joining import Joined, normalise
from catsdogs.features.neighbours import Crowd, Gallery, Neighbours
from tests.conftest import need, refused
from tests.support.vectors import clusters, write_vectors

Matrix = np.ndarray


def cosines(vectors: Matrix, asked: Matrix, widths: Sequence[int]) -> Matrix:
    """The mean of the networks' cosines in float64, as a textbook has them."""
    total = np.zeros((len(asked), len(vectors)))
    for start, width in zip(np.cumsum([0, *widths[:-1]]), widths, strict=True):
        a, b = (part[:, start : start + width].astype(np.float64) for part in (asked, vectors))
        lengths = np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
        total += np.divide(a @ b.T, lengths, out=np.zeros(lengths.shape), where=lengths > 0)
    return total / len(widths)


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index from 100 rows on."""
    need("faiss")
    monkeypatch.setattr(neighbours, "INDEX_ROWS", 100)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Matrix, list[feature_file.Features]]]:
    """1,500 rows of two networks, 1,400 of them train; rows 10 to 19 are nearly rows 1400 to 1409, of the test."""
    vectors = clusters(1500, 1300)
    vectors[10:20] = vectors[1400:1410] * (1 + 0.05 * np.random.default_rng(1).normal(size=(10, 1300)))
    folder = tmp_path_factory.mktemp("crowd")
    reverse = range(1399, -1, -1)
    yield (
        vectors,
        [
            write_vectors(folder, "ResNet50", vectors[:1400, :700], vectors[1400:, :700]),
            write_vectors(folder, "Xception", vectors[:1400, 700:], vectors[1400:, 700:], reverse),
        ],
    )


numbers = st.floats(-8, 8, width=16)
matrices = st.lists(st.integers(1, 4), min_size=1, max_size=2).flatmap(
    lambda widths: st.tuples(
        st.just(widths),
        st.lists(st.lists(numbers, min_size=sum(widths), max_size=sum(widths)), min_size=2, max_size=13),
    )
)


@settings(max_examples=25, deadline=None)
@given(matrices, st.integers(1, 5), st.integers(1, 40))
@example(([1, 1], [[0, 0], [0, 0]]), 5, 1)  # pictures of nothing
def test_the_nearest_are_those_of_brute_force(drawn: tuple, count: int, cells: int) -> None:
    widths, lists = drawn
    vectors, asked = np.array(lists[1:], np.float32), np.array(lists[:1], np.float32)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_BLOCK_CELLS", cells)
        patch.setattr(neighbours, "_COMPARED_ROWS", 3)
        ends = np.cumsum([0, *widths])
        files = [
            write_vectors(Path(folder), f"N{n}", vectors[:, a:b], vectors[:0, a:b])
            for n, (a, b) in enumerate(pairwise(ends))
        ]
        rows, found = Gallery(Joined(files, "train", normalised=True)).nearest(asked, count)
        pairs = {(i, j): cosine for i, j, cosine in Crowd(Joined(files, *SPLITS, normalised=True)).pairs(0.5)}
    expected = cosines(vectors, asked, widths)[0]
    assert len(set(rows.tolist())) == min(count, len(vectors)) and np.all(np.diff(found) <= 0)
    np.testing.assert_allclose(found, expected[rows], atol=1e-5)
    np.testing.assert_allclose(found, np.sort(expected)[::-1][:count], atol=1e-5)
    among = cosines(vectors, vectors, widths)
    for i, j in zip(*np.triu_indices(len(vectors), 1), strict=True):
        if abs(among[i, j] - 0.5) > 1e-5:
            assert ((i, j) in pairs) == (among[i, j] > 0.5)
    assert pairs == pytest.approx({pair: min(1, among[pair]) for pair in pairs}, abs=1e-5)


def test_equals_come_in_the_order_of_rows(tmp_path: Path) -> None:
    file = write_vectors(tmp_path, "ResNet50", np.ones((9, 3)), np.ones((0, 3)))
    rows, found = Gallery(Joined([file], "train", normalised=True)).nearest(np.ones((1, 3), np.float32), 4)
    assert rows.tolist() == [0, 1, 2, 3] and found == pytest.approx([1] * 4)


def test_rows_are_matched_by_id_over_splits_and_blocks(
    crowd: tuple[Matrix, list[feature_file.Features]], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, files = crowd
    expected = vectors.copy()
    normalise(expected, (700, 600))
    for size in (100, 1024, 4000):
        blocks = list(Joined(files, *SPLITS, normalised=True).blocks(size))
        assert [rows[0] for rows, _ in blocks] == list(range(0, 1500, size))
        np.testing.assert_allclose(np.concatenate([block for _, block in blocks]), expected, rtol=1e-5)
    some = np.array([1450, 3, 3, 1399, 0])
    np.testing.assert_allclose(Joined(files, *SPLITS, normalised=True).read(some), expected[some], rtol=1e-5)
    turned = np.concatenate([expected[1399::-1], expected[1400:]])
    np.testing.assert_allclose(
        Joined(files, *SPLITS, first=files[1], normalised=True).read(some), turned[some], rtol=1e-5
    )


def found_pairs(files: list[feature_file.Features], least: float) -> Mapping[tuple[int, int], float]:
    return {(i, j): cosine for i, j, cosine in Crowd(Joined(files, *SPLITS, normalised=True)).pairs(least)}


def test_shortened_rows_lose_no_near_pair(crowd: tuple[Matrix, list[feature_file.Features]]) -> None:
    vectors, files = crowd
    among = cosines(vectors, vectors, (700, 600))
    for least in (0.95, float(np.sort(among[np.triu_indices(1500, 1)])[-40])):
        i, j = np.nonzero(np.triu(among >= least + 1e-5, 1))
        found = found_pairs(files, least)
        assert set(found) >= set(zip(i.tolist(), j.tolist(), strict=True))
        assert found == pytest.approx({pair: among[pair] for pair in found}, abs=1e-5)
    assert set(found_pairs(files, 0.95)) == {(10 + n, 1400 + n) for n in range(10)}


@pytest.mark.usefixtures("few_rows")
def test_the_index_finds_what_brute_force_finds(crowd: tuple[Matrix, list[feature_file.Features]]) -> None:
    vectors, files = crowd
    gallery = Gallery(Joined(files, "train", normalised=True))
    asked = vectors[1400:]
    expected = cosines(vectors[:1400], asked, (700, 600))
    hits = 0
    for number, best in enumerate(np.argsort(-expected, axis=1)[:, :5]):
        rows, found = gallery.nearest(asked[number : number + 1], 5)
        np.testing.assert_allclose(found, expected[number, rows], atol=1e-5)  # whatever it finds, its cosine is true
        assert np.all(np.diff(found) <= 0)
        hits += len({*best.tolist()} & {*rows.tolist()})
    assert hits >= 0.9 * 5 * len(asked)
    assert set(found_pairs(files, 0.95)) == {(10 + n, 1400 + n) for n in range(10)}


def test_the_usual_cosine_is_that_of_the_fifth_nearest(
    crowd: tuple[Matrix, list[feature_file.Features]], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, files = crowd
    among = np.sort(cosines(vectors, vectors, (700, 600)), axis=1)[:, ::-1]
    expected = float(np.median(among[:, 5]))
    assert Crowd(Joined(files, *SPLITS, normalised=True)).usual(5) == pytest.approx(expected, abs=0.03)
    need("faiss")
    monkeypatch.setattr(neighbours, "INDEX_ROWS", 100)
    assert Crowd(Joined(files, *SPLITS, normalised=True)).usual(5) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("rows", [1, 2])
def test_hardly_any_rows(tmp_path: Path, rows: int) -> None:
    file = write_vectors(tmp_path, "ResNet50", np.ones((rows, 3)), np.ones((0, 3)))
    crowd = Crowd(Joined([file], *SPLITS, normalised=True))
    assert crowd.usual(5) == pytest.approx(1.0 if rows == 2 else 0.0)
    assert crowd.distances(5) == pytest.approx(np.zeros(rows), abs=1e-6)
    assert [pair[:2] for pair in crowd.pairs(0.9)] == ([(0, 1)] if rows == 2 else [])


@pytest.mark.parametrize("cells", [2**25, 700])
def test_distances_are_those_of_brute_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr(neighbours, "_BLOCK_CELLS", cells)
    vectors = clusters(90, 40)
    found = Crowd(Joined([write_vectors(tmp_path, "A", vectors[:60], vectors[60:])], *SPLITS, normalised=True))
    expected = cosines(vectors, vectors, (40,))
    np.fill_diagonal(expected, -2)
    for count, others in ((1, 1), (7, 7), (500, 89)):
        nearest = np.sort(expected, axis=1)[:, -others:]
        assert found.distances(count) == pytest.approx(1 - nearest.mean(axis=1), abs=1e-5)


def test_a_crowd_of_equals_is_not_all_its_pairs(tmp_path: Path) -> None:
    file = write_vectors(tmp_path, "ResNet50", np.ones((300, 3)), np.ones((0, 3)))
    pairs = [pair[:2] for pair in Crowd(Joined([file], *SPLITS, normalised=True)).pairs(0.9)]
    most = neighbours.PAIRS_OF_A_ROW
    assert len(pairs) == len(set(pairs)) == sum(min(most, 299 - row) for row in range(300))
    assert {row for pair in pairs for row in pair} == set(range(300))


def test_without_the_package_it_says_what_to_install(
    crowd: tuple[Matrix, list[feature_file.Features]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, files = crowd
    monkeypatch.setattr(neighbours, "INDEX_ROWS", 100)
    monkeypatch.setitem(sys.modules, "faiss", None)
    for searching in (Gallery, Crowd):
        with refused(UsageError, r"faiss-cpu is not there.*pip install 'catsdogs\[index\]'"):
            searching(Joined(files, *SPLITS, normalised=True))


def test_rows_that_differ_or_are_not_finite_are_refused(tmp_path: Path) -> None:
    one = write_vectors(tmp_path, "ResNet50", np.ones((4, 3)), np.ones((1, 3)))
    other = write_vectors(tmp_path, "Xception", np.ones((5, 3)), np.ones((1, 3)))
    with refused(StoreError, "lacks 1 train rows"):
        Joined([one, other], *SPLITS, normalised=True)
    broken = write_vectors(tmp_path, "VGG16", np.array([[1, 2], [3, np.nan]]), np.ones((1, 2)))
    with refused(StoreError, r"VGG16\.h5: train row 1 \(cat\.1\) is not finite"):
        Crowd(Joined([broken], *SPLITS, normalised=True))


@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 99))
def test_how_unfamiliar_a_row_is_to_others(rows: int, asked: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    learnt, new = draw.normal(size=(rows, 8)).astype(np.float32), draw.normal(size=(asked, 8)).astype(np.float32)
    for vectors in (learnt, new):
        normalise(vectors, [5, 3])
    among = learnt @ learnt.T
    np.fill_diagonal(among, -np.inf)
    nearest, usual = (new @ learnt.T).max(axis=1), among.max(axis=1)
    found = neighbours.unfamiliarity(nearest, usual)
    assert found == pytest.approx([(usual > cosine).mean() for cosine in nearest])
    least, most = (neighbours.unfamiliarity(nearest + sign * np.float32(1e-5), usual) for sign in (1, -1))
    among_learnt = neighbours.unfamiliar_rows(new, learnt)
    assert np.all((least - 1e-9 <= among_learnt) & (among_learnt <= most + 1e-9))
    itself = neighbours.unfamiliarity((learnt @ learnt.T).max(axis=1) + np.float32(1e-5), usual)
    assert not (itself >= neighbours.FAR).any()


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 99))
def test_neighbours_in_memory_are_those_of_brute_force(rows: int, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors, asked = random.normal(size=(rows, 6)).astype(np.float32), random.normal(size=(9, 6))
    normalise(vectors, (6,))
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    found, near = Neighbours(vectors).nearest(asked, count)
    exact = asked @ vectors.astype(np.float64).T
    np.testing.assert_allclose(near, -np.sort(-exact, axis=1)[:, :count], rtol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(exact, found, axis=1), near, rtol=1e-12)
    np.testing.assert_array_equal(near[4:5], Neighbours(vectors).nearest(asked[4:5], count)[1])


def test_neighbours_by_an_index(few_rows: None) -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(400, 16)).astype(np.float32)
    normalise(vectors, (16,))
    found, near = Neighbours(vectors).nearest(vectors[:50].astype(np.float64), 3)
    assert found.shape == near.shape == (50, 3)
    assert (found[:, 0] == np.arange(50)).mean() > 0.95 and np.allclose(near[:, 0], 1, atol=1e-2)

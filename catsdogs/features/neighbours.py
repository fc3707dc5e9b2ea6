"""Nearest neighbours by cosine among the rows of feature files: exact up to 200,000 rows, above by an index.

The exact search is NumPy's, for scikit-learn's `NearestNeighbors` takes ten times as long for one photograph: 84 ms of
a processor against 8 ms, among 25,000 rows of 1,024 columns. Nor does it give equals in the order of their rows.
"""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import UsageError
from catsdogs.features.joining import Joined, Rows, normalise
from catsdogs.features.scaling import Vectors
from catsdogs.progress import Progress

INDEX_ROWS = 200_000  # above them, comparing each with each takes minutes, and holding all takes gigabytes
SHORT = 512  # columns of a shortened row
# Of the five nearest of 2,000 photographs by 3,840 columns, 0.68 are among the five nearest by 512, 0.997 among the 50.
CANDIDATES = 50
PAIRS_OF_A_ROW = 16  # so that 10,000 pictures of nothing are not 50 million pairs
FAR = 0.99  # an unfamiliarity: this share of the learnt photographs lies nearer to another one
_SAMPLED = 1000  # rows that stand for all; a median of so many is good to 2 % of the spread
_COMPARED_ROWS = 1024
_MANY_ROWS = 5000  # fewer are read and compared within a second
_BLOCK_CELLS = 2**25  # similarities of a block of rows with all: 128 MiB
_LINKS, _SEARCHED = 32, 64  # of the index: links of each row to near ones; how many near ones a search looks at
_DEVIATIONS = 4.0  # how many standard deviations off a shortened cosine may be
_SAMPLING_SEED = 2018
_SPARE, _EXACT_ROWS = 8, 64  # of `Neighbours`: more rows than asked for, whose order is settled; rows at once


class Gallery:
    """Photographs to find the nearest of: their vectors in memory, or above `INDEX_ROWS` rows an index of them."""

    def __init__(self, table: Joined) -> None:
        """Read all rows; raises as `Joined.read`, and UsageError where an index is needed and not installed."""
        self._table = table
        self._search = _searchable(table) if len(table) > INDEX_ROWS else _Matrix(table.read())

    def nearest(self, vectors: Vectors, count: int) -> tuple[Rows, Vectors]:
        """The `count` rows nearest to a photograph, and their cosines; rows that are equally near in their order.

        Takes (1, width) vectors as the networks give them. The cosines are exact. With an index, about 1 in 100 of the
        rows is not among the nearest.

        Raises:
            StoreError: as `Joined.read`, with an index, which reads its candidates from the disk.
        """
        query = vectors.astype(np.float32)
        normalise(query, self._table.widths)
        if isinstance(self._search, _Matrix):
            rows, cosines = self._search.nearest(query, count)
            return rows[0], cosines[0]
        likely = np.unique(self._search.nearest(_shorten(query), max(CANDIDATES, count))[0])
        likely = likely[likely >= 0]
        order, cosines = _Matrix(self._table.read(likely)).nearest(query, count)
        return likely[order[0]], cosines[0]

    def usual(self) -> Vectors:
        """(m,) cosines of a photograph and the nearest other one, of a seeded sample of a thousand or of all."""
        return _usual_cosines(self._search, len(self._table))


class Crowd:
    """All rows of a table compared with one another. Shortened to 512 columns they fit into memory, or an index.

    The cosine of two shortened rows is off by (1 - cosine²) / √512 (one standard deviation): 0.005 at 0.94.
    """

    def __init__(self, table: Joined) -> None:
        """Read all rows; raises as `Gallery`."""
        self._table = table
        self._search = _searchable(table)

    def usual(self, rank: int) -> float:
        """The cosine of a row and the `rank`-th nearest other one: the median of a seeded sample of a thousand rows.

        Of fewer than `rank` other rows the farthest counts; a single row has 0.
        """
        rank = min(rank, len(self._table) - 1)
        if rank < 1:
            return 0.0
        return float(np.median(_usual_cosines(self._search, len(self._table), rank)))

    def distances(self, count: int) -> NDArray[np.float64]:
        """(n,) the mean of 1 - cosine of each row and its `count` nearest other ones, or all others if there are fewer.

        With an index, of each row those that it finds.
        """
        rows = len(self._table)
        count, means = min(count, rows - 1), np.zeros(rows)
        with _progress(rows if count > 0 else 0, "comparing") as progress:
            for start in range(0, rows if count > 0 else 0, _COMPARED_ROWS):
                block = np.arange(start, min(start + _COMPARED_ROWS, rows))
                cosines = self._search.nearest(self._search.rows(block), count + 1)[1][:, 1:]  # without the row itself
                means[block] = 1 - np.maximum(cosines, -1).mean(axis=1, dtype=np.float64)
                progress.update(len(block))
        return means

    def distances_within(self, rows: Rows, kinds: NDArray[np.int64], count: int) -> NDArray[np.float64]:
        """(m,) the mean of 1 - cosine of some rows and their `count` nearest other rows of the same kind.

        With an index the nearest `CANDIDATES` of any kind are looked through. Of fewer than `count` rows of the kind
        these count; a row that finds none is at the distance 1.

        Args:
            kinds: (n,) what counts as the same; a negative one is of every kind.
        """
        means = np.ones(len(rows))
        for start in range(0, len(rows), _COMPARED_ROWS):
            block = rows[start : start + _COMPARED_ROWS]
            found, cosines = self._search.nearest_of(self._search.rows(block), kinds, kinds[block], count + 1)
            other = (found >= 0) & (found != block[:, np.newaxis]) & np.isfinite(cosines)
            other &= np.cumsum(other, axis=1) <= count
            sums = np.where(other, cosines, 0).sum(axis=1, dtype=np.float64)
            numbers = np.count_nonzero(other, axis=1)
            means[start : start + len(block)] = np.where(numbers > 0, 1 - sums / np.maximum(numbers, 1), 1)
        return means

    def pairs(self, least: float, among: int | None = None) -> Iterator[tuple[int, int, float]]:
        """Pairs (i, j) of rows, i < j, whose cosine is `least` or more, and that cosine, computed on whole vectors.

        Both are of the first `among` rows, or of all. A row has at most `PAIRS_OF_A_ROW` pairs with later rows, the
        nearest ones. An index misses about 1 in 100.
        """
        slack = _DEVIATIONS * (1 - least**2) / SHORT**0.5
        found = self._search.pairs(least - slack, len(self._table) if among is None else among)
        pairs = np.unique(np.concatenate([np.empty((0, 2), np.intp), *(np.stack(pair, 1) for pair in found)]), axis=0)
        for start in range(0, len(pairs), _COMPARED_ROWS):
            i, j = pairs[start : start + _COMPARED_ROWS].T
            rows, back = np.unique(np.concatenate([i, j]), return_inverse=True)
            first, second = np.split(self._table.read(rows)[back], 2)
            cosines = np.einsum("ij,ij->i", first, second)
            for number in np.flatnonzero(cosines >= least).tolist():
                yield int(i[number]), int(j[number]), min(1.0, float(cosines[number]))


class Neighbours:
    """Rows of length 1 in memory, to find the nearest of: all are compared, or above `INDEX_ROWS` an index is asked."""

    def __init__(self, vectors: Vectors) -> None:
        """Take (n, width) rows; UsageError where an index is needed and not installed."""
        self._vectors = vectors
        self._search: _Matrix | _Index = _Matrix(vectors)
        if len(vectors) > INDEX_ROWS:
            self._search = _Index(vectors.shape[1])
            self._search.add(np.arange(len(vectors)), vectors)

    def nearest(self, queries: NDArray[np.float64], count: int) -> tuple[Rows, NDArray[np.float64]]:
        """(n, count) rows nearest to (n, width) queries of length 1, and their cosines; all, if there are fewer.

        The cosines are told to so many digits that they are the same beside any other queries. Where an index finds
        fewer rows, the rest are infinitely far.
        """
        found = self._search.nearest(queries.astype(np.float32), count + _SPARE)[0]
        cosines = np.empty(found.shape)
        for start in range(0, len(queries), _EXACT_ROWS):
            part = slice(start, start + _EXACT_ROWS)
            cosines[part] = np.einsum("ij,ikj->ik", queries[part], self._vectors[found[part]].astype(np.float64))
        cosines[found < 0] = -np.inf
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(found, order, axis=1), np.take_along_axis(cosines, order, axis=1)


def unfamiliarity(cosines: Vectors, usual: Vectors) -> NDArray[np.float64]:
    """(n,) how far photographs lie from what was learnt, by the (n,) cosines of each and the nearest learnt one.

    It is the share, in [0, 1], of the learnt photographs that lie nearer to another learnt one: of their (m,) `usual`
    cosines. 0.5 is the usual distance; above `FAR` hardly any learnt photograph lies so far from all others.
    """
    shares: NDArray[np.float64] = 1 - np.searchsorted(np.sort(usual), cosines, side="right") / len(usual)
    return shares


def unfamiliar_rows(vectors: Vectors, learnt: Vectors) -> NDArray[np.float64]:
    """(n,) the `unfamiliarity` of rows among learnt ones; all are in memory, and normalised."""
    search = _Matrix(learnt)
    return unfamiliarity(search.nearest(vectors, 1)[1][:, 0], _usual_cosines(search, len(learnt)))


class _Matrix:
    """Rows of length 1 in memory. All results are exact."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def add(self, rows: Rows, vectors: Vectors) -> None:
        self._vectors[rows] = vectors

    def rows(self, rows: Rows) -> Vectors:
        return self._vectors[rows]

    def nearest(self, queries: Vectors, count: int) -> tuple[Rows, Vectors]:
        count = min(count, len(self._vectors))
        rows, cosines = np.empty((len(queries), count), np.intp), np.empty((len(queries), count), np.float32)
        for start, block in _in_blocks(queries, len(self._vectors)):
            for number, all_cosines in enumerate((self._vectors @ block.T).T, start):
                least = np.partition(all_cosines, -count)[-count]
                near = np.flatnonzero(all_cosines >= least)  # more than `count` where several are equal
                rows[number] = near[np.argsort(-all_cosines[near], kind="stable")[:count]]
                cosines[number] = all_cosines[rows[number]]
        return rows, cosines

    def nearest_of(
        self, queries: Vectors, kinds: NDArray[np.int64], wanted: NDArray[np.int64], count: int
    ) -> tuple[Rows, Vectors]:
        """The nearest rows of the kind wanted by each query; rows of another kind are infinitely far."""
        count = min(count, len(self._vectors))
        rows, cosines = np.empty((len(queries), count), np.intp), np.empty((len(queries), count), np.float32)
        for start, block in _in_blocks(queries, len(self._vectors)):
            part = slice(start, start + len(block))
            products = block @ self._vectors.T
            products[(kinds != wanted[part, np.newaxis]) & (wanted[part, np.newaxis] >= 0)] = -np.inf
            near = np.argpartition(products, -count, axis=1)[:, -count:]
            order = np.argsort(-np.take_along_axis(products, near, axis=1), axis=1, kind="stable")
            rows[part] = np.take_along_axis(near, order, axis=1)
            cosines[part] = np.take_along_axis(products, rows[part], axis=1)
        return rows, cosines

    def pairs(self, least: float, among: int) -> Iterator[tuple[Rows, Rows]]:
        vectors = self._vectors[:among]
        with _progress(among, "comparing") as progress:
            for start, block in _in_blocks(vectors, among):
                cosines = block @ vectors[start:].T
                cosines[:, : len(block)][np.tril_indices(len(block))] = -np.inf  # itself, and the pairs already seen
                near = cosines >= least
                crowded = np.flatnonzero(np.count_nonzero(near, axis=1) > PAIRS_OF_A_ROW)
                if crowded.size:
                    nearest = np.argpartition(-cosines[crowded], PAIRS_OF_A_ROW, axis=1)[:, :PAIRS_OF_A_ROW]
                    near[crowded] = False
                    near[crowded[:, np.newaxis], nearest] = True
                i, j = np.nonzero(near)
                yield i + start, j + start
                progress.update(len(block))


class _Index:
    """Shortened rows in an index of faiss, HNSW: a graph whose edges lead to near rows. A number takes a byte."""

    def __init__(self, width: int) -> None:
        try:
            import faiss
        except ImportError:
            raise UsageError(
                f"More than {INDEX_ROWS:,} photographs are compared with an index, and the package faiss-cpu is not "
                "there",
                "Install it with `pip install 'catsdogs[index]'`",
            ) from None
        # Numbers of a unit vector lie around 1/√width; beyond four times that hardly any does.
        self._scale = np.float32(127 / 4 * width**0.5)
        whole_bytes: Any = faiss.ScalarQuantizer.QT_8bit_direct_signed
        self._index = faiss.IndexHNSWSQ(width, whole_bytes, _LINKS, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efSearch = _SEARCHED

    def add(self, _: Rows, vectors: Vectors) -> None:
        self._index.add(self._rounded(vectors))

    def rows(self, rows: Rows) -> Vectors:
        vectors: Vectors = self._index.reconstruct_batch(rows) / self._scale
        return vectors

    def nearest(self, queries: Vectors, count: int) -> tuple[Rows, Vectors]:
        """Where the graph leads to fewer, the rest are row -1, infinitely far."""
        products, rows = self._index.search(self._rounded(queries), min(count, self._index.ntotal))
        return rows.astype(np.intp), products / self._scale**2

    def nearest_of(
        self, queries: Vectors, kinds: NDArray[np.int64], wanted: NDArray[np.int64], count: int
    ) -> tuple[Rows, Vectors]:
        """The candidates, those of another kind infinitely far; more than `count`, in the order of their cosines."""
        rows, cosines = self.nearest(queries, max(CANDIDATES, count))
        other = (kinds[rows] != wanted[:, np.newaxis]) & (wanted[:, np.newaxis] >= 0)
        return rows, np.where(other, -np.inf, cosines).astype(np.float32)

    def pairs(self, least: float, among: int) -> Iterator[tuple[Rows, Rows]]:
        with _progress(among, "comparing") as progress:
            for start in range(0, among, _COMPARED_ROWS):
                block = np.arange(start, min(start + _COMPARED_ROWS, among))
                rows, cosines = self.nearest(self.rows(block), PAIRS_OF_A_ROW + 1)
                near = (cosines >= least) & (rows != block[:, np.newaxis]) & (rows < among)
                number, rank = np.nonzero(near)
                i, j = block[number], rows[number, rank]
                yield np.minimum(i, j), np.maximum(i, j)
                progress.update(len(block))

    def _rounded(self, vectors: Vectors) -> Vectors:
        return np.clip(np.rint(vectors * self._scale), -127, 127)


def _usual_cosines(search: _Matrix | _Index, rows: int, rank: int = 1) -> Vectors:
    """(m,) the cosines of a seeded sample of the rows and the `rank`-th nearest other one of each."""
    sample = np.sort(np.random.default_rng(_SAMPLING_SEED).choice(rows, min(_SAMPLED, rows), replace=False))
    return search.nearest(search.rows(sample), rank + 1)[1][:, -1]  # the first is the row itself


def _searchable(table: Joined) -> _Matrix | _Index:
    """All rows of a table, shortened: in memory, or above `INDEX_ROWS` in an index."""
    width = min(SHORT, table.width)
    search = _Index(width) if len(table) > INDEX_ROWS else _Matrix(np.empty((len(table), width), np.float32))
    with _progress(len(table), "reading") as progress:
        for rows, block in table.blocks(_COMPARED_ROWS):
            search.add(rows, _shorten(block))
            progress.update(len(block))
    return search


def _progress(rows: int, description: str) -> Progress:
    """A bar for what may take a while."""
    return Progress(rows if rows >= _MANY_ROWS else 0, description, "row")


def _shorten(vectors: Vectors) -> Vectors:
    """(n, `SHORT`) rows of length 1 with nearly the same cosines: the random projection of Johnson and Lindenstrauss.

    Rows that are no longer than that stay as they are.
    """
    if vectors.shape[1] <= SHORT:
        return vectors
    short = vectors @ _projection(vectors.shape[1])
    normalise(short, (SHORT,))
    return short


@functools.lru_cache(maxsize=4)
def _projection(width: int) -> Vectors:
    return np.random.default_rng(_SAMPLING_SEED).standard_normal((width, SHORT), np.float32)


def _in_blocks(vectors: Vectors, columns: int) -> Iterator[tuple[int, Vectors]]:
    """The rows in blocks whose products with `columns` others fit `_BLOCK_CELLS`, each with its first row."""
    step = max(1, min(_COMPARED_ROWS, _BLOCK_CELLS // max(1, columns)))
    for start in range(0, len(vectors), step):
        yield start, vectors[start : start + step]

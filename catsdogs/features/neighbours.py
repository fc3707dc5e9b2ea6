"""Nearest neighbours by cosine among the rows of feature files: exact up to 200,000 rows, above by an index."""

import functools
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import UsageError
from catsdogs.features import feature_file, joining
from catsdogs.features.feature_file import Features
from catsdogs.progress import Progress

INDEX_ROWS = 200_000  # above them, comparing each with each takes minutes, and holding all takes gigabytes
SHORT = 512  # columns of a shortened row
# Of the five nearest of 2,000 photographs by 3,840 columns, 0.68 are among the five nearest by 512, 0.997 among the 50.
CANDIDATES = 50
PAIRS_OF_A_ROW = 16  # so that 10,000 pictures of nothing are not 50 million pairs
FAR = 0.99  # of the learnt photographs lie nearer to another one
_SAMPLE_ROWS = 1000  # rows that stand for all; a median of so many is good to 2 % of the spread
_BLOCK_ROWS = 1024
_MANY_ROWS = 5000  # fewer are read and compared within a second
_BLOCK_CELLS = 2**25  # similarities of a block of rows with all: 128 MiB
_LINKS, _CANDIDATES_LOOKED_AT = 32, 64  # of each row to near ones; how many near ones are looked at
_DEVIATIONS = 4.0  # how many standard deviations off a shortened cosine may be
_SEED = 2018

Vectors = NDArray[np.float32]
Rows = NDArray[np.intp]


class JoinedVectors:
    """Rows of feature files side by side, matched by id and normalised; read when asked for, never all in memory.

    Row i is row i of `first`, its splits one after the other in the order given.

    Attributes:
        widths: columns of each network.
    """

    def __init__(self, files: Sequence[Features], first: Features, splits: Sequence[str] = feature_file.SPLITS) -> None:
        """Look rows up; raises StoreError if the files hold different ones."""
        self.widths = tuple(file.width for file in files)
        self._files = files
        ends = accumulate((len(first.ids[split]) for split in splits), initial=0)
        self._stretches = dict(zip(splits, pairwise(ends), strict=True))
        self._orders = {split: [joining.rows_by_id(first, file, split) for file in files] for split in splits}

    def __len__(self) -> int:
        return max(stop for _, stop in self._stretches.values())

    @property
    def width(self) -> int:
        return sum(self.widths)

    def take(self, rows: Rows) -> Vectors:
        """The (len(rows), width) vectors of some rows, in any order, normalised as by `normalise`.

        Raises:
            StoreError: a file is damaged, or a row holds NaN or infinity.
        """
        taken = np.empty((len(rows), self.width), np.float32)
        for split, (start, stop) in self._stretches.items():
            places = np.flatnonzero((start <= rows) & (rows < stop))
            if not places.size:
                continue
            wanted = rows[places] - start
            columns = pairwise(accumulate(self.widths, initial=0))
            for file, order, (left, right) in zip(self._files, self._orders[split], columns, strict=True):
                own = wanted if isinstance(order, slice) else order[wanted]
                taken[places, left:right] = file.read_rows(split, own)
        normalise(taken, self.widths)
        return taken

    def blocks(self) -> Iterator[tuple[int, Vectors]]:
        """All rows, some at a time, each block with the number of its first row; raises as `take`."""
        for start in range(0, len(self), _BLOCK_ROWS):
            yield start, self.take(np.arange(start, min(start + _BLOCK_ROWS, len(self))))


class Gallery:
    """Photographs to find the nearest of: their vectors in memory, or above `INDEX_ROWS` rows an index of them."""

    def __init__(self, table: JoinedVectors) -> None:
        """Read all rows; raises as `Table.take`, and UsageError where an index is needed and not installed."""
        self._table = table
        self._search: _Matrix | _Index
        if len(table) > INDEX_ROWS:
            self._search = _searchable(table)
        else:
            self._search = _Matrix(len(table), table.width)
            for start, block in table.blocks():
                self._search.add(start, block)

    def nearest(self, vectors: Vectors, count: int) -> tuple[Rows, Vectors]:
        """The `count` rows nearest to a photograph, and their cosines; equals in the order of rows.

        Takes (1, width) vectors as the networks give them. With an index, the cosines are exact, and of the rows about
        1 in 100 is another than the nearest.

        Raises:
            StoreError: as `Table.take`, with an index, which reads its candidates from the disk.
        """
        asked = vectors.astype(np.float32)
        normalise(asked, self._table.widths)
        if isinstance(self._search, _Matrix):
            rows, cosines = self._search.nearest(asked, count)
            return rows[0], cosines[0]
        likely = np.unique(self._search.nearest(_shorten(asked), max(CANDIDATES, count))[0])
        likely = likely[likely >= 0]
        exact = _Matrix(len(likely), self._table.width)
        exact.add(0, self._table.take(likely))
        order, cosines = exact.nearest(asked, count)
        return likely[order[0]], cosines[0]

    def usual(self) -> Vectors:
        """(m,) cosines of a photograph and the nearest other one, of a seeded sample of a thousand or of all."""
        return _usual_cosines(self._search, len(self._table))


class Crowd:
    """All rows of a table among one another, by shortened vectors: 512 columns in memory, above `INDEX_ROWS` an index.

    The cosine of two shortened rows is off by (1 - cosine²) / √512 (one standard deviation): 0.005 at 0.94.
    """

    def __init__(self, table: JoinedVectors) -> None:
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
        count = min(_SAMPLE_ROWS, len(self._table))
        sample = np.sort(np.random.default_rng(_SEED).choice(len(self._table), count, replace=False))
        _, cosines = self._search.nearest(self._search.rows(sample), rank + 1)
        return float(np.median(cosines[:, rank]))  # the first is the row itself

    def pairs(self, least: float, among: int | None = None) -> Iterator[tuple[int, int, float]]:
        """Pairs (i, j) of rows, i < j, whose cosine is `least` or more, with that cosine, verified on whole vectors.

        Both are of the first `among` rows, or of all. A row has at most `PAIRS_OF_A_ROW` pairs with later ones, the
        nearest of them; an index misses about 1 in 100.
        """
        slack = _DEVIATIONS * (1 - least**2) / SHORT**0.5
        left, right = _sorted_pairs(self._search.pairs(least - slack, len(self._table) if among is None else among))
        for start in range(0, len(left), _BLOCK_ROWS):
            i, j = left[start : start + _BLOCK_ROWS], right[start : start + _BLOCK_ROWS]
            rows, back = np.unique(np.concatenate([i, j]), return_inverse=True)
            first, second = np.split(self._table.take(rows)[back], 2)
            cosines = np.einsum("ij,ij->i", first, second)
            for number in np.flatnonzero(cosines >= least).tolist():
                yield int(i[number]), int(j[number]), min(1.0, float(cosines[number]))


def unfamiliarity(cosines: Vectors, usual: Vectors) -> NDArray[np.float64]:
    """(n,) how far photographs lie from what was learnt, by the (n,) cosines of each and the nearest learnt one.

    It is the share, in [0, 1], of the learnt photographs that lie nearer to another learnt one: of their (m,) `usual`
    cosines. 0.5 is the usual distance; above `FAR` hardly any learnt photograph lies so far from all others.
    """
    shares: NDArray[np.float64] = 1 - np.searchsorted(np.sort(usual), cosines, side="right") / len(usual)
    return shares


def nearest_cosines(asked: Vectors, learnt: Vectors) -> Vectors:
    """(n,) the cosine of each row asked about and the nearest learnt one; all are normalised."""
    return _matrix_of(learnt).nearest(asked, 1)[1][:, 0]


def usual_cosines(learnt: Vectors) -> Vectors:
    """(m,) as `Gallery.usual`, of normalised rows in memory."""
    return _usual_cosines(_matrix_of(learnt), len(learnt))


def normalise(vectors: Vectors, widths: Sequence[int]) -> None:
    """Give each network's part of each row the length 1/√networks, in place.

    Then the product of two rows is the mean of the networks' cosines.
    """
    for start, stop in pairwise(accumulate(widths, initial=0)):
        part = vectors[:, start:stop]
        lengths = np.sqrt(np.einsum("ij,ij->i", part, part) * len(widths))
        part /= np.maximum(lengths, np.finfo(np.float32).tiny)[:, np.newaxis]


class _Matrix:
    """Rows of length 1 in memory; everything about them is exact."""

    def __init__(self, rows: int, width: int) -> None:
        self._vectors = np.empty((rows, width), np.float32)

    def add(self, start: int, vectors: Vectors) -> None:
        self._vectors[start : start + len(vectors)] = vectors

    def rows(self, rows: Rows) -> Vectors:
        return self._vectors[rows]

    def nearest(self, asked: Vectors, count: int) -> tuple[Rows, Vectors]:
        count = min(count, len(self._vectors))
        rows, cosines = np.empty((len(asked), count), np.intp), np.empty((len(asked), count), np.float32)
        for start, block in _in_blocks(asked, len(self._vectors)):
            for number, all_cosines in enumerate((self._vectors @ block.T).T, start):
                least = np.partition(all_cosines, -count)[-count]
                near = np.flatnonzero(all_cosines >= least)  # more than asked for where several are equal
                rows[number] = near[np.argsort(-all_cosines[near], kind="stable")[:count]]
                cosines[number] = all_cosines[rows[number]]
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
    """Shortened rows in an index of faiss, a byte a number: a graph of near ones (HNSW), walked in search of nearer."""

    def __init__(self, width: int) -> None:
        # Numbers of a unit vector lie around 1/√width; beyond four times that hardly any does.
        self._scale = np.float32(127 / 4 * width**0.5)
        faiss = _faiss()
        whole_bytes = faiss.ScalarQuantizer.QT_8bit_direct_signed
        self._index = faiss.IndexHNSWSQ(width, whole_bytes, _LINKS, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efSearch = _CANDIDATES_LOOKED_AT

    def add(self, _: int, vectors: Vectors) -> None:
        self._index.add(self._rounded(vectors))

    def rows(self, rows: Rows) -> Vectors:
        found: Vectors = self._index.reconstruct_batch(rows) / self._scale
        return found

    def nearest(self, asked: Vectors, count: int) -> tuple[Rows, Vectors]:
        """A row of -1, infinitely far, where the graph leads to fewer."""
        products, rows = self._index.search(self._rounded(asked), min(count, self._index.ntotal))
        return rows.astype(np.intp), products / self._scale**2

    def pairs(self, least: float, among: int) -> Iterator[tuple[Rows, Rows]]:
        with _progress(among, "comparing") as progress:
            for start in range(0, among, _BLOCK_ROWS):
                asked = np.arange(start, min(start + _BLOCK_ROWS, among))
                found, cosines = self.nearest(self.rows(asked), PAIRS_OF_A_ROW + 1)
                near = (cosines >= least) & (found != asked[:, np.newaxis]) & (found < among)
                number, rank = np.nonzero(near)
                i, j = asked[number], found[number, rank]
                yield np.minimum(i, j), np.maximum(i, j)
                progress.update(len(asked))

    def _rounded(self, vectors: Vectors) -> Vectors:
        return np.clip(np.rint(vectors * self._scale), -127, 127)


def _matrix_of(vectors: Vectors) -> _Matrix:
    matrix = _Matrix(len(vectors), vectors.shape[1])
    matrix.add(0, vectors)
    return matrix


def _usual_cosines(search: _Matrix | _Index, rows: int) -> Vectors:
    sample = np.sort(np.random.default_rng(_SEED).choice(rows, min(_SAMPLE_ROWS, rows), replace=False))
    return search.nearest(search.rows(sample), 2)[1][:, -1]  # the first is the row itself


def _searchable(table: JoinedVectors) -> _Matrix | _Index:
    """All rows of a table, shortened: in memory, or above `INDEX_ROWS` in an index."""
    width = min(SHORT, table.width)
    search = _Index(width) if len(table) > INDEX_ROWS else _Matrix(len(table), width)
    with _progress(len(table), "reading") as progress:
        for start, block in table.blocks():
            search.add(start, _shorten(block))
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
    return np.random.default_rng(_SEED).standard_normal((width, SHORT), np.float32)


def _in_blocks(vectors: Vectors, columns: int) -> Iterator[tuple[int, Vectors]]:
    """The rows in blocks whose products with `columns` others fit `_BLOCK_CELLS`, each with its first row."""
    step = max(1, min(_BLOCK_ROWS, _BLOCK_CELLS // max(1, columns)))
    for start in range(0, len(vectors), step):
        yield start, vectors[start : start + step]


def _sorted_pairs(found: Iterator[tuple[Rows, Rows]]) -> tuple[Rows, Rows]:
    """All pairs in order, each once."""
    pairs = np.unique(np.concatenate([np.empty((0, 2), np.intp), *(np.stack(pair, 1) for pair in found)]), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _faiss() -> Any:
    """The module faiss.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise UsageError(
            f"More than {INDEX_ROWS:,} photographs are compared with an index, and the package faiss-cpu is not there",
            "Install it with `pip install 'catsdogs[index]'`",
        ) from None
    return faiss

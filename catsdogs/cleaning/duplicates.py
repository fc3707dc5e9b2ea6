"""Photographs that occur more than once: the same bytes, or vectors so near that it is the same picture again."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning.suspect_table import Doubt, Place, Reason, label_of
from catsdogs.features import feature_file, joining, neighbours
from catsdogs.features.feature_file import Features
from catsdogs.features.joining import Joined
from catsdogs.features.neighbours import Crowd
from catsdogs.networks import weights
from catsdogs.networks.table import BACKBONES

Copies = tuple[tuple[str, ...], ...]  # of each picture that occurs again, the ids of its train photographs

# A pair of photographs is the same picture again where its distance, 1 - cosine, is at most this share of the usual
# one to the fifth nearest photograph, and its cosine at least so much. docs/measurements.md says what that finds.
NEARNESS = 1 / 6
LEAST_COSINE = 0.9
_RANK = 5  # a photograph may have four copies, and the usual distance is still one between different pictures
_MIN_WIDTH = 512  # columns, the narrowest of `table.BACKBONES`; fewer say too little of a picture

# A larger group, in share of all photographs, is not of copies but of a kind of picture, such as blank ones, and a fold
# could not hold it.
MAX_SHARE = 0.1
_MIN_COPIES = 5  # so many are copies even in the smallest data set

SCORE = 0.5
NEAR_SCORE = 0.4  # the eye may say that it is another picture
CONTRADICTION_SCORE = 0.9  # one picture under two labels: one of the two is wrong for certain
NEAR_CONTRADICTION_SCORE = 0.8
_COPIES_NAMED = 3


def find_same_bytes(file: Features) -> Iterator[Doubt]:
    """A reason for each photograph whose bytes occur again; copies that are all in test do no harm."""
    copies: dict[int, list[Place]] = defaultdict(list)
    for split in feature_file.SPLITS if file.digests else ():
        for row, digest in enumerate(file.digests[split].tolist()):
            copies[digest].append((split, row))
    for places in copies.values():
        if len(places) < 2 or all(split == "test" for split, _ in places):
            continue
        contradicted = len({label_of(file, place) for place in places if place[0] == "train"}) > 1
        score, kind = (CONTRADICTION_SCORE, "two labels") if contradicted else (SCORE, "duplicate")
        for place in places:
            others = [_name(file, copy) for copy in places if copy != place]
            yield place, Reason(score, f"{kind}: same file as {_first_few(others)}")


def find_near_copies(files: Sequence[Features], first: Features) -> Iterator[Doubt]:
    """A reason for each photograph that looks like another one, of other bytes; pairs within test do no harm.

    Rows are those of `first`. Only wide vectors of networks that did not learn from these photographs are compared:
    random weights see no pictures, and a network trained here brings all photographs of a class together.

    Raises:
        StoreError: the rows of the files differ, or vectors cannot be read.
        UsageError: so many rows that they need an index, and none is installed.
    """
    comparable = _comparable(files)
    if not comparable:
        return
    places = [(split, row) for split in feature_file.SPLITS for row in range(len(first.ids[split]))]
    digests = np.concatenate([first.digests[split] for split in feature_file.SPLITS]) if first.digests else None
    crowd = Crowd(Joined(comparable, *feature_file.SPLITS, first=first, normalised=True))
    copies: dict[Place, list[tuple[float, Place]]] = defaultdict(list)  # each with the cosine of the two
    for i, j, cosine in crowd.pairs(_least_cosine(crowd)):
        one, other = places[i], places[j]
        if one[0] == other[0] == "test" or (digests is not None and digests[i] == digests[j]):
            continue
        copies[one].append((cosine, other))
        copies[other].append((cosine, one))
    for place, near in copies.items():
        label = label_of(first, place)
        contradicted = bool(label) and any(label_of(first, copy) not in ("", label) for _, copy in near)
        score, kind = (NEAR_CONTRADICTION_SCORE, "two labels") if contradicted else (NEAR_SCORE, "near-duplicate")
        named = [f"{_name(first, copy)} {cosine:.3f}" for cosine, copy in sorted(near, reverse=True)]
        yield place, Reason(score, f"{kind}: looks like {_first_few(named)}")


def find_copies(files: Sequence[Features]) -> Copies:
    """The train photographs that are to share a fold: of the same bytes, or near-copies as in `find_near_copies`.

    A photograph is in one group at most; groups and ids are in the order of the first file's rows. Near-copies do not
    count where they would be more than `MAX_SHARE` of all photographs, or all that a class has.

    Raises:
        StoreError: the rows of the files differ, or vectors cannot be read.
    """
    first = files[0]
    by_bytes = _same_bytes(files)
    picture = _linked_by(_near_pairs(files), by_bytes)
    pictures_of = [np.unique(picture[first.labels == label]) for label in range(len(first.classes))]
    whole_classes = [pictures[0] for pictures in pictures_of if len(pictures) == 1]
    too_many = np.bincount(picture, minlength=1)[picture] > max(_MIN_COPIES, MAX_SHARE * len(picture))
    picture = np.where(too_many | np.isin(picture, whole_classes), by_bytes, picture)
    groups: dict[int, list[str]] = defaultdict(list)
    for id, number in zip(first.ids["train"].tolist(), picture.tolist(), strict=True):
        groups[number].append(id)
    return tuple(tuple(ids) for ids in groups.values() if len(ids) > 1)


def picture_numbers(
    ids: Sequence[str] | NDArray[np.object_], groups: Copies, digests: NDArray[np.uint64] | None = None
) -> NDArray[np.int64]:
    """(n,) the number of the picture that each photograph shows, which is the row of its first copy.

    Copies are in one of the `groups`, or share one of the (n,) `digests`.
    """
    number, row_of = np.arange(len(ids)), {id: row for row, id in enumerate(ids)}
    for group in groups:
        rows = [row_of[id] for id in group if id in row_of]
        if rows:
            number[rows] = min(rows)
    if digests is None:
        return number
    return _linked_by(np.stack((np.arange(len(ids)), number), axis=1), _first_of_each(digests))


def why_not_near(files: Sequence[Features]) -> str:
    """Why `find_copies` compares bytes alone; empty if it looks for near-copies too."""
    rows = sum(map(len, files[0].ids.values()))
    if rows > neighbours.INDEX_ROWS:
        return f"there are {rows:,} photographs, more than {neighbours.INDEX_ROWS:,}"
    return "" if _comparable(files) else "no network of the table is among these, with vectors from its own weights"


def _comparable(files: Sequence[Features]) -> list[Features]:
    """The files whose vectors tell what is in a picture."""
    known = (*BACKBONES, *(file.name for file in files if file.recipe.weights == feature_file.UNKNOWN))
    return [
        file
        for file in files
        if file.width >= _MIN_WIDTH
        and not file.learnt
        and file.recipe.weights != weights.RANDOM_WEIGHTS
        and file.name in known
    ]


def _same_bytes(files: Sequence[Features]) -> NDArray[np.int64]:
    """(n_train,) for each row of the first file the row of its first copy."""
    for file in files:
        if file.digests:  # an old notebook's file has none
            return _first_of_each(file.digests["train"][joining.rows_by_id(files[0], file, "train")])
    return np.arange(len(files[0].labels))


def _near_pairs(files: Sequence[Features]) -> NDArray[np.int64]:
    """(pairs, 2) train rows of the first file that are near-copies."""
    first, comparable = files[0], _comparable(files)
    if why_not_near(files) or len(first.labels) < 2:
        return np.empty((0, 2), np.int64)
    crowd = Crowd(Joined(comparable, *feature_file.SPLITS, first=first, normalised=True))
    pairs = [(i, j) for i, j, _ in crowd.pairs(_least_cosine(crowd), len(first.labels))]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _linked_by(pairs: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) numbers, the same for rows that are linked by `pairs` or by the same of the (n,) `numbers`, however far."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows = len(numbers)
    i, j = np.concatenate((pairs, np.stack((np.arange(rows), numbers), axis=1))).T
    links = coo_array((np.ones(len(i), bool), (i, j)), (rows, rows))
    return _first_of_each(connected_components(links, directed=False)[1])


def _first_of_each(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """(n,) for each row the first that has the same value."""
    _, row, which = np.unique(values, return_index=True, return_inverse=True)
    return row[which]


def _least_cosine(crowd: Crowd) -> float:
    """The cosine from which on two photographs are the same picture."""
    return max(LEAST_COSINE, 1 - NEARNESS * (1 - crowd.usual(_RANK)))


def _first_few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _COPIES_NAMED} more" if len(names) > _COPIES_NAMED else ""
    return ", ".join(names[:_COPIES_NAMED]) + more


def _name(file: Features, place: Place) -> str:
    """`train/7 (dog)`, or `test/7`."""
    split, row = place
    label = label_of(file, place)
    return f"{split}/{file.ids[split][row]}" + (f" ({label})" if label else "")

"""Photographs that occur more than once: the same bytes, or vectors so near that it is the same picture again."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.features import feature_file, joining, neighbours
from catsdogs.features.feature_file import Features
from catsdogs.features.joining import JoinedVectors
from catsdogs.features.neighbours import Crowd
from catsdogs.networks import weights
from catsdogs.networks.table import BACKBONES

Place = tuple[str, int]  # split and row
Copies = tuple[tuple[str, ...], ...]  # of each picture that occurs again, the ids of its train photographs

# A pair of photographs is the same picture again where its distance, 1 - cosine, is at most this share of the usual
# one to the fifth nearest photograph, and its cosine at least so much. docs/measurements.md says what that finds.
NEARNESS = 1 / 6
LEAST_COSINE = 0.9
_RANK = 5  # a photograph may have four copies, and the usual distance is still one between different pictures
_MIN_WIDTH = 512  # columns, the narrowest of `backbones.TABLE`; fewer say too little of a picture

# More near-copies than these are no copies but a kind of picture, such as blank ones: a fold could not hold them all.
MAX_SHARE = 0.1
_ALWAYS = 5  # so many are copies in the smallest data set, too

SCORE = 0.5
NEAR_SCORE = 0.4  # the eye may say that it is another picture
CONTRADICTION_SCORE = 0.9  # one picture under two labels: one of the two is wrong for certain
NEAR_CONTRADICTION_SCORE = 0.8
_TWINS_NAMED = 3


class Copied(NamedTuple):
    """A photograph that occurs again: how strong a doubt, in [0, 1], and `kind: text`."""

    place: Place
    score: float
    text: str


def same(file: Features) -> Iterator[Copied]:
    """Each photograph whose bytes occur again; copies that are all in test do no harm."""
    copies: dict[int, list[Place]] = defaultdict(list)
    for split in feature_file.SPLITS:
        for row, digest in enumerate(file.digests[split].tolist()):
            copies[digest].append((split, row))
    for places in copies.values():
        if len(places) < 2 or all(split == "test" for split, _ in places):
            continue
        contradicted = len({_label(file, place) for place in places if place[0] == "train"}) > 1
        score, kind = (CONTRADICTION_SCORE, "two labels") if contradicted else (SCORE, "duplicate")
        for place in places:
            twins = [_name(file, twin) for twin in places if twin != place]
            yield Copied(place, score, f"{kind}: same file as {_listed(twins)}")


def near(files: Sequence[Features], first: Features) -> Iterator[Copied]:
    """Each photograph that looks like another one, of other bytes; pairs within test do no harm.

    Rows are those of `first`. Only wide vectors of networks that did not learn from these photographs are looked at:
    random weights see no pictures, and a network trained here brings all photographs of a class together.

    Raises:
        StoreError: the rows of the files differ, or vectors cannot be read.
        UsageError: so many rows that they need an index, and none is installed.
    """
    able = _able(files)
    if not able:
        return
    twins = _twins(JoinedVectors(able, first), first)
    for place, alike in twins.items():
        label = _label(first, place)
        contradicted = bool(label) and any(_label(first, twin) not in ("", label) for _, twin in alike)
        score, kind = (NEAR_CONTRADICTION_SCORE, "two labels") if contradicted else (NEAR_SCORE, "near-duplicate")
        named = [f"{_name(first, twin)} {cosine:.3f}" for cosine, twin in sorted(alike, reverse=True)]
        yield Copied(place, score, f"{kind}: looks like {_listed(named)}")


def find_copies(files: Sequence[Features]) -> Copies:
    """The train photographs that are to share a fold: of the same bytes, or near-copies as `near` finds them.

    A photograph is of one group at most; groups and ids are in the order of the first file's rows. Near-copies are left
    apart where they would be more than `MAX_SHARE` of all photographs, or all that a class has.

    Raises:
        StoreError: the rows of the files differ, or vectors cannot be read.
    """
    first = files[0]
    same = _same_bytes(files)
    found = _joined_by(_near_pairs(files), same)
    pictures = [np.unique(found[first.labels == label]) for label in range(len(first.classes))]
    whole = [number[0] for number in pictures if len(number) == 1]
    too_many = np.bincount(found, minlength=1)[found] > max(_ALWAYS, MAX_SHARE * len(found))
    found = np.where(too_many | np.isin(found, whole), same, found)
    members: dict[int, list[str]] = defaultdict(list)
    for id, number in zip(first.ids["train"].tolist(), found.tolist(), strict=True):
        members[number].append(id)
    return tuple(tuple(ids) for ids in members.values() if len(ids) > 1)


def picture_numbers(
    ids: Sequence[str] | NDArray[np.object_], groups: Copies, digests: NDArray[np.uint64] | None = None
) -> NDArray[np.int64]:
    """(n,) the number of the picture that each photograph shows, which is the row of its first copy.

    Copies are of one of the `groups`, or have the same of the (n,) `digests`.
    """
    number, row_of = np.arange(len(ids)), {id: row for row, id in enumerate(ids)}
    for group in groups:
        rows = [row_of[id] for id in group if id in row_of]
        if rows:
            number[rows] = min(rows)
    if digests is None:
        return number
    return _joined_by(np.stack((np.arange(len(ids)), number), axis=1), _first_of_each(digests))


def why_not_near(files: Sequence[Features]) -> str:
    """Why `find_copies` looks for the same bytes alone; empty if it looks for near-copies too."""
    rows = sum(map(len, files[0].ids.values()))
    if rows > neighbours.INDEX_ROWS:
        return f"there are {rows:,} photographs, more than {neighbours.INDEX_ROWS:,}"
    return "" if _able(files) else "no network of the table is among these, with vectors from its own weights"


def _able(files: Sequence[Features]) -> list[Features]:
    """The files whose vectors say what is in a picture."""
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
    """(pairs, 2) train rows of the first file that `near` takes for one picture."""
    first, able = files[0], _able(files)
    if why_not_near(files) or len(first.labels) < 2:
        return np.empty((0, 2), np.int64)
    crowd = Crowd(JoinedVectors(able, first))
    found = [(i, j) for i, j, _ in crowd.pairs(_least(crowd), len(first.labels))]
    return np.array(found, np.int64).reshape(-1, 2)


def _joined_by(pairs: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) numbers that are the same for all rows that pairs or the (n,) numbers given lead to from one another."""
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


def _least(crowd: Crowd) -> float:
    """The cosine from which on two photographs are the same picture."""
    return max(LEAST_COSINE, 1 - NEARNESS * (1 - crowd.usual(_RANK)))


def _twins(table: JoinedVectors, first: Features) -> dict[Place, list[tuple[float, Place]]]:
    """Photograph -> those that look like it, with the cosine of the two."""
    places = [(split, row) for split in feature_file.SPLITS for row in range(len(first.ids[split]))]
    crowd = Crowd(table)
    twins: dict[Place, list[tuple[float, Place]]] = defaultdict(list)
    for i, j, cosine in crowd.pairs(_least(crowd)):
        one, other = places[i], places[j]
        if one[0] == other[0] == "test" or (first.digests and _digest(first, one) == _digest(first, other)):
            continue
        twins[one].append((cosine, other))
        twins[other].append((cosine, one))
    return twins


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _TWINS_NAMED} more" if len(names) > _TWINS_NAMED else ""
    return ", ".join(names[:_TWINS_NAMED]) + more


def _digest(file: Features, place: Place) -> int:
    split, row = place
    return int(file.digests[split][row])


def _name(file: Features, place: Place) -> str:
    """`train/7 (dog)`, or `test/7`."""
    split, row = place
    label = _label(file, place)
    return f"{split}/{file.ids[split][row]}" + (f" ({label})" if label else "")


def _label(file: Features, place: Place) -> str:
    split, row = place
    return file.classes[file.labels[row]] if split == "train" else ""

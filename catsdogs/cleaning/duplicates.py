"""Photographs that occur more than once: the same bytes, or vectors so near that it is the same picture again."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning.suspect_table import Doubt, Place, Reason, label_of, places
from catsdogs.features import feature_file, joining, neighbours
from catsdogs.features.feature_file import Features
from catsdogs.features.joining import Joined
from catsdogs.features.neighbours import Crowd
from catsdogs.networks import weights
from catsdogs.networks.choice import is_pretrained

Copies = tuple[tuple[str, ...], ...]  # of each picture that occurs again, the ids of its train photographs
Pairs = Sequence[tuple[int, int, float]]

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

TWO_LABELS = "two labels"
SCORE = 0.5
NEAR_SCORE = 0.4  # the eye may say that it is another picture
CONTRADICTION_SCORE = 0.9  # one picture under two labels: one of the two is wrong for certain
NEAR_CONTRADICTION_SCORE = 0.8
_COPIES_NAMED = 3


def find_same_bytes(file: Features) -> Iterator[Doubt]:
    """A reason for each photograph whose bytes occur again; copies that are all in test do no harm."""
    copies: dict[int, list[Place]] = defaultdict(list)
    for split, row in places(file) if file.digests else ():
        copies[int(file.digests[split][row])].append((split, row))
    for same in copies.values():
        if len(same) < 2 or all(split == "test" for split, _ in same):
            continue
        contradicted = len({label_of(file, place) for place in same if place[0] == "train"}) > 1
        score, kind = (CONTRADICTION_SCORE, TWO_LABELS) if contradicted else (SCORE, "duplicate")
        for place in same:
            others = [_name(file, copy) for copy in same if copy != place]
            yield place, Reason(score, f"{kind}: {_given(file, place, kind)}same file as {_first_few(others)}")


def find_near_copies(files: Sequence[Features], first: Features, pairs: Pairs | None = None) -> Iterator[Doubt]:
    """A reason for each photograph that looks like another one, of other bytes; pairs within test do no harm.

    Args:
        pairs: what `find_pairs` found, where that was asked already; it says what is raised.
    """
    digests = np.concatenate([first.digests[split] for split in feature_file.SPLITS]) if first.digests else None
    place_of = places(first)
    copies: dict[Place, list[tuple[float, Place]]] = defaultdict(list)  # each with the cosine of the two
    for i, j, cosine in find_pairs(files, first) if pairs is None else pairs:
        one, other = place_of[i], place_of[j]
        if one[0] == other[0] == "test" or (digests is not None and digests[i] == digests[j]):
            continue
        copies[one].append((cosine, other))
        copies[other].append((cosine, one))
    for place, near in copies.items():
        label = label_of(first, place)
        contradicted = bool(label) and any(label_of(first, copy) not in ("", label) for _, copy in near)
        score, kind = (NEAR_CONTRADICTION_SCORE, TWO_LABELS) if contradicted else (NEAR_SCORE, "near-duplicate")
        named = [f"{_name(first, copy)} {cosine:.3f}" for cosine, copy in sorted(near, reverse=True)]
        yield place, Reason(score, f"{kind}: {_given(first, place, kind)}looks like {_first_few(named)}")


def crowd_of(files: Sequence[Features], first: Features) -> Crowd | None:
    """All rows in the order of `first`, to be compared by the vectors that `comparable` allows; None if it allows none.

    Raises:
        StoreError: the rows of the files differ, or vectors cannot be read.
        UsageError: so many rows that they need an index, and none is installed.
    """
    telling = comparable(files)
    return Crowd(Joined(telling, *feature_file.SPLITS, first=first, normalised=True)) if telling else None


def find_pairs(
    files: Sequence[Features], first: Features, among: int | None = None, crowd: Crowd | None = None
) -> Pairs:
    """Near-copies: two rows of `first`, or of its `among` first ones, and the cosine of the two.

    Only wide vectors of networks that did not learn from these photographs are compared: random weights see no
    pictures, and a network trained here brings all photographs of a class together.

    Args:
        crowd: what `crowd_of` gave, where it was asked already; it says what is raised.
    """
    crowd = crowd or crowd_of(files, first)
    if crowd is None:
        return []
    return list(crowd.pairs(max(LEAST_COSINE, 1 - NEARNESS * (1 - crowd.usual(_RANK))), among))


def find_copies(files: Sequence[Features], pairs: Pairs | None = None) -> Copies:
    """The train photographs that are to share a fold: of the same bytes, or near-copies as in `find_pairs`.

    A photograph is in one group at most; groups and ids are in the order of the first file's rows. Near-copies do not
    count where they would be more than `MAX_SHARE` of all photographs, or all that a class has. Texts of labels and
    numbers are no classes: most have one picture only.

    Args:
        pairs: what `find_pairs` found among all rows of the first file, where that was asked already.

    Raises:
        StoreError: the rows of the files differ, or vectors cannot be read.
    """
    first = files[0]
    by_bytes = _same_bytes(files)
    picture = _linked_by(_near_pairs(files, pairs), by_bytes)
    classes = range(len(first.classes) if first.task.has_classes else 0)
    pictures_of = [np.unique(picture[first.labels == label]) for label in classes]
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
    return "" if comparable(files) else "no pretrained network is among these, with vectors from its own weights"


def comparable(files: Sequence[Features]) -> list[Features]:
    """The files whose vectors tell what is in a picture, see `find_pairs`."""
    return [
        file
        for file in files
        if file.width >= _MIN_WIDTH
        and not file.learnt
        and file.recipe.weights != weights.RANDOM_WEIGHTS
        and (is_pretrained(file.name) or file.recipe.weights == feature_file.UNKNOWN)
    ]


def _same_bytes(files: Sequence[Features]) -> NDArray[np.int64]:
    """(n_train,) for each row of the first file the row of its first copy."""
    for file in files:
        if file.digests:  # an old notebook's file has none
            return _first_of_each(file.digests["train"][joining.rows_by_id(files[0], file, "train")])
    return np.arange(len(files[0].labels))


def _near_pairs(files: Sequence[Features], pairs: Pairs | None) -> NDArray[np.int64]:
    """(pairs, 2) train rows of the first file that are near-copies."""
    rows = len(files[0].labels)
    if why_not_near(files) or rows < 2:
        return np.empty((0, 2), np.int64)
    # A row has so many pairs at most, and test rows may have taken the places of train rows.
    if pairs is None or max(Counter(i for i, _, _ in pairs).values(), default=0) >= neighbours.PAIRS_OF_A_ROW:
        pairs = find_pairs(files, files[0], rows)
    return np.array([(i, j) for i, j, _ in pairs if j < rows], np.int64).reshape(-1, 2)


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


def _first_few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _COPIES_NAMED} more" if len(names) > _COPIES_NAMED else ""
    return ", ".join(names[:_COPIES_NAMED]) + more


def _given(file: Features, place: Place, kind: str) -> str:
    """`given 63.5, ` of several labels or numbers that a copy contradicts, for which both are said; else nothing."""
    label = label_of(file, place)
    return f"given {label}, " if kind == TWO_LABELS and label and not file.task.has_classes else ""


def _name(file: Features, place: Place) -> str:
    """`train/7 (dog)`, or `test/7`."""
    split, row = place
    label = label_of(file, place)
    return f"{split}/{file.ids[split][row]}" + (f" ({label})" if label else "")

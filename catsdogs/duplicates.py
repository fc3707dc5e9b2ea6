"""Photographs that occur more than once: the same bytes, or vectors so near that it is the same picture again."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from catsdogs import store
from catsdogs.neighbours import Crowd, Table
from catsdogs.store import Features

Place = tuple[str, int]  # split and row

# A pair of photographs is the same picture again where its distance, 1 - cosine, is at most this share of the usual
# one to the fifth nearest photograph, and its cosine at least so much. docs/measurements.md says what that finds.
NEARNESS = 1 / 6
LEAST_COSINE = 0.9
_RANK = 5  # a photograph may have four copies, and the usual distance is still one between different pictures
_MIN_WIDTH = 512  # columns, the narrowest of `backbones.TABLE`; fewer say too little of a picture

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
    for split in store.SPLITS:
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
    able = [
        file
        for file in files
        if file.width >= _MIN_WIDTH and not file.learnt and file.recipe.weights != store.RANDOM_WEIGHTS
    ]
    if not able:
        return
    twins = _twins(Table(able, first), first)
    for place, alike in twins.items():
        label = _label(first, place)
        contradicted = bool(label) and any(_label(first, twin) not in ("", label) for _, twin in alike)
        score, kind = (NEAR_CONTRADICTION_SCORE, "two labels") if contradicted else (NEAR_SCORE, "near-duplicate")
        named = [f"{_name(first, twin)} {cosine:.3f}" for cosine, twin in sorted(alike, reverse=True)]
        yield Copied(place, score, f"{kind}: looks like {_listed(named)}")


def _twins(table: Table, first: Features) -> dict[Place, list[tuple[float, Place]]]:
    """Photograph -> those that look like it, with the cosine of the two."""
    places = [(split, row) for split in store.SPLITS for row in range(len(first.ids[split]))]
    crowd = Crowd(table)
    least = max(LEAST_COSINE, 1 - NEARNESS * (1 - crowd.usual(_RANK)))
    twins: dict[Place, list[tuple[float, Place]]] = defaultdict(list)
    for i, j, cosine in crowd.pairs(least):
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

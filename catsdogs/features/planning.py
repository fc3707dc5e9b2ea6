"""Planning: what is known of each photograph without its being read, and which stretches are to be computed.

All of it is arrays, some tens of bytes a photograph and network.
"""

from collections.abc import Container, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catsdogs.features.cache import Cache
from catsdogs.features.feature_file import Unreadable
from catsdogs.features.packing import Packing, Stretches
from catsdogs.features.rows import Places, Rows
from catsdogs.features.running import RunningNetwork
from catsdogs.files import atomic
from catsdogs.photographs.dataset import Dataset, Photograph
from catsdogs.photographs.locations import ABSENT, Location
from catsdogs.photographs.stamps import Stamps


class Outcomes:
    """What is known of the photographs of a run, by their numbers.

    Attributes:
        digests, known: (n,) the digest of each photograph, and whether it is one of which no network lacks the row.
        reasons: number -> why a photograph cannot be read.
    """

    def __init__(self, photographs: Sequence[Photograph], digests: NDArray[np.uint64]) -> None:
        self.photographs, self.digests = photographs, digests
        self.looked_at = Rows(photographs, digests)
        self.known = np.zeros(len(photographs), bool)
        self.reasons: dict[int, str] = {}

    @property
    def missing(self) -> NDArray[np.bool_]:
        """(n,) which photographs are to be read."""
        missing = ~self.known
        missing[list(self.reasons)] = False
        return missing

    @property
    def readable(self) -> Rows:
        return self.looked_at.chosen(np.flatnonzero(self.known))

    @property
    def unreadable(self) -> list[Unreadable]:
        rows = ((self.photographs[row], reason) for row, reason in sorted(self.reasons.items()))
        return [Unreadable(photograph.split, photograph.id, reason) for photograph, reason in rows]


def look(
    photographs: Sequence[Photograph],
    stamps: Stamps,
    networks: Sequence[RunningNetwork],
    absent: Container[Location],
) -> Outcomes:
    """What is known without a photograph being read: the digest is remembered, and no network lacks the row."""
    digests, remembered = stamps.look(photographs)
    outcomes = Outcomes(photographs, digests)
    outcomes.known = remembered
    for network in networks:
        outcomes.known = outcomes.known & network.cache.holds(outcomes.looked_at)
    if absent:
        rows = (row for row, photograph in enumerate(photographs) if photograph.location in absent)
        outcomes.reasons = dict.fromkeys(rows, ABSENT)
    outcomes.known[list(outcomes.reasons)] = False
    return outcomes


def stretches(outcomes: Outcomes, networks: Sequence[RunningNetwork], packing: Packing) -> Stretches:
    """The rows of each stretch that is to be computed."""
    missing = outcomes.missing
    if not missing.any():
        return []
    present = np.ones(len(missing), bool)
    present[list(outcomes.reasons)] = False
    held = [network.cache.holds(outcomes.looked_at) for network in networks]
    partly = [rows for rows in held if not rows[present].all()]
    differ = any((rows != partly[0]).any() for rows in partly)
    return packing.stretches(outcomes.looked_at.keys, missing, present, differ)


def with_kept(
    dataset: Dataset, fresh: Rows, unreadable: Sequence[Unreadable], cache: Cache
) -> tuple[Rows, list[Unreadable]]:
    """Add the rows cached of photographs that a limited run did not look at, in the order of the table."""
    reasons = {row[:2]: row for row in (*(cache.existing.unreadable if cache.existing else ()), *unreadable)}
    for photograph in fresh.photographs:
        reasons.pop((photograph.split, photograph.id), None)
    every = Rows(dataset.photographs, np.zeros(len(dataset.photographs), np.uint64))
    found, digests = cache.latest(every.keys)
    looked_at = Places()
    looked_at.add(fresh.keys, fresh.digests)
    is_fresh, own = looked_at.latest(every.keys)
    digests[is_fresh] = own[is_fresh]
    found |= is_fresh
    if reasons:
        found &= [(photograph.split, photograph.id) not in reasons for photograph in dataset.photographs]
    listed = [key for photograph in dataset.photographs if (key := (photograph.split, photograph.id)) in reasons]
    kept = Rows(dataset.photographs, digests).chosen(np.flatnonzero(found))
    return kept, [reasons[key] for key in listed]


def check_free_space(rows: Rows, missing: NDArray[np.intp], networks: Sequence[RunningNetwork], out: Path) -> None:
    """Refuse a disk that is too small: a row that is missing lies there twice, in its shard and in the feature file."""
    needed = 0
    for network in networks if len(missing) else ():
        cached, _ = network.cache.latest(rows.keys[missing])
        row = network.backbone.width * np.dtype(network.cache.recipe.dtype).itemsize
        needed += 2 * row * int(np.count_nonzero(~cached))
    atomic.check_free_space(out, needed)

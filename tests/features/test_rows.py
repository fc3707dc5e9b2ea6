"""Rows as arrays, and where they lie, against the dictionaries that would say the same."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catsdogs.features import rows as rows_module
from catsdogs.features.cache import DigestedPhotograph
from catsdogs.features.rows import Places, Renamed, Rows, hashed
from catsdogs.photographs import images
from tests.support.features import table
from tests.support.memory import peak

ENTRIES = table([f"t{n}" for n in range(30)], [str(n) for n in range(12)])
# Few keys and digests, so that many rows share one; blocks in which no key is twice, as in a shard.
BLOCKS = st.lists(st.dictionaries(st.integers(0, 9), st.integers(0, 4), max_size=8), max_size=8)
LATE_ROWS = (0, 3, 2**15)


def arrays(block: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([*block.keys()], np.uint64), np.array([*block.values()], np.uint64)


@pytest.mark.parametrize("late", LATE_ROWS)
@settings(deadline=None, max_examples=60)
@given(BLOCKS, st.integers(0, 8))
def test_places_are_those_of_a_dictionary(late: int, blocks: list[dict[int, int]], asked_after: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "_MOST_LATE_ROWS", late)
        places, expected, latest = Places(), {}, {}
        for number, block in enumerate(blocks):
            start = len(places)
            places.add(*arrays(block))
            expected |= {row: start + n for n, row in enumerate(block.items())}
            latest |= block
            if number == asked_after:  # as a run that looks rows up, and then writes more
                places.find(*arrays(block))
        every = [(key, digest) for key in range(10) for digest in range(5)]
        keys, digests = (np.array(column, np.uint64) for column in zip(*every, strict=True))
        assert [places.find_one(*row) for row in every] == [expected.get(row, -1) for row in every]
        found = places.find(keys, digests)
        # Of a row that is there twice any place will do that holds it, but it is the last.
        assert found.tolist() == [expected.get(row, -1) for row in every]
        assert places.latest(keys[::5])[0].tolist() == [key in latest for key in range(10)]
        assert places.latest(keys[::5])[1].tolist() == [latest.get(key, 0) for key in range(10)]
        own = list(zip(*(column.tolist() for column in places.of_keys(np.array([3, 3, 7], np.uint64))), strict=True))
        assert sorted(own) == sorted(row for block in blocks for row in block.items() if row[0] in (3, 7))


def test_rows_are_looked_up_while_others_are_added() -> None:
    places, keys, wrong = Places(), hashed(map(str, range(60_000))), []
    places.add(keys[:40_000], keys[:40_000])

    def look(first: int) -> None:
        wrong.extend(n for n in range(first, 40_000, 40) if places.find_one(int(keys[n]), int(keys[n])) != n)

    readers = [threading.Thread(target=look, args=(number,)) for number in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for reader in readers:
            reader.start()
        for start in range(40_000, 60_000, 256):
            places.add(keys[start : start + 256], keys[start : start + 256])
        for reader in readers:
            reader.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong and (places.find(keys, keys) == np.arange(60_000)).all()


@settings(deadline=None)
@given(st.lists(st.integers(0, 9)))
def test_of_copies_the_first_counts(digests: list[int]) -> None:
    renamed = Renamed(np.array(digests, np.uint64), np.arange(len(digests)) + 100)
    found = renamed.find(np.arange(12, dtype=np.uint64))
    assert found.tolist() == [digests.index(n) + 100 if n in digests else -1 for n in range(12)]


def test_rows_are_a_sequence_of_entries() -> None:
    rows = Rows.of(ENTRIES)
    assert list(rows) == ENTRIES and rows[3] == ENTRIES[3] and list(rows[5:9]) == ENTRIES[5:9]
    assert rows.keys.tolist() == [images.digest(entry.key.encode()) for entry in ENTRIES]
    assert Rows.of(rows) is rows and rows.chosen(np.arange(len(rows))) is rows
    mixed = rows.chosen(np.array([40, 2, 2, 35, 1]))
    assert list(mixed) == [ENTRIES[n] for n in (40, 2, 2, 35, 1)]
    assert mixed.keys.tolist() == rows.keys[[40, 2, 2, 35, 1]].tolist()
    assert {split: list(own) for split, own in mixed.by_split.items()} == {
        "train": [ENTRIES[n] for n in (2, 2, 1)],
        "test": [ENTRIES[n] for n in (40, 35)],
    }
    assert rows.by_split["train"].labels.tolist() == [n % 2 for n in range(30)]
    assert not len(rows.chosen(np.empty(0, np.intp)))


def test_they_hold_some_bytes_each() -> None:
    """Beside the photographs: keys, digests, and the places of three networks."""
    count = 50_000
    entries = table([str(n) for n in range(count)], [], Path("x"))
    rows = Rows([entry.photograph for entry in entries], np.arange(count, dtype=np.uint64))

    def plan() -> list[Places]:
        caches = [Places() for _ in range(3)]
        for places in caches:
            places.add(rows.keys.copy(), rows.digests.copy())
            places.find(rows.keys[::-1], rows.digests[::-1])
        return caches

    assert peak(plan) < 200 * count
    assert isinstance(rows[0], DigestedPhotograph)


def test_digests_are_listed_once_in_order() -> None:
    places = Places()
    assert places.digests.tolist() == []
    places.add(np.array([3, 1], np.uint64), np.array([9, 7], np.uint64))
    places.add(np.array([2], np.uint64), np.array([7], np.uint64))
    assert places.digests.tolist() == [7, 9]

"""Feature files over shards: the same to every reader as a plain one, and never silent about a shard that is gone."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catsdogs.errors import DamagedError, StoreError
from catsdogs.features import feature_file, virtual
from catsdogs.features.cache import Cache, DigestedPhotograph
from catsdogs.features.feature_file import Features
from catsdogs.files import hdf5
from tests.conftest import refused
from tests.support.features import opened, recipe, rows_of, table

ENTRIES = table([f"t{n:03}" for n in range(230)], [str(n) for n in range(70)])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"VIRTUAL_ROWS": 100, "_CUT": 16, "_LEAST_ROWS": 8, "_MOST_ROWS": 40}.items():
        monkeypatch.setattr(virtual, name, value)


def written(folder: Path, entries: Sequence[DigestedPhotograph] = ENTRIES, step: int = 32) -> Features:
    """A feature file of these rows; those that are not there are computed."""
    cache = Cache(folder, recipe())
    missing = [entry for entry in entries if entry not in cache]
    for start in range(0, len(missing), step):
        cache.write_shard(rows_of(missing[start : start + step]), "none")
    cache.assemble(entries, ("a", "b"), [], "photographs")
    return feature_file.read_features(cache.path)


def missing_in(folder: Path, name: str = "ResNet50") -> list[str]:
    cache = Cache(folder, recipe(name))
    return [entry.key for entry in ENTRIES if entry not in cache]


def shards_in(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "ResNet50.shards").rglob("*") if path.is_file())


def check(features: Features, entries: Sequence[DigestedPhotograph] = ENTRIES) -> None:
    for split in feature_file.SPLITS:
        right = [entry for entry in entries if entry.photograph.split == split]
        rows = rows_of(right or ENTRIES[:1])
        assert features.ids[split].tolist() == [entry.photograph.id for entry in right]
        for read, true in (
            (features.vectors(split), rows.vector),
            (features.digests[split], rows.digest),
            (features.statistics[split], rows.statistics),
            (features.topk_class[split], rows.topk_class),
            (features.topk_prob[split], rows.topk_prob),
        ):
            assert read.dtype == true.dtype
            np.testing.assert_array_equal(read, true[: len(right)])


def test_a_virtual_file_reads_as_a_plain_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = written(tmp_path)
    check(features)
    assert len(shards_in(tmp_path)) > 5 and not (tmp_path / ".shards" / "ResNet50").exists()
    monkeypatch.setattr(virtual, "VIRTUAL_ROWS", 1000)
    plain = written(tmp_path / "plain")
    (tmp_path / "moved").mkdir()
    (tmp_path / "ResNet50.h5").rename(tmp_path / "moved/ResNet50.h5")
    (tmp_path / "ResNet50.shards").rename(tmp_path / "moved/ResNet50.shards")
    with h5py.File(tmp_path / "moved/ResNet50.h5") as ours, h5py.File(plain.path) as theirs:
        assert ours["train"].is_virtual and not theirs["train"].is_virtual
        for name in theirs:
            assert ours[name].dtype == theirs[name].dtype and dict(ours[name].attrs).keys() == theirs[name].attrs.keys()
            np.testing.assert_array_equal(ours[name][...], theirs[name][...])
        assert {name: value for name, value in ours.attrs.items() if name != "created"} == {
            name: value for name, value in theirs.attrs.items() if name != "created"
        }
    check(feature_file.read_features(tmp_path / "moved/ResNet50.h5"))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 229), max_size=60))
def test_rows_in_any_order(tmp_path_factory: pytest.TempPathFactory, chosen: list[int]) -> None:
    folder = tmp_path_factory.getbasetemp() / "any-order"
    if not folder.exists():
        written(folder)
    found = feature_file.read_features(folder / "ResNet50.h5").vectors("train", np.array(chosen, np.intp))
    np.testing.assert_array_equal(found, rows_of(ENTRIES[:230]).vector[chosen])


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=300), st.integers(0, 300), st.integers(0, 2**64 - 1))
def test_a_new_row_moves_no_end_before_it(digests: list[int], where: int, new: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"_CUT": 16, "_LEAST_ROWS": 8, "_MOST_ROWS": 40}.items():
            patch.setattr(virtual, name, value)

        def parts(values: list[int]) -> Iterator[tuple[int, ...]]:
            rows = np.array(values, np.uint64)
            return (tuple(rows[stretch].tolist()) for stretch in virtual.part_rows(rows))

        before = [*parts(digests)]
        assert [row for part in before for row in part] == digests
        assert all(8 <= len(part) <= 40 for part in before[:-1]) and all(len(part) <= 40 for part in before)
        where %= len(digests) + 1
        ends = np.cumsum([len(part) for part in before[:-1]])
        same = int(np.count_nonzero(ends < where))
        assert [*parts([*digests[:where], new, *digests[where:]])][:same] == before[:same]


def test_only_shards_with_changed_rows_are_written_anew(tmp_path: Path) -> None:
    written(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in shards_in(tmp_path)}
    changed = ENTRIES[50]._replace(digest=ENTRIES[50].digest + 1)
    renamed = DigestedPhotograph(ENTRIES[51].photograph._replace(id="t051x"), ENTRIES[51].digest)
    new = DigestedPhotograph(ENTRIES[51].photograph._replace(id="t051y"), 77)
    entries = [*ENTRIES[:50], changed, renamed, new, *ENTRIES[53:]]
    cache = Cache(tmp_path, recipe())
    assert [entry.key for entry in entries if entry not in cache] == ["train/t050", "train/t051y"]
    cache.write_shard(rows_of([changed, new]), "none")
    cache.assemble(entries, ("a", "b"), [], "photographs")
    after = {path: path.stat().st_mtime_ns for path in shards_in(tmp_path)}
    assert len(before.items() & after.items()) > len(before) / 2 and len(after.keys() - before.keys()) <= 4
    features = feature_file.read_features(cache.path)
    np.testing.assert_array_equal(
        features.vectors("train"), rows_of([*entries[:51], ENTRIES[51], *entries[52:230]]).vector
    )
    assert features.ids["train"][51] == "t051x"


def test_a_run_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    written(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.h5")}
    leftover = shards_in(tmp_path)[0].with_name(".abc.h5.4711.tmp")
    orphan = shards_in(tmp_path)[0].with_name("orphan.h5")
    leftover.write_bytes(b"half a file")
    shutil.copy(shards_in(tmp_path)[0], orphan)
    assert not Cache(tmp_path, recipe()).assemble(ENTRIES, ("a", "b"), [], "photographs")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.h5")} == before
    assert not leftover.exists() and not orphan.exists()


def test_a_file_grows_to_be_virtual_and_shrinks_back(tmp_path: Path) -> None:
    few = ENTRIES[:40]
    check(written(tmp_path, few), few)
    assert not shards_in(tmp_path)
    check(written(tmp_path))
    assert shards_in(tmp_path)
    check(written(tmp_path, few), few)
    assert not (tmp_path / "ResNet50.shards").exists()


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_a_lost_shard_is_named_and_only_its_rows_are_computed_again(tmp_path: Path, damage: str) -> None:
    features = written(tmp_path)
    shard = shards_in(tmp_path)[2]
    with h5py.File(shard) as file:
        lost = file["key"].asstr()[...].tolist()
    content = bytearray(shard.read_bytes())
    content[-9] ^= 1
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(content[:1000] if damage == "cut" else content)
    with refused(DamagedError, rf"{shard.name} .*Run `catsdogs features --backbones ResNet50` again"):
        feature_file.read_features(features.path).vectors(lost[0].split("/")[0])
    with h5py.File(features.path) as file:  # of whoever reads it without us
        if damage == "missing":
            split = lost[0].split("/")[0]
            assert np.isnan(file[split][...]).any() and (file[f"{split}_topk_class"][...] == -1).any()
    assert missing_in(tmp_path) == lost
    check(written(tmp_path))
    aside = {path.name for path in tmp_path.glob("*.damaged")}
    assert aside == {"ResNet50.h5.damaged"} | ({f"{shard.name}.damaged"} if damage != "missing" else set())


@pytest.mark.parametrize("kill", range(0, 24, 3))
def test_killed_while_it_merges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: int) -> None:
    """After any number of files written, the old file is whole, and the next run goes on with what is there."""
    old = [*ENTRIES[:100], *ENTRIES[150:]]
    written(tmp_path, old)
    cache = Cache(tmp_path, recipe())
    cache.write_shard(rows_of(ENTRIES[100:150]), "none")
    writing, count = hdf5.writing, iter(range(kill))

    def dying(path: Path, **more: Any) -> object:
        if next(count, None) is None:
            raise KeyboardInterrupt
        return writing(path, **more)

    monkeypatch.setattr(hdf5, "writing", dying)
    try:
        cache.assemble(ENTRIES, ("a", "b"), [], "photographs")
    except KeyboardInterrupt:
        found = feature_file.read_features(cache.path)
        has_merged = len(found.ids["train"]) == 230  # the index comes last
        check(found, ENTRIES if has_merged else old)
    monkeypatch.setattr(hdf5, "writing", writing)
    assert missing_in(tmp_path) == []
    check(written(tmp_path))


NAMES = (
    *("a b", "my network (2)", "[ab]*?", "100%", "%b %%d", "nätwörk 猫", "it's a\"b\\c", "a#b;c&d", "a.", "a.shards"),
    "x" * 200,
)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_any_name(tmp_path: Path, name: str) -> None:
    """Read by this program, and by whoever has nothing but HDF5."""
    cache = Cache(tmp_path, recipe(name))
    cache.write_shard(rows_of(ENTRIES), "none")
    cache.assemble(ENTRIES, ("a", "b"), [], "photographs")
    check(feature_file.read_features(cache.path))
    assert missing_in(tmp_path, name) == []
    with h5py.File(cache.path) as file:
        assert file["train"].is_virtual
        np.testing.assert_array_equal(file["train"][...], rows_of(ENTRIES[:230]).vector)
    assert not Cache(tmp_path, recipe(name)).assemble(ENTRIES, ("a", "b"), [], "photographs")
    check(feature_file.read_features(cache.path))


@pytest.mark.parametrize(
    "name",
    ["/etc/x.h5", "../ResNet50.shards/ab/cd.h5", "Other.shards/ab/cd.h5", "ResNet50.shards/../ab/cd.h5", "ab.h5"],
)
def test_a_shard_that_lies_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    path = written(tmp_path).path
    with opened(path) as file:
        table = file["train_shards"][...]
        table["name"][1] = name
        file["train_shards"][...] = table
    with refused(StoreError, "is no shard"):
        feature_file.read_features(path)

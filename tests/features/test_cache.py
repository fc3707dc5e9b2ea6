"""The cache: shards written, found again and assembled into a feature file."""

import os
import resource
from pathlib import Path

import h5py
import numpy as np
import pytest

from catsdogs.errors import StoreError
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache, DigestedPhotograph
from catsdogs.features.feature_file import SHARD_FOLDER
from catsdogs.networks import weights
from tests.conftest import refused
from tests.support.features import recipe, rows_of, table, write_features
from tests.support.memory import peak

ENTRIES = table(["a", "b", "c", "d"], ["1", "2"])


def written(folder: Path, *shards: list[DigestedPhotograph], backend: str = "none") -> Cache:
    """A cache with these shards, opened anew."""
    cache = Cache(folder, recipe())
    for shard in shards:
        cache.write_shard(rows_of(shard), backend)
    return Cache(folder, recipe())


def assembled(cache: Cache, entries: list[DigestedPhotograph] = ENTRIES) -> bool:
    return cache.assemble(entries, ("x", "y"), [], "photographs")


def shard_files(folder: Path) -> list[Path]:
    return [path for path in (folder / SHARD_FOLDER).rglob("*") if path.is_file()]


def backend(path: Path) -> str:
    with h5py.File(path) as file:
        return str(file.attrs["backend"])


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"weights": "cd" * 32}, r"weights: a{0}(ab){6}…, not (cd){6}…"),
        ({"weights": weights.RANDOM_WEIGHTS}, "weights: (ab){6}…, not random"),
        ({"input_size": 299}, "input_size: 224, not 299"),
        ({"precision": "bfloat16"}, "precision: float32, not bfloat16"),
        ({"dtype": "float16", "preprocessing": "tf"}, "preprocessing: caffe, not tf; dtype: float32, not float16"),
    ],
)
def test_file_of_another_recipe_is_refused(tmp_path: Path, other: dict, problem: str) -> None:
    path = write_features(tmp_path, ENTRIES).path
    before = path.read_bytes()
    with refused(StoreError, rf"ResNet50\.h5 was written with {problem}\. Ask for what it was written with"):
        Cache(tmp_path, recipe(**other))
    assert path.read_bytes() == before


def test_shards_of_another_recipe_are_not_used(tmp_path: Path) -> None:
    written(tmp_path, ENTRIES)
    assert not any(entry in Cache(tmp_path, recipe(precision="bfloat16")) for entry in ENTRIES)
    assert not any(entry in Cache(tmp_path, recipe("ResNet50V2")) for entry in ENTRIES)


def test_shards_survive_and_go_when_the_file_is_written(tmp_path: Path) -> None:
    cache = written(tmp_path, ENTRIES[:2], ENTRIES[2:5])
    assert [entry in cache for entry in ENTRIES] == [True] * 5 + [False]
    cache.write_shard(rows_of(ENTRIES[5:]), "none")
    assert len(shard_files(tmp_path)) == 3
    assert assembled(cache)
    assert not shard_files(tmp_path)
    assert all(entry in Cache(tmp_path, recipe()) for entry in ENTRIES)


def test_current_file_is_not_written_again(tmp_path: Path) -> None:
    cache = written(tmp_path, ENTRIES)
    assert assembled(cache)
    before = cache.path.stat()
    assert not assembled(Cache(tmp_path, recipe()))
    after = cache.path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_leftovers_of_a_killed_run_go(tmp_path: Path) -> None:
    cache = written(tmp_path, ENTRIES)
    leftovers = [
        cache.path.with_name(f".{cache.path.name}.4711.tmp"),
        shard_files(tmp_path)[0].with_name(".abc.h5.4711.tmp"),
    ]
    other = tmp_path / ".Xception.h5.4711.tmp"
    for path in (*leftovers, other):
        path.write_bytes(b"half a file")
    assembled(cache)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        ".ResNet50.index",
        other.name,
        "ResNet50.h5",
    ]


@pytest.mark.parametrize("keep", [0, 7, 2000, -1])
def test_damaged_shard_is_dropped(tmp_path: Path, keep: int) -> None:
    written(tmp_path, ENTRIES[:2])
    damaged = shard_files(tmp_path)[0]
    written(tmp_path, ENTRIES[2:])
    damaged.write_bytes(damaged.read_bytes()[:keep])
    cache = Cache(tmp_path, recipe())
    assert [entry in cache for entry in ENTRIES] == [False] * 2 + [True] * 4
    assert not damaged.exists()
    cache.write_shard(rows_of(ENTRIES[:2]), "none")
    assembled(cache)
    np.testing.assert_array_equal(feature_file.read_features(cache.path).vectors("train"), rows_of(ENTRIES[:4]).vector)


def test_changed_new_removed_and_renamed_photographs(tmp_path: Path) -> None:
    written(tmp_path, ENTRIES)
    assembled(Cache(tmp_path, recipe()))
    a, b, c, _, one, two = ENTRIES
    changed = DigestedPhotograph(b.photograph, b.digest + 1)
    new = DigestedPhotograph(b.photograph._replace(id="new"), 5)
    renamed = DigestedPhotograph(c.photograph._replace(id="renamed"), c.digest)
    cache = Cache(tmp_path, recipe())
    wanted = [a, changed, new, renamed, one, two]
    assert [entry in cache for entry in wanted] == [True, False, False, True, True, True]
    cache.write_shard(rows_of([changed, new]), "none")
    assembled(cache, wanted)
    got = feature_file.read_features(cache.path)
    assert got.ids["train"].tolist() == ["a", "b", "new", "renamed"]
    np.testing.assert_array_equal(got.vectors("train"), rows_of([a, changed, new, c]).vector)


def test_a_renamed_photograph_is_not_taken_from_a_shard(tmp_path: Path) -> None:
    # Else what a second run computes, and in which batches, would depend on where the first was killed.
    cache = written(tmp_path, ENTRIES)
    twin = DigestedPhotograph(ENTRIES[0].photograph._replace(id="twin"), ENTRIES[0].digest)
    assert ENTRIES[0] in cache and twin not in cache


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_more_rows_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    monkeypatch.setattr("catsdogs.features.copying._COPIED_ROWS", 64)
    entries = table([f"t{n:04}" for n in range(300)], [str(n) for n in range(130)])
    cache = Cache(tmp_path, recipe(dtype=dtype))
    for start in range(7):
        cache.write_shard(rows_of(entries[start::7]), "none")
    wanted = entries[::-2]
    cache.assemble(wanted, ("x", "y"), [], "photographs")
    got = feature_file.read_features(cache.path)
    for split in feature_file.SPLITS:
        rows = [entry for entry in wanted if entry.photograph.split == split]
        assert got.ids[split].tolist() == [entry.photograph.id for entry in rows]
        np.testing.assert_array_equal(got.vectors(split), rows_of(rows).vector.astype(dtype))


def test_shard_that_is_damaged_later_is_named(tmp_path: Path) -> None:
    cache = written(tmp_path, ENTRIES)
    shard_files(tmp_path)[0].write_bytes(b"")
    with refused(StoreError, r"\.h5 is cut short or damaged: its checksum is wrong\. Run this again\."):
        assembled(cache)


def test_assembling_holds_no_more_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catsdogs.features.copying._COPIED_ROWS", 50)
    entries = table([str(n) for n in range(600)], [])
    cache = Cache(tmp_path, recipe())
    for start in range(0, len(entries), 50):
        cache.write_shard(rows_of(entries[start : start + 50], width=3000), "none")
    assert peak(lambda: assembled(cache, entries[::2] + entries[1::2])) < len(entries) * 3000 * 4 / 2


def test_backend_is_that_of_the_rows(tmp_path: Path) -> None:
    written(tmp_path, ENTRIES[:2], backend="jax")
    cache = written(tmp_path, ENTRIES[2:], backend="tensorflow")
    assembled(cache)
    assert backend(cache.path) == "jax,tensorflow"
    assembled(Cache(tmp_path, recipe()), ENTRIES[:1] + ENTRIES[3:])  # what is left still knows who computed it
    assert backend(cache.path) == "jax,tensorflow"


def test_a_damaged_file_is_set_aside_and_its_shards_are_kept(tmp_path: Path) -> None:
    path = write_features(tmp_path, ENTRIES).path
    os.truncate(path, 1000)
    written(tmp_path, ENTRIES[:2])
    cache = Cache(tmp_path, recipe())
    assert cache.existing is None and not path.exists()
    assert [entry in cache for entry in ENTRIES] == [True] * 2 + [False] * 4
    assert [path.name for path in tmp_path.glob("*.damaged")] == ["ResNet50.h5.damaged"]


def test_a_damaged_shard_is_set_aside(tmp_path: Path) -> None:
    written(tmp_path, ENTRIES[:2], ENTRIES[2:])
    damaged = shard_files(tmp_path)[0]
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    cache = Cache(tmp_path, recipe())
    assert sum(entry in cache for entry in ENTRIES) in (2, 4) and not damaged.exists()
    assert [path.name for path in tmp_path.glob("*.damaged")] == [f"{damaged.name}.damaged"]


# Names that a pattern, a prefix or a decoder would take for another's.
NAMES = (
    "X",
    "X-of-blend",
    "X-0123456789ab",
    "X-[ab]",
    "X*",
    "*",
    "?",
    "[!.]*",
    "X.h5",
    "X.h5.old",
    "a b",
    "näh",
    "100%",
    "%b",
)


@pytest.mark.parametrize("name", NAMES)
def test_assembling_one_network_leaves_the_others_alone(tmp_path: Path, name: str) -> None:
    """Whatever networks are called: only the shards and the leftovers of this very one go."""
    for other in NAMES:
        cache = Cache(tmp_path, recipe(other))
        cache.write_shard(rows_of(ENTRIES, name=other), "none")
        cache.path.with_name(f".{cache.path.name}.4711.tmp").write_bytes(b"half a file")
    ours = Cache(tmp_path, recipe(name, precision="bfloat16"))
    ours.write_shard(rows_of(ENTRIES, name=name), "none")
    assembled(Cache(tmp_path, recipe(name)))
    for other in NAMES:
        there = all(entry in Cache(tmp_path, recipe(other)) for entry in ENTRIES)
        assert there and (tmp_path / f"{other}.h5").exists() == (other == name)
        assert (tmp_path / f".{other}.h5.4711.tmp").exists() == (other != name)
    assert len(shard_files(tmp_path)) == len(NAMES) - 1  # nor is one of its other recipe left
    np.testing.assert_array_equal(
        feature_file.read_features(tmp_path / f"{name}.h5").vectors("train"), rows_of(ENTRIES[:4], name=name).vector
    )


def test_full_disk_keeps_the_earlier_file_and_the_shards(tmp_path: Path) -> None:
    entries = table([str(n) for n in range(400)], [])
    write_features(tmp_path, entries[:2])
    before = (tmp_path / "ResNet50.h5").read_bytes()
    cache = Cache(tmp_path, recipe())
    for start in range(2, 400, 50):
        cache.write_shard(rows_of(entries[start : start + 50]), "none")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        with refused(StoreError, r"The disk is full: .*ResNet50\.h5 was not written"):
            cache.assemble(entries, ("a", "b"), [], "photographs")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "ResNet50.h5").read_bytes() == before
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".tmp"]
    again = Cache(tmp_path, recipe())
    assert all(entry in again for entry in entries)

"""Vectors of any photographs, found again by their bytes: whole, once, and whoever else works in the folder."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catsdogs.errors import StoreError, UsageError
from catsdogs.features import by_digest, feature_file, worker
from catsdogs.features.by_digest import Vectors, _Found
from catsdogs.features.extract import Settings
from catsdogs.features.feature_file import Features
from catsdogs.features.running import Job, RunningNetwork
from catsdogs.files import locks, storage
from catsdogs.networks.choice import choose
from catsdogs.photographs import handed, images
from tests.conftest import refused
from tests.support.datasets import jpeg
from tests.support.extraction import LITE0, LITE1, files_in, run

pytestmark = pytest.mark.usefixtures("lite_networks")
SETTINGS = Settings(batch_size=4)


def ask(X: object, folder: Path, *names: str, settings: Settings = SETTINGS) -> Vectors:
    return by_digest.vectors(handed.photographs(X), choose(names or (LITE0,)), folder, settings)


def only(X: object, folder: Path) -> np.ndarray:
    found = ask(X, folder)
    assert not found.reasons
    return found.by_network[0]


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory, networks_are_loaded_once: None) -> Path:
    """A folder with the vectors of `jpeg(0)` to `jpeg(11)`."""
    folder = tmp_path_factory.mktemp("twelve") / "vectors"
    assert ask([jpeg(seed) for seed in range(12)], folder).computed == 12
    return folder


def test_vectors_are_those_of_a_data_set(tmp_path: Path, kaggle_folder: Path, reference: Features) -> None:
    paths = sorted((kaggle_folder / "train").iterdir())
    got = ask(paths, tmp_path / "vectors")
    np.testing.assert_allclose(got.by_network[0], reference.vectors("train"), rtol=1e-4, atol=1e-5)
    assert got.computed == 8 and files_in(tmp_path / "vectors") == [f"{LITE0}.h5"]
    kept = feature_file.read_features(tmp_path / "vectors" / f"{LITE0}.h5")
    assert kept.source == by_digest.SOURCE and kept.recipe == reference.recipe
    assert kept.ids["test"].tolist() == [f"{digest:016x}" for digest in kept.digests["test"].tolist()]


@settings(max_examples=25)
@given(st.lists(st.integers(0, 11), min_size=1, max_size=20))
def test_rows_follow_the_bytes_in_any_order_and_number(twelve: Path, seeds: list[int]) -> None:
    every = only([jpeg(seed) for seed in range(12)], twelve)
    assert len(np.unique(every, axis=0)) == 12
    got = ask([jpeg(seed) for seed in seeds], twelve)
    assert got.computed == 0 and np.array_equal(got.by_network[0], every[seeds])


def test_a_file_elsewhere_is_known_and_one_that_changed_is_not(tmp_path: Path) -> None:
    path, folder = tmp_path / "a.jpg", tmp_path / "vectors"
    path.write_bytes(jpeg(1))
    first = only([path], folder)
    moved = path.rename(tmp_path / "b.png")
    again = ask([moved, jpeg(1)], folder)
    assert again.computed == 0 and np.array_equal(again.by_network[0], np.repeat(first, 2, axis=0))
    moved.write_bytes(jpeg(2))
    other = ask([moved], folder)
    assert other.computed == 1 and not np.allclose(other.by_network[0], first)
    assert ask([jpeg(1), jpeg(2)], folder).computed == 0  # what was there stays


def test_photographs_in_an_object_store(tmp_path: Path) -> None:
    store = storage.place("memory://by-digest/photographs")
    (store / "a.jpg").write_bytes(jpeg(1))
    found = ask(["memory://by-digest/photographs/a.jpg", "memory://by-digest/photographs/b.jpg"], tmp_path)
    assert found.computed == 1 and found.reasons == {1: "no such file"}
    assert ask([jpeg(1)], tmp_path).computed == 0


def test_networks_come_one_by_one(tmp_path: Path) -> None:
    photographs = [jpeg(1), jpeg(2)]
    alone = ask(photographs[:1], tmp_path, LITE1)
    both = ask(photographs, tmp_path, LITE0, LITE1)
    assert both.computed == 2 and [vectors.shape for vectors in both.by_network] == [(2, 1280)] * 2
    assert np.array_equal(both.by_network[1][:1], alone.by_network[0])
    assert ask(photographs, tmp_path, LITE1, LITE0).computed == 0


def test_what_cannot_be_read_costs_the_others_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(1)[:300])
    found = ask([path, jpeg(2), b"GIF", path], tmp_path / "vectors")
    assert set(found.reasons) == {0, 2, 3} and found.reasons[0].startswith("damaged") and found.computed == 1
    assert found.by_network[0][1].any() and not found.by_network[0][[0, 2, 3]].any()
    assert ask([jpeg(2)], tmp_path / "vectors").computed == 0
    nothing = ask([b"GIF"], tmp_path / "other")
    assert set(nothing.reasons) == {0} and nothing.by_network[0].shape == (1, 1280)


def test_pixels_in_memory_lie_on_the_disk_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = [np.asarray(images.decode(jpeg(seed))) for seed in range(5)]
    X = [arrays[0], b"GIF", *arrays[1:], arrays[0], b"GIF"]
    expected = ask(X, tmp_path / "at once")
    sizes, compute = [], by_digest._compute_missing

    def look(job: Job, networks: list[RunningNetwork], found: _Found) -> int:
        sizes.append(len([*job.root.iterdir()]))
        return compute(job, networks, found)

    monkeypatch.setattr(by_digest, "_compute_missing", look)
    monkeypatch.setattr(by_digest, "_SPARE_BYTES", 20_000)  # an array has 14,400
    got = ask(X, tmp_path / "by twos")
    assert sizes == [3, 2, 1] and got.computed == expected.computed == 5
    assert got.reasons == expected.reasons and set(got.reasons) == {1, 7}
    np.testing.assert_allclose(got.by_network[0], expected.by_network[0], rtol=1e-4, atol=1e-5)


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, digest = tmp_path / "a.jpg", images.digest
    path.write_bytes(jpeg(1))

    def change(data: bytes) -> int:
        if data == jpeg(1):
            path.write_bytes(jpeg(2))
        return digest(data)

    monkeypatch.setattr(images, "digest", change)
    assert ask([path], tmp_path / "vectors").reasons == {0: "it changed while it was read"}
    monkeypatch.undo()
    found = ask([path, jpeg(1)], tmp_path / "vectors")
    assert not found.reasons and found.computed == 2


def test_a_run_that_is_killed_keeps_its_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs = [jpeg(seed) for seed in range(6)]
    monkeypatch.setattr(by_digest, "SHARD_ROWS", 2)
    write = worker._write_shards

    def stop(number: int, *others: object) -> object:
        if number == 2:
            raise KeyboardInterrupt
        return write(number, *others)

    monkeypatch.setattr(worker, "_write_shards", stop)
    with pytest.raises(KeyboardInterrupt):
        ask(photographs, tmp_path)
    monkeypatch.undo()
    assert ask([jpeg(7)], tmp_path).computed == 1  # which keeps what there is of the others
    assert ask(photographs, tmp_path).computed == 2


def test_damage_is_found_and_computed_again(tmp_path: Path) -> None:
    photographs = [jpeg(seed) for seed in range(3)]
    before = only(photographs, tmp_path)
    path = tmp_path / f"{LITE0}.h5"
    data = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        at = file["test"].id.get_chunk_info(0).byte_offset
    data[at + 40] ^= 1
    path.write_bytes(data)
    np.testing.assert_allclose(only(photographs, tmp_path), before, rtol=1e-5, atol=1e-6)


def test_other_recipes_and_data_sets_are_refused(tmp_path: Path, kaggle_folder: Path, twelve: Path) -> None:
    run(kaggle_folder, tmp_path / "features")
    with refused(StoreError, "holds the photographs of .*data. Choose another folder for vectors"):
        ask([jpeg(1)], tmp_path / "features")
    with refused(StoreError, "was written with weights"):
        ask([jpeg(1)], twelve, settings=Settings(weights_dir="random", batch_size=4))
    with refused(StoreError, "has only 0 of them"):
        run(kaggle_folder, twelve)
    with refused(UsageError, "in an object store"):
        ask([jpeg(1)], storage.place("memory://bucket/vectors"))


def test_a_second_process_waits_and_finds_what_the_first_computed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = f"""
        from pathlib import Path
        from tests.features.test_by_digest import ask, jpeg
        print(ask([jpeg(seed) for seed in range(5)], Path({str(tmp_path)!r})).computed)
    """
    with locks.hold(tmp_path / locks.LOCK_FILE):
        processes = [
            subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=-1, stderr=-1, text=True)
            for _ in range(2)
        ]
        for process in processes:
            assert process.stderr
            line = process.stderr.readline()
            assert f"process {os.getpid()} since" in line and "this one waits" in line
    answers = sorted(process.communicate()[0].strip() for process in processes)
    assert answers == ["0", "5"]
    assert ask([jpeg(seed) for seed in range(5)], tmp_path).computed == 0

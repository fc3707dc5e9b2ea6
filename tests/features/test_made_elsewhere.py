"""Vectors made elsewhere, joined to photographs by id and kept as a feature file."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from catsdogs.errors import DatasetError, StoreError, TrainingError
from catsdogs.features import feature_file, joining, made_elsewhere, vector_table
from catsdogs.features.feature_file import Features
from catsdogs.photographs import images
from catsdogs.photographs.dataset import scan
from tests.conftest import refused
from tests.support.datasets import write_kaggle_folder
from tests.support.features import table, write_features

TRAIN, TEST = ["cat.0", "cat.1", "cat.2", "cat.3"], ["1", "2"]


@pytest.fixture
def ours(tmp_path: Path) -> Features:
    return write_features(tmp_path / "features", table(TRAIN, TEST), width=3)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "features/file-theirs.h5"


def save(folder: Path, ids: list[str], vectors: np.ndarray, **columns: object) -> Path:
    np.savez(folder / "theirs.npz", id=ids, v=vectors, **columns)
    return folder / "theirs.npz"


def numbers(ids: list[str], offset: float = 0) -> np.ndarray:
    """A vector for each id that tells it from the others."""
    return np.array([[(images.digest(id.encode()) % 1000) + offset, len(id)] for id in ids], np.float64)


def test_rows_are_matched_by_id_in_any_order(tmp_path: Path, ours: Features, target: Path) -> None:
    ids = ["2", "cat.3", "cat.0", "1", "cat.2", "cat.1", "nobody", "cat.9"]
    taken = made_elsewhere.take(save(tmp_path, ids, numbers(ids)), target, ours)
    file = taken.features
    assert file.name == "file-theirs" and file.path == target
    for split, expected in (("train", TRAIN), ("test", TEST)):
        assert file.ids[split].tolist() == expected
        assert np.array_equal(file.vectors(split), numbers(expected).astype(np.float32))
        assert np.array_equal(file.digests[split], ours.digests[split])
    joining.check_joinable([ours, file])
    assert taken.notes[0].endswith("6 rows x 2, made elsewhere")
    assert "of no photograph here: 2 rows of" in taken.notes[1] and "nobody, cat.9" in taken.notes[1]


def test_the_recipe_says_where_the_vectors_come_from(tmp_path: Path, ours: Features, target: Path) -> None:
    source = save(tmp_path, [*TRAIN, *TEST], numbers([*TRAIN, *TEST]))
    recipe = made_elsewhere.take(source, target, ours).features.recipe
    assert recipe.is_made_elsewhere and recipe.engine == "made elsewhere"
    assert (recipe.weights, recipe.precision) == (vector_table.digest_of(source), "float64")
    assert not ours.recipe.is_made_elsewhere


def test_the_copy_stays_while_file_and_photographs_do(tmp_path: Path, ours: Features, target: Path) -> None:
    ids = [*TRAIN, *TEST]
    source = save(tmp_path, ids, numbers(ids))
    made_elsewhere.take(source, target, ours)
    before = target.stat()
    assert made_elsewhere.take(source, target, ours).notes == ()
    assert target.stat().st_mtime_ns == before.st_mtime_ns
    save(tmp_path, ids, numbers(ids, offset=1))  # other numbers
    changed = made_elsewhere.take(source, target, ours)
    assert changed.notes and np.array_equal(changed.features.vectors("test"), numbers(TEST, 1).astype(np.float32))
    fewer = write_features(tmp_path / "fewer", table(TRAIN[:2], TEST), width=3)
    assert made_elsewhere.take(source, target, fewer).features.ids["train"].tolist() == TRAIN[:2]
    target.write_bytes(target.read_bytes()[:700])  # a copy that is damaged is made again
    assert made_elsewhere.take(source, target, ours).features.ids["train"].tolist() == TRAIN


def test_a_photograph_without_a_vector_is_refused(tmp_path: Path, ours: Features, target: Path) -> None:
    source = save(tmp_path, ["cat.0.jpg", "cat.1", "1", "2"], numbers(["a", "b", "c", "d"]))
    with refused(StoreError, r"lacks 3 of the 6 .*: train/cat\.0, train/cat\.2, .*such as cat\.0\.jpg, cat\.1\."):
        made_elsewhere.take(source, target, ours)
    assert not target.exists()


def test_other_labels_are_refused(tmp_path: Path, ours: Features, target: Path) -> None:
    ids = [*TEST, *TRAIN]
    save(tmp_path, ids, numbers(ids), label=["", "b", "a", "b", "a", "b"])  # of a test row, nobody here knows
    made_elsewhere.take(tmp_path / "theirs.npz", target, ours)
    save(tmp_path, ids, numbers(ids), label=["", "", "b", "b", "a", "b"])
    with refused(StoreError, r"gives 1 photographs other labels .*: cat\.0 \(b, not a\)"):
        made_elsewhere.take(tmp_path / "theirs.npz", target, ours)
    save(tmp_path, ids, numbers(ids), label=np.arange(6))  # numbers of classes, in an order that nobody knows
    made_elsewhere.take(tmp_path / "theirs.npz", target, ours)


def test_ids_that_train_and_test_share_take_a_split(tmp_path: Path, target: Path) -> None:
    ours = write_features(tmp_path / "features", table(["1", "2"], ["1", "3"]), width=3)
    ids, splits = ["1", "3", "2", "1"], ["test", "train", "train", "train"]  # 3 was moved since, which does no harm
    file = made_elsewhere.take(save(tmp_path, ids, numbers(list("abcd")), split=splits), target, ours).features
    assert np.array_equal(file.vectors("train"), numbers(["d", "c"]).astype(np.float32))
    assert np.array_equal(file.vectors("test"), numbers(["a", "b"]).astype(np.float32))
    with refused(StoreError, r"train/1, test/1; .*\(train and test share ids, which takes a column split\)"):
        made_elsewhere.take(save(tmp_path, ["1", "2", "3"], numbers(list("abc"))), target, ours)


def test_a_data_set_gives_the_rows_where_no_network_has(tmp_path: Path, target: Path) -> None:
    dataset = scan(write_kaggle_folder(tmp_path / "data", cats=3, dogs=2, test=2))
    rows = made_elsewhere.rows_of(dataset)
    assert rows.ids["train"].tolist() == [row.id for row in dataset.of("train")]
    assert rows.digests["test"].tolist() == [images.digest(dataset.read(row)) for row in dataset.of("test")]
    ids = [row.id for row in dataset.photographs]
    file = made_elsewhere.take(save(tmp_path, ids, numbers(ids)), target, rows).features
    assert (file.classes, file.source, file.statistics) == (dataset.classes, str(dataset.root), {})
    assert feature_file.read_features(target).labels.tolist() == [row.label for row in dataset.of("train")]
    with h5py.File(target) as plain:
        assert plain["train"].shape == (5, 2)


def test_other_photographs_are_found_by_their_bytes(tmp_path: Path, target: Path) -> None:
    dataset = scan(write_kaggle_folder(tmp_path / "data", cats=3, dogs=2, test=2))
    ids = [row.id for row in dataset.photographs]
    copy = made_elsewhere.take(save(tmp_path, ids, numbers(ids)), target, made_elsewhere.rows_of(dataset)).features
    other = write_kaggle_folder(tmp_path / "other", cats=1, dogs=1, test=2)
    (other / "test/1.jpg").write_bytes((tmp_path / "data/train/cat.2.jpg").read_bytes())
    (other / "test/2.jpg").write_bytes(b"no picture")
    (other / "train/cat.0.jpg").write_bytes((tmp_path / "data/test/2.jpg").read_bytes())
    (other / "train/dog.0.jpg").write_bytes((tmp_path / "data/train/dog.1.jpg").read_bytes())
    rows = made_elsewhere.rows_of(scan(other), [copy])
    assert [(row.split, row.id) for row in rows.unreadable] == [("test", "2")]
    found = made_elsewhere.of_photographs(copy, rows, tmp_path / "cache/file-theirs.h5")
    assert np.array_equal(found.vectors("train"), numbers(["2", "dog.1"]).astype(np.float32))
    assert np.array_equal(found.vectors("test"), numbers(["cat.2"]).astype(np.float32))
    data = (other / "test/1.jpg").read_bytes()
    (other / "test/1.jpg").write_bytes(data + b"\0")  # the same id, other bytes
    with refused(TrainingError, r"file-theirs: vectors made elsewhere, .* none of 1 of these photographs: 1\."):
        made_elsewhere.rows_of(scan(other), [copy])


def test_a_data_set_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    data = write_kaggle_folder(tmp_path / "data", cats=1, dogs=1, test=1)
    dataset = scan(data)
    for path in data.rglob("*.jpg"):
        path.unlink()
    with refused(DatasetError, "Not one photograph"):
        made_elsewhere.rows_of(dataset)

"""Tables of vectors in Parquet, .npz and HDF5: read whatever their order and numbers, and refused in one line."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catsdogs.errors import MissingError, StoreError, UsageError
from catsdogs.features import feature_file, vector_table
from tests.conftest import refused
from tests.support.features import table, write_features

KINDS = (".parquet", ".npz", ".h5")
IDS = ["cat.0", "dog.1", "猫"]


def save(path: Path, **columns: Any) -> Path:
    """These columns as a notebook would save them."""
    if path.suffix == ".parquet":
        lists = {name: [*value] for name, value in columns.items()}
        pq.write_table(pa.table({name: pa.array(value) for name, value in lists.items()}), path)
    elif path.suffix == ".npz":
        np.savez(path, **columns)
    else:
        with h5py.File(path, "w") as file:
            for name, value in columns.items():
                is_text = np.asarray(value).dtype.kind in "OU"
                file.create_dataset(name, data=value, dtype=h5py.string_dtype() if is_text else None)
    return path


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "uint8"])
@pytest.mark.parametrize("suffix", KINDS)
def test_numbers_of_every_type_are_read(tmp_path: Path, suffix: str, dtype: str) -> None:
    vectors = np.arange(12).reshape(3, 4).astype(dtype)
    path = save(tmp_path / f"v{suffix}", id=IDS, embedding=vectors, split=["train", "train", "test"], text=["x"] * 3)
    got = vector_table.read(path)
    assert got.ids.tolist() == IDS and got.splits.tolist() == ["train", "train", "test"]
    assert got.vectors.dtype == np.float32 and np.array_equal(got.vectors, vectors)
    assert got.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (got.dtype, got.left_alone) == (dtype, ("text",))


@pytest.mark.parametrize("suffix", KINDS)
def test_whole_numbers_are_ids_and_numbered_columns_one_vector(tmp_path: Path, suffix: str) -> None:
    numbered = {f"f{place}": np.array([place, place + 0.5]) for place in reversed(range(11))}
    got = vector_table.read(save(tmp_path / f"v{suffix}", id=np.array([7, 12]), target=np.array([0, 1]), **numbered))
    assert got.ids.tolist() == ["7", "12"]
    assert got.vectors[0].tolist() == [float(place) for place in range(11)]  # f2 before f10, whatever their order
    assert got.left_alone == ("target",)  # a number that could be the answer is no part of a vector


@settings(max_examples=12)  # each writes feature files, which are synced to the disk
@given(st.data())
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    train = data.draw(st.lists(st.text("abc.-é", min_size=1, max_size=5), min_size=1, max_size=6, unique=True))
    test = data.draw(st.lists(st.text("abc.-é", min_size=1, max_size=5), max_size=6, unique=True))
    suffix, widths = (
        data.draw(st.sampled_from(KINDS[:2])),
        data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)),
    )
    folder = tmp_path_factory.mktemp("written")
    entries = table(train, test)
    files = [write_features(folder, entries, f"Net{number}", width) for number, width in enumerate(widths)]
    vector_table.write(folder / f"v{suffix}", files)
    got = vector_table.read(folder / f"v{suffix}")
    assert got.ids.tolist() == [*train, *test]
    assert got.splits.tolist() == ["train"] * len(train) + ["test"] * len(test)
    assert got.labels.tolist() == ["ab"[row % 2] for row in range(len(train))] + [""] * len(test)
    kept = [np.concatenate([file.vectors(split) for split in feature_file.SPLITS]) for file in files]
    assert np.array_equal(got.vectors, np.concatenate(kept, axis=1))


def test_pandas_and_numpy_read_what_is_written(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    file = write_features(tmp_path, table(["cat.0", "cat.1"], ["1"]), width=3)
    for suffix in KINDS[:2]:
        vector_table.write(tmp_path / f"v{suffix}", [file])
    frame = pandas.read_parquet(tmp_path / "v.parquet")
    assert list(frame.columns) == ["id", "split", "label", "ResNet50"] and frame["label"].isna().tolist()[-1]
    with np.load(tmp_path / "v.npz", allow_pickle=False) as arrays:
        assert np.array_equal(np.stack(frame["ResNet50"]), arrays["ResNet50"])
        assert arrays["label"].tolist() == ["a", "b", ""]


GOOD = np.ones((3, 2), np.float32)
BAD_NUMBER = np.array([[1, 2], [np.nan, 2], [1, 2]])


@pytest.mark.parametrize(
    ("suffix", "columns", "match"),
    [
        *((suffix, {"name": IDS, "v": GOOD}, "has no column id: it has name, v") for suffix in KINDS),
        *((suffix, {"id": ["a", "b", "a"], "v": GOOD}, "1 ids are there twice: a") for suffix in KINDS),
        *((suffix, {"id": ["a", "", "b"], "v": GOOD}, "1 rows have no id, the first is row 1") for suffix in KINDS),
        *((suffix, {"id": IDS, "v": BAD_NUMBER}, r"1 rows .* row 1 \(dog\.1\) holds NaN") for suffix in KINDS),
        *((suffix, {"id": IDS, "v": GOOD * np.float64(1e300)}, "3 rows are not .* float32 cannot") for suffix in KINDS),
        *((suffix, {"id": IDS, "target": np.ones(3)}, "has no vectors beside id") for suffix in KINDS),
        *((suffix, {"id": IDS, "f1": np.ones(3), "f3": np.ones(3)}, "has no vectors") for suffix in KINDS),
        *((suffix, {"id": np.ones(3), "v": GOOD}, "id holds no texts or whole numbers") for suffix in KINDS),
        *((suffix, {"id": IDS, "split": ["valid"] * 3, "v": GOOD}, "split holds valid") for suffix in KINDS),
        *((suffix, {"id": IDS, "v": GOOD[:2]}, "v has 2 rows, id 3") for suffix in KINDS[1:]),
        *((suffix, {"id": IDS, "label": ["x"], "v": GOOD}, "label has 1 rows, id 3") for suffix in KINDS[1:]),
        (".parquet", {"id": IDS, "v": [[1.0], [1.0, 2.0], [1.0]]}, "lists of different lengths: 1, 2"),
        (".parquet", {"id": IDS, "v": [[1.0], None, [1.0]]}, "lists of different lengths: 1, none"),
        (".parquet", {"id": IDS, "v": [[1.0], [None], [1.0]]}, "row 1 .* holds NaN, or nothing"),
        (".parquet", {"id": ["a", None, "b"], "v": GOOD}, "1 rows have no id"),
        (".npz", {"id": np.array(IDS, object), "v": GOOD}, "it holds pickled objects"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, suffix: str, columns: Any, match: str) -> None:
    path = save(tmp_path / f"v{suffix}", **columns)
    with refused(StoreError, rf"v\{suffix}.*{match}"):
        vector_table.read(path)


@pytest.mark.parametrize("suffix", KINDS)
def test_a_damaged_or_missing_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"v{suffix}", id=IDS, v=GOOD)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with refused(StoreError, rf"v\{suffix}.* cut short or damaged"):
        vector_table.read(path)
    path.unlink()
    with refused(MissingError, rf"No file of vectors .*v\{suffix}"):
        vector_table.read(path)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("id,f0\n")
    with refused(UsageError, r"v\.csv is no file of vectors .* \.parquet, \.npz, \.h5"):
        vector_table.read(tmp_path / "v.csv")
    np.save(tmp_path / "v", GOOD)
    (tmp_path / "v.npy").rename(tmp_path / "v.npz")
    with refused(StoreError, "is a single array"):
        vector_table.read(tmp_path / "v.npz")


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "v.parquet", id=IDS, v=GOOD)
    file = write_features(tmp_path, table(["cat.0"], ["1"]))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for use in (lambda: vector_table.read(path), lambda: vector_table.write(tmp_path / "w.parquet", [file])):
        with refused(UsageError, r"needs pyarrow, .* pip install 'catsdogs\[parquet\]'"):
            use()
    assert not (tmp_path / "w.parquet").exists()

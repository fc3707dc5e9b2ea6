"""Rows of several feature files, matched by id."""

import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catsdogs.errors import StoreError
from catsdogs.features import feature_file, joining, virtual
from catsdogs.features.cache import Cache, DigestedPhotograph
from catsdogs.features.feature_file import SPLITS
from tests.conftest import refused
from tests.support.features import opened, recipe, rows_of, table, write_features
from tests.support.memory import peak

TRAIN, TEST = [f"cat.{n}" for n in range(7)], [str(n) for n in range(1, 5)]


class TestJoined:
    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 999), test=st.integers(0, 5))
    def test_rows_are_matched_by_id(self, seed: int, test: int) -> None:
        entries = table(TRAIN, TEST[:test])
        shuffled = random.Random(seed).sample(entries, len(entries))
        with tempfile.TemporaryDirectory() as folder:
            files = [
                write_features(Path(folder), entries, "ResNet50", 3),
                write_features(Path(folder), shuffled, "Xception", 2),
            ]
            joining.check_joinable(files)
            for split in SPLITS:
                joined = joining.Joined(files, split).read()
                rows = [entry for entry in entries if entry.photograph.split == split]
                expected = [rows_of(rows, 3, "ResNet50").vector, rows_of(rows, 2, "Xception").vector]
                np.testing.assert_array_equal(joined, np.hstack(expected))

    @pytest.mark.parametrize("block", [1, 3, 7])
    @pytest.mark.parametrize("dtype", ["float32", "float16"])
    def test_rows_of_many_blocks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, dtype: str) -> None:
        monkeypatch.setattr(virtual, "_READ_BYTES", block * 5 * np.dtype(dtype).itemsize)
        entries = table(TRAIN, TEST)
        files = []
        for name, order in (("ResNet50", entries), ("Xception", entries[::-1])):
            cache = Cache(tmp_path, recipe(name, dtype=dtype))
            cache.write_shard(rows_of(entries, 5, name), "none")
            cache.assemble(order, ("a", "b"), [], "photographs")
            files.append(feature_file.read_features(cache.path))
        expected = [rows_of(entries[:7], 5, name).vector.astype(dtype) for name in ("ResNet50", "Xception")]
        joined = joining.Joined(files, "train").read()
        assert joined.dtype == np.float32
        np.testing.assert_array_equal(joined, np.hstack(expected))

        with opened(files[1].path) as h5:  # its rows stand the other way round
            h5["train"][1, 4] = np.nan
        with refused(StoreError, r"Xception\.h5: train row 1 \(cat\.5\) is not finite"):
            joining.Joined(files, "train").read()

    def test_a_file_that_was_replaced_meanwhile(self, tmp_path: Path) -> None:
        entries = table(TRAIN, TEST)
        files = [write_features(tmp_path, entries, name) for name in ("ResNet50", "Xception")]
        write_features(tmp_path, entries[1:], "Xception")
        with refused(StoreError, r"Xception\.h5: train has the shape \(6, 3\), not \(7, 3\)"):
            joining.Joined(files, "train").read()

    def test_memory_is_that_of_the_result(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(virtual, "_READ_BYTES", 50 * 3000 * 4)
        entries = table([str(n) for n in range(600)], [])
        for name, order in (("ResNet50", entries), ("Xception", entries[::-1])):
            write_features(tmp_path, order, name, width=3000)
        files = [feature_file.read_features(tmp_path / f"{name}.h5") for name in ("ResNet50", "Xception")]
        assert peak(lambda: joining.Joined(files, "train").read()) < 1.25 * len(entries) * 2 * 3000 * 4

    def test_different_rows_name_the_missing_ids_and_what_to_run(self, tmp_path: Path) -> None:
        more = write_features(tmp_path, table(TRAIN, TEST), "ResNet50")
        fewer = write_features(tmp_path, table(TRAIN, TEST[:2]), "Xception")
        for files in ([more, fewer], [fewer, more]):
            with refused(StoreError, r"Xception\.h5 lacks 2 test rows: 3, 4\. Run .*--backbones .*Xception"):
                joining.check_joinable(files)
            with refused(StoreError, "lacks 2 test rows"):
                joining.Joined(files, "test")

    def test_many_missing_ids_are_counted(self, tmp_path: Path) -> None:
        more = write_features(tmp_path, table([str(n) for n in range(2000)], []), "ResNet50")
        fewer = write_features(tmp_path, table(["0"], []), "Xception")
        with refused(StoreError, r"lacks 1,999 train rows: 1, 2, 3, 4, 5, …\."):
            joining.check_joinable([more, fewer])

    def test_changed_photographs_are_refused(self, tmp_path: Path) -> None:
        entries = table(TRAIN, TEST)
        changed = [
            DigestedPhotograph(row.photograph, row.digest + (row.key in ("test/2", "test/3"))) for row in entries
        ]
        files = [write_features(tmp_path, entries, "ResNet50"), write_features(tmp_path, changed, "Xception")]
        with refused(StoreError, r"2 and 1 other test photographs changed between .*ResNet50\.h5 and .*Xception\.h5"):
            joining.check_joinable(files)

    def test_other_labels_are_refused(self, tmp_path: Path) -> None:
        entries = table(TRAIN, TEST)
        files = [
            write_features(tmp_path, entries, "ResNet50"),
            write_features(tmp_path, entries, "Xception", classes=("b", "a")),
        ]
        with refused(StoreError, "give different labels"):
            joining.check_joinable(files)

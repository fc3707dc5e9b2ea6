"""Parts of a data set: photographs of some classes alone, and a share of each class held out as test rows."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import DatasetError, UnknownNameError, UsageError
from catsdogs.photographs import tfrecord_writer
from catsdogs.photographs.dataset import scan
from catsdogs.photographs.names import natural_key
from tests.conftest import refused
from tests.support.datasets import class_names, ids, write_empty, write_kaggle_folder, write_letters


class TestClasses:
    def test_others_are_left_out(self, tmp_path: Path) -> None:
        root = write_letters(tmp_path, {"a": 2, "b": 1, "c": 1})
        dataset = scan(root, classes=("c", "a", "c"))
        assert dataset.classes == ("a", "c")
        assert class_names(dataset) == {"a/0": "a", "a/1": "a", "c/0": "c"}
        assert ids(dataset, "test") == ["1", "2"] and {row.label for row in dataset.of("test")} == {-1}
        assert dataset.sample_submission is None  # it asks for the others, too

    def test_all_are_what_there_was(self, tmp_path: Path) -> None:
        root = write_letters(tmp_path, {"a": 2, "b": 1})
        assert scan(root, classes=["b", "a"]) == scan(root) == scan(root, classes=[])
        assert scan(root).truth == {}

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        with refused(UnknownNameError, "No class is called 'A'. Choose from: a, b"):
            scan(write_letters(tmp_path, {"a": 2, "b": 1}), classes=["a", "A"])


class TestHoldout:
    @given(
        counts=st.dictionaries(st.sampled_from("abcd"), st.integers(2, 30), min_size=2),
        share=st.sampled_from([0.01, 0.15, 0.3, 0.5]),
        seed=st.integers(0, 3),
    )
    def test_each_class_gives_its_share(self, counts: dict[str, int], share: float, seed: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = write_letters(Path(folder), counts)
            whole, dataset = scan(root), scan(root, holdout=share, seed=seed)
        expected = {name: max(1, round(share * count)) for name, count in counts.items()}
        assert Counter(dataset.truth.values()) == expected
        assert class_names(dataset) | dataset.truth == class_names(whole)
        assert ids(dataset, "test") == sorted(dataset.truth, key=natural_key)
        assert {row.label for row in dataset.of("test")} == {-1}
        assert not dataset.truth.keys() & class_names(dataset)
        assert (dataset.classes, dataset.sample_submission) == (whole.classes, None)

    def test_photographs_stay_what_they_are(self, tmp_path: Path) -> None:
        root = write_kaggle_folder(tmp_path)
        dataset = scan(root, holdout=0.25)
        for id in dataset.truth:
            assert dataset.read(dataset.by_key["test", id]) == (root / f"train/{id}.jpg").read_bytes()

    def test_it_follows_from_ids_and_seed(self, tmp_path: Path) -> None:
        one = write_letters(tmp_path / "one", {"a": 30, "b": 30})
        other = tmp_path / "other"
        write_empty(other, [f"{name}/{number}.png" for number in range(30) for name in "cba"])
        truth = scan(one, holdout=0.2).truth
        assert truth == scan(one, holdout=0.2, seed=2018).truth == scan(other, ["a", "b"], 0.2).truth
        assert truth != scan(one, holdout=0.2, seed=1).truth
        assert truth.items() < scan(one, holdout=0.3).truth.items()

    @pytest.mark.parametrize("share", [-0.1, 1, 1.5, float("nan"), float("inf")])
    def test_what_is_no_share(self, tmp_path: Path, share: float) -> None:
        with refused(UsageError, "is no share of photographs. Give one between 0 and 1"):
            scan(tmp_path, holdout=share)

    @pytest.mark.parametrize(("counts", "share"), [({"a": 1, "b": 9}, 0.1), ({"a": 4, "b": 9}, 0.9)])
    def test_a_class_that_would_be_gone(self, tmp_path: Path, counts: dict[str, int], share: float) -> None:
        with refused(DatasetError, f"leaves none of the {counts['a']} photographs of a to learn from"):
            scan(write_letters(tmp_path, counts), holdout=share)

    def test_copies_stay_on_one_side(self, tmp_path: Path) -> None:
        """Of one class or of two, in whatever they lie; a larger share still holds out the same ones and more."""
        for layout in ("folder", "zip", "TFRecord files"):
            root = write_kaggle_folder(tmp_path / layout, cats=20, dogs=20)
            groups = [(f"cat.{n}", f"cat.{n + 8}", f"dog.{n}") for n in range(4)] + [("dog.8", "dog.9")]
            for first, *others in groups:
                for other in others:
                    (root / f"train/{other}.jpg").write_bytes((root / f"train/{first}.jpg").read_bytes())
            if layout == "zip":
                root = Path(shutil.make_archive(f"{root}", "zip", root))
            elif layout == "TFRecord files":
                tfrecord_writer.write_record_files(scan(root), tmp_path / "records", count=3)
                root = tmp_path / "records"
            seen = set()
            for seed in range(8):
                truth, more = (scan(root, holdout=share, seed=seed).truth for share in (0.2, 0.4))
                assert truth.items() < more.items()
                for held_out in (truth, more):
                    assert all(len(held_out.keys() & set(group)) in (0, len(group)) for group in groups)
                assert 4 <= list(truth.values()).count("cat") <= 4 + 8
                seen |= truth.keys()
            assert seen & {id for group in groups for id in group}

    def test_nothing_to_hold_out(self, tmp_path: Path) -> None:
        with refused(DatasetError, "no labelled photographs to hold out"):
            scan(write_empty(tmp_path, ["test/1.jpg"]), holdout=0.5)

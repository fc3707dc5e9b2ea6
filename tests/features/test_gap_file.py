"""Old notebooks' feature files."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from catsdogs.errors import StoreError
from catsdogs.features import feature_file, gap_file, joining
from catsdogs.features.cache import DigestedPhotograph
from catsdogs.photographs.dataset import Dataset
from tests.conftest import refused
from tests.support.features import opened, write_features


class TestGapFiles:
    """Files of old notebooks hold `train`, `test` and `label`, in the order of Keras's directory iterator."""

    @pytest.fixture
    def dataset(self, make_dataset) -> Dataset:
        return make_dataset(cats=11, dogs=3, test=12)

    @staticmethod
    def write(path: Path, labels: np.ndarray, test: int) -> Path:
        with h5py.File(path, "w") as h5:
            h5["train"] = np.arange(len(labels) * 2, dtype=np.float32).reshape(-1, 2)
            h5["test"] = np.arange(test * 2, dtype=np.float32).reshape(-1, 2)
            h5["label"] = labels
        return path

    def test_rows_get_their_ids_from_the_data_set(self, tmp_path: Path, dataset: Dataset) -> None:
        labels = np.repeat([0, 1], [11, 3])
        path = self.write(tmp_path / "gap_ResNet50.h5", labels, 12)
        assert gap_file.is_gap_file(path)
        got = gap_file.read_gap_file(path, dataset)
        cats = ["cat.0", "cat.1", "cat.10", *(f"cat.{n}" for n in range(2, 10))]
        assert got.ids["train"].tolist() == [*cats, "dog.0", "dog.1", "dog.2"]
        assert got.ids["test"].tolist() == ["1", "10", "11", "12", *(str(n) for n in range(2, 10))]
        assert got.labels.tolist() == labels.tolist()
        assert (got.name, got.width, got.classes) == ("gap_ResNet50", 2, ("cat", "dog"))
        assert got.vectors("test")[1].tolist() == [2, 3]

    def test_it_joins_a_file_of_ours(self, tmp_path: Path, dataset: Dataset) -> None:
        old = gap_file.read_gap_file(self.write(tmp_path / "gap_X.h5", np.repeat([0, 1], [11, 3]), 12), dataset)
        entries = [DigestedPhotograph(photograph, 1) for photograph in dataset.photographs]
        ours = write_features(tmp_path, entries, classes=dataset.classes)
        joining.check_joinable([ours, old])
        ids, joined = ours.ids["test"], joining.Joined([ours, old], "test").read()
        assert joined[ids.tolist().index("10"), -2:].tolist() == [2, 3]

    @pytest.mark.parametrize("shape", [(14,), (14, 2, 1), (14, 3)])
    def test_other_shapes(self, tmp_path: Path, dataset: Dataset, shape: tuple[int, ...]) -> None:
        path = self.write(tmp_path / "gap_X.h5", np.repeat([0, 1], [11, 3]), 12)
        with opened(path) as h5:
            del h5["train"]
            h5["train"] = np.zeros(shape)
        with refused(StoreError, r"gap_X\.h5: train and test have the shapes .* Write it again with what wrote it"):
            gap_file.read_gap_file(path, dataset)

    def test_wrong_data_sets(self, tmp_path: Path, dataset: Dataset) -> None:
        path = self.write(tmp_path / "gap_X.h5", np.repeat([0, 1], [11, 3]), 12)
        with refused(StoreError, r"gap_X\.h5 has no ids\. Give --data"):
            feature_file.read_features(path)
        for labels, test, problem in (
            (np.repeat([0, 1], [11, 4]), 12, "train has 15 rows, .* has 14 photographs"),
            (np.repeat([0, 1], [11, 3]), 13, "test has 13 rows, .* has 12 photographs"),
            (np.repeat([0, 1], [10, 4]), 12, "label does not fit"),
            (np.repeat([1, 0], [11, 3]), 12, "label does not fit"),
        ):
            with refused(StoreError, problem):
                gap_file.read_gap_file(self.write(path, labels, test), dataset)

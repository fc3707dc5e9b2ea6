"""The rows of feature files side by side: against the files themselves, and what cannot be asked."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

import catsdogs as cd
from catsdogs.errors import StoreError, UnknownNameError, UsageError
from tests.conftest import refused
from tests.support.front import LITE0


def test_rows_are_those_of_the_file(inside: Path) -> None:
    features = cd.load("features")
    with h5py.File(f"features/{LITE0}.h5") as file:
        assert np.array_equal(features.X, file["train"][...]) and np.array_equal(features.X_test, file["test"][...])
        assert features.ids.tolist() == file["train_id"].asstr()[...].tolist()
        assert np.array_equal(features.y, file["label"][...])
    assert features.classes == ("cat", "dog") and features.rows == {"train": 16, "test": 4}
    assert [id.split(".")[0] for id in features.ids] == features.labels.tolist()
    assert features.task == cd.look("pets") and features.backbones == [LITE0] and features.folder == Path("features")


def test_a_frame_has_ids_for_an_index(inside: Path) -> None:
    features = cd.load("features")
    frame = features.frame()
    assert frame.index.tolist() == features.ids.tolist() and frame["label"].tolist() == features.labels.tolist()
    assert np.array_equal(frame.drop(columns="label").to_numpy(), features.X)
    assert features.frame("test").shape == (4, 1280)
    with refused(UsageError, "There is no split 'valid'"):
        features.frame("valid")


def test_it_shows_itself(inside: Path) -> None:
    features = cd.load("features")
    assert repr(features) == f"<Features {LITE0}: 16 train + 4 test rows x 1,280, classes cat, dog>"
    assert re.search(f">{LITE0}</td><td[^>]*>1,280</td>", features._repr_html_())


@pytest.mark.parametrize(
    ("folder", "names", "kind", "match"),
    [
        ("gone", None, StoreError, "gone holds no feature files"),
        ("features", "Nought", UnknownNameError, "No backbone or feature file is called 'Nought'"),
        ("features", ["Xception"], StoreError, "No feature file features/Xception.h5"),
        ("features", [], UsageError, "No network is named"),
    ],
)
def test_what_cannot_be_loaded(inside: Path, folder: str, names: object, kind: type, match: str) -> None:
    with refused(kind, match):
        cd.load(folder, names)  # type: ignore[arg-type]

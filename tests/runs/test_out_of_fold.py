"""The out-of-fold table held against its run: a sound one is read, and any other refused in its row."""

from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import TrainingError
from catsdogs.runs import out_of_fold, run_card
from catsdogs.scoring import training_plan
from tests.conftest import refused
from tests.faults import mutation, specimens
from tests.support.runs import features, train


def read(folder: Path, table: bytes) -> tuple[np.ndarray, np.ndarray]:
    (folder / "oof.csv").write_bytes(table)
    return out_of_fold.read_out_of_fold(folder, specimens.run(), specimens.features())


def test_a_sound_table_is_read(tmp_path: Path) -> None:
    probabilities, folds = read(tmp_path, specimens.OUT_OF_FOLD)
    np.testing.assert_allclose(probabilities, [[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
    assert folds.tolist() == [0, 1, 0, 1]


SURE = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

class Sure(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        last = np.resize([1 - 1e-14, 1e-14, 1 - 2**-53, 1e-300, 5e-324, 0.0, 1.0, 0.1 + 0.2, 1 / 3], len(X))
        others = np.tile(((1 - last) / (len(self.classes_) - 1))[:, np.newaxis], len(self.classes_) - 1)
        return np.hstack((others, last[:, np.newaxis]))
"""


@pytest.mark.parametrize("classes", [("ape", "bee"), ("ape", "bee", "cow")], ids=len)
def test_every_number_comes_back_as_it_was(tmp_path: Path, classes: tuple[str, ...]) -> None:
    head = tmp_path / "sure.py"
    head.write_text(SURE)
    file = features(tmp_path, classes=classes)
    run = train([file], tmp_path, head=str(head))
    expected = training_plan.out_of_fold([file], run_card.plan_of(run)).predictions
    read = out_of_fold.read_out_of_fold(tmp_path / "run", run, file)[0]
    judged = slice(1, None) if len(classes) == 2 else slice(None)  # of two classes one is written
    assert np.array_equal(read[:, judged], expected[:, judged])


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("cat.0,cat,0.1,1", f"cat.0,cat,0.1,{'6' * 100}", "row 2: .*too large"),  # more than an array's integers hold
        ("cat.0,cat,0.1,1", f"cat.0,cat,0.1,{'6' * 5000}", "row 2: Exceeds the limit"),  # than Python reads
        ("cat.0,cat,0.1,1", "cat.0,cat,0.1,-1", "row 2: the fold -1"),
        ("cat.0,cat,0.1,1", "cat.0,cat,1e999,1", "row 2: what are no probabilities"),
        ("cat.0,cat,0.1,1", "cat.0,cat,nan,1", "row 2: what are no probabilities"),
        ("cat.0,cat", "cat.0,dog", "row 2: the label 'dog'"),
        ("cat.0,cat", "cat\0,cat", "row 2: the id"),
    ],
)
def test_rows_that_cannot_be(tmp_path: Path, old: str, new: str, reason: str) -> None:
    with refused(TrainingError, reason):
        read(tmp_path, specimens.OUT_OF_FOLD.replace(old.encode(), new.encode()))


@pytest.mark.parametrize("seed", range(3))
def test_spoilt_tables_are_refused_or_read(tmp_path: Path, seed: int) -> None:
    for _, _, table in mutation.spoilt([specimens.OUT_OF_FOLD], 60, seed):
        try:
            probabilities, folds = read(tmp_path, table)
        except TrainingError as error:
            assert "\n" not in str(error)
            continue
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        assert set(folds.tolist()) == {0, 1}

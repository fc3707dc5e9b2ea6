"""What is written for each kind of answer, in the sample's form; checked, read back and graded."""

import math
from pathlib import Path

import numpy as np
import pytest

from catsdogs.competition import grading, submission
from catsdogs.errors import SubmissionError
from catsdogs.photographs.task import BEST_K, BINARY, CLASSES, NAME, PROBABILITIES, PROBABILITY, Task
from tests.conftest import refused

CLASSES_ABC = ("a", "b", "c")
P = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.05, 0.05, 0.9]])
IDS = ["1.jpg", "2.jpg", "3.jpg"]


def written(path: Path, sample: str, task: Task, classes: tuple[str, ...] = CLASSES_ABC, p: np.ndarray = P) -> str:
    submission.write_submission(path, IDS, p, classes, sample, {"gone.jpg": (0.2, 0.5, 0.3)[: len(classes)]}, task=task)
    assert submission.check_submission(path, sample, classes, (), task) == 4
    return path.read_text()


def sample_of(header: str, cell: str) -> str:
    return header + "\n" + "".join(f"{id}{cell}\n" for id in ("2.jpg", "gone.jpg", "1.jpg", "3.jpg"))


def test_names(tmp_path: Path) -> None:
    task = Task(CLASSES, NAME, "image_id", targets=("label",), metric="accuracy")
    text = written(tmp_path / "s.csv", sample_of("image_id,label", ",c"), task)
    assert text == "image_id,label\n2.jpg,a\ngone.jpg,b\n1.jpg,b\n3.jpg,c\n"
    (tmp_path / "truth.csv").write_text("image_id,label\n1.jpg,b\n2.jpg,b\n3.jpg,c\ngone.jpg,unheard-of\n")
    grade = grading.grade_submission(tmp_path / "s.csv", tmp_path / "truth.csv", CLASSES_ABC, task=task)
    assert (grade.metric, grade.value, grade.accuracy) == ("accuracy", 0.5, 0.5) and math.isnan(grade.log_loss)
    assert str(grade).startswith("accuracy 0.50000 ± ") and "log loss" not in str(grade)


def test_the_best_names(tmp_path: Path) -> None:
    task = Task(CLASSES, BEST_K, "Image", targets=("Id",), best=2, metric="map@2")
    text = written(tmp_path / "s.csv", sample_of("Image,Id", ",a b"), task)
    assert text == "Image,Id\n2.jpg,a c\ngone.jpg,b c\n1.jpg,b c\n3.jpg,c a\n"
    (tmp_path / "truth.csv").write_text("Image,Id\n1.jpg,b\n2.jpg,c\n3.jpg,b\ngone.jpg,b\n")
    grade = grading.grade_submission(tmp_path / "s.csv", tmp_path / "truth.csv", CLASSES_ABC, task=task)
    assert grade.value == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    ids, shares = submission.read_submission(tmp_path / "s.csv", CLASSES_ABC, task=task)
    assert ids == ["2.jpg", "gone.jpg", "1.jpg", "3.jpg"] and shares[0].argsort()[::-1][:2].tolist() == [0, 2]


def test_the_id_column_stays_where_it_is_and_an_index_is_left_out(tmp_path: Path) -> None:
    task = Task(CLASSES, NAME, "Id", targets=("Category",), metric="accuracy")
    rows = "".join(f"{n},a,{id}\n" for n, id in enumerate(("2.jpg", "gone.jpg", "1.jpg", "3.jpg")))
    text = written(tmp_path / "s.csv", f",Category,Id\n{rows}", task)
    assert text == "Category,Id\na,2.jpg\nb,gone.jpg\nb,1.jpg\nc,3.jpg\n"


def test_columns_of_classes_in_the_samples_order(tmp_path: Path) -> None:
    task = Task(CLASSES, PROBABILITIES, "img", targets=("c", "a", "b"))
    text = written(tmp_path / "s.csv", sample_of("img,c,a,b", ",0.3,0.3,0.4"), task)
    assert text.splitlines()[:2] == ["img,c,a,b", "2.jpg,0.3,0.5,0.2"]
    (tmp_path / "truth.csv").write_text("img,c,a,b\n1.jpg,0,0,1\n2.jpg,0,1,0\n3.jpg,1,0,0\ngone.jpg,0,0,1\n")
    grade = grading.grade_submission(tmp_path / "s.csv", tmp_path / "truth.csv", CLASSES_ABC, task=task)
    assert grade.accuracy == 1 and grade.log_loss == pytest.approx(-np.log([0.7, 0.5, 0.9, 0.5]).mean())


def test_the_probability_of_the_positive_class(tmp_path: Path) -> None:
    pairs = np.array([[0.25, 0.75], [0.5, 0.5], [1e-7, 1 - 1e-7]])
    sample = sample_of("id,target", ",0")
    for positive, first in (("b", "0.75"), ("a", "0.25")):
        task = Task(BINARY, PROBABILITY, "id", targets=("target",), positive=positive)
        assert f"1.jpg,{first}\n" in written(tmp_path / "s.csv", sample, task, ("a", "b"), pairs)
        (tmp_path / "truth.csv").write_text("id,target\n1.jpg,1\n2.jpg,0\n3.jpg,1\ngone.jpg,1\n")
        grade = grading.grade_submission(tmp_path / "s.csv", tmp_path / "truth.csv", ("a", "b"), task=task)
        assert (grade.log_loss < 0.5) == (positive == "b")


def test_ranks_have_no_ties(tmp_path: Path) -> None:
    task = Task(BINARY, PROBABILITY, "id", targets=("target",), positive="b", metric="auc")
    nearly = np.array([[1e-20, 1.0], [1e-25, 1.0], [0.5, 0.5]])
    text = written(tmp_path / "s.csv", sample_of("id,target", ",0"), task, ("a", "b"), nearly)
    values = dict(line.split(",") for line in text.splitlines()[1:])
    assert float(values["3.jpg"]) < float(values["1.jpg"]) < float(values["2.jpg"]) < 1


@pytest.mark.parametrize(
    ("task", "cell", "said"),
    [
        (Task(CLASSES, NAME, "id", metric="accuracy"), "d", "'d' is not the name of a class"),
        (Task(CLASSES, BEST_K, "id", best=2, metric="map@2"), "a b c", "'a b c' is not the names of at most 2 classes"),
        (Task(CLASSES, BEST_K, "id", best=2, metric="map@2"), "a a", "'a a' is not the names of at most 2 classes"),
        (Task(BINARY, PROBABILITY, "id", positive="b", metric="auc"), "1.5", "'1.5' for 1.jpg is not a probability"),
    ],
)
def test_what_kaggle_would_reject(tmp_path: Path, task: Task, cell: str, said: str) -> None:
    (tmp_path / "s.csv").write_text(f"id,label\n1.jpg,{cell}\n")
    with refused(SubmissionError, f"row 2: {said}"):
        submission.check_submission(tmp_path / "s.csv", None, CLASSES_ABC[: 2 + (task.kind == CLASSES)], (), task)


def test_other_columns_than_the_sample(tmp_path: Path) -> None:
    task = Task(CLASSES, NAME, "id", metric="accuracy")
    (tmp_path / "s.csv").write_text("id,species\n1.jpg,a\n")
    with refused(SubmissionError, "has the columns id, species, the sample submission id, label"):
        submission.check_submission(tmp_path / "s.csv", "id,label\n1.jpg,a\n", CLASSES_ABC, (), task)


def test_of_probabilities_macro_f1_judges_the_likelier_class_as_train_does(tmp_path: Path) -> None:
    """Other names would gain more, but it is the competition that names them."""
    task = Task(CLASSES, PROBABILITIES, "id", targets=CLASSES_ABC, metric="f1-macro")
    close = np.array([[0.5, 0.49, 0.01], [0.5, 0.49, 0.01], [0.02, 0.03, 0.95]])
    ids = "".join(f"{id},0,0,0\n" for id in IDS)
    submission.write_submission(tmp_path / "s.csv", IDS, close, CLASSES_ABC, f"id,a,b,c\n{ids}", {}, task=task)
    (tmp_path / "truth.csv").write_text("id,label\n1.jpg,a\n2.jpg,b\n3.jpg,c\n")
    grade = grading.grade_submission(tmp_path / "s.csv", tmp_path / "truth.csv", CLASSES_ABC, task=task)
    assert grade.value == pytest.approx((2 / 3 + 0 + 1) / 3)

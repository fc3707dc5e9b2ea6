"""The teacher's table is matched to the photographs by id and digest, never by order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import TrainingError
from catsdogs.features.feature_file import Features
from catsdogs.networks.quiet import importing_keras
from catsdogs.photographs.dataset import Dataset, Location, Photograph
from tests.conftest import refused, table, write_features

with importing_keras():
    from catsdogs.finetuning.distillation import lesson_of_teacher
    from catsdogs.finetuning.lesson import Lesson

IDS = ["a", "b", "c", "d"]
PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])
FOLD = np.array([0, 1, 1, 0])


@pytest.fixture
def first(tmp_path: Path) -> Features:
    return write_features(tmp_path, table(IDS, []))


def lesson_of(first: Features, rows: list[int]) -> Lesson:
    photographs = [Photograph(IDS[row], "train", row % 2, Location(Path("data"), IDS[row])) for row in rows]
    dataset = Dataset(Path("data"), first.classes, tuple(photographs))
    digests = first.digests["train"][rows]
    none = np.empty(0, np.int64)
    return Lesson(dataset, photographs, [], digests, np.array(rows) % 2, none, np.zeros(len(rows), np.int64), ())


def test_rows_follow_ids(first: Features) -> None:
    student, soft = lesson_of_teacher(lesson_of(first, [2, 0, 3]), first, PROBABILITIES, FOLD)
    assert soft.tolist() == PROBABILITIES[[2, 0, 3]].tolist() and student.folds.tolist() == [2, 1, 1]


def test_a_photograph_that_changed_is_refused(first: Features) -> None:
    student = lesson_of(first, [0, 1])
    with refused(TrainingError, "1 of these photographs as they are now, such as b"):
        lesson_of_teacher(
            replace(student, digests=student.digests + np.array([0, 1], np.uint64)), first, PROBABILITIES, FOLD
        )


def test_other_classes_are_refused(first: Features) -> None:
    student = lesson_of(first, [0, 1])
    other = replace(student, dataset=replace(student.dataset, classes=("x", "y")))
    with refused(TrainingError, "knows the classes a, b, not x, y"):
        lesson_of_teacher(other, first, PROBABILITIES, FOLD)

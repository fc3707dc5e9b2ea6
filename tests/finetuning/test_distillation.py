"""Distillation: the teacher's table is matched by id and digest, never by order, and the loss is the paper's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from catsdogs.errors import TrainingError
from catsdogs.features.feature_file import Features
from catsdogs.networks.quiet import importing_keras
from catsdogs.photographs.dataset import Dataset, Location, Photograph
from tests.conftest import refused
from tests.support.features import table, write_features

with importing_keras():
    import keras

    from catsdogs.finetuning import distillation
    from catsdogs.finetuning.distillation import DistillationLoss, lesson_of_teacher
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
    labels, folds, pictures = np.array(rows) % 2, np.zeros(len(rows), np.int64), np.arange(len(rows))
    return Lesson(dataset, photographs, [], digests, labels, none, folds, (), pictures)


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


logits = arrays(np.float64, (4, 3), elements=st.floats(-6, 6))


@settings(max_examples=30, deadline=None)
@given(logits, logits, st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_distillation_is_hintons_sum(student: np.ndarray, teacher: np.ndarray, labels: list[int]) -> None:
    """Both cross-entropies from the logits themselves, divided by the temperature, as the paper writes them."""
    temperature, share = distillation.TEMPERATURE, distillation.TEACHER_SHARE
    hard = np.eye(3)[labels]
    soft = -(softmax(teacher / temperature, axis=1) * np.log(softmax(student / temperature, axis=1))).sum(axis=1)
    plain = -(hard * np.log(softmax(student, axis=1))).sum(axis=1)
    expected = share * temperature**2 * soft + (1 - share) * plain
    packed = np.hstack((hard, softmax(teacher, axis=1))).astype(np.float32)
    loss = DistillationLoss(keras.losses.CategoricalCrossentropy(), 3)
    found = keras.ops.convert_to_numpy(loss.call(packed, softmax(student, axis=1).astype(np.float32)))
    assert found == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_the_student_who_says_what_both_say_has_the_least_loss() -> None:
    teacher = np.array([[0.8, 0.2]], np.float32)
    packed = np.hstack(([[1.0, 0.0]], teacher)).astype(np.float32)
    loss = DistillationLoss(keras.losses.CategoricalCrossentropy(), 2)
    probabilities = np.linspace(0.02, 0.98, 97)
    losses = [float(loss.call(packed, np.array([[p, 1 - p]], np.float32))[0]) for p in probabilities]
    assert 0.8 < probabilities[int(np.argmin(losses))] < 0.9  # between the teacher and the label, near the teacher

"""Objectives: the loss of distillation against its formula, what is measured, and the predictions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from catsdogs.networks.quiet import importing_keras

with importing_keras():
    import keras

    from catsdogs.finetuning import distillation, objectives
    from catsdogs.finetuning.distillation import DistillationLoss
    from catsdogs.finetuning.hyperparameters import complete_hyperparameters
    from catsdogs.finetuning.objectives import Classification, SameClass

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


def test_measures_are_of_the_labels_whatever_the_teacher_says() -> None:
    labels = np.array([0, 1, 1])
    teacher = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)
    for task in (Classification(labels, 2), Classification(labels, 2, teacher)):
        packed = np.hstack((np.eye(2)[labels], teacher)).astype(np.float32)
        measured = {name: np.asarray(metric(packed, probabilities)) for name, metric in task.metrics().items()}
        assert measured["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.4]), rel=1e-5)
        assert measured["accuracy"].tolist() == [1, 1, 0]


class Flat:
    """Pictures of one grey: even rows dark, odd rows bright."""

    def read(self, rows: np.ndarray) -> np.ndarray:
        return np.full((len(rows), 32, 32, 3), (np.asarray(rows) % 2 * 200)[:, None, None, None], np.uint8)

    def of(self, rows: np.ndarray) -> "Flat":
        assert (rows == np.arange(len(rows))).all()
        return self


def test_answers_are_those_of_the_rows_asked_for() -> None:
    labels = np.arange(11) % 2
    image = keras.Input((32, 32, 3))
    bright = keras.layers.GlobalAveragePooling2D()(image)[:, :1] / 255
    model = keras.Model(image, keras.ops.concatenate((1 - bright, bright), axis=1))
    rows = np.array([3, 4, 8, 9, 1])
    predictions = Classification(labels, 2).predict(model, Flat(), rows, batch_size=4)  # type: ignore[arg-type]
    assert predictions.labels.tolist() == [1, 0, 0, 1, 1]
    assert (
        predictions.probabilities.argmax(axis=1) == predictions.labels
    ).all() and predictions.probabilities.shape == (5, 2)


def test_answers_about_pairs_are_the_same_each_time() -> None:
    task = SameClass(np.arange(10) % 2)
    settings = complete_hyperparameters("siamese-cnn", input_size=32)
    _, model = task.build_model(settings, None, seed=1)
    first = task.predict(model, Flat(), np.arange(10), batch_size=4)  # type: ignore[arg-type]
    again = task.predict(model, Flat(), np.arange(10), batch_size=3)  # type: ignore[arg-type]
    assert first.labels.tolist() == again.labels.tolist() and 0 < first.labels.sum() < 10
    assert first.probabilities == pytest.approx(again.probabilities, abs=1e-5)
    assert first.probabilities.sum(axis=1) == pytest.approx(np.ones(10))


def test_who_learns_from_pairs() -> None:
    labels = np.array([0, 1])
    assert isinstance(objectives.choose_objective(complete_hyperparameters("siamese-cnn"), labels, 2), SameClass)
    assert isinstance(objectives.choose_objective(complete_hyperparameters("four-conv"), labels, 2), Classification)

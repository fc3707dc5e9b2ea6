"""Objectives: what is measured, and the predictions."""

from dataclasses import replace

import numpy as np
import pytest

from catsdogs.networks.quiet import importing_keras

with importing_keras():
    import keras

    from catsdogs.finetuning import fit
    from catsdogs.finetuning.hyperparameters import complete_hyperparameters
    from catsdogs.finetuning.objectives import Classification, SameClass


def test_measures_are_of_the_labels_whatever_the_teacher_says() -> None:
    labels = np.array([0, 1, 1])
    teacher = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)
    settings = complete_hyperparameters("four-conv")
    for task in (Classification(settings, labels, 2), Classification(settings, labels, 2, teacher)):
        packed = np.hstack((np.eye(2)[labels], teacher)).astype(np.float32)
        measured = {name: np.asarray(metric(packed, probabilities)) for name, metric in task.metrics().items()}
        assert measured["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.4]), rel=1e-5)
        assert measured["accuracy"].tolist() == [1, 1, 0]


class Flat:
    """Pictures of one grey: even rows dark, odd rows bright."""

    def __init__(self, rows: np.ndarray | None = None) -> None:
        self.rows = np.arange(99) if rows is None else rows

    def read(self, rows: np.ndarray) -> np.ndarray:
        return np.full((len(rows), 32, 32, 3), (self.rows[rows] % 2 * 200)[:, None, None, None], np.uint8)

    def of(self, rows: np.ndarray) -> "Flat":
        return Flat(self.rows[rows])


def test_answers_are_those_of_the_rows_asked_for() -> None:
    labels = np.arange(11) % 2
    image = keras.Input((32, 32, 3))
    bright = keras.layers.GlobalAveragePooling2D()(image)[:, :1] / 255
    model = keras.Model(image, keras.ops.concatenate((1 - bright, bright), axis=1))
    rows = np.array([3, 4, 8, 9, 1])
    settings = complete_hyperparameters("four-conv", batch_size=4)
    predictions = Classification(settings, labels, 2).predict(model, Flat(), rows)  # type: ignore[arg-type]
    assert predictions.labels.tolist() == [1, 0, 0, 1, 1]
    assert (
        predictions.probabilities.argmax(axis=1) == predictions.labels
    ).all() and predictions.probabilities.shape == (5, 2)


def test_answers_about_pairs_are_the_same_each_time() -> None:
    settings, labels = complete_hyperparameters("siamese-cnn", input_size=32, batch_size=4), np.arange(10) % 2
    objective = SameClass(settings, labels, 2)
    _, model = fit.build_model(settings, None, 2, seed=1)
    first = objective.predict(model, Flat(), np.arange(10))  # type: ignore[arg-type]
    again = SameClass(replace(settings, batch_size=3), labels, 2).predict(model, Flat(), np.arange(10))  # type: ignore[arg-type]
    assert first.labels.tolist() == again.labels.tolist() and 0 < first.labels.sum() < 10
    assert first.probabilities == pytest.approx(again.probabilities, abs=1e-5)
    assert first.probabilities.sum(axis=1) == pytest.approx(np.ones(10))

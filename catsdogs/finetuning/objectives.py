"""What a network learns: the class of a photograph, from a teacher too, or whether two show the same class."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from catsdogs.features.joining import Rows
from catsdogs.features.scaling import Labels
from catsdogs.finetuning import optimisation
from catsdogs.finetuning.augmentation import Augmentation
from catsdogs.finetuning.distillation import DistillationLoss
from catsdogs.finetuning.hyperparameters import Hyperparameters
from catsdogs.finetuning.stream import Batches, Pairs, SquarePhotographs

Metric = Callable[[Any, Any], Any]


class Predictions(NamedTuple):
    """Of photographs, or pairs, that a network never saw: its (m, c) probabilities, and the (m,) classes they have."""

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]


class Classification:
    """The class of a photograph; a teacher's probabilities count for `TEACHER_SHARE` of the loss."""

    def __init__(
        self, hyperparameters: Hyperparameters, labels: Labels, classes: int, teacher: NDArray[np.float64] | None = None
    ) -> None:
        """(n,) labels from 0, and the teacher's (n, classes) probabilities."""
        self._hyperparameters, self._labels, self._classes = hyperparameters, labels, classes
        self._has_teacher = teacher is not None
        one_hot = np.eye(classes, dtype=np.float32)[labels]
        self._targets = one_hot if teacher is None else np.hstack((one_hot, teacher)).astype(np.float32)

    def batches(
        self, photographs: SquarePhotographs, rows: Rows, seed: int, augmentation: Augmentation | None = None
    ) -> Batches:
        """Batches of these rows of `photographs`: to learn from with an augmentation, else always the same ones."""
        order_seed, batch_size = seed if augmentation else None, self._hyperparameters.batch_size
        return Batches(photographs.of(rows), self._targets[rows], batch_size, order_seed, augmentation)

    def loss(self) -> keras.losses.Loss:
        """What is minimised."""
        label_loss = optimisation.loss(self._hyperparameters.tricks)
        return DistillationLoss(label_loss, self._classes) if self._has_teacher else label_loss

    def metrics(self) -> dict[str, Metric]:
        """`log_loss` and `accuracy`, of the labels as they are, whatever the loss."""
        classes = self._classes
        return {
            "log_loss": lambda labels, p: keras.losses.categorical_crossentropy(labels[:, :classes], p),
            "accuracy": lambda labels, p: keras.metrics.categorical_accuracy(labels[:, :classes], p),
        }

    def predict(self, model: keras.Model, photographs: SquarePhotographs, rows: Rows) -> Predictions:
        """The model's predictions for these rows."""
        probabilities = model.predict(self.batches(photographs, rows, 0), verbose=0)[: len(rows)]
        return Predictions(probabilities.astype(np.float64), self._labels[rows])


class SameClass(Classification):
    """Whether two photographs show the same class, learnt from balanced pairs."""

    def batches(
        self, photographs: SquarePhotographs, rows: Rows, seed: int, augmentation: Augmentation | None = None
    ) -> Pairs:
        return Pairs(photographs.of(rows), self._labels[rows], self._hyperparameters.batch_size, seed, augmentation)

    def loss(self) -> keras.losses.Loss:
        smoothing = optimisation.SMOOTHING if "label-smoothing" in self._hyperparameters.tricks else 0.0
        return keras.losses.BinaryCrossentropy(label_smoothing=smoothing)

    def metrics(self) -> dict[str, Metric]:
        return {"log_loss": keras.losses.binary_crossentropy, "accuracy": keras.metrics.binary_accuracy}

    def predict(self, model: keras.Model, photographs: SquarePhotographs, rows: Rows) -> Predictions:
        """Of pairs drawn among the rows, always the same ones: the probabilities that they differ, and do not."""
        pairs = self.batches(photographs, rows, 0)
        same = model.predict(pairs, verbose=0)[: len(rows), 0].astype(np.float64)
        labels = self._labels[rows]
        batches = (pairs.rows(number) for number in range(len(pairs)))
        is_same = np.concatenate([labels[left] == labels[right] for left, right in batches])[: len(rows)]
        return Predictions(np.stack((1 - same, same), axis=1), is_same.astype(np.int64))

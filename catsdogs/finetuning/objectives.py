"""What a network learns: the class of a photograph, from a teacher too, or whether two show the same class."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from catsdogs.finetuning import fit, optimisation
from catsdogs.finetuning.augmentation import Augmentation
from catsdogs.finetuning.distillation import DistillationLoss
from catsdogs.finetuning.hyperparameters import Hyperparameters
from catsdogs.finetuning.pairs import Pairs
from catsdogs.finetuning.stream import Batches, SquarePhotographs
from catsdogs.networks.architectures import twin
from catsdogs.networks.weights import Weights

Metric = Callable[[Any, Any], Any]
ExtractorAndModel = tuple[keras.Model, keras.Model]


class Predictions(NamedTuple):
    """Of photographs, or pairs, that a network never saw: its (m, c) probabilities, and the (m,) classes they have."""

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]


class Objective(Protocol):
    """How the model is built, what its batches hold, its loss, its metrics, and its predictions."""

    def build_model(self, hyperparameters: Hyperparameters, weights: Weights | None, seed: int) -> ExtractorAndModel:
        """The extractor of vectors, and the model that learns; see `fit.build_model`."""
        ...

    def batches(
        self,
        photographs: SquarePhotographs,
        rows: NDArray[np.intp],
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None = None,
    ) -> keras.utils.PyDataset:
        """Batches of these rows of `photographs`: to learn from with an augmentation, else always the same ones."""
        ...

    def loss(self, hyperparameters: Hyperparameters) -> keras.losses.Loss:
        """What is minimised."""
        ...

    def metrics(self) -> dict[str, Metric]:
        """`log_loss` and `accuracy`, of the labels as they are, whatever the loss."""
        ...

    def predict(
        self, model: keras.Model, photographs: SquarePhotographs, rows: NDArray[np.intp], batch_size: int
    ) -> Predictions:
        """The model's predictions for these rows."""
        ...


class Classification:
    """The class of a photograph; a teacher's probabilities count for `TEACHER_SHARE` of the loss."""

    def __init__(self, labels: NDArray[np.int64], classes: int, teacher: NDArray[np.float64] | None = None) -> None:
        """(n,) labels from 0, and the teacher's (n, classes) probabilities."""
        self._labels, self._classes, self._has_teacher = labels, classes, teacher is not None
        one_hot = np.eye(classes, dtype=np.float32)[labels]
        self._targets = one_hot if teacher is None else np.hstack((one_hot, teacher)).astype(np.float32)

    def build_model(self, hyperparameters: Hyperparameters, weights: Weights | None, seed: int) -> ExtractorAndModel:
        return fit.build_model(hyperparameters, weights, self._classes, seed)

    def batches(
        self,
        photographs: SquarePhotographs,
        rows: NDArray[np.intp],
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None = None,
    ) -> Batches:
        order_seed = seed if augmentation else None
        return Batches(photographs, rows, self._targets[rows], batch_size, order_seed, augmentation)

    def loss(self, hyperparameters: Hyperparameters) -> keras.losses.Loss:
        label_loss = optimisation.loss(hyperparameters.tricks)
        return DistillationLoss(label_loss, self._classes) if self._has_teacher else label_loss

    def metrics(self) -> dict[str, Metric]:
        classes = self._classes

        def log_loss(labels: Any, probabilities: Any) -> Any:
            return keras.losses.categorical_crossentropy(labels[:, :classes], probabilities)

        def accuracy(labels: Any, probabilities: Any) -> Any:
            return keras.metrics.categorical_accuracy(labels[:, :classes], probabilities)

        return {"log_loss": log_loss, "accuracy": accuracy}

    def predict(
        self, model: keras.Model, photographs: SquarePhotographs, rows: NDArray[np.intp], batch_size: int
    ) -> Predictions:
        probabilities = model.predict(self.batches(photographs, rows, batch_size, 0), verbose=0)[: len(rows)]
        return Predictions(probabilities.astype(np.float64), self._labels[rows])


class SameClass:
    """Whether two photographs show the same class, learnt from balanced pairs: a twin network."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self._labels = labels

    def build_model(self, hyperparameters: Hyperparameters, weights: Weights | None, seed: int) -> ExtractorAndModel:
        extractor, _ = fit.build_model(hyperparameters, weights, 2, seed)
        return extractor, twin.join(extractor)

    def batches(
        self,
        photographs: SquarePhotographs,
        rows: NDArray[np.intp],
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None = None,
    ) -> Pairs:
        augment = augmentation.augment_images if augmentation else None
        return Pairs(photographs.of(rows), self._labels[rows], batch_size, seed, augment)

    def loss(self, hyperparameters: Hyperparameters) -> keras.losses.Loss:
        smoothing = optimisation.SMOOTHING if "label-smoothing" in hyperparameters.tricks else 0.0
        return keras.losses.BinaryCrossentropy(label_smoothing=smoothing)

    def metrics(self) -> dict[str, Metric]:
        return {"log_loss": keras.losses.binary_crossentropy, "accuracy": keras.metrics.binary_accuracy}

    def predict(
        self, model: keras.Model, photographs: SquarePhotographs, rows: NDArray[np.intp], batch_size: int
    ) -> Predictions:
        """Of pairs drawn among the rows, always the same ones: the probabilities that they differ, and do not."""
        pairs = self.batches(photographs, rows, batch_size, 0)
        same = model.predict(pairs, verbose=0)[: len(rows), 0].astype(np.float64)
        labels = self._labels[rows]
        batches = (pairs.rows(number) for number in range(len(pairs)))
        is_same = np.concatenate([labels[left] == labels[right] for left, right in batches])[: len(rows)]
        return Predictions(np.stack((1 - same, same), axis=1), is_same.astype(np.int64))


def choose_objective(
    hyperparameters: Hyperparameters,
    labels: NDArray[np.int64],
    classes: int,
    teacher: NDArray[np.float64] | None = None,
) -> Objective:
    """The objective of a network: `siamese-cnn` learns from pairs, all others learn classes."""
    return SameClass(labels) if hyperparameters.learns_from_pairs else Classification(labels, classes, teacher)

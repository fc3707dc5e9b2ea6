"""What a network is taught: classes, what a teacher says of them, or whether two photographs show the same one."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from catsdogs.finetuning import fit, optimisation
from catsdogs.finetuning.augmentation import Augmentation
from catsdogs.finetuning.pairs import Pairs
from catsdogs.finetuning.plans import Hyperparameters
from catsdogs.finetuning.stream import Batches, Pictures
from catsdogs.networks.architectures import twin
from catsdogs.networks.weights import Weights

TEMPERATURE = 2.0
TEACHER_SHARE = 0.9
_TINY = 1e-7
Metric = Callable[[Any, Any], Any]


class Answers(NamedTuple):
    """What a network says of what it never saw: (m, c) probabilities, and (m,) what is right."""

    probabilities: NDArray[np.float64]
    right: NDArray[np.int64]


class Objective(Protocol):
    """A task: how the model is made, what batches look like, the loss, the measures, and the answers."""

    def make(self, plan: Hyperparameters, weights: Weights | None, seed: int) -> tuple[keras.Model, keras.Model]:
        """The path to the vector, and the model that learns; see `fit.make`."""
        ...

    def batches(
        self,
        pictures: Pictures,
        rows: NDArray[np.intp],
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None = None,
    ) -> keras.utils.PyDataset:
        """Batches of these rows of `pictures`: to learn from with an augmentation, else always the same ones."""
        ...

    def loss(self, plan: Hyperparameters) -> keras.losses.Loss:
        """What is minimised."""
        ...

    def metrics(self) -> dict[str, Metric]:
        """`log_loss` and `accuracy`, of the labels as they are, whatever the loss."""
        ...

    def answers(self, model: keras.Model, pictures: Pictures, rows: NDArray[np.intp], batch_size: int) -> Answers:
        """What the model says of these rows."""
        ...


class Classification:
    """The class of a photograph; with a teacher, what it says counts for `TEACHER_SHARE` of the loss."""

    def __init__(self, labels: NDArray[np.int64], classes: int, teacher: NDArray[np.float64] | None = None) -> None:
        """(n,) labels from 0, and the teacher's (n, classes) probabilities."""
        self._labels, self._classes, self._taught = labels, classes, teacher is not None
        hard = np.eye(classes, dtype=np.float32)[labels]
        self._targets = hard if teacher is None else np.hstack((hard, teacher)).astype(np.float32)

    def make(self, plan: Hyperparameters, weights: Weights | None, seed: int) -> tuple[keras.Model, keras.Model]:
        return fit.make(plan, weights, self._classes, seed)

    def batches(
        self,
        pictures: Pictures,
        rows: NDArray[np.intp],
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None = None,
    ) -> Batches:
        shuffled = seed if augmentation else None
        return Batches(pictures, rows, self._targets[rows], batch_size, shuffled, augmentation)

    def loss(self, plan: Hyperparameters) -> keras.losses.Loss:
        usual = optimisation.loss(plan.tricks)
        return Distillation(usual, self._classes) if self._taught else usual

    def metrics(self) -> dict[str, Metric]:
        classes = self._classes

        def log_loss(labels: Any, probabilities: Any) -> Any:
            return keras.losses.categorical_crossentropy(labels[:, :classes], probabilities)

        def accuracy(labels: Any, probabilities: Any) -> Any:
            return keras.metrics.categorical_accuracy(labels[:, :classes], probabilities)

        return {"log_loss": log_loss, "accuracy": accuracy}

    def answers(self, model: keras.Model, pictures: Pictures, rows: NDArray[np.intp], batch_size: int) -> Answers:
        said = model.predict(self.batches(pictures, rows, batch_size, 0), verbose=0)[: len(rows)]
        return Answers(said.astype(np.float64), self._labels[rows])


class SameClass:
    """Whether two photographs show the same class, learnt from balanced pairs: a twin network."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self._labels = labels

    def make(self, plan: Hyperparameters, weights: Weights | None, seed: int) -> tuple[keras.Model, keras.Model]:
        path, _ = fit.make(plan, weights, 2, seed)
        return path, twin.join_twins(path)

    def batches(
        self,
        pictures: Pictures,
        rows: NDArray[np.intp],
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None = None,
    ) -> Pairs:
        change = augmentation.augment_images if augmentation else None
        return Pairs(pictures.of(rows), self._labels[rows], batch_size, seed, change)

    def loss(self, plan: Hyperparameters) -> keras.losses.Loss:
        smoothing = optimisation.SMOOTHING if "label-smoothing" in plan.tricks else 0.0
        return keras.losses.BinaryCrossentropy(label_smoothing=smoothing)

    def metrics(self) -> dict[str, Metric]:
        return {"log_loss": keras.losses.binary_crossentropy, "accuracy": keras.metrics.binary_accuracy}

    def answers(self, model: keras.Model, pictures: Pictures, rows: NDArray[np.intp], batch_size: int) -> Answers:
        """Of pairs drawn among the rows, always the same ones: the probabilities that they differ, and do not."""
        pairs = self.batches(pictures, rows, batch_size, 0)
        same = model.predict(pairs, verbose=0)[: len(rows), 0].astype(np.float64)
        labels = self._labels[rows]
        drawn = (pairs.rows(number) for number in range(len(pairs)))
        right = np.concatenate([labels[left] == labels[other] for left, other in drawn])[: len(rows)]
        return Answers(np.stack((1 - same, same), axis=1), right.astype(np.int64))


def choose(
    plan: Hyperparameters, labels: NDArray[np.int64], classes: int, teacher: NDArray[np.float64] | None = None
) -> Objective:
    """The task for a network: `siamese-cnn` learns from pairs, all others classes."""
    return SameClass(labels) if plan.learns_from_pairs else Classification(labels, classes, teacher)


class Distillation(keras.losses.Loss):
    """`TEACHER_SHARE` T² CE(teacher at T, student at T) + the rest of CE(label, student).

    Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, https://arxiv.org/abs/1503.02531,
    section 2: probabilities "at T" are the softmax of logits / T, which is p^(1/T) over its sum. Labels are
    (n, 2 classes): one-hot, then the teacher's probabilities.
    """

    def __init__(self, usual: keras.losses.Loss, classes: int) -> None:
        super().__init__(name="distillation")
        self._usual, self._classes = usual, classes

    def call(self, labels: Any, probabilities: Any) -> Any:
        hard, teacher = labels[:, : self._classes], labels[:, self._classes :]
        student = ops.log(_at_temperature(probabilities))
        soft = -ops.sum(_at_temperature(teacher) * student, axis=-1)
        return TEACHER_SHARE * TEMPERATURE**2 * soft + (1 - TEACHER_SHARE) * self._usual.call(hard, probabilities)


def _at_temperature(probabilities: Any) -> Any:
    powers = ops.power(ops.clip(probabilities, _TINY, 1.0), 1 / TEMPERATURE)
    return powers / ops.sum(powers, axis=-1, keepdims=True)

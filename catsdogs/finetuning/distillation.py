"""Distillation: a student network learns the probabilities that a trained run, the teacher, gave."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from catsdogs.errors import TrainingError, to_choose_from
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.finetuning.lesson import Lesson

TEMPERATURE = 2.0
TEACHER_SHARE = 0.9
_TINY = 1e-7


def lesson_of_teacher(
    lesson: Lesson, first: Features, probabilities: NDArray[np.float64], fold: NDArray[np.int64]
) -> tuple[Lesson, NDArray[np.float64]]:
    """The lesson with the teacher's folds, and the teacher's probabilities in the order of the lesson, (n_train, c).

    `probabilities` and `fold`, from 0, are out of fold, in the order of the train rows of `first`. With the same folds
    a student's score on a fold is measured on photographs whose labels neither it nor the teacher's head for that fold
    has seen.

    Raises:
        TrainingError: a photograph that the teacher does not know, or that has changed since.
    """
    known, found = first.classes, lesson.dataset.classes
    if known != found:
        raise TrainingError(
            f"The teacher knows the classes {to_choose_from(known)}, not {to_choose_from(found)}",
            "Give --data the photographs it was trained on",
        )
    ids, digests = first.ids["train"].tolist(), first.digests["train"].tolist()
    row_of = {key: row for row, key in enumerate(zip(ids, digests, strict=True))}
    keys = [(row.id, int(digest)) for row, digest in zip(lesson.train, lesson.digests, strict=True)]
    unknown = [id for id, digest in keys if (id, digest) not in row_of]
    if unknown:
        raise TrainingError(
            f"The teacher does not know {len(unknown):,} of these photographs as they are now, such as {unknown[0]}",
            "Give --data the photographs it was trained on, or train it again",
        )
    rows = np.array([row_of[key] for key in keys], np.intp)
    if never := np.count_nonzero(fold[rows] == ALWAYS_LEARNT):
        raise TrainingError(
            f"The teacher never answered for {never:,} of these photographs out of fold: all of its heads learnt them",
            "Train it with more photographs of their classes, or leave these classes out with --classes",
        )
    return replace(lesson, folds=fold[rows] + 1), probabilities[rows]


class DistillationLoss(keras.losses.Loss):
    """`TEACHER_SHARE` T² CE(teacher at T, student at T) + the rest of CE(label, student).

    Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, https://arxiv.org/abs/1503.02531,
    section 2: probabilities "at T" are the softmax of logits / T, which is p^(1/T) over its sum. Labels are
    (n, 2 classes): one-hot, then the teacher's probabilities.
    """

    def __init__(self, label_loss: keras.losses.Loss, classes: int) -> None:
        super().__init__(name="distillation")
        self._label_loss, self._classes = label_loss, classes

    def call(self, labels: Any, probabilities: Any) -> Any:
        hard, teacher = labels[:, : self._classes], labels[:, self._classes :]
        student = ops.log(_at_temperature(probabilities))
        soft = -ops.sum(_at_temperature(teacher) * student, axis=-1)
        return TEACHER_SHARE * TEMPERATURE**2 * soft + (1 - TEACHER_SHARE) * self._label_loss.call(hard, probabilities)


def _at_temperature(probabilities: Any) -> Any:
    powers = ops.power(ops.clip(probabilities, _TINY, 1.0), 1 / TEMPERATURE)
    return powers / ops.sum(powers, axis=-1, keepdims=True)

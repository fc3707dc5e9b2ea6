"""What a trained run, the teacher, says of each photograph it never saw: labels for a student to learn."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import TrainingError, to_choose_from
from catsdogs.features.feature_file import Features
from catsdogs.finetuning.finetune import Lesson


def from_teacher(
    taught: Lesson, first: Features, probabilities: NDArray[np.float64], fold: NDArray[np.int64]
) -> tuple[Lesson, NDArray[np.float64]]:
    """The lesson with the teacher's folds, and the teacher's probabilities in the order of the lesson, (n_train, c).

    `probabilities` and `fold`, from 0, are out of fold, in the order of the train rows of `first`. With the same folds
    a student's score on a fold is measured on photographs whose labels neither it nor the teacher's head for that fold
    has seen.

    Raises:
        TrainingError: a photograph that the teacher does not know, or that has changed since.
    """
    if first.classes != taught.dataset.classes:
        raise TrainingError(
            f"The teacher knows the classes {to_choose_from(first.classes)}, "
            f"not {to_choose_from(taught.dataset.classes)}",
            "Give --data the photographs it was trained on",
        )
    ids, digests = first.ids["train"].tolist(), first.digests["train"].tolist()
    row_of = {key: row for row, key in enumerate(zip(ids, digests, strict=True))}
    keys = [(row.id, int(digest)) for row, digest in zip(taught.train, taught.digests, strict=True)]
    unknown = [id for id, digest in keys if (id, digest) not in row_of]
    if unknown:
        raise TrainingError(
            f"The teacher does not know {len(unknown):,} of these photographs as they are now, such as {unknown[0]}",
            "Give --data the photographs it was trained on, or train it again",
        )
    rows = np.array([row_of[key] for key in keys], np.intp)
    return replace(taught, folds=fold[rows] + 1), probabilities[rows]

"""The rows that choose the epoch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from catsdogs.networks.quiet import importing_keras
from catsdogs.photographs.dataset import Dataset

with importing_keras():
    from catsdogs.finetuning.hyperparameters import complete_hyperparameters
    from catsdogs.finetuning.lesson import read_lesson
    from catsdogs.finetuning.trainer import Trainer


def test_copies_are_on_one_side_of_the_split_that_chooses_the_epoch(
    make_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = make_dataset(cats=30, dogs=30)
    for name in ("cat", "dog"):
        for number in range(15):
            one, other = (dataset.root / f"train/{name}.{n}.jpg" for n in (number, number + 15))
            other.write_bytes(one.read_bytes())
    lesson = read_lesson(dataset, 2, 0)
    trainer = Trainer(lesson, complete_hyperparameters("squeezenet", input_size=32), None, tmp_path, "one")
    for held_out in (np.empty(0, np.intp), *lesson.rows_by_fold().values()):
        rows = np.setdiff1d(np.arange(60), held_out)
        training, validation = trainer._split(rows)
        assert np.array_equal(np.sort(np.concatenate((training, validation))), rows)
        assert not set(lesson.digests[training]) & set(lesson.digests[validation])
        for label in (0, 1):
            share = np.mean(lesson.labels[validation] == label)
            assert 0 < share < 1 and np.count_nonzero(lesson.labels[validation] == label) <= 6

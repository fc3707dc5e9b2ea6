"""Feature files of tasks of every kind, whose vectors tell the labels, grades or numbers about as well as is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from catsdogs.features import feature_file
from catsdogs.features.cache import Cache
from catsdogs.features.feature_file import Features
from catsdogs.photographs import label_texts
from catsdogs.photographs.names import natural_key
from catsdogs.photographs.task import LABELS, NAME, NAMES, NUMBER, NUMBERS, ORDINAL, PROBABILITIES, Task
from tests.support.features import recipe, rows_of
from tests.support.runs import digested

FRUITS = ("apple", "pear", "plum")
LABELS_TASK = Task(LABELS, PROBABILITIES, targets=FRUITS, names=FRUITS, metric="mean-auc")
NAMES_TASK = Task(LABELS, NAMES, targets=("fruits",), names=FRUITS, separator=" ", metric="f1-micro")
GRADE_TASK = Task(ORDINAL, NAME, targets=("grade",), metric="qwk")
NUMBER_TASK = Task(NUMBER, NUMBERS, targets=("weight",), names=("weight",), metric="rmse")
OF_KINDS = {"probabilities": LABELS_TASK, "names": NAMES_TASK, "grade": GRADE_TASK, "number": NUMBER_TASK}


def drawn_texts(task: Task, scores: NDArray[np.float64]) -> list[str]:
    """What the labels of rows say whose (n, columns) scores are normal."""
    if task.kind == LABELS:
        return [label_texts.text_of([n for n, s in zip(task.names, row, strict=True) if s > 0.3], task.names)
                for row in scores]  # fmt: skip
    if task.kind == ORDINAL:
        return [str(grade) for grade in np.searchsorted([-1, 0, 0.5, 1.2], scores[:, 0])]
    return ["|".join(f"{50 + 10 * value:.2f}" for value in row) for row in scores]


def features_of(
    folder: Path,
    task: Task,
    rows: int = 120,
    test: int = 12,
    noise: float = 0.5,
    name: str = "ResNet50",
    width: int = 8,
    texts: Sequence[str] = (),
    vectors: NDArray[np.floating] | None = None,
    group_of: Mapping[str, str] = MappingProxyType({}),
    seed: int = 0,
) -> Features:
    """A feature file of rows drawn with the seed; `texts` and `vectors` are theirs where they are not to be drawn.

    The ids of the training rows are row.0, row.1 and so on.
    """
    draw = np.random.default_rng(seed)
    columns = len(task.names) or 1
    scores = draw.normal(size=(rows + test, columns))
    texts = texts or drawn_texts(task, scores[:rows])
    classes = sorted(set(texts), key=natural_key)
    table = digested([(f"row.{number}", classes.index(text)) for number, text in enumerate(texts)], test)
    if vectors is None:
        vectors = noise * draw.normal(size=(len(table), width)) + scores @ draw.normal(size=(columns, width))
    known = rows_of(table, vectors.shape[1], name)
    cache = Cache(folder, recipe(name))
    cache.write_shard(replace(known, vector=vectors.astype(np.float32)), "none")
    cache.assemble(table, classes, [], "photographs", task=task, group_of=group_of)
    return feature_file.read_features(cache.path)

"""Tasks of labels, grades and numbers, and texts of labels for them."""

from collections.abc import Sequence

import numpy as np

from catsdogs.photographs import label_texts
from catsdogs.photographs.task import LABELS, NAME, NAMES, NUMBER, NUMBERS, ORDINAL, PROBABILITIES, Task


def of_labels(names: Sequence[str], metric: str = "f1-micro") -> Task:
    """Any of these labels: by name, or for log loss and the area the probability of each."""
    if metric in ("log-loss", "mean-auc"):
        return Task(LABELS, PROBABILITIES, targets=tuple(names), metric=metric, names=tuple(names))
    return Task(LABELS, NAMES, metric=metric, names=tuple(names), separator=",")


def of_grades(metric: str = "qwk") -> Task:
    """A grade."""
    return Task(ORDINAL, NAME, metric=metric)


def of_numbers(*names: str, metric: str = "rmse") -> Task:
    """Numbers of these names."""
    return Task(NUMBER, NUMBERS, targets=names, metric=metric, names=names)


def label_texts_of(names: Sequence[str], rows: int, share: float = 0.35, bare: bool = True) -> list[str]:
    """Texts of labels drawn at random, the second label mostly together with the first."""
    draw = np.random.default_rng(1)
    shown = draw.random((rows, len(names))) < share
    shown[:, 1] |= shown[:, 0] & (draw.random(rows) < 0.7)
    shown[np.flatnonzero(~shown.any(axis=1)), 0] |= not bare
    return [label_texts.text_of({names[n] for n in np.flatnonzero(row)}, names) for row in shown]


def grade_texts(rows: int, grades: int = 5) -> list[str]:
    """Grades from 0, the low ones the most frequent."""
    draw = np.random.default_rng(2)
    return [str(grade) for grade in np.minimum(draw.geometric(0.45, rows) - 1, grades - 1)]


def number_texts(rows: int, columns: int = 1) -> list[str]:
    """Whole numbers from 1 to 100, and further ones with them."""
    draw = np.random.default_rng(4)
    numbers = np.clip(draw.normal(40, 20, (rows, columns)), 1, 100).round()
    return ["|".join(f"{number:g}" for number in row) for row in numbers]

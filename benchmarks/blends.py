"""A blend of three runs against the best of them, as a person picks it: by the same rows that score it.

`python -m benchmarks.blends` on made-up answers of every kind; with a folder of feature files of the Lites on runs of
three heads, and of three networks, by several deals of folds.
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from catsdogs import heads
from catsdogs.features import feature_file
from catsdogs.features.feature_file import Features
from catsdogs.photographs.task import (
    BINARY,
    CLASSES,
    LABELS,
    NAME,
    NUMBER,
    NUMBERS,
    ORDINAL,
    PROBABILITIES,
    PROBABILITY,
    Task,
)
from catsdogs.scoring import crossval, judging, metrics, pooling, training_plan
from catsdogs.scoring.training_plan import TrainingRows

FOLDS, DRAWS, DEALS = 5, 10, 3
ROWS = (200, 600)
NETWORKS = ("EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2")
HEADS = ("blend", "logistic", "dropout-sigmoid")
KINDS = {
    "two classes, log-loss": (Task(BINARY, PROBABILITY), 2),
    "two classes, auc": (Task(BINARY, PROBABILITY, metric="auc"), 2),
    "two classes, accuracy": (Task(BINARY, NAME, metric="accuracy"), 2),
    "5 classes, log-loss": (Task(CLASSES, PROBABILITIES), 5),
    "28 classes, log-loss": (Task(CLASSES, PROBABILITIES), 28),
    "3 labels, mean-auc": (Task(LABELS, PROBABILITIES, names=("a", "b", "c"), metric="mean-auc"), 3),
    "3 labels, f1-micro": (Task(LABELS, PROBABILITIES, names=("a", "b", "c"), metric="f1-micro"), 3),
    "5 grades, qwk": (Task(ORDINAL, NAME, metric="qwk"), 5),
    "a number, rmse": (Task(NUMBER, NUMBERS, names=("a",), metric="rmse"), 1),
}
# The noise of each run's logits beside those of the truth, of standard deviation 2, and the part that all share.
NOISES = {
    "alike": ((1.0, 1.0, 1.0), 0.5),
    "one good": ((0.3, 2.0, 3.0), 0.3),
    "all the same": ((1.0, 1.0, 1.0), 0.99),
    "one blind": ((0.5, 0.6, 30.0), 0.3),
}
_SEED = 2018


class Problem(NamedTuple):
    """Answers out of fold of three runs, and what is right."""

    answers: list[NDArray[np.float64]]
    right: NDArray[Any]
    fold: NDArray[np.int64]
    task: Task


class Outcome(NamedTuple):
    """What a blend is worth beside the best: their values, and the gain, above 0 if the blend is better."""

    best: float
    blend: float
    gain: float
    error: float


def made_up(kind: str, noise: str, rows: int, seed: int) -> Problem:
    """Runs that err by noise of their own and by noise they share, each as sure of itself as it likes."""
    (task, columns), (deviations, shared), draw = KINDS[kind], NOISES[noise], np.random.default_rng(seed)
    if task.kind == ORDINAL:
        place = draw.normal(size=(rows, 1)) * 1.5 + 2
        logits = -2 * (place - np.arange(columns)) ** 2
    else:
        logits = 2 * draw.normal(size=(rows, columns))
    common = draw.normal(size=logits.shape)
    own = [shared**0.5 * common + (1 - shared) ** 0.5 * draw.normal(size=logits.shape) for _ in deviations]
    said = [logits + deviation * one for deviation, one in zip(deviations, own, strict=True)]
    fold = draw.permutation(rows) % FOLDS
    if task.kind == NUMBER:
        return Problem(said, logits, fold, task)
    sure = np.exp(draw.uniform(-0.7, 1, len(said)))
    if task.kind == LABELS:
        right = (draw.random(logits.shape) < expit(logits)).astype(np.float64)
        right[:2] = [[0] * columns, [1] * columns]
        return Problem([expit(s * one) for s, one in zip(sure, said, strict=True)], right, fold, task)
    right = np.array([draw.choice(columns, p=row) for row in softmax(logits, axis=1)])
    right[:columns] = np.arange(columns)
    return Problem([softmax(s * one, axis=1) for s, one in zip(sure, said, strict=True)], right, fold, task)


def outcome(problem: Problem) -> Outcome:
    """The blend of a problem's runs against the best of them, rows paired."""
    answers, right, fold, task = problem
    values = tuple(map(float, range(answers[0].shape[1]))) if task.kind == ORDINAL else ()
    found = pooling.Pooling(answers, right, fold, task, values).cross_fit(range(len(answers)))
    measured = [
        judging.measure(judging.cross_fitted(one, right, fold, task, values), right, task)
        for one in (found.answers, *answers)
    ]
    sign = 1 if metrics.find(task.metric).higher_is_better else -1
    best = max(measured[1:], key=lambda one: sign * one.value)
    difference, error = measured[0].minus(best)
    return Outcome(best.value, measured[0].value, sign * difference, error)


def real(folder: Path) -> Iterator[tuple[str, Problem]]:
    """Runs of three heads on all networks, and of a head on each network, for several deals of folds."""
    files = [feature_file.read_features(feature_file.path_of(folder, name)) for name in NETWORKS]
    for deal in range(DEALS):
        of_heads = [(head, files) for head in HEADS]
        of_networks = [(HEADS[0], [file]) for file in files]
        for name, runs in (("three heads on three Lites", of_heads), ("`blend` on each of three Lites", of_networks)):
            answers = [_out_of_fold(head, some, _SEED + deal) for head, some in runs]
            rows = TrainingRows.of(files)
            yield name, Problem(answers, rows.truth, rows.deal(FOLDS, _SEED + deal), rows.task)


def _out_of_fold(head: str, files: list[Features], seed: int) -> NDArray[np.float64]:
    rows, widths = TrainingRows.of(files), tuple(file.width for file in files)
    make = partial(heads.create, head, seed, widths, rows.task.kind)
    X = training_plan.training_vectors(files)
    return crossval.cross_validate(X, rows.to_learn, rows.kept, rows.deal(FOLDS, seed), make, lambda: None).predictions


def row_of(name: str, outcomes: list[Outcome]) -> str:
    """A row of the table: means over draws, and in how many a blend is worse by more than a standard error."""
    best, blend = (float(np.mean([getattr(one, what) for one in outcomes])) for what in ("best", "blend"))
    gains = np.array([one.gain for one in outcomes])
    error = gains.std(ddof=1) / len(gains) ** 0.5
    worse = sum(one.gain < -one.error for one in outcomes)
    gain = f"{gains.mean():+.4f} ± {error:.4f}"
    return f"| {name} | {best:.4f} | {blend:.4f} | {gain} | {worse} of {len(outcomes)} |"


def main() -> None:
    print("| runs | the best | blend | better by | worse beyond an error |")
    print("| --- | --- | --- | --- | --- |")
    if sys.argv[1:]:
        found: dict[str, list[Outcome]] = {}
        for name, problem in real(Path(sys.argv[1])):
            found.setdefault(name, []).append(outcome(problem))
        for name, outcomes in found.items():
            print(row_of(name, outcomes), flush=True)
        return
    for kind in KINDS:
        for noise in NOISES:
            for rows in ROWS:
                outcomes = [outcome(made_up(kind, noise, rows, seed)) for seed in range(DRAWS)]
                print(row_of(f"{kind}; {noise}; {rows:,} rows", outcomes), flush=True)


if __name__ == "__main__":
    main()

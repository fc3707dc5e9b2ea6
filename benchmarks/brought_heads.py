"""Heads that people bring: how long a fold takes on many classes, and how they score on real photographs.

    python -m benchmarks.brought_heads --features features

The many classes are drawn, as large as Dog Breed Identification on three networks: 120 classes, 10,222 rows of 6,144
columns, of which four fifths are learnt and the rest is asked for. Their vectors have 64 directions in which classes
and rows differ, and noise in all columns, so scores there tell whether a head learnt, and nothing of photographs.
"""

import argparse
import platform
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catsdogs import heads
from catsdogs.features.feature_file import path_of, read_features
from catsdogs.files.cores import usable
from catsdogs.scoring import crossval, judging, training_plan
from catsdogs.scoring.training_plan import Plan

CLASSES, ROWS, WIDTHS, DIRECTIONS, SEED = 120, 10_222, (2048, 2048, 2048), 64, 2018
HEADS = ("knn", "pca:256+logistic", "catboost", "lightgbm", "xgboost", "standard+LogisticRegression", "logistic")
NETWORKS = ("EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2")
FOLDS = 5
VARIANTS = (
    *(f"lightgbm[components={count}]" for count in (32, 64, 256)),
    "lightgbm[learning_rate=0.1]", "lightgbm[depth=5]", "lightgbm[columns=1.0]",
    *(f"knn[components={count}]" for count in (64, 1024)),
    *(f"knn[temperature={value}]" for value in (0.07, 1.0)),
)  # fmt: skip


def draw(classes: int, rows: int, width: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(rows, width) vectors and (rows,) classes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    means = random.standard_normal((classes, DIRECTIONS), np.float32)
    inside = means[labels] + 1.2 * random.standard_normal((rows, DIRECTIONS), np.float32)
    spread = random.standard_normal((DIRECTIONS, width), np.float32) / np.float32(DIRECTIONS**0.5)
    return inside @ spread + random.standard_normal((rows, width), np.float32), labels


def many_classes(names: list[str]) -> None:
    """A line of the first table for each head."""
    X, y = draw(CLASSES, ROWS, sum(WIDTHS), SEED)
    learnt = np.arange(ROWS) % FOLDS > 0
    print("| head | to learn, s | to ask, s | log loss | accuracy |\n| --- | --- | --- | --- | --- |", flush=True)
    for text in names:
        name, settings = heads.settled(text)
        head = heads.create(name, SEED, WIDTHS, **settings)
        started = time.perf_counter()
        crossval.fit(head, X[learnt], y[learnt])
        fitted = time.perf_counter()
        answers = crossval.checked_predictions(head, X[~learnt], CLASSES)
        asked = time.perf_counter()
        right = answers[np.arange(len(answers)), y[~learnt]]
        loss, accuracy = -np.log(np.maximum(right, 1e-15)).mean(), (answers.argmax(axis=1) == y[~learnt]).mean()
        seconds = f"{fitted - started:.0f} | {asked - fitted:.1f}"
        print(f"| `{text}` | {seconds} | {loss:.3f} | {accuracy:.1%} |", flush=True)


def photographs(features: Path, names: list[str]) -> None:
    """A line of the second table for each head: out of fold, calibrated as `train` does."""
    files = [read_features(path_of(features, name)) for name in NETWORKS]
    task = files[0].task
    print("| head | log loss | accuracy | five folds, s |\n| --- | --- | --- | --- |", flush=True)
    for text in names:
        name, settings = heads.settled(text)
        rows, plan = training_plan.settle(
            training_plan.check_trainable(files), Plan(name, FOLDS, SEED, settings=settings)
        )
        crossed = training_plan.cross_validate_plan(rows, plan)
        judged = judging.cross_fitted(crossed.predictions, rows.truth, crossed.fold, task, ())
        loss = judging.measure_log_loss(judged, rows.truth, task, crossed.scored)
        accuracy = judging.accuracy(judged, rows.truth, task, crossed.scored)
        figures = f"{loss.value:.4f} ± {loss.standard_error:.4f} | {accuracy:.2%} | {crossed.seconds:.1f}"
        print(f"| `{text}` | {figures} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--features", type=Path, help="the feature files of real photographs, by the three Lites")
    parser.add_argument("--heads", default=",".join(HEADS), help="separated by commas")
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {usable()} cores", flush=True)
    if arguments.features:
        photographs(arguments.features, [*arguments.heads.split(","), *VARIANTS])
    many_classes(arguments.heads.split(","))


if __name__ == "__main__":
    main()

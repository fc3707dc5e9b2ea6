"""The default head beside scikit-learn's plain pipeline with a penalty chosen by inner folds, on unlike problems.

    python -m benchmarks.penalties --features features --also breeds=other/features

`--features` are those of two-class photographs: as they are, with labels exchanged, and with few rows to learn from.
`--also` names feature files of other classes. 120 classes are drawn besides. Nothing is calibrated: log losses are of
the probabilities as they are fitted, on rows that a head did not learn from. With labels exchanged they are judged by
the exchanged ones.
"""

import argparse
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.brought_heads import draw
from benchmarks.head_scores import DEFAULT as HEAD
from benchmarks.head_scores import FOLDS, SEED
from benchmarks.report import table
from catsdogs import heads
from catsdogs.features.feature_file import path_of, read_features
from catsdogs.features.folds import deal
from catsdogs.networks.choice import expand
from catsdogs.scoring.measuring import mean_and_error

DRAWS = 8
EXCHANGED, FEW = (0.05, 0.2), (200, 40)
CLASSES, ROWS, WIDTHS = 120, 1000, (1280, 1280, 1280)
CS = np.logspace(-4, 2, 13)
SETS = ("lite", "lite,Xception")
LEAST = 1e-15

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


class Problem(NamedTuple):
    """(n, width) vectors of networks of some widths, (n,) classes, and rows to learn from and to judge by."""

    title: str
    X: NDArray[np.float32]
    y: NDArray[np.int64]
    widths: tuple[int, ...]
    splits: Sequence[Split]


def plain() -> Any:
    """Scikit-learn's pipeline."""
    inner = LogisticRegressionCV(
        Cs=CS, cv=FOLDS, scoring="neg_log_loss", max_iter=2000, use_legacy_attributes=False, l1_ratios=(0.0,)
    )
    return make_pipeline(StandardScaler(), inner)


def losses(head: Any, problem: Problem) -> tuple[list[NDArray[np.float64]], float]:
    """(rows,) log losses of each split's judged rows, and the seconds that a fit took on average."""
    found, seconds = [], 0.0
    for learnt, judged in problem.splits:
        classes, y = np.unique(problem.y[learnt], return_inverse=True)
        started = time.perf_counter()
        head.fit(problem.X[learnt], y)
        seconds += time.perf_counter() - started
        answers = np.zeros((len(judged), int(problem.y.max()) + 1))
        answers[:, classes] = head.predict_proba(problem.X[judged])
        found.append(-np.log(np.maximum(answers[np.arange(len(judged)), problem.y[judged]], LEAST)))
    return found, seconds / len(problem.splits)


def folds_of(y: NDArray[np.int64]) -> list[Split]:
    fold = deal(y, np.arange(len(y)), FOLDS, SEED)
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in np.unique(fold)]


def few_rows(y: NDArray[np.int64], count: int) -> Iterator[Split]:
    """Draws of so many rows to learn from; all others judge."""
    for seed in range(DRAWS):
        part = deal(y, np.arange(len(y)), len(y) // count, seed) == 0
        yield np.flatnonzero(part), np.flatnonzero(~part)


def read(folder: Path, names: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int64], tuple[int, ...]]:
    files = [read_features(path_of(folder, name)) for name in names]
    vectors = [file.vectors("train") for file in files]
    return np.hstack(vectors), np.asarray(files[0].labels), tuple(part.shape[1] for part in vectors)


def problems(features: Path, also: Sequence[tuple[str, Path]]) -> Iterator[Problem]:
    """All of them, one after the other."""
    for networks in SETS:
        X, y, widths = read(features, expand(networks))
        yield Problem(f"photographs, {networks}", X, y, widths, folds_of(y))
        for part in EXCHANGED:
            chosen = np.random.default_rng(SEED).random(len(y)) < part
            wrong = np.where(chosen, 1 - y, y)
            yield Problem(f"{part:.0%} of their labels exchanged, {networks}", X, wrong, widths, folds_of(wrong))
    X, y, widths = read(features, expand(SETS[0]))
    for count in FEW:
        yield Problem(f"{count} of them, {DRAWS} draws", X, y, widths, list(few_rows(y, count)))
    for title, folder in also:
        X, y, widths = read(folder, expand(SETS[0]))
        yield Problem(f"{title}, {len(y)} rows", X, y, widths, folds_of(y))
    X, y = draw(CLASSES, ROWS, sum(WIDTHS), SEED)
    yield Problem(f"{CLASSES} drawn classes, {ROWS:,} rows", X, y, WIDTHS, folds_of(y))


def line_of(problem: Problem) -> list[str]:
    """Both log losses, their ratio, and the paired difference: over photographs, or over draws of few rows."""
    ours, seconds = losses(heads.create(HEAD, SEED, problem.widths), problem)
    theirs, plain_seconds = losses(plain(), problem)
    is_of_folds = sum(len(judged) for _, judged in problem.splits) == len(problem.y)
    first, second = (
        np.concatenate(found) if is_of_folds else np.array([part.mean() for part in found]) for found in (ours, theirs)
    )
    apart, error = mean_and_error(first - second)
    figures = f"{first.mean():.4f}", f"{second.mean():.4f}", f"{first.mean() / second.mean():.3f}"
    return [problem.title, *figures, f"{apart:+.4f} ± {error:.4f}", f"{seconds:.1f}", f"{plain_seconds:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--features", type=Path, required=True, help="feature files of two-class photographs")
    parser.add_argument("--also", action="append", default=[], help="TITLE=FOLDER of feature files of other classes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    also = [(title, Path(folder)) for title, _, folder in (one.partition("=") for one in arguments.also)]
    lines = []
    for problem in problems(arguments.features, also):
        lines.append(line_of(problem))
        print(" | ".join(lines[-1]), flush=True)
    header = ["problem", f"`{HEAD}`", "pipeline", "ratio", "difference", "a fit, s", "pipeline, s"]
    print(table(header, lines))


if __name__ == "__main__":
    main()

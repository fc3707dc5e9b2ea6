"""What `--balance` does to each metric, on photographs of which one class, or some labels, are rare.

`python -m benchmarks.balance FEATURES DATA`: the feature files of the Lites, and the photographs they are of.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.kinds_of_tasks import FOLDS, NETWORKS, SEED, measure_pictures
from catsdogs import heads
from catsdogs.features import feature_file
from catsdogs.features.feature_file import Features
from catsdogs.photographs import label_texts
from catsdogs.photographs.dataset import Dataset, scan
from catsdogs.photographs.task import BINARY, LABELS, NAME, PROBABILITIES, PROBABILITY, Task
from catsdogs.scoring import crossval, judging, metrics, training_plan
from catsdogs.scoring.training_plan import TrainingRows

RARE = 0.05  # the share of dogs
_HEAD = "blend"


class Case(NamedTuple):
    """Feature files with other labels, of whose rows some are kept."""

    name: str
    files: list[Features]
    kept: NDArray[np.bool_]


def cases(files: list[Features], dataset: Dataset) -> Iterator[Case]:
    """Breeds that are hard to tell are not at hand, so the labels of a fifth of the photographs are drawn anew."""
    first, draw = files[0], np.random.default_rng(0)
    blurred = np.where(draw.random(len(first.labels)) < 0.2, draw.permutation(first.labels), first.labels)
    dogs = draw.permutation(np.flatnonzero(blurred == 1))
    kept = np.ones(len(blurred), bool)
    kept[dogs[round(RARE * np.count_nonzero(blurred == 0)) :]] = False
    yield Case(f"cats, and {RARE:.0%} dogs", [replace(file, labels=blurred) for file in files], kept)
    brightness, orange = measure_pictures(dataset, first.ids["train"])
    noise = 0.5 * draw.normal(size=(len(blurred), 3))
    scores = np.stack([values / values.std() for values in (brightness, orange, -brightness)], axis=1) + noise
    shown = scores > np.quantile(scores, [0.5, 0.9, 0.97], axis=0).diagonal()
    names = ("bright", "orange", "darkest")
    texts = [label_texts.text_of([n for n, s in zip(names, row, strict=True) if s], names) for row in shown]
    classes = tuple(sorted(set(texts)))
    task = Task(LABELS, PROBABILITIES, targets=names, names=names)
    labels = np.array([classes.index(text) for text in texts])
    of_labels = [replace(file, labels=labels, classes=classes, task=task) for file in files]
    yield Case("labels of 50, 10 and 3 %", of_labels, np.ones(len(labels), bool))


def main() -> None:
    dataset = scan(Path(sys.argv[2]))
    files = [feature_file.read_features(feature_file.path_of(Path(sys.argv[1]), name)) for name in NETWORKS]
    X, widths = training_plan.training_vectors(files), tuple(file.width for file in files)
    print("| photographs | metric | as they are | balanced | better by |")
    print("| --- | --- | --- | --- | --- |")
    for case in cases(files, dataset):
        rows = replace(TrainingRows.of(case.files), kept=case.kept)
        fold, task = rows.deal(FOLDS, SEED), rows.task
        make = partial(heads.create, _HEAD, SEED, widths, task.kind)
        how = make, lambda: None, None, task.kind
        both = [crossval.cross_validate(X, rows.to_learn, case.kept, fold, *how, w) for w in (None, rows.balancing)]
        scored = case.kept
        for one in (replace(task, metric=name) for name in metrics.fitting(task)):
            judged_task = replace(one, answer=NAME) if task.kind == BINARY and one.metric != "log-loss" else one
            judged_task = replace(judged_task, answer=PROBABILITY) if one.metric == "auc" else judged_task
            pair = [
                judging.measure(
                    judging.cross_fitted(crossed.predictions[scored], rows.truth[scored], fold[scored], judged_task),
                    rows.truth[scored],
                    judged_task,
                )
                for crossed in both
            ]
            difference, error = pair[1].minus(pair[0])
            sign = 1 if metrics.find(one.metric).higher_is_better else -1
            cells = f"{pair[0].value:.4f} | {pair[1].value:.4f} | {sign * difference:+.4f} ± {error:.4f}"
            print(f"| {case.name} | `{one.metric}` | {cells} |", flush=True)


if __name__ == "__main__":
    main()

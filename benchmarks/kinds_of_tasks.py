"""Heads on several labels, grades and numbers made of real photographs, beside plain scikit-learn pipelines.

`python -m benchmarks.kinds_of_tasks FEATURES DATA`: the feature files of the Lites, and the photographs they are of.
All are asked on the same folds, and differences are of the same photographs.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import HuberRegressor, LogisticRegression, PoissonRegressor, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from catsdogs import heads
from catsdogs.features import feature_file, folds
from catsdogs.features.feature_file import Features
from catsdogs.heads import Head
from catsdogs.heads._of_kind import OF_KIND
from catsdogs.photographs.dataset import Dataset, scan
from catsdogs.photographs.task import CLASSES, LABELS, NAME, NAMES, NUMBER, NUMBERS, ORDINAL, Task
from catsdogs.scoring import crossval, judging, training_plan

NETWORKS = ("EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2")
FOLDS, SEED = 5, 2018
GRADE_SHARES = (0.4, 0.25, 0.2, 0.1, 0.05)
_SIDE = 96  # pixels that are looked at

Floats = NDArray[np.float64]


class Question(NamedTuple):
    """What is to be learnt of photographs: (n,) grades, or (n, k) labels or numbers."""

    name: str
    task: Task
    right: NDArray[Any]


def measure_pictures(dataset: Dataset, ids: NDArray[np.object_]) -> tuple[Floats, Floats]:
    """(n,) brightness, 0 to 255, and (n,) percent of orange pixels."""
    brightness, orange = np.empty(len(ids)), np.empty(len(ids))
    for row, id in enumerate(ids):
        photograph = dataset.by_key["train", str(id)]
        with Image.open(photograph.location.container / photograph.location.name) as picture:
            small = picture.convert("RGB").resize((_SIDE, _SIDE))
        hue, saturation, value = np.asarray(small.convert("HSV"), np.float64).transpose(2, 0, 1)
        brightness[row] = np.asarray(small.convert("L"), np.float64).mean()
        is_orange = (hue > 8) & (hue < 30) & (saturation > 80) & (value > 60)  # of 255 each
        orange[row] = 100 * is_orange.mean()
    return brightness, orange


def questions(first: Features, dataset: Dataset) -> list[Question]:
    """Numbers as they are and with noise, grades cut from them, and labels."""
    brightness, orange = measure_pictures(dataset, first.ids["train"])
    draw = np.random.default_rng(0)
    noisy = np.maximum(0, brightness + 2 * brightness.std() * draw.normal(size=len(brightness)))
    asked = []
    for name, values in (("brightness", brightness), ("brightness, mostly noise", noisy), ("share of orange", orange)):
        task = Task(NUMBER, NUMBERS, targets=(name,), names=(name,), metric="rmse")
        asked.append(Question(f"number: {name}", task, values[:, np.newaxis]))
    for name, values in (("brightness", brightness), ("share of orange", orange)):
        blurred = values + 0.3 * values.std() * draw.normal(size=len(values))
        cuts = np.quantile(blurred, np.cumsum(GRADE_SHARES)[:-1])
        task = Task(ORDINAL, NAME, targets=(name,), metric="qwk")
        asked.append(Question(f"five grades: {name}", task, np.searchsorted(cuts, blurred)))
    shown = [first.labels == 1, brightness > np.median(brightness), orange > np.quantile(orange, 0.9), noisy > 180]
    labels = np.stack(shown, axis=1).astype(np.float64)
    names = ("dog", "bright", "orange", "noisy")
    for metric, answer in (("mean-auc", "probabilities"), ("f1-micro", NAMES), ("log-loss", "probabilities")):
        task = Task(LABELS, answer, targets=names, names=names, separator=" ", metric=metric)
        asked.append(Question(f"four labels, {metric}", task, labels))
    return asked


def contenders(kind: str, widths: tuple[int, ...]) -> Mapping[str, Callable[[], Head]]:
    """Name -> a new head or pipeline, the plain ones of scikit-learn first."""
    plain: dict[str, Callable[[], Any]] = {}

    def logistic() -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=100 / sum(widths), max_iter=1000))

    def ridge() -> Any:
        return make_pipeline(StandardScaler(), RidgeCV(np.geomspace(1, 1e6, 25)))

    if kind == NUMBER:
        plain["scikit-learn: RidgeCV"] = lambda: OF_KIND[NUMBER](ridge())
        huber = make_pipeline(StandardScaler(), HuberRegressor(alpha=1e3, max_iter=300))
        plain["scikit-learn: HuberRegressor"] = lambda: OF_KIND[NUMBER](huber)
        poisson = make_pipeline(StandardScaler(), PoissonRegressor(alpha=10, max_iter=300))
        plain["scikit-learn: PoissonRegressor"] = lambda: OF_KIND[NUMBER](poisson)
    elif kind == ORDINAL:
        plain["scikit-learn: LogisticRegression"] = lambda: OF_KIND[ORDINAL](logistic())
        plain["scikit-learn: RidgeCV"] = lambda: OF_KIND[ORDINAL](ridge())
        plain["logistic, as of classes"] = lambda: heads.create("logistic", SEED, widths)
        plain["blend, as of classes"] = lambda: heads.create("blend", SEED, widths)
    else:
        plain["scikit-learn: LogisticRegression"] = lambda: OF_KIND[LABELS](logistic())
    ours = [name for name in heads.names() if not heads.serves(name, kind) and name not in ("twin", "notebook")]
    return plain | {name: (lambda name=name: heads.create(name, SEED, widths, kind)) for name in ours}


def main() -> None:
    folder, dataset = Path(sys.argv[1]), scan(Path(sys.argv[2]))
    files = [feature_file.read_features(feature_file.path_of(folder, name)) for name in NETWORKS]
    X, widths = training_plan.training_vectors(files), tuple(file.width for file in files)
    print(f"{len(X):,} photographs, {FOLDS} folds; differences to the first, standard errors over photographs")
    print("| asked for | head | metric | value | better than the first by |")
    print("| --- | --- | --- | --- | --- |")
    for name, task, right in questions(files[0], dataset):
        fold = _folds_of(task, right)
        values = tuple(float(grade) for grade in range(len(GRADE_SHARES))) if task.kind == ORDINAL else ()
        first = None
        for head, make in contenders(task.kind, widths).items():
            kind = CLASSES if "as of classes" in head else task.kind
            every = np.ones(len(X), bool)
            crossed = crossval.cross_validate(X, right, every, fold, make, lambda: None, kind=kind)
            judged = judging.cross_fitted(crossed.predictions, right, fold, task, values)
            measured = judging.measure(judged, right, task)
            first = first or measured
            difference, error = measured.minus(first)
            sign = 1 if task.metric not in ("rmse", "log-loss") else -1
            gain = "" if measured is first else f"{sign * difference:+.4f} ± {error:.4f}"
            cells = (name, f"`{head}`" if head in heads.names() else head, task.metric, f"{measured.value:.4f}", gain)
            print(f"| {' | '.join(cells)} |", flush=True)


def _folds_of(task: Task, right: NDArray[Any]) -> NDArray[np.int64]:
    alone = np.arange(len(right))
    if task.kind == LABELS:
        return folds.deal_labels(right, alone, FOLDS, SEED)
    strata = folds.bins_of(right, FOLDS) if task.kind == NUMBER else right
    return folds.deal(strata, alone, FOLDS, SEED)


if __name__ == "__main__":
    main()

"""Feature files with known vectors, and runs of quick heads on them."""

import csv
import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from catsdogs.features import feature_file
from catsdogs.features.cache import Cache, DigestedPhotograph
from catsdogs.features.extract import Settings, extract
from catsdogs.features.feature_file import Features, Unreadable
from catsdogs.networks.table import BACKBONES
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Location, Photograph, scan
from catsdogs.runs import run_card, training
from catsdogs.scoring import training_plan
from tests.conftest import need
from tests.support.features import recipe, rows_of

DAMAGED = Unreadable("test", "99", "the file is empty")
CLASSES = ("cat", "dog")
LITE0, LITE1 = "EfficientNetLite0", "EfficientNetLite1"
NEAREST_MEAN = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

class NearestMean(ClassifierMixin, BaseEstimator):
    def __init__(self, softness=2.0, random_state=None):
        self.softness, self.random_state = softness, random_state

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.means_ = np.stack([X[y == label].mean(axis=0) for label in self.classes_])
        return self

    def predict_proba(self, X):
        distances = np.linalg.norm(X[:, None] - self.means_, axis=2)
        closeness = np.exp(-distances / self.softness)
        return closeness / closeness.sum(axis=1, keepdims=True)
"""


def digested(train: Sequence[tuple[str, int]], test: int) -> list[DigestedPhotograph]:
    """Photographs that were never there: (id, label) of the training ones, and how many test ones."""
    rows = [Photograph(id, "train", label, Location(Path("photographs"), id)) for id, label in train]
    rows += [Photograph(str(n + 1), "test", -1, Location(Path("photographs"), str(n + 1))) for n in range(test)]
    return [DigestedPhotograph(row, images.digest(f"{row.split}/{row.id}".encode())) for row in rows]


def features(
    folder: Path,
    name: str = "ResNet50",
    classes: Sequence[str] = CLASSES,
    rows: int = 20,
    test: int = 6,
    unreadable: Sequence[Unreadable] = (),
    apart: float = 4,
    width: int = 5,
    **other: object,
) -> Features:
    """A feature file in which the classes, of `rows` photographs each, lie `apart`; test rows take turns."""
    train = [(f"{class_name}.{n}", label) for label, class_name in enumerate(classes) for n in range(rows)]
    table = digested(train, test)
    known = rows_of(table, width, name)
    labels = np.array([label for _, label in train] + [n % len(classes) for n in range(test)])
    vectors = known.vector + apart * np.eye(len(classes), width, dtype=np.float32)[labels]
    cache = Cache(folder, recipe(name, **other))
    cache.write_shard(replace(known, vector=vectors), "none")
    cache.assemble(table, classes, unreadable, "photographs")
    return feature_file.read_features(cache.path)


def train(files: Sequence[Features], submissions: Path, **other: Any) -> run_card.Run:
    """A run of ridge regression, the quickest head; some of `other` belong to the plan."""
    of_plan = {field.name: other.pop(field.name) for field in fields(training_plan.Plan) if field.name in other}
    plan = training_plan.Plan(**{"head": "ridge", "folds": 4, "seed": 0, **of_plan})
    return training.train(files, plan, submissions=submissions, **{"name": "run", "command": "catsdogs train", **other})


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV, column -> cell."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_probabilities(path: Path) -> dict[str, float]:
    """Those of a submission for two classes, by id."""
    with path.open(newline="") as file:
        return {row["id"]: float(row["label"]) for row in csv.DictReader(file)}


def read_again(run: run_card.Run) -> list[Features]:
    """The feature files that a run was trained on."""
    return [feature_file.read_features(feature_file.path_of(Path(run.features), name)) for name in run.backbones]


def change_run(folder: Path, **parts: object) -> None:
    """Write other values into a run's description."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


def with_copies(file: Features, *groups: Sequence[str]) -> Features:
    """The same file, in which the photographs of each group have the bytes of the group's first."""
    ids, digests = file.ids["train"].tolist(), file.digests["train"].copy()
    for first, *others in groups:
        digests[[ids.index(id) for id in others]] = digests[ids.index(first)]
    return replace(file, digests={**file.digests, "train": digests})


def extracted(data: Path, out: Path, *names: str, **settings: str) -> list[Features]:
    """The feature files of these networks, of real photographs."""
    for name in names:
        need(str(BACKBONES[name].package))
    summary = extract(scan(data), names, out, Settings(**{"engine": "openvino", **settings}))
    return [feature_file.read_features(path) for path in summary.paths]


class Coin(ClassifierMixin, BaseEstimator):
    """As likely one class as the other."""

    def fit(self, X: Any, y: Any) -> "Coin":
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> Any:
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

"""What bfloat16 and another engine change in the vectors of real photographs, and in what a head learns from them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders.ours import ENGINE
from catsdogs.features import feature_file
from catsdogs.features.extract import Settings, extract
from catsdogs.features.feature_file import Features
from catsdogs.networks import weights
from catsdogs.networks.table import BACKBONES
from catsdogs.photographs.dataset import Dataset
from catsdogs.scoring import measuring, training_plan

KERAS_LIMIT = 256  # photographs: Keras is slow on a CPU, and its rounding errors are the same on all of them
FOLDS, SEED, HEAD = 5, 2018, "logistic"


@dataclass(frozen=True)
class Accuracy:
    """Of one network. The cosines are of rows, smallest and mean; the log losses out of fold, of the same head.

    `loss_rounded` is that of bfloat16 vectors; with `cosine_rounded` it is None where the processor lacks bfloat16.
    """

    backbone: str
    photographs: int
    cosine_rounded: tuple[float, float] | None
    cosine_engines: tuple[float, float]
    loss: float
    loss_rounded: float | None


def available(names: tuple[str, ...], weights_dir: str | None) -> list[str]:
    """The networks whose real weights lie in an installed package or the user's folder."""
    return [name for name in names if weights.find_file(BACKBONES[name], weights_dir) is not None]


def measure(dataset: Dataset, names: list[str], weights_dir: str | None, out: Path) -> list[Accuracy]:
    """Extract with both precisions and both engines, compare the rows, and cross-validate on the training rows."""
    from catsdogs.networks.engines.openvino import computes_bfloat16

    def extracted(engine: str, precision: str, limit: int | None = None) -> list[Features]:
        settings = Settings(weights_dir, engine, precision)
        return [
            feature_file.read_features(path)
            for path in extract(dataset, names, out / engine / precision, settings, limit).paths
        ]

    exact = extracted(ENGINE, "float32")
    rounded = extracted(ENGINE, "bfloat16") if computes_bfloat16() else [None] * len(exact)
    keras = extracted("keras", "float32", KERAS_LIMIT)
    return [
        Accuracy(
            backbone=file.name,
            photographs=sum(map(len, file.ids.values())),
            cosine_rounded=cosines(other, file) if other else None,
            cosine_engines=cosines(second, file),
            loss=log_loss(file),
            loss_rounded=log_loss(other) if other else None,
        )
        for file, other, second in zip(exact, rounded, keras, strict=True)
    ]


def cosines(files: Features, reference: Features) -> tuple[float, float]:
    """The smallest and the mean cosine between rows of the same id."""
    found: list[NDArray[np.float64]] = []
    for split in feature_file.SPLITS:
        position = {id: row for row, id in enumerate(reference.ids[split])}
        rows = [position[id] for id in files.ids[split]]
        if rows:
            ours, theirs = files.vectors(split).astype(np.float64), reference.vectors(split)[rows].astype(np.float64)
            norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
            found.append((ours * theirs).sum(axis=1) / norms)
    every = np.concatenate(found)
    return float(every.min()), float(every.mean())


def log_loss(file: Features) -> float:
    """Out of fold, on the training rows."""
    crossed = training_plan.out_of_fold([file], training_plan.Plan(HEAD, FOLDS, SEED))
    return float(measuring.log_losses(crossed.predictions, file.labels).mean())

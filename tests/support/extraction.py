"""Extraction of a small real data set, and everything in the files that it leaves."""

from pathlib import Path

import h5py
import numpy as np

from catsdogs.features.extract import Extraction, Settings, extract
from catsdogs.features.feature_file import Features
from catsdogs.photographs import stamps
from catsdogs.photographs.dataset import scan

LITE0, LITE1 = "EfficientNetLite0", "EfficientNetLite1"
SETTINGS = Settings(batch_size=4)
CATS, DOGS, TEST = [f"cat.{n}" for n in range(4)], [f"dog.{n}" for n in range(4)], ["1", "2", "3"]


def run(data: Path, out: Path, *names: str, limit: int | None = None, settings: Settings = SETTINGS) -> Extraction:
    return extract(scan(data), names or (LITE0,), out, settings, limit)


def content(path: Path) -> dict[str, object]:
    """Everything in a feature file but the time it was written at."""

    def attributes(item: h5py.HLObject) -> dict[str, object]:
        return {name: np.asarray(value).tolist() for name, value in item.attrs.items() if name != "created"}

    with h5py.File(path) as file:
        parts = {name: (data.dtype, data.shape, data[...].tolist(), attributes(data)) for name, data in file.items()}
        return parts | {"": attributes(file)}


def files_in(folder: Path) -> list[str]:
    """The names of all files but the lock, and what only saves reading."""
    names = (path.name for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name not in (".lock", stamps.STAMPS_FILE) and name[-6:] != ".index")


def vector(features: Features, split: str, id: str) -> np.ndarray:
    return features.vectors(split)[features.ids[split].tolist().index(id)]

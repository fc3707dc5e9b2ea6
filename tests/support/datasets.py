"""Data sets of empty files, and what a scan makes of a data set: its ids and its labels."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catsdogs.demo import drawings
from catsdogs.photographs.dataset import Dataset


def ids(dataset: Dataset, split: str) -> list[str]:
    """The ids of a split, in the order of its rows."""
    return [photograph.id for photograph in dataset.of(split)]


def class_names(dataset: Dataset) -> dict[str, str]:
    """The id of each training row -> its class."""
    return {row.id: dataset.classes[row.label] for row in dataset.of("train")}


def write_empty(root: Path, names: Iterable[str]) -> Path:
    """Empty files of these relative paths below a folder, which is returned."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write_letters(root: Path, counts: dict[str, int]) -> Path:
    """A folder per class with so many photographs, two to predict, and a sample submission."""
    write_empty(root, [f"train/{name}/{number}.jpg" for name, count in counts.items() for number in range(count)])
    write_empty(root, ["test/1.jpg", "test/2.jpg"])
    columns = ["label"] if len(counts) == 2 else list(counts)
    rows = [["id", *columns], *([id, *["0.5"] * len(columns)] for id in "12")]
    (root / "sample_submission.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    return root


def jpeg(seed: int, size: tuple[int, int] = (80, 60)) -> bytes:
    """A small real JPEG, different for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1] // 10, size[0] // 10, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


def write_kaggle_folder(root: Path, cats: int = 4, dogs: int = 4, test: int = 3) -> Path:
    """Kaggle's layout with small JPEGs: train/cat.0.jpg, train/dog.0.jpg, test/1.jpg."""
    names = [f"train/cat.{n}.jpg" for n in range(cats)] + [f"train/dog.{n}.jpg" for n in range(dogs)]
    names += [f"test/{n + 1}.jpg" for n in range(test)]
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(seed))
    return root


def draw_data(root: Path, per_class: int, test: int, no_pet: int) -> Path:
    """The demo's data set in a few pictures, below `root`."""
    with pytest.MonkeyPatch.context() as patch:
        for name, count in {"TRAIN_PER_CLASS": per_class, "TEST_COUNT": test, "NO_PET_COUNT": no_pet}.items():
            patch.setattr(drawings, name, count)
        drawings.draw_dataset(root / "data")
    return root

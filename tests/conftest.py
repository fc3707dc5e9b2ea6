"""What several test modules share: small real data sets, feature files with known vectors, and the shared folder."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catsdogs.dataset import Dataset, scan

SHARED = Path(os.environ.get("CATSDOGS_SHARED", Path(__file__).parents[2] / "shared"))


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


@pytest.fixture
def kaggle_folder(tmp_path: Path) -> Path:
    return write_kaggle_folder(tmp_path / "data")


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Dataset]:
    return lambda **counts: scan(write_kaggle_folder(tmp_path / "data", **counts))


@pytest.fixture
def shared_photographs() -> Path:
    folder = SHARED / "dogs-vs-cats"
    if not folder.is_dir():
        pytest.skip(f"the shared photographs are not at {folder}; set CATSDOGS_SHARED")
    return folder


@pytest.fixture
def shared_weights() -> Path:
    folder = SHARED / "weights"
    if not folder.is_dir():
        pytest.skip(f"the shared weights are not at {folder}; set CATSDOGS_SHARED")
    return folder

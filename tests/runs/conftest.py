"""A run of the quickest head."""

import shutil
from pathlib import Path

import pytest

from tests.support.runs import features, train


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    train([features(folder / "features")], folder)
    return folder / "run"


@pytest.fixture
def folder(tmp_path: Path, original: Path) -> Path:
    """A copy of a run."""
    return Path(shutil.copytree(original, tmp_path / "run"))

"""What the tests of extraction share: EfficientNetLite0, loaded once, and what it makes of a small data set."""

import shutil
from pathlib import Path

import pytest

from catsdogs.features import feature_file
from catsdogs.features.feature_file import Features
from catsdogs.networks.table import BACKBONES
from tests.conftest import need
from tests.support.datasets import write_kaggle_folder
from tests.support.extraction import LITE0, run


@pytest.fixture(scope="module")
def lite_networks(networks_are_loaded_once: None) -> None:
    need(str(BACKBONES[LITE0].package))


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Features:
    """The features of `write_kaggle_folder`, from a run that nothing disturbed."""
    need(str(BACKBONES[LITE0].package))
    root = tmp_path_factory.mktemp("reference")
    write_kaggle_folder(root / "data")
    return feature_file.read_features(run(root / "data", root / "features").paths[0])


@pytest.fixture
def cached(tmp_path: Path, kaggle_folder: Path, reference: Features) -> Path:
    """A folder with the finished feature file of `kaggle_folder`."""
    out = tmp_path / "features"
    out.mkdir()
    shutil.copy(reference.path, out)
    return out

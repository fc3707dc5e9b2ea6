from pathlib import Path

import pytest

from catsdogs.errors import TrainingError
from catsdogs.scoring import streaming, training_plan
from catsdogs.scoring.training_plan import Plan
from tests.conftest import Command, refused
from tests.support.datasets import write_empty
from tests.support.runs import features


def test_more_than_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = features(tmp_path)
    needed = streaming.table_bytes(40, 2)
    monkeypatch.setattr(streaming, "_memory", lambda: needed)
    training_plan.out_of_fold([file], Plan("ridge", 4, 0, streamed=False))
    monkeypatch.setattr(streaming, "_memory", lambda: needed - 1)
    with refused(TrainingError, "40 photographs of 2 classes take 0.0 GB for their probabilities, more than"):
        training_plan.out_of_fold([file], Plan("ridge", 4, 0))


def test_features_refuses_it_before_a_photograph_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    write_empty(tmp_path / "data", [f"{n}/{n}.jpg" for n in range(300)])
    monkeypatch.setattr(streaming, "_memory", lambda: 10**6)
    code, _, err = command("features", "--data", "data", "--backbones", "EfficientNetLite0")
    assert code == 1 and "300 photographs of 300 classes take" in err and not (tmp_path / "features").exists()

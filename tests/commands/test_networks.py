"""Networks on the command line: the list, and ways through a network from features to a submission."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs.networks import weights
from catsdogs.networks.table import BACKBONES
from tests.conftest import Command, need
from tests.support.datasets import draw_data

LITE = BACKBONES["EfficientNetLite0"]
VARIANT = "EfficientNetLite0@96-crop-flip"
OF_OTHERS = ("timm", "torch", "torchvision", "keras_hub", "huggingface_hub", "safetensors")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small drawn data set."""
    if weights.find_file(LITE, None) is None:
        pytest.skip(f"{LITE.package} is not installed")
    return draw_data(tmp_path_factory.mktemp("variants"), 14, 10, 4)


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


class TestList:
    def test_a_pattern_needs_no_flag(self, command: Command) -> None:
        code, out, _ = command("networks", "*lite*")
        assert code == 0 and "EfficientNetLite2     260  mean 1,280" in out and "ResNet50" not in out
        assert out == command("networks", "--pattern", "*lite*")[1]
        assert "next:  catsdogs features --backbones EfficientNetLite0" in out

    def test_all_are_those_of_keras(self, command: Command) -> None:
        out = command("networks")[1]
        assert all(f"\n{name} " in f"\n{out}" for name in BACKBONES) and "to download" in out

    def test_what_timm_has(self, command: Command) -> None:
        need("timm")
        code, out, err = command("networks", "timm:tf_efficientnet_lite*")
        assert code == 0, err
        assert "timm:tf_efficientnet_lite0.in1k     224  mean 1,280" in out and "apache-2.0" in out
        many = command("networks", "timm:resnet*")[1]
        assert "of timm's: `catsdogs networks` says what at most 40 of them cost" in many


class TestVariants:
    """One pass, several files, and each stage after it by the names that the first one says."""

    def test_features(self, inside: Path, command: Command) -> None:
        code, out, err = command(
            "features", "--data", "data", "--backbones", LITE.name, "--size", "96", "--resize", "squash,crop",
            "--views", "none,flip",
        )  # fmt: skip
        assert code == 0, err
        names = [f"EfficientNetLite0@96{how}" for how in ("", "-flip", "-crop", "-crop-flip")]
        assert sorted(path.stem for path in (inside / "features").glob("*.h5") if path.stem[0] != ".") == sorted(names)
        assert f"catsdogs train --backbones {','.join(names)}" in out

    def test_the_cost_is_told(self, inside: Path, command: Command) -> None:
        sets = ("--backbones", "EfficientNetLite0@96", "--backbones", VARIANT)
        code, out, err = command("compare", "--heads", "ridge", "--folds", "2", *sets)
        assert code == 0, err
        with Path("submissions/compare.csv").open() as file:
            costs = {row["backbones"]: float(row["gflops"]) for row in csv.DictReader(file)}
        assert costs[VARIANT] == pytest.approx(2 * costs["EfficientNetLite0@96"])
        assert costs["EfficientNetLite0@96"] == pytest.approx(LITE.gflops * (96 / 224) ** 2)
        assert "GFLOPs: what all networks of the set take for a photograph" in out

    def test_a_run_answers_for_other_photographs(self, inside: Path, command: Command) -> None:
        trained = ("--name", "flipped", "--head", "ridge", "--folds", "2")
        code, _, err = command("train", "--backbones", f"{VARIANT},EfficientNetLite0@96", *trained)
        assert code == 0, err
        first = Path("submissions/flipped/submission.csv").read_text()
        code, _, err = command("predict", "--name", "flipped", "--data", "data", "--out", "again.csv")
        assert code == 0, err
        told = {row["id"]: float(row["label"]) for row in csv.DictReader(first.splitlines())}
        with Path("again.csv").open() as file:
            again = {row["id"]: float(row["label"]) for row in csv.DictReader(file)}
        assert again == pytest.approx(told, abs=1e-4)


@pytest.mark.parametrize("arguments", ["status", "features --data data --backbones EfficientNetLite0@96"])
def test_nothing_of_other_makers_is_imported_unless_asked_for(inside: Path, arguments: str) -> None:
    script = (
        "import sys\nfrom catsdogs.cli import main\nsys.argv = ['catsdogs', *sys.argv[1].split()]\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        f"print([name for name in {OF_OTHERS} if name in sys.modules])"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", script, arguments]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "[]"

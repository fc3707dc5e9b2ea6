"""Networks and matrices as one model: each step held against NumPy, read back without this program."""

import json
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


@pytest.fixture(scope="module")
def random_lite() -> Part:
    return Part(BACKBONES[LITE0], Weights(None, "random"), "float32")


def test_a_keras_file_is_read_by_keras_alone(tmp_path: Path, random_lite: Part) -> None:
    """Grades, whose formula has the most steps, and vectors of a mirrored view, of crops and of half precision."""

    from catsdogs.networks.engines import deployment_keras

    variants = choose([f"{LITE0}@flip", f"{LITE0}@crops5"])
    parts = [random_lite, *(random_lite._replace(backbone=row, dtype="float16") for row in variants)]
    one = formula("ordinal", 2, 3, 3 * 1280)
    one = one._replace(coef=one.coef / 20)
    model = deployment_keras.build_model(parts, one)
    deployment_keras._write_keras(model, tmp_path / "model.keras", json.dumps({"labels": ["a"]}))
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert json.loads(archive.read("catsdogs.json")) == {"labels": ["a"]}
    picture = np.random.default_rng(0).integers(0, 256, (280, 300, 3), dtype=np.uint8)
    fits = deployment.inputs_of([part.backbone for part in parts])
    assert {name: fit.size for name, fit in fits.items()} == {"photograph_224": 224, "photograph_256": 256}
    squares = {name: resizing.squares(picture, fit) for name, fit in fits.items()}
    answers = deployment.read("keras", tmp_path / "model.keras")(squares)
    network = model.get_layer("network_1")
    vectors = []
    for backbone, _, dtype in parts:
        views = np.asarray(network(resizing.squares(picture, backbone.fit)))
        vectors.append(views.mean(axis=0).astype(dtype).astype(np.float64))
    logits = one.coef @ np.concatenate(vectors) + one.intercept
    passed = np.minimum.accumulate(expit(logits), axis=1)
    grades = -np.diff(np.hstack([np.ones((2, 1)), passed, np.zeros((2, 1))]), axis=1).mean(axis=0)
    assert answers[0] == pytest.approx(grades, abs=1e-5) and grades.max() < 0.99


def test_a_network_that_was_trained_here_is_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from catsdogs.networks import build
    from catsdogs.networks.engines import deployment_keras

    monkeypatch.chdir(tmp_path)
    folder = trained.FOLDER / "mine"
    folder.mkdir(parents=True)
    path = trained.weights_path(folder, trained.ALL)
    build.build_path("four-conv", 32).save_weights(path)
    members = dict.fromkeys((trained.ALL, "fold-1", "fold-2"), trained.file_digest(path))
    trained.write_card(folder, replace(CARD, weights=members))
    (mine,) = choose(["mine"])
    deployment.check_backbone(mine)
    part, one = Part(mine, Weights(path, trained.file_digest(path)), "float32"), formula("labels", 2, 3, mine.width)
    square = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    vectors = np.asarray(build.build(mine, part.weights)(square)["vector"], np.float64)
    right = expit(np.einsum("nw,huw->hnu", vectors, one.coef) + one.intercept[:, np.newaxis]).mean(axis=0)
    model = deployment_keras.build_model([part], one)
    assert np.asarray(model({"photograph_32": square})) == pytest.approx(right, abs=1e-5)


def test_networks_of_one_square_share_an_input() -> None:
    lite0, flipped, cropped, padded = choose([LITE0, f"{LITE0}@flip", f"{LITE0}@crop", f"{LITE0}@pad"])
    named = deployment.inputs_of([lite0, flipped, cropped, padded])
    assert list(named) == ["photograph_224", "photograph_224_1", "photograph_224_2"]
    assert [fit.resize for fit in named.values()] == ["squash", CROP, PAD]


def test_what_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, random_lite: Part) -> None:
    with refused(UnknownNameError, "Choose from: onnx, openvino, keras, tflite"):
        deployment.check_format("pickle")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with refused(UsageError, r"--format onnx needs onnx, onnxruntime, tf2onnx, not installed.*catsdogs\[export\]"):
        deployment.check_format("onnx")
    deployment.check_format("openvino")
    with refused(WeightsError, "timm-x cannot be exported"):
        deployment.check_backbone(Backbone("timm-x", 224, 8, "tf", source="timm"))
    monkeypatch.setattr(sys, "executable", "false")
    with refused(WeightsError, "cannot be written as onnx: exit code 1"):
        deployment.write("onnx", [random_lite], formula(width=1280), "{}", tmp_path)
    assert not list(tmp_path.iterdir())

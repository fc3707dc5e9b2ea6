"""Runs as models that answer without this program: every head and kind of task, in each format's own runtime."""

import functools
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from catsdogs import heads
from catsdogs.errors import TrainingError
from catsdogs.networks.engines import deployment
from catsdogs.photographs import images
from catsdogs.photographs.task import Task
from catsdogs.runs import exporting, run_card
from catsdogs.runs.ensemble import load_members, look, networks_of
from tests.conftest import need, refused
from tests.runs.test_explaining import photographs
from tests.support.kinds import OF_KINDS, features_of
from tests.support.runs import LITE0, change_run, extracted, features, train

FORMATS = ("onnx", "openvino", "keras", "tflite")


def asked(trained: run_card.TrainedRun, width: int) -> None:
    """The formula gives what the run's heads give."""
    from catsdogs.networks.engines.deployment_keras import _answers

    vectors = np.random.default_rng(5).normal(size=(40, width)).astype(np.float32)
    found = np.asarray(_answers(vectors, exporting.formula_of(trained)))
    assert exporting.difference(found.astype(float), trained.predict(vectors), trained) < 1e-5


@pytest.mark.parametrize("head", [name for name in heads.linear_names() if name != "notebook"])
@pytest.mark.parametrize("kind", ["names", "grade", "number"])
def test_every_linear_head_and_kind_is_a_formula(tmp_path: Path, head: str, kind: str) -> None:
    task: Task = OF_KINDS[kind]
    train([features_of(tmp_path / "features", task, rows=60)], tmp_path, head=head, folds=2)
    asked(run_card.load_run(tmp_path / "run"), 8)


@pytest.mark.parametrize("classes", [("cat", "dog"), ("bat", "cat", "dog")])
@pytest.mark.parametrize("how", [{}, {"repeats": 2}, {"refit": True}, {"head": "notebook"}])
def test_every_way_to_average_heads_is_a_formula(tmp_path: Path, classes: tuple[str, ...], how: dict) -> None:
    train([features(tmp_path / "features", classes=classes, apart=2)], tmp_path, **{"folds": 2, **how})
    change_run(tmp_path / "run", calibration={"temperature": 1.7, "clip": 0.01})
    asked(run_card.load_run(tmp_path / "run"), 5)
    change_run(tmp_path / "run", version=run_card.OLDEST)
    if not how:
        asked(run_card.load_run(tmp_path / "run"), 5)


def test_heads_that_are_no_matrix_are_refused_by_name(tmp_path: Path) -> None:
    train([features(tmp_path / "features")], tmp_path, head="knn", folds=2)
    listed = "blend, dropout-sigmoid, logistic, notebook, ridge or stack"
    with refused(TrainingError, f"has the head knn, which is no matrix. Train a run with --head {listed}"):
        exporting.export(tmp_path / "run", "openvino")
    assert not (tmp_path / "run/export").exists()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("place")
    files = extracted(photographs(root / "data", ("cat", "dog")), root / "features", LITE0, precision="float32")
    train(files, root / "submissions", head="logistic", folds=2)
    return root / "submissions/run"


@functools.cache
def exported(run: Path, format: str) -> exporting.Exported:
    deployment.check_format(format)
    return exporting.export(run, format)


def metadata_of(format: str, path: Path) -> dict[str, object]:
    if format == "onnx":
        import onnx

        return json.loads({prop.key: prop.value for prop in onnx.load(path).metadata_props}["catsdogs"])
    if format == "openvino":
        import openvino

        return json.loads(openvino.Core().read_model(path).get_rt_info("catsdogs").astype(str))
    return json.loads(zipfile.ZipFile(path).read("catsdogs.json"))


@pytest.mark.parametrize("format", FORMATS)
def test_a_model_answers_as_predict_does(run: Path, format: str) -> None:
    for package in deployment._NEEDED[format]:
        need(package)
    made = exported(run, format)
    assert made.folder == run / "export" / format and made.inputs == {"photograph_224": 224}
    assert made.difference < 1e-5
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert manifest["checked"]["largest_difference_to_predict"] == made.difference
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((made.folder / name).read_bytes()).hexdigest() == digest
    assert sorted([*manifest["sha256"], "manifest.json"]) == [path.name for path in made.paths]
    path = made.folder / deployment.MODEL_FILES[format]
    inside = metadata_of(format, path)
    assert inside["labels"] == ["cat", "dog"] and inside["kind"] == "binary"
    assert inside == {name: value for name, value in manifest.items() if name not in ("checked", "sha256")}
    # Other photographs than those it was checked on, several at once and one alone.
    trained = run_card.load_run(run)
    members = load_members(networks_of(run, trained.run, None))
    loaded = [images.load(path.read_bytes(), {members[0].backbone.fit}) for path in photographs_of(run)]
    right = trained.predict(np.concatenate([look(members, one)[1] for one in loaded]))
    squares = np.concatenate([one.by_fit[members[0].backbone.fit] for one in loaded])
    answers = deployment.read(format, path)
    assert answers({"photograph_224": squares}) == pytest.approx(right, abs=1e-5)
    assert answers({"photograph_224": squares[:1]}) == pytest.approx(right[:1], abs=1e-5)


def photographs_of(run: Path) -> list[Path]:
    return sorted((run.parents[1] / "data/test").glob("*.jpg"))


def test_a_model_that_answers_otherwise_is_not_kept(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {path: path.read_bytes() for path in exported(run, "openvino").paths}
    monkeypatch.setattr(deployment, "write", lambda *_: (Path(_[-1]) / "model.xml").write_text("nothing"))
    right = deployment.read
    monkeypatch.setattr(deployment, "read", lambda *_: lambda given: np.full((len(given["photograph_224"]), 2), 0.5))
    with refused(TrainingError, r"as openvino answers otherwise than predict, by 0\.\d+, and 0.0001 is allowed"):
        exporting.export(run, "openvino")
    monkeypatch.setattr(deployment, "read", lambda *_: lambda given: np.full((len(given["photograph_224"]), 2), np.nan))
    with refused(TrainingError, "by nan"):
        exporting.export(run, "openvino")
    assert {path: path.read_bytes() for path in kept} == kept and right
    assert sorted(path.name for path in (run / "export").iterdir() if path.name.startswith(".")) == []


def test_drawn_photographs_are_not_all_certain(run: Path) -> None:
    """Else a wrong model would pass: where all answers are 0 or 1, no difference shows."""
    trained = run_card.load_run(run)
    members = load_members(networks_of(run, trained.run, None))
    fits = {members[0].backbone.fit}
    assert exporting.drawn() == exporting.drawn() and len(exporting.drawn()) == exporting.CHECKED_ON
    answers = trained.predict(np.concatenate([look(members, images.load(one, fits))[1] for one in exporting.drawn()]))
    assert answers[:, 1].std() > 0.1


ANSWER = """
import json, sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
squares = {one.name: numpy.load(sys.argv[2]) for one in session.get_inputs()}
print(json.dumps(session.run(None, squares)[0].tolist()), "catsdogs" in sys.modules, "tensorflow" in sys.modules)
"""


def test_it_answers_without_this_program(run: Path, tmp_path: Path) -> None:
    for package in deployment._NEEDED["onnx"]:
        need(package)
    path = exported(run, "onnx").folder / "model.onnx"
    square = images.square(photographs_of(run)[0].read_bytes(), 224)
    np.save(tmp_path / "square.npy", square[np.newaxis])
    given = [sys.executable, "-P", "-c", ANSWER, str(path), str(tmp_path / "square.npy")]
    told = subprocess.run(given, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": ""})
    answers = deployment.read("onnx", path)({"photograph_224": square[np.newaxis]})
    assert told.stdout.strip() == f"{json.dumps(answers.tolist())} False False"

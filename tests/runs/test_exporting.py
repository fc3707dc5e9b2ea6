"""Runs as models that answer without this program: every head and kind of task, in each format's own runtime."""

import functools
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catsdogs import heads
from catsdogs.errors import CatsdogsError, TrainingError, UnknownNameError, WeightsError
from catsdogs.features.feature_file import UNKNOWN
from catsdogs.features.recipes import MADE_ELSEWHERE
from catsdogs.networks.engines import deployment
from catsdogs.photographs import images
from catsdogs.photographs.task import Task
from catsdogs.runs import blending, exporting, run_card
from catsdogs.runs.ensemble import load_members, look, networks_of
from tests.conftest import need, refused
from tests.support.browser import complaints, launch
from tests.support.datasets import draw_data
from tests.support.kinds import OF_KINDS, features_of
from tests.support.runs import LITE0, NEAREST_MEAN, change_run, extracted, features, train

pytestmark = pytest.mark.usefixtures("networks_are_loaded_once")
ROOT = Path(__file__).parents[2]
FEW = 6  # drawn photographs to check on, where one export has shown it with as many as there are


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


@pytest.mark.parametrize(
    ("classes", "how"),
    [
        (("cat", "dog"), {}),
        (("cat", "dog"), {"head": "notebook"}),
        (("cat", "dog"), {"refit": True}),
        (("bat", "cat", "dog"), {}),
        (("bat", "cat", "dog"), {"repeats": 2}),
        (("cat", "dog"), {"pseudo": 0.9, "folds": 3}),
        (("cat", "dog"), {"balance": True}),
    ],
)
def test_every_way_to_average_heads_is_a_formula(tmp_path: Path, classes: tuple[str, ...], how: dict) -> None:
    train([features(tmp_path / "features", classes=classes, apart=2)], tmp_path, **{"folds": 2, **how})
    change_run(tmp_path / "run", calibration={"temperature": 1.7, "clip": 0.01})
    asked(run_card.load_run(tmp_path / "run"), 5)
    change_run(tmp_path / "run", version=run_card.OLDEST)
    if not how:
        asked(run_card.load_run(tmp_path / "run"), 5)


def refused_export(folder: Path, kind: type[CatsdogsError], match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence, before weights are looked for and anything is written."""
    monkeypatch.setattr("catsdogs.runs.ensemble.obtain", lambda *_: pytest.fail("weights were looked for"))
    before = sorted(folder.rglob("*"))
    with refused(kind, match):
        exporting.export(folder, "openvino")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "head", ["knn", "pca:4+logistic", "standard+ridge", "GaussianNB", "nearest_mean.py", "lightgbm"]
)
def test_heads_that_are_no_matrix_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nearest_mean.py").write_text(NEAREST_MEAN)
    if head == "lightgbm":
        need(head)
    train([features(tmp_path / "features")], tmp_path, head=head, folds=2)
    listed = "blend, dropout-sigmoid, logistic, notebook, ridge or stack"
    match = f"has the head {re.escape(head)}, which is no matrix. Train a run with --head {listed}"
    refused_export(tmp_path / "run", TrainingError, match, monkeypatch)


@pytest.mark.parametrize(
    ("network", "how", "kind", "match"),
    [
        ("timm-resnet18.a1_in1k", {}, WeightsError, "timm-resnet18.a1_in1k cannot be exported, for timm and KerasHub"),
        ("hub-resnet_18@flip", {}, WeightsError, "hub-resnet_18@flip cannot be exported, for timm and KerasHub"),
        (
            "file-dino",
            {"engine": MADE_ELSEWHERE},
            TrainingError,
            r"made elsewhere \(file-dino\).* without file",
        ),
        ("ResNet50", {"weights": UNKNOWN}, TrainingError, "an old notebook's vectors, of unknown origin. Train on"),
    ],
)
def test_networks_that_cannot_be_built_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str, how: dict, kind: type[CatsdogsError], match: str
) -> None:
    train([features(tmp_path / "features", network, **how)], tmp_path, folds=2)
    refused_export(tmp_path / "run", kind, match, monkeypatch)


def test_runs_of_other_times_and_blends_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = features(tmp_path / "features")
    for name, head in (("one", "ridge"), ("two", "logistic")):
        train([file], tmp_path, name=name, head=head, folds=2)
    given = [blending.Given(run_card.read_run(tmp_path / name), [file]) for name in ("one", "two")]
    blending.blend(given, name="both", submissions=tmp_path, command="catsdogs blend")
    refused_export(tmp_path / "both", TrainingError, "it is blended of other runs. Train a run", monkeypatch)
    change_run(tmp_path / "one", version=0)
    refused_export(tmp_path / "one", TrainingError, "before heads were kept as they are now. Train again", monkeypatch)
    change_run(tmp_path / "two", version=run_card.NEWEST + 1)
    refused_export(tmp_path / "two", TrainingError, "newer than .* Upgrade catsdogs", monkeypatch)
    with refused(UnknownNameError, "No run is called 'gone'"):
        exporting.export(tmp_path / "gone", "openvino")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("place")
    draw_data(root, 6, 4, 0)
    files = extracted(root / "data", root / "features", LITE0, precision="float32")
    train(files, root / "submissions", head="logistic", folds=2)
    return root / "submissions/run"


def leftover(run: Path) -> Path:
    """What an export leaves that was killed half-way; no process has the number of it any more."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    half = run / f"export/.openvino.{ended.pid}.tmp/making-x/model.xml"
    half.parent.mkdir(parents=True)
    half.write_text("half a mod")
    return half


@functools.cache
def exported(run: Path, format: str) -> exporting.Exported:
    """In the process of its own for one format, in this one for the others, which starts TensorFlow once."""
    if format == "openvino":
        half = leftover(run)
        made = exporting.export(run, format)
        assert not half.parents[1].exists()
        return made
    from catsdogs.networks.engines import deployment_keras

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deployment, "_run", lambda _, given: deployment_keras._main(Path(given)))
        patch.setattr(exporting, "CHECKED_ON", FEW)
        return exporting.export(run, format)


def metadata_of(format: str, path: Path) -> dict[str, object]:
    if format == "onnx":
        import onnx

        return json.loads({prop.key: prop.value for prop in onnx.load(path).metadata_props}["catsdogs"])
    if format == "openvino":
        import openvino

        return json.loads(openvino.Core().read_model(path).get_rt_info("catsdogs").astype(str))
    return json.loads(zipfile.ZipFile(path).read("catsdogs.json"))


@pytest.mark.parametrize("format", deployment.MODEL_FILES)
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
    squares, answers = squares_of(run), deployment.read(format, path)
    right = answers_of_the_run(run, [path.read_bytes() for path in photographs_of(run)])
    assert answers({"photograph_224": squares}) == pytest.approx(right, abs=1e-5)
    assert answers({"photograph_224": squares[:1]}) == pytest.approx(right[:1], abs=1e-5)


def photographs_of(run: Path) -> list[Path]:
    return sorted((run.parents[1] / "data/test").glob("*.jpg"))


def squares_of(run: Path) -> np.ndarray:
    return np.stack([images.square(path.read_bytes(), 224) for path in photographs_of(run)])


def answers_of_the_run(run: Path, files: list[bytes]) -> np.ndarray:
    trained = run_card.load_run(run)
    members = load_members(networks_of(run, trained.run, None))
    pixels = [images.load(data, {member.backbone.fit for member in members}) for data in files]
    return trained.predict(np.concatenate([look(members, one)[1] for one in pixels]))


def test_a_model_that_answers_otherwise_is_not_kept(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "CHECKED_ON", FEW)
    kept = {path: path.read_bytes() for path in exported(run, "openvino").paths}
    monkeypatch.setattr(deployment, "write", lambda *_: (Path(_[-1]) / "model.xml").write_text("nothing"))
    monkeypatch.setattr(deployment, "read", lambda *_: lambda given: np.full((len(given["photograph_224"]), 2), 0.5))
    with refused(TrainingError, r"as openvino answers otherwise than predict, by 0\.\d+, and 0.0001 is allowed"):
        exporting.export(run, "openvino")
    monkeypatch.setattr(deployment, "read", lambda *_: lambda given: np.full((len(given["photograph_224"]), 2), np.nan))
    with refused(TrainingError, "by nan"):
        exporting.export(run, "openvino")
    assert {path: path.read_bytes() for path in kept} == kept
    assert sorted(path.name for path in (run / "export").iterdir() if path.name.startswith(".")) == []


def test_drawn_photographs_are_not_all_certain(run: Path) -> None:
    """Else a wrong model would pass: where all answers are 0 or 1, no difference shows."""
    files = exporting.drawn()
    assert files == exporting.drawn() and len(files) == exporting.CHECKED_ON
    assert answers_of_the_run(run, files)[:, 1].std() > 0.1


def code_of(language: str) -> str:
    """The first block of a language in docs/deploy.md."""
    page = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    return page.split(f"```{language}\n", 1)[1].split("```", 1)[0]


def test_the_page_s_python_answers_without_this_program(run: Path) -> None:
    for package in deployment._NEEDED["onnx"]:
        need(package)
    folder = exported(run, "onnx").folder
    square = squares_of(run)[:1]
    Image.fromarray(square[0]).save(folder / "photograph.png")
    code = code_of("python").replace("photograph.jpg", "photograph.png")
    code += 'import sys; print("catsdogs" in sys.modules, "tensorflow" in sys.modules)'
    environment = os.environ | {"PYTHONPATH": ""}
    told = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, env=environment, cwd=folder
    )
    answers = deployment.read("onnx", folder / "model.onnx")({"photograph_224": square})[0].tolist()
    assert told.stdout.splitlines() == [str(dict(zip(("cat", "dog"), answers, strict=True))), "False False"]


def node_modules() -> Path:
    """Where npm has put ONNX Runtime's package for browsers; the test is skipped where it has not."""
    places = [ROOT / "node_modules", *map(Path, filter(None, os.environ.get("NODE_PATH", "").split(os.pathsep)))]
    found = next((place for place in places if (place / "onnxruntime-web").is_dir()), None)
    return found or pytest.skip("no package of npm: npm install onnxruntime-web, here or where NODE_PATH says")


def test_the_page_s_html_answers_in_a_browser(run: Path, tmp_path: Path) -> None:
    packages = node_modules()
    for package in deployment._NEEDED["onnx"]:
        need(package)
    folder = exported(run, "onnx").folder
    square = squares_of(run)[:1]
    Image.fromarray(square[0]).save(tmp_path / "photograph.png")  # of the model's size, so that no canvas resizes it
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "index.html").write_text(f"<!DOCTYPE html>\n<link rel=icon href=data:>{code_of('html')}", "utf-8")
    (tmp_path / "node_modules").symlink_to(packages.resolve(), target_is_directory=True)
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, launch() as browser:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        wrong = complaints(page)
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.set_input_files("#photograph", tmp_path / "photograph.png")
        page.wait_for_function("said.textContent")
        said = dict(line.split(" ") for line in page.locator("#said").inner_text().splitlines())
        server.shutdown()
    answers = deployment.read("onnx", folder / "model.onnx")({"photograph_224": square})[0]
    assert [float(said[label]) for label in ("cat", "dog")] == pytest.approx(answers, abs=1e-4)
    assert wrong == []


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server of files that does not tell of each request."""

    def log_message(self, *_: object) -> None:
        pass

"""What docs/design.md promises of the rooms, read from the code itself."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from benchmarks import structure

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / structure.PACKAGE
MODULES = structure.modules(ROOT)
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())
DEEP_LEARNING = {"keras", "keras_hub", "tensorflow", "torch", "jax"}
WITHOUT_DEEP_LEARNING = {"files", "photographs", "features"}
MOST_ENTRIES, MOST_FLOORS = 22, 13
ONLY_IN = {
    "ai_edge_litert": {"networks/engines/deployment.py"},
    "bokeh": {"report/canvas.py", "report/figures.py"},
    "csv": {"files/tables.py"},
    "cleanlab": {"cleaning/label_errors.py"},
    "faiss": {"features/neighbours.py"},
    "flask": {f"web/{name}.py" for name in ("app", "guard", "overview", "predict", "review", "server", "site")},
    "google_crc32c": {"photographs/tfrecord.py", "files/seal.py"},
    "huggingface_hub": {"networks/*.py"},
    "invoke": {"commands/*.py", "cli.py"},
    "jinja2": {"web/app.py", "report/page.py"},
    "kaggle": {"competition/kaggle.py"},
    "kagglesdk": {"competition/kaggle.py"},
    "kagglehub": {"networks/hub.py"},
    "keras_hub": {"networks/hub.py"},
    "keras": {"networks/*.py", "networks/*/*.py", "finetuning/*.py", "heads/notebook.py"},
    "onnx": {"networks/engines/deployment_keras.py"},
    "onnxruntime": {"networks/engines/deployment.py"},
    "openvino": {"networks/engines/*.py"},
    "pandas": {"front/*.py"},
    "mlflow": {"runs/tracking.py"},
    "pyarrow": {"features/vector_table.py"},
    "ray": {"features/cluster.py"},
    "safetensors": {"networks/engines/*.py"},
    "skops": {"scoring/kept_heads.py"},
    "tenacity": {"files/*.py"},
    "tensorflow": {"networks/devices.py", "scoring/curves.py"},
    "timm": {"networks/engines/*.py"},
    "torch": {"networks/engines/*.py", "networks/devices.py"},
    "upath": {"files/*.py"},
    "waitress": {"web/server.py"},
    "werkzeug": {"web/guard.py", "web/predict.py"},
}


def named(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def in_order() -> list[str]:
    """The rooms, ground floor first, as the table of docs/design.md has them."""
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs/design.md").read_text(encoding="utf-8"), re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([\w/]+?)(?:\.py|/)`", row)]


def test_every_room_is_in_the_table() -> None:
    assert sorted(in_order()) == sorted(structure.rooms(ROOT))


@pytest.mark.parametrize("room", structure.rooms(ROOT))
def test_a_room_imports_only_from_rooms_above_it_in_the_table(room: str) -> None:
    order = in_order()
    assert [other for other in structure.rooms(ROOT)[room] if order.index(other) > order.index(room)] == []


def test_the_house_stays_small() -> None:
    graph = structure.rooms(ROOT)
    assert len(graph) <= MOST_ENTRIES
    assert 0 < len(structure.longest_chain(graph)) <= MOST_FLOORS
    assert structure.mutual(graph) == []
    folders = (structure.PACKAGE, "tests", "benchmarks")
    assert [path for folder in folders for path in structure.long_files(ROOT, folder)] == []
    assert structure.long_functions(ROOT) == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_and_what_it_offers(room: str) -> None:
    package = importlib.import_module(f"{structure.PACKAGE}.{room}")
    assert (package.__doc__ or "").partition("\n")[0].endswith(".")
    offered = [name for name in package.__all__ if not hasattr(package, name)]  # the others are modules
    assert [name for name in offered if importlib.util.find_spec(f"{package.__name__}.{name}") is None] == []


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_other_rooms_take_only_what_a_room_offers(path: Path) -> None:
    own = structure.room_of(ROOT, path)
    for name in structure.imports(path):
        parts = name.split(".")
        if parts[0] != structure.PACKAGE or parts[1] not in ROOMS or parts[1] == own or len(parts) < 3:
            continue
        room = importlib.import_module(".".join(parts[:2]))
        assert parts[2] in room.__all__, f"{named(path)} imports {name}"
        assert not parts[-1].startswith("_"), f"{named(path)} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    libraries = {name.split(".")[0] for name in structure.imports(path)}
    for name in libraries & ONLY_IN.keys():
        assert any(Path(named(path)).match(pattern) for pattern in ONLY_IN[name]), f"{named(path)} imports {name}"
    if structure.room_of(ROOT, path) in WITHOUT_DEEP_LEARNING:
        assert not libraries & DEEP_LEARNING


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_only_commands_print(path: Path) -> None:
    names = {node.id for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Name)}
    assert "print" not in names or named(path) == "commands/console.py"

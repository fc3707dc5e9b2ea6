"""What docs/design.md promises of the modules' imports, read from the code itself."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "catsdogs"
MODULES = sorted(PACKAGE.rglob("*.py"))
DEEP_LEARNING = {"keras", "tensorflow", "torch", "jax"}
ONLY_IN = {
    "kaggle": {"kaggle.py"},
    "kagglesdk": {"kaggle.py"},
    "bokeh": {"figures.py"},
    "cleanlab": {"label_errors.py"},
    "flask": {f"{name}.py" for name in ("app", "context", "guard", "overview", "predict", "review", "server")},
    "jinja2": {"app.py", "page.py"},
    "keras": {
        *("build.py", "efficientnet_lite.py", "weights.py", "keras.py", "notebook.py", "devices.py"),
        *("blocks.py", "four_conv.py", "squeezenet.py", "siamese_cnn.py", "twin.py", "networks/__init__.py"),
        *("adabound.py", "augmentation.py", "filters.py", "finetune.py", "fit.py", "objectives.py", "optimisation.py"),
        *("pairs.py", "stream.py"),
    },
    "faiss": {"neighbours.py"},
    "google_crc32c": {"tfrecord.py", "sealed.py"},
    "openvino": {"openvino.py", "export.py"},
    "tensorflow": {"curves.py", "devices.py"},
    "invoke": {"chores.py", "cli.py", "console.py", "pages.py", "stages.py", "tuning.py"},
    "ray": {"cluster.py"},
    "skops": {"runs.py"},
    "tenacity": {"storage.py"},
    "upath": {"storage.py"},
    "waitress": {"server.py"},
    "werkzeug": {"guard.py", "predict.py"},
}


def imports(path: Path) -> Iterator[str]:
    """Every name a module imports, anywhere in it, in full."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floors() -> dict[str, tuple[int, int]]:
    """Module -> its floor in the table of docs/design.md, and its line there."""
    found, floor = {}, 0
    for line, text in enumerate((ROOT / "docs/design.md").read_text().splitlines()):
        match = re.match(r"\| (\d?) *\| (`.*?) \|", text)
        if match:
            floor = int(match[1] or floor)
            for name in re.findall(r"`([\w/]+?)(?:\.py|/)`", match[2]):
                found[name] = (floor, line)
    return found


def room(module: str) -> str:
    """`catsdogs.networks.weights` -> `backbones`."""
    return module.split(".")[1]


def test_every_module_has_a_floor() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES} - {"__init__"}
    assert rooms == set(floors())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imports(path):
        if name.count(".") and name.startswith("catsdogs.") and room(name) in floors() and room(name) != own:
            assert floors()[room(name)] <= floors()[own], f"{own} imports {room(name)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    for name in {name.split(".")[0] for name in imports(path)}:
        allowed = ONLY_IN.get(name, {path.name})
        assert {path.name, f"{path.parent.name}/{path.name}"} & allowed, f"{path} imports {name}"
    printing = [
        node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name) and node.id == "print"
    ]
    assert not printing or path.name == "console.py"

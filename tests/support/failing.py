"""System calls that fail on some files, in other processes: a fixture with the environment to start them in.

A test module takes it with `pytest_plugins = ("tests.support.failing",)`.

PYTEST_DONT_REWRITE: test modules import from here before they name it as a plugin.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("failing.c")


@pytest.fixture(scope="session")
def failing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process in which no call fails yet; see `failing.c` for how to make some fail."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or not compiler:
        pytest.skip("the library that lets calls fail needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("failing") / "failing.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _SOURCE, "-ldl"], check=True)
    return os.environ | {"LD_PRELOAD": str(library), "PYTHONFAULTHANDLER": "1"}


def contents(folder: Path) -> dict[str, bytes]:
    """Path -> bytes of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

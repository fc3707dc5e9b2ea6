"""What `invoke` does in a checkout: the program's tasks, and the chores, which the installed program has not."""

import subprocess
import sys
from pathlib import Path

import pytest

import tasks
from catsdogs import cli

CHORES = {"audit", "bench", "faults", "lint", "lock", "test"}


def invoke(*arguments: str, folder: Path = tasks.CHECKOUT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "invoke", "--search-root", str(tasks.CHECKOUT), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_invoke_lists_every_task_without_heavy_libraries() -> None:
    listing = invoke("--list")
    assert listing.returncode == 0
    assert all(f"  {name} " in listing.stdout for name in tasks.namespace.task_names)
    heavy = ["numpy", "h5py", "PIL", "pandas", "sklearn", "matplotlib", "keras", "tensorflow", "kaggle"]
    script = f"import sys, tasks; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=tasks.CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    assert loaded.strip() == "[]"


def test_the_program_has_all_tasks_but_the_chores() -> None:
    assert set(tasks.namespace.task_names) - set(cli.collection.task_names) == CHORES
    assert set(cli.collection.task_names) < set(tasks.namespace.task_names)


@pytest.mark.parametrize(("options", "code"), [("--version", 0), ("--no-such-option", 4)])
def test_a_chore_runs_in_the_checkout_and_ends_as_its_tool_does(tmp_path: Path, options: str, code: int) -> None:
    ended = invoke("test", f"--options={options}", folder=tmp_path)
    assert ended.returncode == code and "Traceback" not in ended.stderr
    assert code == 0 or f"rootdir: {tasks.CHECKOUT}" in ended.stderr

"""Everything that `invoke` does in a checkout: the program's tasks, and the chores of those who work on it."""

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from invoke import Collection, Exit

from catsdogs.cli import collection
from catsdogs.commands.console import next_steps, show_every_letter, task, wrote
from catsdogs.commands.settings import Flags

CHECKOUT = Path(__file__).parent
CONSTRAINTS = "constraints.txt"

show_every_letter()  # for invoke's own lists and help, too


@task(options="passed on to pytest")
def test(flags: Flags, options: str = "") -> None:
    """Run the tests, a process for each of up to four cores."""
    _run("pytest", "--numprocesses", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile", *options.split())


@task()
def lint(flags: Flags) -> None:
    """Check style, format and types."""
    _run("ruff", "check", ".")
    _run("ruff", "format", "--check", ".")
    _run("mypy")


@task(upgrade="take the newest releases; pins that still fit stay otherwise")
def lock(flags: Flags, upgrade: bool = False) -> None:
    """Resolve constraints.txt for every supported Python and for Linux, macOS and Windows at once."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=")
    everywhere = ["--universal", "--all-extras", "--python-version", oldest]
    # A pin of pip itself would have pip replace itself while it runs, which Windows forbids.
    output = ["--output-file", CONSTRAINTS, "--no-emit-package", "pip", "--custom-compile-command", "invoke lock"]
    newest = ["--upgrade"] if upgrade else []
    _run("uv", "pip", "compile", "pyproject.toml", "--quiet", *everywhere, *output, *newest)
    wrote(CHECKOUT / CONSTRAINTS)
    next_steps("test")


@task()
def faults(flags: Flags) -> None:
    """Bring about every fault of docs/faults.md in full, some ten minutes long, and write what was seen there."""
    os.environ["CATSDOGS_FAULTS"] = "full"
    _run("pytest", "tests/faults", "--faults-table", "docs/faults.md")


@task()
def audit(flags: Flags) -> None:
    """Ask PyPI for known vulnerabilities of every installed package; fails if there are any, or no answer."""
    command = [sys.executable, "-m", "pip", "list", "--format=freeze", "--exclude-editable"]
    packages = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout  # noqa: S603 - ours
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(packages, encoding="utf-8")
        # Strict, because a package that PyPI says nothing of counts as harmless otherwise.
        _run("pip_audit", "--strict", "--no-deps", "--disable-pip", "--requirement", str(requirements))


@task(
    data="a folder of photographs to measure with; without it, drawn ones",
    weights_dir="real weights, to compare the vectors of labelled photographs",
    limit="photographs of the slowest network in each measurement; also leaves out memory and accuracy",
    rounds="how often everything is measured, in turn",
)
def bench(
    flags: Flags,
    data: str | None = None,
    weights_dir: str | None = None,
    limit: str | None = None,
    rounds: str | None = None,
) -> None:
    """Measure extraction beside what else one would use, an hour long, and write docs/benchmarks.md."""
    given = {"--data": _absolute(data), "--weights-dir": _absolute(weights_dir), "--limit": limit, "--rounds": rounds}
    _run("benchmarks", *(part for flag, value in given.items() if value for part in (flag, value)))


def _absolute(path: str | None) -> str | None:
    """A path as seen from the folder of the call, for a command that runs in the checkout."""
    return str(Path(path).expanduser().resolve()) if path else None


def _run(module: str, *arguments: str) -> None:
    command = [sys.executable, "-m", module, *arguments]
    completed = subprocess.run(command, check=False, cwd=CHECKOUT)  # noqa: S603 - our own tools
    if completed.returncode:
        raise Exit(code=completed.returncode)


namespace = Collection(*collection.tasks.values(), test, lint, lock, faults, audit, bench)

"""Tasks for who works on the project itself, in a checkout: its tests, its checks, its benchmarks."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from invoke import Context, Exit

from catsdogs.commands.console import next_steps, stage, wrote
from catsdogs.errors import UsageError

CHECKOUT = Path(__file__).parents[1]
CONSTRAINTS = "constraints.txt"


@stage(options="passed on to pytest")
def test(c: Context, options: str = "") -> None:
    """Run the tests, a process for each of up to four cores."""
    _run("pytest", "--numprocesses", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile", *options.split())


@stage()
def lint(c: Context) -> None:
    """Check style, format and types."""
    _run("ruff", "check", ".")
    _run("ruff", "format", "--check", ".")
    _run("mypy")


@stage(upgrade="take the newest releases; pins that still fit stay otherwise")
def lock(c: Context, upgrade: bool = False) -> None:
    """Resolve constraints.txt for every supported Python and for Linux, macOS and Windows at once."""
    import tomllib

    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=")
    everywhere = ["--universal", "--all-extras", "--python-version", oldest]
    # A pin of pip itself would have pip replace itself while it runs, which Windows forbids.
    output = ["--output-file", CONSTRAINTS, "--no-emit-package", "pip", "--custom-compile-command", "invoke lock"]
    newest = ["--upgrade"] if upgrade else []
    _run("uv", "pip", "compile", "pyproject.toml", "--quiet", *everywhere, *output, *newest)
    wrote(CHECKOUT / CONSTRAINTS)
    next_steps("test")


@stage()
def faults(c: Context) -> None:
    """Bring about every fault of docs/faults.md in full, some ten minutes long, and write what was seen there."""
    os.environ["CATSDOGS_FAULTS"] = "full"
    _run("pytest", "tests/faults", "--faults-table", "docs/faults.md")


@stage()
def audit(c: Context) -> None:
    """Ask PyPI for known vulnerabilities of every installed package; fails if there are any, or no answer."""
    command = [sys.executable, "-m", "pip", "list", "--format=freeze", "--exclude-editable"]
    listed = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout  # noqa: S603 - ours
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(listed, encoding="utf-8")
        # Strict, because a package that PyPI says nothing of counts as harmless otherwise.
        _run("pip_audit", "--strict", "--no-deps", "--disable-pip", "--requirement", str(requirements))


@stage(
    data="a folder of photographs to measure with; without it, drawn ones",
    weights_dir="real weights, to compare the vectors of labelled photographs",
    limit="photographs of the slowest network in each measurement; also leaves out memory and accuracy",
    rounds="how often everything is measured, in turn",
)
def bench(
    c: Context,
    data: str | None = None,
    weights_dir: str | None = None,
    limit: str | None = None,
    rounds: str | None = None,
) -> None:
    """Measure extraction beside what else one would use, an hour long, and write docs/benchmarks.md."""
    flags = {"--data": _absolute(data), "--weights-dir": _absolute(weights_dir), "--limit": limit, "--rounds": rounds}
    _run("benchmarks", *(part for flag, value in flags.items() if value for part in (flag, value)))


def _absolute(path: str | None) -> str | None:
    """A path as seen from the folder of the call, for a command that runs in the checkout."""
    return str(Path(path).expanduser().resolve()) if path else None


def _run(module: str, *arguments: str) -> None:
    if not (CHECKOUT / "tests").is_dir():
        raise UsageError(
            f"{CHECKOUT} is no checkout of the project", "Clone it, install it with -e, and run this there"
        )
    command = [sys.executable, "-m", module, *arguments]
    completed = subprocess.run(command, check=False, cwd=CHECKOUT)  # noqa: S603 - our own tools
    if completed.returncode:
        raise Exit(code=completed.returncode)

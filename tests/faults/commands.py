"""The program's commands as processes of their own, on a few photographs, to be killed or starved."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from typing import NamedTuple

BACKBONE = "EfficientNetLite0"
STRACE = which("strace")
# Each kind of call by which a file comes about; strace can make any of them the last.
CHANGES = "write,pwrite64,ftruncate,fsync,rename,unlink,unlinkat,mkdir"
# Shards so small that a few photographs make several.
MAIN = "from catsdogs.features import extract; extract.SHARD_ROWS = 4; from catsdogs.cli import main; main()"
FEATURES = ("features", "--data", "data", "--backbones", BACKBONE)
TRAIN = ("train", "--backbones", BACKBONE, "--head", "logistic", "--folds", "2", "--name", "run")


def started(folder: Path, *arguments: str, before: tuple[str, ...] = (), code: str = MAIN) -> "subprocess.Popen[str]":
    """`catsdogs …`, or other code, in a folder; `before` stands before it on the command line."""
    command = [*before, sys.executable, "-c", code, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, text=True, **pipes)  # type: ignore[call-overload,no-any-return]


def ended(folder: Path, *arguments: str, before: tuple[str, ...] = (), code: str = MAIN) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    with started(folder, *arguments, before=before, code=code) as process:
        out, err = process.communicate(timeout=300)
    assert "Traceback" not in out + err, err
    return process.returncode, out, err


def finished(folder: Path, *arguments: str, code: str = MAIN) -> str:
    """The standard output of a command that must succeed."""
    status, out, err = ended(folder, *arguments, code=code)
    assert status == 0, err
    return out


class Killed(NamedTuple):
    """The output of a killed process, and whether the kill came before its end."""

    out: str
    in_time: bool


def kill_after(folder: Path, seconds: float, arguments: Sequence[str], code: str = MAIN) -> Killed:
    """SIGKILL after so long."""
    with started(folder, *arguments, code=code) as process:
        time.sleep(seconds)
        process.kill()
        out, _ = process.communicate()
    return Killed(out, process.returncode == -signal.SIGKILL)


def kill_at_change(folder: Path, number: int, arguments: Sequence[str], code: str = MAIN) -> Killed:
    """SIGKILL in the place of the call of `CHANGES` that is some thread's `number`-th, if it comes so far."""
    inject = f"--inject={CHANGES}:signal=SIGKILL:when={number}"
    with started(folder, *arguments, before=(str(STRACE), "-f", "-o", os.devnull, inject), code=code) as process:
        out, _ = process.communicate(timeout=300)
    return Killed(out, process.returncode == -signal.SIGKILL)


def changes(folder: Path, *arguments: str, code: str = MAIN) -> int:
    """How many calls of `CHANGES` the busiest thread of an undisturbed command makes."""
    trace = folder / ".trace"
    before = (str(STRACE), "-f", "-o", str(trace), f"--trace={CHANGES}")
    with started(folder, *arguments, before=before, code=code) as process:
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    calls = re.findall(rf"^(\d+) +(?:{CHANGES.replace(',', '|')})\(", trace.read_text(), re.MULTILINE)
    trace.unlink()
    return max(calls.count(thread) for thread in set(calls))

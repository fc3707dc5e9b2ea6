"""`python -m benchmarks.first --data DIR`: what the first `features` waits for that the second does not.

A first run has an empty cache, so that its networks are exported; the second run has the cache of the first. Both write
new feature files of the three embedded networks. Rounds alternate between the two, each in a process of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks import parts
from benchmarks.report import machine, number, table
from catsdogs.errors import CatsdogsError, DatasetError

OUT = Path("docs/benchmarks.md")
MARK = "<!-- python -m benchmarks.first -->\n"
LIMIT, ROUNDS = 2000, 3
TARGET = 1.15


class Run(NamedTuple):
    """The seconds of a process and of those it started: by the clock, and of processor time."""

    wall: float
    processor: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the part of the report."""
    parser = argparse.ArgumentParser("python -m benchmarks.first", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a data set")
    parser.add_argument("--limit", type=int, default=LIMIT, help="photographs of it")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    try:
        rounds = [measure(options.data.resolve(), options.limit) for _ in range(options.rounds)]
        parts.put(options.out, MARK, render(rounds, options.limit))
    except CatsdogsError as error:
        print(f"benchmarks.first: {error}", file=sys.stderr)
        return 1
    return 0


def measure(data: Path, limit: int) -> tuple[Run, Run]:
    """A first run and a second one."""
    with tempfile.TemporaryDirectory(prefix="catsdogs-first-") as scratch:
        first, second = (_features(data, limit, Path(scratch), out) for out in ("first", "second"))
        return first, second


def render(rounds: Sequence[tuple[Run, Run]], limit: int) -> str:
    """The part of the report."""
    rows = []
    for name, of in (("clock", lambda run: run.wall), ("processor", lambda run: run.processor)):
        first, second = ([of(run) for run in runs] for runs in zip(*rounds, strict=True))
        ratios = [one / other for one, other in zip(first, second, strict=True)]
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        rows.append([name, number(median(first)), number(median(second)), f"{median(ratios):.3f}", spread])
    return (
        "## The first run beside the second\n\n"
        f"Written by `python -m benchmarks.first` on {datetime.now(UTC):%Y-%m-%d}; {machine()}. `features --backbones "
        f"lite` on {limit:,} photographs, from an empty cache and with the cache that this left, in turn; medians of "
        f"{len(rounds)} rounds, in seconds, from the start of the process to its end. The ratio is that of one round's "
        f"two; by the clock it should be {TARGET} at most.\n\n"
        + table(["seconds", "first run", "second run", "ratio", "from round to round"], rows)
    )


def _features(data: Path, limit: int, scratch: Path, out: str) -> Run:
    arguments = ["features", "--backbones", "lite", "--data", str(data), "--limit", str(limit), "--out", out]
    before, started = os.times(), time.perf_counter()
    ended = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", "from catsdogs.cli import main; main()", *arguments],
        cwd=scratch,
        env=os.environ
        | {"XDG_CACHE_HOME": str(scratch / "cache"), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    wall, after = time.perf_counter() - started, os.times()
    if ended.returncode:
        raise DatasetError("`catsdogs features` failed", "Look at its message above")
    children = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(wall, children)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m benchmarks loader`: how many photographs a second `features` loads, where networks cost nothing.

Everything is real but the networks, which answer zeros at once, and, in the lines so named, the cores: there a process
sleeps as long as decoding takes, and still reads, hashes and writes pixels. Written as a part of docs/benchmarks.md.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from benchmarks import parts, photographs
from benchmarks.arithmetic import Spread
from benchmarks.report import machine, spread_text, table
from catsdogs.errors import CatsdogsError
from catsdogs.files.cores import usable

OUT = Path("docs/benchmarks.md")
MARK = "<!-- python -m benchmarks.loader -->\n"
NETWORKS = "ResNet50,InceptionV3,Xception"
PHOTOGRAPHS, ROUNDS, DRAWN = 8192, 3, 512
SIMULATED = 16  # cores
SIMULATED_CORES = f"{SIMULATED} simulated cores: `features`, processes"
BARE, COPY = "a bare loop on each core", "only writing the pixels, a process on each core"
LEAST = {"two cores": 0.9, "simulated": 4000}  # the targets


class Bench:
    """Figures in photographs a second, each from processes of their own."""

    def __init__(self, data: Path, scratch: Path, backbones: str) -> None:
        self._data, self._scratch, self._backbones, self._numbers = str(data), scratch, backbones, count()

    def features(self, cores: int, how: str, milliseconds: float | None = None) -> float:
        """Of `features` with free networks."""
        out = self._scratch / f"out{next(self._numbers)}"
        rest = [] if milliseconds is None else [f"{milliseconds:.4f}"]
        held_to = cores if milliseconds is None else None
        answer = _run(["run", self._data, str(out), self._backbones, str(cores), how, *rest], held_to)
        shutil.rmtree(out)
        return answer

    def together(self, verb: str, cores: int) -> float:
        """Of as many processes as cores, side by side."""
        with ThreadPoolExecutor(cores) as pool:
            return sum(pool.map(lambda _: _run([verb, self._data, self._backbones], cores), range(cores)))


def _run(arguments: list[str], cores: int | None) -> float:
    """The rate that a process measures; it and its children are held to the first so many cores."""

    def hold() -> None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])

    command = [sys.executable, "-m", "benchmarks.free", *arguments]
    process = subprocess.run(  # noqa: S603 - our own module
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=hold if cores else None
    )
    return float(json.loads(process.stdout)["rate"])


def measure(bench: Bench, rounds: int) -> dict[str, list[float]]:
    """Line of the table -> a figure of each round, in which all lines follow each other."""
    cores, rates = min(2, usable()), dict[str, list[float]]()

    def note(line: str, rate: float) -> None:
        rates.setdefault(line, []).append(rate)
        print(f"{line}: {rate:,.0f} photographs a second", file=sys.stderr)

    for _ in range(rounds):
        note(f"1 core: {BARE}", bench.together("bare", 1))
        milliseconds = 1000 / rates[f"1 core: {BARE}"][-1]
        note("1 core: `features`, a thread", bench.features(1, "threads"))
        if cores > 1:
            note(f"{cores} cores: {BARE}", bench.together("bare", cores))
            note(f"{cores} cores: `features`, threads", bench.features(cores, "threads"))
            note(f"{cores} cores: `features`, processes", bench.features(cores, "processes"))
        note(
            f"{SIMULATED} simulated cores: `features`, processes", bench.features(SIMULATED, "processes", milliseconds)
        )
        note(f"{cores} cores: {COPY}", bench.together("copy", cores))
    return rates


def render(rates: dict[str, list[float]], described: str) -> str:
    """The part of the report."""
    cores = min(2, usable())
    lines = [[line, spread_text(Spread.of(values))] for line, values in rates.items()]
    bare, ours = (rates[f"{cores} cores: {text}"] for text in (BARE, "`features`, processes"))
    ratio = Spread.of([one / other for one, other in zip(ours, bare, strict=True)])
    simulated = Spread.of(rates[SIMULATED_CORES])
    targets = [
        [f"{cores} cores: `features` / bare loop", f"≥ {LEAST['two cores']}", spread_text(ratio)],
        [f"{SIMULATED} simulated cores", f"≥ {LEAST['simulated']:,}/s", spread_text(simulated)],
    ]
    return f"""## Loading photographs, the networks being free

Written by `python -m benchmarks loader` on {datetime.now(UTC):%Y-%m-%d}; {machine()}. {described}, for {NETWORKS} in
one pass: decoded once, resized to 224 and to 299 pixels, in batches of 256. Photographs a second, once all processes
run. A simulated core sleeps as long as the bare loop takes for a photograph, and reads, hashes and writes pixels on the
cores that there are.

{table(["", "photographs a second"], lines)}

{table(["figure", "target", "measured"], targets)}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the part of the report."""
    parser = argparse.ArgumentParser("python -m benchmarks loader", description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder of JPEGs (default: drawn ones)")
    parser.add_argument("--limit", type=int, default=PHOTOGRAPHS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--backbones", default=NETWORKS)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="catsdogs-loader-") as folder:
            scratch = Path(folder)
            found = sorted(options.data.rglob("*.jpg")) if options.data else photographs.draw(scratch / "drawn", DRAWN)
            size = sum(path.stat().st_size for path in found) / len(found) / 1000
            data = photographs.link(scratch / "data", found, options.limit)
            rates = measure(Bench(data, scratch, options.backbones), options.rounds)
            described = f"{options.limit:,} JPEGs of {size:.0f} KB"
            parts.put(options.out, MARK, render(rates, described))
    except CatsdogsError as error:
        print(f"benchmarks loader: {error}", file=sys.stderr)
        return error.exit_code
    print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m benchmarks.cluster`: one process beside one and two Ray workers on this machine, for docs/benchmarks.md.

Two sizes of the same data set are measured: their difference is what more photographs take, and the rest is what
starting takes. Every run is a process of its own with an empty folder of features.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import parts
from benchmarks.arithmetic import Spread
from benchmarks.report import machine, spread_text, table
from catsdogs.errors import CatsdogsError
from catsdogs.progress import Progress

OUT = Path("docs/benchmarks.md")
MARK = "<!-- python -m benchmarks.cluster -->\n"
ROUNDS = 3
NETWORKS = ("EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2")
ONE, SINGLE, PAIR = "one process, both cores", "one Ray worker, and Ray, on one core", "two Ray workers, both cores"
WORKERS = {ONE: 0, SINGLE: 1, PAIR: 2}
SMALL, LARGE = 512, 2000  # photographs: a shard for each of two workers, and four for each
SHARDS = (32, 64, 256)  # rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the part of the report."""
    parser = argparse.ArgumentParser("python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help=f"a data set of at least {LARGE:,} photographs")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    runs = [(way, size, 256) for way in WORKERS for size in (SMALL, LARGE)]
    runs += [(PAIR, LARGE, rows) for rows in SHARDS if rows != 256]
    seconds: dict[tuple[str, int, int], list[float]] = {run: [] for run in runs}
    try:
        with Progress(options.rounds * len(runs), "measuring", "run") as bar:
            for _ in range(options.rounds):
                for run in runs:
                    seconds[run].append(_in_a_process(options.data, *run))
                    bar.update()
    except CatsdogsError as error:
        print(f"benchmarks.cluster: {error}", file=sys.stderr)
        return error.exit_code
    parts.put(options.out, MARK, render(seconds, options.rounds))
    print(f"wrote {options.out}")
    return 0


def _in_a_process(data: Path, way: str, size: int, rows: int) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(once, (data, way, size, rows))


def once(data: Path, way: str, size: int, rows: int) -> float:
    """Seconds from the first photograph to the finished feature files, loading the networks among them."""
    from catsdogs.features import extract
    from catsdogs.photographs.dataset import scan

    extract.SHARD_ROWS = rows
    dataset = scan(data)
    with tempfile.TemporaryDirectory(prefix="catsdogs-cluster-") as scratch:
        out = Path(scratch)
        if not WORKERS[way]:
            return _timed(lambda: extract.extract(dataset, NETWORKS, out, limit=size))
        from catsdogs.features import cluster

        if way == SINGLE:  # Ray counts cores and confines nobody to them, so here the system does
            os.sched_setaffinity(0, {0})
        with cluster.connected("auto", cores=1) as schedule:
            schedule.workers = WORKERS[way]
            return _timed(lambda: extract.extract(dataset, NETWORKS, out, limit=size, schedule=schedule))


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def render(seconds: dict[tuple[str, int, int], list[float]], rounds: int) -> str:
    """This part of docs/benchmarks.md."""
    rates, lines = {}, []
    for way in WORKERS:
        pairs = list(zip(seconds[way, SMALL, 256], seconds[way, LARGE, 256], strict=True))
        rates[way] = [(LARGE - SMALL) / (large - small) for small, large in pairs]
        start = statistics.median(small - SMALL / rate for (small, _), rate in zip(pairs, rates[way], strict=True))
        share = statistics.median(rate / one for rate, one in zip(rates[way], rates[ONE], strict=True))
        totals = (spread_text(Spread.of(seconds[way, size, 256])) for size in (SMALL, LARGE))
        lines.append([way, *totals, spread_text(Spread.of(rates[way])), f"{share:.2f}", f"{start:.1f}"])
    sizes = [[f"{rows}", f"{-(-LARGE // rows)}", spread_text(Spread.of(seconds[PAIR, LARGE, rows]))] for rows in SHARDS]
    few, many = (statistics.median(seconds[PAIR, LARGE, rows]) for rows in (SHARDS[-1], SHARDS[0]))
    each = 2 * (many - few) / (-(-LARGE // SHARDS[0]) - -(-LARGE // SHARDS[-1]))
    head = ("way", f"{SMALL} photographs, s", f"{LARGE:,}, s", "photographs/s", "/ one process", "start, s")
    return (
        f"## One process and Ray's workers\n\n"
        f"Written by `python -m benchmarks.cluster` on {datetime.now(UTC):%Y-%m-%d}; {machine()}. Three EfficientNet-"
        f"Lites, real photographs, shards of 256 rows; seconds are medians of {rounds} rounds in turn, with the spread "
        f"in brackets. The rate is that of the {LARGE - SMALL:,} photographs by which {LARGE:,} are more than {SMALL}; "
        f"the start is the rest: a pool of workers, and networks loaded in each. Starting Ray itself is not in it.\n\n"
        f"{table(head, lines)}\n"
        f"Two workers, {LARGE:,} photographs, by the size of a shard:\n\n"
        f"{table(('rows of a shard', 'shards', 's'), sizes)}\n"
        f"A further shard costs a worker {each:.2f} s.\n"
    )


if __name__ == "__main__":
    sys.exit(main())

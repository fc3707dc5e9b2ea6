"""`python -m benchmarks.grown`: a store of a million rows read, joined and learnt from, for docs/benchmarks.md.

The rows are drawn, and written as `features` writes them. What is measured is a process of its own,
`python -m benchmarks.grown --read FOLDER`: one JSON line comes out.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import CatsdogsError, TrainingError, UsageError
from catsdogs.features import feature_file, virtual
from catsdogs.features.cache import Cache, DigestedPhotograph, ShardRows
from catsdogs.features.recipes import Recipe
from catsdogs.photographs.dataset import Location, Photograph
from catsdogs.photographs.images import STATISTICS
from catsdogs.progress import Progress
from catsdogs.scoring import grades, streaming, training_plan

OUT = Path("docs/benchmarks.md")
MARK = "<!-- python -m benchmarks.grown -->\n"
ROWS = 1_000_000
NETWORKS, WIDTH = 2, 1280
CLASSES = ("cat", "dog")
HEAD, FOLDS, SEED = "dropout-sigmoid", 5, 0
TEST_SHARE = 20  # one row in so many is a test row
TARGET_BYTES = 2e9
APART = 1.6  # from the middle to a class, in standard deviations of the noise
PATIENCE_SECONDS = 7200
_SHARD_ROWS = 256


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the part of the report."""
    parser = argparse.ArgumentParser("python -m benchmarks.grown", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--scratch", type=Path, help="a folder to write in; 11 GB for a million rows")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.read:
        print(json.dumps(read(options.read)))
        return 0
    try:
        with tempfile.TemporaryDirectory(prefix="catsdogs-grown-", dir=options.scratch) as scratch:
            written = write(Path(scratch), options.rows)
            found = written | _child(Path(scratch))
        from benchmarks import parts

        parts.put(options.out, MARK, render(found, options.rows))
    except CatsdogsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def write(folder: Path, rows: int) -> dict[str, Any]:
    """Virtual feature files of two networks: two classes apart in one direction, noise in all others.

    Raises:
        UsageError: too few rows for the folds.
    """
    if rows < 100 * FOLDS:
        raise UsageError(f"{rows} rows", f"Give --rows {100 * FOLDS} or more")
    virtual.VIRTUAL_ROWS = 0  # however few rows are asked for, to try this
    started = time.perf_counter()
    entries, sides = _table(folder, rows)
    for number in range(1, NETWORKS + 1):
        _write_network(folder, number, entries, sides)
    files = [path for path in folder.rglob("*.h5") if path.is_file()]
    return {
        "written": time.perf_counter() - started,
        "writer_memory": _peak(),
        "bytes": sum(path.stat().st_size for path in files),
        "parts": len(files) - NETWORKS,
    }


def read(folder: Path) -> dict[str, Any]:
    """Open, read and join, and train on what `write` wrote; seconds of each, and the most memory of this process."""
    streaming.MEMORY_SHARE = 0.0  # on a machine of any size
    seconds, started = {}, time.perf_counter()

    def done(what: str) -> None:
        nonlocal started
        now = time.perf_counter()
        seconds[what], started = now - started, now

    files = [feature_file.read_features(path) for path in sorted(folder.glob("*.h5"))]
    done("open")
    for split in feature_file.SPLITS:
        streaming.check_readable(files, split)
    done("join")
    crossed = training_plan.out_of_fold(files, training_plan.Plan(HEAD, FOLDS, SEED))
    done("train")
    means = streaming.predicted(
        lambda X: np.mean([head.predict_proba(X) for head in crossed.heads], axis=0), files, "test"
    )
    done("test")
    truth = np.array([id.startswith(CLASSES[1]) for id in files[0].ids["test"]], np.int64)
    labels = files[0].labels
    return {
        "seconds": seconds,
        "memory": _peak(),
        "out_of_fold": vars(grades.score(crossed.predictions, labels, "out of fold")),
        "test_score": vars(grades.score(means, truth, "test")),
        "epochs": len(getattr(crossed.heads[0], "history_", {}).get("loss", ())),
        "heavy": sorted({"keras", "tensorflow", "torch", "jax"} & set(sys.modules)),
    }


def best_log_loss() -> float:
    """What nobody can beat: of the probability of a class, given how far a row lies along the one direction that tells.

    That is ln(1 + exp(-2 a z)) for z normal around a, the distance of a class from the middle.
    """
    z = np.linspace(-8, 8, 20_001) + APART
    density = np.exp(-((z - APART) ** 2) / 2) / math.sqrt(2 * math.pi)
    return float(np.trapezoid(np.logaddexp(0, -2 * APART * z) * density, z))


def render(found: dict[str, Any], rows: int) -> str:
    """The part of the report."""
    from benchmarks.report import machine, table

    seconds, memory = found["seconds"], found["memory"]
    score, test, best = found["out_of_fold"], found["test_score"], best_log_loss()
    lines = [
        ("rows, of which one in 20 is a test row", f"{rows:,}"),
        (f"columns, float16, of {NETWORKS} networks", f"{NETWORKS * WIDTH:,}"),
        ("on the disk, in shards", f"{found['bytes'] / 1e9:.2f} GB in {found['parts']:,}"),
        ("the vectors in memory, had they been joined", f"{rows * NETWORKS * WIDTH * 4 / 1e9:.1f} GB"),
        ("open", f"{seconds['open']:.1f} s"),
        ("read and join all rows once, checksums included", f"{seconds['join']:.1f} s"),
        (f"`{HEAD}`, {FOLDS} folds, {found['epochs']} epochs", f"{seconds['train']:.0f} s"),
        ("test average", f"{seconds['test']:.1f} s"),
        ("log loss out of fold", f"{score['log_loss']:.5f} ± {score['standard_error']:.5f}"),
        ("log loss of the test average", f"{test['log_loss']:.5f} ± {test['standard_error']:.5f}"),
        ("the least that is possible with these classes", f"{best:.5f}"),
        ("peak memory", f"{memory / 1e9:.2f} GB (target: below {TARGET_BYTES / 1e9:.0f} GB, {_met(memory)})"),
        (
            "to draw and write them: time, peak memory",
            f"{found['written']:.0f} s, {found['writer_memory'] / 1e9:.2f} GB",
        ),
    ]
    heavy = f" It had imported {', '.join(found['heavy'])}." if found["heavy"] else ""
    return (
        "## A store that has grown\n\n"
        f"Written by `python -m benchmarks.grown --rows {rows}` on {datetime.now(UTC):%Y-%m-%d}; {machine()}. Drawn "
        "rows, all of one class before all of the other, in virtual feature files; opened, read and learnt from in a "
        f"process of its own.{heavy} Log losses are before calibration: on columns that are mostly noise of their own, "
        "dropout keeps this head less certain than it might be, in memory as well.\n\n"
        + table(["", ""], [list(line) for line in lines]).rstrip("\n")
    )


def _met(memory: float) -> str:
    return "met" if memory < TARGET_BYTES else "not met"


def _table(folder: Path, rows: int) -> tuple[list[DigestedPhotograph], NDArray[np.float32]]:
    """Entries in the order of their ids, as a data set lists them, and on which side of the middle each lies."""
    test = rows // TEST_SHARE
    counts = [("train", side, (rows - test + 1 - side) // 2) for side in range(2)]
    counts += [("test", side, (test + 1 - side) // 2) for side in range(2)]
    digests = iter(np.random.default_rng(SEED).integers(0, 2**63, rows).tolist())
    entries, location = [], Location(folder, "drawn")
    for split, side, count in counts:
        label = side if split == "train" else -1
        entries += [
            DigestedPhotograph(Photograph(f"{CLASSES[side]}.{n}", split, label, location), next(digests))
            for n in range(count)
        ]
    sides = np.repeat([2 * side - 1 for _, side, _ in counts], [count for *_, count in counts])
    return entries, sides.astype(np.float32)


def _write_network(
    folder: Path, number: int, entries: Sequence[DigestedPhotograph], sides: NDArray[np.float32]
) -> None:
    random = np.random.default_rng((SEED, number))
    direction: NDArray[np.float32] = random.standard_normal(WIDTH, np.float32)
    direction *= APART / math.sqrt(NETWORKS) / np.linalg.norm(direction)
    cache = Cache(folder, Recipe(f"Drawn{number}", "none", 0, "none", "none", "none", "float32", "float16"))
    with Progress(len(entries), f"drawing {number}", "row") as bar:
        for rows in _stretches(len(entries)):
            block = entries[rows]
            vectors: NDArray[np.float32] = (
                random.standard_normal((len(block), WIDTH), np.float32) + sides[rows, np.newaxis] * direction
            )
            keys = np.array([entry.key for entry in block], object)
            digests = np.array([entry.digest for entry in block], np.uint64)
            cache.write_shard(
                ShardRows(keys, digests, vectors, np.zeros((len(block), len(STATISTICS)), np.float32)), "none"
            )
            bar.update(len(block))
    cache.assemble(entries, CLASSES, [], "drawn")


def _stretches(rows: int) -> Iterator[slice]:
    return (slice(start, min(start + _SHARD_ROWS, rows)) for start in range(0, rows, _SHARD_ROWS))


def _child(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.grown", "--read", str(folder)]
    try:
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=PATIENCE_SECONDS, check=False)  # noqa: S603 - our own module
    except subprocess.TimeoutExpired:
        raise TrainingError(f"Training took more than {PATIENCE_SECONDS:,} seconds", "Measure fewer rows") from None
    if ended.returncode:
        raise TrainingError(f"The process that trains ended with code {ended.returncode}", "Mend what it says above")
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def _peak() -> float:
    """The most memory that this process ever held, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


if __name__ == "__main__":
    sys.exit(main())

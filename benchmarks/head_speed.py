"""How long heads take and how much memory they hold, on random stand-ins for vectors: a process of its own each.

`python -m benchmarks.head_speed SUBJECT FOLDER` is such a process: one JSON line comes out.
"""

import functools
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.head_scores import FOLDS, NO_CORRECTIONS, SEED
from benchmarks.rows import PATIENCE_SECONDS, environment
from catsdogs import heads
from catsdogs.errors import TrainingError, UsageError
from catsdogs.features import feature_file, joining
from catsdogs.features.cache import Cache, DigestedPhotograph, ShardRows
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import deal
from catsdogs.features.recipes import Recipe
from catsdogs.heads import Head
from catsdogs.photographs.dataset import Location, Photograph
from catsdogs.photographs.images import STATISTICS
from catsdogs.progress import Progress
from catsdogs.scoring import comparison, crossval, training_plan

COMPARED = 5  # heads in one comparison
NETWORKS = 3
_BLOCK_ROWS = 1024
_FACTORS = 64
_APART = 2.0  # from the middle to a class, in standard deviations: 98 % can be told apart
_WARM_UP_ROWS = 200


@dataclass(frozen=True)
class Timing:
    """What a process saw in one round.

    Attributes:
        subject: a head, or heads joined by commas that were compared.
        seconds: five folds, or the whole comparison.
        fits: the calls of `fit` among them, 0 of a comparison.
        test: the average of the folds' heads over the test rows, 0 of a comparison.
        memory: the most that the process ever held, in bytes.
    """

    subject: str
    round: int
    seconds: float
    fits: float
    test: float
    memory: float


def draw(folder: Path, rows: int, width: int) -> None:
    """Feature files of three networks, `width` columns in all: `rows` train rows, half as many test rows, two classes.

    A few factors make columns resemble each other, as those of networks do; independent ones would be fitted too soon.

    Raises:
        UsageError: fewer columns than networks, or too few rows for the folds.
    """
    if width < NETWORKS or rows < 4 * FOLDS:
        raise UsageError(
            f"{rows} x {width} vectors", f"Give --rows {4 * FOLDS} or more, and --width {NETWORKS} or more"
        )
    keys = [("train", row) for row in range(rows)] + [("test", row) for row in range(rows // 2)]
    entries = [
        DigestedPhotograph(
            Photograph(f"{row}", split, row % 2 if split == "train" else -1, Location(folder, f"{row}")), digest
        )
        for digest, (split, row) in enumerate(keys)
    ]
    sides = np.array([row % 2 for _, row in keys], np.float32) * 2 - 1
    parts = np.array_split(np.arange(width), NETWORKS)
    with Progress(NETWORKS * len(entries), "drawing", "row") as bar:
        for number, part in enumerate(parts, start=1):
            random = np.random.default_rng((SEED, number))
            strengths = 1 / np.sqrt(np.arange(1, _FACTORS + 1, dtype=np.float32))
            loadings = random.standard_normal((_FACTORS, len(part)), np.float32) * strengths[:, np.newaxis]
            recipe = Recipe(f"StandIn{number}", "none", 0, "none", "none", "none", "float32", "float32")
            cache = Cache(folder, recipe)
            for start in range(0, len(entries), _BLOCK_ROWS):
                block = entries[start : start + _BLOCK_ROWS]
                vectors = random.standard_normal((len(block), len(part)), np.float32)
                vectors += random.standard_normal((len(block), _FACTORS), np.float32) @ loadings
                vectors += sides[start : start + len(block), np.newaxis] * np.float32(_APART / np.sqrt(width))
                cache.write_shard(_shard(block, vectors), "none")
                bar.update(len(block))
            cache.assemble(entries, ("cat", "dog"), [], "random numbers")


def measure(folder: Path, rounds: int) -> Iterator[list[Timing]]:
    """After each round what was seen so far: every shipped head, then one comparison of those that took longest.

    Raises:
        TrainingError: a process failed.
    """
    names, timings = heads.names(), list[Timing]()
    with Progress(rounds * (len(names) + 1), "measuring", "process") as bar:
        for number in range(1, rounds + 1):
            for name in names:
                timings.append(_child(name, folder, number))
                bar.update()
            if number == 1:
                by_time = sorted(timings, key=lambda timing: timing.seconds, reverse=True)
                slowest = ",".join(timing.subject for timing in by_time[:COMPARED])
            timings.append(_child(slowest, folder, number))
            bar.update()
            yield timings


def _shard(block: Sequence[DigestedPhotograph], vectors: NDArray[np.float32]) -> ShardRows:
    keys, digests = [entry.key for entry in block], [entry.digest for entry in block]
    statistics = np.zeros((len(block), len(STATISTICS)), np.float32)
    return ShardRows(np.array(keys, object), np.array(digests, np.uint64), vectors, statistics)


def _child(subject: str, folder: Path, number: int) -> Timing:
    command = [sys.executable, "-m", "benchmarks.head_speed", subject, str(folder)]
    remedy = "Mend it, or measure fewer rows"
    try:
        ended = subprocess.run(  # noqa: S603 - our own module
            command, env=environment(folder), capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise TrainingError(f"{subject} took more than {PATIENCE_SECONDS:,} seconds", remedy) from None
    if ended.returncode:
        reason = (ended.stderr.strip().splitlines() or [f"ended with code {ended.returncode}"])[-1]
        raise TrainingError(f"{subject} was not measured: {reason}", remedy)
    return Timing(subject, number, **json.loads(ended.stdout.strip().splitlines()[-1]))


def main(subject: str, folder: str) -> None:
    """Measure in this process, and print what `Timing` holds besides subject and round."""
    files = [feature_file.read_features(path) for path in sorted(Path(folder).glob("*.h5"))]
    names = subject.split(",")
    found = _compare(files, names) if len(names) > 1 else _cross_validate(files, names[0])
    print(json.dumps(found | {"memory": _peak()}))


def _compare(files: Sequence[Features], names: Sequence[str]) -> dict[str, float]:
    started = time.perf_counter()
    comparison.compare([files], names, FOLDS, 1, SEED, NO_CORRECTIONS)
    return {"seconds": time.perf_counter() - started, "fits": 0.0, "test": 0.0}


def _cross_validate(files: Sequence[Features], name: str) -> dict[str, float]:
    """Reading the vectors is not timed, nor are imports: a head has been fitted on a few rows before."""
    X, labels = training_plan.training_vectors(files), files[0].labels
    make = functools.partial(heads.create, name, SEED, tuple(file.width for file in files))
    few = X[:_WARM_UP_ROWS].copy()
    make().fit(few, labels[: len(few)]).predict_proba(few)
    all_rows, fits = np.ones(len(labels), bool), list[float]()
    fold = deal(labels, np.arange(len(labels)), FOLDS, SEED)
    started = time.perf_counter()
    fitted = crossval.cross_validate(X, labels, all_rows, fold, lambda: _timed(make(), fits), lambda: None).heads
    seconds = time.perf_counter() - started
    del X
    test = joining.Joined(files, "test").read()
    started = time.perf_counter()
    np.mean([head.predict_proba(test) for head in fitted], axis=0)
    return {"seconds": seconds, "fits": sum(fits), "test": time.perf_counter() - started}


def _timed(head: Any, fits: list[float]) -> Head:
    """The head, whose `fit` notes its seconds."""
    fit: Callable[..., Head] = head.fit

    @functools.wraps(fit)
    def timed(*arguments: Any, **options: Any) -> Head:
        started = time.perf_counter()
        try:
            return fit(*arguments, **options)
        finally:
            fits.append(time.perf_counter() - started)

    head.fit = timed
    return cast(Head, head)


def _peak() -> float:
    """The most memory that this process ever held, in bytes; getrusage also counts what started it, so comes second."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        kilobytes = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
        return float(kilobytes) * 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])

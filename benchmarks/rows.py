"""The rows of the table, and measuring a cell of it: a process of its own for each, one after another."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import PREPARING, Column, by_name
from catsdogs.networks.table import SHORTHANDS

CLASSIC = ("ResNet50", "InceptionV3", "Xception")
LITE0 = "EfficientNetLite0"
PATIENCE_SECONDS = 3600
# photographs: of Lite0 twice, to see whether it grows; of the three together in one shard and a part of another
MEMORY_COUNTS = {"few": 2_000, "many": 20_000, "three": 320}
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Row:
    """Networks in one pass. `share` times the limit is how many photographs: the quicker a row, the more it takes."""

    name: str
    title: str
    backbones: tuple[str, ...]
    share: int
    ours_only: bool = False


ROWS = (
    *(Row(name, name, (name,), 2) for name in CLASSIC),
    Row("three", "the three together", CLASSIC, 1),
    Row("lite", "the three EfficientNet-Lites", SHORTHANDS["lite"], 4),
    Row(LITE0, LITE0, (LITE0,), 24, ours_only=True),
)


@dataclass(frozen=True)
class Measurement:
    """One cell in one round.

    Attributes:
        whole: photographs a second of the whole process: imports, loading, all.
        steady: photographs a second from the first photograph asked for to the last vector, after a warm-up batch.
        memory: the most that the process ever held, in bytes.
    """

    row: str
    column: str
    round: int
    whole: float
    steady: float
    memory: float


@dataclass(frozen=True)
class Failure:
    """A cell that could not be measured, and the last line it left on standard error."""

    row: str
    column: str
    reason: str


def measure(
    row: Row, column: Column, variant: str, number: int, photographs: Path, prepared: Path
) -> Measurement | Failure:
    """Run a contender over the folder of photographs."""
    started = time.perf_counter()
    answer = _child("run", column.name, variant, ",".join(row.backbones), str(photographs), str(prepared))
    whole = time.perf_counter() - started
    if isinstance(answer, str):
        return Failure(row.name, column.name, answer)
    count = answer["photographs"]
    return Measurement(row.name, column.name, number, count / whole, count / answer["seconds"], float(answer["memory"]))


def prepare(backbone: str, columns: list[Column], prepared: Path) -> list[Failure]:
    """Convert a network for the columns that need it; what fails here fails in every row with the network."""
    names = [column.name for column in columns if column.name in PREPARING]
    answer = _child("prepare", ",".join(names), backbone, str(prepared))
    failures = dict.fromkeys(names, answer) if isinstance(answer, str) else answer
    return [
        Failure(backbone, column.name, failures[name])
        for column in columns
        for name in failures
        if column.module == by_name(name).module
    ]


def environment(prepared: Path) -> dict[str, str]:
    """Of every contender: Keras on TensorFlow, and caches that this run shares and nothing survives in."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(paths),
        "XDG_CACHE_HOME": str(prepared / "cache"),
        "TORCHINDUCTOR_CACHE_DIR": str(prepared / "inductor"),
    }


def _child(*arguments: str) -> dict[str, Any] | str:
    """The answer of `benchmarks.contender`, or the last line of its standard error."""
    try:
        ended = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "benchmarks.contender", *arguments],
            env=environment(Path(arguments[-1])),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not done within {PATIENCE_SECONDS:,} seconds"
    if ended.returncode:
        lines = ended.stderr.strip().splitlines()
        return lines[-1] if lines else f"ended with code {ended.returncode}"
    answer: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    return answer

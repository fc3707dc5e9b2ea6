"""A free network: `features` with everything real but the networks, which cost nothing. One JSON line comes out.

`python -m benchmarks.free run DATA OUT BACKBONES CORES HOW [MILLISECONDS]`: HOW is `threads` or `processes`, which with
MILLISECONDS sleep so long for each photograph instead of decoding it, and still write its pixels.
`python -m benchmarks.free bare DATA BACKBONES`: the same decoding and resizing in a bare loop.
`python -m benchmarks.free copy DATA BACKBONES`: only copying as many bytes as the pixels have.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs.features import extract, worker
from catsdogs.features.running import Job, RunningNetwork, Settings
from catsdogs.features.worker import Done, Stretch
from catsdogs.networks.choice import choose
from catsdogs.networks.engines import selection
from catsdogs.networks.engines.interface import Output
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import RANDOM_WEIGHTS, Weights
from catsdogs.photographs import blocks, decoders, images
from catsdogs.photographs.dataset import scan
from catsdogs.photographs.fitting import Fit

BATCH_SIZE = 256  # a GPU's


class FreeEngine:
    """Networks that answer zeros at once."""

    name, precision, backend, batch_size = "keras", "float32", "free", BATCH_SIZE

    def load(self, backbone: Backbone, weights: Weights) -> "FreeNetwork":
        """See `interface.Engine.load`."""
        return FreeNetwork(backbone.network.width)


class FreeNetwork:
    """See `FreeEngine`."""

    note = ""

    def __init__(self, width: int) -> None:
        self._output = Output(
            np.zeros((BATCH_SIZE, width), np.float32),
            np.zeros((BATCH_SIZE, 10), np.float32),
            np.zeros((BATCH_SIZE, 10), np.int16),
        )

    def submit(self, pixels: NDArray[np.uint8]) -> Callable[[], Output]:
        """See `interface.Network.submit`."""
        return lambda: self._output


class _Timed(extract.ThisMachine):
    """Notes when each shard is done: processes that start late, as many do at once on few cores, are not counted."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[float, int]] = []

    def compute(
        self, job: Job, networks: list[RunningNetwork], stretches: Sequence[Stretch], tick: Callable[[int], object]
    ) -> Iterator[Done]:
        started = time.perf_counter()
        for done in super().compute(job, networks, stretches, tick):
            self.seen.append((time.perf_counter() - started, len(done.outcomes)))
            yield done

    @property
    def rate(self) -> float:
        """Photographs a second from a quarter of the shards on."""
        skipped = len(self.seen) // 4
        (start, _), (end, _) = self.seen[skipped], self.seen[-1]
        return sum(rows for _, rows in self.seen[skipped + 1 :]) / (end - start)


def run(data: str, out: str, backbones: str, cores: str, how: str, milliseconds: str = "") -> dict[str, float]:
    """Photographs a second of `features` with free networks, and the seconds to its first shard."""
    selection.create_engine = lambda *_, **__: FreeEngine()
    worker.WORTH_PROCESSES = sys.maxsize if how == "threads" else 0
    selection.accelerator_in_sight = lambda: True
    if milliseconds:
        os.environ["SLEEP_MILLISECONDS"] = milliseconds  # the decoding processes inherit it
        decoders.MODULE = "benchmarks.sleeping"
    dataset, timed = scan(Path(data)), _Timed()
    settings = Settings(weights_dir=RANDOM_WEIGHTS, engine="keras", precision="float32", cores=int(cores))
    extract.extract(dataset, backbones.split(","), Path(out), settings, schedule=timed)
    return {"rate": timed.rate, "first": timed.seen[0][0]}


def bare(data: str, backbones: str) -> dict[str, float]:
    """Photographs a second of one process that decodes and resizes."""
    fits, paths = _fits(backbones), sorted(path for path in Path(data).rglob("*") if path.is_file())
    blocks.keep_freed_memory()  # as `features` does
    started = time.perf_counter()
    for path in paths:
        images.load(path.read_bytes(), fits)
    seconds = time.perf_counter() - started
    return {"rate": len(paths) / seconds}


def copy(data: str, backbones: str) -> dict[str, float]:
    """Photographs a second of one process that writes their pixels into a block, and does nothing else."""
    fits, count = _fits(backbones), sum(path.is_file() for path in Path(data).rglob("*"))
    block = blocks.Block(BATCH_SIZE, fits)
    pixels = images.Pixels(
        {fit: np.ones((fit.view_count, fit.size, fit.size, 3), np.uint8) for fit in fits}, np.zeros(4, np.float32)
    )
    started = time.perf_counter()
    for number in range(count):
        block.put(number % BATCH_SIZE, pixels)
    seconds = time.perf_counter() - started
    return {"rate": count / seconds}


def _fits(backbones: str) -> list[Fit]:
    return sorted({backbone.fit for backbone in choose(backbones.split(","))})


if __name__ == "__main__":
    verbs: dict[str, Callable[..., dict[str, Any]]] = {"run": run, "bare": bare, "copy": copy}
    verb, *arguments = sys.argv[1:]
    print(json.dumps(verbs[verb](*arguments)))

"""A process of its own for `benchmarks.gpu`: one run of `features`, or its parts alone; one JSON line comes out.

`python -m benchmarks.gpu_process run JOB` or `... alone JOB`, where the job is JSON, see `Job`.
"""

import contextlib
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count, cycle, islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.features import extract, running, worker
from catsdogs.features.cache import ShardRows
from catsdogs.features.running import Job as Extraction
from catsdogs.features.running import RunningNetwork, Settings
from catsdogs.features.worker import Done, Stretch
from catsdogs.networks.choice import choose
from catsdogs.networks.engines import selection
from catsdogs.networks.engines.interface import Output
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset, scan
from catsdogs.photographs.loading import Request

LEAST_BATCHES = 4  # of a timing
_WAITING = 8  # results not yet fetched


class Job(NamedTuple):
    """What to do: the photographs' folder, the networks, the folder of feature files, how, and the time of the start.

    `seconds` is how long each part is timed, `checked` how many photographs are computed in float32, too.
    """

    data: str
    backbones: list[str]
    out: str
    weights_dir: str
    engine: str
    batch_size: int | None
    devices: str
    seconds: float
    checked: int
    started: float

    @property
    def settings(self) -> Settings:
        return Settings(self.weights_dir, self.engine, batch_size=self.batch_size, devices=self.devices)


class _Watched(extract.ThisMachine):
    """This machine, with the time of each stage: they begin where the name says."""

    def __init__(self, started: float) -> None:
        super().__init__()
        self.marks = {"start": started}

    def recipes(self, *arguments: Any) -> Any:
        self.marks["engine"] = time.time()
        return super().recipes(*arguments)

    def compute(
        self,
        job: Extraction,
        networks: list[RunningNetwork],
        stretches: Sequence[Stretch],
        tick: Callable[[int], object],
    ) -> Iterator[Done]:
        self.marks["preparing"] = time.time()

        def first(number: int) -> object:
            self.marks.setdefault("photographs", time.time())
            return tick(number)

        yield from super().compute(job, networks, stretches, first)
        self.marks["assembling"] = time.time()


def run(job: Job) -> dict[str, Any]:
    """Stage -> seconds, of a run of `features`; how many rows were computed; and what it told its user."""
    schedule = _Watched(job.started)
    summary = extract.extract(scan(Path(job.data)), job.backbones, Path(job.out), job.settings, schedule=schedule)
    times = [*schedule.marks.items(), ("end", time.time())]
    stages = {name: later - then for (name, then), (_, later) in pairwise(times)}
    return {"stages": stages, "computed": sum(summary.computed.values()), "notes": summary.notes}


def alone(job: Job) -> dict[str, Any]:
    """Part -> photographs a second, once warm; network -> the smallest cosine of its vectors to those in float32."""
    settings, backbones, dataset = job.settings, tuple(choose(job.backbones, job.weights_dir)), scan(Path(job.data))
    recipes = extract.settle_recipes(backbones, Path(job.out), settings)
    extraction = Extraction(dataset.root, backbones, recipes, Path(job.out), settings)
    networks = running.running_networks(extraction)
    for network in networks:
        network.load()
    rates = {"decoding alone": _decoding(extraction, dataset, networks, job.seconds)}
    for network in networks:
        rates[f"{network.backbone.name} alone"] = _computing([network], job.seconds)
    rates["networks alone, in one pass"] = _computing(networks, job.seconds)
    rates["writing alone"] = _writing(networks, job.seconds)
    engine = networks[0].engine
    return {
        "rates": rates,
        "cosines": {network.backbone.name: _cosine(dataset, network, job.checked) for network in networks},
        "engine": f"{engine.name} on {engine.backend}",
        "precisions": [recipe.precision for recipe in recipes],
        "batch": engine.batch_size,
        "gpus": getattr(engine, "copies", 1) if getattr(engine, "on_gpu", False) else 0,
    }


def _decoding(job: Extraction, dataset: Dataset, networks: list[RunningNetwork], seconds: float) -> float:
    """By what loads photographs for `features`, with nothing to compute; from the second block on."""
    locations = cycle(photograph.location for photograph in dataset.photographs)
    requests = (Request(list(islice(locations, worker.SHARD_ROWS))) for _ in count())
    started, number = 0.0, 0
    with (
        worker.loader_of(job, networks, len(dataset.photographs)) as loader,
        contextlib.closing(loader.stream(requests)) as stream,
    ):
        for loaded in stream:
            for row in range(worker.SHARD_ROWS):
                loaded.wait(row)
            loaded.release()
            if not started:
                started = time.perf_counter()
                continue
            number += worker.SHARD_ROWS
            if time.perf_counter() - started > seconds:
                break
        return number / (time.perf_counter() - started)


def _computing(networks: list[RunningNetwork], seconds: float) -> float:
    """From four batches in memory; networks of a size are given the same ones."""
    size, sides = networks[0].engine.batch_size, {network.backbone.input_size for network in networks}
    random = np.random.default_rng(0)
    kept = [{side: random.integers(0, 256, (size, side, side, 3), np.uint8) for side in sides} for _ in range(4)]

    def batches() -> Iterator[dict[int, NDArray[np.uint8]]]:
        # New arrays, as each batch of `features` is one: their pixels are those of the four.
        return ({side: one[side][:] for side in sides} for one in cycle(kept))

    list(_outputs(networks, islice(batches(), 2)))  # the first compiles, the second takes the way of all later ones
    started, done = time.perf_counter(), 0

    def until() -> Iterator[dict[int, NDArray[np.uint8]]]:
        for number, one in zip(count(), batches(), strict=False):
            if number >= LEAST_BATCHES and time.perf_counter() - started > seconds:
                return
            yield one

    for output in _outputs(networks, until()):
        done += len(output.vector)
    return done / len(networks) / (time.perf_counter() - started)


def _outputs(networks: list[RunningNetwork], batches: Iterator[dict[int, NDArray[np.uint8]]]) -> Iterator[Output]:
    """Send every batch through every network; the results, in order, are fetched a while later."""
    waiting: deque[Callable[[], Output]] = deque()
    for batch in batches:
        for network in networks:
            waiting.append(network.load().submit(batch[network.backbone.input_size]))
        while len(waiting) > _WAITING:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


def _writing(networks: list[RunningNetwork], seconds: float) -> float:
    """Shards of random rows, one for each network, as the thread that writes does."""
    random, number = np.random.default_rng(0), worker.SHARD_ROWS
    started, shards = time.perf_counter(), 0
    while time.perf_counter() - started < seconds or not shards:
        for network in networks:
            keys = np.array([f"train/{shards}-{row}" for row in range(number)], object)
            rows = ShardRows(
                keys,
                random.integers(0, 2**63, number).astype(np.uint64),
                random.random((number, network.backbone.width), np.float32),
                random.random((number, 4), np.float32),
                np.zeros((number, 10), np.int16),
                random.random((number, 10), np.float32),
            )
            network.cache.write_shard(rows, network.engine.backend)
        shards += 1
    return number * shards / (time.perf_counter() - started)


def _cosine(dataset: Dataset, network: RunningNetwork, checked: int) -> float | None:
    """None where it computes in float32, or on an engine that measures its own precision."""
    recipe = network.cache.recipe
    if recipe.precision == "float32" or recipe.engine == "openvino":
        return None
    fit, size = network.backbone.fit, network.engine.batch_size
    pixels = np.stack(
        [images.load(dataset.read(one), [fit]).by_fit[fit][0] for one in dataset.photographs[: min(checked, size)]]
    )
    batch = np.zeros((size, *pixels.shape[1:]), np.uint8)
    batch[: len(pixels)] = pixels
    ours = network.load().submit(batch)().vector[: len(pixels)].astype(np.float64)
    exact = selection.exact_vectors(recipe.engine, network.backbone.network, network.weights, pixels)
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(exact, axis=1)
    return float(((ours * exact).sum(1) / norms).min())


if __name__ == "__main__":
    verb, given = sys.argv[1:]
    answer = (run if verb == "run" else alone)(Job(**json.loads(given)))
    sys.stdout.write(f"{json.dumps(answer)}\n")
    sys.stdout.flush()
    os._exit(0)  # what still compiles need not end

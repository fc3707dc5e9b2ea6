"""`python -m benchmarks.gpu`: the Keras engine on a GPU, on whichever backend KERAS_BACKEND names.

It checks bfloat16 vectors against float32, then times each network alone and all in one pass from memory, and all end
to end from JPEGs, decoded by threads and by processes. It needs Keras with one backend, h5py and Pillow, nothing else;
with cykooz.resizer it resizes as `extract` does, without it Pillow does, which takes longer. The loop is its own: no
digests, shards or feature files, which `extract` adds. float32 is the backend's, on NVIDIA's GPUs TF32 by default.
"""

import argparse
import importlib.util
import io
import multiprocessing
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle, islice
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.pixels import squares
from catsdogs.networks.choice import choose
from catsdogs.networks.engines import selection
from catsdogs.networks.engines.interface import Engine, Network, Output
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import RANDOM_WEIGHTS, obtain
from catsdogs.photographs import images

NETWORKS = "ResNet50,InceptionV3,Xception"
FROM_MEMORY = 16_384  # photographs
END_TO_END = 37_500  # photographs: all of Kaggle's Dogs vs. Cats
CHECKED = 256  # photographs whose vectors are compared
DRAWN = 512  # different files; beyond that they are read again
SIZE = (500, 375)
RESIZER = "cykooz_resizer"
TARGETS = {"ResNet50": 8_000.0, "end to end": END_TO_END / 30}  # photographs a second, on one H200 with 16 cores
_WAITING = 16  # results not yet fetched
_CHUNK = 32  # photographs that a process decodes at a time
_AHEAD = 1024  # decoded photographs waiting: 430 MB at 224 and 299 pixels

Batch = dict[int, NDArray[np.uint8]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the table to `--out` and the compared vectors beside it."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder of photographs (default: drawn noise)")
    parser.add_argument("--limit", type=int, help="at most so many photographs in each part")
    parser.add_argument("--backbones", default=NETWORKS)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--weights-dir", default=RANDOM_WEIGHTS, help="real weights (default: random ones)")
    parser.add_argument("--out", type=Path, default=Path("gpu.md"))
    options = parser.parse_args(arguments)
    backbones = choose(options.backbones.split(","))
    with tempfile.TemporaryDirectory() as scratch:
        paths = _files(options.data) if options.data else _draw(Path(scratch), min(DRAWN, options.limit or DRAWN))
        vectors = options.out.with_suffix(".h5")
        cosines = compare(backbones, options, paths, vectors)
        for rates, engine in measure(backbones, options, paths):  # a machine may be taken away before the end
            options.out.write_text(_render(engine, cosines, rates), encoding="utf-8")
    print(f"wrote {options.out} and {vectors}")


def compare(
    backbones: list[Backbone], options: argparse.Namespace, paths: list[Path], out: Path
) -> dict[str, tuple[float, float]]:
    """Network -> the smallest and the mean cosine between its bfloat16 and float32 vectors, which are written down."""
    chosen = list(islice(cycle(paths), min(CHECKED, options.limit or CHECKED)))
    found: dict[str, dict[str, NDArray[np.float32]]] = {backbone.name: {} for backbone in backbones}
    for precision in ("float32", "bfloat16"):
        engine = selection.create_engine("keras", precision, options.batch_size)
        for backbone in backbones:
            network = engine.load(backbone, obtain(backbone, options.weights_dir))
            outputs = _outputs([(backbone, network)], in_threads(chosen, [backbone], engine.batch_size))
            found[backbone.name][precision] = np.concatenate([output.vector for output in outputs])[: len(chosen)]
            _say(f"{backbone.name} in {precision}: {len(chosen)} vectors")
    with h5py.File(out, "w") as file:
        for name, pair in found.items():
            for precision, vectors in pair.items():
                file[f"{name}/{precision}"] = vectors
    return {name: _cosines(pair["bfloat16"], pair["float32"]) for name, pair in found.items()}


def measure(
    backbones: list[Backbone], options: argparse.Namespace, paths: list[Path]
) -> Iterator[tuple[dict[str, float], Engine]]:
    """After each part: part -> photographs a second in bfloat16, once compiled and warm."""
    engine = selection.create_engine("keras", "bfloat16", options.batch_size)
    networks = [(backbone, engine.load(backbone, obtain(backbone, options.weights_dir))) for backbone in backbones]
    for _ in range(2):  # the first batch compiles, the second takes the way that all later ones take
        list(_outputs(networks, _random_batches(backbones, engine.batch_size, engine.batch_size)))
    rates: dict[str, float] = {}

    def timed(part: str, pairs: list[tuple[Backbone, Network]], batches: Iterable[Batch], count: int) -> None:
        started = time.perf_counter()
        deque(_outputs(pairs, batches), maxlen=0)
        rates[part] = count / (time.perf_counter() - started)
        _say(f"{part}: {rates[part]:,.0f} photographs a second")

    count = min(FROM_MEMORY, options.limit or FROM_MEMORY)
    for pair in networks:
        timed(pair[0].name, [pair], list(_random_batches([pair[0]], engine.batch_size, count)), count)
        yield rates, engine
    timed("one pass from memory", networks, list(_random_batches(backbones, engine.batch_size, count)), count)
    yield rates, engine
    count = min(END_TO_END, options.limit or END_TO_END)
    files = list(islice(cycle(paths), count))
    for name, pool in (("threads", in_threads), ("processes", in_processes)):
        timed(f"end to end, {name}", networks, pool(files, backbones, engine.batch_size), count)
        rates["end to end"] = max(rates.get("end to end", 0), rates[f"end to end, {name}"])
        yield rates, engine


def in_threads(paths: list[Path], backbones: list[Backbone], batch_size: int) -> Iterator[Batch]:
    """Batches of decoded files, by input size, from a pool of threads."""
    sizes = {backbone.input_size for backbone in backbones}

    def load(path: Path) -> Batch:
        return _load(path, sizes)

    yield from _gathered(([row] for row in images.in_parallel(load, paths, _AHEAD)), sizes, batch_size)


def in_processes(paths: list[Path], backbones: list[Backbone], batch_size: int) -> Iterator[Batch]:
    """The same from a pool of processes, which share no interpreter lock but send every pixel through a pipe."""
    sizes = {backbone.input_size for backbone in backbones}

    def chunks() -> Iterator[list[Batch]]:
        waiting: deque[Future[list[Batch]]] = deque()
        with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
            for start in range(0, len(paths), _CHUNK):
                waiting.append(pool.submit(_load_chunk, paths[start : start + _CHUNK], sizes))
                if len(waiting) * _CHUNK >= _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    yield from _gathered(chunks(), sizes, batch_size)


def _load_chunk(paths: list[Path], sizes: set[int]) -> list[Batch]:
    return [_load(path, sizes) for path in paths]


def _load(path: Path, sizes: set[int]) -> Batch:
    return squares(path, sizes)


def _resizer() -> str:
    return RESIZER if importlib.util.find_spec(RESIZER) else "pillow"


def _gathered(chunks: Iterable[list[Batch]], sizes: set[int], batch_size: int) -> Iterator[Batch]:
    """Photographs -> batches of one shape, the last one filled up with black."""
    rows = (row for chunk in chunks for row in chunk)
    while taken := list(islice(rows, batch_size)):
        batch = {side: np.zeros((batch_size, side, side, 3), np.uint8) for side in sizes}
        for position, row in enumerate(taken):
            for side in sizes:
                batch[side][position] = row[side]
        yield batch


def _random_batches(backbones: list[Backbone], batch_size: int, count: int) -> Iterator[Batch]:
    """As many batches as `count` photographs fill; four different ones in turn."""
    rng = np.random.default_rng(0)
    sizes = {backbone.input_size for backbone in backbones}
    number = -(-count // batch_size)
    drawn = [
        {side: rng.integers(0, 256, (batch_size, side, side, 3), np.uint8) for side in sizes}
        for _ in range(min(4, number))
    ]
    yield from islice(cycle(drawn), number)


def _outputs(networks: list[tuple[Backbone, Network]], batches: Iterable[Batch]) -> Iterator[Output]:
    """Send every batch through every network; the results, in order, are fetched a while later."""
    waiting: deque[Callable[[], Output]] = deque()
    for batch in batches:
        for backbone, network in networks:
            waiting.append(network.submit(batch[backbone.input_size]))
        while len(waiting) > _WAITING:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


def _cosines(rows: NDArray[np.float32], others: NDArray[np.float32]) -> tuple[float, float]:
    first, second = rows.astype(np.float64), others.astype(np.float64)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = (first * second).sum(axis=1) / norms
    return float(cosines.min()), float(cosines.mean())


def _files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not found:
        sys.exit(f"{folder} holds no JPEGs. Give --data a folder of photographs.")
    return found


def _draw(folder: Path, count: int) -> list[Path]:
    """Soft patches of colour under a camera's noise: JPEGs of about 25 KB, for what can draw better needs more."""
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        rng = np.random.default_rng(number)
        patches = Image.fromarray(rng.integers(0, 256, (19, 25, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
        noise = rng.normal(0, 4, (SIZE[1], SIZE[0], 1)).astype(np.float32)
        jpeg = io.BytesIO()
        Image.fromarray(np.clip(np.asarray(patches, np.float32) + noise, 0, 255).astype(np.uint8)).save(
            jpeg, "JPEG", quality=75
        )
        path.write_bytes(jpeg.getvalue())
    return paths


def _render(engine: Engine, cosines: dict[str, tuple[float, float]], rates: dict[str, float]) -> str:
    libraries = ("keras", engine.backend, "pillow", "numpy")  # a backend is called what its package is
    lines = [
        f"# {_device()}, Keras on {engine.backend}",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        + ", ".join(f"{library} {_version(library)}" for library in libraries)
        + f"; bfloat16, batches of {engine.batch_size}, resized by {_resizer()}.",
        "",
        "| part | photographs a second | target on an H200 |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {part} | {rate:,.0f} | {f'{TARGETS[part]:,.0f}' if part in TARGETS else ''} |"
        for part, rate in rates.items()
    ]
    lines += ["", "| bfloat16 to float32 | smallest cosine | mean |", "| --- | --- | --- |"]
    lines += [f"| {name} | {smallest:.6f} | {mean:.6f} |" for name, (smallest, mean) in cosines.items()]
    return "\n".join(lines) + "\n"


def _device() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return platform.processor() or platform.machine()
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "GPU"  # noqa: S603


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # installed under another name, such as tensorflow-rocm
        return "of unknown version"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

"""A run as one model, in each format, beside the run itself: how far apart, how large, how fast.

`python -m benchmarks.exports submissions/RUN PHOTOGRAPHS [ROUNDS]` prints the table of docs/deploy.md. Photographs are
decoded and resized before the clock starts. All take turns, block by block of the photographs, so that what else the
machine does slows all of them alike; of each speed the best of the rounds counts. A model that has been exported
already is taken as it is.
"""

import io
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from benchmarks.report import table
from catsdogs.networks.engines import deployment, selection
from catsdogs.networks.engines.deployment import KERAS_FILE, ONNX, OPENVINO, TFLITE
from catsdogs.networks.engines.interface import per_photograph
from catsdogs.photographs import images
from catsdogs.photographs.fitting import Fit
from catsdogs.runs import exporting, run_card
from catsdogs.runs.ensemble import TrainedOn, networks_of
from catsdogs.runs.run_card import EXPORT_FOLDER, TrainedRun

BATCH, BLOCK = 8, 64
ITSELF = "the run itself"
Squares = Mapping[Fit, NDArray[np.uint8]]
Prepared = Mapping[str, NDArray[np.uint8]]
Floats = NDArray[np.floating]
Way = Callable[[slice], Floats]  # the answers for these of the photographs


def run_itself(trained: TrainedRun, networks: Sequence[TrainedOn], squares: Squares) -> Way:
    """The run's engines, asked as `predict` asks them, then its heads."""
    loaded = []
    for recipe, backbone, weights in networks:
        engine = selection.create_engine(recipe.engine, recipe.precision, None)
        loaded.append((backbone, engine.load(backbone.network, weights), engine.batch_size))

    def answers(part: slice) -> Floats:
        vectors = []
        for backbone, network, size in loaded:
            pixels = squares[backbone.fit][part]
            waiting = []
            for start in range(0, len(pixels), size):
                batch = pixels[start : start + size]
                short = size - len(batch)
                whole = np.concatenate([batch, np.zeros((short, *batch.shape[1:]), np.uint8)]) if short else batch
                waiting.append((network.submit(whole), len(batch)))
            found = [per_photograph(result(), backbone).vector[:count] for result, count in waiting]
            vectors.append(np.concatenate(found))
        return trained.predict(np.concatenate(vectors, axis=1))

    return answers


def batched(answers: deployment.Answers, given: Prepared) -> Floats:
    """A model's answers, batch by batch, one after the other."""
    count = len(next(iter(given.values())))
    batches = [slice(start, start + BATCH) for start in range(0, count, BATCH)]
    return np.concatenate([answers({name: pixels[one] for name, pixels in given.items()}) for one in batches])


def side_by_side(ways: Mapping[str, Way], count: int, rounds: int) -> dict[str, tuple[Floats, float]]:
    """The answers of each way, and photographs a second."""
    blocks = [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
    for answers in ways.values():
        answers(slice(0, BATCH))  # what a first answer takes besides
    rates, found = dict.fromkeys(ways, 0.0), dict[str, Floats]()
    for _ in range(rounds):
        seconds, parts = dict.fromkeys(ways, 0.0), dict[str, list[Floats]]()
        for block in blocks:
            for name, answers in ways.items():
                started = time.perf_counter()
                parts.setdefault(name, []).append(answers(block))
                seconds[name] += time.perf_counter() - started
        rates = {name: max(rates[name], count / seconds[name]) for name in ways}
        found = {name: np.concatenate(of_blocks) for name, of_blocks in parts.items()}
    return {name: (found[name], rates[name]) for name in ways}


def by_pillow(data: bytes, fit: Fit) -> NDArray[np.uint8]:
    """A photograph prepared as docs/deploy.md does it, without this program."""
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
        return np.asarray(upright.resize((fit.size, fit.size), Image.Resampling.BICUBIC))


def way_of(format: str, folder: Path, given: Prepared) -> Way:
    """A model, exported if need be and asked batch by batch."""
    made = folder / EXPORT_FOLDER / format
    if not made.exists():
        exporting.export(folder, format)
    answers = deployment.read(format, made / deployment.MODEL_FILES[format])
    return lambda part: batched(answers, {name: pixels[part] for name, pixels in given.items()})


def main() -> None:
    folder, paths = Path(sys.argv[1]), sorted(Path(sys.argv[2]).glob("*.jpg"))
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    trained = run_card.load_run(folder)
    networks = networks_of(folder, trained.run, None)
    fits = deployment.inputs_of([network.backbone for network in networks])
    files = [path.read_bytes() for path in paths]
    pixels = [images.load(data, fits.values()) for data in files]
    squares = {fit: np.concatenate([one.by_fit[fit] for one in pixels]) for fit in fits.values()}
    given = {name: squares[fit] for name, fit in fits.items()}
    pillow = {name: np.stack([by_pillow(data, fit) for data in files]) for name, fit in fits.items()}
    ways = {format: way_of(format, folder, given) for format in (OPENVINO, ONNX, TFLITE, KERAS_FILE)}
    before = os.getloadavg()[0]
    found = side_by_side({ITSELF: run_itself(trained, networks, squares)} | ways, len(paths), rounds)
    print(f"{len(paths)} photographs of {sys.argv[2]}, {' + '.join(trained.run.backbones)}, head {trained.run.head}")
    print(f"{rounds} rounds; load average {before:.1f} before, {os.getloadavg()[0]:.1f} after\n")
    right, rate = found.pop(ITSELF)
    lines = [[ITSELF, "", "", "", f"{rate:.1f}"]]
    otherwise = way_of(OPENVINO, folder, pillow)(slice(None))
    for format, (answers, rate) in found.items():
        moved = f"{abs(otherwise - right).max():.1e}" if format == OPENVINO else ""
        size = sum(path.stat().st_size for path in (folder / EXPORT_FOLDER / format).iterdir()) / 1e6
        lines.append([f"`{format}`", f"{abs(answers - right).max():.1e}", moved, f"{size:.1f}", f"{rate:.1f}"])
    print(table(["format", "largest difference", "by Pillow's squares", "MB", "photographs a second"], lines))


if __name__ == "__main__":
    main()

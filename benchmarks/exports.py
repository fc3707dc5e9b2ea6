"""A run as one model, in each format, beside the run itself: how far apart, how large, how fast.

`python -m benchmarks.exports submissions/RUN PHOTOGRAPHS [ROUNDS]` prints the table of docs/deploy.md, line by line.
Photographs are decoded and resized before the clock starts; of each speed the best of the rounds counts. A model that
has been exported already is taken as it is.
"""

import io
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

BATCH = 8
Squares = Mapping[Fit, NDArray[np.uint8]]
Prepared = Mapping[str, NDArray[np.uint8]]
Floats = NDArray[np.floating]


def run_itself(trained: TrainedRun, networks: Sequence[TrainedOn], squares: Squares) -> Callable[[], Floats]:
    """The run's engines, asked as `predict` asks them, then its heads."""
    loaded = []
    for recipe, backbone, weights in networks:
        engine = selection.create_engine(recipe.engine, recipe.precision, None)
        loaded.append((backbone, engine.load(backbone.network, weights), engine.batch_size))

    def answers() -> Floats:
        vectors = []
        for backbone, network, size in loaded:
            pixels = squares[backbone.fit]
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


def best_rate(answers: Callable[[], Floats], count: int, rounds: int) -> tuple[Floats, float]:
    """What a function gives, and photographs a second."""
    rates = []
    for _ in range(rounds):
        started = time.perf_counter()
        found = answers()
        rates.append(count / (time.perf_counter() - started))
    return found, max(rates)


def by_pillow(data: bytes, fit: Fit) -> NDArray[np.uint8]:
    """A photograph prepared as docs/deploy.md does it, without this program."""
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
        return np.asarray(upright.resize((fit.size, fit.size), Image.Resampling.BICUBIC))


def line_of(format: str, folder: Path, given: Prepared, pillow: Prepared, right: Floats, rounds: int) -> list[str]:
    """A line of the table; `pillow` may be empty."""
    made = folder / EXPORT_FOLDER / format
    if not made.exists():
        exporting.export(folder, format)
    answers = deployment.read(format, made / deployment.MODEL_FILES[format])
    found, rate = best_rate(lambda: batched(answers, given), len(right), rounds)
    otherwise = f"{abs(batched(answers, pillow) - right).max():.1e}" if pillow else ""
    size = sum(path.stat().st_size for path in made.iterdir()) / 1e6
    return [f"`{format}`", f"{abs(found - right).max():.1e}", otherwise, f"{size:.1f}", f"{rate:.0f}"]


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
    right, rate = best_rate(run_itself(trained, networks, squares), len(paths), rounds)
    print(f"{len(paths)} photographs of {sys.argv[2]}, {' + '.join(trained.run.backbones)}, head {trained.run.head}\n")
    head = ["format", "largest difference", "by Pillow's squares", "MB", "photographs a second"]
    print(table(head, [["the run itself", "", "", "", f"{rate:.0f}"]]), flush=True)
    for number, format in enumerate((OPENVINO, ONNX, TFLITE, KERAS_FILE)):
        line = line_of(format, folder, given, {} if number else pillow, right, rounds)
        print(f"| {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    main()

"""The photographs of a benchmark: drawn ones of a camera's usual size and weight, or links to somebody's own."""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from catsdogs.demo import drawings
from catsdogs.progress import Progress

SIZE = (500, 375)  # in pixels, the most frequent size in Kaggle's Dogs vs. Cats
QUALITY = 70  # 20 to 30 KB: the drawings' noise weighs more than a photograph's
CAMERA_QUALITY = 88  # 40 KB, as photographs of this size weigh
SEED = 2018


def draw(folder: Path, count: int, quality: int = QUALITY) -> list[Path]:
    """Draw so many JPEGs into a folder; the same ones every time."""

    def one(number: int) -> Path:
        picture = drawings.draw_pet(("cat", "dog")[number % 2], np.random.default_rng((SEED, number)), SIZE)
        jpeg = io.BytesIO()
        picture.save(jpeg, "JPEG", quality=quality)
        path = folder / f"{number}.jpg"
        path.write_bytes(jpeg.getvalue())
        return path

    folder.mkdir(parents=True)
    with Progress(count, "drawing", "picture") as bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        paths = []
        for path in pool.map(one, range(count)):
            paths.append(path)
            bar.update()
    return paths


def spread(paths: list[Path], count: int) -> list[Path]:
    """So many of them, evenly chosen."""
    return [paths[position] for position in np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)]


def link(folder: Path, paths: list[Path], count: int) -> Path:
    """A folder whose one class, `all`, has `count` photographs: links, going round where there are not so many."""
    inside = folder / "all"
    inside.mkdir(parents=True)
    for number, path in enumerate(islice(cycle(paths), count)):
        (inside / f"{number:06}{path.suffix.lower()}").symlink_to(path.resolve())
    return folder

"""Draws ten kinds of simple things, a folder for each: data on which classes can be held out entirely.

python -m benchmarks.kinds FOLDER [PICTURES OF EACH KIND] [SEED]
"""

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from catsdogs.demo.drawings import PLACES, backdrop, pick
from catsdogs.demo.easel import RADIAL, Coat, Colour, Patch, blob, box, path, snapshot, tube, turn
from catsdogs.progress import Progress

SIZES = ((320, 240), (240, 320), (280, 280))
PER_KIND = 40
_DARK = (34.0, 30.0, 30.0)
_PAINTS = ("bright", "wall", "wood", "green", "sky")  # every thing may have any of them, so that no colour tells

Random = np.random.Generator


def _paint(random: Random) -> Colour | Coat:
    """Plain, or with spots, stripes or patches."""
    base, mark = (pick(random, str(random.choice(_PAINTS))) for _ in range(2))
    pattern = str(random.choice(["plain", "none", "none", "tabby", "patches", "spots"]))
    return base if pattern == "none" else Coat(base, mark, pattern)


def _thing(outline: np.ndarray, fill: Coat | Colour, relief: float = 0.6, grain: float | None = None) -> Patch:
    return Patch(outline, fill, grain, relief)


def mug(random: Random) -> list[Patch]:
    fill, half, tall = _paint(random), random.uniform(0.45, 0.7), random.uniform(0.5, 0.9)
    reach = half + random.uniform(0.35, 0.5)
    handle = [
        _thing(tube(half - 0.1, -0.5 * tall, reach, -0.55 * tall, reach, 0, 0.09, 0.09), fill),
        _thing(tube(reach, 0, reach, 0.55 * tall, half - 0.1, 0.5 * tall, 0.09, 0.09), fill),
    ]
    body = path(-half, -tall, half, -tall, 0.95 * half, tall, -0.95 * half, tall)
    return [*handle, _thing(body, fill), _thing(blob(0, -tall, half, 0.16), _DARK, 0.2)]


def teapot(random: Random) -> list[Patch]:
    fill, wide, tall = _paint(random), random.uniform(0.6, 0.8), random.uniform(0.45, 0.7)
    spout = tube(-0.8 * wide, 0.25, -1.1, 0.1, -1.25, -0.55, 0.2, 0.07)
    handle = [tube(0.7 * wide, -0.35, 1.25, -0.4, 1.15, 0, 0.08, 0.08), tube(1.15, 0, 1, 0.4, 0.6, 0.4, 0.08, 0.08)]
    lid = [blob(0, -tall, 0.4 * wide, 0.14), blob(0, -tall - 0.17, 0.1, 0.1)]
    return [_thing(outline, fill) for outline in (spout, *handle, blob(0, 0, wide, tall), *lid)]


def bottle(random: Random) -> list[Patch]:
    fill, half, neck = _paint(random), random.uniform(0.25, 0.45), random.uniform(0.09, 0.15)
    shoulder = random.uniform(-0.5, 0)
    outline = path(-neck, -1, neck, -1, neck, shoulder - 0.35, half, shoulder, half, 1, -half, 1, -half, shoulder)
    outline = np.vstack((outline, [(-neck, shoulder - 0.35)]))
    label = box(-half, shoulder + 0.25, half, 0.75)
    return [_thing(outline, fill), _thing(label, _paint(random), 0.1), _thing(box(-neck, -1.1, neck, -0.9), _DARK)]


def lamp(random: Random) -> list[Patch]:
    top, low, knee = random.uniform(0.2, 0.5), random.uniform(0.55, 0.85), random.uniform(-0.25, 0.1)
    foot, stem = _paint(random), random.uniform(0.05, 0.12)
    shade = path(-top, -1, top, -1, low, knee, -low, knee)
    stand = [blob(0, 0.95, random.uniform(0.35, 0.6), 0.12), tube(0, knee, 0, 0.5, 0, 0.95, stem, stem)]
    return [*(_thing(outline, foot) for outline in stand), _thing(shade, _paint(random), 0.5)]


def mushroom(random: Random) -> list[Patch]:
    wide, high, stem = random.uniform(0.6, 1), random.uniform(0.4, 0.8), random.uniform(0.15, 0.3)
    angles = np.linspace(np.pi, 2 * np.pi, 24)
    cap = np.stack((wide * np.cos(angles), high * np.sin(angles)), axis=1)
    return [
        _thing(tube(0, -0.1, 0.05, 0.4, 0, 0.9, 0.8 * stem, stem), _paint(random)),
        _thing(cap, _paint(random), 0.8),
    ]


def tree(random: Random) -> list[Patch]:
    trunk = _thing(tube(0, 1, random.uniform(-0.15, 0.15), 0.5, 0, -0.2, 0.16, 0.1), pick(random, "wood"), 0.5, 90.0)
    leaves = _paint(random) if random.random() < 0.5 else pick(random, "green")
    if random.random() < 0.5:
        tiers = [
            path(0, top, 0.35 + 0.5 * (top + 1), top + 0.75, -0.35 - 0.5 * (top + 1), top + 0.75)
            for top in (-0.2, -0.6, -1)
        ]
        return [trunk, *(_thing(tier, leaves, 0.5, 60.0) for tier in tiers)]
    tufts = [blob(*random.uniform((-0.45, -0.8), (0.45, -0.1)), *random.uniform(0.3, 0.5, 2)) for _ in range(6)]
    return [trunk, *(_thing(tuft, leaves, 0.6, 40.0) for tuft in tufts)]


def flower(random: Random) -> list[Patch]:
    petals, fill, long = int(random.integers(5, 10)), _paint(random), random.uniform(0.25, 0.4)
    stalk = _thing(tube(0, -0.4, random.uniform(-0.3, 0.3), 0.4, 0, 1.1, 0.05, 0.07), pick(random, "green"))
    leaf = _thing(blob(0.3, 0.6, 0.3, 0.11, -30), pick(random, "green"))
    petal = blob(long + 0.1, 0, long, 0.17)
    rays = [np.add(turn(petal, 360 * number / petals), (0, -0.4)) for number in range(petals)]
    return [stalk, leaf, *(_thing(ray, fill, 0.4) for ray in rays), _thing(blob(0, -0.4, 0.2, 0.2), _paint(random))]


def fish(random: Random) -> list[Patch]:
    fill, long, high = _paint(random), random.uniform(0.65, 0.85), random.uniform(0.3, 0.55)
    tail = path(long - 0.2, 0, 1.2, -random.uniform(0.3, 0.5), 1.05, 0, 1.2, random.uniform(0.3, 0.5))
    fin = path(-0.2, -0.8 * high, 0.3, -high - random.uniform(0.1, 0.3), 0.45, -0.6 * high)
    body = [_thing(outline, fill) for outline in (tail, fin, blob(0, 0, long, high))]
    return [
        *body,
        _thing(blob(-0.6 * long, -0.2 * high, 0.07, 0.07), (240, 240, 236)),
        _thing(blob(-0.61 * long, -0.2 * high, 0.035, 0.035), _DARK),
    ]


def bird(random: Random) -> list[Patch]:
    fill, lean = _paint(random), random.uniform(10, 35)
    legs = [_thing(tube(x, 0.4, x, 0.7, x - 0.05, 1, 0.03, 0.03), _DARK) for x in (-0.05, 0.15)]
    tail = path(0.5, 0.1, random.uniform(1.1, 1.4), random.uniform(0.2, 0.6), 1.1, 0.0)
    shapes = [_thing(tail, fill), _thing(blob(0.1, 0.1, 0.7, 0.42, lean), fill, 0.6, 20.0)]
    beak = _thing(path(-0.75, -0.55, -1.15, -0.42, -0.75, -0.35), pick(random, "bright"))
    head = [
        beak,
        _thing(blob(-0.5, -0.45, 0.33, 0.31), fill, 0.6, RADIAL),
        _thing(blob(-0.6, -0.52, 0.05, 0.05), _DARK),
    ]
    return [*legs, *shapes, *head, _thing(blob(0.2, 0.1, 0.45, 0.22, lean + 8), _paint(random), 0.5, 20.0)]


def snail(random: Random) -> list[Patch]:
    skin, fill, size = _paint(random), _paint(random), random.uniform(0.45, 0.65)
    body = [tube(1, 0.85, 0, 0.8, -0.7, 0.75, 0.05, 0.18), tube(-0.6, 0.75, -0.95, 0.6, -0.9, 0.2, 0.16, 0.13)]
    horns = [tube(-0.9, 0.2, -1, 0, -0.9 + away, -0.15, 0.03, 0.05) for away in (-0.25, 0.05)]
    whorls = [
        blob(0.1 + 0.08 * n, 0.75 - size + 0.04 * n, size * (1 - 0.28 * n), size * (1 - 0.28 * n)) for n in range(3)
    ]
    rings = [_thing(whorl, fill if n != 1 else _paint(random), 0.9) for n, whorl in enumerate(whorls)]
    return [*(_thing(outline, skin) for outline in (*horns, *body)), *rings]


KINDS: dict[str, Callable[[Random], list[Patch]]] = {
    kind.__name__: kind for kind in (bird, bottle, fish, flower, lamp, mug, mushroom, snail, teapot, tree)
}


def draw(kind: str, random: Random) -> Image.Image:
    """One thing somewhere on a lawn, in a room, on a sofa or in a studio, RGB."""
    size = SIZES[random.integers(len(SIZES))]
    parts, angle, width = KINDS[kind](random), random.normal(0, 12), random.uniform(0.8, 1.2)
    parts = [replace(part, outline=turn(part.outline * (width, 1), angle)) for part in parts]
    if random.random() < 0.5:
        parts = [part.mirrored() for part in parts]
    unit = min(size) / 2 * random.uniform(0.25, 0.75)
    origin = np.array(size) * random.uniform(0.35, 0.65, 2)
    easel = backdrop(str(random.choice(PLACES)), random, size, np.add(blob(0, 1, 0.9, 0.2) * unit, origin))
    for part in parts:
        easel.paint(part, unit, (float(origin[0]), float(origin[1])))
    return snapshot(easel)


def write(folder: Path, per_kind: int = PER_KIND, seed: int = 0) -> None:
    """`folder/<kind>/<n>.jpg`; the same seed gives the same pictures, and more of them begin with the same ones."""
    with Progress(len(KINDS) * per_kind, "drawing", "picture") as progress:
        for place, kind in enumerate(KINDS):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            for number in range(per_kind):
                jpeg = io.BytesIO()
                draw(kind, np.random.default_rng((seed, place, number))).save(jpeg, "JPEG", quality=88)
                (folder / kind / f"{kind}-{number}.jpg").write_bytes(jpeg.getvalue())
                progress.update()


if __name__ == "__main__":
    write(Path(sys.argv[1]), *map(int, sys.argv[2:]))

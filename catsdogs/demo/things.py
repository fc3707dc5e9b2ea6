"""Draws one thing, such as a striped disc, on a cloudy ground: what competitions of the demo ask to tell apart."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor

from catsdogs.demo.easel import Coat, Easel, Patch, Reals, blob, clouds, path, snapshot, tube, turn

SIZES = ((160, 120), (120, 160), (144, 144), (192, 144))
GRAINS = (0.0, 30.0, 60.0, 90.0, 120.0, 150.0)  # degrees


class Look(NamedTuple):
    """What a thing looks like; what is None differs from picture to picture. `hue` is in degrees."""

    shape: str | None = None
    pattern: str | None = None
    hue: float | None = None


def _star(points: int, depth: float) -> Reals:
    """Outline of a star whose inner corners lie at the share `depth` of the radius 1."""
    angles = np.arange(2 * points) * np.pi / points
    radii = np.where(np.arange(2 * points) % 2, depth, 1)
    return path(*np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1).ravel().tolist())


def _polygon(corners: int) -> Reals:
    return _star(corners, math.cos(math.pi / corners))


SHAPES = {
    "disc": blob(0, 0, 0.9, 0.9),
    "square": _polygon(4),
    "star": _star(5, 0.42),
    "triangle": _polygon(3),
    "oval": blob(0, 0, 1.1, 0.55),
    "cross": _star(4, 0.35),
    "hexagon": _polygon(6),
    "stick": tube(-1, 0, 0, 0.5, 1, 0, 0.25, 0.25),
    "sun": _star(12, 0.7),
}
PATTERNS = {"plain": "plain", "striped": "tabby", "spotted": "spots", "patchy": "patches"}  # as `easel.Coat` calls them
EMPTY = "empty"  # a ground without a thing


def looks(count: int) -> list[Look]:
    """So many looks, at most 36, of which neighbours share neither shape nor pattern; each has a hue of its own."""
    shapes, patterns = list(SHAPES), list(PATTERNS)  # 9 and 4 of them, which have no common divisor
    return [
        Look(shapes[n % len(shapes)], patterns[n % len(patterns)], n * 137.5 % 360)  # golden angle
        for n in range(count)
    ]


def draw_thing(look: Look, rng: np.random.Generator, sizes: Sequence[tuple[int, int]] = SIZES) -> Image.Image:
    """A thing of this look, RGB, of one of the `sizes` (width, height) in pixels."""
    width, height = sizes[int(rng.integers(len(sizes)))]
    here, there = (_colour(rng.uniform(0, 360), rng.uniform(10, 45), rng.uniform(35, 90)) for _ in range(2))
    share = np.clip(0.5 + 0.35 * clouds(rng, (height, width), rng.uniform(2, 6)), 0, 1)[..., None]
    easel = Easel(rng, (here + (there - here) * share).astype(np.float32), rng.uniform(-2.5, -0.6))
    unit = min(width, height) * rng.uniform(0.25, 0.42)
    middle = width * rng.uniform(0.35, 0.65), height * rng.uniform(0.35, 0.65)
    for _ in range(rng.integers(1, 4)):  # twigs, which say nothing
        x, y, end, bend = rng.uniform(-2, 2, 4)
        twig = Patch(tube(x, y, bend, end, -x, end, 0.05, 0.03), _rgb(rng.uniform(0, 360), 30, 40), None, 0.4)
        easel.paint(twig, unit, middle)
    if look.shape != EMPTY:
        easel.paint(_thing(look, rng), unit, middle)
    return snapshot(easel)


def _thing(look: Look, rng: np.random.Generator) -> Patch:
    shape = look.shape or str(rng.choice(list(SHAPES)))
    pattern = look.pattern or str(rng.choice(list(PATTERNS)))
    hue = rng.uniform(0, 360) if look.hue is None else look.hue + rng.normal(0, 12)
    coat = Coat(_rgb(hue, 65, 75), _rgb(hue + 25, 70, 30), PATTERNS[pattern])
    squeezed = SHAPES[shape] * (1, rng.uniform(0.85, 1))
    return Patch(turn(squeezed, rng.uniform(0, 360)), coat, float(rng.choice(GRAINS)), rng.uniform(0.3, 0.7))


def _rgb(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = ImageColor.getrgb(f"hsv({hue % 360:.3f},{saturation:.3f}%,{value:.3f}%)")[:3]
    return red, green, blue


def _colour(hue: float, saturation: float, value: float) -> Reals:
    return np.array(_rgb(hue, saturation, value), dtype=np.float32)

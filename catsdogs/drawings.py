"""Draws the demo's small data set, cats, dogs and a few pictures without a pet, in Kaggle's own layout.

Every picture is a list of outlines painted back to front: an outline is filled with its coat, given a soft relief by
the light, a ragged edge and strokes of fur, at twice the size, and then sampled down.
"""

import csv
import io
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

TRAIN_PER_CLASS = 200
TEST_COUNT = 100
NO_PET_COUNT = 12
DAMAGED_COUNT = 2
OVERSAMPLING = 3
FUR_TILE = 512

Floats = NDArray[np.float32]
Colour = tuple[int, int, int]
Point = tuple[float, float]

README = """These pictures are drawings, not photographs. `catsdogs.drawings` made them with Pillow and a seeded random generator,
so that the whole pipeline can be tried without downloading anything. No score measured on them says anything about
photographs.

train/   cat.N.jpg and dog.N.jpg; {no_pet} of them show no pet at all and {damaged} are damaged, on purpose
test/    N.jpg, to be predicted
sample_submission.csv   the form of an answer: id,label with label = probability of dog
truth.csv               the right answers for test/: 0 cat, 1 dog
"""


@dataclass(frozen=True)
class Coat:
    """The colours of one animal and how `base` and `mark` share its body; `pale` is on muzzle, chest and paws."""

    base: Colour
    mark: Colour
    pale: Colour
    pattern: str = "plain"


@dataclass(frozen=True)
class Part:
    """A closed outline, (n, 2) in the animal's own units (head radius 1, y down), and what covers it.

    `grain` is the direction of the fur in degrees, `RADIAL` from the middle outwards, or None for a smooth surface.
    """

    outline: Floats
    fill: Coat | Colour
    grain: float | None = None
    relief: float = 0.5


Painter = Callable[[np.random.Generator, float], list[Part]]

RADIAL = 999.0
BUST = 2.3
INK = (24, 20, 20)
CAT_COATS = (
    Coat((206, 128, 58), (150, 78, 28), (240, 214, 180), "tabby"),
    Coat((140, 132, 120), (62, 56, 50), (214, 206, 194), "tabby"),
    Coat((158, 128, 94), (70, 50, 34), (222, 202, 174), "tabby"),
    Coat((178, 176, 172), (92, 92, 94), (232, 230, 226), "tabby"),
    Coat((40, 38, 40), (28, 26, 28), (48, 45, 46), "plain"),
    Coat((42, 40, 42), (30, 28, 30), (240, 238, 234), "plain"),
    Coat((112, 118, 128), (90, 96, 106), (136, 142, 150), "plain"),
    Coat((238, 234, 226), (226, 218, 204), (248, 246, 242), "plain"),
    Coat((228, 208, 178), (84, 62, 50), (206, 180, 148), "points"),
    Coat((236, 230, 220), (196, 112, 48), (246, 242, 236), "patches"),
    Coat((60, 50, 44), (176, 104, 50), (230, 222, 210), "patches"),
)
DOG_COATS = (
    Coat((206, 158, 92), (178, 126, 66), (232, 202, 152), "plain"),
    Coat((150, 92, 50), (120, 70, 36), (186, 132, 86), "plain"),
    Coat((92, 58, 38), (70, 42, 28), (116, 78, 54), "plain"),
    Coat((44, 40, 40), (30, 28, 28), (168, 108, 58), "plain"),
    Coat((36, 34, 36), (26, 24, 26), (50, 46, 46), "plain"),
    Coat((236, 228, 212), (222, 208, 182), (246, 242, 232), "plain"),
    Coat((240, 238, 234), (40, 38, 40), (244, 242, 238), "spots"),
    Coat((116, 118, 122), (64, 66, 72), (238, 238, 236), "patches"),
    Coat((176, 110, 58), (54, 44, 40), (244, 238, 228), "patches"),
    Coat((240, 236, 228), (158, 92, 46), (244, 240, 232), "patches"),
    Coat((170, 140, 100), (82, 64, 48), (200, 176, 140), "tabby"),
)
CAT_EYES = ((188, 176, 62), (142, 168, 70), (206, 142, 46), (110, 160, 190), (120, 176, 130))
DOG_EYES = ((74, 44, 24), (96, 60, 30), (52, 32, 22), (64, 40, 26), (120, 150, 180))
CAT_NOSES = ((206, 128, 120), (176, 96, 90), (60, 46, 44))
DOG_NOSES = ((28, 24, 26), (34, 30, 32), (84, 54, 46))
TONGUE = (222, 112, 124)


# Outlines


def blob(x: float, y: float, rx: float, ry: float, angle: float = 0.0, squareness: float = 0.0) -> Floats:
    """Outline of an ellipse at (x, y), turned by `angle` degrees; `squareness` up to 1 fills out its corners."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    power = 1 - 0.6 * squareness
    cos, sin = np.cos(t), np.sin(t)
    points = np.stack([rx * np.sign(cos) * np.abs(cos) ** power, ry * np.sign(sin) * np.abs(sin) ** power], axis=1)
    return turn(points, angle) + (x, y)


def tube(start: Point, bend: Point, end: Point, first: float, last: float) -> Floats:
    """Outline of a limb along the Bézier curve start, bend, end, whose radius goes from `first` to `last`."""
    t = np.linspace(0, 1, 16)[:, None]
    (a, b, c) = (np.asarray(p, dtype=np.float32) for p in (start, bend, end))
    spine = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
    along = 2 * (1 - t) * (b - a) + 2 * t * (c - b)
    along = along / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-6)
    side = along[:, ::-1] * (-1, 1) * (first + (last - first) * t)
    caps = np.linspace(np.pi / 2, -np.pi / 2, 7)[1:-1, None]
    cap = spine[-1] + last * (np.cos(caps) * along[-1] + np.sin(caps) * along[-1, ::-1] * (-1, 1))
    return np.concatenate([spine + side, cap, (spine - side)[::-1]]).astype(np.float32)


def turn(points: Floats, angle: float) -> Floats:
    """`points` turned by `angle` degrees around the origin, clockwise on the page."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return (points @ np.array([[cos, sin], [-sin, cos]])).astype(np.float32)


# Paint


def clouds(rng: np.random.Generator, shape: tuple[int, int], cells: float) -> Floats:
    """Smooth noise of `shape` (rows, columns), mean 0 and deviation about 1, with `cells` bumps along the longer side."""
    step = max(shape) / cells
    coarse = rng.normal(size=(int(shape[0] / step) + 2, int(shape[1] / step) + 2)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC)) * 1.3


def _filled(outline: Floats, size: tuple[int, int]) -> Image.Image:
    """A mask of `size` (width, height), white inside the outline, with smooth edges."""
    mask = Image.new("L", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING))
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in outline * OVERSAMPLING], fill=255)
    return mask.reduce(OVERSAMPLING)


@lru_cache(maxsize=32)
def fur(direction: int) -> Floats:
    """A square of fur strokes, (FUR_TILE, FUR_TILE), mean 0 and deviation 1; `direction` in degrees or `RADIAL`."""
    rng = np.random.default_rng(direction)
    large = int(FUR_TILE * 1.5)
    if direction == RADIAL:
        rays = sum(_streaks(rng, (720, FUR_TILE), length) for length in (16, 40))
        y, x = np.mgrid[:FUR_TILE, :FUR_TILE] - FUR_TILE / 2
        angle = (np.degrees(np.arctan2(y, x)) * 2).astype(int) % 720
        tile = rays[angle, np.minimum(np.hypot(x, y), FUR_TILE - 1).astype(int)]
    else:
        strokes = sum(_streaks(rng, (large, large), length) for length in (6, 14))
        turned = Image.fromarray(strokes).rotate(-direction, Image.Resampling.BILINEAR)
        edge = (large - FUR_TILE) // 2
        tile = np.asarray(turned)[edge : edge + FUR_TILE, edge : edge + FUR_TILE]
    return ((tile - tile.mean()) / tile.std()).astype(np.float32)


def _streaks(rng: np.random.Generator, shape: tuple[int, int], length: int) -> Floats:
    dots = rng.normal(size=(shape[0], shape[1] // length)).astype(np.float32)
    return np.asarray(Image.fromarray(dots).resize(shape[::-1], Image.Resampling.BICUBIC))


def coat_colours(rng: np.random.Generator, coat: Coat, shape: tuple[int, int], grain: float, unit: float) -> Floats:
    """The colours of a patch of coat, (rows, columns, 3); `unit` is the head's radius in pixels."""
    base, mark = (np.array(c, dtype=np.float32) for c in (coat.base, coat.mark))
    cells = max(shape) / unit
    if coat.pattern == "tabby":
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) / unit
        angle = 90.0 if grain == RADIAL else grain
        along = x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))
        share = 0.5 + 0.9 * np.sin(along * 13 + 1.6 * clouds(rng, shape, cells * 2.2)) - 0.3
    elif coat.pattern == "patches":
        share = 0.5 + 4 * (clouds(rng, shape, cells * 0.7) - 0.35)
    elif coat.pattern == "spots":
        share = 0.5 + 5 * (clouds(rng, shape, cells * 4) - 1.1)
    else:
        share = 0.3 + 0.3 * clouds(rng, shape, cells * 1.5)
    return base + (mark - base) * np.clip(share, 0, 1)[..., None]


@dataclass
class Easel:
    """A picture being painted: `pixels` (rows, columns, 3) float32 in 0-255, and where the light comes from."""

    rng: np.random.Generator
    pixels: Floats
    light: float

    @classmethod
    def blank(cls, rng: np.random.Generator, size: tuple[int, int]) -> "Easel":
        """A black picture of `size` (width, height), lit from somewhere above."""
        return cls(rng, np.zeros((size[1], size[0], 3), dtype=np.float32), rng.uniform(-2.5, -0.6))

    def paint(self, part: Part, unit: float, origin: Point) -> None:
        """Paint one part, whose units are `unit` pixels long and start from `origin` in pixels."""
        points = part.outline * np.float32(unit) + origin
        margin = 2 + int(0.08 * unit)
        height, width = self.pixels.shape[:2]
        left, top = np.maximum(np.floor(points.min(axis=0)).astype(int) - margin, 0)
        right, bottom = np.minimum(np.ceil(points.max(axis=0)).astype(int) + margin, (width, height))
        if right - left < 2 or bottom - top < 2:
            return
        mask = _filled(points - (left, top), (int(right - left), int(bottom - top)))
        shape = mask.size[::-1]
        cover, tint = np.asarray(mask, dtype=np.float32) / 255, np.float32(1)
        if part.grain is not None:
            hair = np.clip(self._hair(part.grain, shape), -2, 2)
            soft = np.asarray(mask.filter(ImageFilter.BoxBlur(0.045 * unit)), dtype=np.float32) / 255
            cover = np.clip(0.5 + 3.2 * (soft - 0.5 + 0.16 * hair), 0, 1)
            tint = 1 + 0.10 * hair
        if isinstance(part.fill, Coat):
            colours = coat_colours(self.rng, part.fill, shape, part.grain or 0.0, unit)
        else:
            colours = np.asarray(part.fill, dtype=np.float32)
        shade = tint * (1 + part.relief * self._relief(mask)) if part.relief else tint
        tile = self.pixels[top:bottom, left:right]
        tile += cover[..., None] * (colours * np.asarray(shade)[..., None] - tile)

    def _hair(self, grain: float, shape: tuple[int, int]) -> Floats:
        if grain == RADIAL:
            return np.asarray(Image.fromarray(fur(int(RADIAL))).resize(shape[::-1], Image.Resampling.BILINEAR))
        tile = fur(int(round(grain / 15)) * 15 % 180)
        row, column = self.rng.integers(0, FUR_TILE, size=2)
        return np.take(np.take(tile, np.arange(row, row + shape[0]), 0, mode="wrap"),
                       np.arange(column, column + shape[1]), 1, mode="wrap")

    def _relief(self, mask: Image.Image) -> Floats:
        """Light on the outline taken as a cushion: -1 on the far edge, 0 in the middle, 1 on the near edge."""
        small = mask.reduce(max(1, min(3, min(mask.size) // 8)))
        bulge = small.filter(ImageFilter.GaussianBlur(0.22 * min(small.size)))
        height = np.asarray(bulge, dtype=np.float32) / 255 * min(small.size) * 0.5
        if min(height.shape) < 2:
            return np.zeros(mask.size[::-1], dtype=np.float32)
        rise = np.gradient(height)
        slope = np.clip(-(rise[1] * np.cos(self.light) + rise[0] * np.sin(self.light)), -1, 1).astype(np.float32)
        return np.asarray(Image.fromarray(slope).resize(mask.size, Image.Resampling.BILINEAR))

    def shadow(self, outline: Floats) -> None:
        """Darken softly what lies inside an outline in pixels."""
        mask = _filled(outline, self.pixels.shape[1::-1])
        soft = mask.filter(ImageFilter.GaussianBlur(0.15 * float(np.ptp(outline[:, 1]))))
        self.pixels *= 1 - np.asarray(soft, dtype=np.float32)[..., None] / 550

    def defocus(self, radius: float) -> None:
        """Blur what has been painted so far, by `radius` pixels, and let its brightness wander a little."""
        self.pixels *= 1 + 0.07 * clouds(self.rng, self.pixels.shape[:2], 4)[..., None]
        blurred = self.picture().filter(ImageFilter.GaussianBlur(radius))
        self.pixels = np.asarray(blurred, dtype=np.float32).copy()

    def picture(self) -> Image.Image:
        """What has been painted so far."""
        return Image.fromarray(np.clip(self.pixels, 0, 255).astype(np.uint8))


def snapshot(easel: Easel) -> Image.Image:
    """The finished picture with a snapshot's faults: blur, exposure, colour cast, sensor noise."""
    rng, picture = easel.rng, easel.picture()
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    values = np.asarray(picture, dtype=np.float32) * np.float32(rng.normal(1, 0.05, 3) * rng.uniform(0.75, 1.15))
    values += rng.standard_normal((*values.shape[:2], 1), dtype=np.float32) * np.float32(rng.uniform(1, 7))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


# Animals


def mirrored(part: Part) -> list[Part]:
    """The part and its mirror image on the other side of the face or body."""
    grain = part.grain if part.grain in (None, RADIAL) else 180 - part.grain
    return [part, replace(part, outline=part.outline * np.float32((-1, 1)), grain=grain)]


def _ear(width: float, height: float, lean: float) -> Floats:
    """Outline of a pricked ear on the left of a head, with slightly bulging sides."""
    base, tip = np.array([(-0.5 - width, -0.28), (-0.5 + width, -0.62)]), np.array((-0.5 - lean, -0.45 - height))
    t = np.linspace(0, 1, 8)[:, None]
    bulge = 0.10 * np.sin(np.pi * t)
    left = base[0] + t * (tip - base[0]) + bulge * (-1, -0.4)
    right = tip + t * (base[1] - tip) + bulge * (1, -0.6)
    return np.concatenate([left, right]).astype(np.float32)


def cat_head(rng: np.random.Generator, coat: Coat) -> list[Part]:
    """A cat's face seen from the front: pointed ears, slit pupils, small nose, whiskers."""
    dark = coat.mark if coat.pattern == "points" else coat.base
    skin = coat if coat.pattern != "points" else replace(coat, base=coat.mark, pattern="plain")
    pale = replace(coat, base=coat.pale, mark=coat.pale, pattern="plain")
    iris, nose = CAT_EYES[rng.integers(len(CAT_EYES))], CAT_NOSES[rng.integers(len(CAT_NOSES))]
    width, height, lean = rng.uniform(0.34, 0.42), rng.uniform(0.75, 1.05), rng.uniform(0.1, 0.35)
    pink = tuple(int(0.55 * a + 0.45 * b) for a, b in zip((206, 150, 140), dark, strict=True))
    ear, inner = _ear(width, height, lean), _ear(width * 0.6, height * 0.78, lean * 0.9)
    parts = mirrored(Part(ear, skin, 70)) + mirrored(Part(inner, pink, 80, 0.3))
    parts.append(Part(blob(0, 0, 1.0, rng.uniform(0.8, 0.9), squareness=0.1), coat, RADIAL, 0.6))
    if coat.pattern == "points":
        parts.append(Part(blob(0, 0.2, 0.55, 0.6), skin, RADIAL, 0.0))
    parts += mirrored(Part(blob(-0.2, 0.4, 0.3, 0.23, -15), pale, RADIAL, 0.35))
    parts.append(Part(blob(0, 0.62, 0.22, 0.16), pale, RADIAL, 0.3))
    if coat.pattern == "tabby":
        for x in (-0.28, 0.0, 0.28):
            parts.append(Part(tube((x * 1.5, -0.75), (x, -0.6), (x * 0.6, -0.35), 0.07, 0.03), coat.mark, 90, 0.0))
        parts += mirrored(Part(tube((-0.62, 0.02), (-0.8, 0.1), (-0.97, 0.0), 0.04, 0.05), coat.mark, 0, 0.0))
    if coat.pale != coat.base and coat.pattern == "plain":
        parts.append(Part(tube((0, -0.5), (0, 0), (0, 0.3), 0.03, 0.14), pale, 90, 0.0))
    open_, slit = rng.uniform(0.13, 0.2), rng.uniform(0.03, 0.13)
    for side in (-1, 1):
        x = 0.42 * side
        parts.append(Part(blob(x, -0.08, 0.25, open_ + 0.04, 12 * side), INK, None, 0.0))
        parts.append(Part(blob(x, -0.08, 0.21, open_, 12 * side), iris, None, 0.5))
        parts.append(Part(blob(x, -0.08, slit, open_ * 0.95), INK, None, 0.0))
        parts.append(Part(blob(x - 0.06, -0.14, 0.04, 0.04), (250, 250, 250), None, 0.0))
    snout = np.array([(-0.13, 0.2), (0, 0.17), (0.13, 0.2), (0.05, 0.31), (0, 0.33), (-0.05, 0.31)], dtype=np.float32)
    parts.append(Part(snout, nose, None, 0.4))
    parts.append(Part(tube((0, 0.32), (0, 0.38), (0, 0.43), 0.015, 0.015), INK, None, 0.0))
    parts += mirrored(Part(tube((0, 0.43), (-0.12, 0.52), (-0.24, 0.45), 0.018, 0.01), INK, None, 0.0))
    for slope in (-0.12, 0.02, 0.16):
        droop = rng.uniform(0, 0.15)
        whisker = tube((-0.3, 0.4 + slope * 0.4), (-0.8, 0.34 + slope), (-1.35, 0.42 + 2 * slope + droop), 0.012, 0.004)
        parts += mirrored(Part(whisker, (240, 240, 236), None, 0.0))
    return parts


def dog_head(rng: np.random.Generator, coat: Coat) -> list[Part]:
    """A dog's face seen from the front: floppy or pricked ears, long muzzle, big nose, sometimes the tongue."""
    dark = replace(coat, base=coat.mark, pattern="plain")
    pale = replace(coat, base=coat.pale, mark=coat.pale, pattern="plain")
    iris, nose = DOG_EYES[rng.integers(len(DOG_EYES))], DOG_NOSES[rng.integers(len(DOG_NOSES))]
    skull, muzzle = rng.uniform(0.64, 0.8), rng.uniform(0.3, 0.42)
    head = [Part(blob(0, -0.2, skull, 0.72, squareness=0.2), coat, RADIAL, 0.6),
            Part(blob(0, 0.15, skull * 0.85, 0.62), coat, RADIAL, 0.5)]
    if rng.random() < 0.35:
        width, height, lean = rng.uniform(0.25, 0.32), rng.uniform(0.8, 1.1), rng.uniform(0.0, 0.2)
        inner = Part(_ear(width * 0.55, height * 0.75, lean), (120, 84, 76), 80, 0.3)
        parts = [*mirrored(Part(_ear(width, height, lean), dark, 80)), *mirrored(inner), *head]
    else:
        length, spread = rng.uniform(0.2, 1.0), rng.uniform(0.8, 1.05)
        flap = tube((-skull * 0.8, -0.6), (-spread - 0.1, -0.7), (-spread, length), 0.16, rng.uniform(0.2, 0.32))
        parts = [*head, *mirrored(Part(flap, dark, 100, 0.6))]
    if coat.pale != coat.base and rng.random() < 0.5:
        parts.append(Part(tube((0, -0.85), (0, -0.3), (0, 0.3), 0.05, 0.2), pale, 90, 0.0))
    if rng.random() < 0.6:
        parts.append(Part(blob(0, 0.95, muzzle * 0.85, 0.24), pale, 90, 0.5))
        parts.append(Part(blob(0, 0.82, muzzle * 0.72, 0.26), (70, 30, 34), None, 0.2))
        lick = rng.uniform(-0.12, 0.12)
        parts.append(Part(tube((0, 0.7), (0.02, 0.9), (lick, rng.uniform(0.9, 1.15)), 0.15, 0.17), TONGUE, None, 0.6))
    else:
        parts.append(Part(blob(0, 0.8, muzzle * 0.7, 0.16), pale, 90, 0.5))
    parts.append(Part(tube((0, -0.1), (0, 0.2), (0, 0.5), 0.2, muzzle * 0.8), pale, 90, 0.5))
    parts += mirrored(Part(blob(-muzzle * 0.5, 0.56, muzzle * 0.62, 0.27, 12), pale, 60, 0.6))
    for side in (-1, 1):
        x = side * 0.32
        parts.append(Part(blob(x, -0.22, 0.135, 0.11, 14 * side), INK, None, 0.0))
        parts.append(Part(blob(x, -0.22, 0.1, 0.095), iris, None, 0.5))
        parts.append(Part(blob(x, -0.22, 0.055, 0.055), INK, None, 0.0))
        parts.append(Part(blob(x - 0.03, -0.26, 0.025, 0.025), (250, 250, 250), None, 0.0))
    parts.append(Part(blob(0, 0.36, rng.uniform(0.17, 0.23), 0.15, squareness=0.3), nose, None, 0.9))
    parts += mirrored(Part(blob(-0.08, 0.39, 0.045, 0.035, 20), (8, 6, 8), None, 0.0))
    parts.append(Part(tube((0, 0.5), (0, 0.6), (0, 0.72), 0.015, 0.015), INK, None, 0.0))
    return parts


def body(kind: str, rng: np.random.Generator, coat: Coat) -> list[Part]:
    """The rest of the animal, below and behind a head at the origin, in one of four poses."""
    cat = kind == "cat"
    pale = replace(coat, base=coat.pale, mark=coat.pale, pattern="plain")
    end = replace(coat, base=coat.mark, pattern="plain") if coat.pattern == "points" else coat
    paw = pale if coat.pattern != "points" else end
    thin = 0.24 if cat else rng.uniform(0.22, 0.32)
    pose = rng.choice(["portrait", "sitting", "standing", "lying"], p=[0.4, 0.25, 0.2, 0.15])
    if pose == "portrait":
        shoulders = tube((0.1, 0.5), (0.1, 2), (rng.uniform(-0.3, 0.5), 7), 0.7, rng.uniform(1.8, 2.6))
        return [Part(shoulders, coat, 90), Part(blob(0, 1.9, 0.6, 1.3), pale, 90, 0.1)]
    if pose == "sitting":
        tail = tube((0.8, 3.7), (2.2, 4.1), (2.0, 2.6), thin, thin * 0.8) if cat else tube(
            (0.8, 3.6), (1.7, 3.6), (2.0, 2.9), thin, 0.12)
        legs = [Part(tube((-0.42, 1.9), (-0.5, 2.8), (-0.4, 3.9), thin * 1.5, thin), coat, 90),
                Part(blob(-0.42, 4.0, 0.34, 0.22), paw, 0)]
        return [Part(tail, end, 0), *mirrored(Part(blob(-0.85, 3.3, 0.65, 0.8), coat, 60)),
                Part(blob(0, 2.3, 1.05, 1.65), coat, 90), Part(blob(0, 1.8, 0.55, 1.1), pale, 90, 0.2),
                *[p for leg in legs for p in mirrored(leg)]]
    if pose == "standing":
        ground = 3.3 if cat else rng.uniform(3.2, 4.2)
        tail = tube((4.2, 1.1), (5.4, 1.2), (5.2, -1.0), thin, thin * 0.7) if cat else tube(
            (4.2, 0.9), (4.9, 0.6), (5.0, -0.2), thin, 0.1)
        legs = [leg for x, fill in ((1.3, coat), (3.6, coat), (0.8, coat), (4.0, coat)) for leg in (
            Part(tube((x, 1.6), (x + 0.2, 2.3), (x - 0.05, ground), thin * 1.7, thin * 0.9), fill, 90),
            Part(blob(x - 0.15, ground, 0.32, 0.2), paw, 0))]
        return [Part(tail, end, 90), *legs[:4], Part(blob(2.4, 1.4, 2.1, 0.95, squareness=0.2), coat, 15),
                Part(tube((0.1, 0.3), (0.5, 0.8), (1.2, 1.2), 0.7, 0.8), coat, 30, 0.2), *legs[4:]]
    return [Part(tube((3.6, 1.8), (4.8, 2.3), (3.0, 2.25), thin, thin * 0.8), end, 0),
            Part(blob(1.8, 1.25, 2.1, 1.05, 8), coat, 15), Part(blob(3.0, 1.5, 0.95, 0.8), coat, 40),
            Part(blob(0.1, 1.1, 0.8, 0.8), pale, 90, 0.2),
            Part(tube((0.6, 1.7), (0.2, 2.1), (-0.8, 2.05), thin * 1.4, thin), coat, 0),
            Part(tube((0.0, 1.7), (-0.4, 2.1), (-1.2, 2.0), thin * 1.3, thin), coat, 0),
            Part(blob(-0.85, 2.05, 0.34, 0.22), paw, 0)]


def draw_pet(kind: str, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """One "cat" or "dog" as an RGB picture of `size` (width, height) pixels."""
    coats = CAT_COATS if kind == "cat" else DOG_COATS
    coat = coats[rng.integers(len(coats))]
    head = cat_head(rng, coat) if kind == "cat" else dog_head(rng, coat)
    tilt, shrink = rng.normal(0, 9), rng.uniform(0.85, 1.0)
    head = [replace(p, outline=turn(p.outline * np.float32((shrink, 1)), tilt)) for p in head]
    parts = body(kind, rng, coat) + head
    if rng.random() < 0.5:
        parts = [mirrored(p)[1] for p in parts]
    corners = np.concatenate([p.outline for p in parts])
    low, high = corners.min(axis=0), np.minimum(corners.max(axis=0), (9, BUST if corners.max() > 7 else 9))
    near = rng.random() < 0.93
    unit = float(np.min(np.array(size) / (high - low))) * (rng.uniform(0.8, 1.3) if near else rng.uniform(0.3, 0.5))
    x, y = np.array(size) * rng.uniform((0.42, 0.47), (0.58, 0.6)) - (low + high) / 2 * unit
    if high[1] == BUST:
        y = max(y, size[1] - BUST * unit)

    place = PLACES[rng.integers(len(PLACES))]
    ground = blob((low[0] + high[0]) / 2 * unit + x, high[1] * unit + y, (high[0] - low[0]) / 2 * unit, 0.4 * unit)
    easel = stage(place, rng, size, ground)
    for part in parts:
        easel.paint(part, unit, (float(x), float(y)))
    if rng.random() < 0.12:
        for part in foreground(rng, size[0] / size[1] * SCENE_HEIGHT):
            easel.paint(part, size[1] / SCENE_HEIGHT, (0.0, 0.0))
    return snapshot(easel)


# Places

SCENE_HEIGHT = 6.0
GREENS = ((96, 128, 58), (120, 142, 70), (76, 104, 52), (150, 146, 84))
WALLS = ((206, 198, 182), (176, 186, 190), (222, 214, 204), (150, 120, 100), (120, 138, 128), (190, 160, 140))
WOODS = ((150, 104, 66), (118, 82, 54), (178, 140, 98), (96, 84, 76))
BRIGHT = ((200, 52, 44), (40, 92, 170), (236, 170, 40), (60, 130, 80), (120, 60, 130), (230, 230, 226))


def pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    """One of the colours, a little changed."""
    red, green, blue = np.clip(np.array(colours[rng.integers(len(colours))]) + rng.normal(0, 8, 3), 0, 255).astype(int)
    return int(red), int(green), int(blue)


def box(left: float, top: float, right: float, bottom: float) -> Floats:
    """Outline of an upright rectangle."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.float32)


def lawn(rng: np.random.Generator, width: float) -> list[Part]:
    """Sky, trees and grass."""
    horizon = rng.uniform(0.5, 3)
    parts = [Part(box(-1, -1, width + 1, 7), pick(rng, ((150, 186, 222), (196, 206, 214), (226, 214, 200))), None, 0.1)]
    for x in rng.uniform(0, width, rng.integers(2, 9)):
        parts.append(Part(blob(x, horizon - 0.6, *rng.uniform(0.6, 1.6, 2)), pick(rng, GREENS), 40, 0.6))
    return [*parts, Part(box(-1, horizon, width + 1, 8), pick(rng, GREENS), 90, 0.0)]


def room(rng: np.random.Generator, width: float) -> list[Part]:
    """A wall with a picture, a floor of boards, and sometimes a rug."""
    edge, wood = rng.uniform(2, 4.6), pick(rng, WOODS)
    x, y = rng.uniform(0, width), rng.uniform(0.4, 1.6)
    parts = [
        Part(box(-1, -1, width + 1, 7), pick(rng, WALLS), None, 0.1),
        Part(box(x - 1.1, y - 0.8, x + 1.1, y + 0.8), wood, None, 0.3),
        Part(box(x - 0.95, y - 0.65, x + 0.95, y + 0.65), pick(rng, WALLS + GREENS), None, 0.2),
        Part(box(-1, edge - 0.25, width + 1, edge), (228, 224, 216), None, 0.4),
    ]
    for i, top in enumerate(np.linspace(edge, 6.4, 6)[:-1]):
        shade = tuple(int(c * (0.92 + 0.05 * (i % 3))) for c in wood)
        parts.append(Part(box(-1, top, width + 1, top + 1), shade, 0, 0.1))
    if rng.random() < 0.5:
        parts.append(Part(blob(width / 2, 5.4, width * 0.6, 0.9), pick(rng, BRIGHT), 90, 0.2))
    return parts


def sofa(rng: np.random.Generator, width: float) -> list[Part]:
    """Cushions, filling the picture."""
    cloth = pick(rng, WALLS + WOODS + BRIGHT)
    parts = [Part(box(-1, -1, width + 1, 7), cloth, 30, 0.1)]
    for x in np.arange(-0.5, width + 1, rng.uniform(2.5, 4)):
        parts.append(Part(blob(x, 1.6, 2, 2.4, squareness=0.7), cloth, None, 0.7))
    return [*parts, Part(blob(width / 2, 5.6, width * 0.8, 1.9, squareness=0.7), cloth, 0, 0.7)]


def studio(rng: np.random.Generator, width: float) -> list[Part]:
    """A plain ground with a soft light."""
    colour = pick(rng, WALLS + BRIGHT)
    return [Part(box(-1, -1, width + 1, 7), colour, None, 0.0), Part(blob(width / 2, 7, width, 2), colour, None, 0.8)]


def sea(rng: np.random.Generator, width: float) -> list[Part]:
    """Water under a sky with clouds."""
    parts = [Part(box(-1, -1, width + 1, 7), (160, 196, 226), None, 0.1)]
    parts += [Part(blob(x, rng.uniform(0.3, 1.6), 1.3, 0.3), (240, 242, 244), 0, 0.3) for x in rng.uniform(0, width, 4)]
    return [*parts, Part(box(-1, 3, width + 1, 7), pick(rng, ((44, 92, 130), (60, 120, 140))), 0, 0.1)]


def house(rng: np.random.Generator, x: float) -> list[Part]:
    """A house with a roof, a door and windows."""
    wall = pick(rng, WALLS + BRIGHT)
    roof = np.array([(x - 2.4, 2.6), (x - 1.4, 1.2), (x + 1.4, 1.2), (x + 2.4, 2.6)], dtype=np.float32)
    panes = [Part(box(x + dx, 3.1, x + dx + 0.7, 3.9), (60, 80, 100), None, 0.5) for dx in (-1.7, -0.4, 0.9)]
    return [Part(box(x - 2, 2.5, x + 2, 5), wall, None, 0.2), Part(roof, pick(rng, WOODS), None, 0.3),
            *panes, Part(box(x - 0.3, 4.1, x + 0.3, 5), pick(rng, BRIGHT), None, 0.3)]


def fruit(rng: np.random.Generator, x: float) -> list[Part]:
    """Oranges, apples and a banana in a bowl."""
    parts = [Part(blob(x + dx, 3.6 + dy, 0.75, 0.72), pick(rng, ((232, 140, 30), (196, 40, 36), (150, 180, 50))), None, 0.9)
             for dx, dy in ((-0.5, -0.5), (0.7, -0.4), (-1.1, 0.1), (0.1, 0.2), (1.1, 0.2))]
    parts.append(Part(tube((x - 1.6, 2.6), (x, 3.8), (x + 1.4, 2.4), 0.15, 0.25), (232, 200, 60), None, 0.8))
    rim = blob(x, 4.6, 2.1, 1.0)
    return [*parts, Part(np.maximum(rim, np.float32((-99, 4.2))), pick(rng, WALLS + BRIGHT), None, 0.8)]


def car(rng: np.random.Generator, x: float) -> list[Part]:
    """A car seen from the side."""
    paint = pick(rng, BRIGHT)
    cabin = np.array([(x - 1.5, 3.4), (x - 0.9, 2.5), (x + 0.7, 2.5), (x + 1.5, 3.4)], dtype=np.float32)
    parts = [Part(box(-9, 4.3, 20, 7), (96, 96, 100), 0, 0.1), Part(cabin, paint, None, 0.4),
             Part(cabin * np.float32((1, 0.8)) * 0.8 + (x * 0.2, 1.0), (60, 74, 86), None, 0.5),
             Part(blob(x, 3.85, 2.5, 0.6, squareness=0.6), paint, None, 0.7)]
    for wheel in (x - 1.5, x + 1.5):
        parts += [Part(blob(wheel, 4.35, 0.52, 0.52), INK, None, 0.6), Part(blob(wheel, 4.35, 0.28, 0.28), (190, 190, 194), None, 0.6)]
    return parts


def boat(rng: np.random.Generator, x: float) -> list[Part]:
    """A sailing boat."""
    sail = np.array([(x, 0.6), (x + 1.5, 3.3), (x, 3.3)], dtype=np.float32)
    hull = np.array([(x - 1.6, 3.5), (x + 1.9, 3.5), (x + 1.3, 4.2), (x - 1.2, 4.2)], dtype=np.float32)
    return [Part(tube((x, 0.5), (x, 2), (x, 3.6), 0.05, 0.05), WOODS[0], None), Part(sail, (240, 238, 230), None, 0.3),
            Part(sail * np.float32((-0.8, 0.9)) + (x * 1.8 - 0.1, 0.3), pick(rng, BRIGHT), None, 0.3),
            Part(hull, pick(rng, BRIGHT), None, 0.5)]


def mountains(rng: np.random.Generator, x: float) -> list[Part]:
    """Three peaks with snow."""
    parts = []
    for dx, height in zip((-2.4, 2.6, 0.0), rng.uniform(1.8, 3.4, 3), strict=True):
        slope = np.array([(-3, 0), (-0.5, -height * 0.8), (0, -height), (0.6, -height * 0.75), (3, 0)], dtype=np.float32)
        parts.append(Part(slope + (x + dx, 4.4), pick(rng, ((110, 116, 130), (130, 124, 120))), 60, 0.5))
        parts.append(Part(slope[1:4] + (x + dx, 4.4), (240, 242, 246), None, 0.2))
    return [*parts, Part(box(-9, 4.2, 20, 8), pick(rng, GREENS), 90, 0.0)]


def envelope(rng: np.random.Generator, x: float) -> list[Part]:
    """A logo: a letter on a disc."""
    disc, flap = pick(rng, BRIGHT), np.array([(x - 1.3, 2.1), (x + 1.3, 2.1), (x, 3.3)], dtype=np.float32)
    return [Part(blob(x, 3, 2.3, 2.3), disc, None, 0.0), Part(box(x - 1.3, 2.1, x + 1.3, 3.9), (246, 246, 244), None, 0.0),
            Part(flap, (206, 206, 204), None, 0.0), Part(tube((x - 1, 5.6), (x, 5.6), (x + 1, 5.6), 0.12, 0.12), disc, None, 0.0)]


def test_card(rng: np.random.Generator, x: float) -> list[Part]:
    """Bars of colour and a circle, as television showed at night."""
    order = rng.permutation(len(BRIGHT))
    parts = [Part(box(x - 4 + i * 1.4, -1, x - 2.6 + i * 1.4, 7), BRIGHT[c], None, 0.0) for i, c in enumerate(order)]
    grid = [Part(box(x - 9, y, x + 9, y + 0.06), (250, 250, 250), None, 0.0) for y in np.arange(0.5, 6, 1)]
    return [*parts, *grid, Part(blob(x, 3, 2, 2), (128, 128, 128), None, 0.0), Part(blob(x, 3, 1.2, 1.2), INK, None, 0.0)]


def foreground(rng: np.random.Generator, width: float) -> list[Part]:
    """Something that stands in front of the animal: leaves, a post or a cushion."""
    x, kind = rng.uniform(0.2, 0.8) * width, rng.integers(3)
    if kind == 0:
        return [Part(box(x, -1, x + 0.35, 7), pick(rng, WOODS), 90, 0.6)]
    if kind == 1:
        return [Part(blob(x, 6.2, 2.5, 1.3, squareness=0.6), pick(rng, BRIGHT), 0, 0.7)]
    tips = rng.uniform((-1.8, 2.5), (1.8, 5), (9, 2))
    return [Part(tube((x, 6.5), (x + 0.3 * dx, y), (x + dx, y), 0.12, 0.02), pick(rng, GREENS), None) for dx, y in tips]


PLACES = (lawn, room, sofa, studio)
SCENES = ((lawn, house), (room, fruit), (lawn, car), (sea, boat), (lawn, mountains), (studio, envelope), (studio, test_card))


def stage(place: Painter, rng: np.random.Generator, size: tuple[int, int], shadow: Floats | None = None) -> Easel:
    """An easel for a picture of `size`, on which `place` is painted, out of focus, with a shadow (outline in pixels)."""
    easel = Easel.blank(rng, size)
    unit = size[1] / SCENE_HEIGHT
    for part in place(rng, size[0] / unit):
        easel.paint(part, unit, (0.0, 0.0))
    if shadow is not None:
        easel.shadow(shadow)
    easel.defocus(rng.uniform(0.2, 4))
    return easel


def draw_scene(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A picture without any pet, RGB, of `size` (width, height) pixels."""
    place, thing = SCENES[rng.integers(len(SCENES))]
    easel = stage(place, rng, size)
    unit = min(size[1] / SCENE_HEIGHT, size[0] / 5.5)
    bottom = size[1] - unit * SCENE_HEIGHT
    for part in thing(rng, size[0] / unit / 2 + rng.normal(0, 0.3)):
        easel.paint(part, unit, (0.0, bottom))
    return snapshot(easel)


# The data set


def draw_dataset(folder: Path, seed: int = 0) -> dict[str, int]:
    """Draw the demo's data set into `folder`, or leave it alone if it is already complete.

    The same seed gives the same bytes. Everything is drawn in a temporary folder beside `folder`, which appears whole
    or not at all; a folder of drawings from which files are missing is made complete.

    Returns how many files are in train and in test, and how many of train's show no pet or are damaged.

    Raises:
        DatasetError: the folder holds something else.
    """
    counts = {
        "train": 2 * TRAIN_PER_CLASS + NO_PET_COUNT + DAMAGED_COUNT,
        "test": TEST_COUNT,
        "no_pet": NO_PET_COUNT,
        "damaged": DAMAGED_COUNT,
    }
    readme, label = README.format(seed=seed, **counts), folder / "README.txt"
    if label.is_file():
        ours = label.read_text(encoding="utf-8", errors="replace")
        if ours == readme and all(len(list((folder / part).glob("*.jpg"))) == counts[part] for part in ("train", "test")):
            if all((folder / name).is_file() for name in ("sample_submission.csv", "truth.csv")):
                return counts
    elif folder.exists() and any(folder.iterdir()):
        raise DatasetError(f"{folder} holds files that are not drawings", "Name an empty folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        drawn = Path(scratch) / folder.name
        _draw_all(drawn, seed)
        (drawn / "README.txt").write_text(readme, encoding="utf-8")

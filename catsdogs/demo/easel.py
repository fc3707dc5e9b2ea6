"""Paints outlines as fur or smooth surfaces, with a coat's colours, soft relief in the light and ragged edges."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

OVERSAMPLING = 3  # for smooth edges
FUR_TILE = 512
RADIAL = 999.0

Reals = NDArray[np.floating[Any]]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Coat:
    """The colours of an animal's fur; the pattern says how `base` and `mark` share it."""

    base: Colour
    mark: Colour
    pattern: str = "plain"


@dataclass(frozen=True)
class Patch:
    """A closed outline, (n, 2), and what covers it.

    `grain` is the direction of the fur in degrees, `RADIAL` from the middle outwards, or None for a smooth surface.
    `relief` is how rounded the surface looks, from 0 to 1.
    """

    outline: Reals
    fill: Coat | Colour
    grain: float | None
    relief: float

    def mirrored(self) -> "Patch":
        """The patch on the other side of the face or body."""
        grain = self.grain if self.grain in (None, RADIAL) else 180 - (self.grain or 0)
        return replace(self, outline=self.outline * (-1, 1), grain=grain)


def blob(x: float, y: float, rx: float, ry: float, angle: float = 0.0, squareness: float = 0.0) -> Reals:
    """Outline of an ellipse at (x, y), turned by `angle` degrees; `squareness` up to 1 fills out its corners."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = np.stack([np.cos(t), np.sin(t)], axis=1)
    return np.add(turn(np.sign(circle) * np.abs(circle) ** (1 - 0.6 * squareness) * (rx, ry), angle), (x, y))


def tube(*numbers: float) -> Reals:
    """Outline of a limb along a quadratic Bézier curve (three points), from the first radius to the last."""
    a, b, c = np.array(numbers[:6]).reshape(3, 2)
    t = np.linspace(0, 1, 16)[:, None]
    spine = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
    along = (1 - t) * (b - a) + t * (c - b)
    along = along / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-6)
    side = along[:, ::-1] * (-1, 1) * (numbers[6] + (numbers[7] - numbers[6]) * t)
    half = np.linspace(np.pi / 2, -np.pi / 2, 7)[1:-1, None]
    cap = spine[-1] + numbers[7] * (np.cos(half) * along[-1] + np.sin(half) * along[-1, ::-1] * (-1, 1))
    return np.concatenate([spine + side, cap, (spine - side)[::-1]])


def box(left: float, top: float, right: float, bottom: float) -> Reals:
    """Outline of an upright rectangle."""
    return path(left, top, right, top, right, bottom, left, bottom)


def path(*numbers: float) -> Reals:
    """Outline through the points given as x y x y …"""
    return np.array(numbers).reshape(-1, 2)


SHAPES: dict[str, Callable[..., Reals]] = {"blob": blob, "tube": tube, "box": box, "path": path}


def turn(points: Reals, angle: float) -> Reals:
    """`points` turned by `angle` degrees around the origin, clockwise on the page."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return points @ np.array([[cos, sin], [-sin, cos]])


def clouds(rng: np.random.Generator, shape: tuple[int, int], cells: float) -> Reals:
    """Smooth noise of `shape` (rows, columns), mean 0, deviation about 1, with `cells` bumps along the longer side."""
    step = max(shape) / cells
    coarse = rng.standard_normal((int(shape[0] / step) + 2, int(shape[1] / step) + 2), dtype=np.float32)
    return np.asarray(Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC)) * np.float32(1.3)


@cache
def fur(direction: int) -> Reals:
    """A square of fur strokes, (FUR_TILE, FUR_TILE), mean 0 and deviation 1; `direction` in degrees or `RADIAL`."""
    rng = np.random.default_rng(direction)
    if direction == RADIAL:
        rays = _strokes(rng, (720, FUR_TILE), 16) + _strokes(rng, (720, FUR_TILE), 40)
        y, x = np.mgrid[:FUR_TILE, :FUR_TILE] - FUR_TILE / 2
        tile = rays[(np.degrees(np.arctan2(y, x)) * 2).astype(int) % 720, np.hypot(x, y).astype(int)]
    else:
        large, edge = int(FUR_TILE * 1.5), FUR_TILE // 4
        strokes = _strokes(rng, (large, large), 6) + _strokes(rng, (large, large), 14)
        turned = Image.fromarray(strokes).rotate(-direction, Image.Resampling.BILINEAR)
        tile = np.asarray(turned)[edge : edge + FUR_TILE, edge : edge + FUR_TILE]
    return np.clip((tile - tile.mean()) / tile.std(), -2, 2)


def _strokes(rng: np.random.Generator, shape: tuple[int, int], length: int) -> Reals:
    dots = rng.standard_normal((shape[0], shape[1] // length), dtype=np.float32)
    return np.asarray(Image.fromarray(dots).resize(shape[::-1], Image.Resampling.BICUBIC))


def coat_colours(rng: np.random.Generator, coat: Coat, shape: tuple[int, int], grain: float, unit: float) -> Reals:
    """The colours of a patch of coat, (rows, columns, 3); `unit` is the head's radius in pixels."""
    base, mark = np.array(coat.base, dtype=np.float32), np.array(coat.mark, dtype=np.float32)
    cells = max(shape) / unit
    share: Reals
    if coat.pattern == "tabby":
        y, x = np.ogrid[: shape[0], : shape[1]]
        angle = np.radians(90.0 if grain == RADIAL else grain)
        along = (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))) / np.float32(unit)
        share = 0.2 + 0.9 * np.sin(along * 13 + 1.6 * clouds(rng, shape, cells * 2.2))
    elif coat.pattern == "patches":
        share = 4 * clouds(rng, shape, cells * 0.7) - 0.9
    elif coat.pattern == "spots":
        share = 5 * clouds(rng, shape, cells * 4) - 5
    else:
        share = 0.3 + 0.3 * clouds(rng, shape, cells * 1.5)
    return base + (mark - base) * np.clip(share, 0, 1)[..., None]


def filled(outline: Reals, size: tuple[int, int]) -> Image.Image:
    """A mask of `size` (width, height), white inside the outline, with smooth edges."""
    mask = Image.new("L", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING))
    ImageDraw.Draw(mask).polygon((outline * OVERSAMPLING).ravel().tolist(), fill=255)
    return mask.reduce(OVERSAMPLING)


@dataclass
class Easel:
    """A picture being painted: `pixels` (rows, columns, 3) in 0-255, and the direction of the light in radians."""

    rng: np.random.Generator
    pixels: Reals
    light: float

    def paint(self, patch: Patch, unit: float, origin: tuple[float, float]) -> None:
        """Paint one patch, whose units are `unit` pixels long and start from `origin` in pixels."""
        points = patch.outline * unit + origin
        margin = 2 + int(0.08 * unit)
        height, width = self.pixels.shape[:2]
        left, top = np.maximum(np.floor(points.min(axis=0)).astype(int) - margin, 0).tolist()
        right, bottom = np.minimum(np.ceil(points.max(axis=0)).astype(int) + margin, (width, height)).tolist()
        if right - left < 2 or bottom - top < 2:
            return
        mask, shape = filled(points - (left, top), (right - left, bottom - top)), (bottom - top, right - left)
        shade: Reals = np.ones((1, 1), dtype=np.float32)
        if patch.relief:
            shade = 1 + np.float32(patch.relief) * self._relief(mask)
        cover = np.asarray(mask, dtype=np.float32) / 255
        if patch.grain is not None:
            hair = self._hair(patch.grain, shape)
            soft = np.asarray(mask.filter(ImageFilter.BoxBlur(0.045 * unit)), dtype=np.float32) / 255
            cover = np.clip(0.5 + 3.2 * (soft - 0.5 + 0.16 * hair), 0, 1)
            shade = shade * (1 + 0.1 * hair)
        if isinstance(patch.fill, Coat):
            colours = coat_colours(self.rng, patch.fill, shape, patch.grain or 0.0, unit)
        else:
            colours = np.array(patch.fill, dtype=np.float32)
        tile = self.pixels[top:bottom, left:right]
        tile += cover[..., None] * (colours * shade[..., None] - tile)

    def _hair(self, grain: float, shape: tuple[int, int]) -> Reals:
        if grain == RADIAL:
            return np.asarray(Image.fromarray(fur(int(RADIAL))).resize(shape[::-1], Image.Resampling.NEAREST))
        row, column = self.rng.integers(0, FUR_TILE, size=2)
        tile = np.take(fur(round(grain / 15) * 15 % 180), np.arange(row, row + shape[0]), axis=0, mode="wrap")
        return np.take(tile, np.arange(column, column + shape[1]), axis=1, mode="wrap")

    def _relief(self, mask: Image.Image) -> Reals:
        """Light on the outline taken as a cushion: 1 on the near edge, 0 in the middle, -1 on the far edge."""
        small = mask.reduce(max(1, min(6, min(mask.size) // 12)))
        bulge = small.filter(ImageFilter.GaussianBlur(0.22 * min(small.size)))
        down, right = np.gradient(np.asarray(bulge, dtype=np.float32) / 255 * min(small.size) * 0.5)
        slope = -(right * np.float32(np.cos(self.light)) + down * np.float32(np.sin(self.light)))
        return np.asarray(Image.fromarray(np.clip(slope, -1, 1)).resize(mask.size, Image.Resampling.BILINEAR))

    def picture(self) -> Image.Image:
        """What has been painted so far."""
        return Image.fromarray(np.clip(self.pixels, 0, 255).astype(np.uint8))


def snapshot(easel: Easel) -> Image.Image:
    """The finished picture with a snapshot's faults: blur, exposure, colour cast and sensor noise."""
    rng, picture = easel.rng, easel.picture()
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    values = np.array(picture, dtype=np.float32)
    values *= np.float32(rng.uniform(0.75, 1.15)) * rng.normal(1, 0.05, 3).astype(np.float32)
    values += np.float32(rng.uniform(1, 7)) * rng.standard_normal((*values.shape[:2], 1), dtype=np.float32)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))

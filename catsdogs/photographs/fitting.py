"""How an upright picture becomes the square, or the several squares, that a network sees."""

import importlib.util
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# cykooz.resizer has no wheel for Linux on Arm. Pillow has the same filters and rounds between its two passes: on 80
# photographs pixels differ by 0.13 grey levels on average and 9 at most. So rows of the two are not mixed.
_HAS_COMPILED_RESIZER = importlib.util.find_spec("cykooz_resizer") is not None
SQUASH, CROP, PAD = "squash", "crop", "pad"
RESIZES = (SQUASH, CROP, PAD)
FLIP, CROPS5 = "flip", "crops5"
VIEWS = {"": 1, FLIP: 2, CROPS5: 5}  # each with how many squares it makes of a photograph
_CROPS5_SHARE = 0.875  # the side of each of five crops, as a share of the side of the square they are cut from
# By the names of Pillow and of cykooz.resizer. Bicubic has a = -1/2. All are wider than the step where they shrink.
_FILTERS = {
    "bicubic": (Image.Resampling.BICUBIC, "catmull_rom"),
    "bilinear": (Image.Resampling.BILINEAR, "bilinear"),
    "lanczos": (Image.Resampling.LANCZOS, "lanczos3"),
}
INTERPOLATIONS = tuple(_FILTERS)
_Colour = tuple[int, int, int]


class Fit(NamedTuple):
    """How a picture is fitted into a square.

    Attributes:
        size: side of the square, in pixels.
        resize: `squash` changes the ratio of the sides; `crop` cuts off what exceeds the shorter side; `pad` adds
            borders to the shorter one.
        share: of the side of the resized picture what the square keeps, around the centre; 1.0 keeps all.
        interpolation: one of `INTERPOLATIONS`.
        fill: the colour of borders, RGB in 0..255.
        views: empty for the square itself; `flip` adds its mirror image; `crops5` makes five of it, the centre first,
            then the corners, each with `_CROPS5_SHARE` of the sides of a larger square.
    """

    size: int
    resize: str = SQUASH
    share: float = 1.0
    interpolation: str = "bicubic"
    fill: _Colour = (0, 0, 0)
    views: str = ""

    @property
    def view_count(self) -> int:
        """How many squares it makes of a picture."""
        return VIEWS[self.views]

    @property
    def resize_filter(self) -> str:
        """The filter and what computes it: two of different names give different pixels."""
        name = _FILTERS[self.interpolation][1].replace("_", "-")
        return name if _HAS_COMPILED_RESIZER else f"{name} of Pillow"

    @property
    def enlarged(self) -> int:
        """The side to which a picture is resized before it is cut to the square or to its views."""
        return math.floor(self._whole / self.share)

    @property
    def _whole(self) -> int:
        return round(self.size / _CROPS5_SHARE) if self.views == CROPS5 else self.size


def squares(image: Image.Image, fit: Fit) -> NDArray[np.uint8]:
    """An RGB picture as (view_count, size, size, 3) squares.

    The geometry, rounding included, is that of timm's transforms for evaluation: `transforms_imagenet_eval` in
    timm/data/transforms_factory.py, whose modes are called squash, center and border.
    """
    whole = _cut(_resize(image, _resized_size(image.size, fit), fit.interpolation), fit._whole, fit.fill)
    if fit.views == FLIP:
        return np.stack([whole, whole[:, ::-1]])
    if fit.views == CROPS5:
        far, middle = len(whole) - fit.size, (len(whole) - fit.size) // 2
        corners = [(middle, middle), (0, 0), (0, far), (far, 0), (far, far)]
        return np.stack([whole[top : top + fit.size, left : left + fit.size] for top, left in corners])
    return whole[np.newaxis]


def _resized_size(size: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """Width and height of the whole picture once it is resized."""
    side = fit.enlarged
    if fit.resize == SQUASH:
        return side, side
    shorter, longer = sorted(size)
    narrow = side if fit.resize == CROP else max(1, round(shorter / (longer / side)))
    wide = int(side * longer / shorter) if fit.resize == CROP else side  # as torchvision's Resize rounds
    return (narrow, wide) if size[0] <= size[1] else (wide, narrow)


def _cut(pixels: NDArray[np.uint8], side: int, fill: _Colour) -> NDArray[np.uint8]:
    """The central square, with borders where the picture is narrower."""
    height, width, _ = pixels.shape
    if min(height, width) < side:
        framed = np.full((max(height, side), max(width, side), 3), fill, np.uint8)
        top, left = (len(framed) - height) // 2, (framed.shape[1] - width) // 2
        framed[top : top + height, left : left + width] = pixels
        pixels = framed
    top, left = (round((length - side) / 2) for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _resize(image: Image.Image, size: tuple[int, int], interpolation: str) -> NDArray[np.uint8]:
    pillows, compiled = _FILTERS[interpolation]
    if not _HAS_COMPILED_RESIZER:
        return np.asarray(image.resize(size, pillows))
    # Compiled for SIMD, it takes a third of the time of Pillow's resize. Building a network does without it.
    from cykooz_resizer import FilterType, ResizeAlg, ResizeOptions, Resizer

    resized = Image.new("RGB", size)
    options = ResizeOptions(resize_alg=ResizeAlg.convolution(getattr(FilterType, compiled)), use_alpha=False)
    Resizer().resize_pil(image, resized, options)
    return np.asarray(resized)

"""An upright picture fitted into the square, or the several squares, that a network sees."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from catsdogs.photographs.fitting import CROP, CROPS5, FILTERS, FLIP, HAS_COMPILED_RESIZER, SQUASH, Colour, Fit


def squares(pixels: NDArray[np.uint8], fit: Fit) -> NDArray[np.uint8]:
    """An RGB picture (height, width, 3) as (view_count, size, size, 3) squares.

    The geometry, rounding included, is that of timm's transforms for evaluation: `transforms_imagenet_eval` in
    timm/data/transforms_factory.py, whose modes are called squash, center and border.
    """
    height, width, _ = pixels.shape
    whole = _cut(_resize(pixels, _resized_size((width, height), fit), fit.interpolation), fit.whole, fit.fill)
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


def _cut(pixels: NDArray[np.uint8], side: int, fill: Colour) -> NDArray[np.uint8]:
    """The central square, with borders where the picture is narrower."""
    height, width, _ = pixels.shape
    if min(height, width) < side:
        framed = np.full((max(height, side), max(width, side), 3), fill, np.uint8)
        top, left = (len(framed) - height) // 2, (framed.shape[1] - width) // 2
        framed[top : top + height, left : left + width] = pixels
        pixels = framed
    top, left = (round((length - side) / 2) for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _resize(pixels: NDArray[np.uint8], size: tuple[int, int], interpolation: str) -> NDArray[np.uint8]:
    if not HAS_COMPILED_RESIZER:
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling[interpolation.upper()]))
    # Compiled for SIMD, it takes a third of the time of Pillow's resize. Building a network does without it.
    from cykooz_resizer import FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer

    height, width, _ = pixels.shape
    whole = ImageData(width, height, PixelType.U8x3, pixels.tobytes())
    resized = ImageData(*size, PixelType.U8x3)
    kind = getattr(FilterType, FILTERS[interpolation].replace("-", "_"))
    Resizer().resize(whole, resized, ResizeOptions(resize_alg=ResizeAlg.convolution(kind), use_alpha=False))
    return np.frombuffer(resized.get_buffer(), np.uint8).reshape(size[1], size[0], 3)

"""A first convolution over training: its kernels before the first epoch and after each one, and a GIF of them."""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from catsdogs.errors import StoreError
from catsdogs.files import storage
from catsdogs.files.atomic import replacing
from catsdogs.finetuning.filters import GRID_COLUMNS, Bytes, Values, kernel_pictures, strongest
from catsdogs.photographs.sheet import FRAME, GROUND, INK, MUTED, font

# What NumPy raises on a damaged file, or on what is no archive of arrays.
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error)
_FRAMES = 48
_TILE, _BIG, _PAD, _EDGE, _ROW = 60, 156, 8, 24, 22  # pixels
_SECONDS, _FIRST, _LAST = 6.0, 0.8, 2.5
_ACCENT = "#cc6633"


def append_kernel(path: Path, kernel: Values, layer: str, epochs: int) -> None:
    """Add a kernel, (h, w, 3, n), behind those of the `epochs` before it; 0 begins the file."""
    kernels = kernel[np.newaxis]
    if epochs:
        with np.load(path) as file:
            kernels = np.concatenate((file["kernels"][:epochs], kernels))
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, layer=layer, epochs=np.arange(len(kernels)), kernels=kernels)


def read_kernels(path: Path) -> tuple[Values, NDArray[np.int64], str]:
    """A first convolution before the first epoch, number 0, and after each one, as training kept it in `kernels.npz`.

    Returns:
        (e, h, w, 3, n) kernels, the (e,) numbers of the epochs, and the layer's name: what `animate_filters` takes.

    Raises:
        StoreError: the file is missing or damaged, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            kernels, epochs, layer = file["kernels"], file["epochs"], str(file["layer"])
        shape = kernels.shape
        if len(shape) != 5 or shape[3] != 3 or 0 in shape or epochs.shape != shape[:1]:
            raise ValueError(f"kernels of shape {shape}, epochs of shape {epochs.shape}")
        if kernels.dtype.kind != "f" or epochs.dtype.kind not in "iu" or not np.isfinite(kernels).all():
            raise ValueError("something other than finite numbers")
    except FileNotFoundError:
        raise StoreError(f"There is no {path}, the filters of each epoch", "Train the network again") from None
    except _UNREADABLE as error:
        if storage.reason_of(error):
            raise storage.read_error(path, error) from None
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreError(f"{path} is damaged: {reason}", "Delete it and train the network again") from None
    return kernels.astype(np.float32), epochs.astype(np.int64), layer


def animate_filters(path: Path, kernels: Values, epochs: NDArray[np.int64], layer: str) -> None:
    """Write a GIF of a first convolution's filters over training: all of them, and the one that changed most.

    A filter's colours mean the same in each frame: grey is zero, and full colour its largest weight of all epochs. Up
    to 48 epochs are shown, evenly spread, and of more than 64 filters those that changed most. See `read_kernels`.

    Raises:
        StoreError: the file cannot be written.
    """
    times = np.unique(np.linspace(0, len(kernels) - 1, _FRAMES).round().astype(int))
    change = kernels - kernels[0]
    distance = np.sqrt(np.square(change[-1]).sum(axis=(0, 1, 2)))
    shown, most = strongest(distance), int(distance.argmax())
    title = f"{layer}: " + (f"{len(shown)} of " if len(shown) < len(distance) else "") + f"{len(distance)} filters"
    filters = kernel_pictures(kernels[times][..., shown])
    large, changed = (kernel_pictures(values[times][..., [most]])[:, 0] for values in (kernels, change))
    shares = (epochs - epochs[0]) / max(1, epochs[-1] - epochs[0])
    frames = []
    for time, tiles, *panels in zip(times, filters, large, changed, strict=True):
        numbered = dict(zip(shown.tolist(), tiles, strict=True))
        frames.append(_frame(title, f"epoch {epochs[time]}", shares[time], numbered, most, panels))
    palette = _palette(np.concatenate([filters.reshape(-1, 3), changed.reshape(-1, 3)]))
    first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    step = round(1000 * min(0.5, max(0.1, _SECONDS / len(frames))))
    lengths = [round(1000 * _FIRST), *[step] * len(others)]
    lengths[-1] = round(1000 * _LAST)
    with replacing(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=others, duration=lengths, loop=0)


def _frame(
    title: str, epoch: str, share: float, filters: Mapping[int, Bytes], most: int, panels: Sequence[Bytes]
) -> Image.Image:
    """The filters, (h, w, 3) each, by their numbers, and two panels: the one that changed most, and its change so far.

    `share` of all epochs are over.
    """
    rows, step = -(-len(filters) // GRID_COLUMNS), _TILE + _PAD
    top, right = _EDGE + 2 * _ROW, 2 * _EDGE + GRID_COLUMNS * step
    height = max(rows * (step + _ROW // 2), 2 * (_BIG + _ROW) + _PAD)
    size = (right + _BIG + _EDGE, top + height + _EDGE + _PAD)
    canvas = Image.new("RGB", size, GROUND)
    pen = ImageDraw.Draw(canvas)
    pen.text((_EDGE, _EDGE), title, INK, font(18))
    pen.text((right + _BIG, _EDGE), epoch, INK, font(18), anchor="ra")
    for place, (number, filter) in enumerate(filters.items()):
        row, column = divmod(place, GRID_COLUMNS)
        left, upper = _EDGE + column * step, top + row * (step + _ROW // 2)
        pen.text((left, upper), str(number), _ACCENT if number == most else MUTED, font(10))
        _paste(canvas, filter, left, upper + _ROW // 2 + 2, _TILE, _ACCENT if number == most else GROUND)
    for place, (label, colour) in enumerate(((f"filter {most}, changed most", _ACCENT), ("its change so far", MUTED))):
        upper = top + place * (_BIG + _ROW + _PAD)
        pen.text((right, upper), label, colour, font(13))
        _paste(canvas, panels[place], right, upper + _ROW, _BIG, GROUND)
    floor, length = size[1] - _EDGE // 2, size[0] - 2 * _EDGE
    pen.line((_EDGE, floor, _EDGE + length, floor), FRAME, 3)
    pen.line((_EDGE, floor, _EDGE + round(share * length), floor), _ACCENT, 3)
    return canvas


def _paste(canvas: Image.Image, filter: Bytes, left: int, top: int, side: int, frame: str) -> None:
    side = side - side % len(filter) or side  # each weight as large as the others
    tile = Image.fromarray(filter).resize((side, side), Image.Resampling.NEAREST)
    ImageDraw.Draw(canvas).rectangle((left - 2, top - 2, left + side + 1, top + side + 1), outline=frame, width=2)
    canvas.paste(tile, (left, top))


def _palette(colours: Bytes) -> Image.Image:
    """256 colours for all frames: those of text and lines with their smoothed edges, grey, and the filters' own."""
    inks = [np.array(ImageColor.getrgb(ink)) for ink in (INK, MUTED, _ACCENT)]
    ramps = [np.linspace((255, 255, 255), ink, 9)[1:] for ink in inks]
    others = [(255, 255, 255), ImageColor.getrgb(FRAME), (128, 128, 128)]
    fixed = np.rint(np.concatenate([*ramps, others])).astype(np.uint8)
    own = Image.fromarray(colours[np.newaxis]).quantize(256 - len(fixed), kmeans=1)
    palette = Image.new("P", (1, 1))
    palette.putpalette([*fixed.ravel().tolist(), *(own.getpalette() or [])])
    return palette

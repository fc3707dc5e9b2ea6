"""Pictures of what a convolution looks for: its filters, what they answer to a photograph, and how they came to be."""

import contextlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from catsdogs.errors import StoreError, UnknownNameError
from catsdogs.files import storage
from catsdogs.files.atomic import replacing

if TYPE_CHECKING:
    import keras
    from matplotlib.axes import Axes

TILES = 64
COLUMNS = 8
_LISTED = 20  # names in an error
_FAINT, _COVER = 0.4, 0.85  # how much of a photograph is left, and how much of it a response hides
_RED = (178, 24, 43)  # of the responses' scale

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Preprocess = Callable[[Floats], Any]


# --- a layer of a network ---------------------------------------------------------------------------------------------


def layers(network: "keras.Model") -> list[str]:
    """The names of its convolutions, those of networks within it included, first to last."""
    return list(_convolutions(network))


def draw(path: Path, network: "keras.Model", layer: str, picture: Bytes, preprocess: Preprocess) -> None:
    """A PNG of a photograph, and of a convolution's filters (up to 64) and what they make of it.

    The filters of a first layer are shown as the colours they are; a deeper one's have no colours, and stand for the
    parts of the photograph that they respond to. A response is what the layer passes on: after the batch normalisation
    and activation that directly follow it. Of more than 64 filters, the picture has those whose responses vary most
    over the photograph.

    Args:
        picture: (size, size, 3) RGB, as large as the network wants it.
        preprocess: (n, size, size, 3) RGB in 0..255, float32 -> what the network reads.

    Raises:
        UnknownNameError: the network has no such convolution.
        StoreError: the file cannot be written.
    """
    found = _convolutions(network)
    if layer not in found:
        raise UnknownNameError(f"convolution of {network.name}", layer, _shortened(list(found)))
    _, answered = _listen(network, found[layer], preprocess(picture[np.newaxis].astype(np.float32)))
    responses = np.moveaxis(answered[0], -1, 0)
    shown = _most(responses.std(axis=(1, 2)))
    kernel = _rgb_kernel(network, found[layer], preprocess, len(picture))
    if kernel is None:
        title, left = "where in the photograph each responds", [_lit(picture, responses[filter]) for filter in shown]
    else:
        title, left = f"filters, {kernel.shape[0]} x {kernel.shape[1]} pixels", list(_in_colour(kernel)[shown])
    if len(shown) < len(responses):
        title = f"{len(shown)} of {len(responses)} filters: {title}"
    _compose(
        path,
        f"{network.name}, {layer}",
        picture,
        shown.tolist(),
        (title, left),
        [responses[filter] for filter in shown],
    )


def _convolutions(network: "keras.Model") -> dict[str, "keras.Layer"]:
    import keras

    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    return {layer.name: layer for layer in _leaves(network) if isinstance(layer, kinds)}


def _leaves(network: "keras.Model") -> Iterator["keras.Layer"]:
    for layer in network.layers:
        if hasattr(layer, "layers"):
            yield from _leaves(layer)
        else:
            yield layer


def _shortened(names: list[str]) -> list[str]:
    more = len(names) - _LISTED
    return names if more <= 0 else [*names[:_LISTED], f"or one of {more} more"]


def _listen(network: "keras.Model", convolution: "keras.Layer", batch: Any) -> tuple[Floats, Floats]:
    """What the convolution reads, and what it passes on."""
    import keras

    followers = (keras.layers.BatchNormalization, keras.layers.Activation, keras.layers.ReLU)
    heard: dict[str, Any] = {}

    def overheard(layer: "keras.Layer") -> Callable[..., Any]:
        own = layer.call

        def call(x: Any, *arguments: Any, **settings: Any) -> Any:
            answer = own(x, *arguments, **settings)
            if layer is convolution:
                heard.update(input=x, response=answer)
            elif x is heard.get("response"):
                heard["response"] = answer
            return answer

        return call

    # A model of the inner layer's output cannot be made: networks within networks keep graphs of their own.
    with contextlib.ExitStack() as stack:
        for layer in _leaves(network):
            if layer is convolution or isinstance(layer, followers):
                layer.call = overheard(layer)
                stack.callback(delattr, layer, "call")
        network(batch, training=False)
    read, answered = (keras.ops.convert_to_numpy(keras.ops.cast(heard[name], "float32")) for name in heard)
    return read, answered


def _rgb_kernel(network: "keras.Model", convolution: "keras.Layer", preprocess: Preprocess, size: int) -> Floats | None:
    """(h, w, 3, n), red, green, blue; None if the convolution does not read a picture's three channels."""
    import keras

    if not isinstance(convolution, keras.layers.Conv2D) or convolution.kernel.shape[2] != 3:
        return None
    # Caffe's networks read blue first: a picture in each of the colours tells.
    plain = np.broadcast_to(255 * np.eye(3, dtype=np.float32)[:, None, None], (3, size, size, 3))
    read, _ = _listen(network, convolution, preprocess(plain))
    order = read.mean(axis=(1, 2)).argmax(axis=1)
    return keras.ops.convert_to_numpy(convolution.kernel)[:, :, order]


def _most(strength: Floats) -> NDArray[np.int64]:
    """The strongest 64, in the order they have."""
    return np.sort(np.argsort(-strength, kind="stable")[:TILES])


def _in_colour(kernel: Floats) -> Bytes:
    """(h, w, 3, n) -> (n, h, w, 3): a weight of zero is grey, and each filter's largest is full or none of a colour."""
    filters = np.moveaxis(kernel, -1, 0)
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    return _around_grey(filters / np.maximum(largest, np.finfo(np.float32).tiny))


def _around_grey(weights: Floats) -> Bytes:
    """-1..1 -> 0..255."""
    return np.rint(127.5 + 127.5 * weights).astype(np.uint8)


def _lit(picture: Bytes, response: Floats) -> Bytes:
    """The photograph, pale and grey, red where the response is above zero."""
    share = np.maximum(response, 0) / max(response.max(), np.finfo(np.float32).tiny)
    smooth = Image.fromarray(share.astype(np.float32)).resize(picture.shape[1::-1], Image.Resampling.BILINEAR)
    cover = _COVER * np.asarray(smooth)[:, :, np.newaxis]
    pale = 255 - _FAINT * (255 - picture.mean(axis=2, keepdims=True))
    return np.rint((1 - cover) * pale + cover * np.array(_RED)).astype(np.uint8)


def _compose(
    path: Path,
    title: str,
    picture: Bytes,
    numbers: Sequence[int],
    left: tuple[str, Sequence[Bytes]],
    responses: Sequence[Floats],
) -> None:
    from matplotlib.figure import Figure

    rows = -(-len(numbers) // COLUMNS)
    figure = Figure(figsize=(14, 0.72 * max(rows, 3) + 0.9), layout="constrained")
    figure.suptitle(title, fontsize=13)
    photograph, filters, answers = figure.subplots(1, 3, width_ratios=(2.2, 5, 5))
    photograph.imshow(picture)
    photograph.set_anchor("N")
    photograph.set_axis_off()
    photograph.set_title("photograph", loc="left", fontsize=10)
    _grid(filters, left[0], numbers, left[1])
    _grid(answers, "responses: red above zero, blue below, each to its own strongest", numbers, responses)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _grid(axes: "Axes", title: str, numbers: Sequence[int], tiles: Sequence[NDArray[Any]]) -> None:
    """A tile to a filter, its number in the corner above; colours as they are, single figures from blue to red."""
    for place, (number, tile) in enumerate(zip(numbers, tiles, strict=True)):
        row, column = divmod(place, COLUMNS)
        limit = float(np.abs(tile).max())  # of no account for colours
        label = f"{number}" if limit else f"{number}, silent"
        axes.imshow(
            tile,
            cmap="RdBu_r",
            vmin=-limit or -1.0,
            vmax=limit or 1.0,
            interpolation="nearest" if len(tile) < 12 else "antialiased",
            extent=(column, column + 0.9, row + 1, row + 0.2),
            aspect="auto",
        )
        axes.text(column, row + 0.17, label, fontsize=6.5, color="#68686d")
    axes.set(xlim=(-0.02, COLUMNS), ylim=(max(-(-len(numbers) // COLUMNS), 3) + 0.02, 0), aspect=0.9 / 0.8, anchor="NW")
    axes.set_axis_off()
    axes.set_title(title, loc="left", fontsize=10)


# --- a first layer while it learns ------------------------------------------------------------------------------------


# What NumPy raises on a damaged file, or on what is no archive of arrays.
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error)


class Kernels(NamedTuple):
    """A first convolution before the first epoch, number 0, and after each one: what `animate` takes.

    Attributes:
        kernels: (e, h, w, 3, n) float32.
        epochs: (e,).
        layer: its name.
    """

    kernels: Floats
    epochs: NDArray[np.int64]
    layer: str


def read_kernels(path: Path) -> Kernels:
    """What training kept of a network's first convolution in `kernels.npz`.

    Raises:
        StoreError: the file is missing or damaged, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = Kernels(file["kernels"], file["epochs"], str(file["layer"]))
    except FileNotFoundError:
        raise StoreError(f"There is no {path}, the filters of each epoch", "Train the network again") from None
    except _UNREADABLE as error:
        if storage.reason_of(error):
            raise storage.read_error(path, error) from None
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _damaged(path, reason) from None
    shape = found.kernels.shape
    if len(shape) != 5 or shape[3] != 3 or 0 in shape or found.epochs.shape != shape[:1]:
        raise _damaged(path, f"kernels of shape {shape}, epochs of shape {found.epochs.shape}")
    if found.kernels.dtype.kind != "f" or found.epochs.dtype.kind not in "iu" or not np.isfinite(found.kernels).all():
        raise _damaged(path, "something other than finite numbers")
    return found._replace(kernels=found.kernels.astype(np.float32), epochs=found.epochs.astype(np.int64))


def _damaged(path: Path, reason: str) -> StoreError:
    return StoreError(f"{path} is damaged: {reason}", "Delete it and train the network again")


_FRAMES = 48
_TILE, _LARGE, _GAP, _MARGIN, _LINE = 60, 156, 8, 24, 22  # pixels
_SECONDS, _FIRST, _LAST = 6.0, 0.8, 2.5
_GROUND, _RULE, _INK, _MUTED, _ACCENT = "#ffffff", "#d9d9d6", "#1d1d1f", "#68686d", "#cc6633"


def animate(path: Path, kernels: Floats, epochs: NDArray[np.int64], layer: str) -> None:
    """An endless GIF of a first convolution's filters over training: all of them, and the one that changed most.

    A filter's colours mean the same in each frame: grey is zero, and full colour its largest weight of all epochs. Up
    to 48 epochs are shown, evenly spread, and of more than 64 filters those that changed most. See `Kernels`.

    Raises:
        StoreError: the file cannot be written.
    """
    times = np.unique(np.linspace(0, len(kernels) - 1, _FRAMES).round().astype(int))
    change = kernels - kernels[0]
    distance = np.sqrt(np.square(change[-1]).sum(axis=(0, 1, 2)))
    shown, most = _most(distance), int(distance.argmax())
    colours = _over_time(kernels[times][..., shown])
    film = _Film(
        colours,
        _over_time(kernels[times][..., [most]])[:, 0],
        _over_time(change[times][..., [most]])[:, 0],
        f"{layer}: " + (f"{len(shown)} of " if len(shown) < len(distance) else "") + f"{len(distance)} filters",
        shown.tolist(),
        most,
        epochs[times],
    )
    frames = [film.frame(number) for number in range(len(times))]
    palette = _palette(np.concatenate([colours.reshape(-1, 3), film.change.reshape(-1, 3)]))
    first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    step = round(1000 * min(0.5, max(0.1, _SECONDS / len(frames))))
    lengths = [round(1000 * _FIRST), *[step] * len(others)]
    lengths[-1] = round(1000 * _LAST)
    with replacing(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=others, duration=lengths, loop=0)


def _over_time(kernels: Floats) -> Bytes:
    """(e, h, w, 3, n) -> (e, n, h, w, 3): each filter scaled to its largest weight of all epochs."""
    largest = np.abs(kernels).max(axis=(0, 1, 2, 3), keepdims=True)
    return _around_grey(np.moveaxis(kernels / np.maximum(largest, np.finfo(np.float32).tiny), -1, 1))


@dataclass(frozen=True)
class _Film:
    """What the frames show: the filters, (e, n, h, w, 3); (e, h, w, 3) the `most` changed one, and its change."""

    filters: Bytes
    large: Bytes
    change: Bytes
    title: str
    numbers: list[int]
    most: int
    epochs: NDArray[np.int64]

    def frame(self, time: int) -> Image.Image:
        rows, step = -(-len(self.numbers) // COLUMNS), _TILE + _GAP
        top, right = _MARGIN + 2 * _LINE, 2 * _MARGIN + COLUMNS * step
        height = max(rows * (step + _LINE // 2), 2 * (_LARGE + _LINE) + _GAP)
        size = (right + _LARGE + _MARGIN, top + height + _MARGIN + _GAP)
        canvas = Image.new("RGB", size, _GROUND)
        pen = ImageDraw.Draw(canvas)
        pen.text((_MARGIN, _MARGIN), self.title, _INK, _font(18))
        pen.text((right + _LARGE, _MARGIN), f"epoch {self.epochs[time]}", _INK, _font(18), anchor="ra")
        for place, (number, filter) in enumerate(zip(self.numbers, self.filters[time], strict=True)):
            row, column = divmod(place, COLUMNS)
            left, upper = _MARGIN + column * step, top + row * (step + _LINE // 2)
            pen.text((left, upper), str(number), _ACCENT if number == self.most else _MUTED, _font(10))
            _paste(canvas, filter, left, upper + _LINE // 2 + 2, _TILE, _ACCENT if number == self.most else _GROUND)
        panels = ((f"filter {self.most}, changed most", self.large), ("its change so far", self.change))
        for place, (label, film) in enumerate(panels):
            upper = top + place * (_LARGE + _LINE + _GAP)
            pen.text((right, upper), label, _ACCENT if place == 0 else _MUTED, _font(13))
            _paste(canvas, film[time], right, upper + _LINE, _LARGE, _GROUND)
        share = (self.epochs[time] - self.epochs[0]) / max(1, self.epochs[-1] - self.epochs[0])
        floor, length = size[1] - _MARGIN // 2, size[0] - 2 * _MARGIN
        pen.line((_MARGIN, floor, _MARGIN + length, floor), _RULE, 3)
        pen.line((_MARGIN, floor, _MARGIN + round(share * length), floor), _ACCENT, 3)
        return canvas


def _paste(canvas: Image.Image, filter: Bytes, left: int, top: int, side: int, frame: str) -> None:
    side = side - side % len(filter) or side  # each weight as large as the others
    tile = Image.fromarray(filter).resize((side, side), Image.Resampling.NEAREST)
    ImageDraw.Draw(canvas).rectangle((left - 2, top - 2, left + side + 1, top + side + 1), outline=frame, width=2)
    canvas.paste(tile, (left, top))


def _palette(colours: Bytes) -> Image.Image:
    """256 colours for all frames: those of text and lines with their smoothed edges, grey, and the filters' own."""
    inks = [np.array(ImageColor.getrgb(ink)) for ink in (_INK, _MUTED, _ACCENT)]
    ramps = [np.linspace((255, 255, 255), ink, 9)[1:] for ink in inks]
    fixed = np.rint(np.concatenate([*ramps, [(255, 255, 255), ImageColor.getrgb(_RULE), (128, 128, 128)]])).astype(
        np.uint8
    )
    own = Image.fromarray(colours[np.newaxis]).quantize(256 - len(fixed), kmeans=1)
    palette = Image.new("P", (1, 1))
    palette.putpalette([*fixed.ravel().tolist(), *(own.getpalette() or [])])
    return palette


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)

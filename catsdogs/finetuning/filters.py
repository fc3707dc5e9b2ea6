"""A picture of what a convolution looks for: its filters, and their responses to a photograph."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from catsdogs.errors import UnknownNameError
from catsdogs.files.atomic import replacing

if TYPE_CHECKING:
    import keras
    from matplotlib.axes import Axes

MAX_FILTERS = 64
GRID_COLUMNS = 8
_NAMES_LISTED = 20  # names in an error
_PALENESS, _COVER = 0.4, 0.85  # how much of a photograph is left, and how much of it a response hides
_RED = (178, 24, 43)  # of the responses' scale

Values = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def layers_of(network: "keras.Model") -> Iterator["keras.Layer"]:
    """A network's layers, first to last; those of networks within it in place of these."""
    for layer in network.layers:
        if hasattr(layer, "layers"):
            yield from layers_of(layer)
        else:
            yield layer


def convolutions(network: "keras.Model") -> dict[str, "keras.Layer"]:
    """A network's convolutions by their names, those of networks within it included, first to last."""
    import keras

    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    return {layer.name: layer for layer in layers_of(network) if isinstance(layer, kinds)}


def draw_filters(path: Path, network: "keras.Model", layer: str, picture: Bytes) -> None:
    """Write a PNG of a photograph, and of a convolution's filters (up to 64) and their responses to it.

    The filters of a first layer are shown as the colours they are. A deeper layer's filters have no colours: each is
    shown by the parts of the photograph that it responds to. A response is taken after the batch normalisation and
    activation that directly follow the layer. Of more than 64 filters, the picture has those whose responses vary
    most over the photograph.

    Args:
        network: it reads (n, size, size, 3) RGB in 0..255, float32.
        picture: (size, size, 3) RGB, as large as the network wants it.

    Raises:
        UnknownNameError: the network has no such convolution.
        StoreError: the file cannot be written.
    """
    layers = convolutions(network)
    if layer not in layers:
        names, more = list(layers)[:_NAMES_LISTED], len(layers) - _NAMES_LISTED
        choice = [*names, f"or one of {more} more"] if more > 0 else names
        raise UnknownNameError(f"convolution of {network.name}", layer, choice)
    _, outputs = _record(network, layers[layer], picture[np.newaxis].astype(np.float32))
    responses = np.moveaxis(outputs[0], -1, 0)
    shown = strongest(responses.std(axis=(1, 2)))
    kernel = _rgb_kernel(network, layers[layer], len(picture))
    if kernel is None:
        title = "where in the photograph each responds"
        tiles = [_highlighted(picture, responses[filter]) for filter in shown]
    else:
        title = f"filters, {kernel.shape[0]} x {kernel.shape[1]} pixels"
        tiles = list(kernel_pictures(kernel)[shown])
    if len(shown) < len(responses):
        title = f"{len(shown)} of {len(responses)} filters: {title}"
    drawn = [responses[filter] for filter in shown]
    _draw_sheet(path, f"{network.name}, {layer}", picture, shown.tolist(), (title, tiles), drawn)


def _record(network: "keras.Model", convolution: "keras.Layer", batch: Any) -> tuple[Values, Values]:
    """The input of the convolution, and what it passes on to the layers behind it."""
    import keras

    followers = (keras.layers.BatchNormalization, keras.layers.Activation, keras.layers.ReLU)
    last = convolution
    while behind := [node.operation for node in last._outbound_nodes if isinstance(node.operation, followers)]:
        last = behind[0]
    # Networks within networks keep graphs of their own: each gives the next one what it reads.
    while convolution not in network.layers:
        inner = next(one for one in network.layers if hasattr(one, "layers") and convolution in layers_of(one))
        batch = keras.Model(network.input, inner._inbound_nodes[-1].input_tensors[0])(batch, training=False)
        network = inner
    recorded = keras.Model(network.input, (convolution.input, last.output))(batch, training=False)
    inputs, outputs = (keras.ops.convert_to_numpy(keras.ops.cast(values, "float32")) for values in recorded)
    return inputs, outputs


def _rgb_kernel(network: "keras.Model", convolution: "keras.Layer", size: int) -> Values | None:
    """(h, w, 3, n), red, green, blue; None if the convolution does not read a picture's three channels."""
    import keras

    if not isinstance(convolution, keras.layers.Conv2D) or convolution.kernel.shape[2] != 3:
        return None
    # Caffe's networks read blue first: a picture in each of the colours tells.
    plain = np.broadcast_to(255 * np.eye(3, dtype=np.float32)[:, None, None], (3, size, size, 3))
    inputs, _ = _record(network, convolution, plain)
    order = inputs.mean(axis=(1, 2)).argmax(axis=1)
    return keras.ops.convert_to_numpy(convolution.kernel)[:, :, order]


def strongest(strength: Values) -> NDArray[np.int64]:
    """The indices of the 64 strongest, ascending."""
    return np.sort(np.argsort(-strength, kind="stable")[:MAX_FILTERS])


def kernel_pictures(kernels: Values) -> Bytes:
    """(..., h, w, 3, n) -> (..., n, h, w, 3): zero is grey, each filter's largest weight full or none of a colour."""
    largest = np.abs(kernels).max(axis=tuple(range(kernels.ndim - 1)), keepdims=True)
    weights = kernels / np.maximum(largest, np.finfo(np.float32).tiny)
    return np.rint(127.5 + 127.5 * np.moveaxis(weights, -1, -4)).astype(np.uint8)


def _highlighted(picture: Bytes, response: Values) -> Bytes:
    """The photograph, pale and grey, red where the response is above zero."""
    share = np.maximum(response, 0) / max(response.max(), np.finfo(np.float32).tiny)
    smooth = Image.fromarray(share.astype(np.float32)).resize(picture.shape[1::-1], Image.Resampling.BILINEAR)
    cover = _COVER * np.asarray(smooth)[:, :, np.newaxis]
    pale = 255 - _PALENESS * (255 - picture.mean(axis=2, keepdims=True))
    return np.rint((1 - cover) * pale + cover * np.array(_RED)).astype(np.uint8)


def _draw_sheet(
    path: Path,
    title: str,
    picture: Bytes,
    numbers: Sequence[int],
    filter_tiles: tuple[str, Sequence[Bytes]],
    responses: Sequence[Values],
) -> None:
    from matplotlib.figure import Figure

    rows = -(-len(numbers) // GRID_COLUMNS)
    figure = Figure(figsize=(14, 0.72 * max(rows, 3) + 0.9), layout="constrained")
    figure.suptitle(title, fontsize=13)
    photograph, filters, responding = figure.subplots(1, 3, width_ratios=(2.2, 5, 5))
    photograph.imshow(picture)
    photograph.set_anchor("N")
    photograph.set_axis_off()
    photograph.set_title("photograph", loc="left", fontsize=10)
    _draw_grid(filters, filter_tiles[0], numbers, filter_tiles[1])
    _draw_grid(responding, "responses: red above zero, blue below, each to its own strongest", numbers, responses)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _draw_grid(axes: "Axes", title: str, numbers: Sequence[int], tiles: Sequence[NDArray[Any]]) -> None:
    """A tile for each filter under its number: colours as they are, single values from blue to red."""
    for place, (number, tile) in enumerate(zip(numbers, tiles, strict=True)):
        row, column = divmod(place, GRID_COLUMNS)
        limit = float(np.abs(tile).max())  # without effect on tiles in colours
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
    axes.set(
        xlim=(-0.02, GRID_COLUMNS),
        ylim=(max(-(-len(numbers) // GRID_COLUMNS), 3) + 0.02, 0),
        aspect=0.9 / 0.8,
        anchor="NW",
    )
    axes.set_axis_off()
    axes.set_title(title, loc="left", fontsize=10)

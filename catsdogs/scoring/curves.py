"""Learning curves of all folds, as a picture and for TensorBoard."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from catsdogs.files import interrupts
from catsdogs.networks.quiet import quiet_import

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curves = Mapping[str, Sequence[float]]  # a figure for each epoch
TENSORBOARD_FOLDER = "tensorboard"
_PREFIXES = {"train": "", "validation": "val_"}  # as Keras names them
_COLOURS = {"train": "#4477aa", "validation": "#cc6633"}  # apart for the colour-blind too
_HISTOGRAM_ENTRIES = 100_000
_TITLE_WIDTH = 110  # characters
_DECADE, _AROUND, _APART = 10, 1.2, 1.01
_PANELS = {"loss": "log loss", "accuracy": "accuracy"}


def draw_curves(path: Path, histories: Sequence[Curves], title: str, what: str = "folds") -> None:
    """A PNG of loss and accuracy by epoch: each fold a thin line, their mean a thick one.

    Args:
        histories: of one fold each, as `history_` of `heads.Head`.
        what: what there is a history of, in the plural.
    """
    with interrupts.later():
        from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle("\n".join(textwrap.fill(line, _TITLE_WIDTH) for line in title.splitlines()), fontsize=11)
    for axes, (metric, label) in zip(figure.subplots(1, 2), _PANELS.items(), strict=True):
        for kind, prefix in _PREFIXES.items():
            _draw_folds(axes, [history.get(prefix + metric, ()) for history in histories], kind, what)
        axes.set_title(label, loc="left", fontsize=10)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    use_log_scale(figure.axes[0], "y")
    if figure.axes[0].lines:
        figure.axes[0].legend(frameon=False)
    figure.savefig(path, format="png", dpi=120)


def use_log_scale(axes: "Axes", which: str) -> None:
    """Give drawn axes a logarithmic x or y axis whose ticks are plain numbers, such as 0.7."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_data_interval()
    if 0 < high < low * _APART:  # a single value, around which matplotlib leaves no margin
        axes.set(**{f"{which}lim": (low / _AROUND, high * _AROUND)})
    axes.set(**{f"{which}scale": "log"})
    low, high = axis.get_view_interval()
    # Within a decade, ticks at 1, 2 and 5 times powers of ten are too few to read a value by.
    narrow = high < _DECADE * low
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]) if narrow else LogLocator(subs=(1, 2, 5)))
    plain = partial(np.format_float_positional, precision=6, fractional=False, trim="-")
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axis.set_minor_formatter(NullFormatter())
    if narrow:
        axis.set_minor_locator(NullLocator())


def _draw_folds(axes: "Axes", curves: Sequence[Sequence[float]], kind: str, what: str) -> None:
    drawn = [curve for curve in curves if curve]
    if not drawn:
        return
    for curve in drawn:
        _draw_line(axes, curve, color=_COLOURS[kind], linewidth=0.8, alpha=0.4)
    mean = np.nanmean(np.array(list(zip_longest(*drawn, fillvalue=np.nan))), axis=1)
    label = f"{kind}, mean of {len(drawn)} {what}" if len(drawn) > 1 else kind
    _draw_line(axes, mean, color=_COLOURS[kind], linewidth=2.4, label=label)


def _draw_line(axes: "Axes", figures: Sequence[float] | NDArray[np.floating], **style: Any) -> None:
    """A figure for each epoch; a single one is a dot, for a line needs two points."""
    marker = "o" if len(figures) == 1 else ""
    axes.plot(range(1, len(figures) + 1), figures, marker=marker, markersize=6, **style)


def write_tensorboard(folder: Path, histories: Sequence[Curves]) -> None:
    """Event files as Keras's callback writes, in `fold-1/train`, `fold-1/validation`, …; none without TensorFlow."""
    try:
        with quiet_import():
            import tensorflow as tf
    except ImportError:
        return
    # As `tf.summary.scalar` does, which needs the package tensorboard; TensorFlow alone can write this.
    scalar = tf.compat.v1.SummaryMetadata(
        plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class="DATA_CLASS_SCALAR"
    )
    for number, history in enumerate(histories, start=1):
        for kind, prefix in _PREFIXES.items():
            with tf.summary.create_file_writer(str(folder / f"fold-{number}" / kind)).as_default():
                for metric in _PANELS:
                    for epoch, figure in enumerate(history.get(prefix + metric, ()), start=1):
                        tf.summary.write(f"epoch_{metric}", tf.constant(figure, tf.float32), epoch, scalar)


def write_histograms(folder: Path, epoch: int, weights: Mapping[str, NDArray[np.floating]]) -> None:
    """An event file with a histogram of each array; of a large one, of evenly spread entries. Needs tensorboard."""
    with quiet_import():
        import tensorflow as tf

    with tf.summary.create_file_writer(str(folder), filename_suffix=f".histograms-{epoch}").as_default():
        for name, values in weights.items():
            step = -(-values.size // _HISTOGRAM_ENTRIES)
            tf.summary.histogram(name, values.ravel()[::step], step=epoch)


def write_graph(folder: Path, model: Callable[[Any], Any], shapes: Sequence[tuple[int | None, ...]]) -> None:
    """An event file with the graph of a model of TensorFlow's, whose inputs have these shapes. Needs tensorboard."""
    with quiet_import():
        import tensorflow as tf

    inputs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    forward = tf.function(lambda *inputs: model(inputs if len(inputs) > 1 else inputs[0]))
    with tf.summary.create_file_writer(str(folder), filename_suffix=".graph").as_default():
        tf.summary.graph(forward.get_concrete_function(*inputs).graph)

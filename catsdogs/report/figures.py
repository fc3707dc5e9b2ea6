"""The report's diagrams, drawn by Bokeh, in colours told apart on light and dark; `captions` has their sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs.report.canvas import COLOURS, FAINT, INK, hide_ticks, legend_above, new_figure, numerals
from catsdogs.report.measures import Bin

MARKERS = ("circle", "triangle", "square", "diamond", "inverted_triangle")
_SIGNS = (
    "\N{BLACK CIRCLE}\N{BLACK UP-POINTING TRIANGLE}\N{BLACK SQUARE}\N{BLACK DIAMOND}\N{BLACK DOWN-POINTING TRIANGLE}"
)
LEGEND_CLASSES = 8
_BIN_COLUMNS = ("low", "high", "rows", "said", "happened", "least", "most")  # a `Bin` as the page's tooltips call it
MAP_SOURCE = "map"  # by this name the page's script finds the points
_RING, _RING_COLOUR = 15, "#b0569a"  # pixels; none of the first classes' colours
RINGED = ("\N{WHITE CIRCLE}", _RING_COLOUR, "suspect")  # in the legend of the map
DOT = _SIGNS[0]
_HISTOGRAM_BINS = 40
_TICKS = [base * 10**power for power in range(6) for base in (1, 2, 5)]


def class_colour(label: int) -> str:
    """The colour of a class."""
    return COLOURS[label % len(COLOURS)]


def class_marker(label: int) -> str:
    """The marker of a class."""
    return MARKERS[label % len(MARKERS)]


def map_legend(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Sign, colour and meaning of what is on the map: text, for Bokeh's legends lie upon points and do not wrap."""
    few = names if len(names) <= LEGEND_CLASSES else ()
    signs = [(_SIGNS[label % len(_SIGNS)], class_colour(label), name) for label, name in enumerate(few)]
    return [*signs, RINGED]


def draw_balance(names: Sequence[str], counts: NDArray[np.int64], what: str = "class") -> Any:
    """Photographs of each of many classes or labels, the largest first."""
    order = np.argsort(-counts, kind="stable")
    by_size = "classes, by size" if what == "class" else "labels, the most frequent first"
    figure = new_figure(260, tooltips=[(what, "@name"), ("photographs", "@count")], x_axis_label=by_size)
    source = {"rank": np.arange(len(order)), "count": counts[order], "name": [names[row] for row in order]}
    figure.vbar(x="rank", top="count", width=0.8, color=COLOURS[0], source=source)
    hide_ticks(figure.xaxis)
    figure.yaxis.axis_label = "photographs"
    figure.y_range.start = 0
    return figure


def draw_sizes(by_split: Mapping[str, NDArray[np.float32]]) -> Any:
    """Widths and heights, (n, 2) pixels of each split; photographs of the same size share a marker, larger for more."""
    figure = new_figure(
        420,
        x_axis_type="log",
        y_axis_type="log",
        tooltips=[("size", "@width by @height pixels"), ("photographs", "@count")],
        x_axis_label="width, pixels",
        y_axis_label="height, pixels",
    )
    for number, (split, values) in enumerate(by_split.items()):
        pairs, counts = np.unique(values, axis=0, return_counts=True)
        sizes = 5 + 15 * np.sqrt((counts - 1) / max(counts.max() - 1, 1))
        source = {"width": pairs[:, 0], "height": pairs[:, 1], "count": counts, "size": sizes}
        style = {"size": "size", "color": COLOURS[number], "marker": MARKERS[number], "fill_alpha": FAINT}
        figure.scatter("width", "height", source=source, legend_label=split, line_alpha=0.7, **style)
    for axis in (*figure.xaxis, *figure.yaxis):
        axis.ticker = _TICKS
        axis.formatter = numerals("0,0")
    legend_above(figure)
    return figure


def draw_calibration(
    stages: Mapping[str, Sequence[Bin]], probability_label: str, share_label: str, unit: str = "photographs"
) -> Any:
    """The share that came true against the mean probability of each bin, and below it how many the bin holds."""
    from bokeh.layouts import column
    from bokeh.models import ColumnDataSource

    figure = new_figure(
        380,
        tooltips=[
            ("said", "@said{0.0%}"),
            ("happened", "@happened{0.0%}, 95 % interval @least{0.0%} to @most{0.0%}"),
            (unit, "@rows{0,0}"),
        ],
        y_axis_label=share_label,
        x_range=(-0.02, 1.02),
        y_range=(-0.03, 1.03),
    )
    counts = new_figure(
        150, x_axis_label=probability_label, y_axis_label=unit, y_axis_type="log", x_range=figure.x_range
    )
    figure.line([0, 1], [0, 1], color=INK, line_dash="dashed")
    offsets = np.linspace(-0.5, 0.5, len(stages))
    for number, (stage, bins) in enumerate(stages.items()):
        source = ColumnDataSource({column: [bin[place] for bin in bins] for place, column in enumerate(_BIN_COLUMNS)})
        final = number == len(stages) - 1
        style = {"color": COLOURS[not final], "source": source, "legend_label": stage}
        if final:
            figure.segment("said", "least", "said", "most", source=source, color=COLOURS[0], alpha=0.4, line_width=4)
        # The earlier stage is drawn larger and hollow, for often the later one lies upon it.
        figure.line("said", "happened", line_width=2 if final else 1, **style)
        figure.scatter("said", "happened", size=8 if final else 14, fill_alpha=float(final), line_width=2, **style)
        middle = [(bin.low + bin.high) / 2 + offsets[number] * 0.04 for bin in bins]
        tops = [bin.rows for bin in bins]
        counts.vbar(x=middle, top=tops, bottom=0.8, width=0.036, color=COLOURS[not final], alpha=0.8)
    legend_above(figure)
    counts.yaxis.formatter = numerals("0,0")
    for part in (figure, counts):
        part.min_border_left = 70  # so that the two axes stand one below the other
    return column(figure, counts, sizing_mode="stretch_width")


def draw_probabilities(
    test: NDArray[np.float64], train: NDArray[np.float64], probability_label: str, unit: str = "photographs"
) -> Any:
    """Shares of (n,) test probabilities as bars; as a line those of the training photographs, out of fold."""
    edges = np.linspace(0, 1, _HISTOGRAM_BINS + 1)
    shares = [np.histogram(values, edges)[0] / len(values) for values in (test, train)]
    floor = 0.5 * min(share[share > 0].min() for share in shares)
    figure = new_figure(
        320,
        y_axis_type="log",
        tooltips=[("probability", "@left{0.000} to @right{0.000}"), (unit, "@count{0,0}, @share{0.00%}")],
        x_axis_label=probability_label,
        y_axis_label=f"share of {unit}",
        x_range=(-0.02, 1.02),
        y_range=(floor, 1.4),
    )
    bars = {"left": edges[:-1], "right": edges[1:], "share": shares[0], "top": np.maximum(shares[0], floor)}
    bars["count"] = np.round(shares[0] * len(test))
    style = {"color": COLOURS[0], "fill_alpha": 0.75, "line_color": None, "legend_label": "test"}
    figure.quad("left", "right", "top", bottom=floor, source=bars, **style)
    x, y = np.repeat(edges, 2)[1:-1], np.repeat(np.maximum(shares[1], floor), 2)
    figure.line(x, y, color=COLOURS[1], line_width=2, legend_label="train, out of fold")
    figure.hover.renderers = figure.renderers[:1]
    figure.yaxis.formatter = numerals("0.[00]%")
    legend_above(figure)
    return figure


def draw_confusion(names: Sequence[str], matrix: NDArray[np.int64]) -> Any:
    """A square for each pair of classes, stronger for a larger share of the label's photographs."""
    figure = new_figure(
        560,
        tooltips=[("label", "@label"), ("called", "@answer"), ("photographs", "@count")],
        x_axis_label="called",
        y_axis_label="label",
    )
    rows, columns = np.nonzero(matrix)
    share = (matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1))[rows, columns]
    source = {
        "x": columns,
        "y": len(names) - 1 - rows,
        "label": [names[row] for row in rows.tolist()],
        "answer": [names[column] for column in columns.tolist()],
        "count": matrix[rows, columns],
        "strength": 0.25 + 0.75 * share,
        "colour": np.where(rows == columns, COLOURS[0], COLOURS[1]),
    }
    figure.rect("x", "y", 1, 1, source=source, color="colour", fill_alpha="strength", line_color=None)
    hide_ticks(figure.axis)
    return figure


def draw_map(points: Mapping[str, Any], pictures: bool) -> Any:
    """The map; `points` has x, y, colour, marker, id, class, note, picture, ringed, and those of the page's script."""
    from bokeh.models import ColumnDataSource

    columns = dict(points) | {"ring": np.where(points["ringed"], _RING, 0)}
    figure = new_figure(
        None,
        sizing_mode="stretch_both",  # the page gives it a height, less on a phone
        tools="pan,box_zoom,reset,tap",
        active_drag=None,
        toolbar_location="above",
        tooltips=_MAP_TOOLTIP.replace("PICTURE", _MAP_PICTURE if pictures else ""),
        x_axis_label="first principal component",
        y_axis_label="second",
    )
    source = ColumnDataSource(columns, name=MAP_SOURCE)
    drawn = figure.scatter(
        "x",
        "y",
        source=source,
        size=8,
        fill_color="colour",
        marker="marker",
        fill_alpha=0.65,
        line_color=None,
        nonselection_alpha=0.2,
        selection_fill_alpha=1.0,
    )
    ring = {"color": _RING_COLOUR, "line_width": 1.6, "fill_color": None}
    figure.scatter("x", "y", source=source, size="ring", nonselection_alpha=0.2, **ring)
    figure.hover.renderers, figure.hover.limit = [drawn], _MAP_TOOLTIPS
    figure.toolbar.autohide = True
    return figure


_MAP_TOOLTIPS = 3  # where points lie upon each other
_MAP_PICTURE = '<img src="@picture" alt="" style="display:block; width:108px; margin-bottom:4px">'
_MAP_TOOLTIP = (
    '<div style="max-width:220px; font:13px system-ui, sans-serif; overflow-wrap:anywhere">PICTURE'
    "<b>@id</b><div>@class</div><div>@note</div></div>"
)

"""The diagrams of labels, grades and numbers; `kind_captions` has their sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs.report import measures
from catsdogs.report.canvas import (
    COLOURS,
    INK,
    add_tooltips,
    dashed_lines,
    hide_ticks,
    legend_above,
    name_ticks,
    new_figure,
    numerals,
)

_NAMED = 25  # labels: of more, names would lie upon each other
_SHOWN = 40  # labels, the most frequent: of more, squares are too small to point at
_BINS = 40
_SIDE = 40  # squares along a side, where points would lie upon each other
_FEW = 2_000  # points that do not
_PARTS = 12  # of the range of numbers, in which residuals are told

_Floats = NDArray[np.float64]


def shown_together(given: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The labels that `draw_together` shows, by the number of their photographs."""
    order: NDArray[np.intp] = np.argsort(-given.sum(axis=0), kind="stable")[:_SHOWN]
    return order


def draw_together(names: Sequence[str], given: NDArray[np.bool_]) -> Any:
    """A square for each pair of labels, stronger for a larger share of the row's photographs; (n, k) labels given."""
    order = shown_together(given)
    shown = given[:, order].astype(np.float64)
    both, counts = shown.T @ shown, shown.sum(axis=0)
    rows, columns = np.nonzero(both * (1 - np.eye(len(order))))
    share = both[rows, columns] / counts[rows]
    labels = [names[number] for number in order.tolist()]
    places = np.arange(len(order))
    figure = new_figure(
        max(280, 120 + 18 * len(order)),
        tooltips=[("of", "@count{0,0} photographs of @label"), ("also", "@other: @both{0,0}, @share{0.0%}")],
        x_axis_label="also has",
        y_axis_label="a photograph of",
        x_range=(-0.6, len(order) - 0.4),
        y_range=(len(order) - 0.4, -0.6),
    )
    source = {
        "x": columns, "y": rows, "label": [labels[row] for row in rows], "other": [labels[one] for one in columns],
        "both": both[rows, columns], "count": counts[rows], "share": share, "strength": 0.08 + 0.92 * share,
    }  # fmt: skip
    figure.rect("x", "y", 0.94, 0.94, source=source, color=COLOURS[0], fill_alpha="strength", line_color=None)
    figure.rect(places, places, 0.94, 0.94, color=INK, fill_alpha=0.15, line_color=None)
    figure.hover.renderers = figure.renderers[:1]
    for axis in (*figure.xaxis, *figure.yaxis):
        if len(order) <= _NAMED:
            name_ticks(axis, labels)
        else:
            hide_ticks([axis])
    figure.xaxis.major_label_orientation = 0.9
    figure.xgrid.visible = figure.ygrid.visible = False
    return figure


def draw_pairs(true: _Floats, predicted: _Floats, name: str) -> Any:
    """A point for each of (n,) photographs, or squares of several; on the dashed diagonal true is predicted."""
    figure = new_figure(460, x_axis_label=f"true {name}", y_axis_label=f"predicted {name}")
    _mark_pairs(figure, true, predicted, "predicted")
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    figure.line(ends, ends, color=INK, line_dash="dashed", line_width=2)
    return figure


def draw_residuals(true: _Floats, predicted: _Floats, name: str) -> Any:
    """Predicted minus true numbers by the true one: all, and the mean and spread of those of about one number."""
    figure = new_figure(340, x_axis_label=f"true {name}", y_axis_label="predicted minus true")
    _mark_pairs(figure, true, predicted - true, "off by")
    parts = measures.parts_of(true, predicted - true, _PARTS)
    middle, mean, spread = (np.array(column) for column in zip(*parts, strict=True))
    figure.segment(middle, mean - spread, middle, mean + spread, color=COLOURS[1], line_width=2)
    figure.line(middle, mean, color=COLOURS[1], line_width=2)
    figure.scatter(middle, mean, size=8, color=COLOURS[1])
    dashed_lines(figure, "width", [0.0])
    return figure


def _mark_pairs(figure: Any, x: _Floats, y: _Floats, what: str) -> None:
    """Points, or where they are too many squares that are stronger for more of them."""
    if len(x) <= _FEW:
        figure.scatter(x, y, size=6, color=COLOURS[0], fill_alpha=0.45, line_color=None)
        return
    counts, x_edges, y_edges = np.histogram2d(x, y, _SIDE)
    rows, columns = np.nonzero(counts)
    inside = counts[rows, columns]
    source = {
        "left": x_edges[rows], "right": x_edges[rows + 1], "bottom": y_edges[columns], "top": y_edges[columns + 1],
        "count": inside, "strength": 0.1 + 0.9 * np.log1p(inside) / np.log1p(inside.max()),
    }  # fmt: skip
    style = {"color": COLOURS[0], "fill_alpha": "strength", "line_color": None}
    drawn = figure.quad("left", "right", "top", "bottom", source=source, **style)
    tips = [
        ("true", "@left{0,0.[00]} to @right{0,0.[00]}"),
        (what, "@bottom{0,0.[00]} to @top{0,0.[00]}"),
        ("photographs", "@count{0,0}"),
    ]
    add_tooltips(figure, drawn, tips)


def draw_distributions(values: Mapping[str, _Floats], label: str, cuts: Sequence[float] = ()) -> Any:
    """Shares of (n,) numbers: the first ones as bars, others as lines; `cuts` are dashed."""
    everything = np.concatenate([*values.values()])
    edges = np.histogram_bin_edges(everything, _BINS)
    figure = new_figure(
        300,
        tooltips=[(label, "@left{0,0.[00]} to @right{0,0.[00]}"), ("photographs", "@count{0,0}, @share{0.0%}")],
        x_axis_label=label,
        y_axis_label="share of photographs",
    )
    for number, (name, some) in enumerate(values.items()):
        counts = np.histogram(some, edges)[0]
        share = counts / len(some)
        legend = {"legend_label": name} if len(values) > 1 else {}
        if number:
            x, y = np.repeat(edges, 2)[1:-1], np.repeat(share, 2)
            figure.line(x, y, color=COLOURS[number], line_width=2, **legend)
        else:
            source = {"left": edges[:-1], "right": edges[1:], "share": share, "count": counts}
            style = {"color": COLOURS[0], "fill_alpha": 0.75, "line_color": None}
            figure.quad("left", "right", "share", bottom=0, source=source, **style, **legend)
    figure.hover.renderers = figure.renderers[:1]
    figure.y_range.start = 0
    figure.yaxis.formatter = numerals("0.[0]%")
    dashed_lines(figure, "height", cuts)
    if len(values) > 1:
        legend_above(figure)
    return figure


def draw_expected(
    expected: _Floats, labels: NDArray[np.int64], names: Sequence[str], cuts: Sequence[float], colours: Sequence[str]
) -> Any:
    """How many photographs of each grade given have which expected grade, one upon the other, between cut points."""
    edges = np.histogram_bin_edges(expected, _BINS)
    figure = new_figure(
        320,
        tooltips=[("given", "@name"), ("photographs", "@count{0,0}")],
        x_axis_label="expected grade",
        y_axis_label="photographs",
    )
    floor = np.zeros(len(edges) - 1)
    for number, name in enumerate(names):
        counts = np.histogram(expected[labels == number], edges)[0]
        source = {
            "left": edges[:-1], "right": edges[1:], "bottom": floor, "top": floor + counts, "count": counts,
            "name": [name] * len(counts),
        }  # fmt: skip
        style = {"color": colours[number], "fill_alpha": 0.9, "line_color": None, "legend_label": f"given {name}"}
        figure.quad("left", "right", "top", "bottom", source=source, **style)
        floor = floor + counts
    figure.y_range.start = 0
    figure.yaxis.formatter = numerals("0,0")
    dashed_lines(figure, "height", cuts)
    legend_above(figure)
    return figure

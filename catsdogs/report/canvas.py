"""What the report's diagrams share: colours told apart on light and dark, an empty figure, and putting it on a page."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# Each has a contrast of 3 or more to white and to the dark ground of report.css; the first two are those of the
# learning curves, and apart for the colour-blind. Markers tell classes apart as well.
COLOURS = ("#4477aa", "#cc6633", "#2a9070", "#9a8a1a", "#7c74c9", "#d05a66", "#8a7968", "#2e8fa3")
# A contrast of 4.1 to white, and 4.5 to the dark ground: for lines; the page gives texts the colour of its own.
INK = "#7b7d82"
FAINT = 0.25
_FONT = "system-ui, sans-serif"


class Embedded(NamedTuple):
    """What a page needs to show figures: Bokeh itself, a script with their data, and for each an element to draw in."""

    library: str
    script: str
    elements: dict[str, str]


def embed_figures(figures: Mapping[str, Any]) -> Embedded:
    """Bokeh's code of some 1.3 MB comes with it, so that nothing is loaded from elsewhere."""
    from bokeh.embed import components
    from bokeh.resources import Resources

    script, elements = components(dict(figures))
    random = re.findall(r'"docid":"([^"]+)"', script) + re.findall(r' id="([^"]+)"', "".join(elements.values()))
    for place, name in enumerate(dict.fromkeys(random)):  # the same run gives the same page
        script = script.replace(name, f"bokeh-{place}")
        elements = {figure: element.replace(name, f"bokeh-{place}") for figure, element in elements.items()}
    return Embedded(Resources(mode="inline", components=["bokeh"]).render(), script, elements)


def new_figure(height: int | None, tools: str = "", **options: Any) -> Any:
    """An empty figure that is as wide as the page allows, in pixels high; `options` are Bokeh's."""
    from bokeh.models import PlainText
    from bokeh.plotting import figure

    drawn = figure(
        height=height,
        tools=tools,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        **{"sizing_mode": "stretch_width", "toolbar_location": None} | options,
    )
    drawn.toolbar.logo = None
    for axis in (*drawn.xaxis, *drawn.yaxis):
        axis.axis_label = axis.axis_label and PlainText(axis.axis_label)  # a class may be called `$$`, which is TeX
        axis.axis_label_text_font = axis.major_label_text_font = _FONT
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_color = axis.major_label_text_color = axis.axis_line_color = INK
        axis.major_tick_line_color, axis.minor_tick_line_color = INK, None
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "13px"
    for grid in (*drawn.xgrid, *drawn.ygrid):
        grid.grid_line_color, grid.grid_line_alpha = INK, FAINT
    return drawn


def legend_above(figure: Any) -> None:
    """Moves what the glyphs' labels made above the figure, where it lies upon nothing."""
    (legend,) = figure.legend
    figure.add_layout(legend, "above")
    legend.orientation, legend.padding, legend.spacing = "horizontal", 4, 16
    legend.background_fill_color, legend.border_line_color = None, None
    legend.label_text_color, legend.label_text_font, legend.label_text_font_size = INK, _FONT, "13px"


def numerals(format: str) -> Any:
    """Ticks by Bokeh's format of numerals."""
    from bokeh.models import NumeralTickFormatter

    return NumeralTickFormatter(format=format)


def dashed_lines(figure: Any, dimension: str, places: Sequence[float]) -> None:
    """Lines all across a figure: upright ones of the dimension `height`, level ones of `width`."""
    from bokeh.models import Span

    for place in places:
        figure.add_layout(Span(location=place, dimension=dimension, line_color=INK, line_dash="dashed", line_width=2))


def add_tooltips(figure: Any, drawn: Any, tips: Sequence[tuple[str, str]]) -> None:
    """What is shown of one of the figure's glyphs that is pointed at."""
    from bokeh.models import HoverTool

    figure.add_tools(HoverTool(renderers=[drawn], tooltips=list(tips)))


def hide_ticks(axes: Sequence[Any]) -> None:
    """Of axes whose names would lie upon each other."""
    for axis in axes:
        axis.major_label_text_font_size, axis.major_tick_line_color = "0px", None


def name_ticks(axis: Any, names: Sequence[str]) -> None:
    """Names in place of the numbers from 0 on."""
    places = list(range(len(names)))
    axis.ticker, axis.major_label_overrides = places, dict(zip(places, names, strict=True))

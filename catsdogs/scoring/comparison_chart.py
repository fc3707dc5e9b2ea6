"""The comparison of heads as a picture: a dot for each, best on top, its doubt, and the seconds that it takes."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from catsdogs.files import interrupts
from catsdogs.files.atomic import replacing
from catsdogs.scoring.comparison import NOISE, Comparison, Entry
from catsdogs.scoring.comparison_table import noise_in_words
from catsdogs.scoring.curves import use_log_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOUR, _GREY, _LINE_COLOUR = "#4477aa", "#9a9a9f", "#cc6633"
_LABEL_WIDTH, _CAPTION_WIDTH = 40, 160  # characters
_LINE_HEIGHT, _ROW_GAP, _MARGINS = 0.17, 0.2, 2.0  # inches
_LOG_FROM = 4  # times the best: from there on, a linear axis would push the good ones together
_CAPTION = (
    "Whiskers: {limit:.1f} standard errors of the paired difference to the first, photograph by photograph. "
    "Grey: the whisker reaches the line of the first, so the difference is noise."
)


def draw_comparison(path: Path, comparison: Comparison) -> None:
    """A PNG of what ranks the entries.

    Raises:
        StoreError: the file cannot be written.
    """
    with interrupts.later():
        from matplotlib.figure import Figure

    labels = [_wrapped(comparison, entry) for entry in comparison.entries]
    heights = [_ROW_GAP + _LINE_HEIGHT * (label.count("\n") + 1) for label in labels]
    places = [sum(heights[:row]) + height / 2 for row, height in enumerate(heights)]
    figure = Figure(figsize=(10, _MARGINS + sum(heights)), layout="constrained")
    axes = figure.subplots()
    axes.set_ylim(sum(heights), 0)
    _draw_entries(axes, comparison, places)
    axes.set_yticks(places, labels, fontsize=9)
    right = axes.secondary_yaxis("right")
    values = [comparison.value_of(entry)[0] for entry in comparison.entries]
    figures = [
        f"{value:.5f}  {one.verdict or 'first':5}  {one.seconds:7.1f} s"
        for value, one in zip(values, comparison.entries, strict=True)
    ]
    right.set_yticks(places, figures, fontsize=8, family="monospace")
    right.tick_params(length=0)
    right.spines[:].set_visible(False)
    title = "Heads compared" if len(comparison.networks) > 1 else f"Heads compared on {comparison.networks[0]}"
    figure.suptitle(textwrap.fill(title, 90), fontsize=12)
    seconds = (
        f"At the right: {comparison.ranked_by}, verdict, and the seconds to fit the {comparison.folds} folds once."
    )
    whiskers = _CAPTION.format(limit=comparison.limit)
    caption = (
        whiskers,
        noise_in_words(comparison),
        f"{comparison.ranked_by.capitalize()}: {comparison.measured_on}. {seconds}",
    )
    figure.supxlabel("\n".join(textwrap.fill(line, _CAPTION_WIDTH) for line in caption if line), fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _draw_entries(axes: "Axes", comparison: Comparison, places: list[float]) -> None:
    best = comparison.value_of(comparison.entries[0])[0]
    axes.axvline(best, color=_LINE_COLOUR, linewidth=1, zorder=0)
    for entry, place in zip(comparison.entries, places, strict=True):
        colour = _GREY if entry.verdict == NOISE else _COLOUR
        whisker = comparison.limit * entry.difference_error
        value, _ = comparison.value_of(entry)
        axes.errorbar(value, place, xerr=whisker, fmt="o", color=colour, markersize=6, capsize=3, linewidth=1.5)
    if comparison.is_by_log_loss and comparison.entries[-1].log_loss > _LOG_FROM * best:
        use_log_scale(axes, "x")
    axes.set_xlabel(comparison.ranked_by, fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _wrapped(comparison: Comparison, entry: Entry) -> str:
    """The head and, on lines of their own, its networks where there are several sets."""
    lines = textwrap.wrap(entry.head, _LABEL_WIDTH)
    if len(comparison.networks) > 1:
        lines += textwrap.wrap(entry.networks, _LABEL_WIDTH)
    return "\n".join(lines)

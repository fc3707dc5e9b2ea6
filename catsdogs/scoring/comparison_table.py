"""A comparison of heads as a table of text, and in words what its differences allow to say."""

import textwrap
from itertools import zip_longest

from catsdogs.scoring.comparison import NOISE, Comparison, Entry

TABLE_WIDTH = 110  # characters
_HEAD_WIDTH, _NETWORKS_WIDTH = 17, 24  # what is longer goes on below
_HEADER = ("", "head", "networks", "log loss", "to the first", "", "accuracy", "seconds")
_TO_THE_RIGHT = (0, 6, 7)


def format_table(comparison: Comparison) -> str:
    """The entries as lines of at most `TABLE_WIDTH` characters, and in words what to make of them."""
    grid: list[tuple[str, ...]] = [_HEADER]
    for rank, entry in enumerate(comparison.entries, start=1):
        head, *more_head = textwrap.wrap(entry.head, _HEAD_WIDTH)
        networks, *more_networks = textwrap.wrap(entry.networks, _NETWORKS_WIDTH)
        grid.append((f"{rank}", head, networks, *_cells(entry)))
        grid += [("", *names) for names in zip_longest(more_head, more_networks, fillvalue="")]
    widths = [max(map(len, column)) for column in zip_longest(*grid, fillvalue="")]
    closing = (
        f"Log loss and accuracy: {comparison.measured_on}. Seconds: to fit the {comparison.folds} folds once.",
        conclusion(comparison),
        *(f"Left out: {problem}." for problem in comparison.refused),
    )
    formats = [f"{{:{'>' if column in _TO_THE_RIGHT else '<'}{width}}}" for column, width in enumerate(widths)]
    lines = ["  ".join(map(str.format, formats, cells)).rstrip() for cells in grid]
    return "\n".join([*lines, "", *(textwrap.fill(sentence, TABLE_WIDTH) for sentence in closing if sentence)])


def conclusion(comparison: Comparison) -> str:
    """What the differences allow to say, in words; nothing of a single entry.

    That a difference is noise does not make two heads equal, so a faster one is named only if it is within one standard
    error: the rule of L. Breiman et al., Classification and Regression Trees, 1984, for the simplest of models.
    """
    first, *others = comparison.entries
    if not others:
        return ""
    noise = [comparison.label(entry) for entry in others if entry.verdict == NOISE]
    if not noise:
        return "Every difference to the first is beyond noise."
    sentence = f"Within noise of the first, so nothing to choose by: {', '.join(noise)}."
    near = [entry for entry in others if entry.difference <= entry.difference_error]
    if not near:
        return sentence
    fastest = min((first, *near), key=lambda entry: entry.seconds)
    return (
        f"{sentence} Of those within one standard error of the first, the fastest will do: {comparison.label(fastest)}."
    )


def _cells(entry: Entry) -> tuple[str, ...]:
    difference = f"{entry.difference:+.5f} ±{entry.difference_error:.5f}" if entry.verdict else ""
    log_loss = f"{entry.log_loss:.5f} ±{entry.standard_error:.5f}"
    return log_loss, difference, entry.verdict, f"{entry.accuracy:.2%}", f"{entry.seconds:.1f}"

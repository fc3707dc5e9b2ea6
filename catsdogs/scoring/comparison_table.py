"""A comparison of heads as a table of text, and in words what its differences allow to say."""

import math
import textwrap
from itertools import zip_longest

from catsdogs.scoring.comparison import NOISE, STANDARD_ERRORS, Comparison, Entry

TABLE_WIDTH = 120  # characters
_HEAD_WIDTH, _NETWORKS_WIDTH = 17, 24  # what is longer goes on below
_LOG_LOSS_WIDTH = 10  # of a column beside another metric, in place of so many characters of networks
_COST_WIDTH, _LEAST_WIDTH = 8, 10
_GIGABYTE = 1e9


def format_table(comparison: Comparison) -> str:
    """The entries as lines of at most `TABLE_WIDTH` characters, and in words what to make of them."""
    beside = measures_beside(comparison)
    has_memory = any(math.isfinite(entry.memory) for entry in comparison.entries)
    has_cost = any(math.isfinite(entry.gflops) for entry in comparison.entries) and len(comparison.networks) > 1
    width = _NETWORKS_WIDTH - _LOG_LOSS_WIDTH * ("log loss" in beside) - _COST_WIDTH * has_cost
    width = max(_LEAST_WIDTH, width)
    last = (*["GFLOPs"] * has_cost, "seconds", *["GB"] * has_memory)
    header = ("", "head", "networks", comparison.ranked_by, "to the first", "", *beside, *last)
    grid: list[tuple[str, ...]] = [header]
    for rank, entry in enumerate(comparison.entries, start=1):
        head, *more_head = textwrap.wrap(entry.head, _HEAD_WIDTH)
        networks, *more_networks = textwrap.wrap(entry.networks, width)
        cost, memory = as_measure(entry.gflops, ".1f"), as_measure(entry.memory / _GIGABYTE, ".2f")
        costs = (*[cost] * has_cost, f"{entry.seconds:.1f}", *[memory] * has_memory)
        grid.append((f"{rank}", head, networks, *_cells(entry, comparison), *costs))
        grid += [("", *names) for names in zip_longest(more_head, more_networks, fillvalue="")]
    widths = [max(map(len, column)) for column in zip_longest(*grid, fillvalue="")]
    of_log_loss = " and ".join(("Log loss", *beside))
    measures = of_log_loss if comparison.is_by_log_loss else f"Ranked by {comparison.metric}. All"
    closing = (
        f"{measures}: {comparison.measured_on}. Seconds: to fit the {comparison.folds} folds once.",
        "GB: by how much the process grew meanwhile at most, beside the vectors." * has_memory,
        "GFLOPs: what all networks of the set take for a photograph, in billions of operations." * has_cost,
        noise_in_words(comparison),
        conclusion(comparison),
        *(f"Left out: {problem}." for problem in comparison.refused),
    )
    numbers = range(len(header) - len(last), len(header))
    to_the_right = {0, header.index("accuracy") if "accuracy" in header else 0, *numbers}
    formats = [f"{{:{'>' if column in to_the_right else '<'}{width}}}" for column, width in enumerate(widths)]
    lines = ["  ".join(map(str.format, formats, cells)).rstrip() for cells in grid]
    return "\n".join([*lines, "", *(textwrap.fill(sentence, TABLE_WIDTH) for sentence in closing if sentence)])


def noise_in_words(comparison: Comparison) -> str:
    """Which differences are noise; nothing of a single entry."""
    entries = len(comparison.entries)
    if entries < 2:
        return ""
    noise = f"A difference within {comparison.limit:.1f} of its standard errors is called noise"
    if comparison.limit == STANDARD_ERRORS:  # a table of an earlier version
        return f"{noise}."
    between = f", with the spread between the {comparison.repeats} deals of folds" * (comparison.repeats > 1)
    which = "the other worse" if entries == 2 else "any other worse"
    chance = f"of {entries} entries equal in truth, one comparison in twenty calls {which}"
    return f"{noise}{between}: {chance} than the first, which was chosen on the same photographs."


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
    near = [entry for entry in others if abs(entry.difference) <= entry.difference_error]
    if not near:
        return sentence
    costs_are_known = all(math.isfinite(entry.gflops) for entry in (first, *near))
    cheapest = min((first, *near), key=lambda entry: (entry.gflops if costs_are_known else 0.0, entry.seconds))
    kind = "cheapest networks" if costs_are_known and len(comparison.networks) > 1 else "fastest"
    return (
        f"{sentence} Of those within one standard error of the first, the {kind} will do: {comparison.label(cheapest)}."
    )


def measures_beside(comparison: Comparison) -> list[str]:
    """What is known of the entries besides what ranks them: `log loss`, `accuracy`. Numbers have neither."""
    known = {"log loss": "log_loss", "accuracy": "accuracy"}
    if comparison.is_by_log_loss:
        del known["log loss"]
    return [name for name, key in known.items() if any(math.isfinite(vars(one)[key]) for one in comparison.entries)]


def as_measure(value: float, text: str) -> str:
    """A number by its format, such as `.2%`; nothing where it is not known."""
    return "" if math.isnan(value) else format(value, text)


def _cells(entry: Entry, comparison: Comparison) -> tuple[str, ...]:
    difference = f"{entry.difference:+.5f} ±{entry.difference_error:.5f}" if entry.verdict else ""
    value, error = comparison.value_of(entry)
    shown = {"log loss": as_measure(entry.log_loss, ".5f"), "accuracy": as_measure(entry.accuracy, ".2%")}
    return (
        f"{value:.5f} ±{error:.5f}",
        difference,
        entry.verdict,
        *(shown[name] for name in measures_beside(comparison)),
    )

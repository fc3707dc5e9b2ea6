"""The sentences under the figures: what each shows, and its key numbers. Each describes what `figures` draws."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from catsdogs.report import measures
from catsdogs.report.evidence import Evidence
from catsdogs.report.measures import Bin

LISTED = 20
_CONFIDENT = 0.9


def counted(count: int, noun: str = "photograph") -> str:
    """`1 photograph`, `1,600 photographs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """`99.4 %`; `100 %` only where not one is missing."""
    text = f"{100 * share:.3g}"
    if share < 1 and text == "100":
        text = f"{100 * share:.{-math.floor(math.log10(100 * (1 - share)))}f}"
    return f"{text} %"


def probability_label(evidence: Evidence) -> str:
    """Which probability the diagrams are about: that of the second of two classes, of many of the likeliest."""
    return (
        f"probability of {evidence.classes[1]}" if len(evidence.classes) == 2 else "probability of the likeliest class"
    )


def share_label(evidence: Evidence) -> str:
    """Which share the calibration diagram is about."""
    return f"share of {evidence.classes[1]}" if len(evidence.classes) == 2 else "share that is right"


def figure(value: float) -> str:
    """`63.52`, `123,457`: four digits, or all before the point."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.3e}"


def listed(items: Sequence[str]) -> str:
    """The first `LISTED` of them, and how many more there are."""
    more = f" and {len(items) - LISTED:,} more" if len(items) > LISTED else ""
    return ", ".join(items[:LISTED]) + more


def describe_baseline(evidence: Evidence) -> str:
    """What a log loss can be compared with: that of the shares of the classes."""
    from scipy.stats import entropy

    of_shares = entropy(np.bincount(evidence.labels))
    return (
        "Log loss: the lower, the better; 0 is perfect, and a confident mistake costs most. To answer every photograph "
        f"with the shares of the classes, looking at none, costs {of_shares:.3f}. ± is one standard error of the mean."
    )


def describe_balance(names: Sequence[str], counts: NDArray[np.int64]) -> str:
    """For `figures.draw_balance`."""
    most, least = int(counts.argmax()), int(counts.argmin())
    return (
        f"{counted(int(counts.sum()))} with a label, of {len(names)} classes. "
        f"The largest is {names[most]} with {counts[most]:,}, the smallest {names[least]} with {counts[least]:,}, "
        f"the median class has {np.median(counts):,.0f}."
    )


def describe_sizes(by_split: Mapping[str, NDArray[np.float32]]) -> str:
    """For `figures.draw_sizes`."""
    sentences = []
    for split, values in by_split.items():
        width, height = np.median(values, axis=0)
        least, most = (values[np.argsort(values.prod(axis=1))[place]] for place in (0, -1))
        sentences.append(
            f"{split.capitalize()}: {counted(len(values))}, in the median {width:.0f} pixels wide, {height:.0f} high; "
            f"the smallest {least[0]:.0f} by {least[1]:.0f}, the largest {most[0]:.0f} by {most[1]:.0f}."
        )
    return " ".join([*sentences, "A larger marker stands for more photographs of one size; both axes are logarithmic."])


def describe_confusion(matrix: NDArray[np.int64]) -> str:
    """For the confusion matrix, as a table or as `figures.draw_confusion`."""
    rows = int(matrix.sum())
    wrong = rows - int(matrix.trace())
    return (
        f"Out of fold, {wrong:,} of {counted(rows)} ({percent(wrong / rows)}) are called something else than their "
        "label. A row is a label, a column what the heads call it, as calibrated."
    )


def describe_calibration(before: Sequence[Bin], after: Sequence[Bin], evidence: Evidence) -> str:
    """For `figures.draw_calibration`."""
    last = after[-1]
    what = evidence.classes[1] if len(evidence.classes) == 2 else "right"
    return (
        "On the dashed line, things happen as often as they are said to. "
        f"Of the {counted(last.rows)} given a probability of {last.low:.1f} or more, {percent(last.observed)} are "
        f"{what}; {percent(last.mean_probability)} was said on average. Over all photographs what is said and what "
        f"happens differ by {measures.calibration_error(after):.4f} on average, before calibration by "
        f"{measures.calibration_error(before):.4f}. Thick bars: where the share may lie in the long run, 95 times of "
        "100; a bin with few photographs says little. Below: how many photographs are in each bin, on a logarithmic "
        "scale."
    )


def describe_probabilities(test: NDArray[np.float64], train: NDArray[np.float64], evidence: Evidence) -> str:
    """For `figures.draw_probabilities`; (n,) test and out-of-fold probabilities."""
    confident = [float(((values >= _CONFIDENT) | (values <= 1 - _CONFIDENT)).mean()) for values in (test, train)]
    if len(evidence.classes) == 2:
        second = evidence.classes[1]
        lead = f"{percent(float((test > 0.5).mean()))} are more likely {second} than {evidence.classes[0]}. "
        extent = f"{_CONFIDENT} or above, or {1 - _CONFIDENT:.1f} or below"
    else:
        lead, extent = "", f"{_CONFIDENT} or above"
    return (
        f"{counted(len(test), 'test photograph')}. {lead}{percent(confident[0])} get a probability of {extent}; of the "
        f"training photographs, out of fold, {percent(confident[1])}. The scale is logarithmic, or the few doubtful "
        "ones could not be seen. Bars and line far apart would say that the test photographs are of another kind."
    )


def describe_map(explained: tuple[float, float], points: int, evidence: Evidence, note: str) -> str:
    """For `figures.draw_map`; `note` is on what colours say."""
    rows = len(evidence.labels)
    chosen = "All training photographs are drawn"
    if points < rows:
        chosen = (
            f"{points:,} of {counted(rows, 'training photograph')} are drawn: suspects, the mistakes that cost most, "
            "and of the others a random sample"
        )
    vectors = "each network's vectors " if len(evidence.files) > 1 else ""
    return (
        "A point is a training photograph, at the first two principal components of its vectors, "
        f"{vectors}divided by their length; the two show {percent(explained[0])} and {percent(explained[1])} of their "
        f"spread. {chosen}. Rings mark suspects. A point of one colour amid another is worth a look.{note}"
    )

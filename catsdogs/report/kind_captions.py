"""The sentences under the diagrams of labels, grades and numbers; each describes what `kind_figures` draws."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from catsdogs.report import measures
from catsdogs.report.captions import counted, figure, percent
from catsdogs.report.kind_figures import shown_together
from catsdogs.report.measures import Bin

_Floats = NDArray[np.float64]
_Flags = NDArray[np.bool_]


def describe_labels_baseline(given: _Flags) -> str:
    """What scores of (n, k) labels can be compared with: their shares."""
    from scipy.special import entr

    shares = given.mean(axis=0)
    of_shares = float((entr(shares) + entr(1 - shares)).mean())
    return (
        "Log loss: the mean over the labels; the lower, the better, and 0 is perfect. To answer every photograph with "
        f"the shares of the labels, looking at none, costs {of_shares:.3f}. F1: 1 is perfect; a label that nobody is "
        "given, or that nobody is named, is worth 0. ± is one standard error."
    )


def describe_labels(names: Sequence[str], given: _Flags) -> str:
    """For `figures.draw_balance` of (n, k) labels given."""
    counts, of_rows = given.sum(axis=0), given.sum(axis=1)
    most, least = int(counts.argmax()), int(counts.argmin())
    bare = int((of_rows == 0).sum())
    without = f"{counted(bare)} {'has' if bare == 1 else 'have'} none" if bare else "none is without"
    return (
        f"{counted(len(given))}, {len(names)} labels; a photograph has {of_rows.mean():.2f} of them on average and "
        f"{int(of_rows.max())} at most, {without}. The most frequent is {names[most]} with {counts[most]:,}, the "
        f"rarest {names[least]} with {counts[least]:,}."
    )


def describe_together(names: Sequence[str], given: _Flags) -> str:
    """For `kind_figures.draw_together`."""
    order = shown_together(given)
    shown = given[:, order].astype(np.float64)
    both = np.triu(shown.T @ shown, 1)
    one, other = np.unravel_index(int(both.argmax()), both.shape)
    few = f"The {len(order)} most frequent of {len(names)} labels. " if len(order) < len(names) else ""
    text = f"{few}The stronger a square, the more of its row's photographs have its column's label as well."
    if both.max() == 0:
        return f"{text} No photograph has two of them."
    pair = names[int(order[one])], names[int(order[other])]
    return f"{text} Most often together are {pair[0]} and {pair[1]}, on {counted(int(both.max()))}."


def describe_labels_calibration(before: Sequence[Bin], after: Sequence[Bin]) -> str:
    """For `figures.draw_calibration` of the probabilities of all labels."""
    last = after[-1]
    return (
        "All probabilities of all labels. On the dashed line, labels are given as often as they are said to be. Of the "
        f"{counted(last.rows, 'label')} with a probability of {last.low:.1f} or more, {percent(last.observed)} are "
        f"given; {percent(last.mean_probability)} was said on average. What is said and what happens differ by "
        f"{measures.calibration_error(after):.4f} on average, before calibration by "
        f"{measures.calibration_error(before):.4f}. Thick bars: where the share may lie in the long run, 95 times of "
        "100. Below: how many probabilities are in each bin, on a logarithmic scale."
    )


def describe_test_labels(rows: int, of_test: float, of_train: float) -> str:
    """For `figures.draw_probabilities` of labels; how many are named on average."""
    return (
        f"{counted(rows, 'test photograph')}, {of_test:.2f} labels named of each on average; of the training "
        f"photographs, out of fold, {of_train:.2f}. The scale is logarithmic. Bars and line far apart would say that "
        "the test photographs are of another kind."
    )


def describe_numbers_baseline(metric: str, blind: float) -> str:
    """What the score of numbers can be compared with: that of their mean."""
    return (
        f"{metric}: the lower, the better; 0 is perfect. To answer every photograph with the mean number, looking "
        f"at none, has {blind:.5f}. ± is one standard error."
    )


def describe_numbers(name: str, values: _Floats) -> str:
    """For `kind_figures.draw_distributions` of (n,) numbers given."""
    low, middle, high = np.quantile(values, [0, 0.5, 1]).tolist()
    return (
        f"{name} of {counted(len(values))}: from {figure(low)} to {figure(high)}, {figure(middle)} in the median, "
        f"{figure(float(values.mean()))} on average, with a standard deviation of {figure(float(values.std()))}."
    )


def describe_pairs(true: _Floats, predicted: _Floats) -> str:
    """For `kind_figures.draw_pairs`, of (n,) numbers."""
    explained = measures.explained(true, predicted)
    off = np.median(np.abs(predicted - true))
    return (
        f"Out of fold, half of {counted(len(true))} are predicted within {figure(float(off))}. Predictions explain "
        f"{percent(max(0.0, explained))} of the variance of the true numbers. On the dashed line, they equal them."
    )


def describe_residuals(true: _Floats, predicted: _Floats) -> str:
    """For `kind_figures.draw_residuals`, of (n,) numbers."""
    residuals = predicted - true
    return (
        f"What is predicted is {figure(abs(float(residuals.mean())))} too {'high' if residuals.mean() > 0 else 'low'} "
        "on average. Orange: the mean and one standard deviation of the photographs of about one number. Where high "
        "numbers are predicted too low and low ones too high, a head plays safe, as the mean error asks for."
    )


def describe_test_numbers(test: _Floats, train: _Floats, name: str) -> str:
    """For `kind_figures.draw_distributions` of (n,) predictions of test and training photographs."""
    middles = [figure(float(np.median(values))) for values in (test, train)]
    spreads = [figure(float(values.std())) for values in (test, train)]
    return (
        f"{counted(len(test), 'test photograph')}: {name} {middles[0]} in the median, with a standard deviation of "
        f"{spreads[0]}; of the training photographs, out of fold, {middles[1]} and {spreads[1]}. Bars and line far "
        "apart would say that the test photographs are of another kind."
    )


def describe_expected(expected: _Floats, cuts: Sequence[float]) -> str:
    """For `kind_figures.draw_expected`, of (n,) expected grades."""
    lines = "Dashed: the run's cut points, at which the grade that is called changes. " if cuts else ""
    return (
        f"The expected grade is the sum of the grades, each times its probability; {counted(len(expected))}, out of "
        f"fold. {lines}Colours are the grades given. Where colours mix, grades are confused."
    )

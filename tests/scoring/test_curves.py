"""Learning curves and log axes as somebody sees them: every point is drawn, and ticks are plain numbers."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from catsdogs.scoring import curves


def history(epochs: int, start: float = 0.7) -> curves.Curves:
    falling = [start * 0.9**epoch for epoch in range(epochs)]
    worse = [1.3 * loss for loss in falling]
    accuracies = ([1 - loss / 2 for loss in losses] for losses in (falling, worse))
    return dict(zip(("loss", "val_loss", "accuracy", "val_accuracy"), (falling, worse, *accuracies), strict=True))


@pytest.mark.parametrize(
    "histories",
    [
        [history(1)],
        [history(1), history(1, 0.5)],
        [history(1), history(3)],  # early stopping ended the first after an epoch
        [history(4)],
        [{"loss": [0.7], "accuracy": [0.5]}],  # a head without validation
        [{}, history(1)],
        [{"loss": [math.inf], "accuracy": [0.5], "val_loss": [0.7], "val_accuracy": [0.6]}],
    ],
)
def test_whatever_was_measured_is_seen(tmp_path: Path, histories: Sequence[curves.Curves]) -> None:
    curves.draw_curves(tmp_path / "curves.png", histories, "a title")
    with Image.open(tmp_path / "curves.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    halves = np.array_split(pixels[60:], 2, axis=1)
    for half, metric in zip(halves, ("loss", "accuracy"), strict=True):
        for kind, prefix in (("train", ""), ("validation", "val_")):
            colour = [int(curves._COLOURS[kind][at : at + 2], 16) for at in (1, 3, 5)]
            count = int((abs(half - colour).max(axis=2) < 30).sum())
            drawn = any(math.isfinite(figure) for past in histories for figure in past.get(prefix + metric, ()))
            if metric == "loss":  # beside the legend, which has a sample of each line
                assert count > 100 or not drawn, (kind, count)
            else:
                assert (count > 30) == drawn, (kind, count)


def test_nothing_measured_is_an_empty_picture_without_a_warning(tmp_path: Path) -> None:
    curves.draw_curves(tmp_path / "curves.png", [{}], "a title")
    assert (tmp_path / "curves.png").stat().st_size > 1000


@settings(deadline=None, max_examples=20)
@given(st.floats(1e-6, 1e3), st.floats(1.0, 1e5), st.sampled_from("xy"))
def test_a_log_axis_has_plain_numbers_enough_to_read_it_by(low: float, ratio: float, which: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots()
    values, places = [low, low * ratio], [0, 1]
    axes.plot(*((values, places) if which == "x" else (places, values)), "o")
    curves.use_log_scale(axes, which)
    FigureCanvasAgg(figure).draw()
    axis = axes.xaxis if which == "x" else axes.yaxis
    first, last = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if first <= tick.get_loc() <= last]
    texts = [tick.label1.get_text() for tick in ticks]
    assert len(texts) >= 2
    assert [float(text) for text in texts] == pytest.approx([tick.get_loc() for tick in ticks], rel=1e-4)
    assert all(not text.startswith("$") for text in texts)
    assert not [text for text in axis.get_ticklabels(minor=True) if text.get_text()]

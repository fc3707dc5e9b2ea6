"""The comparison of heads as a table of text: it fits a terminal, and says which differences are noise."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catsdogs.scoring import comparison_chart, comparison_table
from catsdogs.scoring.comparison import NOISE, WORSE, Comparison, Entry


def test_a_fast_head_is_recommended_only_where_it_is_near(tmp_path: Path) -> None:
    first = Entry("first", ("A",), 0.02, 0.006, 0.99, 0, 0, 9.0, "")
    near = replace(first, head="near", difference=0.001, difference_error=0.002, seconds=2, verdict=NOISE)
    far = replace(near, head="far", difference=0.0035, seconds=1)
    found = Comparison((first, near, far), 1600, 5, 1, "")
    assert comparison_table.conclusion(found).endswith("choose by: near, far. Of those within one standard "
                                                 "error of the first, the fastest will do: near.")  # fmt: skip
    assert comparison_table.conclusion(replace(found, entries=(first, far))).endswith("nothing to choose by: far.")
    several = replace(found, entries=(first, replace(near, backbones=("A", "B"))))
    assert "choose by: near on A + B." in comparison_table.conclusion(several)


@pytest.mark.parametrize(
    ("backbones", "short"),
    [
        (["Xception"], "Xception"),
        (
            ["EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2", "Xception"],
            "EfficientNetLite0+1+2 + Xception",
        ),
        (["DenseNet121", "ResNet50", "ResNet50V2", "ResNet101"], "DenseNet121 + ResNet50 + ResNet50V2 + ResNet101"),
        (["7", "gap_1", "gap_1b"], "7 + gap_1 + gap_1b"),
    ],
)
def test_networks_are_named_in_short(backbones: list[str], short: str) -> None:
    assert Entry("ridge", tuple(backbones), *[0.0] * 6, "").networks == short


def test_what_numbers_do_not_have_is_no_column(tmp_path: Path) -> None:
    first = Entry("ridge", ("A",), math.nan, math.nan, math.nan, 0, 0, 9.0, "", 17.5, 0.3)
    second = replace(first, head="blend", difference=0.5, difference_error=0.01, verdict=WORSE, value=18.0)
    found = Comparison((first, second), 1600, 5, 1, "out of fold", metric="rmse")
    shown = comparison_table.format_table(found)
    assert shown.splitlines()[0].split() == ["head", "networks", "rmse", "to", "the", "first", "seconds"]
    assert "ridge  A         17.50000 ±0.30000" in shown and "nan" not in shown
    comparison_chart.draw_comparison(tmp_path / "compare.png", found)


def test_of_heads_of_several_labels_log_loss_is_shown_and_no_accuracy() -> None:
    first = Entry("ridge", ("A",), 0.25, 0.01, math.nan, 0, 0, 9.0, "", 0.7, 0.03)
    shown = comparison_table.format_table(Comparison((first,), 1600, 5, 1, "out of fold", metric="f1-micro"))
    assert shown.splitlines()[0].split()[-3:] == ["log", "loss", "seconds"]
    assert "0.25000" in shown and "nan" not in shown
    by_loss = comparison_table.format_table(Comparison((first,), 1600, 5, 1, "out of fold"))
    assert "Log loss: out of fold." in by_loss and "accuracy" not in by_loss


NAMES = st.text(st.characters(categories=("Ll", "Lu", "Nd")), min_size=1, max_size=60)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(NAMES, st.lists(NAMES, min_size=1, max_size=8)), min_size=1, max_size=12), st.floats(0, 9999))
def test_the_table_fits_a_terminal(lines: list[tuple[str, list[str]]], seconds: float) -> None:
    entries = tuple(
        Entry(head, tuple(names), 0.02, 0.006, 0.99, 0.001, 0.002, seconds, NOISE if rank else "")
        for rank, (head, names) in enumerate(lines)
    )
    shown = comparison_table.format_table(Comparison(entries, 25_000, 5, 5, "out of fold"))
    assert max(map(len, shown.splitlines())) <= comparison_table.TABLE_WIDTH
    assert shown.count(NOISE) == len(lines) - 1 + 2 * (len(lines) > 1)


def test_with_every_column_it_fits_a_terminal_too() -> None:
    networks = ("Xception", "EfficientNetLite0", "ResNet50V2")
    first = Entry("dropout-sigmoid-long-name", networks, 0.02, 0.006, 0.99, 0, 0, 9999.0, "", 0.9, 0.1, 99999.9, 99e9)
    second = replace(first, backbones=networks[:2], difference=-0.1, difference_error=0.01, verdict=WORSE)
    shown = comparison_table.format_table(Comparison((first, second), 25_000, 5, 5, "out of fold", metric="mean-auc"))
    assert shown.splitlines()[0].split()[-6:] == ["log", "loss", "accuracy", "GFLOPs", "seconds", "GB"]
    assert max(map(len, shown.splitlines())) <= comparison_table.TABLE_WIDTH and "99.00" in shown

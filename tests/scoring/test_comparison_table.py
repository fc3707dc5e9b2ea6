"""The comparison of heads as a table of text: it fits a terminal, and says which differences are noise."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catsdogs.scoring import (
    comparison_table,
)
from catsdogs.scoring.comparison import NOISE, Comparison, Entry


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
    assert shown.count(NOISE) == len(lines) - 1 + (len(lines) > 1)

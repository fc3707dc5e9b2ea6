"""Shares in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.report import captions


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.0075, "0.75 %"),
        (0.994, "99.4 %"),
        (0.99951, "99.95 %"),
        (1 - 3 / 12_000, "99.98 %"),
        (1, "100 %"),
    ],
)
def test_only_all_of_them_are_a_hundred_percent(share: float, text: str) -> None:
    assert captions.percent(share) == text


@given(st.integers(1, 10**6))
def test_all_but_one_are_never_a_hundred_percent(count: int) -> None:
    assert float(captions.percent(1 - 1 / count).removesuffix(" %")) < 100

"""The names of tricks, the list that a user types, and the page that explains it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.finetuning.tricks import MIXING, TRICKS, parse_tricks
from tests.conftest import refused

PAGE = Path(__file__).parents[2] / "docs" / "tricks.md"


@given(st.lists(st.sampled_from([name for name in TRICKS if name != "he"])))
def test_names_come_in_table_order_each_once(names: list[str]) -> None:
    parsed = parse_tricks(" , ".join(names))
    assert set(parsed) == set(names)
    assert list(parsed) == [name for name in TRICKS if name in parsed]
    assert parse_tricks(",".join(parsed)) == parsed


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_an_empty_list_names_none(text: str) -> None:
    assert parse_tricks(text) == ()


def test_an_unknown_name_is_answered_with_all() -> None:
    with pytest.raises(UnknownNameError, match="No trick is called 'mixdown'") as caught:
        parse_tricks("mixup,mixdown")
    assert all(name in caught.value.remedy for name in TRICKS)


def test_first_weights_are_drawn_one_way() -> None:
    with refused(UsageError, "glorot and he"):
        parse_tricks("he,glorot")


def test_tricks_that_mix_can_be_combined() -> None:
    assert parse_tricks("ricap,cutmix,mixup") == MIXING


def test_the_names_need_no_deep_learning() -> None:
    script = "import sys, catsdogs.finetuning.tricks; sys.exit('keras' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=PAGE.parents[1]).returncode == 0


def test_the_page_explains_exactly_these_and_distillation() -> None:
    page = PAGE.read_text()
    items = re.findall(
        r"^\* \*\*`([\w-]+)`\*\*: (.+?)\.\s+\*Use:\*\s+(.+?)\.\n  \[(.+?)\]\(.+?\)$", page, re.DOTALL | re.MULTILINE
    )
    assert [name for name, *_ in items] == [*TRICKS, "distillation"]
    for name, *texts in items:
        effect, helps, source = (" ".join(text.split()) for text in texts)
        assert re.search(r"\b(19|20)\d\d\b", source), name
        for text in (effect, helps):
            assert 0 < len(text) <= 120 and not text.endswith("."), name
    measured = set(re.findall(r"^\| `([\w-]+)` \|(?:[^|]*\|){4}$", page, re.MULTILINE))
    assert len(measured) >= 8 and measured <= set(TRICKS)

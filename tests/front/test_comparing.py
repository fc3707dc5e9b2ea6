"""A comparison from Python: the table of the command, as text and as HTML."""

from pathlib import Path

import pytest

import catsdogs as cd
from catsdogs.errors import StoreError, UnknownNameError, UsageError
from catsdogs.scoring.comparison_file import read_comparison
from tests.conftest import Command, refused
from tests.support.front import LITE0


def test_the_table_is_that_of_the_command(inside: Path, command: Command) -> None:
    table = cd.compare(cd.load(), heads=["ridge", "logistic[C=0.1]"], folds=2)
    written = read_comparison(Path("submissions/compare.csv"))
    code, out, _ = command("compare", "--backbones", LITE0, "--heads", "ridge,logistic[C=0.1]", "--folds", "2")
    again = read_comparison(Path("submissions/compare.csv"))
    assert code == 0 and written and again
    found = [[(entry.head, entry.backbones, entry.log_loss) for entry in one.entries] for one in (written, again)]
    assert found[0] == found[1]
    assert [entry.head for entry in table.entries] == [entry.head for entry in again.entries]
    assert all(line in out for line in repr(table).splitlines()[-2:])
    page = table._repr_html_()
    assert page.count("<tr>") == 3 and ">log loss</th>" in page and ">logistic[C=0.1]</td>" in page
    assert Path("submissions/compare.png").exists()


def test_without_heads_all_that_serve_are_meant(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def stand_in(sets: object, chosen: object, *_: object) -> None:
        seen.append(chosen)
        raise StoreError("enough", "Nothing")

    monkeypatch.setattr("catsdogs.scoring.comparison.compare", stand_in)
    with refused(StoreError, "enough"):
        cd.compare(cd.load())
    assert {"blend", "logistic", "ridge"} <= set(seen[0])  # type: ignore[call-overload]


def test_what_cannot_be_compared(inside: Path) -> None:
    with refused(UsageError, "There are no features to compare on"):
        cd.compare()
    features = cd.load()
    with refused(UsageError, "twice"):
        cd.compare(features, features, heads=["ridge"])
    with refused(UnknownNameError, "called 'crystal'"):
        cd.compare(features, heads=["crystal"])
    with refused(UnknownNameError, "No policy for `outliers` is called 'mine'"):
        cd.compare(features, heads=["ridge"], outliers="mine")

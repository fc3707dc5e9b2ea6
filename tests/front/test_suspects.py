"""Suspects from Python: those of the table that is written, as a sequence that shows itself."""

import shutil
from pathlib import Path

import catsdogs as cd
from catsdogs.cleaning.suspect_table import read_suspects
from catsdogs.errors import UsageError
from tests.conftest import Command, refused
from tests.support.front import LITE0


def test_they_are_those_of_the_table_and_of_the_command(inside: Path, command: Command) -> None:
    shutil.copyfile("pets/train/cat.1.jpg", "pets/train/dog.1.jpg")
    features = cd.extract("pets", LITE0)
    found = cd.outliers(features, folds=2)
    table = Path("features/outliers.csv")
    written = table.read_bytes()
    assert [(one.split, one.id) for one in found] == [(one.split, one.id) for one in read_suspects(table)]
    twice = {one.id for one in found if any(reason.kind == "two labels" for reason in one.reasons)}
    assert twice == {"cat.1", "dog.1"}
    assert found[0].score == max(one.score for one in found) and len(found[:2]) == 2
    page = found._repr_html_()
    assert page.count("<tr>") == len(found) + 1 and "two labels" in page and "photographs>" in repr(found)
    assert command("outliers", "--backbones", LITE0, "--folds", "2")[0] != 0  # it has no such flag
    assert command("outliers", "--backbones", LITE0)[0] == 0
    assert [line.split(b",")[1] for line in table.read_bytes().splitlines()] == [
        line.split(b",")[1] for line in written.splitlines()
    ]


def test_what_would_do_nothing_is_refused(inside: Path) -> None:
    with refused(UsageError, "11"):
        cd.outliers(cd.load(), k=11)
    with refused(UsageError, "2"):
        cd.outliers(cd.load(), votes=2)

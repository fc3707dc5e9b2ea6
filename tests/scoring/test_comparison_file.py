"""`compare.csv` holds every figure, is written whole or not at all, and read back as earlier versions wrote it."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from catsdogs.cleaning.decisions import Corrections
from catsdogs.errors import StoreError
from catsdogs.files import tables
from catsdogs.scoring import comparison, comparison_chart, comparison_file, comparison_table
from catsdogs.scoring.comparison import Comparison
from tests.conftest import refused
from tests.support.runs import features


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Comparison]:
    sets = [[features(tmp_path, name, apart=1.5)] for name in ("ResNet50", "Xception")]
    yield comparison.compare(sets, ["logistic", "DummyClassifier"], 4, 1, 0, Corrections(frozenset(), {}, ""))


def test_the_csv_holds_every_figure(tmp_path: Path, found: Comparison) -> None:
    path = tmp_path / "new" / "compare.csv"
    comparison_file.write_comparison(path, found)
    with path.open(newline="") as text:
        reader = csv.DictReader(text)
        rows = list(reader)
    columns = comparison_file.COLUMNS + ("memory",) * (sys.platform == "linux") + ("noise_limit",)
    assert tuple(reader.fieldnames or ()) == columns
    assert [int(row["rank"]) for row in rows] == [1, 2, 3, 4]
    for row, entry in zip(rows, found.entries, strict=True):
        assert (row["head"], row["backbones"], row["verdict"]) == (entry.head, entry.backbones[0], entry.verdict)
        for name in ("log_loss", "standard_error", "difference", "difference_error", "accuracy", "seconds"):
            assert float(row[name]) == pytest.approx(getattr(entry, name), rel=1e-8)
        assert (row["folds"], row["repeats"], row["rows"]) == ("4", "1", "40")
        assert float(row["noise_limit"]) == pytest.approx(found.limit)
    assert [float(row["log_loss"]) for row in rows] == sorted(float(row["log_loss"]) for row in rows)


def test_a_table_of_an_earlier_version_has_the_limit_that_it_was_written_by(tmp_path: Path, found: Comparison) -> None:
    path = tmp_path / "compare.csv"
    comparison_file.write_comparison(path, found)
    now = comparison_file.read_comparison(path)
    assert now and now.limit == pytest.approx(found.limit) and now.limit > 2.2  # of four entries
    with path.open(newline="") as text:
        rows = [row[: len(comparison_file.COLUMNS)] for row in csv.reader(text)]
    path.write_text("".join(",".join(row) + "\n" for row in rows))
    before = comparison_file.read_comparison(path)
    assert before and before.limit == 2
    assert [one.head for one in before.entries] == [one.head for one in now.entries]
    assert comparison_table.noise_in_words(before) == "A difference within 2.0 of its standard errors is called noise."


def test_files_are_replaced_whole_or_not_at_all(
    tmp_path: Path, found: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, write in (
        (tmp_path / "c.csv", comparison_file.write_comparison),
        (tmp_path / "c.png", comparison_chart.draw_comparison),
    ):
        write(path, found)
        before = path.read_bytes()

        def fails(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(tables, "write_rows", fails)
            patch.setattr(Figure, "savefig", fails)
            with refused(StoreError, "disk is full"):
                write(path, found)
        assert path.read_bytes() == before
    assert not list(tmp_path.glob(".*.tmp"))

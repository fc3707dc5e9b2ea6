"""The benchmark of TFRecord files: its part of the report, written anew without touching the rest."""

from pathlib import Path

import pytest

from benchmarks import parts, tfrecord
from tests.support.datasets import write_kaggle_folder


def test_the_table_has_a_row_for_each_way(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "benchmarks.md"
    out.write_text("# Benchmarks\n\nothers\n", encoding="utf-8")
    data = write_kaggle_folder(tmp_path / "data")
    assert tfrecord.main(["--data", str(data), "--rounds", "1", "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert [row[:2] for row in rows] == [
        ["| files in folders", "11"],
        ["| one zip", "1"],
        ["| TFRecord files", "3"],
        ["| TFRecord, 224 px", "3"],
    ]
    assert text.startswith(f"# Benchmarks\n\nothers\n\n{tfrecord.MARK}## ") and "11 photographs" in text
    assert tfrecord.main(["--data", str(tmp_path / "nowhere"), "--out", str(out)]) == 1
    assert "Traceback" not in capfd.readouterr().err and out.read_text(encoding="utf-8") == text


def test_a_part_is_put_where_it_stood(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    one, two = (f"<!-- python -m benchmarks.{name} -->\n" for name in ("one", "two"))
    parts.put(path, one, "## One\n")
    parts.put(path, two, "## Two\n")
    assert path.read_text() == f"{one}## One\n\n{two}## Two\n"
    parts.put(path, one, "## New\n")
    assert path.read_text() == f"{one}## New\n\n{two}## Two\n"
    path.write_text(f"# Head\n\n{path.read_text()}")
    parts.put(path, two, "## Newer\n")
    parts.put(path, one, "## Newest\n")
    assert path.read_text() == f"# Head\n\n{one}## Newest\n\n{two}## Newer\n"

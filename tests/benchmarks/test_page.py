"""The benchmark of the page: its part of the report, written anew without touching the rest."""

from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.page import Load
from tests.support.datasets import jpeg


def measured(latencies: list[float], errors: list[str], megabytes: list[int]) -> Load:
    memory = [(float(second), size * 10**6) for second, size in enumerate(megabytes)]
    refusals = {"fine": (415, 0.1), "last": (500 if errors else 413, 2.0 if errors else 0.2)}
    return Load(latencies, errors, memory, refusals)


@pytest.mark.parametrize(
    ("load", "verdicts"),
    [
        (measured([0.5] * 99 + [9.0], [], [100] * 10 + [500] * 50), ["yes"] * 5),
        (measured([0.5] * 90 + [2.0] * 10, ["503: b''"], [100] * 20 + [200] * 40), ["no"] * 5),
    ],
)
def test_what_was_measured_is_held_against_its_targets(load: Load, verdicts: list[str], tmp_path: Path) -> None:
    photograph = tmp_path / "one.jpg"
    photograph.write_bytes(jpeg(0))
    text = page.render(load, 8, 60, [photograph], 1600)
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert [row.split(" | ")[-1].removesuffix(" |") for row in rows] == verdicts
    assert "100 answers, 1.7 a second" in text and "nearest of 1,600 training photographs" in text


def test_the_other_benchmark_leaves_this_part_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.md"
    assert page.kept(path) == ""
    path.write_text("# Benchmarks\n\nothers\n", encoding="utf-8")
    assert page.kept(path) == ""
    path.write_text(f"# Benchmarks\n\nothers\n\n{page.MARK}## The page\n", encoding="utf-8")
    assert page.kept(path) == f"\n{page.MARK}## The page\n"


def test_a_folder_without_photographs_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert page.main(["--data", str(tmp_path), "--out", str(tmp_path / "out.md")]) == 1
    error = capfd.readouterr().err
    assert "holds no photographs" in error and "benchmarks.page: " in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())

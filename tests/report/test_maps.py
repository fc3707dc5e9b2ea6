"""The worst photographs of a report have their maps, or it says in one line why not."""

from pathlib import Path

import pytest

from catsdogs import report
from catsdogs.photographs.dataset import scan
from tests.support.datasets import draw_data
from tests.support.reports import ReportedRun
from tests.support.runs import LITE0, extracted, train


def test_the_worst_photographs_have_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = draw_data(tmp_path, 5, 2, 0) / "data"
    files = extracted(data, tmp_path / "features", LITE0)
    train(files, tmp_path, name="run", folds=2)

    def page(weights_dir: str | None = None) -> str:
        path = report.write_report(tmp_path / "run", files, scan(data), tmp_path / "compare.csv", weights_dir)
        return path.read_text(encoding="utf-8")

    shown = page()
    assert shown.count('alt="why: red areas speak for ') == 10 and "No maps of" not in shown
    monkeypatch.setattr("catsdogs.networks.weights.find_file", lambda *_: None)
    without = page()
    assert "No maps of what speaks for the answers: The weights of EfficientNetLite0 are not at hand." in without
    assert 'alt="why: ' not in without


def test_without_photographs_there_are_no_maps(plain: ReportedRun) -> None:
    assert "No maps of what speaks for the answers: The photographs are not at hand." in plain.write()

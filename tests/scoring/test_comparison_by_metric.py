"""Heads ranked by the metric of a competition, with log loss beside it."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from catsdogs.cleaning.decisions import Corrections
from catsdogs.errors import TrainingError
from catsdogs.features.feature_file import Features
from catsdogs.photographs.task import BEST_K, CLASSES, NAME, Task
from catsdogs.scoring import comparison, comparison_chart, comparison_file, comparison_table, metrics
from catsdogs.scoring.comparison import NOISE, WORSE, Comparison
from tests.conftest import refused
from tests.support.kinds import OF_KINDS, features_of
from tests.support.runs import features, train

ANOTHER_LOGISTIC = "from catsdogs.heads.logistic import Logistic\nclass Another(Logistic): pass\n"
THREE = ("ape", "bee", "cow")
NAMED, BEST = Task(CLASSES, NAME), Task(CLASSES, BEST_K, best=2)
TASKS = {
    "auc": Task.of_classes(("cat", "dog")),
    "mean-auc": Task.of_classes(THREE),
    "accuracy": NAMED,
    "f1-macro": NAMED,
    "map@2": BEST,
}


def compare(file: Features, head_names: Sequence[str], **other: Any) -> Comparison:
    usual: dict[str, Any] = {"folds": 4, "repeats": 1, "seed": 0, "corrections": Corrections(frozenset(), {}, "")}
    file = replace(file, task=other.pop("task", file.task))
    return comparison.compare([[file]], head_names, **usual | other)


def asked(folder: Path, metric: str) -> Features:
    """A feature file of a competition with this metric."""
    file = features(folder, classes=("cat", "dog") if metric == "auc" else THREE, apart=1.5)
    return replace(file, task=metrics.settle(TASKS[metric], metric, ""))


@pytest.mark.parametrize("metric", TASKS)
def test_a_line_is_what_train_scores_and_the_blind_come_last(tmp_path: Path, metric: str) -> None:
    path = tmp_path / "another.py"
    path.write_text(ANOTHER_LOGISTIC)
    file = asked(tmp_path, metric)
    found = compare(file, ["DummyClassifier", str(path), "logistic"])
    score = train([file], tmp_path, head="logistic").scores[0]
    assert [(entry.head, entry.verdict) for entry in found.entries] == [
        (str(path), ""), ("logistic", NOISE), ("DummyClassifier", WORSE)
    ]  # fmt: skip
    first, same, blind = found.entries
    assert found.metric == metric and first.value == same.value
    assert (same.value, same.value_error) == pytest.approx((score.value, score.value_error))
    assert (same.log_loss, same.standard_error) == pytest.approx((score.log_loss, score.standard_error))
    assert (same.difference, same.difference_error) == (0, 0)
    assert (
        blind.difference == pytest.approx(blind.value - first.value) and blind.difference < 0 < blind.difference_error
    )
    assert ("without a clip" in found.measured_on) == (metric in ("auc", "mean-auc", "map@2"))


def test_another_metric_than_the_files_may_be_asked_for(tmp_path: Path) -> None:
    file = features(tmp_path, apart=1)
    by_area = compare(file, ["logistic", "ridge"], task=metrics.settle(file.task, "auc", ""), repeats=2)
    by_loss = compare(file, ["logistic", "ridge"], repeats=2)
    assert (by_area.metric, by_loss.metric) == ("auc", "log-loss")
    losses = [{entry.head: entry.log_loss for entry in found.entries} for found in (by_area, by_loss)]
    assert losses[0] == losses[1]
    assert by_area.entries[0].value > by_area.entries[1].value
    assert by_loss.entries[0].log_loss < by_loss.entries[1].log_loss


@pytest.fixture
def found(tmp_path: Path) -> Comparison:
    return compare(asked(tmp_path, "mean-auc"), ["logistic", "ridge", "DummyClassifier"])


def test_the_table_is_read_back(tmp_path: Path, found: Comparison) -> None:
    path = tmp_path / "compare.csv"
    comparison_file.write_comparison(path, found)
    read = comparison_file.read_comparison(path)
    assert read and read.metric == "mean-auc"
    for one, other in zip(read.entries, found.entries, strict=True):
        assert read.value_of(one) == pytest.approx(found.value_of(other), rel=1e-8)
        assert (one.head, one.verdict, one.log_loss) == (other.head, other.verdict, pytest.approx(other.log_loss))
    with path.open(newline="") as text:
        header, *rows = csv.reader(text)
    columns = comparison_file.COLUMNS + comparison_file.COLUMNS_OF_A_METRIC
    assert tuple(header[: len(columns)]) == columns and header[-1] == "noise_limit"
    for column, cell, message in ((header.index("metric"), "speed", "the metric 'speed'"), (-1, "x", "convert")):
        changed = [list(row) for row in rows]
        changed[1][column] = cell
        path.write_text("".join(",".join(row) + "\n" for row in [header, *changed]))
        with refused(TrainingError, f"row 3 is damaged: .*{message}"):
            comparison_file.read_comparison(path)


def test_table_and_picture_show_the_metric_first_and_log_loss_beside_it(tmp_path: Path, found: Comparison) -> None:
    long = replace(found.entries[1], backbones=("Xception", "EfficientNetLite0", "ResNet50V2"), seconds=9999)
    shown = comparison_table.format_table(replace(found, entries=(*found.entries, long)))
    header, first, *_ = lines = shown.splitlines()
    assert max(map(len, lines)) <= comparison_table.TABLE_WIDTH
    assert header.index("mean-auc") < header.index("log loss") < header.index("accuracy")
    best = found.entries[0]
    assert first.index(f"{best.value:.5f}") < first.index(f"{best.log_loss:.5f}") < first.index(f"{best.accuracy:.2%}")
    assert "Ranked by mean-auc" in shown
    comparison_chart.draw_comparison(tmp_path / "compare.png", found)
    with Image.open(tmp_path / "compare.png") as picture:
        picture.load()


@pytest.mark.parametrize("name", OF_KINDS)
def test_every_kind_is_compared_and_read_back(tmp_path: Path, name: str) -> None:
    found = compare(features_of(tmp_path, OF_KINDS[name]), ["ridge", "logistic"])
    path = tmp_path / "compare.csv"
    comparison_file.write_comparison(path, found)
    assert "nan" not in path.read_text() and np.isfinite(found.limit)
    again = comparison_file.read_comparison(path)
    assert again is not None and [entry.head for entry in again.entries] == [entry.head for entry in found.entries]
    for one, other in zip(again.entries, found.entries, strict=True):
        assert (one.value, one.value_error) == pytest.approx((other.value, other.value_error))
        assert (one.log_loss, one.accuracy) == pytest.approx((other.log_loss, other.accuracy), nan_ok=True)


def test_an_empty_figure_is_damage_where_there_has_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "compare.csv"
    comparison_file.write_comparison(path, compare(asked(tmp_path, "auc"), ["ridge"]))
    header, row = path.read_text().splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True)) | {"value": ""}
    path.write_text(f"{header}\n{','.join(cells.values())}\n")
    with refused(TrainingError, "compare.csv, row 2 is damaged"):
        comparison_file.read_comparison(path)

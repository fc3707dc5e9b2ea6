"""A run is taken up as it was left, and a damaged description is told in one line."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catsdogs.errors import TrainingError, UnknownNameError
from catsdogs.features import joining
from catsdogs.photographs.task import Task
from catsdogs.runs import run_card
from tests.conftest import refused
from tests.support.features import recipe
from tests.support.runs import NEAREST_MEAN, change_run, features, read_csv, train


def test_a_run_is_taken_up_again_as_it_was(tmp_path: Path) -> None:
    file = features(tmp_path, classes=("ape", "bee", "cow"))
    train([file], tmp_path)
    trained = run_card.load_run(tmp_path / "run")
    X = joining.Joined([file], "test").read()
    probabilities = trained.predict(X)
    assert np.allclose(probabilities.sum(axis=1), 1)
    written = [[float(row[name]) for name in file.classes] for row in read_csv(tmp_path / "run" / "submission.csv")]
    assert np.allclose(written, probabilities, rtol=1e-11)
    with refused(TrainingError, "takes vectors of width 5, not 4"):
        trained.predict(X[:, :4])


def test_runs_are_listed_and_a_damaged_one_is_named(folder: Path) -> None:
    submissions = folder.parent
    run = run_card.read_run(folder)
    for name, part in {"other": {}, "newer": {"version": 99}, "older": {"scores": None}}.items():
        shutil.copytree(folder, submissions / name)
        change_run(submissions / name, name=name, **part)
    for name, text in {"cut": '{"format": ', "deep": "[" * 100_000, "list": "[]"}.items():
        (submissions / name).mkdir()
        (submissions / name / "run.json").write_text(text)
    found, damaged = run_card.list_runs(submissions)
    assert found == [replace(run, name="other"), run]
    names = ["cut", "deep", "list", "newer", "older"]
    assert [name for error in damaged for name in names if f"/{name}/" in str(error)] == names
    assert run_card.list_runs(submissions / "absent") == ([], [])
    with refused(UnknownNameError, "other, run"):
        run_card.load_run(submissions / "absent")


def test_a_run_of_the_first_version_is_to_be_trained_again(folder: Path) -> None:
    change_run(folder, version=1, package_version="0.1")
    with refused(TrainingError, r"was written by catsdogs 0\.1 .*Train again with --name run --force"):
        run_card.load_run(folder)


GRADE = {"log_loss": 0.1, "standard_error": 0.01, "accuracy": 0.9, "rows": 40, "measured_on": "all"}
DAMAGES: list[dict[str, Any]] = [
    {"format": "other"},
    {"version": "2"},
    {"scores": []},
    {"scores": [GRADE | {"log_loss": "0.1"}]},
    {"scores": [{"log_loss": 0.1}]},
    {"scores": [GRADE | {"rank": 1}]},
    {"backbones": None},
    {"backbones": {}},
    {"backbones": {"ResNet50": {"backbone": "ResNet50"}}},
    {"backbones": {"ResNet50": vars(recipe()) | {"more": 1}}},
    {"calibration": 1.0},
    {"calibration": {"temperature": 1.0}},
    {"calibration": {"temperature": 1.0, "clip": "a"}},
    {"calibration": {"temperature": 1.0, "clip": 0.7}},
    {"calibration": {"temperature": 0.0, "clip": 0.01}},
    {"calibration": {"temperature": float("nan"), "clip": 0.01}},
    {"classes": ["cat", "dog", "fox"]},
    {"classes": "ab"},
    {"prior": [0.5, "0.5"]},
    {"prior": [0.5, float("nan")]},
    {"folds": 0},
    {"widths": [5.0]},
    {"widths": [0]},
    {"widths": [5, 5]},
    {"settings": []},
    {"task": vars(Task("binary", "probability", metric="speed"))},
    {"scores": [GRADE | {"metric": 1}]},
    {"relabelled": {"cat.1": 0}},
]


@pytest.mark.parametrize("part", DAMAGES, ids=str)
def test_a_damaged_description_is_told_in_one_line(folder: Path, part: dict[str, Any]) -> None:
    change_run(folder, **part)
    with refused(TrainingError, r"run\.json is damaged"):
        run_card.read_run(folder)
    assert [len(part) for part in run_card.list_runs(folder.parent)] == [0, 1]


def test_a_changed_head_file_is_not_even_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "nearest_mean.py", tmp_path / "mark"
    path.write_text(NEAREST_MEAN)
    file = features(tmp_path)
    train([file], tmp_path, head=str(path))
    assert run_card.load_run(tmp_path / "run").predict(file.vectors("test")).shape == (6, 2)
    path.write_text(f"open({str(mark)!r}, 'w')\n{NEAREST_MEAN}")
    with refused(TrainingError, r"nearest_mean\.py is gone, or not what it was"):
        run_card.load_run(tmp_path / "run")
    assert not mark.exists()


def test_listing_runs_imports_nothing_heavy() -> None:
    code = (
        "import sys; from pathlib import Path; from catsdogs.runs import run_card; run_card.list_runs(Path('absent'));"
        "print({'keras', 'tensorflow', 'sklearn', 'scipy', 'skops', 'matplotlib', 'pandas'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"

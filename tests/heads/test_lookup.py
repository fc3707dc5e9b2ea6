"""Names of heads: what they stand for, how runs keep them, and what is offered for a name that is none."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from catsdogs import heads
from catsdogs.errors import TrainingError, UnknownNameError
from catsdogs.heads import _lookup
from catsdogs.heads.blend import Blend
from tests.conftest import refused


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("blend", "blend"),
        ("lightgbm", "lightgbm"),
        ("my_head.py", "my_head.py"),
        ("LogisticRegression", "standard+LogisticRegression"),
        ("logisticregression", "standard+LogisticRegression"),
        ("standard+svc", "standard+SVC"),
        ("raw+SVC", "raw+SVC"),
        ("pca:8+svc", "pca:8+SVC"),
        ("pca:256+logistic", "pca:256+logistic"),
        ("SVC[C=0.1,gamma=auto]", "standard+SVC[C=0.1,gamma=auto]"),
        ("ridge", "ridge"),  # ours, not scikit-learn's Ridge
    ],
)
def test_a_typed_name_is_kept_in_one_way(typed: str, kept: str) -> None:
    assert heads.canonical(typed) == kept
    assert heads.canonical(kept) == kept


def test_a_pipeline_is_called_by_its_last() -> None:
    assert heads.find("standard+pca:2+SVC") is SVC
    assert heads.find("pca:2+blend") is Blend
    assert heads.find("LogisticRegression") is LogisticRegression


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("LogisticRegresion", "Choose from: LogisticRegression, "),
        ("logistc", "Choose from: logistic, "),
        ("LightGMB", "Choose from: lightgbm, "),
        ("standard+", "No head is called ''"),
        ("whiten+logistic", r"No step of the pipeline whiten\+logistic is called 'whiten'. Choose from: standard, "),
    ],
)
def test_what_is_near_is_offered_first(name: str, match: str) -> None:
    with refused(UnknownNameError, match):
        heads.create(name)


@pytest.mark.parametrize("step", ["pca", "pca:", "pca:0", "pca:-1", "pca:many", "select", "standard:3", "raw:1"])
def test_a_step_has_a_number_or_none(step: str) -> None:
    with refused(TrainingError, f"The step {step} of the pipeline {step}.logistic needs (a|no) number"):
        heads.create(f"{step}+logistic")


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with refused(TrainingError, r"needs the package xgboost, .* pip install 'catsdogs\[xgboost\]'"):
        heads.create("pca:4+xgboost")


def test_a_head_file_may_be_called_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a+b[1].py").write_text("from sklearn.naive_bayes import GaussianNB\nclass AB1(GaussianNB): pass\n")
    assert heads.canonical("a+b[1].py") == "a+b[1].py"
    with refused(TrainingError, "lacks the class"):
        heads.find("a+b[1].py")


def test_names_of_older_runs_mean_what_they_meant() -> None:
    """Such a run names no step, and its head saw the columns as they are."""
    assert (
        type(heads.create("LogisticRegression")) is type(heads.create("raw+LogisticRegression")) is LogisticRegression
    )


@given(st.lists(st.sampled_from(["standard", "pca:3", "select:5", "raw"])), st.sampled_from(["blend", "SVC", "knn"]))
def test_steps_and_a_head_are_told_apart(steps: list[str], last: str) -> None:
    assert _lookup.split("+".join((*steps, last))) == (tuple(steps), last)

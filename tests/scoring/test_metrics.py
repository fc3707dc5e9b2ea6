"""Metrics by their names, and which of them fits what is asked for."""

from dataclasses import replace

import pytest

from catsdogs.errors import CatsdogsError, UnknownNameError, UsageError
from catsdogs.photographs.task import BEST_K, BINARY, CLASSES, NAME, PROBABILITIES, PROBABILITY, Task
from catsdogs.scoring import metrics

ONE = Task(BINARY, PROBABILITY, positive="dog")
TWO = Task(BINARY, PROBABILITIES, targets=("cat", "dog"))
MANY = Task(CLASSES, PROBABILITIES, targets=("ape", "bee", "cow"))
NAMED = Task(CLASSES, NAME)
FIVE = Task(CLASSES, BEST_K, best=5)
OF_NAMES = {"accuracy", "f1-macro", "f1-micro"}
FITTING = {
    "one probability": (ONE, {"log-loss", "auc"} | OF_NAMES),
    "two columns": (TWO, {"log-loss", "auc", "mean-auc"} | OF_NAMES),
    "three columns": (MANY, {"log-loss", "mean-auc"} | OF_NAMES),
    "a name": (NAMED, OF_NAMES),
    "five names": (FIVE, {"map@5"}),
}


def test_metrics_are_found_by_the_names_that_they_have() -> None:
    for name in (*metrics.METRICS, "map@1", "map@12"):
        found = metrics.find(name)
        assert found.name == name and found.range and found.source
        assert found.higher_is_better == (name != "log-loss")
    assert (metrics.find("map@12").best, metrics.find("auc").best) == (12, 0)
    wants = {name: metrics.find(name).wants for name in (*metrics.METRICS, "map@3")}
    assert wants == dict.fromkeys(OF_NAMES, "name") | {
        "log-loss": "probabilities", "auc": "ranks", "mean-auc": "ranks", "map@3": "best-k"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["", "AUC", "map", "map@0", "map@", "map@05", "map@-1", "map@5 ", "map@٣", "logloss"])
def test_no_other_name_is_known(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"log-loss, auc, .*map@K"):
        metrics.find(name)


@pytest.mark.parametrize(
    ("name", "what"),
    [("qwk", "ordered grades"), ("rmse", "numbers"), ("mae", "numbers"), ("f1-samples", "several labels")],
)
def test_what_cannot_be_answered_yet_is_said(name: str, what: str) -> None:
    with pytest.raises(UsageError, match=f"{what}.* yet"):
        metrics.find(name)


@pytest.mark.parametrize("asked", FITTING)
@pytest.mark.parametrize("name", [*metrics.METRICS, "map@5", "map@3"])
def test_a_metric_is_taken_where_it_fits_and_else_refused_with_those_that_do(asked: str, name: str) -> None:
    task, fitting = FITTING[asked]
    if name in fitting:
        assert metrics.settle(task, name, "slug") == replace(task, metric=name, competition="slug")
        return
    with pytest.raises(UsageError) as raised:
        metrics.settle(task, name, "slug")
    assert raised.value.problem.startswith(f"--metric {name} does not fit")
    assert set(raised.value.remedy.removeprefix("Give ").split(" or ")) == fitting


@pytest.mark.parametrize("asked", FITTING)
def test_the_default_fits_and_is_named_first(asked: str) -> None:
    task, _ = FITTING[asked]
    expected = {NAME: "accuracy", BEST_K: "map@5"}.get(task.answer, "log-loss")
    assert metrics.default_for(task) == expected == metrics.fitting(task)[0] == metrics.settle(task, "", "").metric


def test_a_metric_of_names_asks_for_a_name_where_the_sample_leaves_it_open() -> None:
    open_task = replace(ONE, may_be_name=True)
    for name in OF_NAMES:
        settled = metrics.settle(open_task, name, "")
        assert (settled.answer, settled.positive, settled.metric) == (NAME, "", name)
    for name in ("", "log-loss", "auc"):
        settled = metrics.settle(open_task, name, "")
        assert (settled.answer, settled.positive) == (PROBABILITY, "dog")


def test_an_unknown_metric_is_refused_by_settling_too() -> None:
    for name in ("qwk", "speed"):
        with pytest.raises(CatsdogsError):
            metrics.settle(ONE, name, "")


def test_only_where_values_count_a_clip_may_help() -> None:
    assert {name for name in metrics.METRICS if metrics.find(name).takes_a_clip} == {"log-loss"} | OF_NAMES
    assert not metrics.find("map@5").takes_a_clip

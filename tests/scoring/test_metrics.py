"""Metrics by their names, and which of them fits what is asked for."""

from dataclasses import replace

import pytest

from catsdogs.errors import DatasetError, UnknownNameError, UsageError
from catsdogs.photographs.task import (
    BEST_K,
    BINARY,
    CLASSES,
    LABELS,
    NAME,
    NAMES,
    NUMBER,
    NUMBERS,
    ORDINAL,
    PROBABILITIES,
    PROBABILITY,
    Task,
)
from catsdogs.scoring import metrics

ONE = Task(BINARY, PROBABILITY, positive="dog")
TWO = Task(BINARY, PROBABILITIES, targets=("cat", "dog"))
MANY = Task(CLASSES, PROBABILITIES, targets=("ape", "bee", "cow"))
NAMED = Task(CLASSES, NAME)
FIVE = Task(CLASSES, BEST_K, best=5)
SPOTS = Task(LABELS, PROBABILITIES, targets=("rust", "scab"), names=("rust", "scab"))
SPOTS_NAMED = Task(LABELS, NAMES, names=("rust", "scab"), separator=" ")
GRADED = Task(ORDINAL, NAME)
COUNTED = Task(NUMBER, NUMBERS, targets=("x", "y"), names=("x", "y"))
OF_NAMES = {"accuracy", "f1-macro", "f1-micro"}
OF_LABELS = {"f1-micro", "f1-macro", "f1-samples"}
FITTING = {
    "one probability": (ONE, {"log-loss", "auc"} | OF_NAMES),
    "two columns": (TWO, {"log-loss", "auc", "mean-auc"} | OF_NAMES),
    "three columns": (MANY, {"log-loss", "mean-auc"} | OF_NAMES),
    "a name": (NAMED, OF_NAMES),
    "five names": (FIVE, {"map@5"}),
    "probabilities of labels": (SPOTS, {"log-loss", "mean-auc"} | OF_LABELS),
    "names of labels": (SPOTS_NAMED, OF_LABELS),
    "a grade": (GRADED, {"qwk"} | OF_NAMES),
    "numbers": (COUNTED, {"rmse", "mae"}),
}
# What content cannot tell from classes: the metric says that these are grades, or numbers.
BY_METRIC = {
    ("one probability", "qwk"),
    ("a name", "qwk"),
    *((asked, metric) for asked in ("one probability", "a name") for metric in ("rmse", "mae")),
}


def test_metrics_are_found_by_the_names_that_they_have() -> None:
    for name in (*metrics.METRICS, "map@1", "map@12"):
        found = metrics.find(name)
        assert found.name == name and found.range and found.source
        assert found.higher_is_better == (name not in ("log-loss", "rmse", "mae"))
    assert (metrics.find("map@12").best, metrics.find("auc").best) == (12, 0)
    wants = {name: metrics.find(name).wants for name in (*metrics.METRICS, "map@3")}
    assert wants == dict.fromkeys(OF_NAMES, "name") | {
        "log-loss": "probabilities", "auc": "ranks", "mean-auc": "ranks", "map@3": "best-k",
        "f1-samples": "names", "qwk": "grade", "rmse": "numbers", "mae": "numbers",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["", "AUC", "map", "map@0", "map@", "map@05", "map@-1", "map@5 ", "map@٣", "logloss"])
def test_no_other_name_is_known(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"log-loss, auc, .*map@K"):
        metrics.find(name)


@pytest.mark.parametrize("asked", FITTING)
@pytest.mark.parametrize("name", [*metrics.METRICS, "map@5", "map@3"])
def test_a_metric_is_taken_where_it_fits_and_else_refused_with_those_that_do(asked: str, name: str) -> None:
    task, fitting = FITTING[asked]
    if name in fitting:
        assert metrics.settle(task, name, "slug") == replace(task, metric=name, competition="slug")
        return
    if (asked, name) in BY_METRIC:
        return
    with pytest.raises(UsageError) as raised:
        metrics.settle(task, name, "slug")
    assert raised.value.problem.startswith(f"--metric {name} does not fit")
    assert set(raised.value.remedy.removeprefix("Give ").split(" or ")) == fitting


@pytest.mark.parametrize("asked", FITTING)
def test_the_default_fits_and_is_named_first(asked: str) -> None:
    task, _ = FITTING[asked]
    of_answer = {NAME: "accuracy", BEST_K: "map@5", NAMES: "f1-micro"}.get(task.answer, "log-loss")
    expected = {ORDINAL: "qwk", NUMBER: "rmse"}.get(task.kind, of_answer)
    assert metrics.default_for(task) == expected == metrics.fitting(task)[0] == metrics.settle(task, "", "").metric


def test_a_metric_of_names_asks_for_a_name_where_the_sample_leaves_it_open() -> None:
    open_task = replace(ONE, may_be_name=True)
    for name in OF_NAMES:
        settled = metrics.settle(open_task, name, "")
        assert (settled.answer, settled.positive, settled.metric) == (NAME, "", name)
    for name in ("", "log-loss", "auc"):
        settled = metrics.settle(open_task, name, "")
        assert (settled.answer, settled.positive) == (PROBABILITY, "dog")


def test_labels_keep_their_columns_whatever_the_metric() -> None:
    open_task = replace(SPOTS, may_be_name=True)
    assert metrics.settle(open_task, "f1-micro", "") == replace(open_task, metric="f1-micro")


@pytest.mark.parametrize(("asked", "name"), sorted(BY_METRIC))
def test_a_metric_of_grades_or_numbers_says_that_the_labels_are_these(asked: str, name: str) -> None:
    task, _ = FITTING[asked]
    width = len(task.targets) if name != "qwk" else 1
    texts = ["|".join([number] * width) for number in ("0", "1", "4")]
    settled = metrics.settle(replace(task, may_be_name=True), name, "slug", texts)
    assert settled.kind == (ORDINAL if name == "qwk" else NUMBER)
    assert settled.answer == (NAME if name == "qwk" else NUMBERS)
    assert settled.names == (() if name == "qwk" else task.targets)
    assert (settled.metric, settled.competition, settled.positive, settled.may_be_name) == (name, "slug", "", False)
    assert metrics.settle(settled, "", "slug", texts).metric == metrics.default_for(settled)
    with pytest.raises(DatasetError, match=r"'cat' is not a (grade|number)"):
        metrics.settle(task, name, "", ["cat", "dog"])


def test_an_unknown_metric_is_refused_by_settling_too() -> None:
    with pytest.raises(UnknownNameError):
        metrics.settle(ONE, "speed", "")


def test_only_where_values_count_a_clip_may_help() -> None:
    assert {name for name in metrics.METRICS if metrics.find(name).takes_a_clip} == {"log-loss"} | OF_NAMES
    assert not metrics.find("map@5").takes_a_clip

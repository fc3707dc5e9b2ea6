"""What cannot be trained as a plan says is refused in one line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catsdogs.errors import CatsdogsError
from catsdogs.features.folds import MAX_SEED
from catsdogs.photographs.task import Task
from catsdogs.scoring import plan_checks, streaming, training_plan
from catsdogs.scoring.training_plan import Plan
from tests.conftest import refused
from tests.support.runs import features

PLAN = Plan("ridge", 3, 0)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"repeats": 0}, "0 repeats train nothing"),
        ({"repeats": 2, "seed": MAX_SEED}, "leaves none for 2 repeats"),
        ({"pseudo": 0.5}, "--pseudo 0.5 is not between 0.5 and 1"),
        ({"pseudo": 1.0}, "--pseudo 1 is not between"),
        ({"pseudo": float("nan")}, "--pseudo nan is not between"),
        ({"pseudo": 0.9, "folds": 2}, "needs 3 folds"),
        ({"pseudo": 0.9, "balance": True}, "does not go with --balance"),
    ],
)
def test_a_value_that_cannot_be_used(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    with refused(CatsdogsError, message):
        training_plan.settle(training_plan.check_trainable([features(tmp_path)]), replace(PLAN, **more))


@pytest.mark.parametrize("kind", ["labels", "ordinal", "number"])
def test_pseudo_labels_are_for_classes(tmp_path: Path, kind: str) -> None:
    file = features(tmp_path)
    with refused(CatsdogsError, f"this task is of {kind}"):
        plan_checks.check(replace(PLAN, pseudo=0.9), [replace(file, task=Task(kind, "number"))], False)


def test_pseudo_labels_need_test_photographs(tmp_path: Path) -> None:
    with refused(CatsdogsError, "has no test photographs that --pseudo could learn from"):
        plan_checks.check(replace(PLAN, pseudo=0.9), [features(tmp_path, test=0)], False)


@pytest.mark.parametrize("more", [{"refit": True}, {"pseudo": 0.9}])
def test_rows_in_blocks_are_cross_validated_alone(tmp_path: Path, more: dict[str, Any]) -> None:
    files = [features(tmp_path)]
    with refused(CatsdogsError, f"Leave out --{next(iter(more))}, or take fewer"):
        plan_checks.check(replace(PLAN, **more), files, True)
    with refused(CatsdogsError, "classes fit into memory for one deal of folds alone"):
        plan_checks.check(replace(PLAN, **more), files, True, keeps_likeliest=True)
    plan_checks.check(replace(PLAN, repeats=3), files, True)


def test_test_rows_count_as_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [features(tmp_path, rows=20, test=40)]
    monkeypatch.setattr(streaming, "_memory", lambda: 4 * 5 * 60 * 4)  # of which a quarter holds 60 rows
    assert not streaming.is_needed(files)
    with refused(CatsdogsError, "do not fit into memory"):
        plan_checks.check(replace(PLAN, pseudo=0.9), files, False)
    plan_checks.check(PLAN, files, False)

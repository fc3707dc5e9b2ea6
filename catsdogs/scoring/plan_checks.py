"""What a plan may ask for of which rows: refused in one line before any vectors are read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from catsdogs import heads
from catsdogs.errors import TrainingError, UsageError
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import MAX_SEED
from catsdogs.photographs.task import BINARY, CLASSES, NUMBER
from catsdogs.scoring import crossval, streaming

if TYPE_CHECKING:
    from catsdogs.scoring.training_plan import Plan

SPLITS = ("train", "test")
FEWEST_FOLDS = 3  # with pseudo-labels: two of them are left out at once


def check(plan: "Plan", files: Sequence[Features], streamed: bool, keeps_likeliest: bool = False) -> None:
    """Refuse what cannot be done on these rows, read in blocks or not.

    Raises:
        UsageError: a value that cannot be used, or flags that do not go together or with the task.
        TrainingError: rows that have to be read in blocks; no test rows to take labels from.
    """
    first = files[0]
    if plan.repeats < 1:
        raise UsageError(f"{plan.repeats} repeats train nothing", "Give --repeats 1 or more")
    if plan.repeats > 1 and plan.seed + plan.repeats - 1 > MAX_SEED:
        raise UsageError(f"The seed {plan.seed} leaves none for {plan.repeats} repeats", "Give a smaller --seed")
    if plan.balance:
        _check_balance(plan, first, streamed)
    if keeps_likeliest and (plan.repeats > 1 or plan.refit or plan.pseudo):
        problem = f"{len(first.columns):,} classes fit into memory for one deal of folds alone"
        raise TrainingError(
            problem, "Leave out --repeats, --refit and --pseudo, or train on a machine with more memory"
        )
    if streamed and plan.refit:
        raise TrainingError(
            "Rows that are read in blocks cannot be learnt once more, and these vectors do not fit into memory",
            "Leave out --refit, or take fewer --backbones",
        )
    if plan.pseudo:
        _check_pseudo(plan, first, streamed or streaming.is_needed(files, SPLITS))


def _check_balance(plan: "Plan", first: Features, streamed: bool) -> None:
    if first.task.kind == NUMBER:
        raise UsageError("--balance would do nothing: numbers have no classes", "Leave it out")
    if streamed:
        raise TrainingError(
            "Rows that are read in blocks cannot be balanced, and these vectors do not fit into memory",
            "Leave out --balance, or take fewer --backbones",
        )
    crossval.check_weighed(heads.create(plan.head, plan.seed, kind=first.task.kind, **plan.settings))


def _check_pseudo(plan: "Plan", first: Features, streamed: bool) -> None:
    if not 0.5 < plan.pseudo < 1:
        raise UsageError(f"--pseudo {plan.pseudo:g} is not between 0.5 and 1", "Give a probability such as 0.99")
    if first.task.kind not in (BINARY, CLASSES):
        problem = f"--pseudo takes test photographs for a class that is certain, and this task is of {first.task.kind}"
        raise UsageError(problem, "Leave it out")
    if plan.balance:
        raise UsageError("--pseudo does not go with --balance, for test photographs have no weights", "Leave one out")
    if plan.folds < FEWEST_FOLDS:
        raise UsageError(f"--pseudo needs {FEWEST_FOLDS} folds, for it leaves out two at once", "Give more --folds")
    if streamed:
        raise TrainingError(
            "Rows that are read in blocks get no test rows beside them, and these vectors do not fit into memory",
            "Leave out --pseudo, or take fewer --backbones",
        )
    if not len(first.ids["test"]):
        problem = f"{first.path} has no test photographs that --pseudo could learn from"
        raise TrainingError(problem, "Leave it out, or extract the features of test photographs")

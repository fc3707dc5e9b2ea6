"""Twins on the command line: `verify` that two photographs show one class, `fewshot` learns new classes from a few."""

from pathlib import Path

from invoke import Context

from catsdogs.commands.console import next_steps, say, task, wrote
from catsdogs.commands.flags import (
    as_flags,
    check_writable,
    read_feature_files,
    refuse_idle_data,
    refuse_idle_weights,
    weights_folder,
)
from catsdogs.commands.settings import SUBMISSIONS, location, number, whole_number
from catsdogs.errors import UsageError


@task(name="a run whose head is twin", left="a photograph", right="another photograph")
def verify(c: Context, name: str, left: str, right: str, weights_dir: str | None = None) -> None:
    """Say whether two photographs show the same class, which the run need never have seen."""
    from catsdogs.runs import run_card
    from catsdogs.twins import verification

    folder = SUBMISSIONS / name
    refuse_idle_weights(weights_dir, run_card.read_run(folder).backbones)
    check_writable(folder)
    verdict = verification.verify(folder, Path(left), Path(right), weights_folder(c, weights_dir))
    say(verdict)
    verification.draw_verdict(folder / "verify.png", verdict)
    wrote(folder / "verify.png")
    next_steps(f"fewshot --twin {name}")


@task(
    new="the classes to hold out entirely, separated by commas; with --twin all if not given",
    shots="examples of each new class",
    repeats="how many times examples are drawn",
    twin="a run with the head twin, trained on other classes; without it twins learn from the classes that are not new",
    name="what the tables will be called in submissions/",
    seed="of the twins and the examples",
)
def fewshot(
    c: Context,
    backbones: str | None = None,
    new: str = "",
    shots: str = "5",
    repeats: str = "20",
    twin: str | None = None,
    name: str = "fewshot",
    seed: str | None = None,
    features: str | None = None,
    data: str | None = None,
) -> None:
    """Classify photographs of new classes from a handful of examples each, beside nearest neighbours."""
    from catsdogs.twins import fewshot as few_shot

    files = read_feature_files(c, location(c, "features", features), backbones, data)
    refuse_idle_data(data, files)
    check_writable(SUBMISSIONS)
    classes = [label.strip() for label in new.split(",") if label.strip()]
    run, start = SUBMISSIONS / twin if twin else None, number(c, "seed", seed)
    if Path(name).name != name:
        raise UsageError(f"The name {name!r} is not that of a file", "Give --name letters, digits and hyphens")
    counts = whole_number("shots", shots), whole_number("repeats", repeats)
    setup = few_shot.prepare(files, classes, *counts, start, run)
    accuracies = few_shot.evaluate(setup)
    say(few_shot.format_few_shot(accuracies))
    few_shot.write_few_shot(SUBMISSIONS / f"{name}.csv", accuracies)
    wrote(SUBMISSIONS / f"{name}.csv")
    if len(files[0].ids["test"]):
        path = SUBMISSIONS / f"{name}-test.csv"
        rows = few_shot.classify(path, setup)
        wrote(path, f"the test rows, from all labelled examples; rows: {rows:,}")
    if not twin:
        next_steps(f"train --head twin --name twins{as_flags(c, backbones=backbones)}")

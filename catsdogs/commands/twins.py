"""Twins on the command line: `verify` that two photographs show one class, `fewshot` learns new classes from a few."""

from pathlib import Path

from catsdogs.commands.console import next_steps, say, task, write, wrote
from catsdogs.commands.flags import (
    as_flags,
    read_feature_files,
    refuse_idle_weights,
    weights_folder,
)
from catsdogs.commands.settings import SUBMISSIONS, Flags, whole_number
from catsdogs.errors import UsageError
from catsdogs.front.places import check_writable


@task("name left right weights_dir", name="a run whose head is twin", left="a photograph", right="another photograph")
def verify(flags: Flags, name: str, left: str, right: str) -> None:
    """Say whether two photographs show the same class, which the run need never have seen."""
    from catsdogs.runs import run_card
    from catsdogs.twins import verification

    folder = SUBMISSIONS / name
    refuse_idle_weights(flags.weights_dir, run_card.read_run(folder).backbones)
    check_writable(folder)
    verdict = verification.verify(folder, Path(left), Path(right), weights_folder(flags))
    say(verdict)
    write(folder / "verify.png", verification.draw_verdict, verdict)
    next_steps(f"fewshot --twin {name}")


@task(
    "backbones new shots repeats twin name seed features data",
    new="the classes to hold out entirely, separated by commas; with --twin all if not given",
    shots="examples of each new class",
    repeats="how many times examples are drawn",
    twin="a run with the head twin, trained on other classes; without it twins learn from the classes that are not new",
    name="what the tables will be called in submissions/",
    seed="of the twins and the examples",
)
def fewshot(flags: Flags, shots: str = "5", repeats: str = "20", name: str = "fewshot") -> None:
    """Classify photographs of new classes from a handful of examples each, beside nearest neighbours."""
    from catsdogs.front.reading import refuse_idle_data
    from catsdogs.networks.choice import split_names
    from catsdogs.twins import fewshot as few_shot

    files = read_feature_files(flags)
    refuse_idle_data(flags.data, files)
    check_writable(SUBMISSIONS)
    classes, seed = split_names(flags.new), flags.number("seed")
    run = SUBMISSIONS / flags.twin if flags.twin else None
    if Path(name).name != name:
        raise UsageError(f"The name {name!r} is not that of a file", "Give --name letters, digits and hyphens")
    counts = whole_number("shots", shots), whole_number("repeats", repeats)
    setup = few_shot.prepare(files, classes, *counts, seed, run)
    accuracies = few_shot.evaluate(setup)
    say(few_shot.format_few_shot(accuracies))
    write(SUBMISSIONS / f"{name}.csv", few_shot.write_few_shot, accuracies)
    if len(files[0].ids["test"]):
        path = SUBMISSIONS / f"{name}-test.csv"
        rows, scaled = few_shot.classify(path, setup)
        wrote(path, f"the test rows, from all labelled examples; rows: {rows:,}")
        say(f"probabilities: scaled {scaled}")
    if not flags.twin:
        next_steps(f"train --head twin --name twins{as_flags(flags, backbones=flags.backbones)}")

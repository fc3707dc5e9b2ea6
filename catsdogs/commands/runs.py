"""Runs on the command line: `train` makes one, `predict` answers with one."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catsdogs import __version__
from catsdogs.commands.console import command_line, next_steps, say, say_left_alone, say_rows, task, wrote
from catsdogs.commands.flags import (
    as_flags,
    read_feature_files,
    read_run_and_files,
    refuse_idle_weights,
    weights_folder,
    with_task,
)
from catsdogs.commands.settings import SUBMISSIONS, Flags, parse_number, whole_number
from catsdogs.errors import FetchError, UsageError
from catsdogs.files import storage
from catsdogs.front.notes import UNREADABLE_FILE
from catsdogs.front.places import check_writable

if TYPE_CHECKING:
    from catsdogs.features.feature_file import Features
    from catsdogs.runs.run_card import Run
    from catsdogs.scoring.training_plan import Plan


@task(
    "name backbones head set folds seed repeats refit pseudo outliers metric groups balance features data competition "
    "repeat track force",
    iterable=("set",),
    balance="rare classes and labels count for as much as frequent ones while the head learns",
    repeats="deals of folds and seeds, whose heads are averaged",
    refit="a head fitted to all rows after the cross-validation answers for the test rows",
    pseudo="a probability, such as 0.99: test rows that all folds give a class with it are learnt as that class",
    repeat="a run to repeat exactly, under the new name; its run.json says how",
    track="tell MLflow of the run: settings, scores, curves and files, at MLFLOW_TRACKING_URI or in mlruns/ here",
)
def train(
    flags: Flags,
    balance: bool = False,
    repeats: str = "1",
    refit: bool = False,
    track: bool = False,
    force: bool = False,
) -> None:
    """Cross-validate a head on cached features and write submissions/<name>/."""
    from catsdogs.front.training import check_run_name, named_after

    if track:
        from catsdogs.runs import tracking

        tracking.check_installed()
    if flags.repeat:
        told = "backbones head set folds seed outliers competition metric groups pseudo"
        if balance or refit or repeats != "1" or any(getattr(flags, name) for name in told.split()):
            raise UsageError("--repeat takes everything from the run", "Leave out the other flags, or --repeat")
        name = flags.name or f"{flags.repeat}-again"
        run = _repeat_run(flags, name, force)
    else:
        name = flags.name or named_after(flags.text("head"))
        check_run_name(name, force)
        files = read_feature_files(flags)
        pseudo = parse_number(float, "pseudo", flags.pseudo or "0", "Give a probability such as 0.99")
        how = {"balance": balance, "repeats": whole_number("repeats", repeats), "refit": refit, "pseudo": pseudo}
        plan = plan_run(flags, files, **how)
        run = train_as_told(flags, files, plan, name, force)
    if track:
        _track(SUBMISSIONS / name)
    named = f"--name {shlex.quote(name)}"
    to = "" if run.competition else " --competition NAME"
    to_upload = [f"submit {named}{to}"] if run.test_rows and not run.protocol else []
    again = as_flags(flags, backbones=",".join(run.backbones), features=run.features)
    next_steps(f"report {named}", *to_upload, f"predict {named} --data FOLDER", f"compare{again}", "status")


@task(
    "name data out explain weights_dir features",
    name="the run: a folder of submissions/, or the path of one elsewhere",
    data="a photograph, a folder or zip of them, or a competition's folder, whose sample submission is answered",
    out="a CSV; predictions.csv in the run's folder if not given",
    explain="write explain/<id>.png beside the CSV, too: what parts of a photograph speak for the answer; of more than "
    "100 photographs for the least certain 100",
)
def predict(flags: Flags, name: str, data: str, explain: bool = False) -> None:
    """Answer for any photographs with a run; in a competition's folder for what the sample there asks, in its form."""
    from catsdogs.front.predicting import cache_below
    from catsdogs.runs import prediction, run_card

    refuse_idle_weights(flags.weights_dir, run_card.read_run(SUBMISSIONS / name).backbones)
    target = Path(flags.out) if flags.out else SUBMISSIONS / name / "predictions.csv"
    weights = weights_folder(flags)
    if target.is_dir():
        raise UsageError(f"--out {target} is a folder", "Give the name of a CSV to write")
    check_writable(target.parent)
    with cache_below(flags.place("features"), bool(flags.features)) as cache:
        maps = target.parent / "explain" if explain else None
        predicted = prediction.predict(SUBMISSIONS / name, storage.place(data), target, cache, weights, maps)
    say_left_alone(predicted.left_alone)
    say_rows(
        [(photograph.id, photograph.reason) for photograph in predicted.unreadable],
        lambda id, reason: f"unreadable, given the class prior: {id} ({reason})",
        target.with_name(f"{target.stem}-{UNREADABLE_FILE}"),
        ("id", "reason"),
    )
    wrote(target, f"{predicted.wanted}, rows: {predicted.rows:,}")
    if maps:
        least = "" if predicted.explained == predicted.rows else ", the least certain"
        wrote(maps, f"what speaks for the answer, photographs: {predicted.explained:,}{least}")
    next_steps(f"serve --name {shlex.quote(name)}")


def plan_run(flags: Flags, files: "Sequence[Features]", **how: Any) -> "Plan":
    """What to train, from flags and settings and from what a person decided about the photographs."""
    from catsdogs.front.training import corrections, plan_of

    decided = corrections(files, flags.place("features"), flags.text("outliers"))
    given = [part for text in flags.set or () for part in text.split(",")]
    folds, seed = flags.number("folds"), flags.number("seed")
    return plan_of(flags.text("head"), given, folds, seed, decided, **how)


def train_as_told(flags: Flags, files: "Sequence[Features]", plan: "Plan", name: str, force: bool = False) -> "Run":
    """Train for the task that flags and settings tell, and write the run."""
    from catsdogs.front.training import train_run

    return train_run(with_task(flags, files), plan, name, data=flags.data, command=command_line(), force=force)


def _track(run_folder: Path) -> None:
    """Tell MLflow of a run. It is whole whatever becomes of that."""
    from catsdogs.runs import tracking

    try:
        tracked = tracking.track(run_folder)
    except FetchError as error:
        say(f"{run_folder} is whole, and not tracked: {error}")
    else:
        say(f"tracked at {tracked.uri} as {tracked.id}")


def _repeat_run(flags: Flags, name: str, force: bool) -> "Run":
    """Train a run again from its `run.json`, on the same rows of the same networks."""
    from catsdogs.front.training import check_run_name
    from catsdogs.runs import run_card

    check_run_name(name, force)
    run, files = read_run_and_files(flags, flags.repeat)
    run_card.rows_of(run, files)  # refuses other ones
    used = run_card.versions() | {"catsdogs": __version__}
    for package, then in (run.versions | {"catsdogs": run.package_version}).items():
        if used.get(package, then) != then:
            say(f"{package} is {used[package]}, and was {then}: the last digits may differ")
    told = flags.but(competition=run.competition, metric=run.task.metric, groups=run.grouped_by)
    return train_as_told(told, files, run_card.plan_of(run), name, force)

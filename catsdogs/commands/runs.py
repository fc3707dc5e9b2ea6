"""Runs on the command line: `train` makes one, `predict` answers with one."""

import contextlib
import re
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from catsdogs import __version__
from catsdogs.commands.competition import with_task
from catsdogs.commands.console import command_line, next_steps, say, say_left_alone, say_rows, task, wrote
from catsdogs.commands.features import UNREADABLE_FILE
from catsdogs.commands.flags import (
    as_flags,
    check_writable,
    find_dataset,
    read_feature_files,
    read_run_and_files,
    refuse_idle_data,
    refuse_idle_weights,
    weights_folder,
)
from catsdogs.commands.settings import SUBMISSIONS, Flags, parse_number, whole_number
from catsdogs.errors import FetchError, TrainingError, UnknownNameError, UsageError, in_short
from catsdogs.files import storage

if TYPE_CHECKING:
    from catsdogs.cleaning.decisions import Corrections
    from catsdogs.features.feature_file import Features
    from catsdogs.photographs.dataset import Dataset
    from catsdogs.runs.run_card import Run
    from catsdogs.scoring.training_plan import Plan

PREDICTION_CACHE = ".predict"


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
        name = flags.name or _named_after(flags.text("head"))
        check_run_name(name, force)
        files = read_feature_files(flags)
        plan = replace(plan_run(flags, files), balance=balance, repeats=whole_number("repeats", repeats), refit=refit)
        if flags.pseudo:
            remedy = "Give a probability such as 0.99"
            plan = replace(plan, pseudo=parse_number(float, "pseudo", flags.pseudo, remedy))
        run = train_run(flags, files, plan, name, force)
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
    from catsdogs.runs import prediction, run_card

    refuse_idle_weights(flags.weights_dir, run_card.read_run(SUBMISSIONS / name).backbones)
    target = Path(flags.out) if flags.out else SUBMISSIONS / name / "predictions.csv"
    folder, weights = flags.place("features"), weights_folder(flags)
    if target.is_dir():
        raise UsageError(f"--out {target} is a folder", "Give the name of a CSV to write")
    check_writable(target.parent)
    with contextlib.ExitStack() as stack:
        # A notebook that is run once has no folder of features, and gets none.
        is_kept = flags.features or storage.exists(folder)
        cache = folder / PREDICTION_CACHE if is_kept else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        check_writable(cache)
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


def check_run_name(name: str, force: bool) -> None:
    """Refuse a run's name that is taken or none, and a folder that cannot be written, before anything is read."""
    from catsdogs.runs import training

    training.target_of(SUBMISSIONS, name, force)
    check_writable(SUBMISSIONS)


def plan_run(flags: Flags, files: "Sequence[Features]", protocol: str = "") -> "Plan":
    """What to train, from flags and settings and from what a person decided about the photographs."""
    from catsdogs import heads
    from catsdogs.scoring import training_plan

    decided = corrections(flags, files)
    given = [part for text in flags.set or () for part in text.split(",")]
    head, settings = heads.settled(heads.canonical(flags.text("head")), given)
    folds, seed = flags.number("folds"), flags.number("seed")
    return training_plan.Plan(head, folds, seed, decided.drop, decided.relabel, settings, protocol)


def _named_after(head: str) -> str:
    """What a run is called if nobody says: `pca-256-logistic` of `pca:256+logistic`, `my_head` of a file of yours."""
    return re.sub(r"[^\w.-]+", "-", Path(head).stem if head.endswith(".py") else head).strip("-")


def corrections(flags: Flags, files: "Sequence[Features]") -> "Corrections":
    """What a person decided about the photographs, as far as it is to be obeyed."""
    from catsdogs.cleaning import decisions

    policy = flags.text("outliers")
    if policy not in decisions.POLICIES:
        raise UnknownNameError("policy for --outliers", policy, list(decisions.POLICIES))
    decided = decisions.corrections(flags.place("features"), files, policy)
    if decided.sentence:
        say(decided.sentence)
    return decided


def train_run(flags: Flags, files: "Sequence[Features]", plan: "Plan", name: str, force: bool = False) -> "Run":
    """Train, write the run, and show it."""
    from catsdogs.runs import training
    from catsdogs.scoring import replay

    files = with_task(flags, files)
    to = files[0].task.competition
    truth, sample = dict[str, str](), None
    if plan.protocol:
        refuse_idle_data(flags.data, files)
        files, truth = replay.hold_out(files, plan.protocol, plan.held_out)
        if copies := replay.copies_learnt(files[0]):
            say(f"{copies:,} of the {len(truth):,} hidden photographs have copies among the others, as in that split")
    elif dataset := find_dataset(flags.data, files[0].source, files[0].task):
        sample = _sample_submission(files, dataset)
    run = training.train(
        files,
        plan,
        submissions=SUBMISSIONS,
        name=name,
        sample_submission=sample,
        truth=truth,
        competition=to,
        command=command_line(),
        force=force,
    )
    _say_run(run, files, plan)
    return run


def _track(run_folder: Path) -> None:
    """Tell MLflow of a run. It is whole whatever becomes of that."""
    from catsdogs.runs import tracking

    try:
        tracked = tracking.track(run_folder)
    except FetchError as error:
        say(f"{run_folder} is whole, and not tracked: {error}")
    else:
        say(f"tracked at {tracked.uri} as {tracked.id}")


def _sample_submission(files: "Sequence[Features]", dataset: "Dataset") -> str | None:
    """The data set's sample submission, unless its labelled photographs were held out to be the test rows."""
    from catsdogs.scoring import replay

    test_rows = (dataset.find("test", id) for id in files[0].ids["test"])
    if not any(row and row.split == "train" for row in test_rows):
        return dataset.sample_submission
    for file in files:
        try:
            replay.refuse_taught(file)
        except TrainingError as error:  # the score out of fold is fair all the same
            say(f"No grade of the test photographs will be honest: {error.problem}")
    return None


def _say_run(run: "Run", files: "Sequence[Features]", plan: "Plan") -> None:
    """What was left out, kept together and scored, and the files of the run."""
    from catsdogs.cleaning import duplicates
    from catsdogs.runs import run_card
    from catsdogs.scoring.training_plan import TrainingRows

    folder = SUBMISSIONS / run.name
    if run.left_out:
        say(f"left out, for no photograph shows them: {len(run.left_out):,} classes ({in_short(run.left_out)})")
    if run.copies:
        several = sum(map(len, run.copies))
        say(f"kept in one fold each: {len(run.copies):,} pictures that occur again, {several:,} photographs")
    if rare := TrainingRows.of(files, plan.drop, plan.relabel, run.copies).rare(run.folds):
        say(rare)
    if plan.copies is None and (why := duplicates.why_not_near(files)):
        say(f"Of copies, only those of the same bytes were looked for: {why}")
    for score in run.scores:
        say(score)
    if run.unreadable:
        say_rows(
            list(run.unreadable.items()),
            lambda id, reason: f"given the class prior, for it cannot be read: test/{id} ({reason})",
            folder / run_card.RUN_FILE,
        )
    for path in sorted(folder.iterdir()):
        wrote(path)


def _repeat_run(flags: Flags, name: str, force: bool) -> "Run":
    """Train a run again from its `run.json`, on the same rows of the same networks."""
    from catsdogs.runs import run_card

    check_run_name(name, force)
    run, files = read_run_and_files(flags, flags.repeat)
    run_card.rows_of(run, files)  # refuses other ones
    used = run_card.versions() | {"catsdogs": __version__}
    for package, then in (run.versions | {"catsdogs": run.package_version}).items():
        if used.get(package, then) != then:
            say(f"{package} is {used[package]}, and was {then}: the last digits may differ")
    told = flags.but(competition=run.competition, metric=run.task.metric, groups=run.grouped_by)
    return train_run(told, files, run_card.plan_of(run), name, force)

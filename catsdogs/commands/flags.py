"""What several commands do: reading flags and settings, extracting, looking for outliers, training, and saying so."""

import contextlib
import os
import shlex
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context

from catsdogs import __version__
from catsdogs.commands import settings
from catsdogs.commands.console import listed, say, wrote
from catsdogs.errors import (
    CatsdogsError,
    StoreError,
    TrainingError,
    UnknownNameError,
    UsageError,
    in_short,
    to_choose_from,
)
from catsdogs.files import storage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from catsdogs.cleaning.decisions import Corrections
    from catsdogs.features.extract import Schedule, Settings
    from catsdogs.features.feature_file import Features
    from catsdogs.photographs.dataset import Dataset
    from catsdogs.runs.run_card import Run
    from catsdogs.scoring.training_plan import Plan

SUBMISSIONS = Path("submissions")
BACKBONES = "networks, separated by commas, your own among them; `lite` is the three embedded EfficientNet-Lites"
DATA = "the photographs: a folder or zip with train/ and test/, a folder per class, a CSV of names and labels, shards"
FEATURES = "the folder of feature files"
NAME = "the run: a folder of submissions/"
COMPETITION = "Kaggle's name of the competition, as in its page's address; if not given, what the data's place tells"
CLASSES = "the classes to take, separated by commas; all if not given"
HOLDOUT = "a share of the labelled photographs, such as 0.15, to be the test rows instead of the data set's own"
DEVICES = "one, or all: every GPU, TPU core or simulated device computes a part of each batch"
WEIGHTS_DIR = "a folder of weights files to look in first (or the environment's CATSDOGS_WEIGHTS)"
TRUTH_FILE = "truth.csv"
UNREADABLE_FILE = "unreadable.csv"
LABEL_ERROR_HEAD = "stack"  # the quickest of the good ones


def setting(c: Context, name: str, given: str | None = None) -> str:
    """A flag as given, else as the settings have it."""
    return settings.value(c.config, name, given)


def number(c: Context, name: str, given: str | None = None) -> int:
    """A flag or setting that is a whole number."""
    return settings.number(name, setting(c, name, given))


def location(c: Context, name: str, given: str | None = None) -> Path:
    """A flag or setting that is a path, or a URL of an object store."""
    return storage.place(setting(c, name, given))


def features_folder(c: Context, given: str | None = None) -> Path:
    """The folder of feature files to look into, which must be there if a flag names it.

    Raises:
        StoreError: it is not.
    """
    folder = location(c, "features", given)
    if given and not storage.exists(folder):
        raise StoreError(f"No such folder of feature files: {folder}", "Check --features")
    return folder


def networks(c: Context, given: str | None) -> list[str]:
    """The networks that a flag or the settings name."""
    from catsdogs.networks.choice import expand

    names = expand(setting(c, "backbones", given))
    if not names:
        raise UsageError("--backbones names no network", "Give names separated by commas, such as lite,Xception")
    return names


def flags(c: Context, **chosen: str | None) -> str:
    """The flags that the next command needs to find the same files, without those that are the default."""
    given = {name: value for name, value in chosen.items() if value and value != setting(c, name)}
    return "".join(f" --{name} {shlex.quote(value)}" for name, value in given.items())


def check_writable(path: Path) -> None:
    """Refuse a file or folder that cannot be written, before the work that would be lost; nothing is made.

    Raises:
        StoreError: it lies below a file, or its folder cannot be written.
    """
    from catsdogs.files.atomic import write_error

    if storage.is_remote(path):
        return
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise write_error(path, error) from None


def check_run_name(name: str, force: bool) -> None:
    """Refuse a run's name that is taken or none, and a folder that cannot be written, before anything is read."""
    from catsdogs.runs import training

    training.target_of(SUBMISSIONS, name, force)
    check_writable(SUBMISSIONS)


def refuse_idle_data(given: str | None, files: "Sequence[Features]") -> None:
    """Refuse --data where only an old notebook's vectors, which know no photographs, would need it.

    Raises:
        UsageError: it is given, and there are none.
    """
    from catsdogs.features import feature_file

    if given and not any(file.recipe.weights == feature_file.UNKNOWN for file in files):
        raise UsageError(
            f"--data {given} would do nothing: {files[0].path} says which photographs its rows are",
            "Leave --data out, or write the features of other photographs with `catsdogs features --data`",
        )


def refuse_idle_votes(files: "Sequence[Features]", k: str | None, votes: str | None, quartiles: bool) -> None:
    """Refuse what `outliers` is told about votes where no network can vote, and about pixels where none are known.

    Raises:
        UsageError: a flag that would do nothing.
    """
    for flag, value, can in (
        ("-k", k, any(file.topk_class for file in files)),
        ("--votes", votes, any(file.topk_class for file in files)),
        ("--quartiles", quartiles, any(file.statistics for file in files)),
    ):
        if value and not can:
            lacking = "statistics of its pictures" if flag == "--quartiles" else "ImageNet labels to vote with"
            raise UsageError(f"{flag} would do nothing: {files[0].path} has no {lacking}", "Leave it out")


def refuse_idle_weights(given: str | None, networks: Iterable[str]) -> None:
    """Refuse --weights-dir where no network would look there.

    Raises:
        UsageError: it is given, and all the networks were trained here.
    """
    from catsdogs.networks import trained

    names = list(networks)
    if given and set(names) <= set(trained.names()):
        why = f"{', '.join(names)} bring their own weights" if names else "there is no run whose networks need weights"
        raise UsageError(f"--weights-dir {given} would do nothing: {why}", "Leave it out")


def extraction_settings(
    c: Context,
    weights_dir: str | None = None,
    engine: str | None = None,
    precision: str | None = None,
    batch_size: str | None = None,
    dtype: str | None = None,
    devices: str = "one",
) -> "Settings":
    """How to extract, from flags, settings and the environment."""
    from catsdogs.features.extract import Settings

    size = setting(c, "batch_size", batch_size)
    return Settings(
        weights_dir=setting(c, "weights_dir", weights_dir) or os.environ.get("CATSDOGS_WEIGHTS") or None,
        engine=setting(c, "engine", engine),
        precision=setting(c, "precision", precision),
        batch_size=settings.number("batch-size", size) if size else None,
        dtype=setting(c, "dtype", dtype),
        devices=devices,
    )


def scan(c: Context, data: str | None, classes: str | None, holdout: str | None) -> "Dataset":
    """The photographs that the flags name."""
    from catsdogs.photographs import dataset

    try:
        share = float(holdout) if holdout else 0.0
    except ValueError:
        raise UsageError(f"--holdout {holdout!r} is not a number", "Give it a share such as 0.15") from None
    chosen = [name.strip() for name in classes.split(",") if name.strip()] if classes else []
    found = dataset.scan(location(c, "data", data), chosen, share, number(c, "seed"))
    say_left_alone(found.left_alone)
    return found


def say_left_alone(names: Sequence[str]) -> None:
    """A line about pictures of kinds that are not read, if there are any."""
    from catsdogs.photographs import filetypes

    if names:
        say(f"left alone: {filetypes.unread(names)}")


@contextlib.contextmanager
def schedule(c: Context, cluster: str | None) -> "Iterator[Schedule | None]":
    """The cluster at an address; None, which is this machine, if none is given."""
    if cluster is None:
        yield None
        return
    try:
        from catsdogs.features.cluster import connected
    except ImportError as error:
        raise UsageError(
            f"--cluster needs Ray Data, which is not installed ({error})", "Install it: pip install 'catsdogs[cluster]'"
        ) from None
    with connected(cluster, number(c, "worker_cores")) as found:
        share = "a GPU" if found.gpus else "a core" if found.cores == 1 else f"{found.cores} cores"
        say(f"Ray: {found.workers:,} workers with {share} each")
        yield found


def extract_features(
    dataset: "Dataset",
    names: Sequence[str],
    folder: Path,
    how: "Settings",
    limit: int | None = None,
    schedule: "Schedule | None" = None,
) -> None:
    """Write feature files, and show what was written and what could not be read."""
    from catsdogs.features import feature_file
    from catsdogs.features.extract import extract

    root = dataset.root
    counts = f"{len(dataset.of('train')):,} train, {len(dataset.of('test')):,} test photographs"
    say(f"{root}: {counts}, classes {to_choose_from(dataset.classes)}")
    for note in dataset.notes:
        say(note)
    summary = extract(dataset, names, folder, how, limit, schedule)
    for note in summary.notes:
        say(note)
    for path in summary.set_aside:
        say(f"damaged, set aside and computed again: {path}")
    say_unreadable(summary.unreadable, folder / UNREADABLE_FILE)
    rows = " + ".join(f"{count:,} {split}" for split, count in summary.rows.items())
    for path, (name, computed) in zip(summary.paths, summary.computed.items(), strict=True):
        recipe = feature_file.recipe_of(path)
        how_made = f"{recipe.engine} {recipe.precision}"
        if summary.written[name]:
            wrote(path, f"{rows} rows, {computed:,} of them computed now, {how_made}")
        else:
            say(f"{path} is up to date  ({rows} rows, {how_made})")
    if dataset.truth:
        from catsdogs.competition import submission

        submission.write_truth(folder / TRUTH_FILE, dataset.truth)
        wrote(folder / TRUTH_FILE, f"the classes of {len(dataset.truth):,} photographs held out to be test rows")
    if summary.unreadable:
        say(f"unreadable: {len(summary.unreadable):,} of {len(dataset.photographs):,} photographs")


def say_unreadable(rows: "Sequence[Sequence[str]]", path: Path, is_written: bool = False) -> None:
    """Name the photographs, (split, id, reason), that are left out; many of them in a file, unless that is written.

    A photograph that a table lists and that is not there is one of them.
    """
    columns = () if is_written else ("split", "id", "reason")
    listed(rows, lambda split, id, reason: f"unreadable, left out: {split}/{id} ({reason})", path, columns)


def read_features(c: Context, folder: Path, backbones: str | None, data: str | None) -> "list[Features]":
    """The feature files of the networks that a flag or the settings name."""
    from catsdogs.features import feature_file, gap_file
    from catsdogs.networks import trained
    from catsdogs.networks.table import BACKBONES, SHORTHANDS
    from catsdogs.photographs.dataset import scan

    files = []
    for name in networks(c, backbones):
        path = feature_file.path_of(folder, name)
        known = (*trained.names(), *SHORTHANDS, *BACKBONES)
        if name not in known and not storage.exists(path):
            raise UnknownNameError(
                "backbone or feature file", name, list(dict.fromkeys((*feature_file.names(folder), *known)))
            )
        old = storage.exists(path) and gap_file.is_gap_file(path)
        files.append(
            gap_file.read_gap_file(path, scan(location(c, "data", data))) if old else feature_file.read_features(path)
        )
    return files


def files_of(c: Context, dataset: "Dataset") -> "list[Features]":
    """The feature files that tell near-copies among these photographs, if there are any; says which."""
    from catsdogs.cleaning import duplicates
    from catsdogs.features import feature_file, gap_file, joining
    from catsdogs.networks.table import BACKBONES

    folder, ids = location(c, "features"), {row.id for row in dataset.of("train")}
    found: list[Features] = []
    for path in (feature_file.path_of(folder, name) for name in BACKBONES):
        with contextlib.suppress(CatsdogsError):  # whatever ails it, the photographs can be learnt from
            if storage.exists(path) and not gap_file.is_gap_file(path):
                file = feature_file.read_features(path)
                joining.check_joinable([*found[:1], file])
                if not duplicates.why_not_near([file]) and not ids.isdisjoint(file.ids["train"]):
                    found.append(file)
    near = f", and near-copies as {', '.join(file.name for file in found)} of {folder} see them" if found else ""
    say(f"Copies of a photograph share a fold: the same bytes{near}")
    return found


def dataset_at(given: str | None, remembered: str) -> "Dataset | None":
    """The photographs at a path given by hand, which must be there; else where a file of ours remembers them.

    None, said aloud, if nothing is there any more.
    """
    from catsdogs.photographs.dataset import scan

    place = storage.place(given or remembered)
    if given or storage.exists(place):
        return scan(place)
    say(f"No photographs at {remembered}: no sample submission to compare with, no thumbnails. Give --data")
    return None


def find_outliers(
    c: Context,
    folder: Path,
    files: "Sequence[Features]",
    data: str | None,
    k: int = 10,
    votes: int = 1,
    quartiles: bool = False,
    everything: bool = False,
) -> bool:
    """Write the table and the contact sheet; whether there are train rows that `--outliers drop` would leave out."""
    from catsdogs.cleaning import contact_sheet, outliers, suspect_table
    from catsdogs.scoring import training_plan

    files = training_plan.occupied(files)
    # Refused before the heads are trained.
    outliers.check_votes(files, k, votes)
    if everything:
        outliers.voters(files)
    check_writable(folder)
    dataset = dataset_at(data, files[0].source)
    suspects = outliers.find_outliers(files, k, votes, quartiles, _out_of_fold(c, files))
    say(outliers.summary(suspects, files))
    suspect_table.write_suspects(folder / suspect_table.OUTLIERS_FILE, suspects)
    wrote(folder / suspect_table.OUTLIERS_FILE)
    if everything:
        outliers.write_topk(folder / outliers.TOPK_FILE, files, k)
        wrote(folder / outliers.TOPK_FILE)
    if dataset:
        contact_sheet.write_contact_sheet(folder / contact_sheet.CONTACT_SHEET_FILE, suspects, dataset)
        wrote(folder / contact_sheet.CONTACT_SHEET_FILE)
    return outliers.about_pets(suspects, files) and bool(outliers.collect_votes(files).unanimous("train").any())


def _out_of_fold(c: Context, files: "Sequence[Features]") -> "NDArray[np.float64] | None":
    """(n_train, classes) what heads say of photographs they never saw; None, said aloud, where none can be trained.

    With as many folds as the smallest class allows. A class of a single picture cannot be judged, nor learnt by who
    judges the others: its photographs count as certain of their label.
    """
    import numpy as np

    from catsdogs.cleaning import duplicates
    from catsdogs.scoring import replay, training_plan

    first = files[0]
    try:
        plan = training_plan.Plan(
            LABEL_ERROR_HEAD, number(c, "folds"), number(c, "seed"), copies=duplicates.find_copies(files)
        )
        alone = training_plan.of_single_pictures(first, plan.copies or ())
        seen = training_plan.occupied(replay.split(files, alone)) if alone else list(files)
        most = training_plan.most_folds(seen, plan)
        if alone or 2 <= most < plan.folds:
            plan = replace(plan, folds=max(2, most))
            beside = f", without {len(alone):,} photographs that are alone in their class" if alone else ""
            say(f"Looked for wrong labels with {plan.folds} folds, as many as the smallest class allows{beside}")
        said = training_plan.out_of_fold(seen, plan).probabilities
    except TrainingError as error:
        say(f"Not looked for wrong labels: {error.problem}")
        return None
    probabilities = np.eye(len(first.classes))[first.labels]
    rows = np.flatnonzero(np.isin(first.ids["train"], seen[0].ids["train"]))
    columns = np.array([first.classes.index(name) for name in seen[0].classes])
    probabilities[np.ix_(rows, columns)] = said
    return probabilities


def plan(
    c: Context,
    folder: Path,
    files: "Sequence[Features]",
    head: str,
    policy: str | None = None,
    folds: str | None = None,
    seed: str | None = None,
    protocol: str = "",
) -> "Plan":
    """What to train, from flags and settings and from what a person decided about the photographs."""
    from catsdogs.scoring import training_plan

    found = corrections(c, folder, files, policy)
    count, start = number(c, "folds", folds), number(c, "seed", seed)
    return training_plan.Plan(head, count, start, found.drop, found.relabel, protocol=protocol)


def corrections(c: Context, folder: Path, files: "Sequence[Features]", policy: str | None) -> "Corrections":
    """What a person decided about the photographs, as far as it is to be obeyed."""
    from catsdogs.cleaning import decisions

    policy = setting(c, "outliers", policy)
    if policy not in decisions.POLICIES:
        raise UnknownNameError("policy for --outliers", policy, list(decisions.POLICIES))
    found = decisions.corrections(folder, files, policy)
    if found.sentence:
        say(found.sentence)
    return found


def competition_of(given: str | None, place: str) -> str:
    """Kaggle's name of a competition: as given, else what the photographs' place tells; empty if it tells nothing."""
    from catsdogs.competition import fetch, kaggle

    return kaggle.name_of(given) if given else fetch.competition_of(place)


def is_the_missions(run: "Run") -> bool:
    """Whether a run is for Dogs vs. Cats Redux, whose scores and medals are known."""
    from catsdogs.competition import kaggle

    return competition_of(run.competition, run.source) == kaggle.COMPETITION


def train(
    files: "Sequence[Features]",
    plan: "Plan",
    name: str,
    data: str | None,
    force: bool = False,
    competition: str | None = None,
) -> "Run":
    """Train, write the run, and show it."""
    from catsdogs.cleaning import duplicates
    from catsdogs.runs import run_card, training
    from catsdogs.scoring import replay

    to = competition_of(competition, data or files[0].source)
    truth = None
    if plan.protocol:
        refuse_idle_data(data, files)
        files, truth = replay.hold_out(files, plan.protocol, plan.held_out)
        if twins := replay.copies_learnt(files[0]):
            say(f"{twins:,} of the {len(truth):,} hidden photographs have copies among the others, as in that split")
    dataset = None if plan.protocol else dataset_at(data, files[0].source)
    if dataset and _is_held_out(files[0], dataset):
        for file in files:
            try:
                replay.refuse_taught(file)
            except TrainingError as error:  # the score out of fold is fair all the same
                say(f"No grade of the test photographs will be honest: {error.problem}")
    run = training.train(
        files,
        plan,
        submissions=SUBMISSIONS,
        name=name,
        sample_submission=_sample_for(files[0], dataset) if dataset else None,
        truth=truth,
        competition=to,
        command=" ".join(["catsdogs", *sys.argv[1:]]),
        force=force,
    )
    if run.left_out:
        say(f"left out, for no photograph shows them: {len(run.left_out):,} classes ({in_short(run.left_out)})")
    if run.copies:
        several = sum(map(len, run.copies))
        say(f"kept in one fold each: {len(run.copies):,} pictures that occur again, {several:,} photographs")
    if plan.copies is None and (why := duplicates.why_not_near(files)):
        say(f"Of copies, only those of the same bytes were looked for: {why}")
    for score in run.scores:
        say(score)
    if run.unreadable:
        listed(
            list(run.unreadable.items()),
            lambda id, reason: f"given the class prior, for it cannot be read: test/{id} ({reason})",
            SUBMISSIONS / name / run_card.RUN_FILE,
        )
    for path in sorted((SUBMISSIONS / name).iterdir()):
        wrote(path)
    return run


def _sample_for(first: "Features", dataset: "Dataset") -> str | None:
    """The data set's sample submission, unless its labelled photographs were held out to be the test rows."""
    return None if _is_held_out(first, dataset) else dataset.sample_submission


def _is_held_out(first: "Features", dataset: "Dataset") -> bool:
    """Whether the test rows are labelled photographs that were held out."""
    found = (dataset.find("test", id) for id in first.ids["test"])
    return any(row and row.split == "train" for row in found)


def run_and_files(c: Context, name: str, features: str | None, data: str | None) -> "tuple[Run, list[Features]]":
    """A run, and the feature files of its networks."""
    from catsdogs.runs import run_card

    run = run_card.read_run(SUBMISSIONS / name)
    return run, read_features(c, storage.place(features or run.features), ",".join(run.backbones), data or run.source)


def repeat(c: Context, repeated: str, name: str, features: str | None, data: str | None, force: bool) -> "Run":
    """Train a run again from its `run.json`, on the same rows of the same networks."""
    from catsdogs.runs import run_card

    check_run_name(name, force)
    run, files = run_and_files(c, repeated, features, data)
    run_card.check_repeatable(run, files)
    used = run_card.versions() | {"catsdogs": __version__}
    for package, then in (run.versions | {"catsdogs": run.package_version}).items():
        if used.get(package, then) != then:
            say(f"{package} is {used[package]}, and was {then}: the last digits may differ")
    return train(files, run_card.plan_of(run), name, data, force, run.competition)


def describe(file: "Features") -> str:
    """A feature file in a line."""
    recipe = file.recipe
    rows = " + ".join(f"{len(ids):,} {split}" for split, ids in file.ids.items())
    unreadable = f", {len(file.unreadable):,} unreadable" if file.unreadable else ""
    return (
        f"{file.path}: {rows} rows x {file.width}{unreadable}, {recipe.engine} {recipe.precision}, "
        f"weights {recipe.weights[:12]}, from {file.source}"
    )

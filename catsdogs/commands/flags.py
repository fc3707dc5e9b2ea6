"""What flags stand for: photographs, networks, feature files, runs; and flags that would do nothing, which are refused.

All of it is checked before the work that would be lost.
"""

import os
import shlex
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from catsdogs.commands.console import say, say_left_alone
from catsdogs.commands.settings import SUBMISSIONS, Flags, optional_number, parse_number, whole_number
from catsdogs.errors import StoreError, UnknownNameError, UsageError
from catsdogs.files import storage

if TYPE_CHECKING:
    from catsdogs.features.extract import Settings
    from catsdogs.features.feature_file import Features
    from catsdogs.photographs.dataset import Dataset
    from catsdogs.photographs.task import Task
    from catsdogs.runs.run_card import Run


def as_flags(flags: Flags, **values: str | None) -> str:
    """The flags that the next command needs to find the same files, without those that are the default."""
    given = {name: value for name, value in values.items() if value and value != flags.setting(name)}
    return "".join(f" --{name} {shlex.quote(value)}" for name, value in given.items())


def check_writable(path: Path) -> None:
    """Refuse a file or folder that cannot be written; nothing is made.

    Raises:
        StoreError: it lies below a file, or its folder cannot be written.
    """
    from catsdogs.files.atomic import write_errors

    if storage.is_remote(path):
        return
    existing = next(place for place in (path, *path.absolute().parents) if place.exists())
    with write_errors(path), tempfile.TemporaryFile(dir=existing):
        pass


def scan_dataset(flags: Flags, is_answered: bool = False) -> "Dataset":
    """The photographs that the flags name; `is_answered` as in `dataset.scan`."""
    from catsdogs.networks.choice import split_names
    from catsdogs.photographs import dataset
    from catsdogs.photographs.recognition import Given

    given = Given(*(flags.text(name) for name in Given._fields))
    share = parse_number(float, "holdout", flags.holdout or "0", "Give it a share such as 0.15")
    seed = whole_number("seed", flags.setting("seed"))
    scanned = dataset.scan(flags.place("data"), split_names(flags.classes), share, seed, given, is_answered)
    say_left_alone(scanned.left_alone)
    return scanned


def find_dataset(given: str | None, remembered: str, task: "Task | None" = None) -> "Dataset | None":
    """The photographs at a path given by hand, which must be there; else where a file of ours remembers them.

    They are read as they were when their `task` was found out. None, said aloud, if nothing is there any more.
    """
    from catsdogs.photographs.dataset import scan
    from catsdogs.photographs.recognition import Given

    place = storage.place(given or remembered)
    if given or storage.exists(place):
        return scan(place, given=Given(**task.given) if task else Given(), is_answered=False)
    say(f"No photographs at {remembered}: no sample submission to compare with, no thumbnails. Give --data")
    return None


def network_names(flags: Flags) -> list[str]:
    """The networks that a flag or the settings name."""
    from catsdogs.networks.choice import expand

    names = expand(flags.text("backbones"))
    if not names:
        raise UsageError("--backbones names no network", "Give names separated by commas, such as lite,Xception")
    return names


def extraction_settings(flags: Flags) -> "Settings":
    """How to extract, from flags, settings and the environment."""
    from catsdogs.features.extract import Settings

    return Settings(
        weights_dir=weights_folder(flags),
        engine=flags.text("engine"),
        precision=flags.text("precision"),
        batch_size=optional_number("batch-size", flags.text("batch_size")),
        dtype=flags.text("dtype"),
        devices=flags.devices or "auto",
    )


def weights_folder(flags: Flags) -> str | None:
    """The folder of weights to look in first, if there is one."""
    return flags.text("weights_dir") or os.environ.get("CATSDOGS_WEIGHTS") or None


def features_folder(flags: Flags) -> Path:
    """The folder of feature files to look into, which must be there if a flag names it.

    Raises:
        StoreError: it is not.
    """
    folder = flags.place("features")
    if flags.features and not storage.exists(folder):
        raise StoreError(f"No such folder of feature files: {folder}", "Check --features")
    return folder


def read_feature_files(flags: Flags) -> "list[Features]":
    """The feature files of the networks that a flag or the settings name, vectors made elsewhere joined to the others.

    Raises:
        UsageError, UnknownNameError: as `network_names`, or two files of vectors would have one name.
        StoreError: as `feature_file.read_features` and `made_elsewhere.take`.
    """
    from catsdogs.features import feature_file
    from catsdogs.networks import trained
    from catsdogs.networks.choice import FILE_PREFIX, file_name, is_pretrained, vectors_path
    from catsdogs.networks.table import BACKBONES, SHORTHANDS
    from catsdogs.photographs.dataset import scan

    found: dict[str, Features] = {}
    folder, names = flags.place("features"), network_names(flags)
    known = (*trained.names(), *SHORTHANDS, *BACKBONES)
    for name in names:
        if vectors_path(name):
            continue
        path = feature_file.path_of(folder, name)
        may_be = is_pretrained(name) or name.startswith(FILE_PREFIX) or name.partition("@")[0] in known
        if not (may_be or storage.exists(path)):
            choice = list(dict.fromkeys((*feature_file.names(folder), *known)))
            raise UnknownNameError("backbone or feature file", name, choice)
        found[name] = feature_file.read_features(path, lambda: scan(flags.place("data"), is_answered=False))
    for name in names:
        if vectors_path(name):
            if other := next((one for one in found if file_name(one) == file_name(name)), ""):
                raise UsageError(f"{other} and {name} would both be called {file_name(name)}", "Rename one of the two")
            found[name] = _made_elsewhere(flags, name, list(found.values()))
    return [found[name] for name in names]


def _made_elsewhere(flags: Flags, name: str, others: "Sequence[Features]") -> "Features":
    """The feature file of vectors made elsewhere, such as `file:vectors.parquet`, joined to the photographs.

    These are the rows of the other networks named; else, without --data, of a feature file that lies there, or of the
    copy that an earlier command kept; else of the data set.
    """
    from catsdogs.features import feature_file, made_elsewhere, vector_table
    from catsdogs.networks.choice import vectors_path

    folder = flags.place("features")
    source, target = storage.place(vectors_path(name)), feature_file.path_of(folder, name)
    vector_table.digest_of(source)  # one that is not there is refused before photographs are read
    rows = next((file for file in others if file.digests), None)
    if not rows and not flags.data:
        paths = (feature_file.path_of(folder, there) for there in feature_file.names(folder))
        rows = next((file for path in paths if (file := _made_here(path))), None) or made_elsewhere.kept(target)
    if rows is None:
        rows = made_elsewhere.rows_of(scan_dataset(flags))
    check_writable(folder)
    taken = made_elsewhere.take(source, target, rows)
    for note in taken.notes:
        say(note)
    return taken.features


def _made_here(path: Path) -> "Features | None":
    """A feature file that a network of this program made; None for another's."""
    from catsdogs.features import feature_file

    if feature_file.is_gap_file(path):
        return None
    file = feature_file.read_features(path)
    return None if file.recipe.is_made_elsewhere else file


def read_run_and_files(flags: Flags, name: str) -> "tuple[Run, list[Features]]":
    """A run, and the feature files of its networks, with the groups by which it was trained."""
    from catsdogs.runs import run_card

    run = run_card.read_run(SUBMISSIONS / name)
    features, data = flags.features or run.features, flags.data or run.source
    files = read_feature_files(flags.but(backbones=",".join(run.backbones), features=features, data=data))
    return run, with_groups(flags.but(groups=run.grouped_by, data=data), files)


def with_groups(flags: Flags, files: "Sequence[Features]") -> "list[Features]":
    """Feature files with the groups that flags and settings name, from the data set if the files do not have them.

    Raises:
        DatasetError: the data set does not have them; see `recognition.Given`.
        StoreError: the data set is gone.
    """
    from catsdogs.features.feature_file import groups_of

    wanted, task = flags.text("groups"), files[0].task
    if not wanted or (wanted == task.given.get("groups") and files[0].groups.size):
        return list(files)
    told = replace(task, given=task.given | {"groups": wanted})
    dataset = find_dataset(flags.data, files[0].source, told)
    if dataset is None:
        raise StoreError(
            f"The groups by {wanted} stand in the data set, and nothing is at {files[0].source}",
            "Give --data its place, or --groups to `catsdogs features`, which keeps them in the feature files",
        )
    return [replace(file, task=told, groups=groups_of(file.ids["train"].tolist(), dataset.groups)) for file in files]


def refuse_idle_data(given: str | None, files: "Sequence[Features]") -> None:
    """Refuse --data where only vectors that know no photographs would need it: an old notebook's, or made elsewhere.

    Raises:
        UsageError: it is given, and there are none.
    """
    from catsdogs.features import feature_file

    takes_it = any(file.recipe.weights == feature_file.UNKNOWN for file in files)
    if given and not takes_it and not all(file.recipe.is_made_elsewhere for file in files):
        raise UsageError(
            f"--data {given} would do nothing: {files[0].path} says which photographs its rows are",
            "Leave --data out, or write the features of other photographs with `catsdogs features --data`",
        )


def refuse_idle_weights(given: str | None, networks: Iterable[str]) -> None:
    """Refuse --weights-dir where no network would look there.

    Raises:
        UsageError: it is given, and all the networks were trained here.
    """
    from catsdogs.networks import trained

    names = [name.partition("@")[0] for name in networks]
    if given and set(names) <= set(trained.names()):
        why = f"{', '.join(names)} bring their own weights" if names else "there is no run whose networks need weights"
        raise UsageError(f"--weights-dir {given} would do nothing: {why}", "Leave it out")

"""What flags stand for: photographs, networks, feature files, runs; and flags that would do nothing, which are refused.

All of it is checked before the work that would be lost.
"""

import os
import shlex
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context

from catsdogs.commands.console import say, say_left_alone
from catsdogs.commands.settings import SUBMISSIONS, location, number, optional_number, setting
from catsdogs.errors import StoreError, UnknownNameError, UsageError
from catsdogs.files import storage

if TYPE_CHECKING:
    from catsdogs.features.extract import Settings
    from catsdogs.features.feature_file import Features
    from catsdogs.photographs.dataset import Dataset
    from catsdogs.runs.run_card import Run


def as_flags(c: Context, **values: str | None) -> str:
    """The flags that the next command needs to find the same files, without those that are the default."""
    given = {name: value for name, value in values.items() if value and value != setting(c, name)}
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


def scan_dataset(c: Context, data: str | None, classes: str | None = None, holdout: str | None = None) -> "Dataset":
    """The photographs that the flags name."""
    from catsdogs.photographs import dataset

    try:
        share = float(holdout) if holdout else 0.0
    except ValueError:
        raise UsageError(f"--holdout {holdout!r} is not a number", "Give it a share such as 0.15") from None
    chosen = [name.strip() for name in classes.split(",") if name.strip()] if classes else []
    scanned = dataset.scan(location(c, "data", data), chosen, share, number(c, "seed"))
    say_left_alone(scanned.left_alone)
    return scanned


def find_dataset(given: str | None, remembered: str) -> "Dataset | None":
    """The photographs at a path given by hand, which must be there; else where a file of ours remembers them.

    None, said aloud, if nothing is there any more.
    """
    from catsdogs.photographs.dataset import scan

    place = storage.place(given or remembered)
    if given or storage.exists(place):
        return scan(place)
    say(f"No photographs at {remembered}: no sample submission to compare with, no thumbnails. Give --data")
    return None


def network_names(c: Context, given: str | None) -> list[str]:
    """The networks that a flag or the settings name."""
    from catsdogs.networks.choice import expand

    names = expand(setting(c, "backbones", given))
    if not names:
        raise UsageError("--backbones names no network", "Give names separated by commas, such as lite,Xception")
    return names


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

    return Settings(
        weights_dir=setting(c, "weights_dir", weights_dir) or os.environ.get("CATSDOGS_WEIGHTS") or None,
        engine=setting(c, "engine", engine),
        precision=setting(c, "precision", precision),
        batch_size=optional_number("batch-size", setting(c, "batch_size", batch_size)),
        dtype=setting(c, "dtype", dtype),
        devices=devices,
    )


def weights_folder(c: Context, given: str | None = None) -> str | None:
    """The folder of weights to look in first, if there is one."""
    return extraction_settings(c, given).weights_dir


def features_folder(c: Context, given: str | None = None) -> Path:
    """The folder of feature files to look into, which must be there if a flag names it.

    Raises:
        StoreError: it is not.
    """
    folder = location(c, "features", given)
    if given and not storage.exists(folder):
        raise StoreError(f"No such folder of feature files: {folder}", "Check --features")
    return folder


def read_feature_files(c: Context, folder: Path, backbones: str | None, data: str | None) -> "list[Features]":
    """The feature files of the networks that a flag or the settings name."""
    from catsdogs.features import feature_file, gap_file
    from catsdogs.networks import trained
    from catsdogs.networks.table import BACKBONES, SHORTHANDS
    from catsdogs.photographs.dataset import scan

    files = []
    for name in network_names(c, backbones):
        path = feature_file.path_of(folder, name)
        known = (*trained.names(), *SHORTHANDS, *BACKBONES)
        if name not in known and not storage.exists(path):
            choice = list(dict.fromkeys((*feature_file.names(folder), *known)))
            raise UnknownNameError("backbone or feature file", name, choice)
        if storage.exists(path) and gap_file.is_gap_file(path):
            files.append(gap_file.read_gap_file(path, scan(location(c, "data", data))))
        else:
            files.append(feature_file.read_features(path))
    return files


def read_run_and_files(c: Context, name: str, features: str | None, data: str | None) -> "tuple[Run, list[Features]]":
    """A run, and the feature files of its networks."""
    from catsdogs.runs import run_card

    run = run_card.read_run(SUBMISSIONS / name)
    folder = storage.place(features or run.features)
    return run, read_feature_files(c, folder, ",".join(run.backbones), data or run.source)


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

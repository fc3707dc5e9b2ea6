"""What flags stand for: photographs, networks, feature files, runs; and flags that would do nothing, which are refused.

All of it is checked before the work that would be lost.
"""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from catsdogs.commands.settings import SUBMISSIONS, Flags, optional_number, parse_number, whole_number
from catsdogs.errors import StoreError, UsageError
from catsdogs.files import storage
from catsdogs.front import places

if TYPE_CHECKING:
    from catsdogs.features.extract import Settings
    from catsdogs.features.feature_file import Features
    from catsdogs.front.reading import Reading
    from catsdogs.photographs.dataset import Dataset
    from catsdogs.runs.run_card import Run


def as_flags(flags: Flags, **values: str | None) -> str:
    """The flags that the next command needs to find the same files, without those that are the default."""
    given = {name: value for name, value in values.items() if value and value != flags.setting(name)}
    return "".join(f" --{name} {shlex.quote(value)}" for name, value in given.items())


def reading(flags: Flags) -> "Reading":
    """How the photographs are to be read, from flags and settings."""
    from catsdogs.front.reading import Reading

    return Reading(
        labels=flags.text("labels"),
        images=flags.text("images"),
        positive=flags.text("positive"),
        kind=flags.text("kind"),
        groups=flags.text("groups"),
        metric=flags.text("metric"),
        competition=flags.text("competition"),
        classes=flags.classes or "",
        holdout=parse_number(float, "holdout", flags.holdout or "0", "Give it a share such as 0.15"),
        seed=whole_number("seed", flags.setting("seed")),
    )


def scan_dataset(flags: Flags) -> "Dataset":
    """The photographs that the flags name, whether or not a sample submission can be answered from them."""
    from catsdogs.front.reading import find

    return find(flags.place("data"), is_answered=False, **reading(flags))


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
    return places.weights_folder(flags.text("weights_dir"))


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
    """The feature files of the networks that a flag or the settings name, those made elsewhere joined."""
    from catsdogs.front.reading import read_files

    names, data = network_names(flags), flags.place("data")
    return read_files(flags.place("features"), names, data, bool(flags.data), **reading(flags))


def read_run_and_files(flags: Flags, name: str) -> "tuple[Run, list[Features]]":
    """A run, and the feature files of its networks, with the groups by which it was trained."""
    from catsdogs.front.runs import files_of
    from catsdogs.runs import run_card

    run = run_card.read_run(SUBMISSIONS / name)
    return run, files_of(run, flags.features, flags.data)


def with_task(flags: Flags, files: "Sequence[Features]") -> "list[Features]":
    """Feature files with the task and groups that flags and settings make of theirs."""
    from catsdogs.front import reading

    return reading.with_task(files, flags.data, *map(flags.text, ("competition", "metric", "groups")))


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

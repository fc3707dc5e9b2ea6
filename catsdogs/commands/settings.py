"""The flags that several commands share: their help texts, and their values where none is given."""

from pathlib import Path
from typing import Any

from invoke import Context

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.files import storage

SECTION = "catsdogs"
SUBMISSIONS = Path("submissions")  # the folder of runs, which no flag changes
HELP = {
    "backbones": "networks, separated by commas, your own among them; `lite` is the three embedded EfficientNet-Lites",
    "classes": "the classes to take, separated by commas; all if not given",
    "competition": "Kaggle's name of the competition, as in its page's address; if not given, what the data's place "
    "tells",
    "data": "the photographs: a folder or zip with train/ and test/, a folder per class, a CSV of names and labels, "
    "TFRecord files",
    "devices": "one, or all: every GPU, TPU core or simulated device computes a part of each batch",
    "features": "the folder of feature files",
    "folds": "folds of the cross-validation",
    "force": "replace a run of the same name",
    "head": "a head of this program, a file my_head.py with the class MyHead, or a classifier of scikit-learn's",
    "holdout": "a share of the labelled photographs, such as 0.15, to be the test rows instead of the data set's own",
    "name": "the run: a folder of submissions/",
    "outliers": "decided: obey decisions.csv; drop: the same, or without it leave out what no network takes for a pet; "
    "keep",
    "seed": "of the folds and the head",
    "weights_dir": "a folder of weights files to look in first (or the environment's CATSDOGS_WEIGHTS)",
}
DEFAULTS = {
    "data": "data/dogs-vs-cats",
    "features": "features",
    "backbones": "ResNet50,InceptionV3,Xception",
    "weights_dir": "",
    "engine": "auto",
    "precision": "auto",
    "batch_size": "",
    "dtype": "float32",
    "head": "blend",
    "folds": "5",
    "seed": "2018",
    "outliers": "decided",
    "worker_cores": "1",
}


def setting(c: Context, name: str, given: str | None = None) -> str:
    """A flag as given, else as it stands in `invoke.yaml` under `catsdogs:`, else the default.

    Raises:
        UsageError, UnknownNameError: the section holds no settings, or a name that is none.
    """
    configured: Any = c.config.get(SECTION) or {}
    if not hasattr(configured, "keys"):
        raise UsageError(f"`{SECTION}:` in invoke.yaml holds {configured!r}", "Write settings below it, as name: value")
    unknown = sorted(set(configured) - set(DEFAULTS))
    if unknown:
        raise UnknownNameError(f"setting under `{SECTION}:` in invoke.yaml", unknown[0], sorted(DEFAULTS))
    value = configured.get(name) if given is None else given
    return str(DEFAULTS[name] if value is None else value)


def number(c: Context, name: str, given: str | None = None) -> int:
    """A flag or setting that is a whole number."""
    return whole_number(name, setting(c, name, given))


def location(c: Context, name: str, given: str | None = None) -> Path:
    """A flag or setting that is a path, or a URL of an object store."""
    return storage.place(setting(c, name, given))


def whole_number(flag: str, text: str) -> int:
    """A flag's text as a number.

    Raises:
        UsageError: it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--{flag} {text!r} is not a number", f"Give --{flag} a whole number") from None


def optional_number(flag: str, text: str | None) -> int | None:
    """A flag's text as a number; None where the flag is not given, or empty."""
    return whole_number(flag, text) if text else None

"""The flags that several commands share: their help texts, and their values where none is given."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from invoke import Context

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.files import storage
from catsdogs.front import defaults

Number = TypeVar("Number", int, float)
SECTION = "catsdogs"
DEFAULTS, SUBMISSIONS = defaults.DEFAULTS, defaults.SUBMISSIONS
HELP = {
    "backbones": "networks, separated by commas, your own among them; `lite` is the three embedded EfficientNet-Lites; "
    "where feature files are read, file:vectors.parquet (or .npz, .h5) is vectors made elsewhere",
    "classes": "the classes to take, separated by commas; all if not given",
    "competition": "Kaggle's name of the competition, as in its page's address; if not given, what the data's place "
    "tells",
    "data": "the photographs: a folder or zip with train/ and test/, a folder per class, a CSV of names and labels, "
    "TFRecord files",
    "devices": "one, or all: every GPU, TPU core or simulated device computes a part of each batch",
    "features": "the folder of feature files",
    "folds": "folds of the cross-validation",
    "force": "replace a run of the same name",
    "head": "a head of this program, lightgbm, xgboost, catboost, a file my_head.py with the class MyHead, an "
    "estimator of scikit-learn's, or steps and one of these, such as pca:256+logistic",
    "images": "the folder of the photographs, where several hold them, as seen from the data",
    "labels": "the table of labels, where several could be it; after a colon, its column: train.csv:breed",
    "kind": "what is to be predicted, where the files do not tell: binary, classes, labels, ordinal or number",
    "groups": "what photographs hang together by, such as patient_id: a column of a table, folder, or folder:2",
    "metric": "what answers are scored by, such as auc or f1-macro; if not given, what is known of the competition, "
    "else what suits the answer",
    "positive": "the classes, separated by commas, of whose joint probability one number is asked for",
    "holdout": "a share of the labelled photographs, such as 0.15, to be the test rows instead of the data set's own",
    "name": "the run: a folder of submissions/",
    "outliers": "decided: obey decisions.csv; drop: the same, or without it leave out what no network takes for a pet; "
    "keep",
    "set": "a setting of the head, such as C=0.1; several separated by commas, or give the flag again",
    "seed": "of the folds and the head",
    "weights_dir": "a folder of weights files to look in first (or the environment's CATSDOGS_WEIGHTS)",
}


class Flags(SimpleNamespace):
    """The flags of a command: attributes as they were given, methods as `invoke.yaml` and the defaults complete them.

    An attribute is None for a flag that is not given and has no default of its own, or that the command does not have.
    """

    def __init__(self, c: Context, **given: Any) -> None:
        super().__init__(**dict.fromkeys(HELP) | {"c": c} | given)

    def but(self, **others: Any) -> "Flags":
        """The same flags, with others in place of some."""
        return Flags(**vars(self) | others)

    def setting(self, name: str) -> str:
        """A setting as it stands in `invoke.yaml` under `catsdogs:`, else the default, whatever flags are given.

        Raises:
            UsageError, UnknownNameError: the section holds no settings, or a name that is none.
        """
        configured: Any = self.c.config.get(SECTION) or {}
        if not hasattr(configured, "keys"):
            raise UsageError(
                f"`{SECTION}:` in invoke.yaml holds {configured!r}", "Write settings below it, as name: value"
            )
        unknown = sorted(set(configured) - set(DEFAULTS))
        if unknown:
            raise UnknownNameError(f"setting under `{SECTION}:` in invoke.yaml", unknown[0], sorted(DEFAULTS))
        value = configured.get(name)
        return str(DEFAULTS[name] if value is None else value)

    def text(self, name: str) -> str:
        """A flag as given, else the setting of that name."""
        setting, given = self.setting(name), getattr(self, name, None)
        return setting if given is None else str(given)

    def number(self, name: str) -> int:
        """A flag or setting that is a whole number."""
        return whole_number(name, self.text(name))

    def place(self, name: str) -> Path:
        """A flag or setting that is a path, or a URL of an object store."""
        return storage.place(self.text(name))


def parse_number(kind: Callable[[str], Number], flag: str, text: str, remedy: str) -> Number:
    """A flag's text as an `int` or a `float`.

    Raises:
        UsageError: it is none.
    """
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"--{flag} {text!r} is not a number", remedy) from None


def whole_number(flag: str, text: str) -> int:
    """A flag's text as a whole number; raises as `parse_number`."""
    return parse_number(int, flag, text, f"Give --{flag} a whole number")


def optional_number(flag: str, text: str | None) -> int | None:
    """A flag's text as a number; None where the flag is not given, or empty."""
    return whole_number(flag, text) if text else None

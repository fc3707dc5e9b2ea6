"""What a flag means when it is not given: invoke's configuration, then the default."""

from collections.abc import Mapping
from typing import Any

from catsdogs.errors import UnknownNameError, UsageError

SECTION = "catsdogs"
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


def value(configuration: Mapping[str, object], name: str, given: str | None = None) -> str:
    """A flag as given, else as it stands in `invoke.yaml` under `catsdogs:`, else the default.

    Raises:
        UsageError, UnknownNameError: the section holds no settings, or a name that is none.
    """
    configured: Any = configuration.get(SECTION) or {}
    if not hasattr(configured, "keys"):
        raise UsageError(f"`{SECTION}:` in invoke.yaml holds {configured!r}", "Write settings below it, as name: value")
    unknown = sorted(set(configured) - set(DEFAULTS))
    if unknown:
        raise UnknownNameError(f"setting under `{SECTION}:` in invoke.yaml", unknown[0], sorted(DEFAULTS))
    found = configured.get(name) if given is None else given
    return str(DEFAULTS[name] if found is None else found)


def number(flag: str, text: str) -> int:
    """A whole number.

    Raises:
        UsageError: it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--{flag} {text!r} is not a number", f"Give --{flag} a whole number") from None

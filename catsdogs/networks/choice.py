"""Chosen networks: from names, shorthands among them, to rows of the table."""

from collections.abc import Sequence

from catsdogs.errors import UnknownNameError
from catsdogs.networks.table import BACKBONES, SHORTHANDS, Backbone


def split_names(text: str | None) -> list[str]:
    """The names in a text such as `lite, Xception`, without what is empty between commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def expand(text: str) -> list[str]:
    """The names that a text such as `lite,Xception` stands for, in order, each once."""
    return list(dict.fromkeys(full for name in split_names(text) for full in SHORTHANDS.get(name, (name,))))


def choose(names: Sequence[str]) -> list[Backbone]:
    """The rows of the table for these names; networks trained in this working folder have rows too.

    Raises:
        UnknownNameError: a name that is not in the table, or none at all.
        WeightsError: a trained network whose card is damaged.
    """
    from catsdogs.networks import trained

    trained_here = trained.names()
    unknown = next((name for name in names if name not in (*BACKBONES, *trained_here)), None if names else "")
    if unknown is not None:
        raise UnknownNameError("backbone", unknown, [*trained_here, *SHORTHANDS, *BACKBONES])
    return [BACKBONES[name] if name in BACKBONES else trained.row(trained.FOLDER / name) for name in names]

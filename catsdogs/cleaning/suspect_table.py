"""Suspects: photographs with reasons against them, found and kept in outliers.csv, read back, and shown to a person."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from catsdogs.errors import StoreError
from catsdogs.features import feature_file
from catsdogs.features.feature_file import Features
from catsdogs.files import tables

OUTLIERS_FILE = "outliers.csv"
SUSPECT_COLUMNS = ("split", "id", "label", "score", "votes", "networks", "labels", "reasons")
_REMEDY = "Make it again with `catsdogs outliers`"
# What separates two networks, and two reasons, is followed by a name or kind and a colon; the same inside an id is not.
_NEXT = re.compile(r"; (?=[^;:,]+: )")

Place = tuple[str, int]  # split and row


class Reason(NamedTuple):
    """One reason against a photograph.

    Attributes:
        score: how strong, in [0, 1]; nan once read back, for the table holds the score of all reasons together.
        text: `kind: details`.
    """

    score: float
    text: str

    @property
    def kind(self) -> str:
        """`no pet`, `far from all others`, `label error`, `number far off`, `duplicate`, `two labels`, `small`, …"""
        return self.text.split(":", 1)[0]


Doubt = tuple[Place, Reason]


class Suspect(NamedTuple):
    """A photograph with at least one reason against it: a row of the table.

    Attributes:
        label: name of its class, empty for a test row.
        score: the probability that a person would drop or relabel it, in [0, 1], see `belief.rank`.
        votes: how many networks see no pet, of the `networks` that vote on it: 0 of 0 where a vote would tell nothing.
        labels: network -> its best labels in words, such as `tabby 0.81, Egyptian cat 0.10`.
        reasons: strongest first.
    """

    split: str
    id: str
    label: str
    score: float
    votes: int
    networks: int
    labels: Mapping[str, str]
    reasons: tuple[Reason, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the reasons."""
        return tuple(reason.kind for reason in self.reasons)


def joint_score(reasons: Iterable[Reason]) -> float:
    """1 - Π(1 - score of a reason), in [0, 1]: reasons add up as independent doubts, none takes away."""
    return 1.0 - math.prod(1.0 - reason.score for reason in reasons)


def places(file: Features) -> list[Place]:
    """All rows of a file, its splits one after the other."""
    return [(split, row) for split in feature_file.SPLITS for row in range(len(file.ids[split]))]


def label_of(file: Features, place: Place) -> str:
    """The name of a row's class, empty for a test row."""
    split, row = place
    return file.classes[file.labels[row]] if split == "train" else ""


def write_suspects(path: Path, suspects: Sequence[Suspect]) -> None:
    """The table of suspects in the order given, with `SUSPECT_COLUMNS`.

    Raises:
        StoreError: it cannot be written.
    """
    rows = []
    for suspect in suspects:
        labels = "; ".join(f"{name}: {best}" for name, best in suspect.labels.items())
        reasons = "; ".join(reason.text for reason in suspect.reasons)
        split, id, label, score, votes, networks, *_ = suspect
        rows.append((split, id, label, f"{score:.4f}", votes, networks, labels, reasons))
    tables.write_table(path, SUSPECT_COLUMNS, rows)


def read_suspects(path: Path) -> list[Suspect]:
    """The rows of `outliers.csv` in their order, the most doubtful first.

    Raises:
        StoreError: not there, no such table, or a row that cannot have been written by `write_suspects`.
    """
    header, rows = tables.read_table(path, _REMEDY, StoreError)
    if tuple(header) != SUSPECT_COLUMNS:
        raise StoreError(f"{path}, row 1 has the columns {tables.in_line(header)}", _REMEDY)
    suspects = []
    for number, row in enumerate(rows, start=2):
        try:
            suspects.append(_suspect(row))
        except ValueError as error:
            raise StoreError(f"{path}, row {number} is damaged: {error}", _REMEDY) from None
    keys = [(suspect.split, suspect.id) for suspect in suspects]
    if len(set(keys)) < len(keys):
        raise StoreError(f"{path} lists a photograph twice", _REMEDY)
    return suspects


def _suspect(row: Sequence[str]) -> Suspect:
    if len(row) != len(SUSPECT_COLUMNS):
        raise ValueError(f"{len(row)} cells, not {len(SUSPECT_COLUMNS)}")
    split, id, label, score, votes, networks, labels, reasons = row
    suspect = Suspect(
        split=split,
        id=id,
        label=label,
        score=float(score),
        votes=int(votes),
        networks=int(networks),
        labels=dict(_name_and_text(part) for part in _NEXT.split(labels) if part),
        reasons=tuple(Reason(math.nan, part) for part in _NEXT.split(reasons) if _name_and_text(part)),
    )
    for is_wrong, what in (
        (split not in feature_file.SPLITS, f"the split {split!r}"),
        (not id, "no id"),
        ("\0" in "".join(row), "zeros inside a line"),
        (not 0 <= suspect.score <= 1, f"the score {score}"),
        (not 0 <= suspect.votes <= suspect.networks, f"{votes} votes of {networks}"),
    ):
        if is_wrong:
            raise ValueError(what)
    return suspect


def _name_and_text(part: str) -> tuple[str, str]:
    name, colon, text = part.partition(": ")
    if not colon:
        raise ValueError(f"{part!r} has no name before a colon")
    return name, text

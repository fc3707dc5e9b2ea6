"""The table of suspects read back: outliers.csv as `outliers.write_csv` wrote it, for who shows it to a person."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from catsdogs.errors import StoreError
from catsdogs.features import feature_file
from catsdogs.files import tables
from catsdogs.files.atomic import replacing
from catsdogs.files.tables import NoTableError

if TYPE_CHECKING:
    from catsdogs.cleaning import outliers

_REMEDY = "Make it again with `catsdogs outliers`"
# What separates two networks, and two reasons, is followed by a name or kind and a colon; the same inside an id is not.
_NEXT = re.compile(r"; (?=[^;:,]+: )")


OUTLIERS_FILE = "outliers.csv"
COLUMNS = ("split", "id", "label", "score", "votes", "networks", "labels", "reasons")
SHOWN_LABELS = 3  # of each network in the table of suspects; `write_everything` has all


class Suspect(NamedTuple):
    """A row of the table.

    Attributes:
        label: name of its class, empty for a test row.
        score: how doubtful, from 0 to 1.
        votes: how many networks see no pet, of the `networks` that could vote.
        labels: network -> its best labels in words, such as `tabby 0.81, Egyptian cat 0.10`.
        reasons: strongest first, each as `kind: text`.
    """

    split: str
    id: str
    label: str
    score: float
    votes: int
    networks: int
    labels: dict[str, str]
    reasons: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the reasons, see `outliers.Reason.kind`."""
        return tuple(reason.split(":", 1)[0] for reason in self.reasons)


def read_suspects(path: Path) -> list[Suspect]:
    """The rows of `outliers.csv` in their order, the most doubtful first.

    Raises:
        StoreError: not there, no such table, or a row that cannot have been written by `outliers.write_csv`.
    """
    try:
        rows = tables.cells(path.read_bytes().decode("utf-8-sig")).rows
    except (OSError, UnicodeDecodeError, NoTableError) as error:
        raise StoreError(f"{path} cannot be read: {error}", _REMEDY) from None
    if not rows or tuple(rows[0]) != COLUMNS:
        columns = ", ".join(rows[0]) if rows else ""
        raise StoreError(f"{path}, row 1 has the columns {columns or '(none)'}", _REMEDY)
    suspects = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            suspects.append(_suspect(row))
        except ValueError as error:
            raise StoreError(f"{path}, row {number} is damaged: {error}", _REMEDY) from None
    keys = [(suspect.split, suspect.id) for suspect in suspects]
    if len(set(keys)) < len(keys):
        raise StoreError(f"{path} lists a photograph twice", _REMEDY)
    return suspects


def _suspect(row: Sequence[str]) -> Suspect:
    if len(row) != len(COLUMNS):
        raise ValueError(f"{len(row)} cells, not {len(COLUMNS)}")
    split, id, label, score, votes, networks, labels, reasons = row
    suspect = Suspect(
        split=split,
        id=id,
        label=label,
        score=float(score),
        votes=int(votes),
        networks=int(networks),
        labels=dict(_named(part) for part in _NEXT.split(labels) if part),
        reasons=tuple(part for part in _NEXT.split(reasons) if _named(part)),
    )
    for wrong, what in (
        (split not in feature_file.SPLITS, f"the split {split!r}"),
        (not id, "no id"),
        (not 0 <= suspect.score <= 1, f"the score {score}"),
        (not 0 <= suspect.votes <= suspect.networks, f"{votes} votes of {networks}"),
    ):
        if wrong:
            raise ValueError(what)
    return suspect


def _named(part: str) -> tuple[str, str]:
    name, colon, text = part.partition(": ")
    if not colon:
        raise ValueError(f"{part!r} has no name before a colon")
    return name, text


class Reason(NamedTuple):
    """One ground for doubt: how strong, in [0, 1], and a text whose words before the colon name its kind."""

    score: float
    text: str

    @property
    def kind(self) -> str:
        """`no pet`, `label error`, `duplicate`, `near-duplicate`, `two labels`, `small`, `near-uniform`, …"""
        return self.text.split(":", 1)[0]


def labels_in_words(labels: Sequence[tuple[str, float]]) -> str:
    """`tabby 0.81, Egyptian cat 0.10`."""
    return ", ".join(f"{label} {probability:.2f}" for label, probability in labels)


def write_suspects(path: Path, suspects: "Sequence[outliers.Suspect]") -> None:
    """The table of suspects in the order given, with `COLUMNS`; each network's best labels in words."""
    with _table(path, COLUMNS) as table:
        for suspect in suspects:
            labels = "; ".join(f"{name}: {labels_in_words(top[:SHOWN_LABELS])}" for name, top in suspect.labels.items())
            reasons = "; ".join(reason.text for reason in suspect.reasons)
            row = (suspect.split, suspect.id, suspect.label, f"{suspect.score:.4f}", suspect.votes, suspect.networks)
            table.writerow((*row, labels, reasons))


@contextlib.contextmanager
def _table(path: Path, columns: Sequence[str]) -> Iterator[tables.Writer]:
    """The writer of a new table that already has its header."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as text:
        table = tables.Writer(text)
        table.writerow(columns)
        yield table

"""What a person decided about suspects, and which training rows are left out because of it."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from catsdogs import outliers
from catsdogs.errors import StoreError, TrainingError
from catsdogs.store import Features

TABLE = "decisions.csv"
COLUMNS = ("id", "decision", "label", "when")
KEEP, DROP, RELABEL = "keep", "drop", "relabel"


class Decision(NamedTuple):
    """One train row: keep it, drop it, or relabel it as the class `label`; `when` is the time, as it was written."""

    id: str
    decision: str
    label: str
    when: str


class Drops(NamedTuple):
    """The train ids to leave out, and a sentence that says how many, why, and where they are listed."""

    ids: frozenset[str]
    sentence: str


def read(path: Path) -> dict[str, Decision]:
    """Train id -> the last decision about it in `decisions.csv`; `label` and `when` may be missing or empty.

    Raises:
        StoreError: not a table with an id and a decision, or a row without an id, with another word than keep, drop
            or relabel, or that relabels as nothing.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            rows = list(csv.reader(text))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"{path} cannot be read: {error}", "Save it as CSV in UTF-8") from None
    header = [column.strip().lower() for column in rows[0]] if rows else []
    if not {"id", "decision"} <= set(header):
        raise StoreError(
            f"{path}, row 1 has the columns {', '.join(header) or '(none)'}",
            f"Its first line must be {','.join(COLUMNS)}",
        )
    decisions = {}
    for number, row in enumerate(rows[1:], start=2):
        if any(cell.strip() for cell in row):
            named = dict.fromkeys(COLUMNS, "") | dict(zip(header, map(str.strip, row), strict=False))
            decision = Decision(named["id"], named["decision"].lower(), named["label"], named["when"])
            _check(decision, f"{path}, row {number}")
            decisions[decision.id] = decision
    return decisions


def rows_to_drop(folder: Path, files: Sequence[Features]) -> Drops:
    """What `train --outliers drop` leaves out; never a test row.

    A person's word counts most: where the folder holds `decisions.csv`, the rows it drops and no others. Otherwise the
    train rows in which every network that can vote has no pet among its top 10 labels. They are counted anew from the
    feature files, because an `outliers.csv` may be older than these, or made with another `-k`.

    Raises:
        StoreError: a bad row in `decisions.csv`; or there is none, and no file has labels to vote with.
        TrainingError: the votes drop more than half of the train rows, so that they tell nothing.
    """
    path = folder / TABLE
    rows = len(files[0].labels)
    listed = "the column dropped of the run's oof.csv marks them"
    if path.exists():
        decided = read(path).values()
        dropped = {decision.id for decision in decided if decision.decision == DROP}
        present = dropped & set(files[0].ids["train"].tolist())
        absent = f" ({len(dropped - present):,} more are not among the train rows)" if dropped - present else ""
        relabelled = sum(decision.decision == RELABEL for decision in decided)
        unapplied = f"; {relabelled:,} rows to {RELABEL} are left as they are" if relabelled else ""
        sentence = f"Left out: {len(present):,} of {rows:,} train rows, which {path} drops{absent}; {listed}{unapplied}"
        return Drops(frozenset(present), sentence)
    ballots = outliers.collect(files)
    networks = len(ballots.names)
    unanimous = np.flatnonzero(ballots.votes("train") == networks)
    if 2 * len(unanimous) > rows:
        raise TrainingError(
            f"No network sees a pet in {len(unanimous):,} of {rows:,} train rows, so these are not of cats and dogs",
            f"Train with --outliers keep, or name the rows to drop in {path}",
        )
    table = folder / outliers.TABLE
    return Drops(
        frozenset(ballots.first.ids["train"][unanimous].tolist()),
        f"Left out: {len(unanimous):,} of {rows:,} train rows, in which {networks} of {networks} networks see no pet; "
        f"{listed}" + (f", suspects and reasons are in {table}" if table.exists() else ""),
    )


def _check(decision: Decision, place: str) -> None:
    if not decision.id:
        raise StoreError(f"{place} has no id", "Complete or remove the row")
    if decision.decision not in (KEEP, DROP, RELABEL):
        raise StoreError(f"{place} decides {decision.decision!r}", f"Write {KEEP}, {DROP} or {RELABEL}")
    if decision.decision == RELABEL and not decision.label:
        raise StoreError(f"{place} relabels {decision.id} as nothing", "Put the class into the column label")

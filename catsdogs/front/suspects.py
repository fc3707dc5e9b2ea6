"""Suspects: the photographs that a person should look at; `outliers` finds and lists them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning import contact_sheet, decisions, duplicates, suspect_table
from catsdogs.cleaning import outliers as finding
from catsdogs.cleaning.duplicates import Pairs
from catsdogs.cleaning.suspect_table import Suspect
from catsdogs.cleaning.votes import TOPK_FILE, check_votes, collect_votes, voters, write_topk
from catsdogs.errors import TrainingError, UsageError
from catsdogs.features import feature_file
from catsdogs.files.notebook import MOST_ROWS, Picture, as_html
from catsdogs.front.arguments import checked
from catsdogs.front.defaults import FOLDS, SEED
from catsdogs.front.notes import note, write
from catsdogs.front.places import check_writable
from catsdogs.front.reading import find_again
from catsdogs.front.vectors import Features
from catsdogs.scoring import quick_head, training_plan

# The quick head is less sure of what lies far from its class: with 80 of 1,600 labels exchanged it finds 74 of them
# from this score on and lists 79 rows in all, where `stack` finds 76 from 0.8 on and lists 88.
QUICK_DOUBT = 0.6
LABELS_READ, VOTES_NEEDED = 10, 1
_Files = Sequence[feature_file.Features]


class Suspects(Sequence[Suspect]):
    """Photographs with reasons against them, the most doubtful first.

    A notebook shows them as a table, and below it their contact sheet.

    Attributes:
        would_drop: whether there are rows to learn from that `train(outliers="drop")` would leave out.

    >>> import catsdogs as cd
    >>> found = cd.outliers(cd.load("features"), folds=2)
    >>> len(found) == len([suspect.id for suspect in found])
    True
    """

    def __init__(self, rows: Sequence[Suspect], would_drop: bool, sheet: Path | None = None) -> None:
        """`sheet` is where their contact sheet was drawn."""
        self._rows, self.would_drop = tuple(rows), would_drop
        self._picture = Picture(sheet, "the contact sheet of the suspects") if sheet else None

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Suspect]:
        return iter(self._rows)

    @overload
    def __getitem__(self, index: int) -> Suspect: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Suspect]: ...
    def __getitem__(self, index: int | slice) -> Suspect | Sequence[Suspect]:
        return self._rows[index]

    def __repr__(self) -> str:
        return f"<Suspects: {len(self):,} photographs>"

    def _repr_html_(self) -> str:
        lines = [
            (one.split, one.id, one.label, f"{one.score:.2f}", "; ".join(reason.text for reason in one.reasons))
            for one in self[:MOST_ROWS]
        ]
        caption = f"{len(self):,} suspects, the most doubtful first"
        columns = ("split", "id", "label", "score", "reasons")
        return as_html(columns, lines, caption, count=len(self), picture=self._picture)


@checked()
def outliers(
    features: Features,
    *,
    k: int | None = None,
    votes: int | None = None,
    quartiles: bool = False,
    folds: int = FOLDS,
    seed: int = SEED,
    data: str | Path | None = None,
) -> Suspects:
    """Find photographs that show no pet, whose label is doubted, that occur twice, and other oddities.

    They are listed, as `catsdogs outliers` lists them, in outliers.csv beside the feature files, with a contact sheet.

    Args:
        features: what `load` or `extract` returns.
        k: how many of a network's best labels to look through for a pet, 1 to 10; 10 if not given.
        votes: how many networks must see no pet; 1 if not given.
        quartiles: also list photographs far outside the quartiles of size, shape, contrast and colours.
        folds, seed: of the heads by which labels are doubted.
        data: where the photographs are, if not where the features remember them.

    Raises:
        UsageError: something given that would do nothing, or cannot be.
        StoreError: the files hold different rows, are damaged, or the list cannot be written.

    >>> import catsdogs as cd
    >>> found = cd.outliers(cd.load("features"), folds=2)
    >>> all(0 <= suspect.score <= 1 and suspect.reasons for suspect in found)
    True
    """
    folder, place = features.folder, str(data) if data else None
    return list_suspects(features.files, folder, k, votes, quartiles, False, place, folds, seed)


def list_suspects(
    files: _Files,
    folder: Path,
    k: int | None,
    votes: int | None,
    quartiles: bool,
    every_label: bool,
    data: str | None,
    folds: int,
    seed: int,
) -> Suspects:
    """Find suspects, and write the table and the contact sheet; with `every_label` those of all photographs, too."""
    _refuse_idle(files, k, votes, quartiles)
    k, votes = LABELS_READ if k is None else k, VOTES_NEEDED if votes is None else votes
    decided = decisions.corrected_ids(folder / decisions.DECISIONS_FILE, files[0])
    files = training_plan.occupied(files)
    # Refused before the heads are trained.
    check_votes(files, k, votes)
    if every_label:
        voters(files)
    check_writable(folder)
    dataset = find_again(data, files[0].source, files[0].task)
    crowd = duplicates.crowd_of(files, files[0])
    pairs = duplicates.find_pairs(files, files[0], crowd=crowd)
    predictions = _out_of_fold(files, pairs, folds, seed)
    suspects = finding.find_outliers(files, k, votes, quartiles, predictions, pairs, crowd, QUICK_DOUBT, decided)
    note(finding.summary(suspects, files))
    write(folder / suspect_table.OUTLIERS_FILE, suspect_table.write_suspects, suspects)
    if every_label:
        write(folder / TOPK_FILE, write_topk, files, k)
    sheet = folder / contact_sheet.CONTACT_SHEET_FILE if dataset else None
    if sheet:
        write(sheet, contact_sheet.write_contact_sheet, suspects, dataset)
    would_drop = finding.about_pets(suspects, files) and bool(collect_votes(files).unanimous("train").any())
    return Suspects(suspects, would_drop, sheet)


def _out_of_fold(files: _Files, pairs: Pairs, folds: int, seed: int) -> NDArray[np.float64] | None:
    """(n_train, columns) predictions out of fold; None, with a note, where no head can be trained."""
    try:
        copies = duplicates.find_copies(files, pairs)
        head, rows = quick_head.of_files(files, copies, folds, seed)
        return head.out_of_fold(quick_head.targets_of(rows))
    except TrainingError as error:
        note(f"Not looked for wrong labels: {error.problem}")
        return None


def _refuse_idle(files: _Files, k: int | None, votes: int | None, quartiles: bool) -> None:
    """Refuse what is about votes where no network can or may vote, and about pixels where none are known.

    Raises:
        UsageError: something given that would do nothing.
    """
    has_labels = any(file.topk_class for file in files)
    given_k, given_votes = k is not None, votes is not None
    if (given_k or given_votes) and not files[0].task.has_classes:
        raise UsageError(
            f"{'-k' if given_k else '--votes'} would do nothing: networks vote on classes of pets, and "
            f"{files[0].path} has other labels",
            "Leave it out",
        )
    for flag, value, can, lacking in (
        ("-k", given_k, has_labels, "ImageNet labels to vote with"),
        ("--votes", given_votes, has_labels, "ImageNet labels to vote with"),
        ("--quartiles", quartiles, any(file.statistics for file in files), "statistics of its pictures"),
    ):
        if value and not can:
            raise UsageError(f"{flag} would do nothing: {files[0].path} has no {lacking}", "Leave it out")

"""What a report rests on: a run, its out-of-fold and its test probabilities, and what is said against photographs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray

from catsdogs import calibration, comparison, decisions, out_of_fold, outliers, runs, submission, training
from catsdogs.comparison import Entry
from catsdogs.decisions import Decision
from catsdogs.errors import SubmissionError, TrainingError
from catsdogs.listing import in_short
from catsdogs.names import Names
from catsdogs.outliers import Ballots, Suspect
from catsdogs.runs import Run
from catsdogs.store import Features


@dataclass(frozen=True)
class Evidence:
    """All that is known of a run; train and test rows are in the order of `first`.

    Attributes:
        files: the feature files of the run's networks; for a run with a protocol, the views it was trained on.
        raw: (n_train, classes) out-of-fold probabilities as the heads gave them.
        calibrated: the same, each fold calibrated on the others, as the run's first out-of-fold score has them.
        losses: (n_train,) of `calibrated` and the labels as given.
        tested: (n_test, classes) as submitted.
        suspects: most doubtful first; votes for `no pet` count only where `about_pets`.
        ballots: the ImageNet labels, None where no network has a classifier.
    """

    run: Run
    files: tuple[Features, ...]
    raw: NDArray[np.float64]
    calibrated: NDArray[np.float64]
    losses: NDArray[np.float64]
    tested: NDArray[np.float64]
    suspects: list[Suspect]
    about_pets: bool
    ballots: Ballots | None
    decided: dict[str, Decision]

    @property
    def first(self) -> Features:
        """The file whose rows, in their order, all others are matched to."""
        return self.files[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.run.classes

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n_train,) the classes given."""
        return self.first.labels


class Compared(NamedTuple):
    """The table of heads, on how many rows, folds and repeats, and the time (seconds since 1970) it was written."""

    entries: list[Entry]
    rows: int
    folds: int
    repeats: int
    written: float


def collect(folder: Path, files: Sequence[Features]) -> Evidence:
    """Read a run and all that is needed to judge it; nothing is trained.

    Raises:
        UnknownNameError: no such run.
        StoreError: the files are not those of the run, or `decisions.csv` is damaged.
        TrainingError, SubmissionError: a file of the run is damaged.
    """
    run = runs.read_run(folder)
    training.check_repeatable(run, files)
    files = training.rows_of(run, files)
    first = files[0]
    raw, fold = out_of_fold.read(folder, run, first)
    calibrated = calibration.cross_fitted(raw, first.labels, fold)
    table = first.path.parent / decisions.TABLE
    suspects = outliers.find(files, out_of_fold=raw)
    about_pets = outliers.about_pets(suspects, files)
    return Evidence(
        run=run,
        files=tuple(files),
        raw=raw,
        calibrated=calibrated,
        losses=submission.log_losses(calibrated, first.labels),
        tested=_read_submission(folder / runs.SUBMISSION_FILE, run, first),
        suspects=suspects if about_pets else _without_votes(suspects),
        about_pets=about_pets,
        ballots=outliers.collect(files) if any(file.topk_class for file in files) else None,
        decided=decisions.read(table, (*run.classes, *run.left_out), first.ids["train"].tolist())
        if table.exists()
        else {},
    )


def read_comparison(path: Path) -> Compared | None:
    """The table of heads that `compare` wrote, or None where there is none.

    Raises:
        TrainingError: it is damaged.
    """
    remedy = "Make it again with `catsdogs compare`, or delete it"
    if not path.exists():
        return None
    header, table = out_of_fold.read_table(path, remedy)
    if tuple(header) != comparison.COLUMNS or not table:
        raise TrainingError(f"{path} does not have the columns and rows that `compare` writes", remedy)
    entries = []
    for number, cells in enumerate(table, start=2):
        try:
            out_of_fold.check_width(cells, header)
            named = dict(zip(header, cells, strict=True))
            rows, folds, repeats = (int(named[name]) for name in ("rows", "folds", "repeats"))
            entries.append(_entry(named))
        except ValueError as error:
            raise TrainingError(f"{path}, row {number} is damaged: {error}", remedy) from None
    return Compared(entries, rows, folds, repeats, path.stat().st_mtime)


def _entry(named: Mapping[str, str]) -> Entry:
    kinds = get_type_hints(Entry)
    numbers = {name: float(named[name]) for name, kind in kinds.items() if kind is float}
    return Entry(
        head=named["head"], backbones=tuple(named["backbones"].split("+")), verdict=named["verdict"], **numbers
    )


def _without_votes(suspects: Sequence[Suspect]) -> list[Suspect]:
    """Those against whom more is said than that no network sees a pet in them, in the order of what is left."""
    kept = []
    for suspect in suspects:
        reasons = tuple(reason for reason in suspect.reasons if reason.kind != outliers.NO_PET)
        if reasons:
            kept.append(replace(suspect, reasons=reasons))
    return sorted(kept, key=lambda suspect: -suspect.score)


def _read_submission(path: Path, run: Run, first: Features) -> NDArray[np.float64]:
    """(n_test, classes) what was submitted for the test rows that could be read."""
    ids = first.ids["test"].tolist()
    if not ids:
        return np.empty((0, len(run.classes)))
    out_of_fold.must_exist(path)
    written, probabilities = submission.read(path, run.classes, run.left_out)
    known = Names({*ids, *run.unreadable})
    row_of = {known.find(id): row for row, id in enumerate(written)}
    missing = [id for id in ids if id not in row_of]
    foreign = sorted(id for id in written if known.find(id) is None)
    for absent, what in ((missing, "lacks"), (foreign, "has, unlike the run,")):
        if absent:
            problem = f"{path} {what} {len(absent):,} test photographs: {in_short(absent)}"
            raise SubmissionError(problem, out_of_fold.train_again(path), absent)
    return probabilities[[row_of[id] for id in ids]]

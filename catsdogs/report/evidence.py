"""What a report rests on: a run, its out-of-fold and its test probabilities, its suspects, and what was decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning import decisions, outliers
from catsdogs.cleaning.decisions import Decision
from catsdogs.cleaning.suspect_table import Suspect, joint_score
from catsdogs.cleaning.votes import NO_PET, Ballots, collect_votes
from catsdogs.competition import submission
from catsdogs.errors import SubmissionError, in_short
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.photographs.names import Names
from catsdogs.photographs.task import BEST_K, NAME
from catsdogs.runs import out_of_fold, run_card
from catsdogs.runs.run_card import Run
from catsdogs.scoring import calibration, measuring, streaming


@dataclass(frozen=True)
class Evidence:
    """All that is known of a run; train and test rows are in the order of `first`.

    Attributes:
        files: the feature files of the run's networks; for a run with a protocol, the views it was trained on.
        raw_probabilities: (n_train, classes) out of fold, as the heads gave them.
        probabilities: the same, each fold calibrated on the others, as the run's first out-of-fold score has them.
        losses: (n_train,) of `probabilities` and the labels as given; NaN as they are.
        scored: (n_train,) whether a row was held out once, so that it has probabilities.
        test_probabilities: (n_test, classes) as submitted, see `_test_probabilities`.
        suspects: most doubtful first; votes for `no pet` count only where `about_pets`.
        ballots: the ImageNet labels, None where no network has a classifier.
    """

    run: Run
    files: tuple[Features, ...]
    raw_probabilities: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    losses: NDArray[np.float64]
    scored: NDArray[np.bool_]
    test_probabilities: NDArray[np.float64]
    suspects: list[Suspect]
    about_pets: bool
    ballots: Ballots | None
    decisions: dict[str, Decision]

    @property
    def first(self) -> Features:
        """The file to whose rows, in their order, all others are matched."""
        return self.files[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.run.classes

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n_train,) the classes given."""
        return self.first.labels


def collect_evidence(folder: Path, files: Sequence[Features]) -> Evidence:
    """Read a run and all that is needed to judge it; nothing is trained.

    Raises:
        UnknownNameError: no such run.
        StoreError: the files are not those of the run, or `decisions.csv` is damaged.
        TrainingError, SubmissionError: a file of the run is damaged.
    """
    run = run_card.read_run(folder)
    files = run_card.rows_of(run, files)
    first = files[0]
    raw, fold = out_of_fold.read_out_of_fold(folder, run, first)
    calibrated = calibration.cross_fitted(raw, first.labels, fold)
    table, ids = first.path.parent / decisions.DECISIONS_FILE, first.ids["train"].tolist()
    decided = decisions.read_decisions(table, (*run.classes, *run.left_out), ids, run.task) if table.exists() else {}
    suspects = outliers.find_outliers(files, out_of_fold=raw)
    about_pets = outliers.about_pets(suspects, files)
    return Evidence(
        run=run,
        files=tuple(files),
        raw_probabilities=raw,
        probabilities=calibrated,
        losses=measuring.log_losses(calibrated, first.labels),
        scored=fold != ALWAYS_LEARNT,
        test_probabilities=_test_probabilities(folder, run, files),
        suspects=suspects if about_pets else _without_votes(suspects),
        about_pets=about_pets,
        ballots=collect_votes(files) if any(file.topk_class for file in files) else None,
        decisions=decided,
    )


def _without_votes(suspects: Sequence[Suspect]) -> list[Suspect]:
    """The suspects that have reasons other than votes for `no pet`, in the order of these reasons."""
    kept = []
    for suspect in suspects:
        reasons = tuple(reason for reason in suspect.reasons if reason.kind != NO_PET)
        if reasons:
            kept.append(suspect._replace(score=joint_score(reasons), reasons=reasons))
    return sorted(kept, key=lambda suspect: -suspect.score)


def _test_probabilities(folder: Path, run: Run, files: Sequence[Features]) -> NDArray[np.float64]:
    """(n_test, classes) as submitted; of names, or of numbers that only keep an order, those they were made of."""
    if run.task.answer in (NAME, BEST_K) or submission.wants_ranks(run.task):
        return streaming.predicted(run_card.load_run(folder).predict, files, "test")
    return _read_submission(folder / run_card.SUBMISSION_FILE, run, files[0])


def _read_submission(path: Path, run: Run, first: Features) -> NDArray[np.float64]:
    """(n_test, classes) what was submitted for the test rows that could be read."""
    ids = first.ids["test"].tolist()
    if not ids:
        return np.empty((0, len(run.classes)))
    run_card.must_exist(path)
    written, probabilities = submission.read_submission(path, run.classes, run.left_out, run.task)
    names = Names({*ids, *run.unreadable})
    row_of = {names.find(id): row for row, id in enumerate(written)}
    missing = [id for id in ids if id not in row_of]
    foreign = sorted(id for id in written if names.find(id) is None)
    for absent, what in ((missing, "lacks"), (foreign, "has, unlike the run,")):
        if absent:
            problem = f"{path} {what} {len(absent):,} test photographs: {in_short(absent)}"
            raise SubmissionError(problem, run_card.train_again(path), absent)
    return probabilities[[row_of[id] for id in ids]]

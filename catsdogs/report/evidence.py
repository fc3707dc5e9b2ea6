"""What a report rests on: a run, its out-of-fold and its test probabilities, its suspects, and what was decided."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
from catsdogs.runs import out_of_fold, run_card
from catsdogs.runs.run_card import Run
from catsdogs.scoring import judging, streaming


@dataclass(frozen=True)
class Evidence:
    """All that is known of a run; train and test rows are in the order of `first`.

    Attributes:
        files: the feature files of the run's networks; for a run with a protocol, the views it was trained on.
        raw: (n_train, columns) probabilities or numbers out of fold, as the heads gave them.
        answers: the same, each fold calibrated on the others, as the run's first out-of-fold score has them.
        decided: what is named of them, see `judging.Rule.decide`; of rows that are not `scored` it means nothing.
        truth: what rows were given, see `judging.truth_of`.
        losses: (n_train,) log losses of `answers`, of labels their mean; NaN as they are, and for numbers.
        scored: (n_train,) whether a row was held out once, so that it has answers.
        fold: (n_train,) the number of the head that never saw a row; of rows that are not `scored` it means nothing.
        test_answers: (n_test, columns) as submitted, see `_test_answers`.
        suspects: most doubtful first; votes for `no pet` count only where `about_pets`.
        ballots: the ImageNet labels, None where no network has a classifier.
    """

    run: Run
    files: tuple[Features, ...]
    raw: NDArray[np.float64]
    answers: NDArray[np.float64]
    decided: NDArray[Any]
    truth: NDArray[Any]
    losses: NDArray[np.float64]
    scored: NDArray[np.bool_]
    fold: NDArray[np.int64]
    test_answers: NDArray[np.float64]
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
        """Names of what answers are of: the classes, or the labels or numbers."""
        return self.run.classes

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n_train,) the classes given, or texts of labels and numbers."""
        return self.first.labels


def collect_evidence(folder: Path, files: Sequence[Features]) -> Evidence:
    """Read a run and all that is needed to judge it; nothing is trained.

    Raises:
        UnknownNameError: no such run.
        StoreError: the files are not those of the run, or `decisions.csv` is damaged.
        TrainingError, SubmissionError: a file of the run is damaged.
    """
    run = run_card.read_run(folder)
    files = run_card.rows_of(run, [replace(file, task=run.task) for file in files])
    first = files[0]
    raw, fold = out_of_fold.read_out_of_fold(folder, run, first)
    truth, values = judging.truth_of(first), judging.grades_of(run.task, run.classes)
    judged = judging.cross_fitted(raw, truth, fold, run.task, values)
    table, ids = first.path.parent / decisions.DECISIONS_FILE, first.ids["train"].tolist()
    allowed = (*first.classes, *run.left_out)
    decided = decisions.read_decisions(table, allowed, ids, run.task) if table.exists() else {}
    suspects = outliers.find_outliers(files, out_of_fold=raw)
    about_pets = outliers.about_pets(suspects, files)
    return Evidence(
        run=run,
        files=tuple(files),
        raw=raw,
        answers=judged.answers,
        decided=judged.decided,
        truth=truth,
        losses=judging.measure_log_loss(judged, truth, run.task).parts,
        scored=fold != ALWAYS_LEARNT,
        fold=fold,
        test_answers=_test_answers(folder, run, files),
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


def _test_answers(folder: Path, run: Run, files: Sequence[Features]) -> NDArray[np.float64]:
    """(n_test, columns) as submitted; of names, or of numbers that only keep an order, those they were made of.

    A blend that a CSV has joined has nothing but its submission.
    """
    of_heads_alone = not run.blend or not any(part.is_fixed for part in run.blend.parts)
    if of_heads_alone and (run.task.answer in submission.OF_NAMES or submission.wants_ranks(run.task)):
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

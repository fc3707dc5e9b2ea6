"""Runs: `Run`, a head that was trained, with its score, its out-of-fold answers, its CSV and its report."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catsdogs import report as page
from catsdogs.errors import UnknownNameError
from catsdogs.features import feature_file
from catsdogs.files import storage
from catsdogs.files.notebook import Picture, as_html
from catsdogs.front.arguments import checked
from catsdogs.front.defaults import DEFAULTS, SUBMISSIONS
from catsdogs.front.notes import wrote
from catsdogs.front.places import check_writable, refuse_elsewhere, weights_folder
from catsdogs.front.reading import find_again, read_files, with_groups
from catsdogs.networks import choice
from catsdogs.runs import exporting, run_card
from catsdogs.runs.exporting import Exported
from catsdogs.runs.out_of_fold import read_out_of_fold
from catsdogs.scoring.comparison_file import COMPARISON_FILE
from catsdogs.scoring.grades import Grade

_MEASURES = ("metric", "value", "measured")


class Scores(tuple[Grade, ...]):
    """The grades of a run; a notebook shows them as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join(map(str, self))

    def _repr_html_(self) -> str:
        return as_html(_MEASURES, self.lines(), "Scores, and how each was measured")

    def lines(self) -> list[tuple[str, str, str]]:
        """The metric of each, its value with its doubt, and how it was measured."""
        return [(grade.metric, f"{grade.value:.5f}{grade.value_doubt}", grade.measured_on) for grade in self]


class Run:
    """A run of submissions/, made by `train` here or on the command line.

    A notebook shows its scores, and its learning curves if its head has some.

    Attributes:
        name: the name of its folder.
        card: all that `run.json` says of it.

    >>> import catsdogs as cd
    >>> run = cd.Run("first")
    >>> run.classes, run.scores[0].metric, run.scores[0].rows
    (('cat', 'dog'), 'log-loss', 16)
    >>> 0 <= run.score < 1, run.oof.shape
    (True, (16, 2))
    >>> run.submission.read_text().splitlines()[0]
    'id,label'
    >>> run.report().name
    'report.html'
    """

    @checked()
    def __init__(self, name: str) -> None:
        """Take up a run by its name.

        Raises:
            UnknownNameError: no such run.
            TrainingError: its `run.json` is damaged, or of a newer version.
        """
        folder = SUBMISSIONS / name
        if folder.parent != SUBMISSIONS and not storage.exists(folder / run_card.RUN_FILE):
            raise UnknownNameError("run", name, [run.name for run in run_card.list_runs(SUBMISSIONS).runs])
        self.name, self.card, self._opened_in = name, run_card.read_run(folder), Path.cwd()
        self._curves = Picture(folder / run_card.LEARNING_CURVES_FILE, "the learning curves of all folds")

    @property
    def folder(self) -> Path:
        """Where its files lie; UsageError if the working folder is another now than when the run was taken up."""
        refuse_elsewhere(f"The run {self.name} was", self._opened_in)
        return SUBMISSIONS / self.name

    @property
    def scores(self) -> Scores:
        """Its grades; each says what it was measured on."""
        return Scores(self.card.scores)

    @property
    def score(self) -> float:
        """The value of the metric that the run is quoted by: of its first grade, which says how it was measured."""
        return self.scores[0].value

    @property
    def classes(self) -> tuple[str, ...]:
        """What answers are of: classes, or labels, or the names of the numbers."""
        return self.card.classes

    @cached_property
    def oof(self) -> NDArray[np.float64]:
        """(n_train, classes) answers of heads that had not learnt from the row, in the order of the feature files.

        NaN for rows that were always learnt from. Raises TrainingError if `oof.csv` is gone or damaged.
        """
        return read_out_of_fold(self.folder, self.card, None)[0]

    @property
    def submission(self) -> Path | None:
        """The CSV to submit; None where there are no photographs to answer for."""
        path = self.folder / run_card.SUBMISSION_FILE
        return path if path.exists() else None

    @checked()
    def report(self, data: str | Path | None = None) -> Path:
        """Write the run as one page to look at, report.html, and return its path.

        Args:
            data: where the photographs are, if not where the run remembers them.

        Raises:
            StoreError: the feature files are not those of the run, or damaged; the page cannot be written.
            TrainingError, SubmissionError: a file of the run is damaged.
        """
        place = str(data) if data else None
        return write_report(self.folder, files_of(self.card, None, place), place, None)

    def export(self, format: str) -> Path:
        """Write the run as one model that answers without this program, and return its folder; takes some ten seconds.

        Args:
            format: onnx, openvino, keras or tflite: what the model is to be run by.

        Raises:
            UnknownNameError, UsageError: no such format, or its packages are not installed.
            TrainingError: a head that is no matrix, or a model that answers otherwise than `predict`.
            CatsdogsError: networks that are not those the run was trained on, or that cannot be exported.
            StoreError: the run's folder cannot be written.
        """
        return write_export(self.folder, format, None).folder

    def __repr__(self) -> str:
        return f"<Run {self.name}: {self.card.head} on {' + '.join(self.card.backbones)}, {self.scores[0]}>"

    def _repr_html_(self) -> str:
        title = f"{SUBMISSIONS / self.name}: {self.card.head} on {' + '.join(self.card.backbones)}"
        csv = SUBMISSIONS / self.name / run_card.SUBMISSION_FILE
        below = [f"The CSV to submit: {csv}"] if csv.exists() else []
        return as_html(_MEASURES, self.scores.lines(), title, below, picture=self._curves)


def files_of(run: run_card.Run, features: str | None, data: str | None) -> list[feature_file.Features]:
    """The feature files of a run's networks, with the groups by which it was trained.

    Args:
        features, data: where they and the photographs are, if not where the run remembers them.
    """
    folder, source = storage.place(features or run.features), data or run.source or DEFAULTS["data"]
    return with_groups(read_files(folder, list(run.backbones), storage.place(source)), source, run.grouped_by)


def write_report(
    folder: Path, files: Sequence[feature_file.Features], data: str | None, weights_dir: str | None
) -> Path:
    """Write `report.html` into a run's folder; raises as `report.write_report`."""
    dataset = find_again(data, files[0].source, files[0].task)
    check_writable(folder)
    weights = weights_folder(weights_dir)
    choice.weights_folder(weights)  # without other weights a report goes on, but not with a folder that is not there
    path = page.write_report(folder, files, dataset, SUBMISSIONS / COMPARISON_FILE, weights)
    wrote(path, f"{path.stat().st_size / 1e6:.1f} MB, one file that needs no network: open it in a browser")
    return path


def write_export(folder: Path, format: str, weights_dir: str | None) -> Exported:
    """Write a run as one model into `export/<format>/` of its folder; raises as `exporting.export`."""
    check_writable(folder)
    exported = exporting.export(folder, format, weights_folder(weights_dir))
    for path in exported.paths:
        wrote(path, f"{path.stat().st_size / 1e6:.1f} MB")
    return exported

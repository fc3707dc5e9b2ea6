"""What a report rests on: votes, and files of the run that are damaged, missing or others'."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from catsdogs import report
from catsdogs.cleaning import votes
from catsdogs.errors import CatsdogsError, StoreError, SubmissionError, TrainingError, UnknownNameError
from catsdogs.report import evidence
from catsdogs.runs import run_card
from tests.conftest import refused
from tests.support.reports import Elements, ReportedRun, copy_run, make_run


def test_where_networks_see_no_pets_their_votes_do_not_count(tmp_path: Path) -> None:
    here = make_run(tmp_path, test=4)
    strange = [
        replace(file, topk_class={split: np.full_like(labels, 500) for split, labels in file.topk_class.items()})
        for file in here.files
    ]
    collected = evidence.collect_evidence(here.folder, strange)
    assert not collected.about_pets
    assert not any(reason.kind == votes.NO_PET for suspect in collected.suspects for reason in suspect.reasons)
    report.write_report(here.folder, strange, None, here.comparison)
    assert "In most photographs no network sees a pet" in Elements((here.folder / "report.html").read_text()).text


def other_cell(column: str, value: str) -> Callable[[list[list[str]]], list[list[str]]]:
    """A change of the third row of a table, which is the file's fourth."""

    def change(rows: list[list[str]]) -> list[list[str]]:
        rows[3][rows[0].index(column)] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [], "row 1"),
        (lambda rows: [row[:-1] for row in rows], "row 1"),
        (lambda rows: rows[:-3], "row 38 is the last"),
        (lambda rows: [*rows, rows[-1]], "row 42 is the last"),
        (lambda rows: [*rows[:-1], rows[-1][:3]], "row 41: 3 columns, not 6"),
        (lambda rows: [rows[0], rows[2], rows[1], *rows[3:]], "row 2: the id 'cat.1'"),
        (other_cell("id", "cat.77"), "row 4: the id 'cat.77'"),
        (other_cell("label", "dog"), "row 4: the label 'dog'"),
        (other_cell("p_dog", "likely"), "row 4: .*likely"),
        (other_cell("p_dog", "nan"), "row 4: .*no probabilities"),
        (other_cell("p_dog", "1.5"), "row 4: .*no probabilities"),
        (other_cell("fold", "9"), "row 4: the fold 9"),
        (other_cell("fold", "one"), "row 4: .*one"),
        (lambda rows: [rows[0], *([*row[:3], "1", *row[4:]] for row in rows[1:])], "no row of fold 2"),
    ],
)
def test_a_damaged_out_of_fold_file_is_refused(
    tmp_path: Path, plain: ReportedRun, change: Callable[[list[list[str]]], list[list[str]]], message: str
) -> None:
    folder = copy_run(plain, tmp_path)
    path = folder / run_card.OUT_OF_FOLD_FILE
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(change(rows))
    with refused(TrainingError, rf"oof\.csv.*{message}"):
        report.write_report(folder, plain.files, None, plain.comparison)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-2], "lacks 2 test photographs: <i>28</i>, <i>29</i>"),
        (lambda lines: [*lines, "77,0.5"], "has, unlike the run, 1 test photographs: 77"),
        (lambda lines: [*lines[:-1], lines[-1].split(",")[0] + ",often"], "row 31: 'often'"),
        (lambda lines: [*lines[:-1], lines[-1].split(",")[0]], "row 31 has 1 columns"),
        (lambda lines: [], "has the columns"),
    ],
)
def test_a_damaged_submission_is_refused(
    tmp_path: Path, plain: ReportedRun, change: Callable[[list[str]], list[str]], message: str
) -> None:
    folder = copy_run(plain, tmp_path)
    path = folder / run_card.SUBMISSION_FILE
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with refused(SubmissionError, rf"submission\.csv.*{message}"):
        report.write_report(folder, plain.files, None, plain.comparison)


@pytest.mark.parametrize("name", [run_card.OUT_OF_FOLD_FILE, run_card.SUBMISSION_FILE])
def test_a_missing_file_is_named(tmp_path: Path, plain: ReportedRun, name: str) -> None:
    folder = copy_run(plain, tmp_path)
    (folder / name).unlink()
    with refused(TrainingError, f"{name} is gone"):
        report.write_report(folder, plain.files, None, plain.comparison)


def test_other_files_and_no_run_are_refused(tmp_path: Path, plain: ReportedRun) -> None:
    with refused(StoreError, "was trained on"):
        report.write_report(plain.folder, plain.files[:1], None, plain.comparison)
    with refused(UnknownNameError, "No run is called 'absent'"):
        report.write_report(tmp_path / "absent", plain.files, None, plain.comparison)
    with refused(CatsdogsError, "other rows"):
        changed = [replace(file, labels=1 - file.labels) for file in plain.files]
        report.write_report(plain.folder, changed, None, plain.comparison)

"""Reports of labels, grades and numbers: what is on them, that it is right, and that they open in a real browser."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as oracle

from catsdogs.photographs.label_texts import NO_LABEL
from catsdogs.report import evidence, kinds, measures, ramp
from catsdogs.report.kinds.labels import LabelsView
from catsdogs.report.kinds.numbers import NumbersView
from catsdogs.report.kinds.ordinal import GradesView
from catsdogs.runs import run_card
from tests.report.test_browser import POINT, READY, contrast
from tests.support import browser
from tests.support.reports import Elements, ReportedRun, make_run_of_texts
from tests.support.tasks import grade_texts, label_texts_of, number_texts, of_grades, of_labels, of_numbers

LABELS = ("rust", "scab", "frog <b>eye</b>")
GROUPS = [f"patient {row // 3}" for row in range(90)]
RUNS: dict[str, Callable[[Path], ReportedRun]] = {
    "labels": lambda folder: make_run_of_texts(folder, of_labels(LABELS), label_texts_of(LABELS, 90), groups=GROUPS),
    "probabilities of labels": lambda folder: make_run_of_texts(
        folder, of_labels(LABELS, "mean-auc"), label_texts_of(LABELS, 90, bare=False), test=0
    ),
    "grades": lambda folder: make_run_of_texts(folder, of_grades(), grade_texts(90)),
    "grades by accuracy": lambda folder: make_run_of_texts(folder, of_grades("accuracy"), grade_texts(90, 3)),
    "a number": lambda folder: make_run_of_texts(folder, of_numbers("Pawpularity"), number_texts(90), groups=GROUPS),
    "two numbers": lambda folder: make_run_of_texts(
        folder, of_numbers("width", "$$height$$", metric="mae"), number_texts(90, 2)
    ),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ReportedRun]:
    """Each run made and reported on once."""
    made: dict[str, ReportedRun] = {}

    def run(name: str) -> ReportedRun:
        if name not in made:
            made[name] = RUNS[name](tmp_path_factory.mktemp("kind"))
            made[name].write(made[name].dataset)
        return made[name]

    return run


def page_of(here: ReportedRun) -> Elements:
    return Elements((here.folder / run_card.REPORT_FILE).read_text(encoding="utf-8"))


def view_of(here: ReportedRun) -> kinds.View:
    return kinds.view_of(evidence.collect_evidence(here.folder, here.files))


@pytest.mark.parametrize("name", RUNS)
def test_every_kind_has_its_score_and_no_number_that_is_none(runs: Callable[[str], ReportedRun], name: str) -> None:
    here = runs(name)
    page, score = page_of(here), run_card.read_run(here.folder).scores[0]
    assert f"{score.value:.5f} {score.metric}" in page.text
    assert not re.search(r"\bnan\b", page.text, re.IGNORECASE)
    assert ("accuracy" in page.text.split("measured on")[0]) == name.startswith("grades")
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(ids) == len(set(ids)) and not page.all("b")[0].get("onerror")


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("width", [1280, 390])
def test_every_kind_opens_in_a_browser(runs: Callable[[str], ReportedRun], name: str, width: int) -> None:
    with browser.launch() as chromium:
        tab = chromium.new_page(viewport={"width": width, "height": 900})
        complaints = browser.complaints(tab)
        tab.goto((runs(name).folder / run_card.REPORT_FILE).as_uri())
        tab.wait_for_function(READY)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        point = tab.evaluate(POINT)
        tab.mouse.click(point["x"], point["y"])
        assert "labelled" in tab.locator("#map-panel").inner_text()
        tab.select_option("#map-group", "1")
        assert 0 < int(tab.locator("#map-panel").inner_text().split()[0]) < 90
        tab.locator("#map-next").click()
        assert "out of fold" in tab.locator("#map-panel").inner_text()
        assert complaints == []


def test_groups_and_what_plain_folds_say_are_told(runs: Callable[[str], ReportedRun]) -> None:
    here = runs("a number")
    text = page_of(here).text
    assert "grouped by the feature file, 30 groups, each in one fold; rmse" in text
    assert "out of fold by plain folds, which part the groups" in text
    assert "Groups" not in page_of(runs("grades")).text


def test_the_table_of_labels_is_scikit_learns(runs: Callable[[str], ReportedRun]) -> None:
    here = runs("labels")
    view, elements = view_of(here), page_of(here)
    assert isinstance(view, LabelsView)
    assert [label.rows for label in view.qualities] == sorted((view.given.sum(axis=0)).tolist(), reverse=True)
    for label in view.qualities:
        place = LABELS.index(label.name)
        right, named = view.given[:, place], view.named[:, place]
        assert label.f1 == pytest.approx(oracle.f1_score(right, named))
        assert label.area == pytest.approx(oracle.roc_auc_score(right, view.evidence.answers[:, place]))
        figures = (label.area, label.f1, label.precision, label.recall, label.threshold)
        assert " ".join(f"{figure:.3f}" for figure in figures) in elements.text
    assert "from which probability on a label is named: rust" in elements.text


def test_missing_and_extra_labels_are_marked(runs: Callable[[str], ReportedRun]) -> None:
    here = runs("labels")
    view = view_of(here)
    assert isinstance(view, LabelsView)
    for row in range(90):
        told = view.tell("train", row)
        given, named = ({mark.name for mark in marks} - {NO_LABEL} for marks in (told.given, told.named))
        assert given == {LABELS[n] for n in np.flatnonzero(view.given[row])}
        assert {mark.name for mark in told.given if mark.note} == given - named
        assert {mark.name for mark in told.named if mark.note} == named - given
        assert view.is_wrong[row] == (given != named)
    page = page_of(here)
    assert page.of_class("missing") and page.of_class("extra")


def test_a_label_of_none_has_no_area() -> None:
    nobody = np.zeros((4, 1), bool)
    (label,) = measures.label_qualities(["rust"], np.full((4, 1), 0.2), nobody, nobody, [0.5])
    assert (label.area, label.f1, label.precision, label.recall) == (None, 0, 0, 0)


def test_grades_are_called_by_cut_points_and_their_matrix_is_in_order(runs: Callable[[str], ReportedRun]) -> None:
    here = runs("grades")
    view = view_of(here)
    assert isinstance(view, GradesView)
    called, given = view.called, view.evidence.labels
    assert view.matrix.tolist() == oracle.confusion_matrix(given, called, labels=range(5)).tolist()
    assert oracle.cohen_kappa_score(given, called, weights="quadratic") == pytest.approx(
        view.evidence.run.scores[0].value
    )
    page = page_of(here)
    assert "label called 0 called 1 called 2 called 3 called 4" in page.text and "Cut points" in page.text
    assert "Cut points" not in page_of(runs("grades by accuracy")).text
    worst = [int(distance) for distance in re.findall(r"(\d) grades? off", page.text.split("The worst")[-1])]
    assert worst and view.costs.max() == max(worst)


def test_numbers_are_compared_with_their_mean(runs: Callable[[str], ReportedRun]) -> None:
    here = runs("a number")
    view, page = view_of(here), page_of(here)
    assert isinstance(view, NumbersView)
    assert f"looking at none, has {view.true.std():.5f}" in page.text
    assert view.residuals == pytest.approx(view.evidence.answers - view.true)
    furthest = int(np.abs(view.residuals[:, 0]).argmax())
    tile = page.text.split("The worst")[-1]
    assert tile.index(f"train.{furthest} labelled {view.true[furthest, 0]:g} off by") < 400


def test_parts_of_numbers_hold_every_photograph_once(runs: Callable[[str], ReportedRun]) -> None:
    view = view_of(runs("two numbers"))
    rows = np.concatenate([rows for _, rows in view.groups])
    assert sorted(rows.tolist()) == list(range(90)) and len(view.groups) == 5
    assert len(view.members(np.arange(90))) == 90


@given(
    arrays.arrays(np.float64, st.integers(1, 40), elements=st.integers(-5, 5).map(float)),
    st.integers(1, 12),
)
def test_parts_of_a_range_keep_the_mean(x: np.ndarray, parts: int) -> None:
    found = measures.parts_of(x, 2 * x, parts)
    assert 1 <= len(found) <= parts
    assert all(mean == pytest.approx(2 * middle) for middle, mean, _ in found)
    assert [middle for middle, *_ in found] == sorted(middle for middle, *_ in found)


def test_colours_from_low_to_high_stand_out_on_light_and_dark() -> None:
    """WCAG 2.2, 1.4.11: a contrast of 3."""
    for colour in ramp.steps(21):
        assert contrast(colour, "#ffffff") >= 3 and contrast(colour, "#111316") >= 3
    assert ramp.steps(3)[0] == "#4477aa" and ramp.steps(3)[-1] == "#cc6633"

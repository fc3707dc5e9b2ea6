"""The numbers behind the diagrams."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from catsdogs.report import measures
from tests.support.reports import make_features, make_photographs


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_the_bins_of_a_calibration_diagram(answers: list[tuple[float, bool]]) -> None:
    probabilities, came_true = np.array([p for p, _ in answers]), np.array([right for _, right in answers])
    bins = measures.reliability(probabilities, came_true)
    assert sum(bin.rows for bin in bins) == len(answers)
    assert sum(bin.rows * bin.observed for bin in bins) == pytest.approx(came_true.sum())
    for bin in bins:
        assert bin.low - 1e-9 <= bin.mean_probability <= bin.high + 1e-9
        assert 0 <= bin.least <= bin.observed + 1e-9 and bin.observed - 1e-9 <= bin.most <= 1
    assert 0 <= measures.calibration_error(bins) <= 1


def test_what_happens_as_said_has_no_calibration_error() -> None:
    probabilities = np.repeat([0.25, 0.75], 100)
    came_true = np.tile([True, False, False, False], 25), np.tile([True, True, True, False], 25)
    assert measures.calibration_error(measures.reliability(probabilities, np.concatenate(came_true))) == pytest.approx(
        0
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_confusions_are_the_mistakes_most_frequent_first(pairs: list[tuple[int, int]]) -> None:
    labels, answers = (np.array(column) for column in zip(*pairs, strict=True))
    matrix = confusion_matrix(labels, answers, labels=range(4))
    wrong = measures.confusions(matrix)
    assert all(rows == ((labels == label) & (answers == predicted)).sum() for label, predicted, rows in wrong)
    assert sum(rows for *_, rows in wrong) == (labels != answers).sum()
    assert [rows for *_, rows in wrong] == sorted((rows for *_, rows in wrong), reverse=True)


def test_the_margin_of_an_even_choice_is_nothing() -> None:
    margins = measures.margins(np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]]))
    assert margins == pytest.approx([0, 0.5])


def test_the_map_tells_classes_apart_and_puts_the_first_one_left(tmp_path: Path) -> None:
    dataset = make_photographs(tmp_path / "photographs", ("cat", "dog"), 15, 0)
    files = [make_features(tmp_path / "features", dataset, name, 8, False) for name in ("ResNet50", "Xception")]
    rows = np.arange(3, 27)
    found = measures.project_vectors(files, rows)
    cats = files[0].labels[rows] == 0
    assert found.points[cats, 0].max() < 0 < found.points[~cats, 0].min()
    assert 1 >= found.explained[0] >= found.explained[1] >= 0
    # A file whose rows come in another order says the same.
    order = np.random.default_rng(0).permutation(30)
    shuffled = replace(dataset, photographs=tuple(dataset.photographs[row] for row in order))
    again = [files[0], make_features(tmp_path / "other", shuffled, "Xception", 8, False)]
    assert np.array_equal(again[1].vectors("train"), files[1].vectors("train")[order])
    assert measures.project_vectors(again, rows).points == pytest.approx(found.points)

"""Texts of labels, and what is learnt of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import DatasetError
from catsdogs.photographs import label_texts
from catsdogs.photographs.task import BINARY, CLASSES, LABELS, NAME, NUMBER, NUMBERS, ORDINAL, PROBABILITY, Task
from tests.conftest import refused

NAMES = ("rust", "scab", "frog eye")
SPOTS = Task(LABELS, "probabilities", targets=NAMES, names=NAMES)
WEIGHED = Task(NUMBER, NUMBERS, targets=("x", "y"), names=("x", "y"))


@given(st.sets(st.sampled_from(NAMES)))
def test_labels_come_back_from_their_text(shown: set[str]) -> None:
    text = label_texts.text_of(shown, NAMES)
    assert set(label_texts.labels_in(text)) == shown
    assert label_texts.table_of(SPOTS, [text]).tolist() == [[float(name in shown) for name in NAMES]]


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2))
def test_numbers_come_back_from_their_text(numbers: list[float]) -> None:
    text = label_texts.SEPARATOR.join(map(repr, numbers))
    assert label_texts.table_of(WEIGHED, [text]).tolist() == [numbers]


def test_classes_have_nothing_but_themselves() -> None:
    assert label_texts.table_of(Task.of_classes(["cat", "dog"]), ["cat", "dog"]).shape == (2, 0)


@pytest.mark.parametrize(
    ("task", "text", "why"),
    [
        (SPOTS, "rust|mould", "The labels mould are none of rust, scab, frog eye"),
        (WEIGHED, "1", "The label '1' is not a number"),
        (WEIGHED, "1|much", "The label '1\\|much' is not a number"),
        (WEIGHED, "1|nan", "is not a number"),
        (Task(ORDINAL, NAME), "bad", "The label 'bad' is not a grade"),
    ],
)
def test_other_texts_are_refused(task: Task, text: str, why: str) -> None:
    with refused(DatasetError, why):
        label_texts.table_of(task, [text])


def test_numbers_of_classes_become_grades_or_numbers_when_told() -> None:
    task = Task(CLASSES, NAME, id_form="as they are", targets=("level",), metric="accuracy")
    graded = label_texts.as_kind(task, ORDINAL, ["0", "1", "3"])
    assert (graded.kind, graded.answer, graded.metric, graded.names) == (ORDINAL, NAME, "qwk", ())
    np.testing.assert_array_equal(label_texts.table_of(graded, ["0", "1", "3"]), [[0], [1], [3]])
    numbered = label_texts.as_kind(task, NUMBER, ["0", "1", "3"])
    assert (numbered.kind, numbered.answer, numbered.metric, numbered.names) == (NUMBER, NUMBERS, "rmse", ("level",))
    assert label_texts.as_kind(task, BINARY, ["0", "1"]) == task
    with refused(DatasetError, "The label 'cat' is not a grade"):
        label_texts.as_kind(Task(BINARY, PROBABILITY, id_form="as they are"), ORDINAL, ["cat", "dog"])
    with refused(DatasetError, "The grades 1, 0 are not in increasing order"):
        label_texts.as_kind(task, ORDINAL, ["1", "0"])


def test_what_learns_one_class_refuses_several_labels_and_numbers() -> None:
    label_texts.refuse_several(Task.of_classes(["cat", "dog"]), "A network")
    with refused(DatasetError, "A network learns one class for each photograph, and these have several labels: rust"):
        label_texts.refuse_several(SPOTS, "A network")
    with refused(DatasetError, "A twin .* numbers: x, y"):
        label_texts.refuse_several(WEIGHED, "A twin")

"""Settings as people type them take the types of the head's, and what it does not take is refused in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs import heads
from catsdogs.errors import CatsdogsError, UnknownNameError, UsageError
from tests.conftest import refused


@pytest.mark.parametrize(
    ("name", "given", "settings"),
    [
        ("logistic", ["C=0.1"], {"C": 0.1}),
        ("logistic", ["C=none", "search=five"], {"C": None, "search": "five"}),
        ("dropout-sigmoid", ["batch_size=64", "dropout=0"], {"batch_size": 64, "dropout": 0}),
        ("knn", [" k = 5 "], {"k": 5}),
        ("standard+LogisticRegression", ["C=3", "class_weight=balanced"], {"C": 3, "class_weight": "balanced"}),
        ("SVC", ["gamma=0.5", "shrinking=false"], {"gamma": 0.5, "shrinking": False}),
        ("RandomForestClassifier", ["max_features=sqrt", "max_depth=3"], {"max_features": "sqrt", "max_depth": 3}),
        ("MLPClassifier", ["hidden_layer_sizes=50"], {"hidden_layer_sizes": 50}),
    ],
)
def test_texts_take_the_types_of_the_head(name: str, given: list[str], settings: dict[str, object]) -> None:
    found = heads.settled(name, given)
    assert found == (name, settings)
    assert [type(value) for value in found[1].values()] == [type(value) for value in settings.values()]
    head = heads.create(name, **settings)
    assert heads.settings_of(head) | settings == heads.settings_of(head)


def test_brackets_and_flags_come_together() -> None:
    assert heads.settled("pca:4+logistic[C=1]", ["search=five"]) == ("pca:4+logistic", {"C": 1, "search": "five"})
    assert heads.settled("blend") == ("blend", {})


@pytest.mark.parametrize(
    ("name", "given", "kind", "match"),
    [
        ("logistic", "c=1", UnknownNameError, "No setting of the head logistic is called 'c'. Choose from: C, search"),
        ("knn", "component=3", UnknownNameError, "Choose from: components, "),
        ("logistic", "random_state=3", UnknownNameError, "random_state"),
        ("logistic", "C", UsageError, "Give it as C=0.1"),
        ("logistic", "=1", UsageError, "Give it as C=0.1"),
        ("logistic", "C=", UsageError, "Give it as C=0.1"),
        ("logistic", "C=strong", UsageError, "'strong' cannot be the setting C of the head logistic. .*number or none"),
        ("logistic", "C=inf", UsageError, "cannot be the setting C"),
        ("dropout-sigmoid", "batch_size=1.5", UsageError, "Give it a whole number"),
        ("LogisticRegression", "C=-1", UsageError, "something like 1.0"),
        ("KNeighborsClassifier", "n_neighbors=2.5", UsageError, "something like 5"),
    ],
)
def test_what_the_head_does_not_take_is_refused(name: str, given: str, kind: type[CatsdogsError], match: str) -> None:
    with refused(kind, match):
        heads.settled(name, [given])


def test_a_setting_is_given_once() -> None:
    with refused(UsageError, "The setting C of the head logistic is given twice"):
        heads.settled("logistic[C=1]", ["C=2"])


@given(st.floats(min_value=1e-6, max_value=1e6))
def test_a_number_comes_through_to_the_last_digit(value: float) -> None:
    assert heads.settled(f"logistic[C={value!r}]")[1] == {"C": value}

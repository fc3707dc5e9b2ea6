"""The CSV handed in: what is written passes its own check, what Kaggle rejects does not, grades are scikit-learn's."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss

from catsdogs.competition import grading, submission
from catsdogs.errors import SubmissionError
from catsdogs.scoring import grades, measuring

CAT_DOG = ("cat", "dog")
SAMPLE = "id,label\n3,0.5\n1,0.5\n2,0.5\n"

ids_of = st.lists(st.integers(1, 10_000).map(str), min_size=1, max_size=20, unique=True)


def save(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def pairs(second: list[float]) -> np.ndarray:
    return np.array([[1 - value, value] for value in second])


def rows(path: Path) -> list[list[str]]:
    return [line.split(",") for line in path.read_text().splitlines()]


@given(data=st.data(), ids=ids_of, classes=st.integers(2, 4))
def test_what_is_written_passes_the_check_and_keeps_its_numbers(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, ids: list[str], classes: int
) -> None:
    names = ["cat", "dog", "fox, red", 'the "wolf"'][:classes]
    weights = st.lists(st.floats(1e-9, 1), min_size=classes, max_size=classes)
    given_rows = np.array(data.draw(st.lists(weights, min_size=len(ids), max_size=len(ids))))
    probabilities = given_rows / given_rows.sum(axis=1, keepdims=True)
    missing = data.draw(st.sets(st.integers(10_001, 10_010).map(str), max_size=3))
    prior = [1 / classes] * classes
    sample = None
    if classes == 2 and data.draw(st.booleans()):
        sample = "id,label\n" + "".join(f"{id},0.5\n" for id in data.draw(st.permutations([*ids, *missing])))

    path = tmp_path_factory.mktemp("written") / "submission.csv"
    submission.write_submission(path, ids, probabilities, names, sample, dict.fromkeys(missing, prior))
    assert submission.check_submission(path, sample, names) == len(ids) + len(missing)
    truth = path.with_name("truth.csv")
    right = probabilities.argmax(axis=1)
    lines = [f'{id},"{names[label].replace(chr(34), chr(34) * 2)}"' for id, label in zip(ids, right, strict=True)]
    lines += [f"{id},cat" for id in missing]
    save(truth, "id,label\n" + "\n".join(lines) + "\n")
    labels = np.concatenate((right, np.zeros(len(missing), int)))
    everything = np.concatenate((probabilities, np.tile(prior, (len(missing), 1))))
    expected = -np.log(everything[np.arange(len(labels)), labels])
    graded = grading.grade_submission(path, truth, names)
    assert graded.log_loss == pytest.approx(expected.mean(), abs=1e-9)
    assert graded.rows == len(labels)


@given(st.floats(0, 1) | st.floats(0, 1e-9).map(lambda least: 1 - least))
def test_what_is_nearly_certain_is_not_written_as_certain(probability: float) -> None:
    written = float(submission.as_text(probability))
    assert (written == 1) == (probability == 1) and (written == 0) == (probability == 0)
    assert written == pytest.approx(probability, rel=1e-11)


def test_the_order_and_header_are_the_samples(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    submission.write_submission(
        path, ["1", "2", "3"], pairs([0.1, 0.2, 0.3]), CAT_DOG, SAMPLE.replace("label", "dog"), {}
    )
    assert rows(path) == [["id", "dog"], ["3", "0.3"], ["1", "0.1"], ["2", "0.2"]]
    breeds = "id,beagle,affenpinscher\na,0.5,0.5\n"
    submission.write_submission(path, ["a"], np.array([[0.9, 0.1]]), ("affenpinscher", "beagle"), breeds, {})
    assert rows(path) == [["id", "beagle", "affenpinscher"], ["a", "0.1", "0.9"]]


@pytest.mark.parametrize(
    ("sample", "classes"),
    [
        ("id,label\n2,0\n1,0\n", CAT_DOG),
        ("id,cat\n2,0\n1,0\n", CAT_DOG),
        ("id,fox,cat,dog\n2,0,0,0\n1,0,0,0\n", (*CAT_DOG, "fox")),
    ],
)
def test_what_is_written_is_read_back_in_the_order_of_the_classes(
    tmp_path: Path, sample: str, classes: tuple[str, ...]
) -> None:
    path = tmp_path / "submission.csv"
    probabilities = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]]) if len(classes) == 3 else pairs([0.2, 0.7])
    submission.write_submission(path, ["1", "2"], probabilities, classes, sample, {})
    ids, found = submission.read_submission(path, classes)
    assert ids == ["2", "1"]
    assert found == pytest.approx(probabilities[::-1])


def test_without_a_sample_rows_are_in_natural_order_and_a_certainty_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    submission.write_submission(path, ["2", "10"], pairs([1 - 3e-9, 1.0]), CAT_DOG, None, {"3": (0.25, 0.75)})
    assert [row[0] for row in rows(path)] == ["id", "2", "3", "10"]
    assert float(rows(path)[1][1]) < 1 == float(rows(path)[3][1])
    assert rows(path)[2] == ["3", "0.75"]


@pytest.mark.parametrize(
    ("ids", "sample", "message"),
    [
        (["1", "2"], SAMPLE, "1 ids of the sample submission are not among the test photographs: 3"),
        (["1", "2", "3", "4"], SAMPLE, "1 test photographs are not in the sample submission: 4"),
        (["1"], "id,label\n1,0.5\n1,0.5\n", "row 3 holds the id 1 again, first seen in row 2"),
        (["1"], "id,fish\n", "no rows"),
        (["1"], "", "columns"),
        (["1"], "id,cat,fish\n1,0.5,0.5\n", "cat, fish of the submission are not the classes cat, dog"),
    ],
)
def test_another_sample_is_refused_and_nothing_is_written(
    tmp_path: Path, ids: list[str], sample: str, message: str
) -> None:
    path = tmp_path / "submission.csv"
    with pytest.raises(SubmissionError, match=message):
        submission.write_submission(path, ids, pairs([0.5] * len(ids)), CAT_DOG, sample, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.1])
def test_what_is_no_probability_is_never_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(SubmissionError, match=r"row 3: .* for 2 is not a probability"):
        submission.write_submission(
            tmp_path / "s.csv", ["1", "2"], np.array([[0.5, 0.5], [0.5, value]]), CAT_DOG, None, {}
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\n3,0.5\n1,0.5\n", "1 ids of the sample submission are missing from .*: 2"),
        ("id,label\n3,0.5\n1,0.5\n2,0.5\n9,0.5\n", "1 ids of .* are not in the sample submission: 9"),
        ("id,label\n3,0.5\n1,0.5\n2,0.5\n1,0.5\n", "row 5 holds the id 1 again"),
        ("id,label\n3,0.5\n1,dog\n2,0.5\n", "row 3: 'dog' for 1 is not a probability"),
        ("id,label\n3,0.5\n1,nan\n2,0.5\n", "row 3"),
        ("id,label\n3,0.5\n1,1.5\n2,0.5\n", "row 3"),
        ("id,label\n3,0.5\n1,0.5,0.5\n2,0.5\n", "row 3 has 3 columns, not 2"),
        ("id,dog\n3,0.5\n1,0.5\n2,0.5\n", "has the columns id, dog"),
        ("3,0.5\n1,0.5\n2,0.5\n", "has the columns 3, 0.5"),
        ("", "has the columns"),
        ("id,label\n", "has no rows"),
    ],
)
def test_what_kaggle_rejects_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = save(tmp_path / "submission.csv", text)
    with pytest.raises(SubmissionError, match=message) as raised:
        submission.check_submission(path, SAMPLE, CAT_DOG)
    assert "\n" not in str(raised.value)


def test_many_classes_must_add_up_to_one(tmp_path: Path) -> None:
    path = save(tmp_path / "submission.csv", "id,a,b,c\n1,0.2,0.3,0.5\n2,0.2,0.3,0.4\n")
    with pytest.raises(SubmissionError, match=r"row 3: the probabilities of 2 add up to 0\.9, not 1"):
        submission.check_submission(path, None, ("a", "b", "c"))


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match="no such file"):
        submission.check_submission(tmp_path / "absent.csv")
    (tmp_path / "zip.csv").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(SubmissionError, match=r"zip\.csv cannot be read"):
        submission.check_submission(tmp_path / "zip.csv")


@given(
    st.lists(st.tuples(st.floats(0.001, 0.999), st.integers(0, 1)), min_size=2, max_size=50).filter(
        lambda rows: {label for _, label in rows} == {0, 1}
    )
)
def test_a_score_is_scikit_learns(drawn: list[tuple[float, int]]) -> None:
    probabilities, labels = pairs([value for value, _ in drawn]), np.array([label for _, label in drawn])
    graded = grades.score(probabilities, labels, "drawn")
    assert graded.log_loss == pytest.approx(log_loss(labels, probabilities))
    assert graded.accuracy == pytest.approx(accuracy_score(labels, probabilities.argmax(axis=1)))
    assert graded.standard_error == pytest.approx(
        measuring.log_losses(probabilities, labels).std(ddof=1) / math.sqrt(len(labels)), abs=1e-12
    )


def test_a_confident_mistake_costs_what_it_costs_on_kaggle() -> None:
    assert measuring.log_losses(pairs([1.0]), np.array([0])) == pytest.approx(-math.log(1e-15))


@pytest.mark.parametrize("labels", [("0", "1", "1"), ("cat", "dog", "dog")])
def test_a_truth_is_matched_by_id(tmp_path: Path, labels: tuple[str, str, str]) -> None:
    path = save(tmp_path / "submission.csv", "id,label\n10,0.9\n2,0.2\n1,0.6\n")
    truth = save(tmp_path / "truth.csv", f"id,label\n2,{labels[0]}\n1,{labels[1]}\n10,{labels[2]}\n")
    graded = grading.grade_submission(path, truth, CAT_DOG)
    assert graded.log_loss == pytest.approx(-np.log([0.8, 0.6, 0.9]).mean())
    assert graded.accuracy == 1 and graded.rows == 3 and "truth.csv" in graded.measured_on


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ("id,label\n1,0\n", r"1 ids are missing from .*truth\.csv: 2"),
        ("id,label\n1,0\n2,1\n3,1\n", r"1 ids are missing from .*submission\.csv: 3"),
        ("id,label\n1,0\n2,dog\n", "row 2: the label '0' of 1 is none of cat, dog"),
        ("id,label,more\n1,0,0\n2,1,0\n", "row 2: 1 has 0 right classes, not one"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused(tmp_path: Path, truth: str, message: str) -> None:
    path = save(tmp_path / "submission.csv", "id,label\n1,0.9\n2,0.2\n")
    with pytest.raises(SubmissionError, match=message):
        grading.grade_submission(path, save(tmp_path / "truth.csv", truth), CAT_DOG)


@pytest.mark.parametrize(
    ("column", "labels", "classes", "right"),
    [
        ("cat", ("cat", "dog", "dog"), CAT_DOG, (1, 0, 0)),
        ("cat", ("1", "0", "0"), CAT_DOG, (1, 0, 0)),
        ("dog", ("cat", "dog", "dog"), CAT_DOG, (0, 1, 1)),
        ("label", ("cat", "dog", "dog"), CAT_DOG, (0, 1, 1)),
        ("label", ("cat", "dog", "dog"), ("dog", "cat"), (1, 0, 0)),
        ("label", ("dog", "dog", "dog"), CAT_DOG, (1, 1, 1)),
        ("label", ("cat", "cat", "cat"), CAT_DOG, (0, 0, 0)),
        ("cat", ("dog", "dog", "dog"), CAT_DOG, (0, 0, 0)),
        ("label", ("0", "0", "0"), CAT_DOG, (0, 0, 0)),
    ],
)
def test_a_column_named_after_a_class_is_of_that_class(
    tmp_path: Path, column: str, labels: tuple[str, ...], classes: tuple[str, str] | None, right: tuple[int, ...]
) -> None:
    path = save(tmp_path / "submission.csv", f"id,{column}\n1,0.9\n2,0.2\n3,0.6\n")
    truth = save(tmp_path / "truth.csv", "id,label\n" + "".join(f"{n},{label}\n" for n, label in enumerate(labels, 1)))
    expected = grades.score(pairs([0.9, 0.2, 0.6]), np.array(right), "")
    graded = grading.grade_submission(path, truth, classes)
    assert (graded.log_loss, graded.accuracy) == (pytest.approx(expected.log_loss), expected.accuracy)


def test_what_is_written_under_a_class_name_is_graded_as_that_class(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    submission.write_submission(
        path, ["1", "2", "3"], pairs([0.1, 0.9, 0.9]), CAT_DOG, SAMPLE.replace("label", "cat"), {}
    )
    truth = save(tmp_path / "truth.csv", "id,label\n1,cat\n2,dog\n3,dog\n")
    assert grading.grade_submission(path, truth, CAT_DOG).accuracy == 1


def test_a_label_that_is_no_class_of_the_run_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "submission.csv", "id,label\n1,0.9\n2,0.2\n")
    truth = save(tmp_path / "truth.csv", "id,label\n1,cat\n2,fox\n")
    with pytest.raises(SubmissionError, match="row 3: the label 'fox' of 2 is none of cat, dog"):
        grading.grade_submission(path, truth, CAT_DOG)
    with pytest.raises(SubmissionError, match="are not the classes ape, cat, dog"):
        grading.grade_submission(path, truth, ("ape", *CAT_DOG))


def test_a_single_row_has_no_standard_error_and_says_none() -> None:
    one = grades.score(np.array([[0.2, 0.8]]), np.array([1]), "a single row")
    assert str(one) == "log loss 0.22314, accuracy 100.00% (a single row)"
    assert " ± " in str(grades.score(np.array([[0.2, 0.8]] * 2), np.array([1, 0]), "two rows"))

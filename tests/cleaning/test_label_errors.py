"""Which labels are doubted: planted errors are, hard problems and rare classes are not."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from catsdogs.cleaning import label_errors, outliers, suspect_table
from catsdogs.photographs import images
from tests.support.ballots import csv_rows, photograph, save_dataset, write_voters
from tests.support.kinds import FRUITS, LABELS_TASK, NUMBER_TASK, features_of


def blobs(classes: int, each: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around a corner of a cube for each class, and the classes."""
    truth = np.repeat(np.arange(classes), each)
    noise = np.random.default_rng(seed).normal(scale=spread, size=(len(truth), classes))
    return np.eye(classes)[truth] + noise, truth


def out_of_fold(X: np.ndarray, labels: np.ndarray) -> np.ndarray:
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    return cross_val_predict(LogisticRegression(C=10), X, labels, cv=folds, method="predict_proba")


@pytest.mark.parametrize(("classes", "each"), [(2, 150), (6, 50)])
def test_planted_errors_are_found_and_few_others(classes: int, each: int) -> None:
    X, truth = blobs(classes, each, spread=0.2)
    planted = np.random.default_rng(1).choice(len(truth), 9, replace=False)
    labels = truth.copy()
    labels[planted] = (truth[planted] + 1) % classes
    found = label_errors.find_label_errors(out_of_fold(X, labels), labels)
    assert len(set(planted.tolist()) & set(found)) >= 8
    assert len(set(found) - set(planted.tolist())) <= 2


def test_a_hard_problem_is_no_heap_of_label_errors() -> None:
    X, labels = blobs(8, 40, spread=0.8)
    probabilities = out_of_fold(X, labels)
    wrong = np.count_nonzero(probabilities.argmax(axis=1) != labels)
    assert wrong > 80
    assert len(label_errors.find_label_errors(probabilities, labels)) < wrong / 5


def test_120_classes_of_a_few_rows_some_empty_are_no_trouble_and_make_no_noise(capfd: pytest.CaptureFixture) -> None:
    labels = np.repeat(np.arange(0, 118), 2)[:-1]  # the last class there has one row, two have none
    probabilities = np.full((len(labels), 120), 0.1 / 119)
    probabilities[np.arange(len(labels)), labels] = 0.9
    probabilities[7, [labels[7], 100]] = probabilities[7, [100, labels[7]]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = label_errors.find_label_errors(probabilities.astype(np.float32), labels)
    assert list(found) == [7]
    assert capfd.readouterr() == ("", "")


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 5), st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_what_is_found_whatever_the_probabilities(classes: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([[0, 1], rng.integers(0, classes, rows - 2)])
    probabilities = rng.dirichlet(np.full(classes, 0.2), rows)
    found = label_errors.find_label_errors(probabilities, labels)
    assert list(found) == sorted(found)
    given_one, best = probabilities[np.arange(rows), labels], probabilities.max(axis=1)
    for row in range(rows):
        lead = best[row] - given_one[row]
        assert (row in found) == (lead >= 2 * label_errors.DOUBT - 1)
        assert row not in found or found[row] == pytest.approx((1 + lead) / 2)


def test_a_wrong_label_is_found_by_a_head_on_drawn_pictures(tmp_path: Path) -> None:
    def tinted(seed: int, colour: tuple[int, int, int]) -> Image.Image:
        return Image.blend(photograph(seed), Image.new("RGB", (120, 90), colour), 0.5)

    pictures = {f"train/cat.{n}.jpg": tinted(n, (220, 60, 60)) for n in range(15)}
    pictures |= {f"train/dog.{n}.jpg": tinted(n + 15, (60, 60, 220)) for n in range(14)}
    pictures["train/dog.99.jpg"] = tinted(99, (220, 60, 60))  # a cat, by its colour
    data = save_dataset(tmp_path / "data", pictures)
    files = write_voters(tmp_path, data, {"One": {}})
    colours = [np.asarray(images.decode(data.read(photo))).mean(axis=(0, 1)) / 100 for photo in data.of("train")]
    suspects = outliers.find_outliers(files, out_of_fold=out_of_fold(np.array(colours), files[0].labels))
    suspect_table.write_suspects(tmp_path / suspect_table.OUTLIERS_FILE, suspects)
    (row,) = csv_rows(tmp_path / suspect_table.OUTLIERS_FILE)
    assert (row["split"], row["id"], row["label"], row["votes"]) == ("train", "dog.99", "dog", "0")
    assert row["reasons"].startswith("label error: out of fold, cat 0.9")
    assert 0.02 < float(row["score"]) < 0.05  # one label of 700 is wrong, and this one thirty times as likely


def test_belief_in_the_neighbouring_grade_is_no_doubt_and_in_a_far_one_is() -> None:
    certain = np.eye(5)
    grades = np.array([2, 2, 2, 2, 0])
    scores = label_errors.score_grades(certain, grades)
    assert scores == pytest.approx([1, 0.5, 0, 0.5, 1])
    spread = np.array([[0, 0, 0.1, 0.5, 0.4]])  # the margin sees no clear leader in this
    assert label_errors.score_grades(spread, np.array([0])) >= label_errors.DOUBT
    assert label_errors.score_grades(np.array([[0.1, 0.9]]), np.array([0])) == pytest.approx(0.9)


def many_labels(rows: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(rows, 4) labels of which the last is rare and cannot be told, and probabilities out of fold."""
    draw = np.random.default_rng(seed)
    truth = (draw.random((rows, 4)) < (0.5, 0.3, 0.1, 0.05)).astype(float)
    logits = 8 * (truth - 0.5) + noise * draw.normal(size=truth.shape)
    logits[:, 3] = -3 + 0.3 * draw.normal(size=rows)
    return truth, 1 / (1 + np.exp(-logits))


def test_planted_errors_of_each_label_are_found_and_few_others() -> None:
    truth, probabilities = many_labels(800, noise=1.5)
    flipped = np.random.default_rng(1).random(truth.shape) < 0.05
    given_ones = np.where(flipped, 1 - truth, truth)
    doubted = label_errors.score_labels(probabilities, given_ones) >= label_errors.DOUBT
    assert doubted[:, :3][flipped[:, :3]].mean() > 0.9
    assert flipped[:, :3][doubted[:, :3]].mean() > 0.9
    assert not doubted[:, 3].any()  # of what no head can tell nothing is said, though each probability is below 0.1
    unheld = probabilities.copy()
    unheld[5] = np.nan
    assert not label_errors.score_labels(unheld, given_ones)[5].any()


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_scores_of_labels_and_numbers_are_where_they_should_be(rows: int, columns: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    targets = (draw.random((rows, columns)) < 0.3).astype(float)
    probabilities = draw.random((rows, columns)).round(1)
    scores = label_errors.score_labels(probabilities, targets)
    assert ((scores >= 0) & (scores <= 1)).all()
    believed = np.where(targets > 0, probabilities, 1 - probabilities)
    assert (believed[scores >= label_errors.DOUBT] <= 1 - label_errors.DOUBT + 1e-9).all()
    numbers = draw.normal(size=(rows, columns))
    off = label_errors.score_numbers(numbers, numbers + targets)
    assert ((off >= 0) & np.isfinite(off)).all()
    assert label_errors.score_numbers(numbers * 7 + 3, (numbers + targets) * 7 + 3) == pytest.approx(off, rel=1e-4)


def test_numbers_that_were_shifted_are_found_and_wide_residuals_alone_are_none() -> None:
    draw = np.random.default_rng(0)
    predictions = draw.uniform(1, 100, (1000, 1))
    numbers = predictions * (1 + 0.1 * draw.normal(size=predictions.shape))  # the larger, the wider
    by_all = np.abs(numbers - predictions)[:, 0] / np.median(np.abs(numbers - predictions)) * 0.6745
    off = label_errors.score_numbers(predictions, numbers)[:, 0]
    assert np.count_nonzero(off >= label_errors.FAR) < np.count_nonzero(by_all >= label_errors.FAR) / 3
    shifted = draw.choice(1000, 30, replace=False)
    numbers[shifted] += 60
    found = np.flatnonzero(label_errors.score_numbers(predictions, numbers)[:, 0] >= label_errors.FAR)
    assert len(set(found) & set(shifted)) == 30 and len(found) < 45
    predictions[shifted] = np.nan
    assert not label_errors.score_numbers(predictions, numbers)[shifted].any()


def test_reasons_name_label_and_direction_and_are_read_back(tmp_path: Path) -> None:
    texts = ["apple|pear"] * 30 + ["plum"] * 30
    file = features_of(tmp_path, LABELS_TASK, len(texts), texts=texts)
    believed = np.where(file.targets > 0, 0.95, 0.04)
    believed[3] = (0.02, 0.95, 0.97)
    believed[40] = np.nan
    (doubt,) = label_errors.find_doubted_labels(file, file, believed)
    place, reason = doubt
    assert place == ("train", 3) and label_errors.DOUBT <= reason.score <= 1
    assert reason.text == "label error: out of fold, apple 0.02 given, plum 0.97 not given"
    assert label_errors.doubted_in(reason.text, FRUITS) == ["apple", "plum"]
    assert label_errors.doubted_in("far from all others: apple 0.02 given", FRUITS) == []
    assert label_errors.doubted_in(reason.text, ("lum", "le", "pear")) == []


def test_a_far_off_number_says_both(tmp_path: Path) -> None:
    file = features_of(tmp_path, NUMBER_TASK, 100)
    predicted = file.targets + np.random.default_rng(0).normal(size=file.targets.shape)
    predicted[7] = file.targets[7] - 64
    ((place, reason),) = label_errors.find_doubted_labels(file, file, predicted)
    assert place == ("train", 7) and label_errors.DOUBT < reason.score < 1
    assert reason.text == f"number far off: out of fold {predicted[7, 0]:.4g}, given {file.targets[7, 0]:.6g}"
    file = dataclasses.replace(file, statistics={})
    suspects = outliers.find_outliers([file], out_of_fold=predicted)
    assert outliers.summary(suspects, [file]).endswith("suspect: number far off 1.")

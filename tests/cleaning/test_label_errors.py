"""Which labels are doubted: planted errors are, hard problems and rare classes are not."""

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
    assert float(row["score"]) > 0.9

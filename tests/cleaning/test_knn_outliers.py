"""Who lies far from all others: what does not belong, also in several copies, and hardly anyone where all do."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from catsdogs.cleaning import duplicates, knn_outliers, outliers
from catsdogs.features.feature_file import Features
from catsdogs.photographs.task import Task
from tests.support.ballots import OTHERS, PETS
from tests.support.kinds import LABELS_TASK, NUMBER_TASK
from tests.support.vectors import clusters, write_vectors

WIDTH = 600


def crowd(folder: Path, foreign: int, rows: int = 300) -> Features:
    """Rows of one kind, the last of which are foreign: of another kind, and near one another."""
    draw = np.random.default_rng(1)
    vectors = clusters(rows, WIDTH)
    other = np.abs(draw.normal(size=WIDTH)) * (vectors.mean(axis=0) < np.median(vectors.mean(axis=0))) * 3
    vectors[rows - foreign :] = other + 0.5 * np.abs(draw.normal(size=(foreign, WIDTH)))
    return write_vectors(folder, "ResNet50", vectors[40:], vectors[:40])


@pytest.mark.parametrize("foreign", [1, 8])
def test_foreign_photographs_come_first_though_they_are_alike(tmp_path: Path, foreign: int) -> None:
    file = crowd(tmp_path, foreign)
    found = sorted(
        knn_outliers.find_knn_outliers(duplicates.crowd_of([file], file), file), key=lambda doubt: -doubt[1].score
    )
    expected = {("train", 259 - number) for number in range(foreign)}
    assert {place for place, _ in found[:foreign]} == expected
    assert len(found) <= foreign + 6
    assert all(
        0 < reason.score <= knn_outliers.MAX_SCORE and reason.kind == knn_outliers.FAR_FROM_ALL for _, reason in found
    )


def test_equal_photographs_random_weights_and_narrow_vectors_tell_nothing(tmp_path: Path) -> None:
    one = write_vectors(tmp_path, "ResNet50", np.ones((30, WIDTH)), np.ones((5, WIDTH)))
    narrow = write_vectors(tmp_path / "narrow", "ResNet50", clusters(30, 20), clusters(5, 20))
    random = dataclasses.replace(one, recipe=dataclasses.replace(one.recipe, weights="random"))
    assert all(
        not list(knn_outliers.find_knn_outliers(duplicates.crowd_of([file], file), file))
        for file in (one, narrow, random)
    )


def test_where_networks_vote_on_pets_distance_says_nothing(tmp_path: Path) -> None:
    file = crowd(tmp_path, 8)

    def sees(label: int, task: Task, classes: tuple[str, ...]) -> Features:
        top = {split: np.full((len(file.ids[split]), 10), label, np.int16) for split in file.ids}
        return dataclasses.replace(file, topk_class=top, task=task, classes=classes)

    def kinds_of(changed: Features) -> set[str]:
        sure = np.full((len(file.labels), len(changed.columns)), np.nan)
        return {kind for one in outliers.find_outliers([changed], out_of_fold=sure) for kind in one.kinds}

    binary = Task.of_classes(("cat", "dog"))
    assert knn_outliers.FAR_FROM_ALL not in kinds_of(sees(PETS[0], binary, ("cat", "dog")))
    assert knn_outliers.FAR_FROM_ALL in kinds_of(sees(OTHERS[0], binary, ("daisy", "tulip")))
    # Labels called cat and dog, and numbers of pets, are not voted on.
    pets = dataclasses.replace(LABELS_TASK, names=("cat", "dog"))
    for changed in (sees(OTHERS[0], pets, ("cat", "dog")), sees(PETS[0], NUMBER_TASK, ("1.5", "3"))):
        assert kinds_of(changed) >= {knn_outliers.FAR_FROM_ALL} and "no pet" not in kinds_of(changed)
        suspects = outliers.find_outliers([changed], out_of_fold=np.full((260, len(changed.columns)), np.nan))
        assert {one.networks for one in suspects} == {0} and not outliers.about_pets(suspects, [changed])
        said = outliers.summary(suspects, [changed])
        assert "Voted" not in said and "pets" not in said and "cats" not in said


def test_deviations_are_those_of_the_own_class_by_all_products(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    vectors = clusters(120, WIDTH)
    vectors[60:] += 3 * draw.random(WIDTH).astype(np.float32)
    file = dataclasses.replace(write_vectors(tmp_path, "ResNet50", vectors, vectors[:3]), labels=np.arange(120) // 60)
    rows = np.arange(120)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = np.where((rows[:, None] // 60 == rows // 60) & (rows[:, None] != rows), unit @ unit.T, -np.inf)
    far = 1 - np.sort(cosines, axis=1)[:, -10:].mean(axis=1)
    found = knn_outliers.deviations(duplicates.crowd_of([file], file), file, [("train", row) for row in rows.tolist()])
    assert np.corrcoef(found, far)[0, 1] > 0.95  # shortened to 512 columns
    assert not knn_outliers.deviations(None, file, [("train", 0)]).any()

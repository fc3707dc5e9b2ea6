"""What is learnt: the folds, which are those of `train`, copies, and classes that are too small."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from invoke import Config, Context

from catsdogs.commands.finetuning import near_copy_files
from catsdogs.commands.settings import Flags
from catsdogs.errors import TrainingError, UsageError
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache, DigestedPhotograph
from catsdogs.networks.quiet import importing_keras
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset, scan
from catsdogs.scoring import training_plan
from tests.conftest import refused
from tests.support.datasets import write_kaggle_folder
from tests.support.features import recipe, rows_of

with importing_keras():
    from catsdogs.finetuning.lesson import read_lesson


@pytest.mark.parametrize(
    ("counts", "match"), [({"cats": 2, "dogs": 6}, "takes 4"), ({"cats": 6, "dogs": 0}, "1 classes")]
)
def test_too_few_photographs(make_dataset: Callable[..., Dataset], counts: dict[str, int], match: str) -> None:
    with refused(TrainingError, match):
        read_lesson(make_dataset(**counts), 2, 0)


def test_numbers_of_folds_that_cannot_be(make_dataset: Callable[..., Dataset]) -> None:
    with refused(UsageError, "folds"):
        read_lesson(make_dataset(), 0, 0)


def test_its_folds_are_those_of_train(make_dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    """Copies and all, whatever is dropped: a row is held out by the member and the head of one fold."""
    dataset = make_dataset(cats=14, dogs=12)
    root = dataset.root
    for copy, original in (("cat.3", "cat.1"), ("cat.9", "cat.1"), ("dog.4", "cat.2"), ("dog.5", "dog.6")):
        (root / f"train/{copy}.jpg").write_bytes((root / f"train/{original}.jpg").read_bytes())
    near = [("cat.1", "cat.11"), ("dog.7", "dog.8")]
    file = features_of(tmp_path, dataset, near)
    for seed in range(3):
        lesson = read_lesson(dataset, 3, seed, [file])
        assert [row.id for row in lesson.train] == file.ids["train"].tolist()
        for drop in (frozenset(), {"cat.0", "dog.1"}):
            crossed = training_plan.out_of_fold([file], training_plan.Plan("ridge", 3, seed, drop=drop))
            assert np.array_equal(crossed.fold + 1, lesson.folds)
    changed = replace(file, digests={**file.digests, "train": file.digests["train"] + np.uint64(1)})
    pictures = read_lesson(dataset, 3, 0, [changed]).pictures
    assert pictures is not None and len(set(pictures)) == 26 - 4  # what has changed since is a copy of nothing


def features_of(folder: Path, dataset: Dataset, near: list[tuple[str, str]]) -> feature_file.Features:
    """A feature file of a data set's photographs, wide enough to tell copies, with pairs of nearly the same vector."""
    entries = [DigestedPhotograph(row, images.digest(dataset.read(row))) for row in dataset.photographs]
    random = np.random.default_rng(0)
    X = np.abs(random.normal(size=(len(entries), 600))).astype(np.float32)
    row_of = {entry.photograph.id: number for number, entry in enumerate(entries) if entry.photograph.split == "train"}
    for one, other in near:
        X[row_of[other]] = X[row_of[one]] * (1 + 0.02 * random.normal(size=600))
    cache = Cache(folder, recipe("ResNet50"))
    cache.write_shard(replace(rows_of(entries, 600), vector=X), "none")
    cache.assemble(entries, dataset.classes, [], str(dataset.root))
    return feature_file.read_features(cache.path)


def test_a_photograph_that_cannot_be_read_is_left_out(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset(cats=6, dogs=6)
    (dataset.root / "train/cat.5.jpg").write_bytes(b"no picture")
    lesson = read_lesson(dataset, 2, 0)
    assert [(row.id, row.split) for row in lesson.unreadable] == [("cat.5", "train")]
    assert len(lesson.train) == len(lesson.digests) == len(lesson.labels) == len(lesson.folds) == 11


def test_classes_that_no_photograph_shows_are_left_out(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset(cats=6, dogs=6)
    rows = tuple(row._replace(label=2 * row.label + 1 if row.label >= 0 else -1) for row in dataset.photographs)
    lesson = read_lesson(replace(dataset, classes=("ant", "cat", "bee", "dog"), photographs=rows), 2, 0)
    assert lesson.dataset.classes == ("cat", "dog")
    assert lesson.labels.tolist() == [0] * 6 + [1] * 6


@pytest.mark.parametrize(
    ("dogs", "folds", "remedy"), [(4, 5, "--folds 4"), (3, 5, "--folds 3"), (3, 2, "--folds 3"), (2, 3, "Add ")]
)
def test_the_smallest_class_and_the_most_folds_are_named(
    make_dataset: Callable[..., Dataset], dogs: int, folds: int, remedy: str
) -> None:
    dataset = make_dataset(cats=9, dogs=dogs)
    with refused(TrainingError, f"class dog has {dogs} photographs to learn from, .*{remedy}"):
        read_lesson(dataset, folds, 0)
    if remedy.startswith("--folds"):
        assert read_lesson(dataset, int(remedy[-1]), 0).folds.max() == int(remedy[-1])


def test_near_copies_are_told_by_the_feature_files_of_these_photographs(
    make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """A damaged file, one of other photographs, or none leaves those of the same bytes."""
    monkeypatch.chdir(tmp_path)
    dataset, flags = make_dataset(cats=8, dogs=8), Flags(Context(Config(lazy=True)))
    assert near_copy_files(flags, dataset) == []
    file = features_of(tmp_path / "features", dataset, [("cat.1", "cat.2")])
    (tmp_path / "features/Xception.h5").write_bytes(b"no HDF5")
    assert [one.path for one in near_copy_files(flags, dataset)] == [Path("features/ResNet50.h5")]
    assert capsys.readouterr().out.splitlines() == [
        "Copies of a photograph share a fold: the same bytes",
        "Copies of a photograph share a fold: the same bytes, and near-copies as ResNet50 of features see them",
    ]
    others = scan(write_kaggle_folder(tmp_path / "other", cats=0, dogs=0))
    assert near_copy_files(flags, others) == [] and file.width == 600

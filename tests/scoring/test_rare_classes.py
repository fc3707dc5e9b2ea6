"""Classes with fewer photographs than folds: learnt by every head, scored where they can be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs import heads
from catsdogs.errors import TrainingError
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.photographs.task import Task
from catsdogs.runs import out_of_fold, run_card, training
from catsdogs.scoring import training_plan
from catsdogs.scoring.training_plan import Plan, TrainingRows
from tests.support.ballots import in_memory
from tests.support.features import recipe, rows_of
from tests.support.runs import digested, read_csv, with_copies

FOLDS = 5
COUNTS = {"ant": 20, "bee": 1, "cat": 2, "dog": 3, "emu": 7}


def uneven(folder: Path, counts: dict[str, int], spread: float = 0.3) -> Features:
    """A feature file with so many photographs of each class, around a place of its own."""
    rows = [(f"{name}.{n}", label) for label, (name, count) in enumerate(counts.items()) for n in range(count)]
    table, random = digested(rows, 4), np.random.default_rng(0)
    places = random.normal(size=(len(counts) + 1, 24)).astype(np.float32) * 4
    known = rows_of(table, 24, "ResNet50")
    labels = np.array([label for _, label in rows] + [0] * 4)
    cache = Cache(folder, recipe("ResNet50"))
    noise = random.normal(size=(len(labels), 24)).astype(np.float32) * spread
    cache.write_shard(replace(known, vector=places[labels] + noise), "none")
    cache.assemble(table, [*counts], [], "photographs")
    return feature_file.read_features(cache.path)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Features:
    return uneven(tmp_path_factory.mktemp("uneven"), COUNTS)


@pytest.mark.parametrize("head", [*heads.names(), "GaussianNB", "KNeighborsClassifier"])
def test_every_head_learns_every_class_in_every_fold(file: Features, head: str) -> None:
    crossed = training_plan.out_of_fold([file], Plan(head, FOLDS, 0))
    alone = file.ids["train"] == "bee.0"
    assert np.array_equal(crossed.fold == ALWAYS_LEARNT, alone) and np.array_equal(crossed.scored, ~alone)
    assert np.isnan(crossed.predictions[alone]).all()
    probabilities = crossed.predictions[~alone]
    assert probabilities.shape == (32, 5) and np.allclose(probabilities.sum(axis=1), 1, atol=1e-3)
    assert all(list(fitted.classes_) == [0, 1, 2, 3, 4] for fitted in crossed.heads)
    assert all(fitted.predict_proba(file.vectors("train")).shape == (33, 5) for fitted in crossed.heads)


@given(
    counts=st.lists(st.integers(1, 9), min_size=2, max_size=6),
    dropped=st.integers(0, 3),
    seed=st.integers(0, 20),
)
def test_no_head_misses_a_class(counts: list[int], dropped: int, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    kept = np.ones(len(labels), bool)
    kept[np.random.default_rng(seed).permutation(len(labels))[:dropped]] = False
    kept[np.unique(labels, return_index=True)[1]] = True
    pictures = np.arange(len(labels)) if seed % 2 else np.maximum(np.arange(len(labels)) - (labels == 0), 0)
    numbered = np.arange(len(labels))
    file = replace(
        in_memory("One", [[0]] * len(labels)),
        labels=labels,
        classes=tuple(map(str, range(len(counts)))),
        ids={"train": numbered.astype(str).astype(object), "test": np.array([], object)},
    )
    rows = TrainingRows([file], labels, kept, pictures)
    fold = rows.deal(FOLDS, seed)
    for number in range(FOLDS):
        assert set(labels[kept & (fold != number)]) == set(labels)
    for picture in np.unique(pictures):
        assert len(set(fold[pictures == picture])) == 1
    bare = rows.with_copies(()).deal(FOLDS, seed)
    shown = np.bincount(labels[kept])
    if kept.all():  # what has two photographs is held out
        assert np.array_equal(bare == ALWAYS_LEARNT, shown[labels] == 1)


def test_a_run_counts_them_and_is_repeated(file: Features, tmp_path: Path) -> None:
    run = training.train([file], Plan("ridge", FOLDS, 0), submissions=tmp_path, name="run", command="")
    assert run.scores[0].rows == 32 and "1 more learnt in each and not scored" in run.scores[0].measured_on
    by_name = replace(file, task=Task("classes", "name", metric="accuracy"))
    named = training.train([by_name], Plan("ridge", FOLDS, 0), submissions=tmp_path, name="named", command="").scores[0]
    least = named.value * 32 / 33
    assert named.measured_on.endswith(f"; {least:.5f} were those not scored all wrong")
    row = next(row for row in read_csv(tmp_path / "run/oof.csv") if row["id"] == "bee.0")
    assert (row["fold"], row["p_ant"], row["p_bee"]) == ("0", "", "")
    probabilities, fold = out_of_fold.read_out_of_fold(tmp_path / "run", run, file)
    assert np.isnan(probabilities[fold == ALWAYS_LEARNT]).all() and np.isfinite(probabilities[fold >= 0]).all()
    again = training.train([file], run_card.plan_of(run), submissions=tmp_path, name="again", command="")
    assert again.scores == run.scores
    for part in ("submission.csv", "oof.csv"):
        assert (tmp_path / "run" / part).read_bytes() == (tmp_path / "again" / part).read_bytes()


def test_streamed_rows_are_held_out_alike(file: Features) -> None:
    plan = Plan("GaussianNB", FOLDS, 0)
    whole, streamed = (training_plan.out_of_fold([file], replace(plan, streamed=way)) for way in (False, True))
    assert np.array_equal(whole.fold, streamed.fold)
    assert np.array_equal(np.isnan(whole.predictions), np.isnan(streamed.predictions))


def test_copies_of_one_picture_are_one(file: Features) -> None:
    copied = with_copies(file, ["cat.0", "cat.1"], ["dog.0", "ant.3"])
    crossed = training_plan.out_of_fold([copied], Plan("ridge", FOLDS, 0))
    always = set(file.ids["train"][crossed.fold == ALWAYS_LEARNT])
    assert always == {"bee.0", "cat.0", "cat.1"}


def test_all_classes_may_have_fewer_photographs_than_folds(tmp_path: Path) -> None:
    crossed = training_plan.out_of_fold([uneven(tmp_path, dict.fromkeys("abcdef", 2))], Plan("ridge", FOLDS, 0))
    assert crossed.scored.all() and np.bincount(crossed.fold).tolist() == [3, 3, 2, 2, 2]
    assert [len(set(crossed.fold[2 * n : 2 * n + 2])) for n in range(6)] == [2] * 6


def test_nothing_can_be_scored(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="one would hold out nothing: of 6 classes, 0 have more"):
        training_plan.out_of_fold([uneven(tmp_path, dict.fromkeys("abcdef", 1))], Plan("ridge", FOLDS, 0))

"""What is listed as the same picture again, under which kind, and what is not."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from catsdogs.cleaning import duplicates, knn_outliers, outliers, suspect_table
from catsdogs.errors import StoreError
from catsdogs.features import feature_file, neighbours
from catsdogs.networks.weights import RANDOM_WEIGHTS
from tests.conftest import need, refused
from tests.support.ballots import photograph, plain_pictures, save_dataset, write_voters
from tests.support.kinds import NUMBER_TASK
from tests.support.vectors import clusters
from tests.support.vectors import write_vectors as write

Matrix = np.ndarray
WIDTH = 600


def vectors(rows: int = 60, seed: int = 0) -> Matrix:
    """Rows of which none is near another."""
    return clusters(rows, WIDTH, seed)


def again(vector: Matrix, change: float = 0.05) -> Matrix:
    """The vector of the same picture, saved again; 0.5 is another picture like it."""
    return np.maximum(vector * (1 + change * np.random.default_rng(7).normal(size=vector.shape)), 0)


@pytest.fixture
def copies(tmp_path: Path) -> list[feature_file.Features]:
    """Two networks, train rows `cat.0` … of the classes a and b in turn, and near copies among them."""
    files = []
    for seed, name in enumerate(("ResNet50", "Xception")):
        train, test = vectors(60, seed), vectors(20, 10 + seed)
        train[3], train[8], train[20] = again(train[1]), again(train[5]), again(train[22], 0.9)
        test[0], test[5], test[6] = again(train[40]), test[2], again(test[3])
        files.append(write(tmp_path, name, train, test))
    return files


def test_near_copies_name_one_another_and_a_contradiction_weighs_more(
    copies: list[feature_file.Features], tmp_path: Path
) -> None:
    mute = [dataclasses.replace(file, topk_class={}, statistics={}) for file in copies]
    no_doubt = np.where(np.arange(2) == copies[0].labels[:, np.newaxis], 0.95, 0.05)
    found = [
        one for one in outliers.find_outliers(mute, out_of_fold=no_doubt) if knn_outliers.FAR_FROM_ALL not in one.kinds
    ]
    reasons = {(suspect.split, suspect.id): suspect.reasons for suspect in found}
    words = {key: [reason.text.rsplit(" ", 1)[0] for reason in listed] for key, listed in reasons.items()}
    assert words == {
        ("train", "cat.1"): ["near-duplicate: looks like train/cat.3 (b)"],
        ("train", "cat.3"): ["near-duplicate: looks like train/cat.1 (b)"],
        ("train", "cat.5"): ["two labels: looks like train/cat.8 (a)"],
        ("train", "cat.8"): ["two labels: looks like train/cat.5 (b)"],
        ("train", "cat.40"): ["near-duplicate: looks like test/0"],
        ("test", "0"): ["near-duplicate: looks like train/cat.40 (a)"],
    }
    assert {suspect.id for suspect in found[:2]} == {"cat.5", "cat.8"}
    assert all(0.95 < float(listed[0].text.rsplit(" ", 1)[1]) <= 1 for listed in reasons.values())
    assert "near-duplicate 4" in outliers.summary(found, mute)
    suspect_table.write_suspects(tmp_path / suspect_table.OUTLIERS_FILE, found)
    kinds = {
        (row.split, row.id): row.kinds for row in suspect_table.read_suspects(tmp_path / suspect_table.OUTLIERS_FILE)
    }
    assert kinds["train", "cat.40"] == ("near-duplicate",) and kinds["train", "cat.5"] == ("two labels",)


def test_the_same_bytes_are_no_near_copies_as_well(copies: list[feature_file.Features]) -> None:
    digests = {split: values.copy() for split, values in copies[0].digests.items()}
    digests["train"][3] = digests["train"][1]
    files = [dataclasses.replace(file, digests=digests) for file in copies]
    doubts = [*duplicates.find_same_bytes(files[0]), *duplicates.find_near_copies(files, files[0])]
    texts = [reason.text for _, reason in doubts]
    assert [text for text in texts if "cat.1 " in text] == ["duplicate: same file as train/cat.1 (b)"]
    assert len(texts) == 6


def test_files_without_digests_are_compared_too(copies: list[feature_file.Features]) -> None:
    old = [dataclasses.replace(file, digests={}) for file in copies]
    assert len(list(duplicates.find_near_copies(old, old[0]))) == 6


def test_rows_are_those_of_the_file_that_gives_the_order(copies: list[feature_file.Features], tmp_path: Path) -> None:
    other = write(tmp_path / "other", "VGG16", vectors(60, 3), vectors(20, 4), range(59, -1, -1))
    assert other.ids["train"][0] == "cat.59"
    turned = dict.fromkeys(place for place, _ in duplicates.find_near_copies(copies, other))
    assert turned == dict.fromkeys(
        [("train", 58), ("train", 56), ("train", 54), ("train", 51), ("train", 19), ("test", 0)]
    )


@pytest.mark.parametrize("same", [2, 40])  # 40 test photographs take all places of the train photograph that they show
def test_pairs_that_were_looked_for_are_not_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: int
) -> None:
    train, test = vectors(60), vectors(60, 1)
    train[3], test[:same] = again(train[1], 0.1), again(np.tile(train[1], (same, 1)), 0.01)
    file = write(tmp_path, "ResNet50", train, test)
    pairs, expected = duplicates.find_pairs([file], file), duplicates.find_copies([file])
    listed = list(duplicates.find_near_copies([file], file))
    assert expected == (("cat.1", "cat.3"),)
    if same == 2:
        monkeypatch.setattr(duplicates, "Crowd", None)
    assert duplicates.find_copies([file], pairs) == expected
    assert list(duplicates.find_near_copies([file], file, pairs)) == listed


@pytest.mark.parametrize("unfit", [{"learnt": 100}, {"width": 511}, {"weights": RANDOM_WEIGHTS}])
def test_networks_that_say_nothing_of_pictures_are_not_asked(copies: list[feature_file.Features], unfit: dict) -> None:
    weights = unfit.get("weights", copies[0].recipe.weights)
    recipe = dataclasses.replace(copies[0].recipe, weights=weights)
    others = {name: value for name, value in unfit.items() if name != "weights"}
    file = dataclasses.replace(copies[0], recipe=recipe, path=Path("not/there.h5"), **others)
    assert list(duplicates.find_near_copies([file], file)) == []
    assert len(list(duplicates.find_near_copies([file, copies[1]], file))) == 6


def test_what_all_photographs_have_in_common_makes_none_a_copy(tmp_path: Path) -> None:
    alike = vectors() + 30 * np.random.default_rng(3).random(WIDTH)
    file = write(tmp_path, "ResNet50", alike, alike[:0])
    normal = alike / np.linalg.norm(alike, axis=1, keepdims=True)
    assert np.quantile(normal @ normal.T, 0.1) > duplicates.LEAST_COSINE
    assert list(duplicates.find_near_copies([file], file)) == []


def test_an_index_lists_the_same(copies: list[feature_file.Features], monkeypatch: pytest.MonkeyPatch) -> None:
    need("faiss")
    exact = list(duplicates.find_near_copies(copies, copies[0]))
    monkeypatch.setattr(neighbours, "INDEX_ROWS", 50)
    assert list(duplicates.find_near_copies(copies, copies[0])) == exact


def test_many_near_copies_are_counted_not_listed(tmp_path: Path) -> None:
    train = vectors()
    train[1:8] = again(np.tile(train[0], (7, 1)), 0.02)
    train[30:] = vectors(30, 5)
    found = list(duplicates.find_near_copies([file := write(tmp_path, "ResNet50", train, train[:0])], file))
    assert [place for place, _ in found] == [("train", row) for row in range(8)]
    assert all(reason.text.endswith(" and 4 more") for _, reason in found)


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    train = vectors()
    train[7, 3] = np.inf
    file = write(tmp_path, "ResNet50", train, train[:0])
    with refused(StoreError, r"train row 7 \(cat\.7\) is not finite"):
        list(duplicates.find_near_copies([file], file))


def test_the_same_files_name_one_another_and_a_contradiction_weighs_more(tmp_path: Path) -> None:
    same, contradicted, harmless = photograph(50), photograph(51), photograph(52)
    pictures = plain_pictures() | {
        "train/cat.20.jpg": same,
        "test/20.jpg": same,
        "train/cat.21.jpg": contradicted,
        "train/dog.21.jpg": contradicted,
        "test/30.jpg": harmless,
        "test/31.jpg": harmless,
    }
    files = write_voters(tmp_path, save_dataset(tmp_path / "data", pictures), {"One": {}})
    suspects = outliers.find_outliers(files)
    texts = {(suspect.split, suspect.id): suspect.reasons[0].text for suspect in suspects}
    assert texts == {
        ("train", "cat.20"): "duplicate: same file as test/20",
        ("test", "20"): "duplicate: same file as train/cat.20 (cat)",
        ("train", "cat.21"): "two labels: same file as train/dog.21 (dog)",
        ("train", "dog.21"): "two labels: same file as train/cat.21 (cat)",
    }
    assert {suspect.id for suspect in suspects[:2]} == {"cat.21", "dog.21"}


def test_many_copies_are_counted_not_listed(tmp_path: Path) -> None:
    data = save_dataset(tmp_path / "data", {f"train/cat.{n}.jpg": photograph(1) for n in range(9)})
    for suspect in outliers.find_outliers(write_voters(tmp_path, data, {"One": {}})):
        assert suspect.reasons[0].text.endswith(" and 5 more")
        assert suspect.id not in suspect.reasons[0].text.replace(",", " ").split()


def test_copies_of_different_numbers_say_both_and_share_a_fold(tmp_path: Path) -> None:
    train = vectors()
    train[5] = train[4]
    file = write(tmp_path, "ResNet50", train, train[:0])
    texts = tuple(f"{number}.5" for number in range(len(train)))
    numbers = dataclasses.replace(file, classes=texts, labels=np.arange(len(train)), task=NUMBER_TASK)
    found = dict(duplicates.find_near_copies([numbers], numbers))
    assert found["train", 4].text == "two labels: given 4.5, looks like train/cat.5 (5.5) 1.000"
    assert found["train", 5].score == duplicates.NEAR_CONTRADICTION_SCORE
    # Each number has one picture only, which does not set its copies apart.
    assert ("cat.4", "cat.5") in duplicates.find_copies([numbers])

"""Who is suspect, for which reasons together, and in which order."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from catsdogs.cleaning import outliers, suspect_table
from catsdogs.errors import StoreError
from catsdogs.features import feature_file
from catsdogs.networks import imagenet
from tests.support.ballots import (
    PET_TOP,
    PROBABILITIES,
    STRANGE_TOP,
    csv_rows,
    in_memory,
    kinds,
    photograph,
    plain_pictures,
    save_dataset,
    write_voters,
)


def test_a_photograph_without_pet_labels_is_suspect_and_unanimity_comes_first(tmp_path: Path) -> None:
    data = save_dataset(tmp_path / "data", plain_pictures())
    once, twice = ("train", "dog.0"), ("test", "1")
    files = write_voters(
        tmp_path, data, {"One": {once: STRANGE_TOP, twice: STRANGE_TOP}, "Two": {twice: STRANGE_TOP}, "Three": {}}
    )
    suspects = outliers.find_outliers(files)
    assert [(suspect.split, suspect.id, suspect.votes, suspect.networks) for suspect in suspects] == [
        (*twice, 2, 3),
        (*once, 1, 3),
    ]
    assert [suspect.label for suspect in suspects] == ["", "dog"]
    assert [(suspect.split, suspect.id) for suspect in outliers.find_outliers(files, votes=2)] == [twice]
    assert outliers.find_outliers(files, votes=3) == []
    best = [f"{imagenet.labels()[label]} {share:.2f}" for label, share in zip(STRANGE_TOP, PROBABILITIES, strict=True)]
    assert suspects[0].labels["Two"] == ", ".join(best[:3])


def test_rows_of_several_files_are_matched_by_id(tmp_path: Path) -> None:
    data = save_dataset(tmp_path / "data", plain_pictures())
    reversed_data = dataclasses.replace(data, photographs=data.photographs[::-1])
    tops = {("train", "cat.3"): STRANGE_TOP, ("test", "0"): STRANGE_TOP}
    (one,) = write_voters(tmp_path / "a", data, {"One": tops})
    (two,) = write_voters(tmp_path / "b", reversed_data, {"Two": tops})
    assert two.ids["train"].tolist() != one.ids["train"].tolist()
    for files in ([one, two], [two, one]):
        assert {(s.split, s.id): s.votes for s in outliers.find_outliers(files)} == dict.fromkeys(tops, 2)
    (other,) = write_voters(tmp_path / "c", save_dataset(tmp_path / "more", plain_pictures(6)), {"Other": {}})
    with pytest.raises(StoreError, match="lacks 2 train rows"):
        outliers.find_outliers([one, other])


def believed(files: list[feature_file.Features], wrong: Mapping[str, float]) -> np.ndarray:
    """Out-of-fold probabilities in the order of the first file: 0.95 for the label given, or so much against it."""
    first = files[0]
    given = np.array([1 - wrong.get(id, 0.05) for id in first.ids["train"]])
    probabilities = np.tile(((1 - given) / (len(first.classes) - 1))[:, None], len(first.classes))
    probabilities[np.arange(len(given)), first.labels] = given
    return probabilities


def test_a_doubted_label_joins_the_table_with_its_reason(tmp_path: Path) -> None:
    data = save_dataset(tmp_path / "data", plain_pictures(8))
    files = write_voters(tmp_path, data, {"One": {("train", "cat.1"): STRANGE_TOP, ("test", "1"): STRANGE_TOP}})
    suspects = outliers.find_outliers(files, out_of_fold=believed(files, {"cat.1": 0.996, "dog.2": 0.9, "dog.4": 0.6}))
    assert kinds(suspects) == {
        ("train", "cat.1"): ["label error", "no pet"],
        ("train", "dog.2"): ["label error"],
        ("test", "1"): ["no pet"],
    }
    assert [suspect.id for suspect in suspects] == ["cat.1", "1", "dog.2"]
    assert "label error 2" in outliers.summary(suspects, files)
    suspect_table.write_suspects(tmp_path / suspect_table.OUTLIERS_FILE, suspects)
    row = csv_rows(tmp_path / suspect_table.OUTLIERS_FILE)[0]
    assert (row["id"], row["label"]) == ("cat.1", "cat")
    assert row["reasons"].split("; ") == ["label error: out of fold, dog 0.996", "no pet: 1 of 1 networks"]


@pytest.mark.parametrize("first_votes", [False, True])
def test_out_of_fold_rows_are_those_of_the_first_file(tmp_path: Path, first_votes: bool) -> None:
    data = save_dataset(tmp_path / "data", plain_pictures(8))
    reversed_data = dataclasses.replace(data, photographs=data.photographs[::-1])
    strange = {("train", "dog.6"): STRANGE_TOP}
    (mute,) = write_voters(tmp_path / "a", data, {"Mute": None})
    (able,) = write_voters(tmp_path / "b", reversed_data, {"Able": strange})
    assert able.ids["train"].tolist() != mute.ids["train"].tolist()
    files = [able, mute] if first_votes else [mute, able]
    suspects = outliers.find_outliers(files, out_of_fold=believed(files, {"cat.5": 0.99}))
    assert kinds(suspects) == {("train", "cat.5"): ["label error"], ("train", "dog.6"): ["no pet"]}
    assert suspects[0].reasons[0].text == "label error: out of fold, dog 0.990"


def test_doubted_labels_are_found_where_no_network_can_vote(tmp_path: Path) -> None:
    pictures = plain_pictures(8) | {"train/cat.9.jpg": photograph(9, (60, 30))}
    files = write_voters(tmp_path, save_dataset(tmp_path / "data", pictures), {"Mute": None, "Silent": None})
    suspects = outliers.find_outliers(files, votes=2, out_of_fold=believed(files, {"dog.0": 0.97}))
    assert kinds(suspects) == {("train", "dog.0"): ["label error"], ("train", "cat.9"): ["small"]}
    assert {(suspect.votes, suspect.networks, len(suspect.labels)) for suspect in suspects} == {(0, 0, 0)}
    assert "No network could vote, for none has a classifier: Mute, Silent" in outliers.summary(suspects, files)
    assert not outliers.about_pets(suspects, files)
    suspect_table.write_suspects(tmp_path / suspect_table.OUTLIERS_FILE, suspects)
    assert csv_rows(tmp_path / suspect_table.OUTLIERS_FILE)[0]["networks"] == "0"


def test_doubted_labels_are_found_in_files_of_an_old_notebook() -> None:
    old = dataclasses.replace(
        in_memory("gap_Old", [PET_TOP] * 6), digests={}, topk_class={}, topk_prob={}, statistics={}
    )
    old = dataclasses.replace(old, labels=np.array([0, 0, 0, 1, 1, 1]))
    new = dataclasses.replace(in_memory("New", [PET_TOP] * 5 + [STRANGE_TOP]), labels=old.labels)
    doubts = believed([old], {"4": 0.93})
    assert kinds(outliers.find_outliers([old], out_of_fold=doubts)) == {("train", "4"): ["label error"]}
    both = outliers.find_outliers([old, new], out_of_fold=doubts)
    assert kinds(both) == {("train", "4"): ["label error"], ("train", "5"): ["no pet"]}

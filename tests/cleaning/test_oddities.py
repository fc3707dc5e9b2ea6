"""Odd pixels are found, and photographs are not odd."""

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from catsdogs.cleaning import outliers
from catsdogs.photographs import dataset, images
from tests.support.ballots import PET_TOP, in_memory, kinds, photograph, plain_pictures, save_dataset, write_voters


def test_odd_pixels_are_reasons_and_photographs_are_not(tmp_path: Path) -> None:
    pictures = plain_pictures() | {
        "train/cat.10.jpg": photograph(10, (60, 30)),
        "train/cat.11.jpg": Image.new("RGB", (100, 100), "white"),
        "train/dog.12.jpg": photograph(12, (400, 60)),
        "test/10.png": Image.fromarray(np.kron(np.array([[0, 255], [255, 0]], np.uint8), np.ones((50, 50), np.uint8))),
        "train/dog.13.jpg": photograph(13).convert("L"),
    }
    files = write_voters(tmp_path, save_dataset(tmp_path / "data", pictures), {"One": {}})
    suspects = outliers.find_outliers(files)
    assert kinds(suspects) == {
        ("train", "cat.10"): ["small"],
        ("train", "cat.11"): ["few colours", "near-uniform"],
        ("train", "dog.12"): ["odd shape"],
        ("test", "10"): ["few colours"],
    }
    assert suspects[0].id == "cat.11"  # two reasons weigh more than one
    assert "small: 30 pixels at its shorter side, below 40" in {reason.text for s in suspects for reason in s.reasons}


def test_real_photographs_lie_above_the_lines_and_a_logo_below(shared_photographs: Path) -> None:
    data = dataset.scan(shared_photographs)
    photos = [photo for number, photo in enumerate(data.of("train")) if number % 10 == 0 or photo.id == "dog.4367"]
    file = in_memory("One", [PET_TOP] * len(photos))
    statistics = np.array([images.statistics(np.asarray(images.decode(data.read(photo)))) for photo in photos])
    file = dataclasses.replace(file, statistics=file.statistics | {"train": statistics})
    odd = {photos[int(suspect.id)].id for suspect in outliers.find_outliers([file])}
    assert odd == {"dog.4367"}


def test_quartiles_add_what_is_far_out_for_this_data_set_only(tmp_path: Path) -> None:
    pictures = {f"train/cat.{n}.jpg": photograph(n, (400 + 7 * n, 300 + 5 * n)) for n in range(20)}
    pictures["train/dog.0.jpg"] = photograph(99, (80, 60))
    files = write_voters(tmp_path, save_dataset(tmp_path / "data", pictures), {"One": {}})
    assert outliers.find_outliers(files) == []
    found = kinds(outliers.find_outliers(files, quartiles=True))
    assert "small" in found[("train", "dog.0")]
    assert not any("small" in reasons for key, reasons in found.items() if key != ("train", "dog.0"))


def test_quartiles_of_a_statistic_that_never_varies_flag_nothing(tmp_path: Path) -> None:
    files = write_voters(
        tmp_path, save_dataset(tmp_path / "data", {f"train/cat.{n}.jpg": photograph(1) for n in range(5)}), {"One": {}}
    )
    assert {kind for found in kinds(outliers.find_outliers(files, quartiles=True)).values() for kind in found} == {
        "duplicate"
    }

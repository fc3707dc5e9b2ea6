"""Folders that are splits of a data set, however they are called, and classes whose names sound like one."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import DatasetError
from catsdogs.photographs.dataset import Dataset, scan
from catsdogs.photographs.labels import classes_and_rows
from tests.conftest import refused

CLASSES = ("cats", "dogs")


def in_classes(folder: str, classes: Iterable[str] = CLASSES, start: int = 0) -> list[str]:
    return [f"{folder}/{name}/{number}.jpg" for name in classes for number in (start, start + 1)]


def learnt(names: list[str]) -> dict[str, str]:
    classes, rows = classes_and_rows(names, None)
    return {name: classes[label] for _, split, label, name in rows if split == "train"}


def predicted(names: list[str]) -> set[str]:
    return {name for _, split, _, name in classes_and_rows(names, None)[1] if split == "test"}


def write(root: Path, names: Iterable[str]) -> Dataset:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return scan(root)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("training_set/training_set", "test_set/test_set"),  # Kaggle's popular archive of cats and dogs
        ("train_images", "test_images"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train-jpg", "test-jpg"),
        ("TrainImages", "TestImages"),
        ("imagesTrain", "imagesTest"),
        ("IMAGES TRAIN", "IMAGES TEST"),
        ("trainset", "testset"),
        ("Training Set (80%)", "Testing Set (20%)"),
        ("train2017", "test2017"),
        ("plants.train", "plants.test"),
        ("x_train_v2", "x_test_v2"),
        ("train_val", "test"),
        ("train/images", "test/images"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "archive/", "a/test-data of me/"])
def test_a_folder_that_says_a_split_is_one(prefix: str, train: str, test: str) -> None:
    train_names, test_names = in_classes(prefix + train), in_classes(prefix + test, start=5)
    assert learnt(train_names + test_names) == {name: name.split("/")[-2] for name in train_names}
    assert predicted(train_names + test_names) == set(test_names)
    assert {id for id, split, *_ in classes_and_rows(train_names + test_names, None)[1] if split == "train"} == {
        f"{name}/{number}" for name in CLASSES for number in (0, 1)
    }


@given(
    word=st.sampled_from([("train", "test"), ("training", "testing"), ("Train", "Test"), ("TRAIN", "TEST")]),
    before=st.sampled_from(["", "seg", "my", "jpg", "cats_and_dogs"]),
    after=st.sampled_from(["", "set", "images", "jpg", "v2", "2017"]),
    seam=st.sampled_from(["_", "-", " ", "."]),
    wrapped=st.booleans(),
)
def test_whatever_stands_around_the_word(
    word: tuple[str, str], before: str, after: str, seam: str, wrapped: bool
) -> None:
    folders = [seam.join(filter(None, (before, part, after))) for part in word]
    train, test = (f"{folder}/{folder}" if wrapped else folder for folder in folders)
    names = [f"{train}/{name}.{n}.jpg" for name in ("cat", "dog") for n in range(2)] + [f"{test}/7.jpg"]
    assert set(learnt(names).values()) == {"cat", "dog"} and predicted(names) == {f"{test}/7.jpg"}


@pytest.mark.parametrize("third", ["validation", "val", "Valid", "dev", "eval_set", "ValidationImages", "val/val"])
@pytest.mark.parametrize("test", [["test/9.jpg"], []])
def test_a_labelled_third_split_is_learnt_from_and_said(tmp_path: Path, third: str, test: list[str]) -> None:
    train = "TrainImages" if "Images" in third else "train"
    dataset = write(tmp_path, [*in_classes(train), *in_classes(third), *test])
    assert dataset.classes == CLASSES
    assert len(dataset.of("train")) == 8 and len(dataset.of("test")) == len(test)
    assert {row.id for row in dataset.of("train")} > {"cats/0", f"{third.split('/')[0]}/cats/0"}
    assert any(third.split("/")[0] in note and "4 labelled photographs" in note for note in dataset.notes)


def test_a_third_split_beside_classes(tmp_path: Path) -> None:
    dataset = write(tmp_path, ["cats/1.jpg", "dogs/1.jpg", *in_classes("val")])
    assert dataset.classes == CLASSES and len(dataset.of("train")) == 6


@pytest.mark.parametrize("third", [["val/1.jpg", "val/2.jpg"], ["extra/cats/1.jpg", "extra/2.jpg"]])
def test_what_is_left_out_is_said(tmp_path: Path, third: list[str]) -> None:
    dataset = write(tmp_path, [*in_classes("train"), "test/1.jpg", *third])
    assert len(dataset.photographs) == 5
    (note,) = dataset.notes
    assert "2 photographs" in note and third[0].split("/")[0] in note


def test_labels_of_a_test_split_are_not_looked_at_and_that_is_said(tmp_path: Path) -> None:
    dataset = write(tmp_path, [*in_classes("training_set"), *in_classes("test_set")])
    (note,) = dataset.notes
    assert note.startswith("test_set/: its 4 photographs are there to be predicted")


@pytest.mark.parametrize(
    "classes",
    [
        ("bus", "car", "train"),
        ("boots", "sandals", "training_shoes"),
        ("beaker", "flask", "test_tube"),
        ("boots", "test_tube", "training_shoes"),
        ("invalid", "valid"),
        ("dev board", "resistor"),
        ("contest", "strain"),  # no word of them says a split
        ("latest", "trainer"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "pictures/", "train/", "x/training_set/"])
def test_a_class_that_sounds_like_a_split(prefix: str, classes: tuple[str, ...]) -> None:
    names = [f"{prefix}{name}/{number}.jpg" for name in classes for number in range(2)]
    assert learnt(names) == {name: name.split("/")[-2] for name in names}
    test = [f"test/{name}/{number}.jpg" for name in classes for number in range(2)]
    if prefix == "train/":
        assert learnt(names + test) == learnt(names) and predicted(names + test) == set(test)


def test_splits_in_each_class() -> None:
    names = [f"{name}/{split}/{n}.jpg" for name in CLASSES for split in ("train", "test") for n in range(2)]
    assert learnt(names) == {name: name.split("/")[0] for name in names if "/train/" in name}
    assert predicted(names) == {name for name in names if "/test/" in name}


def test_a_stray_file_beside_the_data(tmp_path: Path) -> None:
    dataset = write(tmp_path, [*in_classes("data/train"), "data/test/1.jpg", "preview.png"])
    assert dataset.classes == CLASSES and len(dataset.photographs) == 5
    assert "1 photographs" in dataset.notes[0]


@pytest.mark.parametrize(
    "names",
    [
        ["test_tube/1.jpg", "training_shoes/1.jpg"],
        [*in_classes("train", ("front", "side")), *in_classes("bus", ("front", "side"))],
        [*in_classes("fold1/train"), *in_classes("fold1/val"), *in_classes("fold2/train"), *in_classes("fold2/val")],
        [*in_classes("data/train"), "data/test/1.jpg", "docs/1.jpg"],
    ],
)
def test_what_nothing_tells_is_asked(names: list[str]) -> None:
    with refused(DatasetError, r"may be splits or classes|holds splits, and there is"):
        classes_and_rows(names, None)


def test_a_table_answers_it() -> None:
    names = ["test_tube/1.jpg", "training_shoes/1.jpg"]
    classes, rows = classes_and_rows(
        names, ("labels.csv", "file,label\ntest_tube/1.jpg,glass\ntraining_shoes/1.jpg,shoe\n")
    )
    assert classes == ("glass", "shoe") and [row[1] for row in rows] == ["train", "train"]


def test_several_folders_of_one_split_keep_their_names_where_ids_meet() -> None:
    names = [*in_classes("train_1"), *in_classes("train_2"), "test/1.jpg"]
    assert {id for id, split, *_ in classes_and_rows(names, None)[1] if split == "train"} == {
        f"train_{part}/{name}/{n}" for part in (1, 2) for name in CLASSES for n in (0, 1)
    }


def test_zips_of_splits(tmp_path: Path) -> None:
    import zipfile

    for name, members in {
        "train_images.zip": ["train_images/cat.1.jpg", "train_images/dog.1.jpg"],
        "test_images.zip": ["2.jpg"],
        "validation.zip": ["cat.3.jpg", "dog.3.jpg"],
    }.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member in members:
                archive.writestr(member, b"")
    dataset = scan(tmp_path)
    assert {row.id for row in dataset.of("train")} == {"cat.1", "dog.1", "validation/cat.3", "validation/dog.3"}
    assert [row.id for row in dataset.of("test")] == ["2"]

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import DatasetError
from catsdogs.photographs.labels import Row, classes_and_rows, photographs
from catsdogs.photographs.names import natural_key
from tests.conftest import refused

WORDS = st.text("abcdefghijklmnop", min_size=1, max_size=8)
NUMBERS = st.integers(0, 10**6)
BREEDS = st.lists(st.text("abcdé", min_size=1, max_size=4), min_size=1, max_size=3).map("_".join)


def labels(rows: Sequence[Row], classes: Sequence[str]) -> dict[str, str]:
    return {name: classes[label] for _, split, label, name in rows if split == "train"}


@pytest.mark.parametrize(
    ("names", "row", "meant"),
    [
        (["a.jpg", "b.jpg", "x/a.jpg"], "a.jpg", "a.jpg"),
        (["a.jpg", "b.jpg", "x/a.jpg"], "a", "a.jpg"),
        (["a.jpg", "b.jpg", "x/a.jpg"], "x/a", "x/a.jpg"),
        (["1.jpg", "1.png"], "1.png", "1.png"),
        (["train/a.jpg", "train/x/a.jpg"], "a.jpg", "train/a.jpg"),
        (["comp/train/cat.0.jpg", "comp/train/cat.1.jpg", "comp/test/1.jpg"], "cat.0", "comp/train/cat.0.jpg"),
        (["comp/train/cat.0.jpg", "comp/train/cat.1.jpg", "comp/test/1.jpg"], "cat.0.jpg", "comp/train/cat.0.jpg"),
        (["images/1.jpg", "images/2.jpg", "test/1.jpg"], "1", "images/1.jpg"),
        (["a/1.jpg", "b/1.jpg"], "b\\1.jpg", "b/1.jpg"),
    ],
)
def test_a_table_names_the_strictest_fit(names: list[str], row: str, meant: str) -> None:
    classes, rows = classes_and_rows(names, ("labels.csv", f"id,label\n{row},pug\n"))
    assert labels(rows, classes) == {meant: "pug"}


@pytest.mark.parametrize("prefix", ["", "comp/"])
def test_split_folders_are_compared_without_case(prefix: str) -> None:
    names = [prefix + name for name in ("Train/cat/1.jpg", "Train/dog/1.jpg", "TEST/3.jpg")]
    classes, rows = classes_and_rows(names, None)
    assert classes == ("cat", "dog")
    assert [(id, split) for id, split, *_ in rows] == [("cat/1", "train"), ("dog/1", "train"), ("3", "test")]


def test_test_ids_are_paths_only_where_names_collide() -> None:
    train = ["train/cat/1.jpg", "train/dog/1.jpg"]
    _, rows = classes_and_rows([*train, "test/cat/1.jpg", "test/dog/1.jpg"], None)
    assert [id for id, split, *_ in rows if split == "test"] == ["cat/1", "dog/1"]
    _, rows = classes_and_rows([*train, "test/cat/1.jpg", "test/dog/2.jpg"], None)
    assert [id for id, split, *_ in rows if split == "test"] == ["1", "2"]


class TestPets:
    """Names as in Oxford-IIIT Pet: https://www.robots.ox.ac.uk/~vgg/data/pets/"""

    @given(
        st.dictionaries(BREEDS, st.sets(NUMBERS, min_size=1, max_size=4), min_size=2, max_size=5),
        st.sampled_from(["", "images/", "pets/images/", "images/images/", "train/", "pets/train/"]),
    )
    def test_the_class_stands_before_the_last_number(self, breeds: dict[str, set[int]], folder: str) -> None:
        expected = {f"{folder}{breed}_{n}.jpg": breed for breed, numbers in breeds.items() for n in numbers}
        classes, rows = classes_and_rows(list(expected), None)
        assert labels(rows, classes) == expected
        assert {id for id, *_ in rows} == {name.removeprefix(folder).removesuffix(".jpg") for name in expected}

    def test_capitals_are_kept(self) -> None:
        classes, rows = classes_and_rows(
            ["Abyssinian_1.jpg", "shiba_inu_12.jpg", "Abyssinian_10.jpg", "Abyssinian_9.jpg"], None
        )
        assert classes == ("Abyssinian", "shiba_inu")
        assert [id for id, *_ in rows] == ["Abyssinian_1", "Abyssinian_9", "Abyssinian_10", "shiba_inu_12"]

    def test_masks_beside_the_photographs_are_none(self) -> None:
        files = ["list.txt", "trimaps/pug_1.png", "trimaps/Birman_2.png", "xmls/pug_1.xml"]
        names = ["images/pug_1.jpg", "images/Birman_2.jpg", "images/pug_1.mat"]
        for prefix in ("", "oxford-iiit-pet/", "a/b/"):
            everything = [prefix + name for name in [*names, *(f"annotations/{file}" for file in files)]]
            assert photographs(everything) == [prefix + name for name in names[:2]]

    def test_a_class_may_be_called_annotations(self) -> None:
        names = ["annotations/1.jpg", "pictures/1.jpg"]
        assert photographs(names) == names

    def test_one_name_without_number_is_the_one_that_is_refused(self) -> None:
        with refused(DatasetError, r"\./images/map\.jpg carries no label"):
            classes_and_rows(["images/Birman_1.jpg", "images/map.jpg", "images/pug_1.jpg"], None)


@pytest.mark.parametrize(
    "names",
    [
        ["1.jpg", "2.jpg"],
        ["IMG_1234.jpg", "IMG_1235.jpg"],
        ["DSC_0001.jpg", "IMG_1234.jpg"],  # two cameras
        ["IMG_20181224_183000.jpg", "IMG_20181225_093000.jpg"],  # two days
        ["PXL_0001.jpg", "_MG_0001.jpg"],
        ["a_1_2.jpg", "b_1_2.jpg"],
        ["pug_1.jpg", "pug_2.jpg"],
    ],
)
@pytest.mark.parametrize("folder", ["", "images/", "train/", "comp/train/"])
def test_numbers_of_a_camera_or_of_a_test_folder_are_no_labels(names: list[str], folder: str) -> None:
    with refused(DatasetError, rf"\./{re.escape(folder + names[0])} carries no label"):
        classes_and_rows([folder + name for name in names], None)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["cat.1.jpg", "dog.shiba_inu_2.jpg"], ["cat", "dog"]),
        (["pug_1.a.jpg", "akita_1.b.jpg"], ["akita_1", "pug_1"]),
        (["daisy/pug_1.jpg", "tulips/akita_1.jpg"], ["daisy", "tulips"]),
        (["train/daisy/pug_1.jpg", "train/tulips/akita_1.jpg", "test/pug_3.jpg"], ["daisy", "tulips"]),
        (["Cat/siamese_1.jpg", "Cat/tabby_2.jpg"], ["Cat"]),
    ],
)
def test_class_folders_and_dots_come_first(names: list[str], expected: list[str]) -> None:
    assert list(classes_and_rows(names, None)[0]) == expected


def test_a_table_comes_before_names() -> None:
    classes, rows = classes_and_rows(["akita_1.jpg", "pug_1.jpg"], ("mine.csv", "file,label\nakita_1.jpg,x\n"))
    assert [(id, split) for id, split, *_ in rows] == [("akita_1", "train"), ("pug_1", "test")]
    assert classes == ("x",)


@given(
    st.dictionaries(WORDS, st.sets(st.integers(0, 10**6), min_size=1, max_size=5), min_size=1, max_size=5), st.data()
)
def test_every_kaggle_file_becomes_one_row(files: dict[str, set[int]], data: st.DataObject) -> None:
    train = [f"train/{label}.{number}.jpg" for label, numbers in files.items() for number in numbers]
    test = [f"test/{number}.jpg" for number in data.draw(st.sets(NUMBERS, max_size=8))]
    names = data.draw(st.permutations(train + test))
    prefix = data.draw(st.sampled_from(["", "competition/", "a/b/"]))
    classes, rows = classes_and_rows([prefix + name for name in names], None)
    assert list(classes) == sorted(files)
    assert {prefix + name for name in names} == {name for *_, name in rows}
    assert all(id.startswith(f"{classes[label]}.") for id, split, label, _ in rows if split == "train")
    test_ids = [int(id) for id, split, *_ in rows if split == "test"]
    assert test_ids == sorted(test_ids)


@given(st.lists(st.text(max_size=20), max_size=6), st.none() | st.tuples(st.just("labels.csv"), st.text()))
def test_any_names_and_tables_give_rows_or_one_line(names: list[str], table: tuple[str, str] | None) -> None:
    names = [f"{name}.jpg" for name in {name.strip("/") or "a" for name in names}]
    if not names:
        return
    try:
        classes, rows = classes_and_rows(names, table)
    except DatasetError as error:
        assert "\n" not in str(error)
        return
    assert len({(split, id) for id, split, *_ in rows}) == len(rows)
    assert all(label < len(classes) for _, _, label, _ in rows)


@given(st.lists(st.text(), max_size=10))
def test_natural_order_is_total(texts: list[str]) -> None:
    backwards = texts[::-1]
    assert sorted(texts, key=natural_key) == sorted(backwards, key=natural_key)


@pytest.mark.parametrize(
    "name", ["../cat.0.jpg", "a/../../b.jpg", "/dev/zero", "C:\\cat.jpg", "..\\b.jpg", "s3://x/cat.jpg", "cat\0.jpg"]
)
def test_a_table_names_nothing_outside_its_folder(name: str) -> None:
    with refused(DatasetError, r"row 2 names .*, which is not below that folder"):
        classes_and_rows(["a.jpg", "b.jpg"], ("labels.csv", f"id,label\n{name},cat\n"))


def test_a_table_may_name_what_is_not_there_and_what_looks_odd_but_is() -> None:
    _, rows = classes_and_rows(["a:b.jpg", "c.jpg"], ("labels.csv", "id,label\na:b.jpg,cat\ngone.jpg,dog\n"))
    assert [id for id, split, *_ in rows if split == "train"] == ["a:b", "gone"]


def test_numbers_of_any_length_have_their_place() -> None:
    """Python refuses to read a number of more than 4,300 digits."""
    names = ["9" * 5000, "8" * 5000, "10", "9"]
    assert sorted(names, key=natural_key) == ["9", "10", "8" * 5000, "9" * 5000]
    classes_and_rows(["a.jpg"], ("labels.csv", f"id,label\na,{'9' * 5000}\n"))

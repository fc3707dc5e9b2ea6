"""Data sets in every layout, as folders, zips and tables, and the errors for mistakes in them."""

import os
import re
import zipfile
from pathlib import Path

import pytest

from catsdogs.errors import DatasetError, UnknownNameError, UnreadablePhotographError
from catsdogs.photographs.dataset import scan, scan_unlabelled
from catsdogs.photographs.locations import MAX_FILE_BYTES
from tests.conftest import refused
from tests.support.datasets import ids, jpeg, write_empty, write_kaggle_folder


def zip_of(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for seed, name in enumerate(names):
            archive.writestr(name, jpeg(seed))
    return path


def test_kaggle_folder(tmp_path: Path) -> None:
    root = write_kaggle_folder(tmp_path, cats=12, dogs=2, test=11)
    sample = "id,label\n" + "".join(f"{number},0.5\n" for number in range(1, 12))
    (root / "sample_submission.csv").write_text(sample)
    (root / "train" / "Thumbs.db").write_bytes(b"not a photograph")
    dataset = scan(root)
    assert dataset.classes == ("cat", "dog")
    assert ids(dataset, "train") == [f"cat.{n}" for n in range(12)] + ["dog.0", "dog.1"]
    assert ids(dataset, "test") == [str(n) for n in range(1, 12)]
    assert [photograph.label for photograph in dataset.photographs] == [0] * 12 + [1] * 2 + [-1] * 11
    assert dataset.sample_submission == sample
    assert dataset.read(dataset.photographs[0]) == (root / "train" / "cat.0.jpg").read_bytes()


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_kaggle_zips_are_read_in_place(tmp_path: Path, prefix: str) -> None:
    zip_of(tmp_path / "train.zip", [f"{prefix}cat.0.jpg", f"{prefix}dog.0.jpg"])
    zip_of(tmp_path / "test.zip", [f"{'test/' if prefix else ''}{n}.jpg" for n in (10, 9)])
    dataset = scan(tmp_path)
    assert (ids(dataset, "train"), ids(dataset, "test")) == (["cat.0", "dog.0"], ["9", "10"])
    assert [dataset.read(photograph) for photograph in dataset.of("test")] == [jpeg(1), jpeg(0)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.zip", "train.zip"]


def test_one_zip_with_everything(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "all.zip", ["comp/train/cat.0.jpg", "comp/train/dog.0.jpg", "comp/test1/1.jpg"])
    for root in (path, tmp_path):
        assert (ids(scan(root), "train"), ids(scan(root), "test")) == (["cat.0", "dog.0"], ["1"])


def test_edition_of_2013(tmp_path: Path) -> None:
    (write_kaggle_folder(tmp_path) / "test").rename(tmp_path / "test1")
    assert ids(scan(tmp_path), "test") == ["1", "2", "3"]


def test_folder_per_class(tmp_path: Path) -> None:
    for name in ("Cat/0.jpg", "Cat/10.jpg", "Cat/9.jpg", "Dog/0.png"):
        path = tmp_path / "PetImages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    for root in (tmp_path, tmp_path / "PetImages"):
        dataset = scan(root)
        assert dataset.classes == ("Cat", "Dog")
        assert ids(dataset, "train") == ["Cat/0", "Cat/9", "Cat/10", "Dog/0"]


FLOWERS = ("daisy", "dandelion", "roses", "sunflowers", "tulips")


@pytest.mark.parametrize("top", ["flower_photos", "flower_photos/train"])
def test_flowers(tmp_path: Path, top: str) -> None:
    names = [f"{top}/{name}/{number}_a1b2.jpg" for name in FLOWERS for number in (5, 10)]
    write_empty(tmp_path, [*names, "flower_photos/LICENSE.txt"])
    for root in (tmp_path, tmp_path / "flower_photos"):
        assert (scan(root).classes, len(scan(root).of("train")), scan(root).of("test")) == (FLOWERS, 10, [])


def test_pets_as_they_are_unpacked(tmp_path: Path) -> None:
    write_empty(tmp_path, ["images/shiba_inu_12.jpg", "images/Abyssinian_1.jpg", "images/Abyssinian_100.mat"])
    write_empty(tmp_path / "annotations", ["README", "list.txt", "test.txt", "trainval.txt", "xmls/Abyssinian_1.xml"])
    write_empty(tmp_path / "annotations/trimaps", ["Abyssinian_1.png", "shiba_inu_12.png", "._Abyssinian_1.png"])
    for root in (tmp_path, tmp_path / "images"):
        dataset = scan(root)
        assert dataset.classes == ("Abyssinian", "shiba_inu")
        assert ids(dataset, "train") == ids(scan_unlabelled(root), "test") == ["Abyssinian_1", "shiba_inu_12"]
        assert dataset.of("test") == []
    with refused(UnknownNameError, "No class is called 'pug'. Choose from: Abyssinian, shiba_inu"):
        scan(tmp_path, classes=["pug"])


def test_table_beside_folders(tmp_path: Path) -> None:
    write_kaggle_folder(tmp_path, cats=2, dogs=2)
    (tmp_path / "labels.csv").write_text("id,breed\ncat.0,pug\ncat.1,boxer\ndog.0,pug\ngone,akita\n")
    dataset = scan(tmp_path)
    assert dataset.classes == ("akita", "boxer", "pug")
    assert {row.id: dataset.classes[row.label] for row in dataset.of("train")} == {
        "cat.0": "pug",
        "cat.1": "boxer",
        "dog.0": "pug",
        "gone": "akita",
    }
    with pytest.raises(UnreadablePhotographError, match="no such file"):
        dataset.read(dataset.by_key["train", "gone"])


def test_table_beside_one_folder_leaves_the_rest_to_predict(tmp_path: Path) -> None:
    for seed, name in enumerate(("a.jpg", "b.jpg", "c.jpg")):
        (tmp_path / name).write_bytes(jpeg(seed))
    table = tmp_path / "mine.csv"
    table.write_text("\ufefffile,label\nb.jpg,x\na.jpg,y\n")
    for root in (tmp_path, table):
        assert (ids(scan(root), "train"), ids(scan(root), "test")) == (["a", "b"], ["c"])


def test_split_zips_are_found_without_case(tmp_path: Path) -> None:
    zip_of(tmp_path / "Train.zip", ["Train/cat.0.jpg", "Train/dog.0.jpg"])
    zip_of(tmp_path / "TEST.ZIP", ["1.jpg"])
    dataset = scan(tmp_path)
    assert (ids(dataset, "train"), ids(dataset, "test")) == (["cat.0", "dog.0"], ["1"])
    assert dataset.read(dataset.photographs[0]) == jpeg(0)


@pytest.mark.parametrize("photographs", [["Cat/0.jpg", "Dog/0.jpg"], ["Cat.1.jpg", "Dog.1.jpg"]])
@pytest.mark.parametrize("notes", [b"when,what\n", b"id,label\nCat.1,0\n", b"\xff\xfe"])
def test_other_tables_beside_labelled_photographs_are_left_alone(
    tmp_path: Path, photographs: list[str], notes: bytes
) -> None:
    for name in photographs:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    for table in ("notes.csv", "truth.csv"):
        (tmp_path / table).write_bytes(notes)
    dataset = scan(tmp_path)
    assert dataset.classes == ("Cat", "Dog")
    assert (len(dataset.of("train")), len(dataset.of("test"))) == (2, 0)


def test_a_table_given_directly_is_obeyed(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "notes.csv").write_bytes(b"\xff")
    table = tmp_path / "mine.csv"
    table.write_text("file,label\na/1.jpg,x\nb/1.jpg,y\n")
    dataset = scan(table)
    assert (dataset.classes, ids(dataset, "train"), ids(dataset, "test")) == (("x", "y"), ["a/1", "b/1"], ["2"])


def test_zip_made_on_windows(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "all.zip", ["train\\cat.0.jpg", "train\\dog.0.jpg", "test\\1.jpg", "__MACOSX\\x.jpg"])
    dataset = scan(path)
    assert (ids(dataset, "train"), ids(dataset, "test")) == (["cat.0", "dog.0"], ["1"])
    assert [dataset.read(photograph) for photograph in dataset.photographs] == [jpeg(0), jpeg(1), jpeg(2)]


@pytest.mark.parametrize("start", ["./", ".//", "competition//"])
def test_zip_with_untidy_paths(tmp_path: Path, start: str) -> None:
    names = ["train//cat.0.jpg", "train/./dog.0.jpg", "test/1.jpg"]
    dataset = scan(zip_of(tmp_path / "all.zip", [start + name for name in names]))
    assert (ids(dataset, "train"), ids(dataset, "test")) == (["cat.0", "dog.0"], ["1"])
    assert [dataset.read(photograph) for photograph in dataset.photographs] == [jpeg(0), jpeg(1), jpeg(2)]


def test_one_class_folder_alone_gives_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "PetImages" / "Cat"
    folder.mkdir(parents=True)
    for name in ("0.jpg", "1.jpg"):
        (folder / name).write_bytes(b"")
    for root in (tmp_path, folder.parent):
        assert (scan(root).classes, ids(scan(root), "train")) == (("Cat",), ["Cat/0", "Cat/1"])
    with pytest.raises(DatasetError, match=r"0\.jpg carries no label"):
        scan(folder)


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, scandir = write_kaggle_folder(tmp_path), os.scandir

    def deny(path: str) -> object:  # permissions would not stop a test that runs as root
        if str(path).endswith("test"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(DatasetError, match=r"test cannot be read: Permission denied"):
        scan(root)


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    real = write_kaggle_folder(tmp_path / "real")
    root = tmp_path / "linked"
    root.mkdir()
    (root / "train").symlink_to(real / "train")
    (real / "train" / "loop").symlink_to(real / "train")
    assert len(scan(root).of("train")) == 8


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no photographs"),
        ({"train/photo.jpg": b""}, "photo.jpg carries no label"),
        ({"cat.jpg": b""}, "cat.jpg carries no label"),
        ({"train/cat.0.jpg": b"", "train/cat.0.png": b""}, "both have the id cat.0"),
        ({"test/1.jpg": b"", "test/1.png": b"", "train/cat.0.jpg": b""}, "both have the id 1"),
        ({"training/a/1.jpg": b"", "Validation/a/1.jpg": b""}, "has no classes but Validation, training"),
        (
            {"a/1.jpg": b"", "b/1.jpg": b"", "labels.csv": b"id,label\n1,x\n"},
            "labels.csv, row 2 names 1, which fits a/1",
        ),
        ({"1.jpg": b"", "1.png": b"", "labels.csv": b"id,label\n1,x\n"}, "names 1, which fits 1.jpg and 1.png"),
        ({"a.jpg": b"", "labels.csv": b"photo;kind\n"}, "has the columns photo;kind"),
        ({"a.jpg": b"", "labels.csv": b"id,label\na,\n"}, "row 2 has no file name or no label"),
        ({"a.jpg": b"", "labels.csv": b"id,label\na,x\na.jpg,y\n"}, "row 3 lists a.jpg again"),
        ({"a.jpg": b"", "labels.csv": b"id,label\n"}, "has no rows"),
        ({"a.jpg": b"", "labels.csv": b"\xff\xfe\xfd"}, "is not a table"),
        ({"a.jpg": b"", "x.csv": b"id,label\n", "y.csv": b"id,label\n"}, "several tables: x.csv, y.csv"),
        ({"train.zip": b"PK not a zip"}, "not a readable zip"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    for name, data in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with pytest.raises(DatasetError, match=re.escape(message)) as caught:
        scan(tmp_path)
    assert "\n" not in str(caught.value)


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    write_kaggle_folder(tmp_path)
    (tmp_path / "train/cat.0.jpg").rename(tmp_path / "train" / os.fsdecode(b"cat.caf\xe9.jpg"))
    with pytest.raises(DatasetError, match=r"train/cat\.caf\\udce9\.jpg is not UTF-8\. Rename the file"):
        scan(tmp_path)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No such folder or zip"):
        scan(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name", ["../cat.0.jpg", "train/../../cat.0.jpg", "/etc/cat.0.jpg", "C:/cat.0.jpg", "..\\c.jpg"]
)
def test_names_that_leave_a_zip_are_refused(tmp_path: Path, name: str) -> None:
    path = zip_of(tmp_path / "train.zip", ["train/dog.0.jpg", name])
    for root in (path, tmp_path):
        with pytest.raises(DatasetError, match="unsafe name"):
            scan(root)


def test_zip_that_holds_zips_says_to_unpack(tmp_path: Path) -> None:
    zip_of(tmp_path / "inner.zip", ["train/cat.0.jpg"])
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(tmp_path / "inner.zip", "train.zip")
    with pytest.raises(DatasetError, match="zips inside"):
        scan(tmp_path / "outer.zip")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    root = write_kaggle_folder(tmp_path)
    with (root / "train" / "cat.0.jpg").open("r+b") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    dataset = scan(root)
    with pytest.raises(UnreadablePhotographError, match="more than"):
        dataset.read(dataset.photographs[0])


def test_unlabelled_folder_file_and_zip(tmp_path: Path) -> None:
    root = tmp_path / "holiday"
    (root / "b").mkdir(parents=True)
    for name in ("10.jpg", "9.jpg", "b/me.png"):
        (root / name).write_bytes(jpeg(0))
    assert ids(scan_unlabelled(root), "test") == ["9", "10", "b/me"]
    assert ids(scan_unlabelled(root / "9.jpg"), "test") == ["9"]
    (root / "9.png").write_bytes(jpeg(0))
    assert ids(scan_unlabelled(root), "test") == ["9.jpg", "9.png", "10.jpg", "b/me.png"]

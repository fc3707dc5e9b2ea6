import os
import re
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import DatasetError, UnknownNameError, UnreadablePhotographError, UsageError
from catsdogs.photographs import images, stamps, tfexample, tfrecord, tfrecord_writer
from catsdogs.photographs.dataset import MAX_FILE_BYTES, Dataset, scan, scan_unlabelled
from catsdogs.photographs.labels import natural_key
from tests.conftest import jpeg, refused, write_kaggle_folder


def ids(dataset: Dataset, split: str) -> list[str]:
    return [photograph.id for photograph in dataset.of(split)]


def zip_of(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for seed, name in enumerate(names):
            archive.writestr(name, jpeg(seed))
    return path


def test_kaggle_folder(tmp_path: Path) -> None:
    root = write_kaggle_folder(tmp_path, cats=12, dogs=2, test=11)
    (root / "sample_submission.csv").write_text("id,label\n1,0.5\n")
    (root / "train" / "Thumbs.db").write_bytes(b"not a photograph")
    dataset = scan(root)
    assert dataset.classes == ("cat", "dog")
    assert ids(dataset, "train") == [f"cat.{n}" for n in range(12)] + ["dog.0", "dog.1"]
    assert ids(dataset, "test") == [str(n) for n in range(1, 12)]
    assert [photograph.label for photograph in dataset.photographs] == [0] * 12 + [1] * 2 + [-1] * 11
    assert dataset.sample_submission == "id,label\n1,0.5\n"
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


def write_empty(root: Path, names: Iterable[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


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


def write_letters(root: Path, counts: dict[str, int]) -> Path:
    """A folder per class with so many photographs, two to predict, and a sample submission."""
    write_empty(root, [f"train/{name}/{number}.jpg" for name, count in counts.items() for number in range(count)])
    write_empty(root, ["test/1.jpg", "test/2.jpg"])
    (root / "sample_submission.csv").write_text("id,label\n1,0.5\n2,0.5\n")
    return root


def named(dataset: Dataset) -> dict[str, str]:
    return {row.id: dataset.classes[row.label] for row in dataset.of("train")}


class TestClasses:
    def test_others_are_left_out(self, tmp_path: Path) -> None:
        root = write_letters(tmp_path, {"a": 2, "b": 1, "c": 1})
        dataset = scan(root, classes=("c", "a", "c"))
        assert dataset.classes == ("a", "c")
        assert named(dataset) == {"a/0": "a", "a/1": "a", "c/0": "c"}
        assert ids(dataset, "test") == ["1", "2"] and {row.label for row in dataset.of("test")} == {-1}
        assert dataset.sample_submission is None  # it asks for the others, too

    def test_all_are_what_there_was(self, tmp_path: Path) -> None:
        root = write_letters(tmp_path, {"a": 2, "b": 1})
        assert scan(root, classes=["b", "a"]) == scan(root) == scan(root, classes=[])
        assert scan(root).truth == {}

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        with refused(UnknownNameError, "No class is called 'A'. Choose from: a, b"):
            scan(write_letters(tmp_path, {"a": 2, "b": 1}), classes=["a", "A"])


class TestHoldout:
    @given(
        counts=st.dictionaries(st.sampled_from("abcd"), st.integers(2, 30), min_size=1),
        share=st.sampled_from([0.01, 0.15, 0.3, 0.5]),
        seed=st.integers(0, 3),
    )
    def test_each_class_gives_its_share(self, counts: dict[str, int], share: float, seed: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = write_letters(Path(folder), counts)
            whole, dataset = scan(root), scan(root, holdout=share, seed=seed)
        expected = {name: max(1, round(share * count)) for name, count in counts.items()}
        assert Counter(dataset.truth.values()) == expected
        assert named(dataset) | dataset.truth == named(whole)
        assert ids(dataset, "test") == sorted(dataset.truth, key=natural_key)
        assert {row.label for row in dataset.of("test")} == {-1}
        assert not dataset.truth.keys() & named(dataset)
        assert (dataset.classes, dataset.sample_submission) == (whole.classes, None)

    def test_photographs_stay_what_they_are(self, tmp_path: Path) -> None:
        root = write_kaggle_folder(tmp_path)
        dataset = scan(root, holdout=0.25)
        for id in dataset.truth:
            assert dataset.read(dataset.by_key["test", id]) == (root / f"train/{id}.jpg").read_bytes()

    def test_it_follows_from_ids_and_seed(self, tmp_path: Path) -> None:
        one = write_letters(tmp_path / "one", {"a": 30, "b": 30})
        other = tmp_path / "other"
        write_empty(other, [f"{name}/{number}.png" for number in range(30) for name in "cba"])
        truth = scan(one, holdout=0.2).truth
        assert truth == scan(one, holdout=0.2, seed=2018).truth == scan(other, ["a", "b"], 0.2).truth
        assert truth != scan(one, holdout=0.2, seed=1).truth
        assert truth.items() < scan(one, holdout=0.3).truth.items()

    @pytest.mark.parametrize("share", [-0.1, 1, 1.5, float("nan"), float("inf")])
    def test_what_is_no_share(self, tmp_path: Path, share: float) -> None:
        with refused(UsageError, "is no share of photographs. Give one between 0 and 1"):
            scan(tmp_path, holdout=share)

    @pytest.mark.parametrize(("counts", "share"), [({"a": 1, "b": 9}, 0.1), ({"a": 4, "b": 9}, 0.9)])
    def test_a_class_that_would_be_gone(self, tmp_path: Path, counts: dict[str, int], share: float) -> None:
        with refused(DatasetError, f"leaves none of the {counts['a']} photographs of a to learn from"):
            scan(write_letters(tmp_path, counts), holdout=share)

    def test_copies_stay_on_one_side(self, tmp_path: Path) -> None:
        """Of one class or of two, in whatever they lie; a larger share still holds out the same ones and more."""
        for layout in ("folder", "zip", "shards"):
            root = write_kaggle_folder(tmp_path / layout, cats=20, dogs=20)
            groups = [(f"cat.{n}", f"cat.{n + 8}", f"dog.{n}") for n in range(4)] + [("dog.8", "dog.9")]
            for first, *others in groups:
                for other in others:
                    (root / f"train/{other}.jpg").write_bytes((root / f"train/{first}.jpg").read_bytes())
            if layout == "zip":
                root = Path(shutil.make_archive(f"{root}", "zip", root))
            elif layout == "shards":
                tfrecord_writer.write_record_files(scan(root), tmp_path / "records", count=3)
                root = tmp_path / "records"
            seen = set()
            for seed in range(8):
                truth, more = (scan(root, holdout=share, seed=seed).truth for share in (0.2, 0.4))
                assert truth.items() < more.items()
                for held in (truth, more):
                    assert all(len(held.keys() & set(group)) in (0, len(group)) for group in groups)
                assert 4 <= list(truth.values()).count("cat") <= 4 + 8
                seen |= truth.keys()
            assert seen & {id for group in groups for id in group}

    def test_nothing_to_hold_out(self, tmp_path: Path) -> None:
        with refused(DatasetError, "no labelled photographs to hold out"):
            scan(write_empty(tmp_path, ["test/1.jpg"]), holdout=0.5)


class TestRecords:
    """TFRecords, written from Kaggle's layout: ids, labels and bytes are those of the photographs."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Dataset:
        return scan(write_kaggle_folder(tmp_path / "data", cats=6, dogs=5, test=4))

    @pytest.fixture
    def folder(self, source: Dataset, tmp_path: Path) -> Path:
        tfrecord_writer.write_record_files(source, tmp_path / "shards", count=3)
        return tmp_path / "shards"

    def test_nothing_is_lost(self, source: Dataset, folder: Path) -> None:
        dataset = scan(folder)
        assert (dataset.classes, dataset.sample_submission) == (source.classes, None)
        assert [row[:3] for row in dataset.photographs] == [row[:3] for row in source.photographs]
        assert list(map(dataset.read, dataset.photographs)) == list(map(source.read, source.photographs))

    @pytest.mark.parametrize("chosen", [{"holdout": 0.3}, {"classes": ["dog"]}, {"classes": ["cat"], "holdout": 0.5}])
    def test_the_same_is_chosen(self, source: Dataset, folder: Path, chosen: dict[str, Any]) -> None:
        dataset, expected = scan(folder, **chosen), scan(source.root, **chosen)
        assert [row[:3] for row in dataset.photographs] == [row[:3] for row in expected.photographs]
        assert dataset.truth == expected.truth

    def test_one_shard(self, source: Dataset, folder: Path) -> None:
        parts = [scan(path) for path in sorted(folder.glob("train-*"))]
        assert len(parts) == 3
        found = {id: label for part in parts for id, label in named(part).items()}
        assert found == named(source)

    def test_split_folders(self, source: Dataset, folder: Path, tmp_path: Path) -> None:
        for split in ("train", "test"):
            (tmp_path / "sorted" / split).mkdir(parents=True)
            for number, path in enumerate(folder.glob(f"{split}-*")):
                path.rename(tmp_path / "sorted" / split / f"{number}.tfrec")
        dataset = scan(tmp_path / "sorted")
        assert named(dataset) == named(source) and ids(dataset, "test") == ids(source, "test")

    def test_a_sample_submission_beside_them(self, folder: Path) -> None:
        (folder / "sample_submission.csv").write_text("id,label\n1,0.5\n")
        assert scan(folder).sample_submission == "id,label\n1,0.5\n"

    def test_photographs_beside_them_come_first(self, source: Dataset, folder: Path) -> None:
        for path in folder.iterdir():
            path.rename(source.root / path.name)
        assert scan(source.root) == source

    def test_to_predict(self, source: Dataset, folder: Path) -> None:
        dataset = scan_unlabelled(folder)
        expected = [row.id for row in source.photographs]
        assert sorted(ids(dataset, "test")) == sorted(expected) and not dataset.of("train")

    def test_to_predict_where_splits_share_ids(self, tmp_path: Path) -> None:
        both = tmp_path / "both"
        both.mkdir()
        for split, label in (("train", "a"), ("test", "")):
            data = tfexample.encode_example({"id": b"1", "class": label.encode(), "image": jpeg(0)})
            (both / f"{split}.tfrecord").write_bytes(tfrecord.frame(data))
        assert ids(scan_unlabelled(both), "test") == ["test/1", "train/1"]
        (both / "train.tfrecord").rename(both / "test2.tfrecord")
        with refused(DatasetError, r"both have the id 1\."):
            scan(both)

    def test_their_stamps(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stamps, "SETTLED_NS", -(10**12))
        dataset = scan(folder)
        digests = [images.digest(dataset.read(row)) for row in dataset.photographs]
        remembered = stamps.Stamps(tmp_path)
        assert remembered.look(dataset.photographs) == [None] * len(digests)
        remembered.keep(digests, others=False)
        assert stamps.Stamps(tmp_path).look(dataset.photographs) == digests

    def test_a_shard_that_is_gone(self, folder: Path) -> None:
        dataset = scan(folder)
        row = dataset.photographs[0]
        row.location.container.unlink()
        with refused(UnreadablePhotographError, "gone"):
            dataset.read(row)
        with refused(DatasetError, row.location.container.name):
            scan(folder)

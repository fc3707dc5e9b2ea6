import os
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.dataset import MAX_FILE_BYTES, Dataset, natural_key, parse, scan, scan_unlabelled
from catsdogs.errors import DatasetError, UnreadablePhotographError
from tests.conftest import jpeg, write_kaggle_folder

WORDS = st.text("abcdefghijklmnop", min_size=1, max_size=8)
NUMBERS = st.integers(0, 10**6)


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


def labels(rows: list[tuple[str, str, int, str]], classes: tuple[str, ...]) -> dict[str, str]:
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
    classes, rows = parse(names, ("labels.csv", f"id,label\n{row},pug\n"))
    assert labels(rows, classes) == {meant: "pug"}


@pytest.mark.parametrize("prefix", ["", "comp/"])
def test_split_folders_are_compared_without_case(prefix: str) -> None:
    names = [prefix + name for name in ("Train/cat/1.jpg", "Train/dog/1.jpg", "TEST/3.jpg")]
    classes, rows = parse(names, None)
    assert classes == ("cat", "dog")
    assert [(id, split) for id, split, *_ in rows] == [("cat/1", "train"), ("dog/1", "train"), ("3", "test")]


def test_split_zips_are_found_without_case(tmp_path: Path) -> None:
    zip_of(tmp_path / "Train.zip", ["Train/cat.0.jpg", "Train/dog.0.jpg"])
    zip_of(tmp_path / "TEST.ZIP", ["1.jpg"])
    dataset = scan(tmp_path)
    assert (ids(dataset, "train"), ids(dataset, "test")) == (["cat.0", "dog.0"], ["1"])
    assert dataset.read(dataset.photographs[0]) == jpeg(0)


def test_test_ids_are_paths_only_where_names_collide() -> None:
    train = ["train/cat/1.jpg", "train/dog/1.jpg"]
    _, rows = parse([*train, "test/cat/1.jpg", "test/dog/1.jpg"], None)
    assert [id for id, split, *_ in rows if split == "test"] == ["cat/1", "dog/1"]
    _, rows = parse([*train, "test/cat/1.jpg", "test/dog/2.jpg"], None)
    assert [id for id, split, *_ in rows if split == "test"] == ["1", "2"]


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


@given(
    st.dictionaries(WORDS, st.sets(st.integers(0, 10**6), min_size=1, max_size=5), min_size=1, max_size=5), st.data()
)
def test_every_kaggle_file_becomes_one_row(files: dict[str, set[int]], data: st.DataObject) -> None:
    train = [f"train/{label}.{number}.jpg" for label, numbers in files.items() for number in numbers]
    test = [f"test/{number}.jpg" for number in data.draw(st.sets(NUMBERS, max_size=8))]
    names = data.draw(st.permutations(train + test))
    prefix = data.draw(st.sampled_from(["", "competition/", "a/b/"]))
    classes, rows = parse([prefix + name for name in names], None)
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
        classes, rows = parse(names, table)
    except DatasetError as error:
        assert "\n" not in str(error)
        return
    assert len({(split, id) for id, split, *_ in rows}) == len(rows)
    assert all(label < len(classes) for _, _, label, _ in rows)


@given(st.lists(st.text(), max_size=10))
def test_natural_order_is_total(texts: list[str]) -> None:
    backwards = texts[::-1]
    assert sorted(texts, key=natural_key) == sorted(backwards, key=natural_key)

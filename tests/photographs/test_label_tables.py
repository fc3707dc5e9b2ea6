"""A table of labels: which column names the photographs and which their classes follows from what is in them."""

import itertools
import os
import random
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import DatasetError
from catsdogs.photographs.dataset import scan
from catsdogs.photographs.labels import classes_and_rows
from tests.conftest import refused

EIGHT = [f"{number}.jpg" for number in range(1, 9)]
SHUFFLED = [3, 1, 2, 4, 8, 5, 7, 6]  # two of eight stand where a running number would put them
BREEDS = ["pug", "boxer"] * 4


def csv_of(columns: dict[str, Sequence[object]]) -> str:
    rows = [columns.keys(), *zip(*columns.values(), strict=True)]
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def labels(names: Sequence[str], text: str, name: str = "labels.csv") -> dict[str, str]:
    classes, rows = classes_and_rows(names, (name, text))
    return {name: classes[label] for _, split, label, name in rows if split == "train"}


RIGHT = {f"{number}.jpg": breed for number, breed in zip(SHUFFLED, BREEDS, strict=True)}


@pytest.mark.parametrize("order", list(itertools.permutations(["id", "file_name", "label"])))
def test_a_running_number_that_could_be_the_photographs_is_refused(order: tuple[str, ...]) -> None:
    columns = {"id": range(1, 9), "file_name": [f"{n}.jpg" for n in SHUFFLED], "label": BREEDS}
    text = csv_of({name: columns[name] for name in order})
    with refused(DatasetError, r"labels\.csv: the columns .* could both be that of the photographs"):
        classes_and_rows(EIGHT, ("labels.csv", text))


def test_both_columns_are_named() -> None:
    text = csv_of({"id": range(1, 9), "picture": SHUFFLED, "label": BREEDS})
    with pytest.raises(DatasetError) as caught:
        classes_and_rows(EIGHT, ("labels.csv", text))
    assert "id and picture" in str(caught.value) and "1 and 3 in the first row" in str(caught.value)


@pytest.mark.parametrize(
    "numbers",
    [
        range(8),  # 0 is no photograph, and the other column holds nothing but photographs
        range(100, 108),
        [f"{n:05d}" for n in range(8)],
        [f"{n}.0" for n in range(1, 9)],
        [""] * 8,
        BREEDS[::-1],
    ],
)
@pytest.mark.parametrize("name", ["id", "image_id", "index", "", "name"])
@pytest.mark.parametrize("file", ["file_name", "picture", "Unnamed: 0", "label of the photograph"])
def test_the_column_whose_values_are_the_photographs(numbers: Sequence[object], name: str, file: str) -> None:
    text = csv_of({name: numbers, file: [f"{n}.jpg" for n in SHUFFLED], "label": BREEDS})
    assert labels(EIGHT, text) == RIGHT


def test_two_columns_that_lead_to_the_same_photographs() -> None:
    columns = {"id": SHUFFLED, "path": [f"train\\{n}.jpg" for n in SHUFFLED], "breed": BREEDS}
    names = [f"train/{name}" for name in EIGHT]
    assert labels(names, csv_of(columns)) == {f"train/{name}": breed for name, breed in RIGHT.items()}


@given(
    numbers=st.lists(st.integers(0, 40), min_size=3, max_size=12, unique=True),
    first=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_no_label_is_wrong_whatever_else_stands_in_the_table(numbers: list[int], first: int, seed: int) -> None:
    """Each photograph's label is its number's, so that any mix-up shows."""
    draw = random.Random(seed)
    names = [f"{number}.jpg" for number in numbers]
    columns: dict[str, Sequence[object]] = {
        "id": range(first, first + len(numbers)),
        "file": [draw.choice([f"{n}.jpg", f"{n}"]) for n in numbers],
        "width": [draw.randint(0, 40) for _ in numbers],
        "label": [f"class {n % 3}" for n in numbers],
    }
    items = list(columns.items())
    draw.shuffle(items)
    try:
        found = labels(names, csv_of(dict(items)))
    except DatasetError as error:
        assert "could both be" in str(error)
        return
    assert found == {f"{n}.jpg": f"class {n % 3}" for n in numbers}


def test_a_part_of_the_photographs_beside_a_running_number() -> None:
    """A table lists what is not there, too; the file names are still those with a suffix."""
    names = [f"{number:04d}.jpg" for number in range(0, 100, 7)]
    text = csv_of({"id": range(200), "file_name": [f"{n:04d}.jpg" for n in range(200)], "label": ["x", "y"] * 100})
    found = labels(names, text)
    assert len(found) == 200 and {found[name] for name in names} == {"x", "y"}


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Image,Id", "{n}.jpg,{label}"),  # whales
        ("subject,img,label", "p{odd},{n}.jpg,{label}"),  # distracted drivers
        ("id_code,diagnosis", "{n},{label}"),
        ("id,has_cactus", "{n}.jpg,{odd}"),
        ("label,file", "{label},{n}"),
        ("breed;id", "{label};{n}"),
    ],
)
def test_shapes_of_real_tables(header: str, row: str) -> None:
    lines = [row.format(n=n, label=breed, odd=n % 2) for n, breed in zip(SHUFFLED, BREEDS, strict=True)]
    expected = {f"{n}.jpg": str(n % 2) for n in SHUFFLED} if "cactus" in header else RIGHT
    assert labels(EIGHT, "\n".join([header, *lines])) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,label,class\n1,a,x\n2,a,y\n3,b,x\n4,b,y\n",
            "the columns label and class could both be that of the labels",
        ),
        ("image,label,label\n1,a,x\n2,a,y\n3,b,x\n4,b,y\n", r"label \(the 2\. from the left\) and label \(the 3\."),
        (
            "image,label\n1,red\n2,fox\n3,red fox\n4,grey fox\n",
            "the column label may hold several labels in a row, such as 'red fox'. Say so with --kind labels",
        ),
        ("image,label\n1,(none)\n2,b\n3,(none)|b\n4,b\n", r"the label '\(none\)' cannot be told from"),
        ("image,label\n1,1\n2,1.0\n3,0\n4,0\n", "holds '1' and '1.0', which are one number"),
        ("image,score\n1,63.5\n2,20.25\n3,63.5\n4,7\n", "has the columns image, score"),
        ("image,healthy,rust,scab\n1,0,0,1\n2,1,0,0\n3,0,1,0\n", "has the columns image, healthy, rust, scab"),
        (
            "image,label\nphoto, 1.jpg,a\n2,b\n3, big.jpg,b\n",
            r"row 2 has 3 cells, where .* 2 \(1 more rows like it: 4\)",
        ),
        ("image,label\n1,\n,b\n3,a\n4,\n", r"row 2 has no file name or no label \(2 more rows like it: 3, 5\)"),
        ("image,label\n1,a\n1,b\n2,a\n2.jpg,a\n", r"row 3 lists 1 again \(1 more rows like it: 5\)"),
        ("image,label\nx1,a\nx2,b\n", r"names none of the 8 photographs, whose names are like 1\.jpg; .* holds x1"),
        ('image,label\n1,"a\n2,b\n', "is not a table"),
    ],
)
def test_what_could_be_read_wrongly_is_refused(text: str, message: str) -> None:
    with refused(DatasetError, message):
        classes_and_rows(EIGHT, ("labels.csv", text))


def test_two_label_columns_that_say_the_same() -> None:
    text = csv_of({"id": SHUFFLED, "class": BREEDS, "label": [int(breed == "pug") for breed in BREEDS]})
    assert set(labels(EIGHT, text).values()) == {"0", "1"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("dressed", [False, True])
def test_tables_as_other_programs_save_them(
    tmp_path: Path, encoding: str, delimiter: str, ending: str, dressed: bool
) -> None:
    for number in range(1, 5):
        (tmp_path / f"{number}.jpg").touch()
    (tmp_path / "naïve, über.jpg").touch()
    rows = [
        ["id", "breed"],
        ["1", "Épagneul"],
        ["2", "Épagneul"],
        ["3", "Dogge; groß"],
        ['"naïve, über"', "Dogge; groß"],
    ]
    rows[3][1] = rows[4][1] = '"Dogge; groß, ""schwarz"""'
    if dressed:
        rows = [[*row, "", ""] for row in rows] + [["", "", "", ""]] * 2
    text = ending.join(delimiter.join(row) for row in rows) + ending
    if dressed:
        text = f"sep={delimiter}{ending}{text}{ending}"
    (tmp_path / "labels.csv").write_bytes(text.encode(encoding))
    dataset = scan(tmp_path)
    assert dataset.classes == ('Dogge; groß, "schwarz"', "Épagneul")
    assert {row.id for row in dataset.of("train")} == {"1", "2", "3", "naïve, über"}
    assert [row.id for row in dataset.of("test")] == ["4"]


ODD = [
    "007",
    "7",
    "1e5",
    "NA",
    "nan",
    "True",
    "+1",
    "-0",
    "1.2.826.0.1",
    "1.2.826.0.2",
    "a.",
    "a..",
    "1" * 40,
    "x'y",
    "#1",
]
ODD += [
    'say "hi"',
    "a,b",
    "a;b",
    " lead",
    "trail ",
    "=1+1",
    "null",
    "1_000",
    "0x10",
    "٣",
    "cat",
    "cat.jpg",
    "e\u0301té",
]


def test_names_and_ids_are_kept_as_they_are(tmp_path: Path) -> None:
    for name in ODD:
        (tmp_path / f"{name}.jpg").touch()
    rows = "".join(f'"{name.replace(chr(34), chr(34) * 2)}.jpg",{"ab"[n % 2]}\n' for n, name in enumerate(ODD))
    (tmp_path / "labels.csv").write_text("id,label\n" + rows, encoding="utf-8")
    found = scan(tmp_path)
    assert {row.id: found.classes[row.label] for row in found.of("train")} == {
        name: "ab"[n % 2] for n, name in enumerate(ODD)
    }
    assert not found.of("test")


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_unicode_forms_of_a_name_are_one_name(tmp_path: Path, forms: tuple[str, str]) -> None:
    on_disk, typed = forms
    for number, name in enumerate(["café", "naïve", "über"]):
        (tmp_path / f"{unicodedata.normalize(on_disk, name)}.jpg").touch()
        with (tmp_path / "labels.csv").open("a", encoding="utf-8") as table:
            table.write("" if number else "id,label\n")
            form = unicodedata.normalize(typed if number else on_disk, "Épagneul")
            table.write(f"{unicodedata.normalize(typed, name)},{form}\n")
    dataset = scan(tmp_path)
    assert len(dataset.classes) == 1 and not dataset.of("test")
    assert {row.id for row in dataset.of("train")} == {
        unicodedata.normalize(on_disk, name) for name in ("café", "naïve", "über")
    }
    assert all((tmp_path / row.location.name).exists() for row in dataset.of("train"))
    typed_class = unicodedata.normalize(typed, dataset.classes[0])
    assert scan(tmp_path, classes=[typed_class]) == dataset


def test_class_folders_in_two_unicode_forms_are_one_class() -> None:
    names = ["train/caf\u00e9/1.jpg", "train/cafe\u0301/2.jpg", "train/dog/1.jpg"]
    classes, rows = classes_and_rows(names, None)
    assert len(classes) == 2 and len(rows) == 3
    with refused(DatasetError, "both have the id caf"):
        classes_and_rows(["caf\u00e9.1.jpg", "cafe\u0301.1.jpg", "dog.1.jpg"], None)


def test_all_names_without_a_label_and_all_ids_given_twice_are_counted() -> None:
    with refused(DatasetError, r"\./1\.jpg carries no label \(6 more like it: 2\.jpg, .*, …\)"):
        classes_and_rows([*EIGHT[:7], "cat.1.jpg"], None)
    names = [f"train/{name}.{suffix}" for name in ("cat.0", "cat.1", "dog.0") for suffix in ("jpg", "png")]
    with refused(DatasetError, r"both have the id cat\.0 \(2 more ids like it: cat\.1, dog\.0\)"):
        classes_and_rows(names, None)


@pytest.mark.parametrize("name", ["sample_submission.csv", "sampleSubmission.csv", "Sample Submission.csv"])
def test_a_sample_submission_is_no_label_table(tmp_path: Path, name: str) -> None:
    for number in range(1, 5):
        (tmp_path / f"{number}.jpg").touch()
    (tmp_path / name).write_text("id,label\n1,0.5\n2,0.5\n")
    with refused(DatasetError, r"3\.jpg carries no label"):
        scan(tmp_path)
    (tmp_path / "Labels.csv").write_text("id,label\n3,cat\n4,dog\n")
    found = scan(tmp_path)
    assert (found.classes, len(found.of("test"))) == (("cat", "dog"), 2)
    assert found.sample_submission == "id,label\n1,0.5\n2,0.5\n"


def test_rows_about_the_test_split_are_not_learnt_from_and_that_is_said(tmp_path: Path) -> None:
    names = ["train/1.jpg", "train/2.jpg", "test/3.jpg", "test/4.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{name},{name[-5]}\n" for name in names))
    dataset = scan(tmp_path)
    assert (dataset.classes, len(dataset.of("train")), len(dataset.of("test"))) == (("1", "2"), 2, 2)
    assert dataset.notes == ("labels.csv: its 2 rows about photographs to be predicted are not learnt from",)


def test_all_names_that_are_no_text_are_counted(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / os.fsdecode(b"caf\xe9.%d.jpg" % number)).touch()
    with refused(DatasetError, r"caf\\udce9\.0\.jpg is not UTF-8 \(2 more like it: .*\)\. Rename the files"):
        scan(tmp_path)

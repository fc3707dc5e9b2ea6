"""What photographs hang together by: columns of tables, what annotations say, and folders; given and offered."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import DatasetError
from catsdogs.photographs import dataset as data_sets
from catsdogs.photographs import description
from catsdogs.photographs.dataset import Dataset, scan
from catsdogs.photographs.recognition import Given
from tests.conftest import refused
from tests.support.competitions import SAMPLE, TEST, TRAIN, competition
from tests.support.datasets import write_empty
from tests.support.layouts import as_csv

RIGHT = {letter: f"P{number // 2}" for number, letter in enumerate("abcdef")}
Tables = dict[str, str]


def labels_with(column: str, groups: Mapping[str, str] = RIGHT) -> str:
    return as_csv(["id", column, "label"], [(id, group, n % 2) for n, (id, group) in enumerate(groups.items())])


def in_label_table(column: str) -> Tables:
    return {"train.csv": labels_with(column)}


def in_table_of_its_own(column: str) -> Tables:
    """Beside the labels, which are in another: file names with suffix, and the label column's namesake is not there."""
    rows = [(group, f"{id}.jpg") for id, group in RIGHT.items()]
    return {"labels.csv": labels_with("age"), "list.csv": as_csv([column, "img"], rows)}


def in_table_of_boxes(column: str) -> Tables:
    """A table that names each photograph in several rows."""
    rows = [(id, group, box) for id, group in RIGHT.items() for box in range(3)]
    return {"labels.csv": labels_with("age"), "boxes.csv": as_csv(["id", column, "box"], rows)}


def in_both_of_train_and_test(column: str) -> Tables:
    """What is known of those asked for stands in test.csv, whose ids are not photographs to learn from."""
    return in_label_table(column) | {"test.csv": as_csv(["id", column], [(id, "P9") for id in "uvw"])}


def in_annotations(column: str) -> Tables:
    images = [{"id": n, "file_name": f"{id}.jpg", column: group} for n, (id, group) in enumerate(RIGHT.items())]
    annotations = [{"image_id": n, "category_id": n % 2} for n in range(len(images))]
    return {"train.json": json.dumps({"images": images, "annotations": annotations})}


PLACES = (in_label_table, in_table_of_its_own, in_table_of_boxes, in_both_of_train_and_test, in_annotations)


def read(root: Path, tables: Tables, groups: str = "") -> Dataset:
    names = TRAIN + TEST
    return scan(competition(root, names, {"sample_submission.csv": SAMPLE} | tables), given=Given(groups=groups))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("column", ["patient_id", "PatientID", "Patient", "subject", "seq_id", "Camera ID", "location"])
def test_known_columns_are_offered_and_taken_when_given(
    tmp_path: Path, place: Callable[[str], Tables], column: str
) -> None:
    found = read(tmp_path, place(column))
    assert found.groups == {} and [(one.column, one.groups, one.photographs) for one in found.offers] == [
        (column, 3, 6)
    ]
    (sentence,) = description.offered_groups(found)
    assert (
        f"the column {column}, 3 values for 6 photographs; if" in sentence
        and f"--groups {column.split()[0]}" in sentence.replace("'", "")
    )
    taken = scan(tmp_path, given=Given(groups=column))
    assert taken.groups == RIGHT and not taken.offers and taken.task.given == {"groups": column}
    assert f"3 groups of 6 photographs by {column}" in taken.notes


@pytest.mark.parametrize("given", ["batch", "Batch ", "list.csv:batch"])
def test_any_column_is_taken_when_given(tmp_path: Path, given: str) -> None:
    assert read(tmp_path, in_table_of_its_own("batch"), given).groups == RIGHT
    assert not scan(tmp_path).offers


@given(st.lists(st.sampled_from(["P0", "P1", "P2", ""]), min_size=6, max_size=6))
def test_rows_without_a_group_are_alone(of_rows: list[str]) -> None:
    import tempfile

    groups = dict(zip("abcdef", of_rows, strict=True))
    filled = {id: group for id, group in groups.items() if group}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        try:
            assert read(root, {"train.csv": labels_with("patient", groups)}, "patient").groups == filled
        except DatasetError as error:
            pairs = {(group, "abcdef".index(id) % 2) for id, group in filled.items()}
            count = len({*filled.values()})
            assert count < 2 or count == len(filled) or len(pairs) == count or not filled, str(error)


def test_without_a_sample_and_with_labels_in_names(tmp_path: Path) -> None:
    names = [f"{kind}/{n}.jpg" for kind in ("cat", "dog") for n in range(4)]
    root = competition(
        tmp_path, names, {"who.csv": as_csv(["file", "driver"], [(name, name[-5:-4]) for name in names])}
    )
    assert [one.column for one in scan(root).offers] == ["driver"]
    assert scan(root, given=Given(groups="driver")).groups == {name[:-4]: name[-5:-4] for name in names}


@pytest.mark.parametrize("level", ["folder", "folder:3", "Folder: 3"])
def test_a_level_of_folders(tmp_path: Path, level: str) -> None:
    names = [f"train/{kind}/site{n % 3}/{n}.jpg" for kind in ("cat", "dog") for n in range(6)]
    root = write_empty(tmp_path, names)
    assert scan(root, given=Given(groups=level)).groups == {
        name.removeprefix("train/").removesuffix(".jpg"): name.rpartition("/")[0] for name in names
    }


@pytest.mark.parametrize(
    ("tables", "groups", "said"),
    [
        (
            in_label_table("patient"),
            "town",
            "no table that names the photographs has a column town; there is train.csv:patient",
        ),
        (in_table_of_its_own("who"), "train.csv:who", "has a column train.csv:who; there is"),
        (in_label_table("patient"), "label", "train.csv has in label the labels, or the names of photographs"),
        (in_label_table("patient"), "id", "train.csv has in id the labels, or the names of photographs"),
        (
            {"train.csv": labels_with("age"), "other.csv": as_csv(["id", "who"], [(f"x{n}", n) for n in range(4)])},
            "who",
            "no table that names the photographs has a column who",
        ),
        (
            {"train.csv": labels_with("who", dict.fromkeys("abcdef", ""))},
            "who",
            "train.csv has in who nothing about any of the 6 labelled photographs",
        ),
        ({"train.csv": labels_with("who", dict.fromkeys("abcdef", "P"))}, "who", "of 6 all are of one group"),
        ({"train.csv": labels_with("who", {id: id for id in "abcdef"})}, "who", "of 6 each is alone in its group"),
        (
            {"train.csv": labels_with("who", dict(zip("abcdef", "PQPQPQ", strict=True)))},
            "who",
            "of 6 each group is all photographs of one label",
        ),
        (
            {
                "labels.csv": labels_with("age"),
                "two.csv": as_csv(["id", "who"], [(id, n % 4) for n, id in enumerate("abcdefa")]),
            },
            "who",
            "two.csv has train/a.jpg in two groups of who, 0 and 2",
        ),
        (in_label_table("patient"), "folder", "all are of one group"),
        (in_label_table("patient"), "folder:7", "no labelled photograph lies so deep"),
    ],
)
def test_wrong_turns(tmp_path: Path, tables: Tables, groups: str, said: str) -> None:
    with refused(DatasetError, said):
        read(tmp_path, tables, groups)


def test_what_says_nothing_is_not_offered(tmp_path: Path) -> None:
    alone = {"train.csv": labels_with("patient", {id: id for id in "abcdef"})}
    assert not read(tmp_path, alone).offers
    (tmp_path / "train.csv").write_text(labels_with("site", dict(zip("abcdef", "PQPQPQ", strict=True))))
    assert not scan(tmp_path).offers  # the labels in other words
    (tmp_path / "train.csv").write_text(as_csv(["id", "individual"], [(id, n // 2) for n, id in enumerate("abcdef")]))
    (tmp_path / "sample_submission.csv").write_text("id,individual\nu,0\nv,1\nw,2\n")
    assert not scan(tmp_path).offers  # the label itself


def test_a_share_is_held_out_by_whole_groups_and_copies(tmp_path: Path) -> None:
    root = write_empty(tmp_path, [f"{n}.jpg" for n in range(60)])
    for n in range(60):
        (root / f"{n}.jpg").write_bytes(f"photograph {n if n != 7 else 40}".encode())  # 7 of group 1 is 40 of group 8
    rows = [(n, n // 5 if n < 50 else "", "xy"[n % 2]) for n in range(60)]
    (root / "labels.csv").write_text(as_csv(["id", "patient", "label"], rows))
    whole = scan(root, given=Given(groups="patient"))
    seen = set()
    for seed in range(10):
        held = scan(root, holdout=0.25, seed=seed, given=Given(groups="patient"))
        groups = {whole.groups[id] for id in held.truth if id in whole.groups}
        assert {id for id in whole.groups if whole.groups[id] in groups} == {
            id for id in held.truth if id in whole.groups
        }
        assert ("1" in groups) == ("8" in groups)
        assert held.groups == {id: group for id, group in whole.groups.items() if id not in held.truth}
        assert 15 <= len(held.truth) < 15 + 10
        seen |= groups
    assert len(seen) > 5
    assert data_sets.scan(root, ["x"], given=Given(groups="patient")).groups.keys() == {str(n) for n in range(0, 50, 2)}

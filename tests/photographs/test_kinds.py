"""Several labels, grades and numbers, in all the ways that tables, annotations and folders write them."""

import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import DatasetError, UsageError
from catsdogs.photographs import answer, description, tfrecord_writer
from catsdogs.photographs.dataset import Dataset, scan, scan_asked
from catsdogs.photographs.label_texts import NO_LABEL, SEPARATOR, as_kind, table_of
from catsdogs.photographs.recognition import Given
from catsdogs.photographs.task import LABELS, NAME, NAMES, NUMBER, NUMBERS, ORDINAL, PROBABILITIES, Task
from tests.conftest import refused
from tests.support.competitions import TEST, TRAIN, competition, labelled
from tests.support.datasets import write_empty
from tests.support.layouts import as_csv, write_pictures

WORDS = ("rust", "scab", "late blight", "mould")
PLAIN_WORDS = ("rust", "scab", "blight", "mould")


def pictures(count: int) -> list[str]:
    return [f"train/p{number}.jpg" for number in range(count)]


def of_columns(shown: Sequence[Sequence[str]], names: Sequence[str]) -> str:
    return as_csv(["id", *names], [(f"p{n}", *(int(name in of) for name in names)) for n, of in enumerate(shown)])


def in_column(cells: Sequence[object], name: str = "tags") -> str:
    return as_csv(["id", name], [(f"p{n}", cell) for n, cell in enumerate(cells)])


def sample(columns: Sequence[str], *values: object) -> str:
    return as_csv(["id", *columns], [(id, *values) for id in "uvw"])


def read(root: Path, table: str, asked: str, **given: str) -> Dataset:
    names = pictures(table.count("\n") - 1)
    return scan(
        competition(root, [*names, *TEST], {"train.csv": table, "sample_submission.csv": asked}), given=Given(**given)
    )


def drawn(seed: int, names: Sequence[str], rows: int = 24) -> list[list[str]]:
    """Labels of each row, of which each stands alone once, all do together, and some rows have none."""
    rng = random.Random(seed)
    rest = [[name for name in names if rng.random() < 0.4] for _ in range(rows - len(names) - 2)]
    return [*([name] for name in names), [*names], [], *rest]


def shown_by(dataset: Dataset) -> list[set[str]]:
    """The labels of each row by the numbers that heads learn, in the order of p0, p1, ..."""
    of_rows = {row.id: row.label for row in dataset.of("train")}
    targets = table_of(dataset.task, dataset.classes)[[of_rows[f"p{n}"] for n in range(len(of_rows))]]
    return [{name for name, value in zip(dataset.task.names, row, strict=True) if value} for row in targets]


class TestSeveralLabels:
    @given(seed=st.integers(0, 10**6))
    def test_columns_of_0_and_1(self, seed: int) -> None:
        shown = drawn(seed, WORDS)
        with tempfile.TemporaryDirectory() as folder:
            found = read(Path(folder), of_columns(shown, WORDS[::-1]), sample(WORDS, *[0.5] * 4))
        task = found.task
        assert (task.kind, task.answer, task.metric, task.names) == (LABELS, PROBABILITIES, "log-loss", WORDS)
        assert shown_by(found) == [set(of) for of in shown]
        assert NO_LABEL in found.classes and SEPARATOR.join(WORDS) in found.classes

    @pytest.mark.parametrize("separator", [" ", ",", ", ", ";", "; ", "|", " | "])
    @given(seed=st.integers(0, 10**6))
    def test_one_column_of_names(self, separator: str, seed: int) -> None:
        words = PLAIN_WORDS if separator == " " else WORDS
        shown = drawn(seed, words)
        with tempfile.TemporaryDirectory() as folder:
            found = read(Path(folder), in_column([separator.join(of) for of in shown]), sample(["tags"], "rust"))
        task = found.task
        assert (task.kind, task.answer, task.metric, task.separator) == (LABELS, NAMES, "f1-micro", separator)
        assert task.names == tuple(sorted(words)) and shown_by(found) == [set(of) for of in shown]

    def test_the_sample_says_what_stands_between_names(self, tmp_path: Path) -> None:
        found = read(tmp_path, in_column(["rust", "scab", "rust,scab", "mould"]), sample(["tags"], "scab mould"))
        assert found.task.separator == " "

    def test_one_column_of_names_for_columns_that_are_asked_for(self, tmp_path: Path) -> None:
        """No photograph has mould, and it has a column all the same."""
        columns = ("scab", "mould", "rust")
        found = read(tmp_path, in_column(["rust", "scab", "rust scab", "scab rust"], "what"), sample(columns, 0, 0, 0))
        assert (found.task.answer, found.task.names) == (PROBABILITIES, columns)
        assert found.classes == ("rust", "scab", "scab|rust")
        assert "scab 3, mould 0, rust 3" in description.describe(found)

    def test_numbers_of_labels(self, tmp_path: Path) -> None:
        found = read(tmp_path, in_column(["16 0", "7 1 2 0", "5", "1", "0"]), sample(["tags"], "0"))
        assert (found.task.kind, found.task.answer) == (LABELS, NAMES) and found.task.names == (
            "0",
            "1",
            "2",
            "5",
            "7",
            "16",
        )
        assert labelled(found)["train/p0.jpg"] == "0|16"

    def test_names_of_two_words_are_no_lists(self, tmp_path: Path) -> None:
        cells = ["red fox", "grey wolf", "red deer", "grey seal", "arctic fox"] * 2
        assert read(tmp_path, in_column(cells), sample(["tags"], "red fox")).task.answer == NAME
        forced = read(tmp_path, in_column(cells), sample(["tags"], "red fox"), kind="labels")
        assert forced.task.names == ("arctic", "deer", "fox", "grey", "red", "seal", "wolf")
        assert forced.task.given == {"kind": "labels"}

    def test_lists_can_be_said_to_be_names_of_classes(self, tmp_path: Path) -> None:
        cells = ["rust", "scab", "rust scab"] * 2
        found = read(tmp_path, in_column(cells), sample(["tags"], "rust"), kind="classes")
        assert (found.task.kind, found.task.answer, found.classes) == ("classes", NAME, ("rust", "rust scab", "scab"))

    def test_one_label_each_can_be_said_to_be_labels(self, tmp_path: Path) -> None:
        found = read(tmp_path, of_columns([["x"], ["y"], ["x"]], "xy"), sample("xy", 0, 0), kind="labels")
        assert (found.task.kind, found.classes) == (LABELS, ("x", "y"))

    def test_coco_with_several_categories(self, tmp_path: Path) -> None:
        categories = [{"id": n, "name": name} for n, name in enumerate(WORDS)]
        shown = [(0,), (1, 3), (2,), (3, 1), (0, 2), (1,)]
        content = {
            "images": [{"id": n, "file_name": name} for n, name in enumerate(TRAIN)],
            "annotations": [{"image_id": n, "category_id": one} for n, of in enumerate(shown) for one in of],
            "categories": categories,
        }
        tables = {"train.json": json.dumps(content), "sample_submission.csv": sample(["Predicted"], "0 1")}
        root = competition(tmp_path, TRAIN + TEST, tables)
        found = scan(root)
        assert (found.task.kind, found.task.names, found.task.separator) == (LABELS, ("0", "1", "2", "3"), " ")
        assert labelled(found)["train/b.jpg"] == labelled(found)["train/d.jpg"] == "1|3"
        (root / "sample_submission.csv").write_text(sample(WORDS, *[0.5] * 4))
        assert scan(root).task.names == WORDS and labelled(scan(root))["train/e.jpg"] == "rust|late blight"
        with refused(DatasetError, r"gives 3 images several categories.*Leave --kind classes out"):
            scan(root, given=Given(kind="classes"))

    def test_without_a_sample(self, tmp_path: Path) -> None:
        root = competition(tmp_path, TRAIN, {"labels.csv": "id,label\na,x y\nb,x\nc,y\nd,\ne,y x\nf,y\n"})
        task = scan(root).task
        assert (task.kind, task.answer, task.names, task.targets) == (LABELS, PROBABILITIES, ("x", "y"), ("x", "y"))
        assert labelled(scan(root))["train/d.jpg"] == NO_LABEL
        assert "labels x 3, y 4, (none) 1" in description.describe(scan(root))


class TestNumbers:
    @pytest.mark.parametrize("delimiter", [",", ";"])
    @pytest.mark.parametrize("is_quoted", [True, False])
    def test_of_one_column(self, tmp_path: Path, delimiter: str, is_quoted: bool) -> None:
        cells = (
            ["63,5", "7", "20,25", "63,5", "1"]
            if is_quoted or delimiter == ";"
            else ["63.5", "7", "20.25", "63.50", "1"]
        )
        rows = [f'p{n}{delimiter}"{cell}"' if is_quoted else f"p{n}{delimiter}{cell}" for n, cell in enumerate(cells)]
        table = "\n".join([f"id{delimiter}score", *rows]) + "\n"
        found = read(tmp_path, table, sample(["score"], 0))
        task = found.task
        assert (task.kind, task.answer, task.metric, task.names) == (NUMBER, NUMBERS, "rmse", ("score",))
        assert labelled(found)["train/p0.jpg"] == labelled(found)["train/p3.jpg"] == "63.5"
        assert "the number score, 1 to 63.5" in description.describe(found)

    @given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12, unique=True))
    def test_are_what_stands_there(self, numbers: list[float]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            found = read(Path(folder), in_column([*numbers, 0.5], "score"), sample(["score"], 12.5))
        of_rows = {row.id: row.label for row in found.of("train")}
        targets = table_of(found.task, found.classes)[[of_rows[f"p{n}"] for n in range(len(of_rows))], 0]
        assert np.array_equal(targets, [*numbers, 0.5])

    def test_of_several_columns(self, tmp_path: Path) -> None:
        table = as_csv(["id", "y", "note", "x"], [(f"p{n}", n / 2, "seen", n) for n in range(5)])
        found = read(tmp_path, table, sample(["x", "y"], 0, 0))
        assert (found.task.kind, found.task.names, found.task.targets) == (NUMBER, ("x", "y"), ("x", "y"))
        assert labelled(found)["train/p3.jpg"] == "3|1.5"
        assert "2 numbers: x, 0 to 4; y, 0 to 2" in description.describe(found)

    @pytest.mark.parametrize("asked", ["64.06", "0", "0.25", "7"])
    @pytest.mark.parametrize("kind", ["", "number", "ordinal", "classes"])
    def test_whole_ones_are_classes_unless_something_says_so(self, tmp_path: Path, asked: str, kind: str) -> None:
        table = in_column([1, 57, 20, 20, 99], "score")
        if asked in ("64.06", "0.25") and kind in ("", "classes") and (kind, asked) != ("", "64.06"):
            with refused(DatasetError, "asks for one number, score, such as"):
                read(tmp_path, table, sample(["score"], asked), kind=kind)
            return
        found = read(tmp_path, table, sample(["score"], asked), kind=kind)
        expected = kind or (NUMBER if asked == "64.06" else "classes")
        assert found.task.kind == expected
        assert found.task.answer == (NUMBERS if expected == NUMBER else NAME)

    def test_shares_of_0_to_1(self, tmp_path: Path) -> None:
        found = read(tmp_path, in_column([0, 0.25, 1, 0.75], "risk"), sample(["risk"], 0.5))
        assert (found.task.kind, found.classes) == (NUMBER, ("0", "0.25", "0.75", "1"))

    def test_in_a_column_of_another_name(self, tmp_path: Path) -> None:
        assert read(tmp_path, in_column([1.5, 2, 7.25], "weight"), sample(["Predicted"], 0)).task.kind == NUMBER

    def test_without_a_sample(self, tmp_path: Path) -> None:
        table = "id,label,height\n" + "".join(f"{c},{n % 2},{n}.5\n" for n, c in enumerate("abcdef"))
        root = competition(tmp_path, TRAIN, {"labels.csv": table})
        assert scan(root).task.kind == "binary"
        task = scan(root, given=Given(labels="labels.csv:height")).task
        assert (task.kind, task.names, task.given) == (NUMBER, ("height",), {"labels": "labels.csv:height"})
        whole = scan(root, given=Given(kind="number")).task
        assert (whole.kind, whole.names, whole.targets) == (NUMBER, ("label",), ("label",))

    def test_names_of_folders_can_be_numbers(self, tmp_path: Path) -> None:
        root = write_empty(tmp_path, [f"{number}/{n}.jpg" for number in ("0.5", "3", "12") for n in range(2)])
        assert scan(root).task.kind == "classes"
        assert scan(root, given=Given(kind="number")).task.kind == NUMBER


class TestGrades:
    def test_in_increasing_order(self, tmp_path: Path) -> None:
        found = read(tmp_path, in_column([2, -1, 0.25, 10, 0.5], "grade"), sample(["grade"], 0), kind="ordinal")
        assert found.classes == ("-1", "0.25", "0.5", "2", "10") and found.task.metric == "qwk"
        assert labelled(found)["train/p3.jpg"] == "10" and "a grade -1 to 10" in description.describe(found)

    @pytest.mark.parametrize("kind", [ORDINAL, NUMBER])
    def test_without_a_sample_there_is_one_column(self, kind: str) -> None:
        task = as_kind(Task.of_classes("012"), kind, "012")
        assert task.targets == ("label",) and table_of(task, "012").tolist() == [[0.0], [1.0], [2.0]]

    def test_some_of_them(self, tmp_path: Path) -> None:
        root = competition(tmp_path, TRAIN, {"labels.csv": "id,label\na,0\nb,1\nc,2\nd,0\ne,1\nf,2\n"})
        found = scan(root, ["0", "2"], given=Given(kind="ordinal"))
        assert (found.task.kind, found.classes) == (ORDINAL, ("0", "2"))


class TestPartsOfThem:
    @pytest.mark.parametrize("cells", [[f"{n}.5" for n in range(40)], ["x y", "x", "y", "y z", "z"] * 8])
    def test_a_share_of_all_is_held_out(self, tmp_path: Path, cells: list[str]) -> None:
        root = write_empty(tmp_path, pictures(40))
        for n, name in enumerate(pictures(40)):
            (root / name).write_bytes(f"photograph {n}".encode())
        (root / "labels.csv").write_text(in_column(cells, "label"))
        whole, held = scan(root), scan(root, holdout=0.25)
        assert len(held.truth) == 10 and len(held.of("train")) == 30 and held.task == whole.task
        right = {row.id: whole.classes[row.label] for row in whole.of("train")}
        assert held.truth.items() <= right.items()
        with refused(UsageError, "--classes x would leave out rows by their class"):
            scan(root, ["x"])

    def test_whole_numbers_are_held_out_as_the_sample_says(self, tmp_path: Path) -> None:
        names = pictures(20)
        tables = {"train.csv": in_column(range(20), "score"), "sample_submission.csv": sample(["score"], 64.06)}
        found = scan(competition(tmp_path, names + TEST, tables), holdout=0.2)
        assert (found.task.kind, len(found.truth)) == (NUMBER, 4)

    @pytest.mark.parametrize("cells", [["1.5", "2", "7.25", "1.5"], ["x y", "x", "y", ""], ["2", "0", "1", "2"]])
    def test_record_files_keep_the_texts(self, tmp_path: Path, cells: list[str]) -> None:
        write_pictures(tmp_path / "photographs", pictures(4))
        (tmp_path / "photographs/labels.csv").write_text(in_column(cells, "label"))
        whole = scan(tmp_path / "photographs")
        tfrecord_writer.write_record_files(whole, tmp_path / "records", count=1)
        packed = scan(tmp_path / "records")
        assert (packed.classes, packed.task.kind) == (whole.classes, whole.task.kind)
        assert packed.task.names == whole.task.names
        with refused(DatasetError, "--groups patient, and TFRecord files do not say"):
            scan(tmp_path / "records", given=Given(groups="patient"))


def test_a_run_is_asked_by_another_sample(tmp_path: Path) -> None:
    tables = {"sample_submission.csv": sample(["tags"], "scab")}
    _, asked = scan_asked(competition(tmp_path, TEST, tables)) or (None, None)
    task = Task(LABELS, PROBABILITIES, targets=("rust", "scab"), names=("rust", "scab"))
    assert asked is not None
    found = answer.wanted_by(asked, task.names, {}, "root", answer.form_of(task))
    assert (found.answer, found.names, found.separator) == (NAMES, task.names, " ")
    number = Task(NUMBER, NUMBERS, targets=("score",), names=("score",))
    assert answer.wanted_by(asked, number.names, {}, "root", answer.form_of(number)).names == ("tags",)
    assert description.wanted(number, number.names) == "the number score"


@pytest.mark.parametrize(("shown", "kind"), [("50.5", ""), ("0", ""), ("0", "ordinal")])
def test_a_word_among_numbers_is_a_mistake_with_a_place(tmp_path: Path, shown: str, kind: str) -> None:
    """A person who mistyped one label of many is told which, whatever the sample asks for."""
    learnt, asked = [f"p{n}" for n in range(60)], ["u", "v"]
    rows = "".join(f"{name},{'mild' if name == 'p7' else n % 5}\n" for n, name in enumerate(learnt))
    tables = {
        "train.csv": f"id,level\n{rows}",
        "sample_submission.csv": "id,level\n" + "".join(f"{name},{shown}\n" for name in asked),
    }
    names = [f"train/{name}.jpg" for name in learnt] + [f"test/{name}.jpg" for name in asked]
    root = competition(tmp_path, names, tables)
    with refused(DatasetError, r"train\.csv: the column level holds 'mild', which is not a number, for train/p7\.jpg"):
        scan(root, given=Given(kind=kind))


def test_numbers_and_a_word_may_be_classes_when_told(tmp_path: Path) -> None:
    learnt = [f"p{n}" for n in range(60)]
    rows = "".join(f"{name},{'new' if name == 'p7' else n % 5}\n" for n, name in enumerate(learnt))
    tables = {"train.csv": f"id,level\n{rows}", "sample_submission.csv": "id,level\nu,new\nv,3\n"}
    names = [f"train/{name}.jpg" for name in learnt] + ["test/u.jpg", "test/v.jpg"]
    assert scan(competition(tmp_path, names, tables)).classes == ("0", "1", "2", "3", "4", "new")

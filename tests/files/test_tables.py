"""Tables as other programs save them and names as other systems write them, in submissions, truths and decisions."""

import io
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.cleaning import decisions, suspect_table
from catsdogs.cleaning.decisions import Decision
from catsdogs.competition import grading, submission
from catsdogs.errors import StoreError, SubmissionError
from catsdogs.features.feature_file import Features
from catsdogs.files import tables
from catsdogs.photographs.names import Names
from tests.conftest import refused
from tests.support.features import table, write_features

CLASSES = ("cat", "dog")
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
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
    "a.",
    "1" * 40,
    "x'y",
    'say "hi"',
    "a,b",
    "a;b",
]
ODD += [
    " lead",
    "trail ",
    "=1+1",
    "null",
    "1_000",
    "0x10",
    "٣",
    "cat.jpg",
    "two\nlines",
    "cr\rcr",
    "#1",
    "é",
    "e\u0301e",
]


@given(st.lists(st.lists(CELLS, min_size=2, max_size=4), min_size=1, max_size=5), st.sampled_from(tables.DELIMITERS))
def test_cells_come_back_as_they_are(rows: list[list[str]], delimiter: str) -> None:
    text = io.StringIO(newline="")
    tables.write_rows(text, rows, delimiter)
    assert tables.cells(f"sep={delimiter}\n{text.getvalue()}") == tables.Cells(rows, delimiter, True)


def forms(text: str, delimiter: str, ending: str, encoding: str) -> bytes:
    return text.replace(",", delimiter).replace("\n", ending).encode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
class TestSavedBySpreadsheets:
    def test_a_submission_and_its_truth(self, tmp_path: Path, encoding: str, delimiter: str, ending: str) -> None:
        sample = forms("id,label\n1,0.5\né,0.5\n,\n", delimiter, ending, encoding)
        comma = "0.25" if delimiter == "," else "0,25"
        text = f"id{delimiter}label{delimiter}\n1{delimiter}{comma}{delimiter}\né{delimiter}1{delimiter}\n"
        (tmp_path / "s.csv").write_bytes(text.replace("\n", ending).encode(encoding))
        assert submission.check_submission(tmp_path / "s.csv", tables.decode(sample)[0], CLASSES) == 2
        (tmp_path / "t.csv").write_bytes(forms("id,label\né,TRUE\n1,FALSE\n", delimiter, ending, encoding))
        graded = grading.grade_submission(tmp_path / "s.csv", tmp_path / "t.csv", CLASSES)
        assert graded.log_loss == pytest.approx(-np.log(0.75) / 2) and graded.accuracy == 1

    def test_decisions_stay_what_they_were_saved_as(
        self, tmp_path: Path, encoding: str, delimiter: str, ending: str
    ) -> None:
        path = tmp_path / decisions.DECISIONS_FILE
        path.write_bytes(forms("id,decision,label,when\né.1,drop,,\n", delimiter, ending, encoding))
        assert decisions.read_decisions(path, CLASSES).keys() == {"é.1"}
        decisions.decide(path, Decision("dog.2", "relabel", "cat"), CLASSES)
        assert decisions.read_decisions(path, CLASSES).keys() == {"é.1", "dog.2"}
        text = path.read_bytes().decode(encoding)
        assert text.splitlines()[0] == delimiter.join(decisions.DECISION_COLUMNS)
        decisions.undo(path, "dog.2", CLASSES)
        assert decisions.read_decisions(path, CLASSES).keys() == {"é.1"}


def test_a_decision_in_letters_that_the_table_has_not(tmp_path: Path) -> None:
    path = tmp_path / decisions.DECISIONS_FILE
    path.write_bytes("sep=;\r\nid;decision\r\nkätzchen;drop\r\n".encode("cp1252"))
    decisions.decide(path, Decision("猫.1", "keep"), CLASSES)
    assert decisions.read_decisions(path, CLASSES).keys() == {"kätzchen", "猫.1"}
    assert path.read_text(encoding="utf-8-sig").startswith("sep=;\n")


@pytest.mark.parametrize("number", ["1", "1.0", "1,0", "true", "TRUE", "dog"])
def test_a_truth_of_other_ranges(tmp_path: Path, number: str) -> None:
    zero = {"dog": "cat", "true": "false", "TRUE": "FALSE", "1": "0", "1.0": "0.0", "1,0": "0,0"}[number]
    (tmp_path / "s.csv").write_text("id,label\n1,0.9\n2,0.2\n")
    (tmp_path / "t.csv").write_text(f"id;label\n1;{number}\n2;{zero}\n")
    assert grading.grade_submission(tmp_path / "s.csv", tmp_path / "t.csv", CLASSES).accuracy == 1


def test_classes_that_are_such_numbers_are_themselves(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("id,1,1.0,True\na,1,0,0\nb,0,1,0\nc,0,0,1\n")
    (tmp_path / "t.csv").write_text("id,label\na,1\nb,1.0\nc,True\n")
    assert grading.grade_submission(tmp_path / "s.csv", tmp_path / "t.csv", ("1", "1.0", "True")).accuracy == 1


def test_ids_are_kept_through_a_submission_and_back(tmp_path: Path) -> None:
    path, truth = tmp_path / "s.csv", tmp_path / "t.csv"
    probabilities = np.linspace(0.1, 0.9, len(ODD))
    both = np.stack((1 - probabilities, probabilities), axis=1)
    submission.write_submission(path, ODD, both, CLASSES, None, {})
    ids, found = submission.read_submission(path, CLASSES)
    assert dict(zip(ids, found[:, 1], strict=True)) == pytest.approx(dict(zip(ODD, probabilities, strict=True)))
    sample = path.read_bytes().decode()
    submission.write_submission(tmp_path / "again.csv", ODD[::-1], both[::-1], CLASSES, sample, {})
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()
    grading.write_truth(truth, dict.fromkeys(ODD, "dog") | {ODD[0]: "cat"})
    assert grading.grade_submission(path, truth, CLASSES).rows == len(ODD)


@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_what_is_written_is_in_the_form_that_is_asked_for(tmp_path: Path, asked: str) -> None:
    ours = [unicodedata.normalize("NFC" if asked == "NFD" else "NFD", name) for name in ("café", "Épagneul")]
    theirs = [unicodedata.normalize(asked, name) for name in ("café", "Épagneul")]
    sample = f"id,dog,{theirs[1]}\n {theirs[0]},0.5,0.5\n"
    path = tmp_path / "s.csv"
    submission.write_submission(path, [ours[0]], np.array([[0.25, 0.75]]), ("dog", ours[1]), sample, {})
    assert path.read_text(encoding="utf-8") == f"id,dog,{theirs[1]}\n {theirs[0]},0.25,0.75\n"
    assert submission.check_submission(path, sample, ("dog", ours[1])) == 1
    (tmp_path / "t.csv").write_text(f"id,label\n{ours[0]},{ours[1]}\n", encoding="utf-8")
    assert grading.grade_submission(path, tmp_path / "t.csv", ("dog", ours[1])).accuracy == 1
    with refused(SubmissionError, "mean a photograph that another one means, too"):
        submission.order(ours[:1], ("dog", ours[1]), f"{sample}{theirs[0]},0.5,0.5\n", ())


def test_decisions_find_photographs_in_either_form(tmp_path: Path) -> None:
    entries = table(["cafe\u0301", " lead", "1e5", "007", "dog"], [])
    features = [write_features(tmp_path, entries, classes=("cat", "Épagneul"))]
    lines = ["café,drop,", "lead,drop,", "1e5,drop,", "7,drop,", "007,relabel,E\u0301pagneul"]
    (tmp_path / decisions.DECISIONS_FILE).write_text("id,decision,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    done = decisions.corrections(tmp_path, features, "decided")
    assert done.drop == {"cafe\u0301", " lead", "1e5"} and done.relabel == {"007": "Épagneul"}
    assert "1 more are not among" in done.sentence


@pytest.fixture
def odd_features(tmp_path: Path) -> Features:
    return write_features(tmp_path, table(ODD, ODD))


def test_ids_are_kept_through_the_table_of_suspects(tmp_path: Path, odd_features: Features) -> None:
    found = [
        suspect_table.Suspect(split, id, label, 0.5, 0, 1, {}, (suspect_table.Reason(0.5, "small: 1 x 1"),))
        for split, label in (("train", "a"), ("test", ""))
        for id in odd_features.ids[split].tolist()
    ]
    suspect_table.write_suspects(tmp_path / "outliers.csv", found)
    assert [(row.split, row.id) for row in suspect_table.read_suspects(tmp_path / "outliers.csv")] == [
        (row.split, row.id) for row in found
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\n1,2\n2,x\n3,0.5\n4,\n", r"row 2: '2' for 1 is not a probability .* \(2 more rows like it: 3, 5\)"),
        ("id,a,b,c\n1,0,0,0\n2,1,0,0\n3,1,1,1\n", r"row 2: .* add up to 0, not 1 \(1 more rows like it: 4\)"),
        ("id,label\n1\n2,0.5\n,0.5\n", r"row 2 has 1 columns, not 2, or no id \(1 more rows like it: 4\)"),
        ("id,label\n1,0.5\n1,0.5\n1,0.5\n", r"row 3 holds the id 1 again, first seen in row 2 \(1 more .*: 4\)"),
        ("id,label\n1,1_0\n", "'1_0' for 1 is not a probability"),
        ('id,label\n1,"0.5\n2,0.5\n', "is not CSV"),
    ],
)
def test_mistakes_of_one_kind_are_counted_in_one_run(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with refused(SubmissionError, message):
        submission.check_submission(tmp_path / "s.csv")


def test_many_ids_are_said_in_short(tmp_path: Path) -> None:
    sample = "id,label\n" + "".join(f"{n},0.5\n" for n in range(1000))
    with refused(SubmissionError, r"999 ids of the sample .*: 1, 2, 3, 4, 5, …\. Extract"):
        submission.order(["0"], CLASSES, sample, ())
    (tmp_path / "s.csv").write_text("id,label\n1,0.9\n2,0.1\n3,0.9\n")
    (tmp_path / "t.csv").write_text("id,label\n1,ape\n2,cat\n3,cow\n")
    with refused(SubmissionError, r"row 2: the label 'ape' of 1 is none of cat, dog \(1 more rows like it: 4\)"):
        grading.grade_submission(tmp_path / "s.csv", tmp_path / "t.csv", CLASSES)


def test_bad_decisions_are_counted(tmp_path: Path) -> None:
    path = tmp_path / decisions.DECISIONS_FILE
    path.write_text("id,decision\ncat.1,drop\ncat.2,dorp\n,drop\ncat.3,rop\n")
    with refused(StoreError, r"row 3 decides 'dorp' \(2 more rows that cannot be used: 4, 5\)"):
        decisions.read_decisions(path, CLASSES)
    path.write_text("id,decision,decision\ncat.1,drop,keep\n")
    with refused(StoreError, "row 1 has the columns id, decision, decision"):
        decisions.read_decisions(path, CLASSES)


@pytest.mark.parametrize("data", [b"PK\x03\x04\0\0", b"\xff\xfe\xfd", b"\x01\x02\xff", b"id\xff\xfe"])
def test_bytes_that_are_no_table(data: bytes) -> None:
    with pytest.raises(tables.NoTableError):
        tables.decode(data)


@pytest.mark.parametrize("kept", ["id,label\na", "id,label\na,tab", "id,label\na,tab\0\0\0"])
def test_a_table_of_ours_that_was_cut_inside_a_line_is_refused(tmp_path: Path, kept: str) -> None:
    path = tmp_path / "table.csv"
    tables.write_table(path, ("id", "label"), [("a", "tabby")])
    assert tables.read_table(path, "Again") == (["id", "label"], [["a", "tabby"]])
    path.write_text(kept, newline="")
    with pytest.raises(StoreError, match=r"table\.csv cannot be read: it is cut off inside a line\. Again\."):
        tables.read_table(path, "Again", StoreError)


def test_a_name_is_found_as_it_is_before_it_is_found_otherwise() -> None:
    names = Names(["a", " a", "cafe\u0301", "caf\u00e9", "b "])
    for name in ("a", " a", "cafe\u0301", "caf\u00e9", "b "):
        assert names.find(name) == name
    assert names.find("b") == "b " and names.find("a ") is None and names.find("c") is None

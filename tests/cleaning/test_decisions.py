"""A person's decisions: read strictly, written at once, the last word counts, and training obeys them."""

import codecs
import csv
import dataclasses
import errno
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catsdogs.cleaning import decisions, suspect_table
from catsdogs.cleaning.decisions import Allowed, Decision
from catsdogs.errors import LockedError, StoreError, TrainingError
from catsdogs.features.feature_file import Features
from catsdogs.files import storage
from catsdogs.photographs.task import Task
from catsdogs.scoring import training_plan
from tests.conftest import refused
from tests.support.ballots import STRANGE_TOP, plain_pictures, save_dataset, write_voters
from tests.support.kinds import GRADE_TASK, LABELS_TASK, NUMBER_TASK, features_of

CLASSES = ("cat", "dog")
STRANGE = {("train", "cat.1"): STRANGE_TOP, ("test", "1"): STRANGE_TOP}


@pytest.fixture
def files(tmp_path: Path) -> list[Features]:
    data = save_dataset(tmp_path / "data", plain_pictures())
    return write_voters(tmp_path, data, {"One": STRANGE | {("train", "dog.0"): STRANGE_TOP}, "Two": STRANGE})


def table(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / decisions.DECISIONS_FILE
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def test_the_last_decision_about_a_row_counts(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "id,decision,label,when",
        "cat.1,drop,,2024-05-01T10:00:00Z",
        "dog.2,relabel,cat,2024-05-01T10:00:01Z",
        "",
        "cat.1, Keep ,,2024-05-01T10:00:02Z",
    )
    assert decisions.read_decisions(path, CLASSES) == {
        "cat.1": Decision("cat.1", "keep", "", "2024-05-01T10:00:02Z"),
        "dog.2": Decision("dog.2", "relabel", "cat", "2024-05-01T10:00:01Z"),
    }


def test_a_table_typed_by_hand_in_a_spreadsheet_will_do(tmp_path: Path) -> None:
    path = table(tmp_path, "Decision,ID", "drop,cat.1", encoding="utf-8-sig")
    assert decisions.read_decisions(path, CLASSES) == {"cat.1": Decision("cat.1", "drop", "", "")}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["id,decision,label,when", "cat.1,drop,,", ",drop,,"], "row 3 has no id"),
        (["id,decision,label,when", "cat.1,remove,,"], "row 2 decides 'remove'"),
        (["id,decision,label,when", "cat.1"], "row 2 decides ''"),
        (
            ["id,decision,label,when", "cat.1,relabel,,"],
            "row 2 relabels cat.1 as nothing.*one of the classes: cat, dog",
        ),
        (["id,decision,label,when", "cat.1,keep,,", "cat.1,relabel,Dog,"], "row 3 relabels cat.1 as Dog.*: cat, dog"),
        (["cat.1,drop"], r"row 1 has the columns cat\.1, drop"),
        ([""], "row 1"),
    ],
)
def test_a_bad_row_is_named_in_one_line(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        decisions.read_decisions(table(tmp_path, *lines), CLASSES)
    assert decisions.DECISIONS_FILE in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / decisions.DECISIONS_FILE).write_bytes(b"id,decision\n\xff\xfe\n")
    with pytest.raises(StoreError, match="UTF-8"):
        decisions.read_decisions(tmp_path / decisions.DECISIONS_FILE, CLASSES)


def test_without_decisions_unanimous_train_rows_are_dropped_whatever_the_table_says(
    tmp_path: Path, files: list[Features]
) -> None:
    suspect_table.write_suspects(tmp_path / suspect_table.OUTLIERS_FILE, [])
    done = decisions.corrections(tmp_path, files, "drop")
    assert done.drop == {"cat.1"}  # not dog.0, on which one of two networks votes, and no test row
    assert done.relabel == {}
    assert "1 of 4 train rows" in done.sentence
    assert "the run's oof.csv marks them" in done.sentence
    assert str(tmp_path / suspect_table.OUTLIERS_FILE) in done.sentence
    (tmp_path / suspect_table.OUTLIERS_FILE).unlink()
    assert suspect_table.OUTLIERS_FILE not in decisions.corrections(tmp_path, files, "drop").sentence


def test_votes_against_most_rows_are_not_followed_but_a_persons_word_is(tmp_path: Path) -> None:
    pictures = plain_pictures()
    data = save_dataset(tmp_path / "data", pictures)
    half = {("train", id): STRANGE_TOP for id in ("dog.0", "cat.1")}
    one = write_voters(tmp_path, data, {"One": half})
    assert len(decisions.corrections(tmp_path, one, "drop").drop) == 2
    most = write_voters(tmp_path, data, {"Two": half | {("train", "dog.2"): STRANGE_TOP}})
    with pytest.raises(TrainingError, match=r"in 3 of 4 train rows, .*not of cats and dogs.*--outliers keep"):
        decisions.corrections(tmp_path, most, "drop")
    table(tmp_path, "id,decision", "dog.0,drop", "cat.1,drop", "dog.2,drop")
    assert len(decisions.corrections(tmp_path, most, "drop").drop) == 3


@pytest.mark.parametrize("policy", ["decided", "drop"])
def test_a_persons_word_replaces_the_vote(tmp_path: Path, files: list[Features], policy: str) -> None:
    lines = (
        "id,decision,label,when",
        "dog.0,drop,,",
        "cat.1,keep,,",
        "dog.2,relabel,cat,",
        "1,drop,,",
        "gone.7,drop,,",
        "2,relabel,dog,",
    )
    path = table(tmp_path, *lines)
    done = decisions.corrections(tmp_path, files, policy)
    assert done.drop == {"dog.0"}
    assert done.relabel == {"dog.2": "cat"}
    assert f"1 of 4 train rows, which {path} drops (2 more are not among" in done.sentence
    assert "the run's oof.csv marks them" in done.sentence
    assert "relabelled: 1 (1 more are not among" in done.sentence


def test_a_later_word_undoes_an_earlier_one(tmp_path: Path, files: list[Features]) -> None:
    table(tmp_path, "id,decision,label", "dog.0,drop,", "dog.0,relabel,cat", "cat.1,relabel,dog", "cat.1,keep,")
    done = decisions.corrections(tmp_path, files, "decided")
    assert (done.drop, done.relabel) == (frozenset(), {"dog.0": "cat"})


@pytest.mark.parametrize("decided", [False, True])
@pytest.mark.parametrize("policy", decisions.POLICIES)
def test_without_a_table_or_with_keep_nothing_is_done_and_nothing_said(
    tmp_path: Path, files: list[Features], policy: str, decided: bool
) -> None:
    if decided:
        table(tmp_path, "id,decision,label", "dog.0,drop,", "dog.2,relabel,cat")
    done = decisions.corrections(tmp_path, files, policy)
    untouched = policy == "keep" or (policy == "decided" and not decided)
    assert (not done.drop and not done.relabel) is untouched
    assert (done.sentence == "") is untouched


def test_a_class_that_the_data_set_lacks_is_refused_unless_all_is_kept(tmp_path: Path, files: list[Features]) -> None:
    path = table(tmp_path, "id,decision,label", "dog.0,drop,", "dog.2,relabel,horse")
    for policy in ("decided", "drop"):
        with pytest.raises(StoreError, match=r"row 3 relabels dog\.2 as horse.*: cat, dog") as caught:
            decisions.corrections(tmp_path, files, policy)
        assert str(path) in str(caught.value)
    assert decisions.corrections(tmp_path, files, "keep").sentence == ""


def test_decisions_suffice_where_no_network_can_vote(tmp_path: Path) -> None:
    data = save_dataset(tmp_path / "data", plain_pictures())
    mute = write_voters(tmp_path, data, {"Mute": None})
    with pytest.raises(StoreError, match="no classifier"):
        decisions.corrections(tmp_path, mute, "drop")
    table(tmp_path, "id,decision,label,when", "cat.1,drop,,")
    assert decisions.corrections(tmp_path, mute, "drop").drop == {"cat.1"}


def cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as text:
        return list(csv.reader(text))


def test_a_decision_is_a_row_at_once_and_the_file_is_made_if_need_be(tmp_path: Path) -> None:
    path = tmp_path / "features" / decisions.DECISIONS_FILE
    before = datetime.now(UTC).replace(microsecond=0)
    first = decisions.decide(path, Decision("cat.1", "drop"), CLASSES)
    assert before <= datetime.fromisoformat(first.when) <= datetime.now(UTC)
    assert first.when.endswith("+00:00")
    second = decisions.decide(path, Decision("dog.2", "relabel", "cat"), CLASSES)
    assert cells(path) == [list(decisions.DECISION_COLUMNS), list(first), list(second)]
    assert decisions.read_decisions(path, CLASSES) == {"cat.1": first, "dog.2": second}
    assert {file.name for file in path.parent.iterdir()} <= {decisions.DECISIONS_FILE, ".decisions.lock"}


def test_undo_makes_the_earlier_decision_count_again(tmp_path: Path) -> None:
    path = tmp_path / decisions.DECISIONS_FILE
    assert decisions.undo(path, "cat.1", CLASSES) is None
    assert not path.exists()
    first = decisions.decide(path, Decision("cat.1", "drop"), CLASSES)
    other = decisions.decide(path, Decision("dog.2", "keep"), CLASSES)
    decisions.decide(path, Decision("cat.1", "relabel", "dog"), CLASSES)
    assert decisions.undo(path, "cat.1", CLASSES) == first
    assert decisions.read_decisions(path, CLASSES) == {"cat.1": first, "dog.2": other}
    assert decisions.undo(path, "cat.1", CLASSES) is None
    assert decisions.undo(path, "cat.1", CLASSES) is None
    assert decisions.read_decisions(path, CLASSES) == {"dog.2": other}


@pytest.mark.parametrize("id", [" cat.1", "cat.1 ", "cat.1\n"])
def test_a_name_that_would_not_be_found_again_is_refused(tmp_path: Path, id: str) -> None:
    with pytest.raises(StoreError, match="begins or ends with a space"):
        decisions.decide(tmp_path / decisions.DECISIONS_FILE, Decision(id, "drop"), CLASSES)
    assert not (tmp_path / decisions.DECISIONS_FILE).exists()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_typed_by_hand_keeps_its_columns_and_rows(tmp_path: Path, encoding: str) -> None:
    lines = ("Note,Decision,ID", '"a cat, näturally",keep,cat.1', "", "logo,drop,cat.2,a cell too many")
    path = table(tmp_path, *lines, encoding=encoding)
    typed = cells(path)
    decisions.decide(path, Decision("dog.2", "relabel", "cat"), CLASSES)
    written = cells(path)
    assert written[0] == ["Note", "Decision", "ID", "", "label", "when"]
    assert written[1:-1] == typed[1:]
    assert written[-1][:5] == ["", "relabel", "dog.2", "", "cat"]
    assert path.read_bytes().startswith(codecs.BOM_UTF8) is (encoding == "utf-8-sig")
    assert decisions.read_decisions(path, CLASSES)["cat.2"] == Decision("cat.2", "drop")


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
hand_rows = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["cat.1", "dog.2", "a, b", 'say "dog"']),
        "decision": st.sampled_from(["keep", "drop", "relabel", " KEEP"]),
        "label": st.just("dog"),
        "when": words,
        "note": words,
    }
)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.permutations(["id", "decision", "label", "when", "note"]),
    st.lists(hand_rows, max_size=6),
    st.sampled_from(["cat.1", "dog.2", "dog.9"]),
)
def test_deciding_adds_and_undoing_takes_away_nothing_else(
    tmp_path: Path, header: list[str], rows: list[dict[str, str]], id: str
) -> None:
    path = tmp_path / decisions.DECISIONS_FILE
    with path.open("w", encoding="utf-8", newline="") as text:
        csv.writer(text).writerows([header, *([row[column] for column in header] for row in rows)])
    typed, before = cells(path), decisions.read_decisions(path, CLASSES)
    decided = decisions.decide(path, Decision(id, "relabel", "dog"), CLASSES)
    assert cells(path)[:-1] == typed
    assert decisions.read_decisions(path, CLASSES) == before | {id: decided}
    assert decisions.undo(path, id, CLASSES) == before.get(id)
    assert cells(path) == typed


@pytest.mark.parametrize(
    "lines", [["nonsense"], [""], ["id,decision", "cat.1,remove"], ["id,decision,label", "cat.1,relabel,cow"]]
)
def test_a_bad_table_is_left_as_it_is(tmp_path: Path, lines: list[str]) -> None:
    path = table(tmp_path, *lines)
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        decisions.read_decisions(path, CLASSES)
    with refused(StoreError, re.escape(str(caught.value))):
        decisions.decide(path, Decision("cat.1", "keep"), CLASSES)
    with refused(StoreError, re.escape(str(caught.value))):
        decisions.undo(path, "cat.1", CLASSES)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "decision", [Decision("", "keep"), Decision("cat.1", "eat"), Decision("cat.1", "relabel", "cow")]
)
def test_a_bad_decision_is_refused(tmp_path: Path, decision: Decision) -> None:
    with refused(StoreError, "The decision about"):
        decisions.decide(tmp_path / decisions.DECISIONS_FILE, decision, CLASSES)
    assert not (tmp_path / decisions.DECISIONS_FILE).exists()


def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path, "id,decision", "cat.1,keep")
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("catsdogs.files.atomic.os.fsync", full)
    with refused(StoreError, "disk is full"):
        decisions.decide(path, Decision("cat.1", "drop"), CLASSES)
    assert path.read_bytes() == before


def test_who_writes_for_ever_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "_PATIENCE", 0.05)
    with FileLock(tmp_path / ".decisions.lock"), refused(LockedError, "Another process"):
        decisions.decide(tmp_path / decisions.DECISIONS_FILE, Decision("cat.1", "drop"), CLASSES)


DECIDE_TWENTY = """
import sys
from pathlib import Path
from catsdogs.cleaning import decisions
decisions._PATIENCE = 600
for number in range(20):
    decisions.decide(Path(sys.argv[1]), decisions.Decision(f"{sys.argv[2]}.{number}", "drop"), ("cat", "dog"))
"""


def test_threads_and_processes_lose_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "_PATIENCE", 600)
    path = tmp_path / decisions.DECISIONS_FILE
    command = [sys.executable, "-c", DECIDE_TWENTY, str(path)]
    others = [subprocess.Popen([*command, f"process {number}"]) for number in range(2)]
    ids = [f"thread.{number}" for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda id: decisions.decide(path, Decision(id, "keep"), CLASSES), ids))
    assert [other.wait() for other in others] == [0, 0]
    expected = {*ids, *(f"process {number}.{row}" for number in range(2) for row in range(20))}
    assert sorted(row[0] for row in cells(path)[1:]) == sorted(expected)


def test_an_object_store_is_no_place_to_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with refused(StoreError, "not written to an object store such as memory://bucket/features"):
        decisions.decide(
            storage.place("memory://bucket/features/decisions.csv"), Decision("cat.0", "drop"), ("cat", "dog")
        )
    assert not list(tmp_path.iterdir())


TWO_NUMBERS = dataclasses.replace(NUMBER_TASK, names=("height", "weight"))


@pytest.mark.parametrize(
    ("task", "typed", "found"),
    [
        (LABELS_TASK, "plum|apple", "apple|plum"),
        (LABELS_TASK, " pear | apple", "apple|pear"),
        (LABELS_TASK, "(none)", "(none)"),
        (LABELS_TASK, "apple|apple", "apple"),
        (LABELS_TASK, "apple,plum", None),
        (LABELS_TASK, "apple|cherry", None),
        (LABELS_TASK, "apple|", None),
        (LABELS_TASK, "", None),
        (NUMBER_TASK, "63.25", "63.25"),
        (NUMBER_TASK, " 1e3 ", "1e3"),
        (NUMBER_TASK, "inf", None),
        (NUMBER_TASK, "nan", None),
        (NUMBER_TASK, "much", None),
        (NUMBER_TASK, "1|2", None),
        (NUMBER_TASK, "", None),
        (TWO_NUMBERS, "1.5 | 2", "1.5|2"),
        (TWO_NUMBERS, "1.5", None),
        (GRADE_TASK, "3", "3"),
        (GRADE_TASK, "9", None),
        (None, "pear", "pear"),
        (None, "cherry", None),
    ],
)
def test_what_a_row_may_be_relabelled_as(tmp_path: Path, task: Task | None, typed: str, found: str | None) -> None:
    classes = ("2", "3") if task is GRADE_TASK else ("apple|pear", "pear")
    assert Allowed(classes, task).find(typed) == found
    path = table(tmp_path, "id,decision,label", f"row.1,relabel,{typed}" if "," not in typed else "row.1,keep,")
    if found is None and "," not in typed:
        with refused(StoreError, "row 2 relabels row.1 as .*into the column label"):
            decisions.read_decisions(path, classes, task=task)
    elif found is not None:
        assert decisions.read_decisions(path, classes, task=task)["row.1"].label == found
        decided = decisions.decide(path, Decision("row.2", "relabel", found), classes, task)
        assert decisions.read_decisions(path, classes, task=task)["row.2"] == decided
        assert decisions.undo(path, "row.2", classes, task) is None


@pytest.mark.parametrize(("task", "new"), [(LABELS_TASK, "apple|pear|plum"), (NUMBER_TASK, "777.25")])
def test_train_learns_texts_that_no_row_had(tmp_path: Path, task: Task, new: str) -> None:
    file = features_of(
        tmp_path, task, 30, texts=[f"{n}.5" for n in range(30)] if task is NUMBER_TASK else ["plum"] * 30
    )
    table(tmp_path, "id,decision,label", f"row.3,relabel,{new}", "row.4,drop,")
    corrected = decisions.corrections(tmp_path, [file], "decided")
    rows = training_plan.TrainingRows.of([file], corrected.drop, corrected.relabel)
    expected = file.targets.copy()
    expected[3] = 1 if task is LABELS_TASK else 777.25
    assert np.array_equal(rows.to_learn, expected) and np.array_equal(rows.truth, file.targets)
    assert rows.kept.tolist() == [number != 4 for number in range(30)]


def test_labels_and_numbers_are_dropped_by_no_vote(tmp_path: Path) -> None:
    file = features_of(tmp_path, LABELS_TASK, 30, texts=["plum"] * 30)
    with refused(TrainingError, "networks vote on classes of pets, not on apple, pear, plum. Train with"):
        decisions.corrections(tmp_path, [file], "drop")

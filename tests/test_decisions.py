"""A person's decisions: read strictly, the last word counts, and training leaves out what they drop."""

from pathlib import Path

import pytest

from catsdogs import decisions, outliers
from catsdogs.decisions import Decision
from catsdogs.errors import StoreError, TrainingError
from catsdogs.store import Features
from tests.test_outliers import STRANGE_TOP, plain_pictures, save_dataset, write_features

STRANGE = {("train", "cat.1"): STRANGE_TOP, ("test", "1"): STRANGE_TOP}


@pytest.fixture
def files(tmp_path: Path) -> list[Features]:
    data = save_dataset(tmp_path / "data", plain_pictures())
    return write_features(tmp_path, data, {"One": STRANGE | {("train", "dog.0"): STRANGE_TOP}, "Two": STRANGE})


def table(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / decisions.TABLE
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
    assert decisions.read(path) == {
        "cat.1": Decision("cat.1", "keep", "", "2024-05-01T10:00:02Z"),
        "dog.2": Decision("dog.2", "relabel", "cat", "2024-05-01T10:00:01Z"),
    }


def test_a_table_typed_by_hand_in_a_spreadsheet_will_do(tmp_path: Path) -> None:
    path = table(tmp_path, "Decision,ID", "drop,cat.1", encoding="utf-8-sig")
    assert decisions.read(path) == {"cat.1": Decision("cat.1", "drop", "", "")}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["id,decision,label,when", "cat.1,drop,,", ",drop,,"], "row 3 has no id"),
        (["id,decision,label,when", "cat.1,remove,,"], "row 2 decides 'remove'"),
        (["id,decision,label,when", "cat.1"], "row 2 decides ''"),
        (["id,decision,label,when", "cat.1,relabel,,"], "row 2 relabels cat.1 as nothing"),
        (["cat.1,drop"], r"row 1 has the columns cat\.1, drop"),
        ([""], "row 1"),
    ],
)
def test_a_bad_row_is_named_in_one_line(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(StoreError, match=said) as caught:
        decisions.read(table(tmp_path, *lines))
    assert decisions.TABLE in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / decisions.TABLE).write_bytes(b"id,decision\n\xff\xfe\n")
    with pytest.raises(StoreError, match="UTF-8"):
        decisions.read(tmp_path / decisions.TABLE)


def test_without_decisions_unanimous_train_rows_are_dropped_whatever_the_table_says(
    tmp_path: Path, files: list[Features]
) -> None:
    outliers.write_csv(tmp_path / outliers.TABLE, [])
    drops = decisions.rows_to_drop(tmp_path, files)
    assert drops.ids == {"cat.1"}  # not dog.0, on which one of two networks votes, and no test row
    assert "1 of 4 train rows" in drops.sentence
    assert "column dropped of the run's oof.csv" in drops.sentence
    assert str(tmp_path / outliers.TABLE) in drops.sentence
    (tmp_path / outliers.TABLE).unlink()
    assert outliers.TABLE not in decisions.rows_to_drop(tmp_path, files).sentence


def test_votes_against_most_rows_are_not_followed_but_a_persons_word_is(tmp_path: Path) -> None:
    pictures = plain_pictures()
    data = save_dataset(tmp_path / "data", pictures)
    half = {("train", id): STRANGE_TOP for id in ("dog.0", "cat.1")}
    assert len(decisions.rows_to_drop(tmp_path, write_features(tmp_path, data, {"One": half})).ids) == 2
    most = write_features(tmp_path, data, {"Two": half | {("train", "dog.2"): STRANGE_TOP}})
    with pytest.raises(TrainingError, match=r"in 3 of 4 train rows, .*not of cats and dogs.*--outliers keep"):
        decisions.rows_to_drop(tmp_path, most)
    table(tmp_path, "id,decision", "dog.0,drop", "cat.1,drop", "dog.2,drop")
    assert len(decisions.rows_to_drop(tmp_path, most).ids) == 3


def test_a_persons_word_replaces_the_vote(tmp_path: Path, files: list[Features]) -> None:
    lines = (
        "id,decision,label,when",
        "dog.0,drop,,",
        "cat.1,keep,,",
        "dog.2,relabel,cat,",
        "1,drop,,",
        "gone.7,drop,,",
    )
    path = table(tmp_path, *lines)
    drops = decisions.rows_to_drop(tmp_path, files)
    assert drops.ids == {"dog.0"}
    assert "1 of 4 train rows" in drops.sentence
    assert "2 more are not among" in drops.sentence
    assert str(path) in drops.sentence
    assert "column dropped of the run's oof.csv" in drops.sentence
    assert "1 rows to relabel are left as they are" in drops.sentence


def test_decisions_suffice_where_no_network_can_vote(tmp_path: Path) -> None:
    data = save_dataset(tmp_path / "data", plain_pictures())
    mute = write_features(tmp_path, data, {"Mute": None})
    with pytest.raises(StoreError, match="no classifier"):
        decisions.rows_to_drop(tmp_path, mute)
    table(tmp_path, "id,decision,label,when", "cat.1,drop,,")
    assert decisions.rows_to_drop(tmp_path, mute).ids == {"cat.1"}

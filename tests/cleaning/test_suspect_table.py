"""The table of suspects is read back as it was written, and damage is told in one line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catsdogs.cleaning import outliers, suspect_table
from catsdogs.errors import StoreError
from catsdogs.files import tables
from catsdogs.networks import imagenet
from tests.conftest import refused
from tests.support.ballots import OTHERS, STRANGE_TOP, csv_rows, photograph, plain_pictures, save_dataset, write_voters

HEADER = ",".join(suspect_table.SUSPECT_COLUMNS)
ROW = 'train,cat.1,cat,0.9000,1,2,"One: tabby 0.81, lynx 0.10; Two: puck 0.71",no pet: 1 of 2 networks'


def table(folder: Path, *lines: str) -> Path:
    path = folder / suspect_table.OUTLIERS_FILE
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_what_was_found_is_read_back(tmp_path: Path) -> None:
    pictures = plain_pictures() | {"train/cat.9.jpg": photograph(9, (60, 30))}
    pictures["test/2.jpg"] = pictures["train/dog.0.jpg"]  # the same bytes
    data = save_dataset(tmp_path / "data", pictures)
    strange = {("train", "cat.9"): STRANGE_TOP, ("test", "1"): STRANGE_TOP}
    found = outliers.find_outliers(write_voters(tmp_path, data, {"One": strange, "Two": {}}))
    suspect_table.write_suspects(tmp_path / suspect_table.OUTLIERS_FILE, found)
    read = suspect_table.read_suspects(tmp_path / suspect_table.OUTLIERS_FILE)
    assert len(read) == len(found) == 4
    for there, suspect in zip(read, found, strict=True):
        assert there[:3] == (suspect.split, suspect.id, suspect.label)
        assert there.score == pytest.approx(suspect.score, abs=1e-4)
        assert (there.votes, there.networks) == (suspect.votes, suspect.networks)
        assert [reason.text for reason in there.reasons] == [reason.text for reason in suspect.reasons]
        assert there.kinds == tuple(reason.kind for reason in suspect.reasons)
        assert there.labels == suspect.labels


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["train", "test"]),
            st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=8),
            st.lists(st.sampled_from(imagenet.labels()), max_size=3),
            st.floats(0, 1),
        ),
        unique_by=lambda row: row[:2],
        max_size=5,
    )
)
def test_any_id_and_label_survives(tmp_path: Path, rows: list[tuple[str, str, list[str], float]]) -> None:
    found = [
        suspect_table.Suspect(split, id, "", score, 0, 2, {"One": in_words, "Two": ""}, (reason,))
        for split, id, labels, score in rows
        for reason in [suspect_table.Reason(score, "label error: out of fold, dog 0.9")]
        for in_words in [", ".join(f"{label} 0.50" for label in labels)]
    ]
    suspect_table.write_suspects(tmp_path / suspect_table.OUTLIERS_FILE, found)
    read = suspect_table.read_suspects(tmp_path / suspect_table.OUTLIERS_FILE)
    assert [row[:2] for row in read] == [row[:2] for row in rows]
    assert [row.labels for row in read] == [suspect.labels for suspect in found]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], r"row 1 has the columns \(none\)"),
        (["id,decision"], "row 1 has the columns id, decision"),
        ([HEADER, ROW, "train,cat.2,cat"], "row 3 is damaged: 3 cells"),
        ([HEADER, ROW[:-1] + "\0"], "row 2 is damaged: zeros inside a line"),
        ([HEADER, ROW.replace("0.9000", "much")], "row 2 is damaged"),
        ([HEADER, ROW.replace("0.9000", "nan")], "the score nan"),
        ([HEADER, ROW.replace("0.9000", "1.5")], "the score 1.5"),
        ([HEADER, ROW.replace(",1,2,", ",3,2,")], "3 votes of 2"),
        ([HEADER, ROW.replace("train", "both")], "the split 'both'"),
        ([HEADER, ROW.replace("cat.1", "")], "no id"),
        ([HEADER, ROW.replace("no pet: 1 of 2 networks", "")], "no name before a colon"),
        ([HEADER, ROW.replace("One: ", "")], "no name before a colon"),
        ([HEADER, ROW, ROW], "lists a photograph twice"),
    ],
)
def test_damage_is_told_with_its_row(tmp_path: Path, lines: list[str], message: str) -> None:
    path = table(tmp_path, *lines)
    if not lines:
        path.write_text("")
    with refused(StoreError, message):
        suspect_table.read_suspects(path)
    with pytest.raises(StoreError, match=r"outliers\.csv.*`catsdogs outliers`"):
        suspect_table.read_suspects(path)


def test_what_is_no_text_or_not_there_is_told(tmp_path: Path) -> None:
    with refused(StoreError, "cannot be read"):
        suspect_table.read_suspects(tmp_path / suspect_table.OUTLIERS_FILE)
    (tmp_path / suspect_table.OUTLIERS_FILE).write_bytes(b"\xff\xfe")
    with refused(StoreError, "cannot be read"):
        suspect_table.read_suspects(tmp_path / suspect_table.OUTLIERS_FILE)


def test_the_table_has_the_columns_of_the_contract_in_order_of_doubt(tmp_path: Path) -> None:
    data = save_dataset(tmp_path / "data", plain_pictures() | {"train/cat.10.jpg": photograph(10, (60, 30))})
    files = write_voters(tmp_path, data, {"One": {("train", "cat.10"): STRANGE_TOP, ("test", "0"): STRANGE_TOP}})
    suspects = outliers.find_outliers(files)
    path = tmp_path / "new folder" / suspect_table.OUTLIERS_FILE
    suspect_table.write_suspects(path, suspects)
    rows = csv_rows(path)
    assert tuple(rows[0]) == suspect_table.SUSPECT_COLUMNS
    assert [(row["split"], row["id"]) for row in rows] == [("train", "cat.10"), ("test", "0")]
    assert rows[0]["reasons"] == "no pet: 1 of 1 networks; small: 30 pixels at its shorter side, below 40"
    assert (rows[0]["votes"], rows[0]["networks"], rows[1]["label"]) == ("1", "1", "")
    assert rows[0]["labels"].startswith(f"One: {imagenet.labels()[OTHERS[0]]} 0.15, ")
    assert [float(row["score"]) for row in rows] == pytest.approx([suspect.score for suspect in suspects], abs=1e-4)
    assert [entry.name for entry in path.parent.iterdir()] == [suspect_table.OUTLIERS_FILE]


def test_a_failed_write_leaves_the_old_table_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / suspect_table.OUTLIERS_FILE
    suspect_table.write_suspects(path, [])
    before = path.read_bytes()

    def interrupted() -> Iterator[tuple[str, ...]]:
        yield suspect_table.SUSPECT_COLUMNS
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tables.write_table(path, suspect_table.SUSPECT_COLUMNS, interrupted())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        suspect_table.write_suspects(tmp_path / "file" / suspect_table.OUTLIERS_FILE, [])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.floats(0, 1))
def test_one_more_reason_never_lowers_a_score(scores: list[float], more: float) -> None:
    def score(values: list[float]) -> float:
        return suspect_table.joint_score(suspect_table.Reason(value, "") for value in values)

    assert 0 <= score(scores) <= score([*scores, more]) + 1e-12 <= 1 + 1e-12

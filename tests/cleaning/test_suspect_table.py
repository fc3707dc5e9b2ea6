"""The table of suspects is read back as it was written, and damage is told in one line."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catsdogs.cleaning import outliers, suspect_table
from catsdogs.errors import StoreError
from catsdogs.networks import imagenet
from tests.cleaning.test_outliers import STRANGE_TOP, photograph, plain_pictures, save_dataset, write_features
from tests.conftest import refused

HEADER = ",".join(suspect_table.COLUMNS)
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
    found = outliers.find_outliers(write_features(tmp_path, data, {"One": strange, "Two": {}}))
    suspect_table.write_suspects(tmp_path / suspect_table.OUTLIERS_FILE, found)
    read = suspect_table.read_suspects(tmp_path / suspect_table.OUTLIERS_FILE)
    assert len(read) == len(found) == 4
    for there, suspect in zip(read, found, strict=True):
        assert there[:3] == (suspect.split, suspect.id, suspect.label)
        assert there.score == pytest.approx(suspect.score, abs=1e-4)
        assert (there.votes, there.networks) == (suspect.votes, suspect.networks)
        assert there.reasons == tuple(reason.text for reason in suspect.reasons)
        assert there.kinds == tuple(reason.kind for reason in suspect.reasons)
        assert there.labels == {name: suspect_table.labels_in_words(top[:3]) for name, top in suspect.labels.items()}


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
        outliers.Suspect(split, id, "", 0, 2, {"One": [(label, 0.5) for label in labels], "Two": []}, (reason,))
        for split, id, labels, score in rows
        for reason in [suspect_table.Reason(score, "label error: out of fold, dog 0.9")]
    ]
    suspect_table.write_suspects(tmp_path / suspect_table.OUTLIERS_FILE, found)
    read = suspect_table.read_suspects(tmp_path / suspect_table.OUTLIERS_FILE)
    assert [row[:2] for row in read] == [row[:2] for row in rows]
    assert [row.labels["One"] for row in read] == [
        suspect_table.labels_in_words(suspect.labels["One"]) for suspect in found
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], r"row 1 has the columns \(none\)"),
        (["id,decision"], "row 1 has the columns id, decision"),
        ([HEADER, ROW, "train,cat.2,cat"], "row 3 is damaged: 3 cells"),
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
def test_damage_is_told_with_its_row(tmp_path: Path, lines: list[str], said: str) -> None:
    path = table(tmp_path, *lines)
    if not lines:
        path.write_text("")
    with refused(StoreError, said):
        suspect_table.read_suspects(path)
    with pytest.raises(StoreError, match=r"outliers\.csv.*`catsdogs outliers`"):
        suspect_table.read_suspects(path)


def test_what_is_no_text_or_not_there_is_told(tmp_path: Path) -> None:
    with refused(StoreError, "cannot be read"):
        suspect_table.read_suspects(tmp_path / suspect_table.OUTLIERS_FILE)
    (tmp_path / suspect_table.OUTLIERS_FILE).write_bytes(b"\xff\xfe")
    with refused(StoreError, "cannot be read"):
        suspect_table.read_suspects(tmp_path / suspect_table.OUTLIERS_FILE)

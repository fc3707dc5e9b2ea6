"""Lists that grow with the data: how many, the first few, and all of them in a file that is named."""

import csv
from pathlib import Path
from typing import Any

import invoke
import pytest

from catsdogs.commands import console
from catsdogs.commands.settings import Flags
from catsdogs.errors import DatasetError, SubmissionError, UnknownNameError, UsageError, and_more, in_short
from catsdogs.features import extract
from catsdogs.features.feature_file import Unreadable
from catsdogs.front import extracting, notes
from catsdogs.photographs import description, tfrecord
from catsdogs.photographs.dataset import Dataset, scan
from tests.conftest import Command
from tests.support.datasets import jpeg, write_kaggle_folder


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as text:
        return list(csv.reader(text))


@pytest.mark.parametrize(
    ("count", "end"),
    [(0, "(none)"), (1, "0"), (5, "0, 1, 2, 3, 4"), (6, "0, 1, 2, 3, 4, …"), (9_222, "3, 4, …")],
)
def test_in_short(count: int, end: str) -> None:
    assert in_short(range(count)).endswith(end)
    assert len(in_short(range(count))) < 50
    assert len(and_more(range(count), "rows")) < 80


@pytest.mark.parametrize("count", [0, 3, 5, 6, 9_222])
def test_what_features_cannot_read(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As of a part of Kaggle's Dog Breed Identification, whose table lists all of the photographs."""
    lost = [Unreadable("train", f"{number}, \u00e9", "no such file") for number in range(count)]
    summary = extract.Extraction([], {}, {}, {}, lost, [])
    monkeypatch.setattr(extract, "extract", lambda *arguments: summary)
    dataset = scan(write_kaggle_folder(tmp_path / "data"))
    path = tmp_path / "features/unreadable.csv"
    path.parent.mkdir()
    path.write_text("of an earlier run")
    caplog.set_level("INFO")
    extracting.extract_files(dataset, [], path.parent, extract.Settings())
    out = "\n".join(caplog.messages)
    assert out.count("no such file") == min(count, 5)
    if count:
        assert f"unreadable: {count:,} of 11 photographs" in out
    if count > 5:
        assert f"and {count - 5:,} more like these; all {count:,} are listed in {path}" in out
        assert rows_of(path) == [["split", "id", "reason"], *map(list, lost)]
    else:
        assert not path.exists()


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty photographs of which nine cannot be read."""
    monkeypatch.chdir(tmp_path)
    data = write_kaggle_folder(tmp_path / "data", cats=10, dogs=10, test=0)
    for number in range(9):
        (data / f"train/cat.{number}.jpg").write_bytes(b"nothing")
    return data


def test_what_shards_cannot_hold_is_in_the_manifest(broken: Path, command: Command) -> None:
    code, out, _ = command("shards", "--data", "data", "--count", "7")
    assert code == 0
    assert out.count("unreadable, left out: train/cat.") == 5
    assert f"4 more like these; all 9 are listed in shards/{tfrecord.MANIFEST}" in out
    assert out.count("wrote ") == 5 and "2 more like these; all 7 are listed in" in out


def test_what_a_network_cannot_learn_from(
    broken: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [Unreadable("train", f"cat.{number}", "is no picture") for number in range(9)]
    path = Path("networks/mine/unreadable.csv")
    caplog.set_level("INFO")
    notes.note_unreadable(rows, path)
    out = "\n".join(caplog.messages)
    assert out.count("is no picture") == 5 and f"all 9 are listed in {path}" in out
    assert len(rows_of(path)) == 10


def fails(error: Exception) -> Any:
    @console.task()
    def body(flags: Flags) -> None:
        """Fail."""
        raise error

    return body


@pytest.mark.parametrize("count", [5, 6, 9_222])
def test_an_error_about_many_ids_lists_them(tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ids = [f"{number}\n," for number in range(count)]
    with pytest.raises(invoke.Exit) as caught:
        fails(SubmissionError(f"{count:,} ids are missing: {in_short(ids)}", "Give others", ids))(invoke.Context())
    assert caught.value.code == 1 and "\n" not in str(caught.value.message)
    if count > 5:
        assert str(caught.value.message).endswith(f"Give others. All {count:,} are listed in catsdogs-body.csv.")
        assert rows_of(tmp_path / "catsdogs-body.csv") == [["what"], *([id] for id in ids)]
    else:
        assert not list(tmp_path.iterdir())


def test_an_error_is_said_where_its_list_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "catsdogs-body.csv").mkdir()
    with pytest.raises(invoke.Exit) as caught:
        fails(UsageError("Too many", "Give fewer", range(9)))(invoke.Context())
    assert str(caught.value.message).endswith("Too many. Give fewer.") and caught.value.code == 2


def test_names_to_choose_from_are_said_as_far_as_one_can_read_them() -> None:
    few, many = [f"{n}" for n in range(80)], [f"{n}" for n in range(4_251)]
    assert str(UnknownNameError("head", "x", few)).endswith("78, 79.") and not UnknownNameError("head", "x", few).listed
    error = UnknownNameError("class", "x", many)
    assert str(error).endswith("98, 99, … (4,151 more).") and error.listed == tuple(many)


def test_classes_are_said_in_short(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path, tuple(f"w_{number}" for number in range(4_251)), ())
    assert description.describe(dataset).endswith("w_19, … (4,231 more)")


def test_a_table_with_more_rows_than_photographs(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for number in range(4):
        Path(f"data/{number}.jpg").write_bytes(jpeg(number))
    table = "id,breed\n" + "".join(f"{number},{'ab'[number % 2]}\n" for number in range(2_000))
    Path("data/labels.csv").write_text(table)
    code, out, _ = command("shards", "--data", "data")
    assert code == 0 and len(out.splitlines()) < 8
    assert "of the 2,000 photographs that its table lists, 1,996 are not there, such as 4: a part of" in out


def test_mistakes_in_a_table_are_listed(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    (tmp_path / "labels.csv").write_text("id,label\n1,a\n" + "x,\n" * 50)
    with pytest.raises(DatasetError, match=r"row 3 has no .* \(49 more rows like it: 4, 5, 6, 7, 8, …\)") as caught:
        scan(tmp_path)
    assert len(caught.value.listed) == 50 and caught.value.listed[-1] == "row 52 has no file name or no label"

"""Any competition's files are fetched through Kaggle's real client from a stand-in, whatever is there already."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs.competition import archive, fetch, unpack
from catsdogs.errors import FetchError
from tests.conftest import Command, refused
from tests.support.downloads import noise_jpeg, tree, zipped
from tests.support.kaggle_server import SIGNATURE, StandIn

NAME = "leaves-of-somewhere"
LABELS = "id,kind\n" + "".join(f"{number},{'oak' if number % 2 else 'elm'}\n" for number in range(6))
FILES = {
    "train.zip": zipped({f"train/{number}.jpg": noise_jpeg(number) for number in range(6)}),
    "labels.csv.zip": zipped({"labels.csv": LABELS.encode()}),
    "test/6.jpg": noise_jpeg(6),
    "test/7.jpg": noise_jpeg(7),
    "sample_submission.csv": b"id,kind\n7,elm\n6,elm\n",
}
ZIP = zipped(FILES)
COUNT, SIZE = len(FILES), sum(map(len, FILES.values()))


@pytest.fixture
def kaggles(signed_in: StandIn) -> StandIn:
    """Kaggle with a competition whose photographs lie in a zip and in a folder."""
    signed_in.archive = ZIP
    return signed_in


def without_list(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in tree(folder).items() if not name.startswith(archive.LISTS)}


def test_all_files_come_and_inner_zips_stay(kaggles: StandIn, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert archive.fetch_competition(NAME, data) == (COUNT, SIZE, False)
    assert without_list(data) == FILES
    assert kaggles.asked_for == [NAME]
    assert {path.name for path in tmp_path.iterdir()} == {"home", "data"}


def test_a_complete_folder_downloads_nothing_and_tells_its_competition(kaggles: StandIn, tmp_path: Path) -> None:
    data = tmp_path / "data"
    archive.fetch_competition(NAME, data)
    asked, before = len(kaggles.calls), tree(data)
    assert archive.fetch_competition(NAME, data) == (COUNT, SIZE, True)
    assert (len(kaggles.calls), tree(data)) == (asked, before)
    assert fetch.competition_of(str(data)) == NAME
    assert fetch.competition_of(str(tmp_path)) == ""


def test_a_file_that_got_lost_comes_again(kaggles: StandIn, tmp_path: Path) -> None:
    archive.fetch_competition(NAME, tmp_path)
    (tmp_path / "test/6.jpg").unlink()
    assert archive.fetch_competition(NAME, tmp_path) == (COUNT, SIZE, False)
    assert (tmp_path / "test/6.jpg").read_bytes() == FILES["test/6.jpg"]


@pytest.mark.parametrize("is_complete", [True, False])
def test_other_content_of_the_same_size_is_found_and_stays(kaggles: StandIn, tmp_path: Path, is_complete: bool) -> None:
    if is_complete:
        archive.fetch_competition(NAME, tmp_path)
    mine = bytes(len(FILES["test/6.jpg"]))
    (tmp_path / "test").mkdir(exist_ok=True)
    (tmp_path / "test/6.jpg").write_bytes(mine)
    with refused(FetchError, r"test/6\.jpg is there, but is not the file of the archive\. Move it away"):
        archive.fetch_competition(NAME, tmp_path)
    assert (tmp_path / "test/6.jpg").read_bytes() == mine
    assert (tmp_path / "test/7.jpg").exists() == is_complete


def test_what_the_user_had_stays(kaggles: StandIn, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    mine = {"notes.txt": b"notes", f"{NAME}.zip": ZIP, "sample_submission.csv": FILES["sample_submission.csv"]}
    for name, content in mine.items():
        (data / name).write_bytes(content)
    written = (data / "sample_submission.csv").stat()
    archive.fetch_competition(NAME, data)
    assert without_list(data) == FILES | mine
    assert (data / "sample_submission.csv").stat() == written
    assert not kaggles.calls


def test_a_folder_is_of_one_competition(kaggles: StandIn, tmp_path: Path) -> None:
    archive.fetch_competition(NAME, tmp_path)
    with refused(FetchError, rf"holds the files of {NAME}\. Give --data another folder"):
        archive.fetch_competition("another", tmp_path)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "Make a token"),
        (403, rf"gives no access to {NAME} .*Accept its rules at https://www\.kaggle\.com/competitions/{NAME}/rules"),
        (404, rf"knows no competition called '{NAME}'"),
    ],
)
def test_what_kaggle_refuses_leaves_nothing(kaggles: StandIn, tmp_path: Path, status: int, says: str) -> None:
    kaggles.refuse["DownloadDataFiles"] = (status, "Why not.")
    with refused(FetchError, says):
        archive.fetch_competition(NAME, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_cut_download_is_gone_on_with(kaggles: StandIn, tmp_path: Path, one_attempt: None) -> None:
    kaggles.cuts = [100, 3000]
    with pytest.raises(FetchError, match="connection was cut") as raised:
        archive.fetch_competition(NAME, tmp_path)
    assert SIGNATURE not in str(raised.value)
    assert archive.fetch_competition(NAME, tmp_path).files == COUNT
    assert kaggles.calls[-1] == "GET bytes=3000-"
    assert {name: content for name, content in without_list(tmp_path).items() if "home/" not in name} == FILES


@pytest.mark.parametrize(("free", "downloads"), [(1000, 2), (SIZE - 1, 1)])
def test_a_disk_that_is_too_small(
    kaggles: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, downloads: int
) -> None:
    """It is too small for the archive, or for what comes out of it; with more space it goes on where it was."""
    data, usage = tmp_path / "data", shutil.disk_usage(tmp_path)._replace(free=free)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: usage)
        with refused(FetchError, r"has 0 MiB free\. Free some space and run the same command again"):
            archive.fetch_competition(NAME, data)
    assert not tree(data).keys() & FILES.keys()
    archive.fetch_competition(NAME, data)
    assert without_list(data) == FILES
    assert kaggles.asked_for == [NAME] * downloads


@pytest.mark.parametrize("name", ["../evil.jpg", "/etc/evil.jpg", "a/../../evil.jpg"])
def test_nothing_leaves_the_folder(kaggles: StandIn, tmp_path: Path, name: str) -> None:
    kaggles.archive = zipped(FILES | {name: b"evil"})
    with refused(FetchError, "evil"):
        archive.fetch_competition(NAME, tmp_path / "data")
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]
    assert not tree(tmp_path / "data").keys() & FILES.keys()


def test_a_competition_may_be_larger_than_either_source(
    kaggles: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "MAX_UNPACKED_BYTES", 1000)
    assert archive.fetch_competition(NAME, tmp_path).files == COUNT
    kaggles.archive = zipped({"bomb.jpg": bytes(3_000_000)})
    with refused(FetchError, r"'bomb\.jpg' and the others would grow"):
        archive.fetch_competition(NAME, tmp_path / "other")


@pytest.mark.parametrize("content", [b"name,bytes,crc32\na.jpg,1\n", b"name,bytes,crc32\na.jpg,1,x\n", b"\xff\xfe\xff"])
def test_a_list_that_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / archive.LISTS / f"{NAME}.csv"
    path.parent.mkdir()
    path.write_bytes(content)
    with refused(FetchError, rf"{NAME}\.csv .*Delete it and run the same command again"):
        archive.fetch_competition(NAME, tmp_path)


@pytest.mark.parametrize("number", [1, 3, 5])
def test_killed_while_unpacking_and_run_again(kaggles: StandIn, tmp_path: Path, number: int) -> None:
    """SIGKILL in the middle of a file leaves only whole files under their names; the rest follows."""
    data = tmp_path / "data"
    packed = data / ".kaggle-download" / f"{NAME}.zip"
    packed.parent.mkdir(parents=True)
    packed.write_bytes(ZIP)
    script = f"""
import os, shutil, signal
from pathlib import Path
from catsdogs.competition import archive
copy, calls = shutil.copyfileobj, []
def dies(packed, sink, *rest):
    calls.append(1)
    if len(calls) == {number}:
        sink.write(packed.read(10)); sink.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    copy(packed, sink, *rest)
shutil.copyfileobj = dies
archive.fetch_competition({NAME!r}, Path({str(data)!r}))
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=Path(fetch.__file__).parents[2])
    assert killed.returncode == -9, killed.stderr
    there = {
        name: content for name, content in tree(data).items() if not any(part[:1] == "." for part in name.split("/"))
    }
    assert len(there) == number - 1 and there.items() <= FILES.items()
    assert archive.fetch_competition(NAME, data) == (COUNT, SIZE, False)
    assert without_list(data) == FILES
    assert not kaggles.calls


def test_killed_before_the_archive_is_removed_and_run_again(kaggles: StandIn, tmp_path: Path) -> None:
    """The list is complete by then, and an archive that stayed would take the space of all files once more."""
    archive.fetch_competition(NAME, tmp_path)
    packed = tmp_path / ".kaggle-download" / f"{NAME}.zip"
    packed.parent.mkdir()
    packed.write_bytes(ZIP)
    assert archive.fetch_competition(NAME, tmp_path) == (COUNT, SIZE, True)
    assert not packed.parent.exists()
    assert kaggles.asked_for == [NAME]


# As a command


def test_the_command_looks_at_what_it_fetched(
    kaggles: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = command("fetch", "--competition", NAME)
    assert code == 0, err
    assert f"data/{NAME}: {COUNT} files, 0.0 MB\n" in out
    assert "2 photographs asked for" in out and "6 to learn from, classes elm, oak" in out
    assert "left alone" not in out and f"next:  catsdogs features --data data/{NAME}" in out
    code, out, err = command("fetch", "--competition", NAME)
    assert code == 0 and "; all were there already" in out, err
    assert kaggles.asked_for == [NAME]


def test_what_cannot_be_read_was_fetched_all_the_same(
    kaggles: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    kaggles.archive = zipped({"train.7z": b"7z", "sample_submission.csv": FILES["sample_submission.csv"]})
    code, out, err = command("fetch", "--competition", NAME, "--data", "mine")
    assert code == 0, err
    assert "mine: 2 files, " in out and "7z" in out and "next:  catsdogs look --data mine" in out


def test_the_settings_folder_is_that_of_the_settings_competition(
    kaggles: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("invoke.yaml").write_text(f"catsdogs:\n  competition: {NAME}\n  data: mine\n")
    assert command("fetch")[0] == 0
    assert command("fetch", "--competition", "another")[0] == 0
    assert archive.competition_in(Path("mine")) == NAME
    assert archive.competition_in(Path("data/another")) == "another"


def test_microsoft_has_no_other_competitions(kaggles: StandIn, command: Command) -> None:
    code, out, err = command("fetch", "--source", "microsoft", "--competition", NAME)
    assert (code, out, kaggles.calls) == (2, "", [])
    assert "--source microsoft has no competitions. Leave out" in err

"""The photographs of both sources are fetched from a real local server, whatever is there already."""

import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs.competition import fetch, kaggle
from catsdogs.errors import FetchError, UnknownNameError
from tests.support.downloads import KAGGLE_FILES, KAGGLE_ZIP, PETS, TEST, TRAIN, FileServer, tree, zipped


def test_kaggle_is_downloaded_unpacked_twice_and_counted(small_kaggle: FileServer, tmp_path: Path) -> None:
    assert fetch.fetch("kaggle", tmp_path / "data") == ({"train": 6, "test": 4}, [])
    assert tree(tmp_path / "data") == KAGGLE_FILES  # No zip, no partial file, no note is left.


def test_microsoft_is_a_folder_per_class(small_microsoft: FileServer, tmp_path: Path) -> None:
    assert fetch.fetch("microsoft", tmp_path)[0] == {"Cat": 3, "Dog": 3}
    assert tree(tmp_path) == PETS | {"readme[1].txt": b"licence"}


@pytest.mark.parametrize(("source", "fixture"), [("kaggle", "small_kaggle"), ("microsoft", "small_microsoft")])
def test_a_complete_folder_downloads_nothing(
    source: str, fixture: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(fixture)
    counts, _ = fetch.fetch(source, tmp_path)
    asked, before = len(server.requests), tree(tmp_path)
    _, skipped = fetch.fetch(source, tmp_path)
    assert len(server.requests) == asked
    assert tree(tmp_path) == before
    assert set(skipped) == set(counts)


def test_what_the_user_had_stays(small_kaggle: FileServer, tmp_path: Path) -> None:
    mine = {"train.zip": b"my own", "notes.txt": b"notes", "train/cat.0.jpg": TRAIN["train/cat.0.jpg"]}
    mine[f"{kaggle.COMPETITION}.zip"] = KAGGLE_ZIP
    for name, content in mine.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    written = (tmp_path / "train/cat.0.jpg").stat()
    _, skipped = fetch.fetch("kaggle", tmp_path)
    assert tree(tmp_path) == KAGGLE_FILES | mine
    assert not small_kaggle.requests
    assert skipped == [f"{kaggle.COMPETITION}.zip"]
    assert (tmp_path / "train/cat.0.jpg").stat() == written


def test_a_file_with_another_content_is_not_overwritten(small_kaggle: FileServer, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train/cat.0.jpg").write_bytes(b"mine")
    with pytest.raises(FetchError, match=r"cat\.0\.jpg is there, but is not the file of the archive"):
        fetch.fetch("kaggle", tmp_path)
    assert (tmp_path / "train/cat.0.jpg").read_bytes() == b"mine"


def test_too_few_photographs_keep_the_archive(
    small_kaggle: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fetch.KAGGLE_COUNTS, "test", 5)
    with pytest.raises(FetchError, match=r"test holds 4 \.jpg files instead of 5\. Delete .*\.zip and run"):
        fetch.fetch("kaggle", tmp_path)
    assert (tmp_path / ".kaggle-download" / f"{kaggle.COMPETITION}.zip").read_bytes() == KAGGLE_ZIP


def test_a_photograph_too_many_is_the_users_to_move(small_kaggle: FileServer, tmp_path: Path) -> None:
    fetch.fetch("kaggle", tmp_path)
    (tmp_path / "train/holiday.jpg").write_bytes(b"")
    asked = len(small_kaggle.requests)
    with pytest.raises(FetchError, match=r"train holds 7 \.jpg files instead of 6\. Move away"):
        fetch.fetch("kaggle", tmp_path)
    assert len(small_kaggle.requests) == asked


def test_a_missing_sample_submission_is_said(small_kaggle: FileServer, tmp_path: Path) -> None:
    small_kaggle.files["/kaggle.zip"] = zipped(TRAIN | TEST)
    with pytest.raises(FetchError, match=r"sample_submission\.csv did not come out"):
        fetch.fetch("kaggle", tmp_path)


def test_an_unknown_source_lists_the_two(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'imagenet'\. Choose from: kaggle, microsoft"):
        fetch.fetch("imagenet", tmp_path)


def test_killed_while_unpacking_and_run_again(small_kaggle: FileServer, tmp_path: Path) -> None:
    """SIGKILL in the middle of the seventh file leaves only whole files under their names; the rest follows."""
    script = f"""
import os, shutil, signal
from pathlib import Path
from catsdogs.competition import fetch, kaggle
copy, calls = shutil.copyfileobj, []
def dies(packed, sink, *rest):
    calls.append(1)
    if len(calls) == 7:
        sink.write(packed.read(10)); sink.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    copy(packed, sink, *rest)
shutil.copyfileobj = dies
kaggle.archive_url = lambda: {small_kaggle.url + "/kaggle.zip"!r}
fetch.fetch("kaggle", Path({str(tmp_path)!r}))
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=Path(fetch.__file__).parents[2])
    assert killed.returncode == -9, killed.stderr
    visible = {name: content for name, content in tree(tmp_path).items() if name.endswith(".jpg") and "/." not in name}
    assert 0 < len(visible) < len(TRAIN)
    assert visible.items() <= TRAIN.items()
    assert fetch.fetch("kaggle", tmp_path)[0] == {"train": 6, "test": 4}
    assert tree(tmp_path) == KAGGLE_FILES
    assert len(small_kaggle.requests) == 1


def test_a_page_instead_of_a_zip_is_said(small_microsoft: FileServer, tmp_path: Path) -> None:
    small_microsoft.files["/pets.zip"] = b"<html>Log in to this network</html>"
    with pytest.raises(FetchError, match=r"damaged or incomplete .*Delete it and run"):
        fetch.fetch("microsoft", tmp_path)

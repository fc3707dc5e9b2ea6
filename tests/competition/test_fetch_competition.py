"""Any competition's archive is fetched from a local server: what it lists is what must be there."""

import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs.competition import fetch, kaggle
from catsdogs.errors import FetchError
from catsdogs.photographs.dataset import scan
from tests.support.downloads import FileServer, noise_jpeg, tree, zipped

SLUG = "rays-and-kites"
TRAIN = {f"train/{letter}.jpg": noise_jpeg(number) for number, letter in enumerate("abcd")}
TEST = {f"test/{letter}.jpg": noise_jpeg(10 + number) for number, letter in enumerate("xy")}
FILES = {
    "train.zip": zipped(TRAIN),
    "test.zip": zipped(TEST),
    "train.csv": b"id,is_kite\na.jpg,0\nb.jpg,1\nc.jpg,0\nd.jpg,1\n",
    "sample_submission.csv": b"id,is_kite\nx.jpg,0.5\ny.jpg,0.5\n",
}


@pytest.fixture
def archive(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    server.files[f"/{SLUG}.zip"] = zipped(FILES)
    monkeypatch.setattr(kaggle, "archive_url", lambda slug: f"{server.url}/{slug}.zip?signature=secret")
    return server


def shown(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in tree(folder).items() if name != fetch.LIST_FILE}


def test_zips_inside_stay_and_are_read_in_place(archive: FileServer, tmp_path: Path) -> None:
    assert fetch.fetch_competition(SLUG, tmp_path) == (4, False)
    assert shown(tmp_path) == FILES
    found = scan(tmp_path)
    assert (len(found.of("train")), len(found.of("test")), found.task.positive) == (4, 2, "1")
    assert found.others == 0


def test_all_there_downloads_nothing_and_what_is_lost_comes_back(archive: FileServer, tmp_path: Path) -> None:
    fetch.fetch_competition(SLUG, tmp_path)
    asked = len(archive.requests)
    assert fetch.fetch_competition(SLUG, tmp_path) == (4, True) and len(archive.requests) == asked
    (tmp_path / "train.csv").unlink()
    assert fetch.fetch_competition(SLUG, tmp_path) == (4, False)
    assert shown(tmp_path) == FILES


def test_a_cut_connection_is_resumed(archive: FileServer, tmp_path: Path) -> None:
    archive.cuts = [2000, 3000]
    fetch.fetch_competition(SLUG, tmp_path)
    assert shown(tmp_path) == FILES and any(wanted for _, wanted in archive.requests)


def test_a_file_of_the_users_is_not_overwritten(archive: FileServer, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"mine")
    with pytest.raises(FetchError, match=r"train\.csv is there, but is not the file of the archive"):
        fetch.fetch_competition(SLUG, tmp_path)
    assert (tmp_path / "train.csv").read_bytes() == b"mine"


def test_nothing_leaves_the_folder(archive: FileServer, tmp_path: Path) -> None:
    archive.files[f"/{SLUG}.zip"] = zipped({"../out.csv": b"", **FILES})
    with pytest.raises(FetchError, match=r"leads out of its folder"):
        fetch.fetch_competition(SLUG, tmp_path / "data")
    assert not (tmp_path / "out.csv").exists() and shown(tmp_path / "data").keys() <= {f".kaggle-download/{SLUG}.zip"}


def test_killed_while_unpacking_and_run_again(archive: FileServer, tmp_path: Path) -> None:
    script = f"""
import os, shutil, signal
from pathlib import Path
from catsdogs.competition import fetch, kaggle
copy, calls = shutil.copyfileobj, []
def dies(packed, sink, *rest):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    copy(packed, sink, *rest)
shutil.copyfileobj = dies
kaggle.archive_url = lambda slug: {archive.url!r} + f"/{{slug}}.zip"
fetch.fetch_competition({SLUG!r}, Path({str(tmp_path)!r}))
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=Path(fetch.__file__).parents[2])
    assert killed.returncode == -9, killed.stderr
    assert fetch.fetch_competition(SLUG, tmp_path) == (4, False)
    assert shown(tmp_path) == FILES and len(archive.requests) == 1

"""Downloads from a real local server, cut anywhere, go on where they stopped, and only with the same file."""

import os
from pathlib import Path

import pytest

from catsdogs.competition import download
from catsdogs.errors import FetchError
from tests.support.downloads import FileServer

BODY = os.urandom(50_000)


@pytest.fixture
def body(server: FileServer) -> FileServer:
    server.files["/body.zip"] = BODY
    return server


@pytest.mark.usefixtures("one_attempt")
def test_a_cut_download_goes_on_where_it_stopped(body: FileServer, tmp_path: Path) -> None:
    target = tmp_path / "body.zip"
    body.cuts = [20_000]
    with pytest.raises(FetchError, match="connection was cut"):
        download.download(f"{body.url}/body.zip", target)
    assert not target.exists()
    assert (tmp_path / "body.zip.part").read_bytes() == BODY[:20_000]
    download.download(f"{body.url}/body.zip", target)
    assert target.read_bytes() == BODY
    assert body.requests == [("/body.zip", None), ("/body.zip", "bytes=20000-")]


def test_several_cuts_are_mended_in_one_run(body: FileServer, tmp_path: Path) -> None:
    body.cuts = [1, 7_000, 30_000]
    download.download(f"{body.url}/body.zip", tmp_path / "body.zip")
    assert (tmp_path / "body.zip").read_bytes() == BODY
    assert [wanted for _, wanted in body.requests] == [None, "bytes=1-", "bytes=7001-", "bytes=37001-"]


@pytest.mark.parametrize("change", ["no ranges", "changed file", "changed file, If-Range ignored", "no ETag"])
def test_without_proof_of_the_same_file_it_starts_again(body: FileServer, tmp_path: Path, change: str) -> None:
    target = tmp_path / "body.zip"
    body.cuts = [20_000, 0, 0, 0, 0]
    body.etag = None if change == "no ETag" else body.etag
    with pytest.raises(FetchError):
        download.download(f"{body.url}/body.zip", target)
    body.cuts = []
    if change.startswith("changed"):
        body.files["/body.zip"] = BODY[::-1]
        body.etag = '"second"'
    body.obeys_if_range = not change.endswith("ignored")
    body.ranges = change != "no ranges"
    download.download(f"{body.url}/body.zip", target)
    assert target.read_bytes() == body.files["/body.zip"]


def test_killed_between_the_last_byte_and_the_new_name(body: FileServer, tmp_path: Path) -> None:
    (tmp_path / "body.zip.part").write_bytes(BODY)
    (tmp_path / "body.zip.etag").write_text('"first"')
    download.download(f"{body.url}/body.zip", tmp_path / "body.zip")
    assert (tmp_path / "body.zip").read_bytes() == BODY
    assert len(body.requests) == 1


def test_a_partial_file_longer_than_the_whole_starts_again(body: FileServer, tmp_path: Path) -> None:
    (tmp_path / "body.zip.part").write_bytes(BODY + b"more")
    (tmp_path / "body.zip.etag").write_text('"first"')
    download.download(f"{body.url}/body.zip", tmp_path / "body.zip")
    assert (tmp_path / "body.zip").read_bytes() == BODY


def test_a_refused_download_says_who_and_why_without_the_signature(body: FileServer, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"a\.zip could not be downloaded from 127\.0\.0\.1 \(HTTP 404") as refused:
        download.download(f"{body.url}/a.zip?signature=secret", tmp_path / "a.zip")
    assert "secret" not in str(refused.value)
    assert len(body.requests) == 1  # A 404 is not asked for again,
    body.status = 503
    with pytest.raises(FetchError, match="HTTP 503"):
        download.download(f"{body.url}/body.zip", tmp_path / "body.zip")
    assert len(body.requests) == 1 + download.DOWNLOAD_ATTEMPTS  # a busy server is.


def test_no_network_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"could not be downloaded from 127\.0\.0\.1 .*refused.*Check the network"):
        download.download("http://127.0.0.1:9/body.zip", tmp_path / "body.zip")

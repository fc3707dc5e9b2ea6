"""Downloads from a real local server, real and hostile zips, and runs that are cut anywhere."""

import errno
import http.server
import io
import os
import random
import resource
import shutil
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from catsdogs.competition import fetch, kaggle
from catsdogs.errors import FetchError, UnknownNameError


class FileServer(http.server.ThreadingHTTPServer):
    """Serves `files` by path; can drop connections after some bytes, ignore Range, or change what it serves."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FileHandler)
        self.files: dict[str, bytes] = {}
        self.etag: str | None = '"first"'
        self.ranges = True
        self.obeys_if_range = True
        self.cuts: list[int] = []  # One per connection to come: how many bytes of the body are sent before it drops.
        self.status = 200
        self.requests: list[tuple[str, str | None]] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class FileHandler(http.server.BaseHTTPRequestHandler):
    server: FileServer

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        body = self.server.files.get(self.path.split("?")[0])
        if body is None or self.server.status != 200:
            return self.send_error(404 if body is None else self.server.status)
        start = 0
        same = not self.server.obeys_if_range or self.headers.get("If-Range") in (None, self.server.etag)
        if wanted and self.server.ranges and same:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if self.server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = start + self.server.cuts.pop(0) if self.server.cuts else len(body)
        self.wfile.write(body[start:end])
        return None


@pytest.fixture
def server() -> Iterator[FileServer]:
    running = FileServer()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(fetch, "CHUNK_BYTES", 1000)


@pytest.fixture
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next connection is the last one, as if the user had to start the command again."""
    monkeypatch.setattr(fetch, "ATTEMPTS", 1)


def jpeg(shade: int) -> bytes:
    packed = io.BytesIO()
    Image.frombytes("RGB", (40, 30), random.Random(shade).randbytes(3600)).save(packed, "JPEG")
    return packed.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)  # The same bytes in every run.
    return packed.getvalue()


TRAIN = {f"train/{kind}.{number}.jpg": jpeg(number) for kind in ("cat", "dog") for number in range(3)}
TEST = {f"test/{number}.jpg": jpeg(10 + number) for number in range(1, 5)}
SAMPLE = {"sample_submission.csv": b"id,label\n1,0.5\n2,0.5\n3,0.5\n4,0.5\n"}
KAGGLE_ZIP = zipped({"train.zip": zipped(TRAIN), "test.zip": zipped(TEST), **SAMPLE})
KAGGLE_FILES = TRAIN | TEST | SAMPLE
PETS = {f"PetImages/{kind}/{number}.jpg": jpeg(20 + number) for kind in ("Cat", "Dog") for number in range(3)}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def small_kaggle(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """Kaggle's source with ten photographs, served from here."""
    server.files["/kaggle.zip"] = KAGGLE_ZIP
    monkeypatch.setattr(kaggle, "archive_url", lambda: f"{server.url}/kaggle.zip?signature=secret")
    monkeypatch.setitem(fetch.KAGGLE_COUNTS, "train", 6)
    monkeypatch.setitem(fetch.KAGGLE_COUNTS, "test", 4)
    return server


@pytest.fixture
def small_microsoft(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    server.files["/pets.zip"] = zipped(PETS | {"readme[1].txt": b"licence"})
    monkeypatch.setattr(fetch, "MICROSOFT_URL", f"{server.url}/pets.zip")
    for kind in ("Cat", "Dog"):
        monkeypatch.setitem(fetch.MICROSOFT_COUNTS, kind, 3)
    return server


# The whole way


def test_kaggle_is_downloaded_unpacked_twice_and_counted(small_kaggle: FileServer, tmp_path: Path) -> None:
    summary = fetch.fetch("kaggle", tmp_path / "data")
    assert summary == fetch.FetchSummary(tmp_path / "data", {"train": 6, "test": 4}, ())
    assert tree(tmp_path / "data") == KAGGLE_FILES  # No zip, no partial file, no note is left.


def test_microsoft_is_a_folder_per_class(small_microsoft: FileServer, tmp_path: Path) -> None:
    summary = fetch.fetch("microsoft", tmp_path)
    assert summary.counts == {"Cat": 3, "Dog": 3}
    assert tree(tmp_path) == PETS | {"readme[1].txt": b"licence"}


@pytest.mark.parametrize(("source", "fixture"), [("kaggle", "small_kaggle"), ("microsoft", "small_microsoft")])
def test_a_complete_folder_downloads_nothing(
    source: str, fixture: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(fixture)
    first = fetch.fetch(source, tmp_path)
    asked, before = len(server.requests), tree(tmp_path)
    second = fetch.fetch(source, tmp_path)
    assert len(server.requests) == asked
    assert tree(tmp_path) == before
    assert set(second.skipped) == set(first.counts)


def test_what_the_user_had_stays(small_kaggle: FileServer, tmp_path: Path) -> None:
    mine = {"train.zip": b"my own", "notes.txt": b"notes", "train/cat.0.jpg": TRAIN["train/cat.0.jpg"]}
    mine[f"{kaggle.COMPETITION}.zip"] = KAGGLE_ZIP
    for name, content in mine.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    written = (tmp_path / "train/cat.0.jpg").stat()
    summary = fetch.fetch("kaggle", tmp_path)
    assert tree(tmp_path) == KAGGLE_FILES | mine
    assert not small_kaggle.requests
    assert summary.skipped == (f"{kaggle.COMPETITION}.zip",)
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
    assert fetch.fetch("kaggle", tmp_path).counts == {"train": 6, "test": 4}
    assert tree(tmp_path) == KAGGLE_FILES
    assert len(small_kaggle.requests) == 1


# Downloading

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
        fetch.download(f"{body.url}/body.zip", target)
    assert not target.exists()
    assert (tmp_path / "body.zip.part").read_bytes() == BODY[:20_000]
    fetch.download(f"{body.url}/body.zip", target)
    assert target.read_bytes() == BODY
    assert body.requests == [("/body.zip", None), ("/body.zip", "bytes=20000-")]


def test_several_cuts_are_mended_in_one_run(body: FileServer, tmp_path: Path) -> None:
    body.cuts = [1, 7_000, 30_000]
    fetch.download(f"{body.url}/body.zip", tmp_path / "body.zip")
    assert (tmp_path / "body.zip").read_bytes() == BODY
    assert [wanted for _, wanted in body.requests] == [None, "bytes=1-", "bytes=7001-", "bytes=37001-"]


@pytest.mark.parametrize("change", ["no ranges", "changed file", "changed file, If-Range ignored", "no ETag"])
def test_without_proof_of_the_same_file_it_starts_again(body: FileServer, tmp_path: Path, change: str) -> None:
    target = tmp_path / "body.zip"
    body.cuts = [20_000, 0, 0, 0, 0]
    body.etag = None if change == "no ETag" else body.etag
    with pytest.raises(FetchError):
        fetch.download(f"{body.url}/body.zip", target)
    body.cuts = []
    if change.startswith("changed"):
        body.files["/body.zip"] = BODY[::-1]
        body.etag = '"second"'
    body.obeys_if_range = not change.endswith("ignored")
    body.ranges = change != "no ranges"
    fetch.download(f"{body.url}/body.zip", target)
    assert target.read_bytes() == body.files["/body.zip"]


def test_killed_between_the_last_byte_and_the_new_name(body: FileServer, tmp_path: Path) -> None:
    (tmp_path / "body.zip.part").write_bytes(BODY)
    (tmp_path / "body.zip.etag").write_text('"first"')
    fetch.download(f"{body.url}/body.zip", tmp_path / "body.zip")
    assert (tmp_path / "body.zip").read_bytes() == BODY
    assert len(body.requests) == 1


def test_a_partial_file_longer_than_the_whole_starts_again(body: FileServer, tmp_path: Path) -> None:
    (tmp_path / "body.zip.part").write_bytes(BODY + b"more")
    (tmp_path / "body.zip.etag").write_text('"first"')
    fetch.download(f"{body.url}/body.zip", tmp_path / "body.zip")
    assert (tmp_path / "body.zip").read_bytes() == BODY


def test_a_refused_download_says_who_and_why_without_the_signature(body: FileServer, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"a\.zip could not be downloaded from 127\.0\.0\.1 \(HTTP 404") as refused:
        fetch.download(f"{body.url}/a.zip?signature=secret", tmp_path / "a.zip")
    assert "secret" not in str(refused.value)
    assert len(body.requests) == 1  # A 404 is not asked for again,
    body.status = 503
    with pytest.raises(FetchError, match="HTTP 503"):
        fetch.download(f"{body.url}/body.zip", tmp_path / "body.zip")
    assert len(body.requests) == 1 + fetch.ATTEMPTS  # a busy server is.


def test_no_network_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"could not be downloaded from 127\.0\.0\.1 .*refused.*Check the network"):
        fetch.download("http://127.0.0.1:9/body.zip", tmp_path / "body.zip")


def test_a_page_instead_of_a_zip_is_said(small_microsoft: FileServer, tmp_path: Path) -> None:
    small_microsoft.files["/pets.zip"] = b"<html>Log in to this network</html>"
    with pytest.raises(FetchError, match=r"damaged or incomplete .*Delete it and run"):
        fetch.fetch("microsoft", tmp_path)


# Unpacking


def archived(folder: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    """A zip beside an empty folder named `out`, with one innocent member before the ones given."""
    (folder / "out").mkdir()
    path = folder / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("innocent.jpg", jpeg(1))
        for member, content in members:
            archive.writestr(member, content)
    return path


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


def raw(name: str) -> zipfile.ZipInfo:
    """A member whose name the zipfile module does not mend while it writes."""
    member = zipfile.ZipInfo("x")
    member.filename = name
    return member


def refused(archive: Path, problem: str) -> None:
    before = tree(archive.parent)
    with pytest.raises(FetchError, match=problem):
        fetch.unpack(archive, archive.parent / "out")
    assert tree(archive.parent) == before


ELSEWHERE = """
    ../evil.jpg  a/../../evil.jpg  ..  /etc/evil.jpg  C:/evil.jpg  C:evil.jpg  a//evil.jpg  ./evil.jpg
    ..\\evil.jpg  a\\..\\evil.jpg  \\\\host\\evil.jpg  evil.jpg\0.txt
"""


@pytest.mark.parametrize("name", ELSEWHERE.split())
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    archive = archived(tmp_path, (raw(name), b"evil"))
    refused(archive, "evil|'..'")


def test_links_are_refused(tmp_path: Path) -> None:
    refused(archived(tmp_path, (link("passwd.jpg"), b"/etc/passwd")), "'passwd.jpg' is a link")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["innocent.jpg", "Innocent.JPG"])
def test_a_name_that_occurs_twice_is_refused(tmp_path: Path, name: str) -> None:
    refused(archived(tmp_path, (name, b"other")), f"'{name}' has a name that occurs twice")


def test_a_file_that_is_also_a_folder_is_refused(tmp_path: Path) -> None:
    refused(archived(tmp_path, ("innocent.jpg/a.jpg", b"other")), "'innocent.jpg/a.jpg' lies in a folder")


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    archive = archived(tmp_path, ("secret.jpg", b"content"))
    content = bytearray(archive.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 8] |= 1
    archive.write_bytes(content)
    refused(archive, r"'secret.jpg' is encrypted")


def test_an_unusual_method_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("a.jpg", jpeg(1))
    refused(archive, "'a.jpg' is packed by method 14")


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archived(tmp_path, ("bomb.jpg", bytes(3_000_000)))
    refused(archive, "'bomb.jpg' and the others would grow from 0.00. to 3 MB")
    monkeypatch.setattr(fetch, "MAX_RATIO", 2000)
    assert fetch.unpack(archive, tmp_path / "out") == 2
    monkeypatch.setattr(fetch, "MAX_BYTES", 2_000_000)
    refused(archive, "would grow")


def test_a_zip_in_a_zip_is_unpacked_and_checked_as_well(tmp_path: Path) -> None:
    good = zipped({"train/cat.0.jpg": jpeg(3)})
    archive = archived(tmp_path, ("sub/good.zip", good))
    assert fetch.unpack(archive, tmp_path / "out") == 2
    assert set(tree(tmp_path / "out")) == {"innocent.jpg", "sub/train/cat.0.jpg"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (zipped({"../evil.jpg": b"evil"}), r"\.\./evil\.jpg"),
        (zipped({"third.zip": zipped({"a.jpg": b"a"})}), "'third.zip' is a zip inside a zip inside a zip"),
        (zipped({"a.jpg": jpeg(4)})[:-30], "damaged or incomplete"),
    ],
)
def test_a_bad_zip_in_a_zip_leaves_nothing_of_it(tmp_path: Path, content: bytes, problem: str) -> None:
    archive = archived(tmp_path, ("inner.zip", content))
    with pytest.raises(FetchError, match=problem) as raised:
        fetch.unpack(archive, tmp_path / "out")
    assert str(archive) in str(raised.value)
    assert set(tree(tmp_path)) == {"archive.zip", "out/innocent.jpg"}


def test_a_wrong_checksum_is_said_and_leaves_no_file(tmp_path: Path) -> None:
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr("a.jpg", b"photograph")
    archive.write_bytes(archive.read_bytes().replace(b"photograph", b"photogravh", 1))
    refused(archive, r"archive\.zip is damaged or incomplete .*a\.jpg.*Delete it and run the same command again")


INNER_ZIP = zipped({"test/1.jpg": b"photograph"})
NESTED_ZIP = zipped({"train/cat.0.jpg": jpeg(3), "inner.zip": INNER_ZIP})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_one_line_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    places = st.integers(0, len(NESTED_ZIP) - 1)
    changes = data.draw(st.dictionaries(places, st.integers(0, 255), max_size=4))
    end = data.draw(st.just(len(NESTED_ZIP)) | places)
    broken = bytes(changes.get(place, value) for place, value in enumerate(NESTED_ZIP[:end]))
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    archive = tmp_path / "archive.zip"
    archive.write_bytes(broken)
    try:
        fetch.unpack(archive, tmp_path / "out")
    except FetchError as error:
        assert "\n" not in str(error)
    # Whatever was written was whole; a change in its name can make a plain file of the inner zip.
    assert set(tree(tmp_path / "out").values()) <= {jpeg(3), b"photograph", INNER_ZIP}
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
    assert {path.name for path in tmp_path.iterdir()} <= {"archive.zip", "out"}


def test_too_small_a_disk_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archived(tmp_path, ("large.jpg", os.urandom(3_000_000)))
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    refused(archive, r"room for 1\.0 MB of 3\.0 MB\. Free 2\.0 MB more")


def test_a_disk_that_fills_up_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(packed: io.BufferedIOBase, sink: io.BufferedIOBase, length: int) -> None:
        sink.write(packed.read(3))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    archive = archived(tmp_path)
    monkeypatch.setattr(shutil, "copyfileobj", full)
    refused(archive, r"disk became full while .*innocent\.jpg was written\. Free some space")


def test_a_write_that_fails_leaves_no_half_file(tmp_path: Path) -> None:
    archive = archived(tmp_path, ("large.jpg", os.urandom(300_000)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(FetchError, match=r"large\.jpg cannot be written \(File too large\)"):
            fetch.unpack(archive, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert set(tree(tmp_path / "out")) == {"innocent.jpg"}


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"none\.zip cannot be read \(No such file"):
        fetch.unpack(tmp_path / "none.zip", tmp_path)

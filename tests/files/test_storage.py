"""Places on this machine and in an object store: named, listed, read, put, and what is said when that fails."""

import errno
import io
import os
import pickle
import sys
import threading
from pathlib import Path

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import StoreError, UsageError
from catsdogs.files import object_store, ranges, storage
from tests.conftest import refused
from tests.support.s3 import KINDS, Faults, upload

pytest_plugins = ("tests.support.s3",)


@pytest.fixture
def folder(s3_bucket: str) -> Path:
    return storage.place(f"{s3_bucket}/some/folder")


class TestPlace:
    def test_on_this_machine(self, tmp_path: Path) -> None:
        for text in (str(tmp_path), tmp_path, f"file://{tmp_path}"):
            assert storage.place(text) == tmp_path and not storage.is_remote(storage.place(text))
        assert storage.place("~/x") == Path.home() / "x"

    def test_in_a_store(self, s3_bucket: str) -> None:
        for text in (f"{s3_bucket}/a b/c#d", f"{s3_bucket}/a b/c#d/"):
            place = storage.place(text)
            assert str(place) == f"{s3_bucket}/a b/c#d" and storage.is_remote(place) and place.name == "c#d"
            assert storage.place(place) is place
            assert pickle.loads(pickle.dumps(place)) == place
            assert storage.is_remote(place / "e") and str((place / "e").parent) == str(place)

    @pytest.mark.parametrize("text", ["nothing://x/y", "s3://", "s3:///"])
    def test_what_is_none(self, text: str) -> None:
        with refused(UsageError, "is no place|names no bucket"):
            storage.place(text)

    def test_a_package_that_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "gcsfs", None)
        with refused(UsageError, r"Install it: pip install 'catsdogs\[gs\]'"):
            storage.place("gs://bucket/x")


@pytest.mark.parametrize("below", ["", "sub/"])
def test_put_list_read_remove(folder: Path, tmp_path: Path, below: str) -> None:
    data = bytes(range(256)) * 10
    (tmp_path / "x").write_bytes(data)
    (tmp_path / "empty").touch()
    assert storage.list_stamps(folder) == {}
    for name in ("x", "empty"):
        storage.upload(tmp_path / name, folder / f"{below}{name}")
    beside = folder.with_name("folder2") / "x"  # whose name starts alike
    storage.upload(tmp_path / "x", beside)
    assert list(storage.list_stamps(folder)) == [f"{below}empty", f"{below}x"]
    there = folder / f"{below}x"
    assert storage.list_stamps(folder)[f"{below}x"] == storage.stamp(there)
    for path in (tmp_path / "x", there):
        assert storage.size(path) == 2560 and storage.read_bytes(path) == data
        for start, length in ((0, 5), (5, 7), (2550, 100), (0, None), (7, None), (2560, 1), (9999, None)):
            stop = None if length is None else start + length
            assert storage.read_bytes(path, start, length) == data[start:stop]
    assert storage.read_bytes(folder / f"{below}empty") == storage.read_bytes(folder / f"{below}empty", 0, 9) == b""
    before = storage.stamp(there)
    storage.write_bytes(there, b"other")
    assert storage.read_bytes(there) == b"other" and storage.stamp(there) != before
    with pytest.raises(FileExistsError):
        storage.write_bytes(there, b"third", new=True)
    storage.remove(folder)
    storage.remove(folder)
    assert storage.list_stamps(folder) == {} and storage.read_bytes(beside) == data
    for action in (storage.read_bytes, storage.size, storage.stamp):
        with pytest.raises(FileNotFoundError):
            action(there)


def test_a_copy_is_kept_while_its_object_is_the_same(folder: Path, tmp_path: Path, s3_faults: Faults) -> None:
    path = folder / "x.h5"
    for data in (b"first", b"other", b"third"):
        storage.write_bytes(path, data)
        s3_faults.requests.clear()
        for _ in range(2):
            with storage.local(path) as copy:
                assert copy.read_bytes() == data and copy.name == "x.h5"
        assert [request.split()[0] for request in s3_faults.requests] == ["HEAD", "GET", "HEAD"]
    (tmp_path / "y").touch()
    with storage.local(tmp_path / "y") as same:
        assert same == tmp_path / "y"


@pytest.mark.usefixtures("quick_retries")
class TestFaults:
    @pytest.fixture
    def path(self, folder: Path) -> Path:
        storage.write_bytes(folder / "x", b"0123456789" * 100)
        return folder / "x"

    @pytest.mark.parametrize("kind", KINDS)
    def test_passing_faults_are_not_noticed(self, path: Path, tmp_path: Path, s3_faults: Faults, kind: str) -> None:
        (tmp_path / "y").write_bytes(b"y" * 1000)
        storage.stamp(path)  # the client is there

        def faulty() -> Path:
            s3_faults.add(kind, "some/folder|some%2Ffolder", 1 if kind == "hang" else 2)
            return path

        assert storage.read_bytes(faulty()) == b"0123456789" * 100
        if kind == "hang":
            return  # a second for each
        assert storage.read_bytes(faulty(), 995, 20) == b"56789"
        if kind != "cut":  # only what is got is cut
            assert storage.size(faulty()) == 1000
        assert list(storage.list_stamps(faulty().parent)) == ["x"]
        with storage.local(faulty()) as copy:
            assert copy.read_bytes() == b"0123456789" * 100
        if kind != "cut":  # what was put has no answer to be cut
            storage.upload(tmp_path / "y", faulty())
            assert storage.read_bytes(path) == b"y" * 1000
            storage.remove(faulty())
            assert storage.list_stamps(path.parent) == {}

    @pytest.mark.parametrize("kind", KINDS)
    def test_lasting_faults_are_named(self, path: Path, s3_faults: Faults, kind: str) -> None:
        storage.stamp(path)
        s3_faults.add(kind)
        s3_faults.requests.clear()
        with refused(StoreError, f"^{path} failed 3 times: .*run the same command again"):
            storage.read_bytes(path)
        # Nobody below tries again for himself; but aiohttp does, once, where a connection breaks.
        assert len(s3_faults.requests) == (6 if kind == "refuse" else 3)
        if kind != "hang":
            with refused(StoreError, f"^{path.parent} failed 3 times"):
                storage.list_stamps(path.parent)

    def test_a_server_that_is_away(self, path: Path, monkeypatch: pytest.MonkeyPatch, fresh_clients: None) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        with refused(StoreError, "failed 3 times: .*Could not connect"):
            storage.read_bytes(storage.place(str(path)))

    def test_without_credentials(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fresh_clients: None
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        monkeypatch.setattr(tenacity.nap.time, "sleep", lambda _: pytest.fail("it is tried again"))
        with refused(StoreError, "cannot be reached: .*redentials.*Check its name and your credentials"):
            storage.read_bytes(storage.place(str(path)))

    def test_without_rights(self, path: Path, s3_faults: Faults, tmp_path: Path) -> None:
        s3_faults.add("403", "some/folder|some%2Ffolder")
        s3_faults.requests.clear()
        for action, place in ((storage.read_bytes, path), (storage.size, path), (storage.list_stamps, path.parent)):
            with refused(StoreError, f"{place} may not be read: .*. Check your credentials and rights"):
                action(place)
        (tmp_path / "y").touch()
        with refused(StoreError, "cannot be written: .*rights"):
            storage.upload(tmp_path / "y", path)
        assert len(s3_faults.requests) == 4  # it is not tried again

    def test_no_such_bucket_to_write_to(self, tmp_path: Path, s3_faults: Faults) -> None:
        (tmp_path / "x").touch()
        with refused(StoreError, "cannot be written: .*bucket"):
            storage.upload(tmp_path / "x", storage.place("s3://no-such-bucket-at-all/x"))


def test_pauses_grow_to_half_a_minute_in_all() -> None:
    def fail() -> None:
        raise OSError("no")

    pauses: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tenacity.nap.time, "sleep", pauses.append)
        with refused(StoreError, "x failed 6 times: OSError: no"):
            object_store.retry(Path("x"), fail)
    assert len(pauses) == 5 and all(
        low <= pause <= low + 1 for low, pause in zip((0.5, 1, 2, 4, 7), pauses, strict=True)
    )


class TestRanges:
    @given(
        data=st.binary(max_size=200),
        moves=st.lists(st.tuples(st.integers(0, 250), st.integers(-1, 250), st.integers(0, 2)), max_size=12),
        block=st.integers(1, 60),
    )
    def test_like_a_file(self, data: bytes, moves: list[tuple[int, int, int]], block: int) -> None:
        asked = []

        def read(path: Path, start: int, length: int) -> bytes:
            asked.append((start, length))
            assert 0 <= start < len(data) and 0 < length <= len(data) - start
            return data[start : start + length]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(storage, "size", lambda path: len(data))
            patch.setattr(storage, "read_bytes", read)
            patch.setattr(ranges, "READ_AHEAD_BYTES", block)
            ours, theirs = ranges.Ranges(Path("x")), io.BytesIO(data)
            for offset, size, whence in moves:
                if whence == io.SEEK_CUR:
                    offset -= theirs.tell()
                elif whence == io.SEEK_END:
                    offset -= len(data)
                assert ours.seek(offset, whence) == theirs.seek(offset, whence)
                assert ours.read(size) == theirs.read(size) and ours.tell() == theirs.tell()

    def test_threads_do_not_share_what_they_have_read(self, folder: Path, s3_faults: Faults) -> None:
        storage.write_bytes(folder / "x", bytes(range(200)))
        file = ranges.open_by_ranges(folder / "x")
        assert isinstance(file, ranges.Ranges)
        s3_faults.requests.clear()
        lock = threading.Lock()
        found = {}

        def read(at: int) -> None:
            file.fetch(at, 10)
            with lock:
                file.seek(at)
                found[at] = file.read(10)

        threads = [threading.Thread(target=read, args=(at,)) for at in range(0, 200, 20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {at: bytes(range(at, at + 10)) for at in range(0, 200, 20)}
        assert len(s3_faults.requests) == 10


def test_what_is_uploaded_is_listed(tmp_path: Path, folder: Path) -> None:
    for name in ("a.jpg", "b c/ü.jpg", "b c/d#e%20.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    upload(tmp_path, str(folder))
    assert {name: storage.read_bytes(folder / name).decode() for name in storage.list_stamps(folder)} == {
        name: name for name in ("a.jpg", "b c/ü.jpg", "b c/d#e%20.jpg")
    }


NAMES = (
    "a",
    "a*",
    "a?",
    "[ab]",
    "a-b",
    "**",
    "a b",
    "100%",
    "%41",
    "a+b",
    "nätwörk 猫",
    "a#b",
    "{a}",
    "~",
    "a&b=c",
    "a.h5",
)


@pytest.mark.parametrize("where", ["s3", "memory", "here"])
def test_a_name_is_no_pattern(where: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Each object is found under its own name, and goes alone."""
    if where == "memory":
        root = storage.place(f"memory://bucket-{tmp_path.name}/x")
    else:
        root = request.getfixturevalue("folder") if where == "s3" else tmp_path
    (tmp_path / "source").write_bytes(b"put")
    for name in NAMES:
        for place in (root / "files" / name, root / name / "below"):
            if where == "here":
                place.parent.mkdir(parents=True, exist_ok=True)
            storage.write_bytes(place, name.encode())
    left = set(NAMES)
    for name in NAMES:
        assert storage.names_in(root / "files", "") == sorted(left)
        assert storage.read_bytes(root / name / "below") == storage.read_bytes(root / "files" / name) == name.encode()
        storage.move(root / "files" / name, root / f"{name}.moved")
        assert storage.read_bytes(root / f"{name}.moved") == name.encode()
        storage.remove(root / name)
        left.discard(name)
        assert not storage.exists(root / name / "below")
        assert all(storage.exists(root / other / "below") for other in left)
        if where != "here":
            storage.upload(tmp_path / "source", root / "files" / name)
            with storage.local(root / "files" / name) as copy:
                assert copy.read_bytes() == b"put"
            storage.remove_all([root / "files" / name])


def test_a_place_that_cannot_be_looked_at_is_not_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not storage.exists(tmp_path / "x") and not storage.exists(tmp_path / "x/y")
    (tmp_path / "x").write_text("")
    assert storage.exists(tmp_path / "x") and not storage.exists(tmp_path / "x/y")
    assert storage.names_in(tmp_path / "none", "") == []

    def failing(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "stale")

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", failing)
        patch.setattr(os, "listdir", failing)
        with refused(StoreError, "x cannot be read: Stale file handle"):
            storage.exists(tmp_path / "x")
        with refused(StoreError, "cannot be read: Stale file handle"):
            storage.names_in(tmp_path, "")

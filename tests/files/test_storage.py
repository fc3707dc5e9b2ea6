"""Places on this machine and in an object store: named, listed, read, written and removed."""

import errno
import os
import pickle
import sys
from pathlib import Path

import pytest

from catsdogs.errors import StoreError, UsageError
from catsdogs.files import hdf5, storage
from tests.conftest import refused
from tests.support.s3 import Faults, upload

pytest_plugins = ("tests.support.s3",)


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
def test_put_list_read_remove(s3_folder: Path, tmp_path: Path, below: str) -> None:
    data = bytes(range(256)) * 10
    (tmp_path / "x").write_bytes(data)
    (tmp_path / "empty").touch()
    assert storage.list_stamps(s3_folder) == {}
    for name in ("x", "empty"):
        storage.upload(tmp_path / name, s3_folder / f"{below}{name}")
    beside = s3_folder.with_name("folder2") / "x"  # whose name starts alike
    storage.upload(tmp_path / "x", beside)
    assert list(storage.list_stamps(s3_folder)) == [f"{below}empty", f"{below}x"]
    there = s3_folder / f"{below}x"
    assert storage.list_stamps(s3_folder)[f"{below}x"] == storage.stamp(there)
    for path in (tmp_path / "x", there):
        assert storage.size(path) == 2560 and storage.read_bytes(path) == data
        for start, length in ((0, 5), (5, 7), (2550, 100), (0, None), (7, None), (2560, 1), (9999, None)):
            stop = None if length is None else start + length
            assert storage.read_bytes(path, start, length) == data[start:stop]
    assert (
        storage.read_bytes(s3_folder / f"{below}empty") == storage.read_bytes(s3_folder / f"{below}empty", 0, 9) == b""
    )
    before = storage.stamp(there)
    there.write_bytes(b"other")
    assert storage.read_bytes(there) == b"other" and storage.stamp(there) != before
    storage.remove(s3_folder)
    storage.remove(s3_folder)
    assert storage.list_stamps(s3_folder) == {} and storage.read_bytes(beside) == data
    for action in (storage.read_bytes, storage.size, storage.stamp):
        with pytest.raises(FileNotFoundError):
            action(there)


def test_a_copy_is_kept_while_its_object_is_the_same(s3_folder: Path, tmp_path: Path, s3_faults: Faults) -> None:
    path = s3_folder / "x.h5"
    for data in (b"first", b"other", b"third"):
        path.write_bytes(data)
        s3_faults.requests.clear()
        for _ in range(2):
            copy = storage.local(path)
            assert copy.read_bytes() == data and copy.name == "x.h5"
        assert [request.split()[0] for request in s3_faults.requests] == ["HEAD", "GET", "HEAD"]
    (tmp_path / "y").touch()
    assert storage.local(tmp_path / "y") == tmp_path / "y"


def test_what_is_uploaded_is_listed(tmp_path: Path, s3_folder: Path) -> None:
    for name in ("a.jpg", "b c/ü.jpg", "b c/d#e%20.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    upload(tmp_path, str(s3_folder))
    assert {name: storage.read_bytes(s3_folder / name).decode() for name in storage.list_stamps(s3_folder)} == {
        name: name for name in ("a.jpg", "b c/ü.jpg", "b c/d#e%20.jpg")
    }


NAMES = (
    *("a", "a*", "a?", "[ab]", "a-b", "**", "a b", "100%", "%41", "a+b", "nätwörk 猫", "a#b", "{a}", "~", "a&b=c"),
    "a.h5",
)


@pytest.mark.parametrize("where", ["s3", "memory", "here"])
def test_a_name_is_no_pattern(where: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Each object is found under its own name, and goes alone."""
    if where == "memory":
        root = storage.place(f"memory://bucket-{tmp_path.name}/x")
    else:
        root = request.getfixturevalue("s3_folder") if where == "s3" else tmp_path
    (tmp_path / "source").write_bytes(b"put")
    for name in NAMES:
        for place in (root / "files" / name, root / name / "below"):
            if where == "here":
                place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(name.encode())
    left = set(NAMES)
    for name in NAMES:
        assert storage.names_in(root / "files", "") == sorted(left)
        assert storage.read_bytes(root / name / "below") == storage.read_bytes(root / "files" / name) == name.encode()
        hdf5.set_aside(root / "files" / name, root)
        assert storage.read_bytes(root / f"{name}.damaged") == name.encode()
        storage.remove(root / name)
        left.discard(name)
        assert not storage.exists(root / name / "below")
        assert all(storage.exists(root / other / "below") for other in left)
        if where != "here":
            storage.upload(tmp_path / "source", root / "files" / name)
            assert storage.local(root / "files" / name).read_bytes() == b"put"
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

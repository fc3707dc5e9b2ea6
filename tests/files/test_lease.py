"""A lock in an object store: whoever was stopped for too long neither overwrites the next holder's nor what it made."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import LockedError, StoreError
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache
from catsdogs.files import atomic, hdf5, lease, locks, notes, storage
from tests.conftest import refused
from tests.support.features import recipe, rows_of, table
from tests.support.s3 import Faults

pytest_plugins = ("tests.support.s3",)
pytestmark = pytest.mark.usefixtures("quick_retries")

ENTRIES = table(["a", "b", "c", "d"], ["1", "2"])


@pytest.fixture(autouse=True)
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(notes, "_noted", set())


@pytest.fixture
def out(s3_bucket: str) -> Path:
    return storage.place(f"{s3_bucket}/out")


@contextlib.contextmanager
def asleep(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The hearts of this process stand still, as while it is stopped; when they wake, each beats at once."""
    beating, awake = lease._Lease.confirm, threading.Event()

    def waiting(self: lease._Lease) -> None:
        if threading.current_thread().name == "lease":
            awake.wait(60)
        beating(self)

    with monkeypatch.context() as patch:
        patch.setattr(lease._Lease, "confirm", waiting)
        yield awake
        awake.set()


def objects(out: Path) -> dict[str, bytes]:
    return {name: storage.read_bytes(out / name) for name in storage.list_stamps(out)}


class TestFenced:
    @pytest.fixture
    def taken_over(self, out: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
        """Two runs write to a folder: one had fallen asleep with a shard, and wakes while the next one holds the lock.

        The body is that of the one that wakes; what the next one had then stays byte for byte.
        """
        self.cache = Cache(out, recipe())
        with contextlib.ExitStack() as lock:
            with asleep(monkeypatch):
                lock.enter_context(locks.hold_folder(out))
                self.cache.write_shard(rows_of(ENTRIES[:3]), "none")
                next_one = lease._Lease(out / ".lock")
                # The first heart sleeps; that of the next one beats in a thread of another name.
                next_one._heart = threading.Thread(target=next_one._beat, name="next", daemon=True)
                next_one.take(0)
                of_the_other = objects(out)
            try:
                yield of_the_other
                kept = objects(out)
                assert kept.pop(".lock").split()[:3] == of_the_other.pop(".lock").split()[:3]
                assert kept == of_the_other
            finally:
                next_one.release()
                with pytest.raises(LockedError, match="was taken over by another process"):
                    lock.close()
        assert ".lock" not in storage.list_stamps(out)  # which the next one let go of, and nobody else

    def test_it_cannot_assemble(self, taken_over: dict[str, bytes]) -> None:
        with refused(LockedError, r"/out/\.lock was taken over by another process, .*Run the same command again"):
            self.cache.assemble(ENTRIES[:3], ("a", "b"), [], "photographs")

    def test_it_cannot_put_a_file(self, taken_over: dict[str, bytes], out: Path) -> None:
        with refused(LockedError, "was taken over"), atomic.replacing(out / "ResNet50.h5") as temporary:
            temporary.write_bytes(b"old rows")

    def test_it_cannot_remove_shards(self, taken_over: dict[str, bytes]) -> None:
        with refused(LockedError, "was taken over"):
            self.cache._drop_shards()

    def test_it_cannot_set_aside(self, taken_over: dict[str, bytes], out: Path) -> None:
        (shard,) = [out / name for name in taken_over if name.endswith(".h5")]
        with refused(LockedError, "was taken over"):
            hdf5.set_aside(shard, out)

    def test_its_heart_overwrites_nothing_and_says_so(
        self, taken_over: dict[str, bytes], out: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        time.sleep(0.5)
        assert "was taken over by another process" in capfd.readouterr().err


def test_two_holders_in_one_process(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose cache it is decides, not who came last."""
    with contextlib.ExitStack() as first:
        with asleep(monkeypatch) as awake:
            first.enter_context(locks.hold_folder(out))
            old = Cache(out, recipe())
            old.write_shard(rows_of(ENTRIES[:3]), "none")
            with contextlib.ExitStack() as second:
                second.enter_context(locks.hold_folder(out))
                new = Cache(out, recipe())
                new.write_shard(rows_of(ENTRIES[3:]), "none")
                before = objects(out)
                with refused(LockedError, "was taken over"):
                    old.assemble(ENTRIES[:3], ("a", "b"), [], "photographs")
                assert objects(out).keys() == before.keys()
                new.assemble(ENTRIES, ("a", "b"), [], "photographs")
                awake.set()  # or the second one's heart, asleep too, would not end
        with pytest.raises(LockedError):
            first.close()
    assert list(storage.list_stamps(out)) == ["ResNet50.h5"]
    np.testing.assert_array_equal(feature_file.read_features(new.path).vectors("train"), rows_of(ENTRIES[:4]).vector)


def test_another_s_shards_stay(out: Path) -> None:
    """Assembling removes the shards that were assembled, not what others put beside them meanwhile."""
    with locks.hold_folder(out):
        cache = Cache(out, recipe())
        cache.write_shard(rows_of(ENTRIES[:3]), "none")
        other = Cache(out, recipe())
        other.write_shard(rows_of(ENTRIES[3:]), "none")
        before = set(storage.list_stamps(out / feature_file.SHARD_FOLDER))
        cache.assemble(ENTRIES[:3], ("a", "b"), [], "photographs")
        left = set(storage.list_stamps(out / feature_file.SHARD_FOLDER))
    assert len(before) == 2 and len(left) == 1 and left < before
    assert all(entry in Cache(out, recipe()) for entry in ENTRIES)


def test_of_two_that_find_a_dead_holder_one_gets_the_lock(out: Path) -> None:
    storage.write_bytes(out / ".lock", b"somebody who died\n")
    got, refusals = [], []

    def run(number: int) -> None:
        try:
            with locks.hold_folder(out):
                got.append(number)
                time.sleep(2)
        except LockedError:
            refusals.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(refusals) == 1


def test_a_heart_that_cannot_beat_says_so_and_a_holder_that_cannot_ask_stops(
    out: Path, s3_faults: Faults, capfd: pytest.CaptureFixture[str]
) -> None:
    with refused(StoreError, "failed 3 times"), locks.hold_folder(out):
        cache = Cache(out, recipe())
        cache.write_shard(rows_of(ENTRIES), "none")
        s3_faults.add("500", r"PUT .*\.lock")
        time.sleep(0.5)
        assert "/out/.lock cannot be renewed, so another process may take it over" in capfd.readouterr().err
        cache.assemble(ENTRIES, ("a", "b"), [], "photographs")
    s3_faults.clear()
    assert "ResNet50.h5" not in storage.list_stamps(out)


def test_an_answer_that_is_lost_loses_no_lock(out: Path, s3_faults: Faults) -> None:
    """A write that arrived and was not confirmed is tried again, and then finds another version: its own."""
    with locks.hold_folder(out):
        for _ in range(3):
            s3_faults.add("lost", r"PUT .*\.lock", 1)
            lease.confirm(out / "x")
    assert ".lock" not in storage.list_stamps(out)


class TestConditions:
    def test_of_s3(self, out: Path) -> None:
        path = out / "x"
        assert storage.version(path) == ""
        first = storage.write_bytes(path, b"1", new=True)
        assert first and first == storage.version(path)
        second = storage.write_bytes(path, b"2", instead_of=first)
        assert second == storage.version(path) != first
        for action in (
            lambda: storage.write_bytes(path, b"3", instead_of=first),
            lambda: storage.remove_version(path, first),
        ):
            with pytest.raises(FileExistsError):
                action()
        assert storage.read_bytes(path) == b"2"
        storage.remove_version(path, second)
        for action in (
            lambda: storage.write_bytes(path, b"3", instead_of=second),
            lambda: storage.remove_version(path, "x"),
        ):
            with pytest.raises(FileExistsError):
                action()
        assert "x" not in storage.list_stamps(out)

    def test_of_google(self) -> None:
        """As its JSON interface takes them; gcsfs hands requests on."""
        requests: list[tuple[tuple[str, ...], dict[str, object]]] = []

        class Store:
            _location = "https://storage.googleapis.com"

            def split_path(self, path: str) -> tuple[str, str, None]:
                return (*path.split("/", 1), None)  # type: ignore[return-value]

            def info(self, path: str) -> dict[str, object]:
                return {"size": 1, "generation": "41", "etag": "x"}

            def call(self, *arguments: str, **options: object) -> dict[str, str]:
                requests.append((arguments, options))
                if options["ifGenerationMatch"] != "41":
                    raise FileExistsError(arguments[1])
                return {"generation": "42"}

        class Place:
            protocol, fs, path = "gs", Store(), "bucket/a b/.lock"

        place: Path = Place()  # type: ignore[assignment]
        assert storage.version(place) == "41" and storage.write_bytes(place, b"2", instead_of="41") == "42"
        storage.remove_version(place, "41")
        upload, removal = requests
        assert upload[0] == ("POST", "https://storage.googleapis.com/upload/storage/v1/b/bucket/o")
        assert upload[1] == {
            "uploadType": "media", "name": "a b/.lock", "ifGenerationMatch": "41", "data": b"2", "json_out": True
        }  # fmt: skip
        assert removal == (("DELETE", "b/{}/o/{}", "bucket", "a b/.lock"), {"ifGenerationMatch": "41"})
        with pytest.raises(FileExistsError):
            storage.write_bytes(place, b"2", instead_of="40")

    def test_of_a_store_that_knows_none(self, out: Path, s3_faults: Faults) -> None:
        version = storage.write_bytes(out / "x", b"1")
        s3_faults.add("501", "PUT .*x", 1)
        assert storage.write_bytes(out / "x", b"2", instead_of=version) == "" and storage.read_bytes(out / "x") == b"2"
        s3_faults.add("501", "DELETE .*x", 1)
        storage.remove_version(out / "x", "1")
        assert "x" not in storage.list_stamps(out)

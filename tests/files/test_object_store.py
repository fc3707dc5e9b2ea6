"""An object store that fails: requests are tried again, and failures that last are named."""

from pathlib import Path

import pytest
import tenacity

from catsdogs.errors import StoreError
from catsdogs.files import object_store, storage
from tests.conftest import refused
from tests.support.s3 import KINDS, Faults

pytest_plugins = ("tests.support.s3",)


@pytest.mark.usefixtures("quick_retries")
class TestFaults:
    @pytest.fixture
    def path(self, s3_folder: Path) -> Path:
        (s3_folder / "x").write_bytes(b"0123456789" * 100)
        return s3_folder / "x"

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
        assert storage.local(faulty()).read_bytes() == b"0123456789" * 100
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

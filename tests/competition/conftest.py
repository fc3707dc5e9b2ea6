"""A local server that stands in for Kaggle and Microsoft; and what holds in every test of this room."""

from collections.abc import Iterator

import pytest

from catsdogs.competition import download, fetch, kaggle
from tests.support.downloads import KAGGLE_ZIP, PETS, FileServer, zipped
from tests.support.kaggle_server import KEY, SIGNATURE, TOKEN


@pytest.fixture(autouse=True)
def nothing_is_printed_or_told(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    out, err = capfd.readouterr()
    assert out == ""
    assert not any(secret in err for secret in (KEY, TOKEN, SIGNATURE))


@pytest.fixture
def server() -> Iterator[FileServer]:
    running = FileServer()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(download, "CHUNK_BYTES", 1000)


@pytest.fixture
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next connection is the last one, as if the user had to start the command again."""
    monkeypatch.setattr(download, "DOWNLOAD_ATTEMPTS", 1)


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

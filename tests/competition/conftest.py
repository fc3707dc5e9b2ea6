"""Local servers that stand in for Kaggle and Microsoft; and what holds in every test of this room."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from catsdogs.competition import download, fetch, kaggle
from tests.support.downloads import KAGGLE_ZIP, PETS, FileServer, zipped
from tests.support.kaggle_server import KEY, SIGNATURE, TOKEN, StandIn


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


@pytest.fixture
def bare_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without credentials; must come before the client is imported for the first time."""
    home = tmp_path / "home"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith(("KAGGLE_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return home


@pytest.fixture
def standin(bare_home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[StandIn]:
    pytest.importorskip("kaggle", reason='Kaggle\'s client is not installed: pip install "catsdogs[kaggle]"')
    from kaggle.api.kaggle_api_extended import KaggleApi
    from kagglesdk import kaggle_env

    capfd.readouterr()  # What the client prints when it is imported from here and not by us.
    running = StandIn()
    # The client knows its servers by a table and takes no address from outside.
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, running.url)
    monkeypatch.setattr(KaggleApi, "config", str(bare_home / "kaggle.json"))
    monkeypatch.setattr(kaggle, "POLL_SECONDS", 0.0)
    yield running
    running.released.set()
    running.shutdown()
    running.server_close()


@pytest.fixture
def signed_in(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", KEY)
    return standin

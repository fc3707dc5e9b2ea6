"""Where the cache lies for a user who has no home to keep it in, and what is left beside a file that was to be."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from catsdogs.errors import WeightsError
from catsdogs.files import atomic, notes
from catsdogs.networks.engines import export
from catsdogs.networks.table import BACKBONES
from catsdogs.networks.weights import Weights
from tests.conftest import refused


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files lie, and no cache is set."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    notes.note.cache_clear()
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    atomic._private_folder.cache_clear()
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the cache is not set by these variables")
class TestCacheFolder:
    @pytest.mark.parametrize("home", ["/dev/null", "/dev/null/x", "/proc/none", "file"])
    def test_a_home_that_cannot_be_written(
        self, temporary: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], home: str
    ) -> None:
        (temporary.parent / "file").write_text("")
        monkeypatch.setenv("HOME", str(temporary.parent / home))
        folder = atomic.cache_folder()
        assert folder.parent == temporary and folder.stat().st_mode & 0o777 == 0o700
        assert atomic.cache_folder() == folder  # and that of the next process
        notes = capfd.readouterr().err.splitlines()
        assert len(notes) == 1 and f"{folder} stands in for it; XDG_CACHE_HOME names another" in notes[0]

    def test_a_read_only_cache(self, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(temporary.parent))
        monkeypatch.setattr(os, "access", lambda *_: False)
        assert atomic.cache_folder().parent == temporary

    def test_a_user_without_a_home(self, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        left = Path("~/.cache/catsdogs")  # of the usual name, for a number that no user has
        monkeypatch.setattr("platformdirs.user_cache_path", lambda _: left)
        assert atomic.cache_folder().parent == temporary and not Path("~").exists()

    @pytest.mark.parametrize("how", ["a link", "open to others"])
    def test_a_folder_that_another_user_may_have_put_there(
        self, temporary: Path, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        monkeypatch.setenv("HOME", "/dev/null")
        there = atomic.cache_folder()
        if how == "a link":
            there.rmdir()
            there.symlink_to(temporary.parent)
        else:
            there.chmod(0o777)
        assert atomic.cache_folder() not in (there, temporary.parent)

    def test_where_there_is_one(self, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(temporary))
        assert atomic.cache_folder() == temporary / ".cache/catsdogs"
        for named in (temporary / "new", Path("/dev/null/x")):  # as it was told, or the user is told that it cannot be
            monkeypatch.setenv("XDG_CACHE_HOME", str(named))
            assert atomic.cache_folder() == named / "catsdogs"

    @pytest.mark.parametrize("home", ["/dev/null", ""])
    def test_commands(self, temporary: Path, home: str) -> None:
        code = "import sys; sys.argv[0] = 'catsdogs'; from catsdogs.cli import main; main()"
        for arguments in (["--list"], ["status"]):
            ended = subprocess.run(
                [sys.executable, "-c", code, *arguments],
                env=os.environ | {"HOME": home}, cwd=temporary, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert ended.returncode == 0 and "Traceback" not in ended.stderr, ended.stderr

    def test_a_cache_on_a_full_disk(self, temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(temporary))
        weights = tmp_path / "large.h5"
        weights.write_bytes(bytes(1000))
        monkeypatch.setattr(export.shutil, "disk_usage", lambda _: SimpleNamespace(free=999))
        dying = [sys.executable, "-c", "input(); raise RuntimeError('basic_ios::clear: iostream error')"]
        start = subprocess.Popen
        monkeypatch.setattr(export.subprocess, "Popen", lambda _, **how: start(dying, **how))
        with refused(
            WeightsError, "VGG16 cannot be kept in .*: .*No space left on device. Free some space, or set XDG"
        ):
            export.exported(BACKBONES["VGG16"], Weights(weights, "ab"))
        assert not [path for path in temporary.rglob("*") if path.suffix == ".tmp"]


@pytest.mark.parametrize("name", ["X.h5", "[ab]*.h5", "a b?.h5"])
def test_only_what_was_left_beside_this_very_file_goes(tmp_path: Path, name: str) -> None:
    own = [tmp_path / f".{name}.{process}.tmp" for process in (1, 4711)]
    others = [tmp_path / other for other in (f".{name}.h5.1.tmp", f".{name}.1.old", ".a.h5.1.tmp", f".{name}.x.tmp")]
    for path in (*own, *others):
        path.write_text("")
    atomic.clear_leftovers(tmp_path / name, alone=True)
    assert sorted(tmp_path.iterdir()) == sorted(others)

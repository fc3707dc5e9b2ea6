"""A folder has one writer at a time."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from catsdogs.errors import LockedError
from catsdogs.files import locks
from tests.conftest import refused
from tests.support.processes import child


class TestLock:
    HOLD = """
        import sys
        from pathlib import Path
        from catsdogs.files import locks

        with locks.hold_folder(Path(sys.argv[1])):
            print("held", flush=True)
            sys.stdin.read()
    """

    @pytest.fixture
    def holder(self, tmp_path: Path) -> Iterator[subprocess.Popen]:
        process = child(self.HOLD, tmp_path, stdin=subprocess.PIPE)
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()
        process.communicate()

    def test_second_writer_is_refused(self, tmp_path: Path, holder: subprocess.Popen) -> None:
        with refused(LockedError, f"Another process is writing to {tmp_path}"), locks.hold_folder(tmp_path):
            raise AssertionError("both hold the lock")
        holder.communicate("")
        with locks.hold_folder(tmp_path):
            pass

    def test_a_killed_writer_lets_go(self, tmp_path: Path, holder: subprocess.Popen) -> None:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with locks.hold_folder(tmp_path):
            pass

    def test_the_lock_ends_with_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError), locks.hold_folder(tmp_path):
            raise ZeroDivisionError
        with locks.hold_folder(tmp_path):
            pass

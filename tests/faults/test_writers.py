"""Two writers, locks that outlived their process, and clocks that jump."""

import contextlib
import datetime
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from catsdogs.cleaning import decisions
from catsdogs.cleaning.decisions import Decision
from catsdogs.errors import LockedError
from catsdogs.features import cache, feature_file
from catsdogs.files import locks
from catsdogs.photographs import images, tfrecord_writer
from catsdogs.photographs.dataset import scan
from catsdogs.runs import run_card, training
from tests.conftest import Command, refused
from tests.faults.commands import BACKBONE, FEATURES, MAIN, TRAIN, started
from tests.faults.matrix import FULL
from tests.support.datasets import jpeg, write_kaggle_folder

pytestmark = pytest.mark.fault("writers")

SHARDS = ("shards", "--data", "data", "--out", "packed", "--count", "4")
FINETUNE = (
    *("finetune", "--backbone", "four-conv", "--data", "data", "--name", "mine", "--folds", "1"),
    *("--size", "32", "--epochs", "2", "--batch-size", "8"),
)
# The process stops, as by Ctrl+Z, when it has given its first file a name.
_STOPPING = f"""
import os, signal
from pathlib import Path
replace = Path.replace
def stopping(*arguments):
    Path.replace = replace
    replaced = replace(*arguments)
    os.kill(os.getpid(), signal.SIGSTOP)
    return replaced
Path.replace = stopping
{MAIN}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small data set, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("catsdogs.features.extract.SHARD_ROWS", 4)
    write_kaggle_folder(Path("data"), cats=8, dogs=8, test=4)
    return tmp_path


@contextlib.contextmanager
def stopped(project: Path, *arguments: str) -> Iterator[Callable[[], None]]:
    """Another process, half through a command; what is yielded kills it."""
    with started(project, *arguments, code=_STOPPING) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), process.communicate()

        def kill() -> None:
            process.kill()
            process.communicate()
            assert process.returncode == -signal.SIGKILL

        try:
            yield kill
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        pytest.param(FEATURES, f"features/{BACKBONE}.h5", id="features"),
        pytest.param(SHARDS, f"packed/{tfrecord_writer.MANIFEST}", id="shards"),
        *([pytest.param(FINETUNE, "networks/mine/network.json", id="finetune")] if FULL else []),
    ],
)
def test_a_second_writer_waits_for_nobody_and_a_dead_one_is_no_hindrance(
    project: Path, command: Command, arguments: tuple[str, ...], result: str, saw: Callable[[str], None]
) -> None:
    """While the first lives, even if it is stopped, the second is refused; when it is dead, its lock counts no more."""
    with stopped(project, *arguments) as kill:
        found = sorted(project.rglob("*"))
        code, _, err = command(*arguments)
        assert code == 1 and "Another process is writing to" in err.splitlines()[-1]
        assert sorted(project.rglob("*")) == found
        kill()
    code, _, err = command(*arguments)
    assert code == 0, err
    assert (project / result).exists() and not list(project.rglob("*.tmp"))
    saw(f"{arguments[0]}: second writer refused, a dead one's lock taken over")


def test_two_pages_decide_at_once(project: Path, saw: Callable[[str], None]) -> None:
    """Neither loses a row to the other; a table of which one died is taken over."""
    count = 60 if FULL else 15
    code = (
        "import sys; from pathlib import Path; from catsdogs.cleaning import decisions; decisions._PATIENCE = 600\n"
        f"for number in range({count}):\n"
        "    decision = decisions.Decision(f'{sys.argv[1]}.{number}', 'drop')\n"
        "    decisions.decide(Path('decisions.csv'), decision, ('cat', 'dog'))"
    )
    pages = [started(project, name, code=code) for name in ("cat", "dog")]
    for page in pages:
        assert page.communicate(timeout=300)[1] == "" and page.returncode == 0
    expected = {f"{name}.{number}" for name in ("cat", "dog") for number in range(count)}
    assert decisions.read_decisions(Path("decisions.csv"), ("cat", "dog")).keys() == expected
    saw(f"two pages: {2 * count} decisions, none lost")


class _Clock:
    """The computer's clock, wrong by some time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wrong_by = 0.0
        now_ns, now = time.time_ns, time.time
        monkeypatch.setattr(time, "time_ns", lambda: now_ns() + int(self.wrong_by * 1e9))
        monkeypatch.setattr(time, "time", lambda: now() + self.wrong_by)
        clock = self

        class Wrong(datetime.datetime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
                return datetime.datetime.now(tz) + datetime.timedelta(seconds=clock.wrong_by)

        for module in (cache, decisions, run_card, training):
            monkeypatch.setattr(module, "datetime", Wrong, raising=False)


def test_a_clock_that_jumps(
    project: Path, command: Command, monkeypatch: pytest.MonkeyPatch, saw: Callable[[str], None]
) -> None:
    """Whatever the clock says: a changed photograph is computed anew, and what was decided last counts."""
    clock, hour = _Clock(monkeypatch), 3600.0
    jumps = [hour, -24 * hour, 0.0, 10 * 365 * 24 * hour, -10 * 365 * 24 * hour] if FULL else [hour, -24 * hour]
    photographs = sorted(Path("data/train").iterdir())
    stamp = photographs[0].stat()
    for number, jump in enumerate([0.0, *jumps]):
        clock.wrong_by = jump
        for path in (photographs[0], photographs[number + 1]):
            old = path.read_bytes()
            new = jpeg(1000 + 10 * number).ljust(len(old), b"\0")[: len(old)]  # as long, as old, and another picture
            path.write_bytes(new)
            os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        code, _, err = command(*FEATURES)
        assert code == 0, err
        with h5py.File(f"features/{BACKBONE}.h5") as file:
            digests = dict(zip(file["train_id"].asstr()[:], file["train_digest"][:].tolist(), strict=True))
        unreadable = {row.id for row in feature_file.read_features(Path(f"features/{BACKBONE}.h5")).unreadable}
        assert digests == {
            path.stem: images.digest(path.read_bytes()) for path in photographs if path.stem not in unreadable
        }
        command(*TRAIN[:-1], f"run{number}")
        decision = decisions.DROP if number % 2 else decisions.KEEP
        decisions.decide(Path("features/decisions.csv"), Decision("cat.7", decision), ("cat", "dog"))
        assert decisions.read_decisions(Path("features/decisions.csv"), ("cat", "dog"))["cat.7"].decision == decision
    code, out, err = command("status")
    assert code == 0 and all(f"run{number}" in out for number in range(len(jumps) + 1))
    years = [run_card.read_run(Path(f"submissions/run{number}")).created[:4] for number in range(len(jumps) + 1)]
    saw(f"{len(jumps)} jumps of the clock, runs dated {min(years)} to {max(years)}: no stale row")


def test_two_threads_of_one_process(project: Path) -> None:
    """A page and a command in one process are two writers as well."""
    with locks.hold_folder(Path("packed")), refused(LockedError, "Another process is writing"):
        tfrecord_writer.write_record_files(scan(Path("data")), Path("packed"), 2)
    assert np.all([path.name == ".lock" for path in Path("packed").iterdir()])

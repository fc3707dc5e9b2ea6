"""One writer at a time, also on a file system without locks, as NFS without lockd and some of FUSE are."""

import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from catsdogs.files import seal
from tests.faults import specimens

pytest_plugins = ("tests.support.failing",)

# What all children start with: no file of the folder they are given can be locked.
_HEAD = """
import os, sys
from pathlib import Path
os.environ["FAILING_MATCH"] = sys.argv[1]
import ctypes, errno
libc = ctypes.CDLL(None)
for name, value in (("MATCH", sys.argv[1]), ("ERRNO", str(getattr(errno, sys.argv[2]))), ("CALLS", "flock")):
    os.environ["FAILING_" + name] = value
    libc.setenv(("FAILING_" + name).encode(), value.encode(), 1)
from catsdogs.features import feature_file
from catsdogs.files import locks
locks.LEASE_SECONDS = 0.8
folder = Path(sys.argv[1])
"""
Start = Callable[..., subprocess.Popen]


@pytest.fixture
def start(failing: dict[str, str], tmp_path: Path) -> Start:
    """Start a process in which the folder has no locks."""

    def start(code: str, number: str = "ENOLCK", **variables: str) -> subprocess.Popen:
        command = [sys.executable, "-c", _HEAD + textwrap.dedent(code), str(tmp_path / "shared"), number]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(command, env=failing | variables, text=True, **pipes)  # type: ignore[call-overload]

    return start


# Everything that takes a lock or opens HDF5: a feature file computed and read, decisions, TFRecord files, an
# unsealed file that is tried out, weights, the cache of exported networks.
_EVERYTHING = """
from catsdogs.cleaning import decisions
from catsdogs.files import locks, seal, trial
from catsdogs.photographs import tfrecord_writer
from catsdogs.networks.table import BACKBONES
from catsdogs.networks.weights import Weights
from catsdogs.photographs.dataset import scan
from catsdogs.networks.engines import export
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache
from catsdogs.photographs.stamps import Stamps
from tests.support.datasets import write_kaggle_folder
from tests.support.features import recipe, rows_of, table, write_features
from tests.faults import specimens
entries = table(["a", "b"], ["1"])
with locks.hold_folder(folder):
    made = write_features(folder, entries)
    assert not Cache(folder, recipe()).set_aside
    Stamps(folder).keep(*Stamps(folder).look([]), others=False)
    again = write_features(folder, entries)
with locks.hold_folder(folder):
    pass
assert feature_file.read_features(made.path).vectors("train").shape == (2, 3)
(folder / "unsealed").mkdir()
for name, data in specimens.unsealed_files().items():
    (folder / "unsealed" / name).write_bytes(data)
assert feature_file.read_features(folder / "unsealed/ResNet50.h5").name == "ResNet50"
decisions.decide(folder / "decisions.csv", decisions.Decision("a", "drop"), ("a", "b"))
decisions.undo(folder / "decisions.csv", "a", ("a", "b"))
tfrecord_writer.write_record_files(scan(write_kaggle_folder(folder / "data")), folder / "packed", 2)
(folder / "all.weights.h5").write_bytes(specimens.weights_files()["all.weights.h5"])
trial.try_out(folder / "all.weights.h5")
assert len(Weights(folder / "all.weights.h5", "").shapes()) == 4
with seal.lockable(folder / "all.weights.h5") as path:
    import h5py
    h5py.File(path).close()
    assert path != folder / "all.weights.h5"
os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
export._Exporter.export = lambda self, backbone, weights, path: path.write_text("a network")
assert export.exported(BACKBONES["VGG16"], Weights(None, "random")).is_relative_to(folder)
assert not [path for path in folder.rglob("*") if "lock" in path.name and path.stat().st_size], "a lock is left"
"""


@pytest.mark.parametrize(
    ("number", "variables"), [("ENOLCK", {}), ("ENOSYS", {}), ("EOPNOTSUPP", {"HDF5_USE_FILE_LOCKING": "FALSE"})]
)
def test_everything_goes_on_without_locks_and_says_so(start: Start, number: str, variables: dict[str, str]) -> None:
    process = start(_EVERYTHING, number, **variables)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    notes = [line for line in err.splitlines() if "without locks" in line]
    assert len(notes) == len(set(notes)) and "shared is on a file system without locks: a file" in notes[0]
    assert not [line for line in err.splitlines() if "Warning" in line]


_HOLD = """
with locks.hold_folder(folder):
    print("held", flush=True)
    sys.stdin.readline()
print("let go", flush=True)
"""
_TRY = """
from catsdogs.errors import LockedError
try:
    with locks.hold_folder(folder):
        print("held")
except LockedError as error:
    print(error)
"""


def test_a_second_writer_is_refused_and_a_killed_one_is_no_hindrance(start: Start, tmp_path: Path) -> None:
    holder = start(_HOLD)
    assert holder.stdout.readline() == "held\n"
    second = start(_TRY).communicate(timeout=60)[0]
    who = rf"process {holder.pid} since [\d-]+ [\d:]+"
    remedy = r"Wait until it ends, or choose another --out\."
    assert re.fullmatch(rf"Another process is writing to {tmp_path / 'shared'}: {who}\. {remedy}\n", second)
    holder.kill()
    holder.communicate()
    assert (tmp_path / "shared/.lock.soft").exists()
    assert start(_TRY).communicate(timeout=60)[0] == "held\n"
    assert not (tmp_path / "shared/.lock.soft").exists()


def test_decisions_of_two_processes(start: Start, tmp_path: Path) -> None:
    """They wait for each other, and for one that was killed no longer than until it counts as dead."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/.decisions.lock.soft").write_text("a host 4711 that died 000000001\n")
    code = """
        from catsdogs.cleaning import decisions
        decisions._PATIENCE = 60
        for number in range(5):
            decisions.decide(folder / "decisions.csv", decisions.Decision(f"{os.getpid()}.{number}", "drop"), ("a",))
    """
    pages = [start(code) for _ in range(2)]
    for page in pages:
        assert "Traceback" not in page.communicate(timeout=100)[1] and page.returncode == 0
    rows = (tmp_path / "shared/decisions.csv").read_text().splitlines()
    assert len(rows) == 11 and len({row.split(",")[0] for row in rows}) == 11


def test_hdf5_that_was_told_to_lock_says_what_to_set(start: Start) -> None:
    code = """
        from catsdogs.errors import StoreError
        from tests.support.features import table, write_features
        try:
            write_features(folder, table(["a"], []))
        except StoreError as error:
            print(error)
    """
    out, _ = start(code, HDF5_USE_FILE_LOCKING="TRUE").communicate(timeout=60)
    assert "cannot be read: No locks available. Set HDF5_USE_FILE_LOCKING=FALSE" in out


def test_other_failures_of_a_lock_are_no_file_system_without_locks(start: Start, tmp_path: Path) -> None:
    out, err = start("import catsdogs.errors\n" + _TRY.replace("LockedError", "StoreError"), "EIO").communicate(
        timeout=60
    )
    assert f"{tmp_path / 'shared'} cannot be written" in out and "Input/output error" in out and not err


def test_a_folder_that_can_be_locked_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "all.weights.h5"
    path.write_bytes(specimens.weights_files()["all.weights.h5"])
    with seal.lockable(path) as same:
        assert same == path


def test_a_holder_that_was_stopped_for_long_is_told(start: Start, tmp_path: Path) -> None:
    holder = start(
        """
        from catsdogs.errors import LockedError
        try:
            with locks.hold_folder(folder):
                print("held", flush=True)
                sys.stdin.readline()
        except LockedError as error:
            print(error)
        """
    )
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGSTOP)
    second = start(_HOLD)
    assert second.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGCONT)
    assert "taken over by another process" in holder.communicate("\n", timeout=60)[0]
    assert second.communicate("\n", timeout=60)[0] == "let go\n"
    assert not (tmp_path / "shared/.lock.soft").exists()


def test_a_lease_outlives_a_full_disk(start: Start, tmp_path: Path) -> None:
    """It is renewed by its time of change, so that no new room is needed."""
    holder = start(_HOLD)
    holder.stdout.readline()
    before = (tmp_path / "shared/.lock.soft").stat()
    time.sleep(1)
    after = (tmp_path / "shared/.lock.soft").stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size) and before.st_mtime_ns < after.st_mtime_ns
    holder.communicate("\n", timeout=60)

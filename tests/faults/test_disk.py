"""A full disk, a folder that cannot be written, a quota: one line, exit code 1, and earlier results as they were."""

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catsdogs.cleaning import decisions
from catsdogs.cleaning.decisions import Decision
from catsdogs.errors import StoreError
from tests.conftest import Command, refused
from tests.faults.commands import BACKBONE, FEATURES, TRAIN
from tests.faults.matrix import FULL
from tests.support.datasets import jpeg, write_kaggle_folder

pytestmark = pytest.mark.fault("disk")

# Each writes something that is not there yet, or anew what is.
COMMANDS = {
    "features": ("features", "--data", "more", "--backbones", BACKBONE),
    "outliers": ("outliers", "--backbones", BACKBONE, "--all"),
    "train": (*TRAIN, "--force"),
    "report": ("report", "--name", "run"),
    "predict": ("predict", "--name", "run", "--data", "more/test"),
    "compare": ("compare", "--heads", "logistic", "--backbones", BACKBONE, "--folds", "2"),
    "shards": ("shards", "--data", "data", "--out", "packed", "--count", "4"),
}
if FULL:
    COMMANDS["finetune"] = (
        *("finetune", "--backbone", "four-conv", "--data", "data", "--name", "mine", "--folds", "2"),
        *("--size", "32", "--epochs", "1", "--batch-size", "8", "--force"),
    )
_ROOM = (0, 8, 32, 128) if FULL else (0, 32)  # KiB left on the disk
_MOUNT_BYTES = (128 if FULL else 4) * 2**20
# What a command that failed may leave: locks, what is finished and taken up by the next run, a table that says how
# long it took.
_LASTING = (".lock", ".shards", ".predict", ".mine.part", "packed", "compare.csv", "ballast")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, a larger one, and what came of the first."""
    folder = tmp_path_factory.mktemp("project")
    write_kaggle_folder(folder / "data", cats=12, dogs=12, test=8)
    shutil.copytree(folder / "data", folder / "more")
    for number in range(20):
        (folder / f"more/train/cat.{number + 100}.jpg").write_bytes(jpeg(number + 100))
    return folder


@pytest.fixture
def small(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> Iterator[Path]:
    """The project on a disk of a few megabytes of its own, which is the working folder."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_MOUNT_BYTES}", "none", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        monkeypatch.chdir(disk)
        monkeypatch.setattr("catsdogs.features.extract.SHARD_ROWS", 4)
        for name in ("data", "more"):
            Path(name).symlink_to(project / name)
        if not (project / "features").exists():
            outliers = ("outliers", "--backbones", BACKBONE)
            for arguments in (FEATURES, outliers, TRAIN):
                assert command(*arguments)[0] == 0
            decisions.decide(Path("features") / decisions.DECISIONS_FILE, Decision("cat.1", "drop"), ("cat", "dog"))
            assert command(*outliers)[0] == 0  # suspects are ordered by what decisions say
            for name in ("features", "submissions"):
                shutil.copytree(name, project / name)
        for name in ("features", "submissions"):
            shutil.copytree(project / name, name, dirs_exist_ok=True)
        yield disk
    finally:
        os.chdir("/")
        subprocess.run(["umount", "--lazy", disk], check=True)


@contextlib.contextmanager
def full(disk: Path, left: int) -> Iterator[None]:
    """Nothing but `left` KiB free on the disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(2**16))
    with ballast.open("r+b") as file:
        file.truncate(ballast.stat().st_size - left * 1024)
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def read_only(disk: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", f"remount,rw,size={_MOUNT_BYTES}", disk], check=True)


def contents(disk: Path) -> dict[str, bytes]:
    """Path -> bytes of every result."""
    found = {str(path.relative_to(disk)): path for path in disk.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not _is_lasting(name)}


def _is_lasting(name: str) -> bool:
    parts = Path(name).parts
    return parts[0] in ("data", "more") or any(part in _LASTING for part in parts)


def refuses(command: Command, disk: Path, name: str, *reasons: str) -> bool:
    """Run a command; if it fails, it must do so in one line with one of these reasons, and earlier files must stay.

    A command that writes two files may have finished the first.
    """
    before = contents(disk)
    code, _, err = command(*COMMANDS[name])
    if code == 0:
        return False
    messages = [line for line in err.splitlines() if "it/s" not in line and "|" not in line and line.strip()]
    assert code == 1 and len(messages) == 1 and any(reason in messages[0] for reason in reasons), err
    assert before.items() <= contents(disk).items()
    assert not [path for path in disk.rglob("*") if path.suffix in (".tmp", ".old")]
    return True


@pytest.mark.parametrize("name", COMMANDS)
def test_full_disk(small: Path, command: Command, name: str, saw: Callable[[str], None]) -> None:
    """Refused for as long as there is too little room; with room it goes on and finishes."""
    refusals = 0
    for left in _ROOM:
        with full(small, left):
            refusals += refuses(command, small, name, "The disk is full", "MiB free")
    assert refusals
    code, _, err = command(*COMMANDS[name])
    assert code == 0, err
    saw(f"full disk: {name} refused {refusals} of {len(_ROOM)} times")


@pytest.mark.parametrize("name", COMMANDS)
def test_folder_that_cannot_be_written(small: Path, command: Command, name: str) -> None:
    with read_only(small):
        assert refuses(command, small, name, "cannot be written")
        assert command("status")[0] == 0  # reading needs no right to write


@pytest.mark.parametrize("name", COMMANDS)
def test_quota(small: Path, command: Command, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quota may be found exceeded only when the data are flushed, as on NFS."""

    def exceeded(descriptor: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", exceeded)
        assert refuses(command, small, name, "The disk is full")
    assert command(*COMMANDS[name])[0] == 0


def test_decisions(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision that cannot be written is refused, and those before it stand."""
    path, decision = Path("features") / decisions.DECISIONS_FILE, Decision("dog.1", "drop")
    before = path.read_bytes()
    with full(small, 0), refused(StoreError, "The disk is full"):
        decisions.decide(path, decision, ("cat", "dog"))
    with read_only(small), refused(StoreError, "cannot be written"):
        decisions.decide(path, decision, ("cat", "dog"))
    assert path.read_bytes() == before
    assert sorted(path.parent.glob(".*.tmp")) == []
    decisions.decide(path, decision, ("cat", "dog"))
    assert list(decisions.read_decisions(path, ("cat", "dog"))) == ["cat.1", "dog.1"]

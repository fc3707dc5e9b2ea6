"""A file that cannot be read is not damaged: whatever the machine fails at, it is named, and nothing is touched."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import h5py
import pytest

from catsdogs.errors import (
    DamagedError,
    MissingError,
    StoreError,
    UnreadablePhotographError,
    WeightsError,
)
from catsdogs.features import feature_file, virtual
from catsdogs.features.cache import Cache
from catsdogs.files import seal, storage, trial
from catsdogs.networks import trained, weights
from catsdogs.networks.engines import export
from catsdogs.networks.table import BACKBONES
from catsdogs.photographs import locations, tfrecord
from catsdogs.photographs.locations import Location
from catsdogs.photographs.stamps import Stamps
from catsdogs.runs import run_card
from tests.conftest import refused
from tests.faults import specimens
from tests.support.failing import contents
from tests.support.features import recipe, rows_of, table, write_features

pytest_plugins = ("tests.support.failing",)

ENTRIES = table([f"t{n:03}" for n in range(40)], ["1", "2"])
NUMBERS = ("EIO", "EMFILE", "ENFILE", "ENOMEM", "ENOLCK", "ESTALE", "EACCES", "EPERM", "ETIMEDOUT", "EINVAL")
SMALL = {"VIRTUAL_ROWS": 20, "_CUT": 8, "_LEAST_ROWS": 4, "_MOST_ROWS": 16}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every kind of file that is read: feature files plain, virtual and unsealed, shards, stamps, a network, a run."""
    for name, value in SMALL.items():
        monkeypatch.setattr(virtual, name, value)
    write_features(tmp_path, ENTRIES, "Virtual")
    monkeypatch.setattr(virtual, "VIRTUAL_ROWS", 500_000)
    write_features(tmp_path, ENTRIES, "Plain")
    cache = Cache(tmp_path, recipe("Shards"))
    cache.write_shard(rows_of(ENTRIES[:8], name="Shards"), "none")
    files = {"unsealed/ResNet50.h5": specimens.unsealed_files()["ResNet50.h5"], "packed/train-00000-of-00001.tfrecord":
             specimens.shard(), "packed/manifest.json": specimens.manifest(specimens.shard())}  # fmt: skip
    files |= {f"mine/{name}": data for name, data in specimens.weights_files().items() if name.startswith("all")}
    files |= {"mine/network.json": specimens.network_card(), "mine/learnt.csv": specimens.LEARNT}
    files |= {"run/run.json": specimens.run_card(), ".photographs.h5": specimens.sealed_files()[".photographs.h5"]}
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


# Which file, and who reads it.
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "feature file": ("Plain.h5", lambda folder: Cache(folder, recipe("Plain"))),
    "vectors": ("Plain.h5", lambda folder: feature_file.read_features(folder / "Plain.h5").vectors("train")),
    "virtual file": ("Virtual.h5", lambda folder: Cache(folder, recipe("Virtual"))),
    "virtual part": (
        "Virtual.shards",
        lambda folder: feature_file.read_features(folder / "Virtual.h5").vectors("train"),
    ),
    "virtual parts in a cache": ("Virtual.shards", lambda folder: Cache(folder, recipe("Virtual"))),
    "shard": (".shards/Shards-", lambda folder: Cache(folder, recipe("Shards"))),
    "unsealed": ("unsealed/", lambda folder: Cache(folder / "unsealed", recipe())),
    "stamps": (".photographs.h5", Stamps),
    "weights": ("all.weights.h5", lambda folder: weights.Weights(folder / "mine/all.weights.h5", "").shapes()),
    "network": ("network.json", lambda folder: trained.read_card(folder / "mine")),
    "learnt": ("learnt.csv", lambda folder: trained.fold_of_digest(folder / "mine")),
    "run": ("run.json", lambda folder: run_card.read_run(folder / "run")),
    "manifest": ("manifest.json", lambda folder: tfrecord.read_manifest(folder / "packed")),
    "TFRecords": (".tfrecord", lambda folder: tfrecord.records(folder / "packed")),
}

_CHILD = """
import ctypes, errno, json, os, sys
from pathlib import Path
from catsdogs.files import seal, trial
from catsdogs.errors import CatsdogsError
from tests.features.test_unreadable import NUMBERS, READERS, SMALL
folder, call, libc = Path(sys.argv[1]), sys.argv[2], ctypes.CDLL(None)

def set_variable(name, value):
    os.environ[name] = value  # for the processes that this one starts
    libc.setenv(name.encode(), value.encode(), 1)

for kind, (match, read) in READERS.items():
    for number in NUMBERS if kind in ("feature file", "virtual part", "shard", "run") else NUMBERS[:1]:
        for fresh in (True, False):
            if fresh:
                seal._check_once.cache_clear()
                trial._try_once.cache_clear()
            else:  # what was found whole before is not held against its seal again, so HDF5 meets the failure
                read(folder)
            set_variable("FAILING_MATCH", match)
            set_variable("FAILING_ERRNO", str(getattr(errno, number)))
            set_variable("FAILING_CALLS", call)
            try:
                read(folder)
                outcome = ["read", ""]
            except CatsdogsError as error:
                outcome = [type(error).__name__, str(error)]
            except Exception as error:
                outcome = ["defect", repr(error)]
            set_variable("FAILING_CALLS", "")
            print(json.dumps([kind, number, fresh, *outcome]))
    seal._check_once.cache_clear()
    read(folder)  # as if nothing had been
"""


@pytest.mark.parametrize("call", ["open", "read"])
def test_what_the_machine_fails_at_is_named_and_nothing_is_touched(
    folder: Path, failing: dict[str, str], call: str
) -> None:
    """In a process of its own, to which the operating system gives these answers for files of each kind."""
    before = contents(folder)
    ended = subprocess.run(
        [sys.executable, "-c", _CHILD, folder, call], env=failing, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    outcomes = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {line[0] for line in outcomes} == READERS.keys()
    for kind, number, fresh, error, text in outcomes:
        which = f"{kind}, {number}, {fresh}: {error} {text}"
        assert error in ("StoreError", "WeightsError", "TrainingError", "DatasetError"), which
        reason = "may not be read" if number in ("EACCES", "EPERM") else os.strerror(getattr(errno, number))
        assert reason in text and "damaged" not in text, which
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("module", "name"),
    [(os, "stat"), (Path, "open"), (seal, "_measure"), (h5py, "File"), (os, "listdir")],
    ids=["stat", "open", "measure", "HDF5", "listdir"],
)
def test_wherever_it_fails(folder: Path, monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> None:
    before, action, numbers = contents(folder), getattr(module, name), [*NUMBERS, "EINTR", "EREMOTEIO", "EHOSTDOWN"]

    def failing(*arguments: object, **options: object) -> object:
        paths = [argument if isinstance(argument, Path) else getattr(argument, "name", "") for argument in arguments]
        if any(str(path).startswith(str(folder)) for path in paths):
            raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))
        return action(*arguments, **options)

    for number, backbone in product(numbers, ("Shards",) if name == "listdir" else ("Plain", "Virtual", "Shards")):
        seal._check_once.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(module, name, failing)
            with pytest.raises(StoreError) as caught:
                Cache(folder, recipe(backbone))
        assert not isinstance(caught.value, DamagedError | MissingError), number
    assert contents(folder) == before


@pytest.mark.parametrize(
    "error",
    [
        KeyError("Unable to open object (file read failed: filename = 'x', errno = 5, error message = 'I/O')"),
        RuntimeError("Unable to get group info (file read failed: time = now\n, errno = 116, buf = 0x1)"),
        OSError("Can't read data (memory allocation failed for raw data chunk)"),
        MemoryError(),
    ],
    ids=["KeyError", "RuntimeError", "allocation", "MemoryError"],
)  # fmt: skip
def test_whatever_h5py_makes_of_it(folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    for path in folder.glob(".*.index"):
        path.unlink()
    before = contents(folder)

    def failing(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(feature_file, "_read_recipe", failing)
        patch.setattr(virtual, "parts_of", failing)
        for read in (lambda: Cache(folder, recipe("Plain")), lambda: feature_file.read_features(folder / "Virtual.h5")):
            with refused(StoreError, "cannot be read: (Input/output error|Stale file handle|Cannot allocate memory)"):
                read()
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("does", "match"),
    [
        ("os.kill(os.getpid(), 9)", "ended from outside .SIGKILL"),
        ("os.kill(os.getpid(), 15)", "ended from outside .SIGTERM"),
        ("raise OSError(errno.EIO, 'I/O')", "cannot be read: Input/output error"),
        ("raise KeyError('x (errno = 12)')", "cannot be read: Cannot allocate memory"),
    ],
)
def test_the_process_that_tries_a_file_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, does: str, match: str
) -> None:
    script = trial._TRY.replace("    dict(group.attrs)\n", f"    import errno, os; {does}\n", 1)
    monkeypatch.setattr(trial, "_TRY", script)
    before = contents(folder)
    with refused(StoreError, match):
        Cache(folder / "unsealed", recipe())
    assert contents(folder) == before


@pytest.mark.parametrize("how", ["no process", "no Python", "no memory"])
def test_no_process_to_try_a_file_out(folder: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    before = contents(folder)
    if how == "no process":

        def refusing(*_: object, **__: object) -> None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

        monkeypatch.setattr(trial.subprocess, "run", refusing)
    elif how == "no Python":
        monkeypatch.setattr(sys, "executable", "/nowhere")
    else:
        monkeypatch.setattr(trial, "_TRY", trial._TRY.replace("mmap.mmap(-1, ", "mmap.mmap(-1, 2**50 + ", 1))
    with refused(StoreError, "could not be tried out in another process: "):
        Cache(folder / "unsealed", recipe())
    assert contents(folder) == before


def test_parts_stay_when_the_feature_file_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which parts a feature file refers to, nobody knows then, so none is removed."""
    (folder / ".Virtual.index").unlink()
    before = contents(folder)
    reading = feature_file.reading_rows

    def failing(path: Path, stamp: str = "") -> object:
        if path.name == "Virtual.h5":
            raise storage.read_error(path, OSError(errno.EIO, "x"))
        return reading(path, stamp)

    with monkeypatch.context() as patch:
        patch.setattr(feature_file, "reading_rows", failing)
        with refused(StoreError, "Input/output error"):
            Cache(folder, recipe("Virtual")).assemble(ENTRIES, ("a", "b"), [], "photographs")
    assert contents(folder) == before


def test_too_many_open_files_says_what_helps(folder: Path) -> None:
    with refused(StoreError, r"Too many open files\. Allow more of them with `ulimit -n`"):
        raise storage.read_error(folder, OSError(errno.EMFILE, "x"))


def test_a_network_in_the_cache_is_not_exported_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    network = BACKBONES["VGG16"], weights.Weights(None, "random")
    monkeypatch.setattr(export._Exporter, "export", lambda self, row, found, path: path.write_text("a network"))
    assert export.exported(*network).read_text() == "a network"
    before, action = contents(tmp_path), Path.open

    def failing(path: Path, *arguments: object, **options: object) -> object:
        if path.name == "network.xml":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return action(path, *arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing)
        with refused(WeightsError, "Input/output error"):
            export.exported(*network)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("number", ["EMFILE", "ENFILE", "ENOMEM", "ESTALE", "ETIMEDOUT", "EHOSTUNREACH"])
@pytest.mark.parametrize("layout", ["folder", "records", "zip"])
def test_what_every_photograph_would_meet_leaves_none_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str, layout: str
) -> None:
    """Else a table that is full for a moment would cost the rows of the photographs that were read meanwhile."""
    place = Location(tmp_path, "a.jpg")
    if layout == "records":
        (tmp_path / "x.tfrecord").write_bytes(specimens.shard())
        place = Location(tmp_path / "x.tfrecord", "0:100")
    elif layout == "zip":
        (tmp_path / "x.zip").write_bytes(specimens.zips()["stored.zip"])
        place = Location(tmp_path / "x.zip", "train/cat.0.jpg")
    else:
        (tmp_path / "a.jpg").write_bytes(b"x")

    def failing(code: str) -> Callable[..., None]:
        def fail(*_: object, **__: object) -> None:
            raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

        return fail

    for action in ((Path, "read_bytes"), (Path, "open"), (locations, "_zip")):
        monkeypatch.setattr(*action, failing(number))
    with refused(StoreError, f"cannot be read: {os.strerror(getattr(errno, number))}"):
        locations.Reader().read(place)
    for action in ((Path, "read_bytes"), (Path, "open"), (locations, "_zip")):
        monkeypatch.setattr(*action, failing("EIO"))  # that of a sector: this photograph is left out
    with pytest.raises(UnreadablePhotographError):
        locations.Reader().read(place)


def test_damage_is_still_proved(folder: Path) -> None:
    """A wrong checksum, and bytes that HDF5 cannot parse."""
    plain = folder / "Plain.h5"
    plain.write_bytes(plain.read_bytes()[:-9])
    unsealed = folder / "unsealed/ResNet50.h5"
    unsealed.write_bytes(unsealed.read_bytes()[:-900])
    for cache in (Cache(folder, recipe("Plain")), Cache(folder / "unsealed", recipe())):
        assert cache.existing is None and [path.suffix for path in cache.set_aside] == [".damaged"]

"""Processes that load photographs: killed, frozen, crashed by a hostile file, and left behind by a killed run."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catsdogs.errors import StoreError
from catsdogs.features import extract, feature_file, worker
from catsdogs.features.running import Settings
from catsdogs.networks.engines import selection
from catsdogs.photographs import decoders, loading
from catsdogs.photographs.dataset import scan
from catsdogs.photographs.fitting import Fit
from catsdogs.photographs.loading import Loader, Request
from catsdogs.photographs.locations import Location
from tests.faults.matrix import FULL
from tests.support.datasets import jpeg, write_kaggle_folder
from tests.support.extraction import LITE0, content
from tests.support.hostile_decoder import CRASHES, ENDS, HANGS, UNREAD

pytestmark = pytest.mark.fault("loading")
HOSTILE = "tests.support.hostile_decoder"
FITS = (Fit(32),)
ROWS, COUNT = 64, 400
KILLS = 40 if FULL else 8


@pytest.fixture
def photographs(tmp_path: Path) -> list[Location]:
    data = [jpeg(seed, (120, 90)) for seed in range(10)]
    for number in range(COUNT):
        (tmp_path / f"{number}.jpg").write_bytes(data[number % 10])
    return [Location(tmp_path, f"{number}.jpg") for number in range(COUNT)]


def reasons_of(loader: Loader, photographs: list[Location], after: Callable[[], object] = lambda: None) -> list[str]:
    """The reason of each photograph; `after` is called after each stretch."""
    seen: list[str] = []
    with loader:
        requests = [Request(photographs[start : start + ROWS]) for start in range(0, len(photographs), ROWS)]
        for request, loaded in zip(requests, loader.stream(requests), strict=True):
            seen += [loaded.wait(row) for row in range(len(request.photographs))]
            loaded.release()
            after()
    return seen


def children() -> list[int]:
    """The decoding processes of this one."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if (
                f"\nPPid:\t{os.getpid()}\n" in status.read_text()
                and "decoder" in (status.parent / "cmdline").read_text()
            ):
                found.append(int(status.parent.name))
    return found


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "MODULE", HOSTILE)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def test_a_photograph_that_crashes_its_decoder_is_named_and_the_rest_goes_on(
    hostile: None, photographs: list[Location], saw: Callable[[str], None]
) -> None:
    for number in (3, 4, 250):
        path = photographs[number].container / photographs[number].name
        path.write_bytes(path.read_bytes() + CRASHES)
    reasons = reasons_of(loading.by_processes(2, ROWS, FITS), photographs)
    named = {number: reason for number, reason in enumerate(reasons) if reason}
    assert set(named) == {3, 4, 250}
    assert set(named.values()) == {"the process that decoded it was ended by SIGSEGV, 2 times"}
    saw(f"3 of {COUNT} photographs crash the decoder: these are named, the others loaded")


def test_a_photograph_that_holds_its_decoder_up_is_named(
    hostile: None, photographs: list[Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "PATIENCE", 3.0)
    path = photographs[5].container / photographs[5].name
    path.write_bytes(path.read_bytes() + HANGS)
    reasons = reasons_of(loading.by_processes(2, ROWS, FITS), photographs[:ROWS])
    assert {number: reason for number, reason in enumerate(reasons) if reason} == {
        5: "the process that decoded it took more than 3 s, 2 times"
    }


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_processes_that_are_killed_or_frozen_are_replaced(
    fault: signal.Signals, photographs: list[Location], monkeypatch: pytest.MonkeyPatch, saw: Callable[[str], None]
) -> None:
    monkeypatch.setattr(decoders, "PATIENCE", 3.0)
    hit: list[int] = []

    def strike() -> None:
        for pid in children()[:1] if len(hit) < KILLS else ():
            os.kill(pid, fault)
            hit.append(pid)

    many = photographs * (3 if FULL else 1)
    assert reasons_of(loading.by_processes(2, ROWS, FITS), many, strike) == [""] * len(many)
    assert len(hit) >= 5 and wait_until(lambda: not any(map(is_running, hit)))
    saw(f"{len(hit)} decoding processes got {fault.name}: nothing was lost")


def test_reading_that_ends_the_process_stops_the_run(hostile: None, photographs: list[Location]) -> None:
    """It says nothing of the photograph: a mount that is gone, say."""
    gone = photographs[0]._replace(name=UNREAD)
    with pytest.raises(StoreError, match=f"{UNREAD}: the process that read it was ended by SIGKILL"):
        reasons_of(loading.by_processes(2, ROWS, FITS), [*photographs[:20], gone])


def test_processes_that_do_not_stay_alive_stop_the_run(
    hostile: None, photographs: list[Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDS, "1")
    with pytest.raises(StoreError, match="do not stay alive: the last ended with exit code 3"):
        reasons_of(loading.by_processes(2, ROWS, FITS), photographs)


RUN = """
    import sys
    from pathlib import Path
    from catsdogs.features import extract, worker
    from catsdogs.features.running import Settings
    from catsdogs.networks.engines import selection
    from catsdogs.photographs.dataset import scan

    extract.SHARD_ROWS = 8
    worker.WORTH_PROCESSES = 1
    selection.accelerator_in_sight = lambda: True
    how = Settings(weights_dir="random", engine="keras", batch_size=4, cores=2)
    extract.extract(scan(Path(sys.argv[1])), ["EfficientNetLite0"], Path(sys.argv[2]), how)
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    write_kaggle_folder(tmp_path / "data", 40, 40, 20)
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", textwrap.dedent(RUN), str(tmp_path / "data"), str(tmp_path / "features")]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_killed_run_leaves_nothing_and_the_next_gives_the_same_bits(
    running: Callable[[], "subprocess.Popen[str]"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(Path("/dev/shm").iterdir())
    process = running()

    def decoders_of_run() -> list[int]:
        children = Path(f"/proc/{process.pid}/task").glob("*/children")
        found = [int(pid) for path in children for pid in path.read_text().split()]
        return [pid for pid in found if "decoders" in Path(f"/proc/{pid}/cmdline").read_text()]

    with contextlib.suppress(OSError):
        assert wait_until(lambda: any((tmp_path / "features/.shards").glob("*/*.h5")), 120)
    pids = decoders_of_run()
    process.kill()
    process.wait()
    assert len(pids) == 2 and wait_until(lambda: not any(map(is_running, pids)))
    assert set(Path("/dev/shm").iterdir()) == before
    again = running()
    assert again.wait(300) == 0, again.communicate()
    monkeypatch.setattr(extract, "SHARD_ROWS", 8)
    how = Settings(weights_dir="random", engine="keras", batch_size=4)
    undisturbed = extract.extract(scan(tmp_path / "data"), [LITE0], tmp_path / "threads", how)
    assert content(tmp_path / "features" / f"{LITE0}.h5") == content(undisturbed.paths[0])


def test_features_name_what_crashes_a_decoder(hostile: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_kaggle_folder(tmp_path / "data")
    with (root / "train/dog.2.jpg").open("ab") as file:
        file.write(CRASHES)
    monkeypatch.setattr(worker, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(selection, "accelerator_in_sight", lambda: True)
    how = Settings(weights_dir="random", engine="keras", batch_size=4, cores=2)
    summary = extract.extract(scan(root), [LITE0], tmp_path / "features", how)
    assert [(row.id, row.reason) for row in summary.unreadable] == [
        ("dog.2", "the process that decoded it was ended by SIGSEGV, 2 times")
    ]
    assert len(feature_file.read_features(summary.paths[0]).ids["train"]) == 7

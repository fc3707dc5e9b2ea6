"""Hostile files of every kind, read in a process that may crash, be ended, or be caught at something."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from catsdogs.errors import DatasetError, UnreadablePhotographError, WeightsError
from catsdogs.networks import trained
from catsdogs.photographs.dataset import scan, scan_unlabelled
from tests.conftest import refused
from tests.faults import mutation, specimens
from tests.faults.matrix import FULL
from tests.faults.specimens import Files
from tests.support import hostile

pytestmark = [
    pytest.mark.fault("hostile"),
    pytest.mark.skipif(sys.platform != "linux", reason="limits and memory are taken as Linux has them"),
]

PATIENCE = 120  # seconds by the clock without an answer: nothing is waited for that could take as long
CHECKOUT = Path(__file__).parents[2]


class Kind(NamedTuple):
    """Seeds of a kind, how many files the full run makes of them, which part the other does, and what lies beside."""

    seeds: Callable[[], Files]
    count: int
    part: int = 10
    beside: Files = {}  # noqa: RUF012 - never changed


_ALL_BESIDE = {
    "sound.csv": specimens.SUBMISSION,
    "hidden.csv": specimens.TRUTH,
    trained.CARD_FILE: specimens.network_card(),
    **{f"{id}.jpg": b"never read" for id in (*specimens.IDS, "1", "2")},
}
KINDS = {
    "pictures": Kind(specimens.pictures, 1000),
    "zips": Kind(specimens.zips, 300),
    "tables": Kind(specimens.tables, 800, beside=_ALL_BESIDE),
    "cards": Kind(specimens.cards, 300, beside=_ALL_BESIDE),
    "TFRecords": Kind(lambda: {"train.tfrecord": specimens.shard()}, 300),
    ".pth": Kind(specimens.pths, 300),
    "sealed HDF5": Kind(specimens.sealed_files, 300),
    "unsealed HDF5": Kind(specimens.unsealed_files, 200, 20),
    "foreign weights": Kind(specimens.weights_files, 100, 25),
}


class Outcome(NamedTuple):
    """What became of one file; `seconds` of computing, `memory` in bytes."""

    path: Path
    how: str
    outcome: str
    reason: str
    seconds: float
    memory: int


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files_are_refused_or_read(kind: str, tmp_path: Path, saw: Callable[[str], None]) -> None:
    seeds = KINDS[kind].seeds()
    sound = [
        _place(tmp_path / f"sound-{number}", kind, name, data) for number, (name, data) in enumerate(seeds.items())
    ]
    count = KINDS[kind].count if FULL else max(len(seeds), KINDS[kind].count // KINDS[kind].part)
    jobs = []
    for number, (seed, how, data) in enumerate(mutation.spoilt(list(seeds.values()), count, seed=2018)):
        jobs.append((_place(tmp_path / f"{number:04}", kind, list(seeds)[seed], data), how))
    outcomes = _read(kind, sound, jobs)
    bad = [found for found in outcomes if found.outcome not in ("read", "refused")]
    assert not bad, "\n".join(map(str, bad[:5]))
    counts = Counter(found.outcome for found in outcomes)
    slowest, largest = max(outcomes, key=lambda found: found.seconds), max(outcomes, key=lambda found: found.memory)
    saw(
        f"{len(outcomes):,} {kind}: {counts['refused']:,} refused, {counts['read']:,} read, "
        f"at most {slowest.seconds:.2f} s and {largest.memory / 2**20:.0f} MiB"
    )


def test_what_must_not_happen_would_be_seen(tmp_path: Path) -> None:
    """The trap of the process that reads, one word a file."""
    reasons = {
        "crash": "ended with -11",
        "loop": "ended with -27",  # SIGPROF, after five seconds of computing
        "memory": "MemoryError",
        "code": "exec",
        "process": "subprocess.Popen",
        "write": "to write",
    }
    if not FULL:  # five seconds of a machine that does nothing else
        del reasons["loop"]
    paths = []
    for word in reasons:
        path = tmp_path / word
        path.write_text(word)
        paths.append((path, word))
    sound = tmp_path / "sound"
    sound.write_text("nothing")
    for found in _read("traps", [sound], paths):
        assert found.outcome in ("crashed", "defect")
        assert reasons[found.how] in found.reason


def test_bad_uploads_are_refused(tmp_path: Path, saw: Callable[[str], None]) -> None:
    """The bombs and polyglots that the web page is tested with, as pictures of a data set."""
    uploads = list(hostile.UPLOADS.items())[:: 1 if FULL else 8]
    sound = _place(tmp_path / "sound", "pictures", "x.jpg", specimens.pictures()["plain.jpg"])
    jobs = [
        (_place(tmp_path / str(number), "pictures", "x", upload.make()), name)
        for number, (name, upload) in enumerate(uploads)
    ]
    outcomes = _read("pictures", [sound], jobs)
    bad = [found for found in outcomes if found.outcome not in ("read", "refused")]
    assert not bad, "\n".join(map(str, bad[:5]))
    slowest, largest = max(outcomes, key=lambda found: found.seconds), max(outcomes, key=lambda found: found.memory)
    saw(
        f"{len(outcomes)} bombs and other uploads: at most {slowest.seconds:.2f} s and {largest.memory / 2**20:.0f} MiB"
    )


def test_weights_of_another_hash_are_refused_unread(tmp_path: Path) -> None:
    name, data = next(iter(specimens.weights_files().items()))
    (tmp_path / trained.CARD_FILE).write_bytes(specimens.network_card())
    for _, _, spoilt in mutation.spoilt([data], 20, seed=1):
        (tmp_path / name).write_bytes(spoilt)
        with refused(WeightsError, "wrong hash"):
            trained.check_weights(tmp_path)


def test_zips_that_zipfile_is_surprised_by(tmp_path: Path) -> None:
    """As fuzzing found them: a name that is not the UTF-8 it says it is, and a version of zip to come."""
    sound = specimens.zips()["stored.zip"]
    entry = sound.index(b"PK\1\2")  # of the list of contents: version needed at 6, flags at 8, the name at 46
    for at, bytes_, reason in ((6, b"\xff", "zip file version 25.5"), (46, b"\xff", "can't decode byte 0xff")):
        data = bytearray(sound)
        data[entry + at : entry + at + 1] = bytes_
        data[entry + 9] |= 8  # says that names are UTF-8
        (tmp_path / "x.zip").write_bytes(data)
        for look in (scan, scan_unlabelled):
            with refused(DatasetError, reason):
                look(tmp_path / "x.zip")


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    """A pipe nobody writes to and a device without an end, where photographs and a zip should be."""
    (tmp_path / "train").mkdir()
    os.mkfifo(tmp_path / "train/cat.0.jpg")
    (tmp_path / "train/dog.0.jpg").symlink_to("/dev/zero")
    found = scan(tmp_path)
    for row in found.photographs:
        with refused(UnreadablePhotographError, "not a regular file"):
            found.read(row)
    os.mkfifo(tmp_path / "test.zip")
    with refused(DatasetError, "not a readable zip: not a regular file"):
        scan(tmp_path)


def _place(folder: Path, kind: str, name: str, data: bytes) -> Path:
    """The file under its own name in a folder of its own, for names say what files are."""
    folder.mkdir()
    for other, content in KINDS[kind].beside.items():
        (folder / other).write_bytes(content)
    if kind == "tables":
        (folder / "labels.csv").write_bytes(specimens.LABELS)
    path = folder / name
    path.write_bytes(data)
    return path


def _read(kind: str, sound: Sequence[Path], jobs: Sequence[tuple[Path, str]]) -> list[Outcome]:
    """Give the files to a process one by one, and the rest to another if one ends over its file."""
    outcomes: list[Outcome] = []
    while len(outcomes) < len(jobs):
        with _victim(kind, sound) as (process, ask):
            for path, how in jobs[len(outcomes) :]:
                answer = ask(path)
                if not answer:
                    reason = f"the process ended with {process.wait()}: a crash, or more than 5 s"
                    outcomes.append(Outcome(path, how, "crashed", reason, 0, 0))
                    break
                outcomes.append(Outcome(path, how, *json.loads(answer)))
    return outcomes


@contextmanager
def _victim(kind: str, sound: Sequence[Path]) -> Iterator[tuple[subprocess.Popen[str], Callable[[Path | str], str]]]:
    command = [sys.executable, "-m", "tests.faults.victim", kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as process:
        assert process.stdin
        assert process.stdout
        stdin, stdout = process.stdin, process.stdout

        def ask(line: Path | str) -> str:
            timer = threading.Timer(PATIENCE, process.kill)
            timer.start()
            stdin.write(f"{line}\n")
            stdin.flush()
            answer = stdout.readline()
            timer.cancel()
            return answer

        assert ask("\n".join(map(str, sound)) + "\n") == "ready\n"
        try:
            yield process, ask
        finally:
            process.kill()

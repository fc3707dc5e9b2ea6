"""Reads hostile files, as a process that may crash or be ended: `python -m tests.faults.victim KIND`.

Takes a path a line on standard input and answers each with a line of JSON; see `Answer`. Reading is watched: what would
start a process, run code, connect or write is noted; more than a gigabyte of memory or so many seconds of computing end
the process, so that the line which is missing says which file it was.
"""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from PIL import Image

from catsdogs.cleaning import decisions, suspect_table
from catsdogs.competition import grading, submission
from catsdogs.errors import CatsdogsError, UnreadablePhotographError
from catsdogs.features import feature_file
from catsdogs.files import seal as sealed_files
from catsdogs.files import trial
from catsdogs.networks import pth, trained, weights
from catsdogs.photographs import images, tfrecord
from catsdogs.photographs.dataset import scan, scan_unlabelled
from catsdogs.photographs.stamps import Stamps
from catsdogs.runs import out_of_fold, run_card
from tests.faults import specimens

SECONDS, BYTES = 5, 2**30
FORBIDDEN = {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen"}
FORBIDDEN |= {"compile", "exec", "code.__new__", "socket.connect", "socket.bind", "pickle.find_class"}
FORBIDDEN |= {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate"}
CLASSES = ("cat", "dog")
_LIBRARY = sysconfig.get_path("stdlib")


class Answer(NamedTuple):
    """What came of a file: `read`, `refused`, or a defect; in which seconds of computing and bytes of memory."""

    outcome: str
    reason: str
    seconds: float
    memory: int


def picture(path: Path) -> None:
    data = path.read_bytes()
    image = images.decode(data)
    assert image.mode == "RGB"
    assert 0 < image.width * image.height <= images.MAX_PIXELS
    assert images.square(data, 64).shape == (64, 64, 3)


def dataset(path: Path) -> None:
    for look in (scan_unlabelled, scan):
        found = look(path)
        reasons = []
        for row in found.photographs:
            try:
                images.dimensions(found.read(row))
            except UnreadablePhotographError as error:
                reasons.append(error)
    if reasons:
        raise reasons[0]


def shard(path: Path) -> None:
    for record in tfrecord.records(path):
        tfrecord.read_photograph(path, record.offset, record.length)


def table(path: Path) -> None:
    sample = specimens.SAMPLE.decode()
    match path.name:
        case "labels.csv":
            scan(path.parent)
        case "sample_submission.csv":
            text = scan(path.parent).sample_submission
            submission.order(("1", "2"), CLASSES, text, ())
        case "submission.csv":
            submission.check_submission(path, sample, CLASSES)
            grading.grade_submission(path, path.parent / "hidden.csv", CLASSES)
        case "truth.csv":
            grading.grade_submission(path.parent / "sound.csv", path, CLASSES)
        case "decisions.csv":
            decisions.read_decisions(path, CLASSES)
            decisions.corrections(path.parent, [specimens.features()], "decided")
        case "outliers.csv":
            suspect_table.read_suspects(path)
        case "oof.csv":
            out_of_fold.read_out_of_fold(path.parent, specimens.run(), specimens.features())
        case "learnt.csv":
            trained.fold_of_digest(path.parent)
        case "run.json":
            run_card.read_run(path.parent)
        case "network.json":
            trained.row(path.parent)
        case "manifest.json":
            tfrecord.read_manifest(path.parent)
        case _:
            raise AssertionError(path.name)


_sound: dict[str, bytes] = {}


def sealed(path: Path) -> None:
    if path.name == ".photographs.h5":
        Stamps(path.parent)
    with feature_file.reading_rows(path) as file:
        assert len(file)
    if path.name == "ResNet50.h5":
        feature_file.read_features(path).vectors("train")
    # What is read at all is what was written, but for the user block.
    content = path.read_bytes()[sealed_files.USER_BLOCK_BYTES :]
    assert _sound.setdefault(path.name, content) == content


def unsealed(path: Path) -> None:
    trial.try_out(path)
    if path.name == "ResNet50.h5":
        feature_file.read_features(path).vectors("train")


def pinned(path: Path) -> None:
    trained.check_weights(path.parent)


def unpinned(path: Path) -> None:
    trial.try_out(path)
    weights.Weights(path, "").shapes()


def trap(path: Path) -> None:
    """Does what the others must not, to show that it would be seen."""
    match path.read_text():
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "loop":
            while True:
                pass
        case "memory":
            bytes(2 * BYTES)
        case "code":
            exec("1 + 1")
        case "process":
            subprocess.run(["true"])
        case "write":
            path.write_text("")


KINDS: dict[str, Callable[[Path], object]] = {
    "pictures": picture, "zips": dataset, "tables": table, "cards": table, "TFRecords": shard, ".pth": pth.read_pth,
    "sealed HDF5": sealed, "unsealed HDF5": unsealed, "trained weights": pinned, "foreign weights": unpinned,
    "traps": trap,
}  # fmt: skip

_noted: list[str] = []
_watching = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event == "open":
        flags = arguments[2]
        written = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if written:
            _noted.append(f"opened {arguments[0]} to write")
    elif event in FORBIDDEN and not _is_ours(event, arguments):
        _noted.append(f"{event} {str(arguments)[:200]}")


def _is_ours(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether the program itself does this: try a file in another process, or import a module that is installed."""
    if event == "subprocess.Popen":
        return arguments[1][1:4] == ["-I", "-c", trial._TRY]
    if event == "exec":
        return isinstance(arguments[0], CodeType) and Path(arguments[0].co_filename).is_relative_to(_LIBRARY)
    return False


def _status(field: str) -> int:
    """Bytes, of a field of /proc/self/status."""
    match = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match
    return int(match[1]) * 1024


def answer(read: Callable[[Path], object], path: Path) -> Answer:
    global _watching
    Path("/proc/self/clear_refs").write_text("5")  # the most memory, from now on
    base = _status("VmRSS")
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    before = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    outcome, reason, defect = "read", "", None
    _noted.clear()
    _watching = True
    try:
        read(path)
    except CatsdogsError as error:
        outcome, reason = "refused", str(error)
        if not error.problem or not error.remedy or "\n" in reason or len(reason) > 100_000:
            outcome, reason = "defect", f"not one line and a remedy: {reason[:500]}"
    except Exception as error:
        defect = error
    finally:
        _watching = False
        signal.setitimer(signal.ITIMER_PROF, 0)
    if defect or _noted:
        lines = traceback.format_exception(defect) if defect else []  # which reads, and compiles, for itself
        outcome, reason = "defect", "".join(("; ".join(_noted), *lines))
    after = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after, strict=True))
    return Answer(outcome, reason[:3000], spent, max(0, _status("VmHWM") - base))


def main() -> None:
    read = KINDS[sys.argv[1]]
    Image.init()  # what it would otherwise import at the first file of no kind that it knows
    lines = iter(sys.stdin)
    for line in lines:  # the sound ones first, which load what is loaded late, until an empty line
        if not line.strip():
            break
        read(Path(line.rstrip("\n")))
    base = _status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (base + BYTES, base + BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(_watch)
    print("ready", flush=True)
    for line in lines:
        print(json.dumps(answer(read, Path(line.rstrip("\n")))), flush=True)


if __name__ == "__main__":
    main()

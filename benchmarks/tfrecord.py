"""`python -m benchmarks.tfrecord`: files, a zip and TFRecord files side by side, as a part of docs/benchmarks.md.

Each is read with the code of `features`, by as many threads, in the order of the ids: from memory, and from the disk,
after the operating system was asked to forget the files.
"""

import argparse
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import parts
from benchmarks.arithmetic import Spread
from benchmarks.report import machine, spread_text, table
from catsdogs.errors import CatsdogsError, DatasetError
from catsdogs.photographs import images, tfrecord_writer
from catsdogs.photographs.dataset import Dataset, Photograph, scan
from catsdogs.progress import Progress

OUT = Path("docs/benchmarks.md")
MARK = "<!-- python -m benchmarks.tfrecord -->\n"
ROUNDS = 3
SIDE = 224  # pixels
FILES, ZIP, RECORD_FILES = "files in folders", "one zip", "TFRecord files"
RESIZED = f"TFRecord, {SIDE} px"
LISTED, WARM, COLD, DECODED = "listed", "read from memory", "read from the disk", f"read and decoded to {SIDE} pixels"


@dataclass
class Seen:
    """What was measured of one way to keep photographs.

    Attributes:
        files: how many, and `bytes` their size.
        rates: photographs a second, for each figure a value of each round.
    """

    files: int
    bytes: int
    rates: dict[str, list[float]] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the part of the report."""
    parser = argparse.ArgumentParser("python -m benchmarks.tfrecord", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="photographs in a folder, as `features` takes them")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="catsdogs-tfrecord-") as scratch:
            roots = prepare(options.data, Path(scratch))
            seen = measure(roots, options.rounds)
        parts.put(options.out, MARK, render(seen, len(scan(options.data).photographs), options.rounds))
    except CatsdogsError as error:
        print(f"benchmarks.tfrecord: {error}", file=sys.stderr)
        return error.exit_code
    print(f"wrote {options.out}")
    return 0


def prepare(data: Path, scratch: Path) -> dict[str, Path]:
    """The same photographs in each of the ways."""
    dataset = scan(data)
    if not data.is_dir():
        raise DatasetError(f"{data} is no folder", "Unpack it, and give --data the folder")
    roots = {FILES: data, ZIP: scratch / "all.zip", RECORD_FILES: scratch / "original", RESIZED: scratch / "resized"}
    with zipfile.ZipFile(roots[ZIP], "w") as archive:  # stored, as a JPEG cannot be compressed further
        for path in filter(Path.is_file, data.rglob("*")):
            archive.write(path, path.relative_to(data))
    tfrecord_writer.write_record_files(dataset, roots[RECORD_FILES])
    tfrecord_writer.write_record_files(dataset, roots[RESIZED], size=SIDE)
    return roots


def measure(roots: dict[str, Path], rounds: int) -> dict[str, Seen]:
    """All ways in turn, round by round, so that a slow minute hits all of them."""
    seen = {}
    for name, root in roots.items():
        paths = _files(root)
        seen[name] = Seen(len(paths), sum(path.stat().st_size for path in paths))
    with Progress(rounds * len(roots), "measuring", "way") as bar:
        for _ in range(rounds):
            for name, root in roots.items():
                for figure, rate in _once(root).items():
                    seen[name].rates.setdefault(figure, []).append(rate)
                bar.update()
    return seen


def _once(root: Path) -> dict[str, float]:
    started = time.perf_counter()
    dataset = scan(root)
    rates = {LISTED: len(dataset.photographs) / (time.perf_counter() - started)}
    _forget(root)
    rates[COLD] = _rate(dataset, dataset.read)
    rates[WARM] = _rate(dataset, dataset.read)
    rates[DECODED] = _rate(dataset, lambda photograph: images.square(dataset.read(photograph), SIDE))
    return rates


def _rate(dataset: Dataset, work: Callable[[Photograph], object]) -> float:
    started = time.perf_counter()
    for _ in images.in_parallel(work, dataset.photographs, ahead=64):
        pass
    return len(dataset.photographs) / (time.perf_counter() - started)


def _forget(root: Path) -> None:
    """Have the operating system drop what it keeps of the files in memory, which Linux does once they are written."""
    for path in _files(root):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()] if root.is_dir() else [root]


def render(seen: dict[str, Seen], photographs: int, rounds: int) -> str:
    """This part of docs/benchmarks.md."""
    figures = (LISTED, COLD, WARM, DECODED)
    rows = [
        [name, f"{way.files:,}", f"{way.bytes / 1e6:.0f}", *(spread_text(Spread.of(way.rates[f])) for f in figures)]
        for name, way in seen.items()
    ]
    return (
        f"## Files, a zip, and TFRecord files\n\n"
        f"Written by `python -m benchmarks.tfrecord` on {datetime.now(UTC):%Y-%m-%d}; {machine()}. {photographs:,} "
        f"photographs, photographs a second: the median of {rounds} rounds, and in brackets the spread. All are read "
        f"by the code of `features` with a thread for each core, in the order of the ids, which lie mixed in the "
        f"TFRecord files.\n\n"
        f"{table(('kept as', 'files', 'MB', *figures), rows)}\n"
        "From the disk: after the files were dropped from memory; a virtual machine's host may still have them.\n"
    )


if __name__ == "__main__":
    sys.exit(main())

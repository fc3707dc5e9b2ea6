"""`python -m benchmarks.noop`: a run of `features` with nothing to do over a million rows, for docs/benchmarks.md.

Rows of three networks are drawn, a few columns each, and written as `features` writes them. What is measured is a
process of its own, `python -m benchmarks.noop --run FOLDER`, which has the table of photographs already: one JSON line
comes out. With moto installed, the same folder is looked through in its S3 server on this machine, too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from catsdogs.errors import CatsdogsError, TrainingError
from catsdogs.features import extract
from catsdogs.features.cache import Cache, DigestedPhotograph, ShardRows
from catsdogs.files import storage
from catsdogs.networks.choice import choose
from catsdogs.photographs import stamps
from catsdogs.photographs.dataset import Dataset, Location, Photograph
from catsdogs.photographs.images import STATISTICS
from catsdogs.progress import Progress

OUT = Path("docs/benchmarks.md")
MARK = "<!-- python -m benchmarks.noop -->\n"
ROWS = 1_000_000
NETWORKS = ("EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2")
WIDTH, TEST_SHARE, SEED = 8, 20, 0
REAL_ROW_BYTES = 24_900  # of three networks with 2,048 columns in float32, see docs/scale.md
TARGET_SECONDS, TARGET_SHARE, TARGET_MEMORY = 5, 0.01, 600
PATIENCE_SECONDS = 3600
_SHARD_ROWS, _FEW_ROWS = 8192, 1000
_ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the part of the report."""
    parser = argparse.ArgumentParser("python -m benchmarks.noop", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--scratch", type=Path, help="a folder to write in; 1 GB for a million rows")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run:
        print(json.dumps(run(options.run, options.rows)))
        return 0
    try:
        with tempfile.TemporaryDirectory(prefix="catsdogs-noop-", dir=options.scratch) as scratch:
            folder = Path(scratch)
            write(folder, options.rows)
            found = {
                "here": _child(str(folder / "features"), options.rows),
                "without": _without_index(folder / "features", options.rows),
                "store": _in_store(folder / "features", options.rows),
                "constant": _constant(folder / "few"),
            }
        from benchmarks import parts

        parts.put(options.out, MARK, render(found, options.rows))
    except CatsdogsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def dataset(folder: Path, rows: int) -> Dataset:
    """Photographs of one archive, which is nearly empty: none of them is read."""
    location = folder / "photographs.zip"
    test = rows // TEST_SHARE
    table = [Photograph(f"cat.{n}", "train", n % 2, Location(location, f"train/{n}.jpg")) for n in range(rows - test)]
    table += [Photograph(str(n), "test", -1, Location(location, f"test/{n}.jpg")) for n in range(test)]
    return Dataset(folder, ("cat", "dog"), tuple(table))


def write(folder: Path, rows: int) -> None:
    """Feature files of three networks with all these rows, and stamps that say that no photograph has changed."""
    (folder / "photographs.zip").write_bytes(b"nothing")
    table, out = dataset(folder, rows), folder / "features"
    digests = np.random.default_rng(SEED).integers(0, 2**63, rows, np.uint64)
    entries = list(map(DigestedPhotograph, table.photographs, digests.tolist()))
    settings = extract.Settings(engine="openvino", precision="float32")
    for recipe in extract.settle_recipes(choose(NETWORKS, None), out, settings):
        cache = Cache(out, recipe)
        with Progress(rows, f"drawing {recipe.backbone}", "row") as bar:
            for start in range(0, rows, _SHARD_ROWS):
                block = entries[start : start + _SHARD_ROWS]
                keys = np.array([entry.key for entry in block], object)
                drawn = np.random.default_rng((SEED, start)).standard_normal((len(block), WIDTH), np.float32)
                statistics = np.zeros((len(block), len(STATISTICS)), np.float32)
                cache.write_shard(ShardRows(keys, digests[start : start + len(block)], drawn, statistics), "openvino")
                bar.update(len(block))
        cache.assemble(entries, table.classes, [], str(folder.resolve()), 0, 0.0, table.task)
    stamps.SETTLED_NS = -(10**12)  # the archive was written just now
    remembered = stamps.Stamps(out)
    remembered.look(table.photographs)
    remembered.keep(digests, np.ones(rows, bool), others=False)


def run(out: str, rows: int) -> dict[str, Any]:
    """A run with nothing to do: its seconds, the bytes that it read, and the memory that it took besides the table."""
    folder = Path(os.environ.get("CATSDOGS_NOOP_PHOTOGRAPHS", "")) if "://" in out else Path(out).parent
    started = time.perf_counter()
    table = dataset(folder, rows)
    listed = time.perf_counter() - started
    stamps.SETTLED_NS = -(10**12)
    before, read_before = _status("VmRSS"), _read()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here
    started, computing = time.perf_counter(), time.process_time()
    done = extract.extract(table, NETWORKS, storage.place(out))
    if any(done.computed.values()) or any(done.written.values()):
        raise TrainingError("The run had something to do", "Mend this benchmark")
    return {
        "listed": listed,
        "seconds": time.perf_counter() - started,
        "processor": time.process_time() - computing,
        "read": _read() - read_before,
        "memory": (_status("VmHWM") - before) / rows,
    }


def render(found: dict[str, Any], rows: int) -> str:
    """The part of the report; `found` has what `run` gives, of each place, and `constant` of a store of few rows."""
    from benchmarks.report import machine, table

    constant = found["constant"]["read"]
    for name in ("here", "without"):
        found[name]["read"] -= constant
    names = {"here": "on this machine", "without": "the same without an index", "store": "in the S3 stand-in"}
    lines = []
    for name, values in ((name, found[name]) for name in names if found[name]):
        lines.append(
            [
                names[name],
                f"{values['seconds']:.1f} s",
                f"{values['processor']:.1f} s",
                f"{values['read'] / 1e6:.0f} MB",
                f"{values['read'] / (rows * REAL_ROW_BYTES):.2%}",
                f"{values['memory']:.0f}",
                str(values.get("requests", "")),
            ]
        )
    head = ["", "time", "of the processor", "read", "of 24.9 KB a row", "bytes of memory a row", "requests"]
    met = [
        ("seconds", TARGET_SECONDS),
        ("read", TARGET_SHARE * rows * REAL_ROW_BYTES),
        ("memory", TARGET_MEMORY),
    ]
    judged = [(name, all(found[kind][name] < most for kind in ("here", "store") if found[kind])) for name, most in met]
    words = ", ".join(f"{name} {'met' if is_met else 'not met'}" for name, is_met in judged)
    return (
        "## Nothing to do\n\n"
        f"Written by `python -m benchmarks.noop --rows {rows}` on {datetime.now(UTC):%Y-%m-%d}; {machine()}. A run of "
        f"`features` over {rows:,} rows of three networks that are all there, in a process of its own. The table of "
        f"photographs, which took {found['here']['listed']:.1f} s to make up, is not counted, nor its memory; they lie "
        f"in one archive. The rows have {WIDTH} columns, which a run with nothing to do does not read; so the bytes "
        "are held against rows of three networks of 2,048 columns. Those that are read of a store of 1,000 rows, "
        f"{constant / 1e6:.0f} MB, mostly networks' weights, are left out. Targets: "
        f"{TARGET_SECONDS} s, {TARGET_SHARE:.0%}, {TARGET_MEMORY} bytes: {words}.\n\n" + table(head, lines).rstrip("\n")
    )


def _constant(folder: Path) -> dict[str, Any]:
    """What a run with nothing to do takes whatever the number of rows."""
    folder.mkdir()
    write(folder, _FEW_ROWS)
    return _child(str(folder / "features"), _FEW_ROWS)


def _without_index(out: Path, rows: int) -> dict[str, Any]:
    """A run that has to read everything, as after the index has been lost; it writes the index again."""
    for path in out.glob(".*.index"):
        path.unlink()
    return _child(str(out), rows)


def _in_store(out: Path, rows: int) -> dict[str, Any] | None:
    """The same in moto's server, with its requests and the bytes of its answers; None if it is not installed."""
    try:
        with _server() as (address, counted):
            import s3fs  # type: ignore[import-untyped]

            os.environ |= _ENVIRONMENT | {"AWS_ENDPOINT_URL": address}
            os.environ["CATSDOGS_NOOP_PHOTOGRAPHS"] = str(out.parent)
            store = s3fs.S3FileSystem()
            store.mkdir("noop")
            store.put(str(out), "noop/features", recursive=True)
            found = _child("s3://noop/features", rows)  # the index does not know the objects' times, and is made again
            counted.update(requests=0, read=0)
            found = _child("s3://noop/features", rows)
            return found | counted
    except ImportError:
        return None


@contextmanager
def _server() -> Iterator[tuple[str, dict[str, int]]]:
    """moto's S3 server on this machine: its address, and what it has been asked and has answered."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Quiet(MotoRequestHandler):
        def log(self, type: str, message: str, *args: object) -> None:
            pass

    app, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()
    counted = {"requests": 0, "read": 0}

    def counting(environment: Any, start: Any) -> Iterator[bytes]:
        answer: Iterable[bytes] = app(environment, start)
        with lock:
            counted["requests"] += 1
        for piece in answer:
            with lock:
                counted["read"] += len(piece)
            yield piece

    server = make_server("127.0.0.1", 0, counting, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", counted
    finally:
        server.shutdown()
        thread.join()


def _child(out: str, rows: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.noop", "--run", out, "--rows", str(rows)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=PATIENCE_SECONDS, check=False)  # noqa: S603 - our own module
    if ended.returncode:
        raise TrainingError(f"The process that looks ended with code {ended.returncode}", "Mend what it says above")
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def _status(name: str) -> int:
    """Memory of this process, in bytes: `VmRSS` or, the most, `VmHWM`."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(name)))


def _read() -> int:
    """The bytes that this process has read, from files and pages in memory alike."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("rchar")))


if __name__ == "__main__":
    sys.exit(main())

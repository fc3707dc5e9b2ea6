"""`python -m benchmarks.page`: the page of `serve` under load, as the last part of docs/benchmarks.md.

A server of its own answers several clients, each of which sends one photograph after the other without a pause; then it
is sent the bad uploads of the tests.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks import parts
from benchmarks.report import machine, table
from catsdogs.errors import CatsdogsError, DatasetError
from catsdogs.progress import Progress
from tests.support.hostile import UPLOADS

OUT = Path("docs/benchmarks.md")
MARK = "<!-- python -m benchmarks.page -->\n"
CLIENTS, SECONDS = 8, 60
TARGET_P95, TARGET_REFUSAL = 1.5, 1.0  # seconds
NAME = "page"
_BOUNDARY = "photograph-boundary"
_READY_SECONDS = 300
_SETTLED = 10.0  # seconds after which memory is first looked at, when every thread has answered


@dataclass
class Load:
    """What the clients saw.

    Attributes:
        latencies: seconds from sending a photograph to the whole answer.
        errors: what came instead of an answer.
        memory: (second, bytes) the server's resident memory.
        refusals: bad upload -> the status it got, and after how many seconds.
    """

    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)
    refusals: dict[str, tuple[int, float]] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the part of the report."""
    parser = argparse.ArgumentParser("python -m benchmarks.page", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="labelled photographs, as `features` takes them")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="catsdogs-page-") as folder:
            rows = _prepare(Path(folder), options.data.resolve())
            photographs = _photographs(options.data)
            with serving(Path(folder)) as (url, process):
                load = press(url, photographs, options.clients, options.seconds, process.pid)
                load.refusals = refuse(url)
        parts.put(options.out, MARK, render(load, options.clients, options.seconds, photographs, rows))
    except CatsdogsError as error:
        print(f"benchmarks.page: {error}", file=sys.stderr)
        return error.exit_code
    print(f"wrote {options.out}")
    return 0


def kept(path: Path) -> str:
    """This part of a report that is written anew otherwise, if it has one."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return f"\n{MARK}{text.split(MARK)[1]}" if MARK in text else ""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server of the run in a folder, once its networks are loaded: its address and process."""
    command = [*_catsdogs(), "serve", "--name", NAME, "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        try:
            assert process.stdout is not None  # noqa: S101 - for the type checker
            found = next(filter(None, (re.match(r"http://\S+", line) for line in process.stdout)), None)
            if found is None:
                raise DatasetError("The server ended before it listened", "Look at its message above")
            wait_until_ready(found[0])
            yield found[0], process
        finally:
            process.terminate()


def ask(url: str, name: str, data: bytes) -> tuple[int, Any]:
    """The status and the JSON that a file of this name gets, whatever both are."""
    with contextlib.closing(_connection(url)) as connection:
        return _exchange(connection, _multipart(name, data))


def press(url: str, photographs: Sequence[Path], clients: int, seconds: float, pid: int | None = None) -> Load:
    """Have so many clients send photographs for so long; their answers are checked for being answers.

    With `pid`, that process's memory is looked at each second.
    """
    load, started = Load(), time.perf_counter()
    bodies = itertools.cycle([_multipart(path.name, path.read_bytes()) for path in photographs])
    next_body = threading.Lock()

    def client(_: int) -> None:
        connection = _connection(url)
        while time.perf_counter() - started < seconds:
            with next_body:
                body = next(bodies)
            sent = time.perf_counter()
            try:
                status, answer = _exchange(connection, body)
                if status != 200 or "probabilities" not in answer["results"][0]:
                    load.errors.append(f"{status}: {str(answer)[:100]}")
            except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
                load.errors.append(repr(error))
                connection.close()
            load.latencies.append(time.perf_counter() - sent)

    with ThreadPoolExecutor(clients) as pool, Progress(round(seconds), "pressing", "s") as bar:
        done = [pool.submit(client, number) for number in range(clients)]
        while not all(future.done() for future in done):
            if pid:
                load.memory.append((time.perf_counter() - started, _resident(pid)))
            bar.update(min(1, round(seconds) - bar.n))
            time.sleep(1)
        for future in done:
            future.result()
    return load


def refuse(url: str) -> dict[str, tuple[int, float]]:
    """Send one bad upload after the other; what each got, and after how many seconds."""
    refusals = {}
    for name, upload in UPLOADS.items():
        data = upload.make()
        started = time.perf_counter()
        status, _ = ask(url, upload.filename, data)
        refusals[name] = status, time.perf_counter() - started
    return refusals


def render(load: Load, clients: int, seconds: float, photographs: Sequence[Path], rows: int) -> str:
    """This part of docs/benchmarks.md."""
    half, most, nearly_all, slowest = np.quantile(load.latencies, (0.5, 0.95, 0.99, 1))
    settled = [bytes for second, bytes in load.memory if second >= min(_SETTLED, seconds / 2)]
    growth = max(settled) / settled[0]
    kilobytes = sum(path.stat().st_size for path in photographs) / len(photographs) / 1000
    slow, (_, seconds_refused) = max(load.refusals.items(), key=lambda refusal: refusal[1][1])
    wrong = [status for status, _ in load.refusals.values() if not 400 <= status < 500]
    figures = [
        ("errors", "0", f"{len(load.errors):,}", not load.errors),
        ("95 of 100 answers within", f"{TARGET_P95} s", f"{most:.2f} s", most < TARGET_P95),
        ("memory, most / after 10 s", "flat", f"{growth:.2f} of {settled[0] / 1e9:.2f} GB", growth < 1.1),
        (f"{len(load.refusals)} bad uploads without a 4xx", "0", f"{len(wrong)}", not wrong),
        (
            "the slowest refusal",
            f"{TARGET_REFUSAL:.0f} s",
            f"{seconds_refused:.2f} s",
            seconds_refused < TARGET_REFUSAL,
        ),
    ]
    shown = table(
        ("figure", "target", "measured", "met"),
        [(name, target, measured, "yes" if met else "no") for name, target, measured, met in figures],
    )
    return (
        "## The page under load\n\n"
        f"Written by `python -m benchmarks.page` on {datetime.now(UTC):%Y-%m-%d}; {machine()}. {clients} clients send "
        f"photographs ({kilobytes:.0f} KB on average) to `POST /api/predict` for {seconds:.0f} s without a pause, each "
        f"waiting for its answer: the three EfficientNet-Lites in OpenVINO, a head, the ImageNet labels, and the five "
        f"nearest of {rows:,} training photographs. Clients and server share the machine.\n\n{shown}\n"
        f"{len(load.latencies):,} answers, {len(load.latencies) / seconds:.1f} a second; half of them within "
        f"{half:.2f} s, 99 of 100 within {nearly_all:.2f} s, the slowest in {slowest:.2f} s. "
        f"The slowest of the bad uploads, sent one by one after that: {slow}.\n"
    )


def _prepare(folder: Path, data: Path) -> int:
    """Features and a run to serve; how many training rows."""
    for stage in (["features", "--data", str(data)], ["train", "--name", NAME]):
        command = [*_catsdogs(), *stage, "--backbones", "lite"]
        if subprocess.run(command, cwd=folder, check=False).returncode:  # noqa: S603 - our own command
            raise DatasetError(f"`catsdogs {stage[0]}` failed", "Look at its message above")
    return int(json.loads((folder / "submissions" / NAME / "run.json").read_text(encoding="utf-8"))["train_rows"])


def _catsdogs() -> list[str]:
    return [sys.executable, "-c", "from catsdogs.cli import main; main()"]


def _photographs(data: Path) -> list[Path]:
    paths = sorted(path for path in data.rglob("*.jpg"))[:200]
    if not paths:
        raise DatasetError(f"{data} holds no .jpg", "Give --data a folder of photographs, unpacked")
    return paths


def wait_until_ready(url: str) -> None:
    """Come back once the networks of a server are loaded."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=10) as answer:  # noqa: S310 - our own server
                if json.load(answer)["status"] == "ready":
                    return
        except urllib.error.HTTPError as error:
            raise DatasetError(f"The server is not well: {error.read()!r}", "Look at its message") from None
        time.sleep(0.2)
    raise DatasetError(f"The networks were not loaded in {_READY_SECONDS} s", "Try again on a quiet machine")


def _connection(url: str) -> http.client.HTTPConnection:
    address = urlsplit(url)
    return http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)


def _exchange(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, Any]:
    headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    connection.request("POST", "/api/predict", body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def _multipart(name: str, data: bytes) -> bytes:
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return head.encode() + data + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _resident(pid: int) -> int:
    """Bytes of a process that are in memory; Linux only."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024


if __name__ == "__main__":
    sys.exit(main())

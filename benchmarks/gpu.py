"""`python -m benchmarks.gpu`: `features` itself on a GPU, from its start to the feature files, stage by stage.

Three runs, each a process of its own: the first from empty caches, the second with what the first left there but for
the feature files, the third with nothing to do. Then each part alone: decoding, each network, all networks in one pass,
writing. The limit is what the slowest part would take. The page that comes out says what was measured and how. It runs
without a GPU, too, where `--limit` keeps it short.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import photographs
from benchmarks.gpu_process import Job
from benchmarks.report import number, table
from catsdogs.networks.weights import RANDOM_WEIGHTS

NETWORKS = "ResNet50,InceptionV3,Xception"
PHOTOGRAPHS = 37_500  # all of Kaggle's Dogs vs. Cats
DRAWN = 512  # different files; beyond that they are read again
TARGET_SECONDS = 45  # of the second run, three networks on one H100 with 16 cores
RUNS = ("first run", "second run", "nothing to do")
STAGES = {
    "start": "imports, and the data set is listed",
    "engine": "the engine is imported, its precision chosen",
    "preparing": "networks are built, tried in their precision, compiled",
    "photographs": "decoded, uploaded, computed, written in shards",
    "assembling": "shards become feature files",
}
_SECONDS, _CHECKED = 10.0, 256


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the page to `--out`, and print it."""
    options = _parse(arguments)
    with tempfile.TemporaryDirectory(prefix="catsdogs-gpu-") as scratch:
        folder = Path(scratch)
        if options.data:
            paths = sorted(path for path in options.data.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
            if not paths:
                sys.exit(f"{options.data} holds no JPEGs. Give --data a folder of photographs.")
        else:
            paths = photographs.draw(folder / "drawn", min(DRAWN, options.limit), photographs.CAMERA_QUALITY)
        data = photographs.link(folder / "photographs", paths, options.limit)
        kilobytes = sum(path.stat().st_size for path in paths) / len(paths) / 1000
        described = f"{options.limit:,} {'photographs' if options.data else 'drawn photographs'} of {kilobytes:.0f} KB"
        runs = {}
        for name, out in zip(RUNS, ("first", "second", "second"), strict=True):
            runs[name] = _in_a_process("run", options, data, folder, folder / out)
            _say(f"{name}: {runs[name]['whole']:.1f} s")
        parts = _in_a_process("alone", options, data, folder, folder / "alone")
        page = render(options, described, runs, parts)
    options.out.write_text(page, encoding="utf-8")
    print(page, end="")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder of photographs (default: drawn ones)")
    parser.add_argument("--limit", type=int, default=PHOTOGRAPHS, help="how many photographs; they are read again")
    parser.add_argument("--backbones", default=NETWORKS)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--devices", default="auto")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--weights-dir", default=RANDOM_WEIGHTS, help="real weights (default: random ones)")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="for which each part is timed")
    parser.add_argument("--out", type=Path, default=Path("gpu.md"))
    return parser.parse_args(arguments)


def _in_a_process(verb: str, options: argparse.Namespace, data: Path, folder: Path, out: Path) -> dict[str, Any]:
    """What `benchmarks.gpu_process` answers, with `whole`: the seconds that its process took."""
    started = time.time()
    job = Job(
        data=str(data),
        backbones=options.backbones.split(","),
        out=str(out),
        weights_dir=options.weights_dir,
        engine=options.engine,
        batch_size=options.batch_size,
        devices=options.devices,
        seconds=options.seconds,
        checked=_CHECKED,
        started=started,
    )
    command = [sys.executable, "-m", "benchmarks.gpu_process", verb, json.dumps(job._asdict())]
    # Caches of its own, empty at first.
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if ended.returncode:
        sys.exit(f"benchmarks.gpu: the process of `{verb}` ended with exit code {ended.returncode}; see above")
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer | {"whole": time.time() - started}


def render(options: argparse.Namespace, described: str, runs: dict[str, dict[str, Any]], parts: dict[str, Any]) -> str:
    """The page."""
    rates, count = parts["rates"], options.limit
    networks, decoding, writing = (
        count / rates[name] for name in ("networks alone, in one pass", "decoding alone", "writing alone")
    )
    # A processor computes and decodes on the same cores.
    limit = max(networks, decoding, writing) if parts["gpus"] else max(networks + decoding, writing)
    stages = [
        [
            name,
            *(_seconds(runs[run]["stages"].get(name)) for run in RUNS),
            _seconds({"photographs": limit}.get(name)),
            say,
        ]
        for name, say in STAGES.items()
    ]
    whole = [runs[run]["whole"] for run in RUNS]
    stages.append(["**whole process**", *(f"**{_seconds(one)}**" for one in whole), "", "its end among it"])
    second = runs[RUNS[1]]["stages"].get("photographs")
    alone = [[name, f"{number(rate)}", f"{number(count / rate)}"] for name, rate in rates.items()]
    cosines = {name: cosine for name, cosine in parts["cosines"].items() if cosine is not None}
    lines = [
        f"# features on {_device()}",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}, {_versions()}. "
        f"{described}, {options.backbones} by {parts['engine']} in {', '.join(sorted(set(parts['precisions'])))}, "
        f"batches of {parts['batch']}, {parts['gpus']} GPUs.",
        "",
        "Seconds of each stage. The limit is what the slowest part of it takes alone"
        + ("." if parts["gpus"] else "; without a GPU decoding and networks share the cores, and add up."),
        "",
        table(("stage", *RUNS, "limit", "what happens"), stages),
        f"Photographs a second: {number(count / whole[0])} in the first run, {number(count / whole[1])} in the second, "
        f"whole processes. "
        + (f"Limit / second run's stage: {limit / second:.2f}. " if second else "")
        + f"First run / second run: {whole[0] / whole[1]:.2f}."
        + (f" Target on an H100 with 16 cores: {TARGET_SECONDS} s." if count == PHOTOGRAPHS else ""),
        "",
        table(("part alone, once warm", "photographs a second", f"s for {count:,}"), alone).rstrip(),
    ]
    if cosines:
        text = ", ".join(f"{name} {cosine:.6f}" for name, cosine in cosines.items())
        lines += ["", f"Smallest cosine of {min(count, _CHECKED)} vectors to those in float32: {text}."]
    notes = list(dict.fromkeys(note for run in runs.values() for note in run["notes"]))
    lines += ["", *(f"* {note}" for note in notes[:10])] if notes else []
    return "\n".join(lines) + "\n"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _device() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return platform.processor() or platform.machine()
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    names = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")  # noqa: S603
    return ", ".join(filter(None, names)) or "GPU"


def _versions() -> str:
    found = []
    for library in ("keras", "tensorflow", "jax", "torch", "openvino"):
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:  # or installed under another name, such as tensorflow-rocm
            continue
    return ", ".join(found)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

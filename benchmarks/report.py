"""Markdown of what was measured: the machine, the versions, the tables, how to run it."""

import os
import platform
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.accuracy import FOLDS, HEAD, KERAS_LIMIT, Accuracy
from benchmarks.arithmetic import Results, Spread, Target, targets
from benchmarks.contenders import COLUMNS, Column
from benchmarks.rows import LITE0, MEMORY_COUNTS, Failure, Measurement, Row

WIDTH = 120
LIBRARIES = (
    "keras",
    "tensorflow",
    "openvino",
    "onnxruntime",
    "tf2onnx",
    "torch",
    "pillow",
    "cykooz.resizer",
    "numpy",
    "h5py",
)


@dataclass
class Record:
    """All that a run saw.

    Attributes:
        photographs: what they are, in words.
        trials: (row, column) -> variant -> what a short trial of it gave; `chosen` is the fastest.
        memory: for each of `rows.MEMORY_COUNTS`, the peak in bytes.
    """

    command: str
    photographs: str
    limit: int
    rows: list[Row]
    columns: list[Column]
    left_out: dict[str, list[str]] = field(default_factory=dict)
    trials: dict[tuple[str, str], dict[str, Measurement | Failure]] = field(default_factory=dict)
    chosen: dict[tuple[str, str], str] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    accuracies: list[Accuracy] = field(default_factory=list)


def render(record: Record) -> str:
    """The whole of docs/benchmarks.md."""
    results = Results(record.measurements)
    parts = [_head(record)]
    for figure, title, explanation in (
        ("steady", "Steady state, photographs a second", "From the first photograph asked for to the last vector."),
        ("whole", "The whole process, photographs a second", "Imports, loading and compiling the networks included."),
        ("memory", "Peak memory, GB", "The most that the process ever held."),
    ):
        parts.append(f"## {title}\n\n{explanation} Median, and in brackets the spread over the rounds.\n")
        parts.append(_cells(record, results, figure))
    parts += [_trials(record), _remarks(record), "## Targets\n", _targets(record, results)]
    if record.accuracies:
        parts.append(_accuracies(record.accuracies))
    return wrapped("\n".join(part for part in parts if part))


def wrapped(text: str) -> str:
    """The text with its lines of prose cut at 120 characters; tables stay as they are."""
    lines: list[str] = []
    for line in text.split("\n"):
        if len(line) <= WIDTH or line.startswith("|"):
            lines.append(line)
        else:
            indent = "  " if line.startswith("* ") else ""
            lines += textwrap.wrap(
                line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            )
    return "\n".join(lines)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of GitHub's markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread_text(spread: Spread | None, unit: str = "") -> str:
    """`2.41 (2.35-2.50)`."""
    if spread is None:
        return "-"
    if spread.low == spread.high:
        return f"{number(spread.median)}{unit}"
    return f"{number(spread.median)}{unit} ({number(spread.low)}-{number(spread.high)})"


def machine() -> str:
    """Processor, cores and memory, in words."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    name = facts.get("model name", name)
    if "model" in facts:
        name += f" (family {facts['cpu family']}, model {facts['model']})"
    flags = facts.get("flags", "").split()
    known = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in flags]
    cores = f"{os.cpu_count()} cores"
    memory = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"
    return ", ".join([name, cores, memory, *([f"with {' '.join(known)}"] if known else [])])


def versions() -> str:
    """Python and the libraries that are installed."""
    found = [f"Python {platform.python_version()}"]
    for library in LIBRARIES:
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _head(record: Record) -> str:
    rounds = max((measurement.round for measurement in record.measurements), default=0)
    counts = ", ".join(f"{row.title} {row.share * record.limit:,}" for row in record.rows)
    return f"""# Benchmarks

Written by `benchmarks/`, not by hand.

* Machine: {machine()}
* Versions: {versions()}
* Date: {datetime.now(UTC):%Y-%m-%d}
* Command: `{record.command}`
* Photographs: {record.photographs}. Each measurement took: {counts}. A file that occurs more than once is read and
  decoded every time.
* Rounds: {rounds}, interleaved: in each round every row, in each row every column. Every measurement is a process of
  its own, and nothing else was started meanwhile.

To run it: `pip install -e ".[bench]" -c constraints.txt` in a clone, then `invoke bench` on a machine that does
nothing else. `--data FOLDER` takes photographs of your own; where they have labels, and real weights are at hand, it
also compares the vectors.
"""


def _cells(record: Record, results: Results, figure: str) -> str:
    failed = {(failure.row, failure.column) for failure in record.failures}

    def cell(row: Row, column: Column) -> str:
        spread = results.spread(row.name, column.name, figure)
        if spread and figure == "memory":
            spread = Spread(spread.median / 1e9, spread.low / 1e9, spread.high / 1e9)
        return "failed" if (row.name, column.name) in failed and not spread else spread_text(spread)

    rows = [[column.title, *(cell(row, column) for row in record.rows)] for column in record.columns]
    return table(["", *(row.title for row in record.rows)], rows)


def _trials(record: Record) -> str:
    if not record.trials:
        return ""
    titles = {row.name: row.title for row in record.rows} | {column.name: column.title for column in COLUMNS}
    rows = []
    for (row, column), found in record.trials.items():
        figures = [
            f"{variant}: " + (number(answer.steady) if isinstance(answer, Measurement) else f"failed, {answer.reason}")
            for variant, answer in found.items()
        ]
        rows.append([titles[row], titles[column], "; ".join(figures), record.chosen[row, column]])
    text = "Photographs a second in one short trial, once warm; the tables show the variant chosen.\n"
    return f"## Which variant of the others\n\n{text}\n{table(['', '', 'tried', 'chosen'], rows)}"


def _remarks(record: Record) -> str:
    lines = [
        f"* Left out: {column}, for {' and '.join(missing)} is not installed."
        for column, missing in record.left_out.items()
    ]
    titles = {column.name: column.title for column in COLUMNS}
    lines += [f"* Failed: {failure.row}, {titles[failure.column]}: {failure.reason}" for failure in record.failures]
    return "\n".join(dict.fromkeys(lines)) + "\n" if lines else ""


def _targets(record: Record, results: Results) -> str:
    def line(target: Target) -> list[str]:
        measured = "not measured" if target.measured is None else spread_text(target.measured, target.unit)
        verdict = {True: "yes", False: "no", None: "-"}[target.met]
        return [target.figure, f"{'≥' if target.at_least else '≤'} {target.limit:g}{target.unit}", measured, verdict]

    lines = [line(target) for target in targets(results, [row.name for row in record.rows], record.memory)]
    text = (
        "Ratios are of steady figures, taken within each round: their median and spread. Ours is at the precision that "
        "is faster on this processor, where a line does not name one."
    )
    if record.memory:
        counts = ", ".join(f"{MEMORY_COUNTS[name]:,}: {bytes / 1e9:.3f} GB" for name, bytes in record.memory.items())
        text += (
            f" Peak memory, in float32, of {LITE0}, of it again, and of the three together, by photographs: {counts}."
        )
    return f"{text}\n\n{table(['figure', 'target', 'measured', 'met'], lines)}"


def _accuracies(accuracies: Sequence[Accuracy]) -> str:
    def pair(cosines: tuple[float, float] | None) -> str:
        return "-" if cosines is None else f"{cosines[0]:.7f}, {cosines[1]:.7f}"

    def line(row: Accuracy) -> list[str]:
        losses = ["-", "-"]
        if row.loss_rounded is not None:
            losses = [f"{row.loss_rounded:.5f}", f"{row.loss_rounded - row.loss:+.5f}"]
        cosine = [pair(row.cosine_rounded), pair(row.cosine_engines)]
        return [row.backbone, f"{row.photographs:,}", *cosine, f"{row.loss:.5f}", *losses]

    header = [
        "",
        "photographs",
        "cosine, bfloat16 to float32",
        f"cosine, OpenVINO to Keras ({KERAS_LIMIT})",
        "log loss, float32",
        "bfloat16",
        "difference",
    ]
    text = (
        "Cosines of rows: the smallest (targets: 0.999 in bfloat16, 0.999999 between engines), then the mean. Log loss "
        f"of the head `{HEAD}`, out of fold, {FOLDS} folds (target: less than 0.0003 apart)."
    )
    return f"## What the vectors are worth\n\n{text}\n\n{table(header, [line(row) for row in accuracies])}"

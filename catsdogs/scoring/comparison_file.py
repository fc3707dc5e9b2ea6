"""A comparison of heads as a file: `compare.csv`, which files of earlier versions are read back from as well."""

import math
import re
from itertools import chain, combinations
from pathlib import Path
from typing import get_type_hints

from catsdogs.errors import TrainingError
from catsdogs.files import tables
from catsdogs.scoring import metrics
from catsdogs.scoring.comparison import STANDARD_ERRORS, Comparison, Entry
from catsdogs.scoring.metrics import LOG_LOSS

COMPARISON_FILE, COMPARISON_CHART_FILE = "compare.csv", "compare.png"
COLUMNS = (
    "rank", "head", "backbones", "log_loss", "standard_error", "difference", "difference_error", "verdict", "accuracy",
    "seconds", "folds", "repeats", "rows",
)  # fmt: skip
_UNKNOWN = ("log_loss", "standard_error", "accuracy")  # which are empty of what has none, such as numbers
COLUMNS_OF_A_METRIC = ("metric", "value", "value_error")  # further ones, where it is not log loss that ranks
COLUMNS_OF_COST = ("gflops",)  # further ones, where it is known
COLUMNS_OF_MEMORY = ("memory",)  # likewise
COLUMNS_OF_NOISE = ("noise_limit",)  # which files of earlier versions lack
_JOINT = re.compile(r"(?<!@cls)\+|\+(?!mean(?:[-+]|$))")  # between networks; not that of the vector `cls+mean`


def write_comparison(path: Path, comparison: Comparison) -> None:
    """A row per entry with `COLUMNS` and `COLUMNS_OF_NOISE`, and those others that there is something to say in.

    Networks are joined by `+`; the first row's difference is 0.

    Raises:
        StoreError: the file cannot be written.
    """
    same = {name: getattr(comparison, name) for name in ("folds", "repeats", "rows", "metric")}
    same["noise_limit"] = f"{comparison.limit:.9g}"
    columns: tuple[str, ...] = COLUMNS if comparison.is_by_log_loss else COLUMNS + COLUMNS_OF_A_METRIC
    for more in (COLUMNS_OF_COST, COLUMNS_OF_MEMORY):
        columns += more * any(math.isfinite(vars(entry)[more[0]]) for entry in comparison.entries)
    columns += COLUMNS_OF_NOISE
    rows = []
    for rank, entry in enumerate(comparison.entries, start=1):
        numbers = {name: value for name, value in vars(entry).items() if isinstance(value, float)}
        figures = {name: "" if math.isnan(value) else f"{value:.9g}" for name, value in numbers.items()}
        cells = vars(entry) | figures | same | {"rank": rank, "backbones": "+".join(entry.backbones)}
        rows.append([cells[name] for name in columns])
    tables.write_table(path, columns, rows)


def read_comparison(path: Path) -> Comparison | None:
    """The table of heads that `compare` wrote, or None where there is none.

    Raises:
        TrainingError: it is damaged.
    """
    remedy = "Make it again with `catsdogs compare`, or delete it"
    if not path.exists():
        return None
    header, table = tables.read_table(path, remedy)
    further = (COLUMNS_OF_A_METRIC, COLUMNS_OF_COST, COLUMNS_OF_MEMORY, COLUMNS_OF_NOISE)
    chosen = chain.from_iterable(combinations(further, count) for count in range(len(further) + 1))
    if tuple(header) not in [sum(more, COLUMNS) for more in chosen] or not table:
        raise TrainingError(f"{path} does not have the columns and rows that `compare` writes", remedy)
    entries = []
    for number, row in enumerate(table, start=2):
        try:
            tables.check_width(row, header)
            named = dict(zip(header, row, strict=True))
            rows, folds, repeats = (int(named[name]) for name in ("rows", "folds", "repeats"))
            metric, limit = named.get("metric", LOG_LOSS), float(named.get("noise_limit", STANDARD_ERRORS))
            if not metrics.is_known(metric):
                raise ValueError(f"the metric {metric!r}")
            numbers = [name for name, kind in get_type_hints(Entry).items() if kind is float and name in named]
            unknown = COLUMNS_OF_COST + COLUMNS_OF_MEMORY + (_UNKNOWN if metric != LOG_LOSS else ())
            figures = {
                name: math.nan if name in unknown and not named[name] else float(named[name]) for name in numbers
            }
            backbones = tuple(_JOINT.split(named["backbones"]))
            entries.append(Entry(head=named["head"], backbones=backbones, verdict=named["verdict"], **figures))
        except ValueError as error:
            raise TrainingError(f"{path}, row {number} is damaged: {error}", remedy) from None
    return Comparison(tuple(entries), rows, folds, repeats, written=path.stat().st_mtime, metric=metric, limit=limit)

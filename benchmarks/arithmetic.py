"""From measurements to medians, spreads and the ratios that the project promises."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.contenders import NOTEBOOK, by_name
from benchmarks.rows import CLASSIC, LITE0, Measurement

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Spread:
    """The median of some values, and how far they lie apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Of at least one value."""
        ordered = sorted(values)
        return cls(median(ordered), ordered[0], ordered[-1])


@dataclass(frozen=True)
class Target:
    """A promise and what came of it; `measured` is None where a cell is missing."""

    figure: str
    limit: float
    at_least: bool
    measured: Spread | None
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the promise."""
        if self.measured is None:
            return None
        return self.measured.median >= self.limit if self.at_least else self.measured.median <= self.limit


class Results:
    """All measurements, by row and column."""

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self._cells: dict[tuple[str, str], list[Measurement]] = {}
        for measurement in measurements:
            self._cells.setdefault((measurement.row, measurement.column), []).append(measurement)

    def cell(self, row: str, column: str) -> list[Measurement]:
        """One for each round; empty if it was not measured, or failed."""
        return self._cells.get((row, column), [])

    def spread(self, row: str, column: str, figure: str) -> Spread | None:
        """Over the rounds, of `whole`, `steady` or `memory`."""
        values = [getattr(measurement, figure) for measurement in self.cell(row, column)]
        return Spread.of(values) if values else None

    def best(self, row: str, role: str) -> str | None:
        """The column of a role with the highest median of the steady figure."""
        rates = {
            column: median(measurement.steady for measurement in cell)
            for (of_row, column), cell in self._cells.items()
            if of_row == row and by_name(column).role == role
        }
        return max(rates, key=lambda column: rates[column]) if rates else None

    def ratio(self, row: str, column: str | None, other: str | None) -> Spread | None:
        """Of the steady figures of two columns, taken within each round, so that a slow minute hits both."""
        if column is None or other is None:
            return None
        below = {measurement.round: measurement.steady for measurement in self.cell(row, other)}
        ratios = [m.steady / below[m.round] for m in self.cell(row, column) if m.round in below]
        return Spread.of(ratios) if ratios else None


def targets(results: Results, rows: Sequence[str], memory: dict[str, float]) -> list[Target]:
    """The promises that these rows can be held to; `memory` is `report.Record.memory`."""
    found = []
    for row in rows:
        ours, others = results.best(row, "ours"), results.best(row, "other")
        alone = ours.replace("ours", "alone") if ours else None
        if row in CLASSIC:
            for precision, limit in (("bfloat16", 2.3), ("float32", 1.3)):
                ratio = results.ratio(row, f"ours-{precision}", NOTEBOOK)
                found.append(Target(f"{row}: ours in {precision} / the notebook's way", limit, True, ratio))
        if row == "three":
            ratio = results.ratio(row, ours, NOTEBOOK)
            found.append(Target("the three together in one pass / three passes the notebook's way", 2.5, True, ratio))
        if row != LITE0:
            against = f"{row}: ours / the fastest other" + (f" ({by_name(others).title})" if others else "")
            found.append(Target(against, 1.0, True, results.ratio(row, ours, others)))
        if row in ("three", LITE0):
            limit = 0.9 if row == "three" else 0.75
            found.append(Target(f"{row}: end to end / network alone", limit, True, results.ratio(row, ours, alone)))
    if memory:
        growth = memory["many"] / memory["few"]
        found += [
            Target(f"peak memory of {LITE0}, 20,000 photographs / 2,000", 1.05, False, Spread.of([growth])),
            Target("peak memory of the three together", 3.0, False, Spread.of([memory["three"] / 1e9]), " GB"),
        ]
    return found

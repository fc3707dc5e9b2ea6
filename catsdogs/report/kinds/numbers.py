"""Numbers on a report: true against predicted, what is left between them, and by how much the worst are off."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs.report import captions, figures, kind_captions, kind_figures, ramp
from catsdogs.report.kinds.view import Drawn, Paint, Rows, Told, View
from catsdogs.scoring import measuring_targets

GROUPS = 5  # of about as many photographs each
_EXTREMES = (0.05, 0.95)  # quantiles at which the map's colours end: a few far numbers would leave all others one
_SCALE = 5  # of them in the map's legend

_Floats = NDArray[np.float64]


class NumbersView(View):
    """The view of a run that predicts one number or several."""

    template = "number.html"
    cost_title = "predicted minus true number"
    prior = "the mean number"

    @cached_property
    def true(self) -> _Floats:
        """(n_train, k) numbers as given."""
        return np.asarray(self.evidence.truth, np.float64)

    @cached_property
    def residuals(self) -> _Floats:
        """(n_train, k) predicted minus true; NaN for rows that no head could judge."""
        return self.evidence.answers - self.true

    @cached_property
    def costs(self) -> _Floats:
        """Of several numbers the mean, each in standard deviations of its own."""
        sizes = np.abs(self.residuals)
        if len(self.columns) > 1:
            deviations = self.true.std(axis=0)
            sizes = sizes / np.where(deviations > 0, deviations, 1)
        costs: _Floats = sizes.mean(axis=1)
        return costs

    def cost_in_words(self, row: int, digits: int = 2) -> str:
        if len(self.columns) > 1:
            return f"off by {self.costs[row]:.{digits}f} SD"
        return f"off by {_signed(self.residuals[row, 0])}"

    @cached_property
    def groups(self) -> list[tuple[str, Rows]]:
        """Parts from the least to the greatest of the first number; equal numbers stay together."""
        first = self.true[:, 0]
        edges = np.unique(np.quantile(first, np.linspace(0, 1, GROUPS + 1)))
        if len(edges) < 3:
            return [(_figure(value), np.flatnonzero(first == value)) for value in np.unique(first).tolist()]
        part = np.clip(np.searchsorted(edges, first, side="right") - 1, 0, len(edges) - 2)
        found = []
        for number in range(len(edges) - 1):
            rows = np.flatnonzero(part == number)
            if len(rows):
                low, high = map(_figure, (first[rows].min(), first[rows].max()))
                found.append((low if low == high else f"{low} to {high}", rows))
        return found

    @property
    def test_order(self) -> _Floats:
        return self.evidence.test_answers[:, 0]

    def label(self, row: int) -> str:
        return self._in_words(self.true[row])

    def tell(self, split: str, row: int) -> Told:
        evidence = self.evidence
        if split == "test":
            return Told(
                called=self._in_words(evidence.test_answers[row]), figures=self._lines(evidence.test_answers[row])
            )
        label = self.label(row)
        if not evidence.scored[row]:
            return Told(label)
        predicted = evidence.answers[row]
        lines = self._lines(predicted) if len(self.columns) == 1 else self._pairs(row)
        return Told(label, self._in_words(predicted), self.cost_in_words(row), figures=lines)

    def tell_sample(self, row: int) -> Told:
        label = self.label(row)
        return Told(label, figures=[("", label)])

    def says(self, rows: Rows) -> list[str]:
        found = zip(self.evidence.answers[rows], self.evidence.scored[rows], strict=True)
        return [
            f"out of fold: {self._in_words(predicted)}" if known else "learnt in every fold"
            for predicted, known in found
        ]

    def paint(self, rows: Rows) -> Paint:
        first = self.true[:, 0]
        low, high = np.quantile(first, _EXTREMES)
        places = (first[rows] - low) / ((high - low) or 1)
        values = np.linspace(low, high, _SCALE).tolist()
        words = [f"{_figure(values[0])} or less", *map(_figure, values[1:-1]), f"{_figure(values[-1])} or more"]
        legend = [(figures.DOT, colour, text) for colour, text in zip(ramp.steps(_SCALE), words, strict=True)]
        return Paint(
            ramp.colours(np.clip(places, 0, 1)),
            [figures.class_marker(0)] * len(rows),
            [*legend, figures.RINGED],
            f" Colours go with the number given, {self.columns[0]}, from its lowest to its highest twentieth.",
        )

    def baseline(self) -> str:
        scored, metric = self.evidence.scored, self.evidence.run.task.metric
        mean = np.broadcast_to(self.true[scored].mean(axis=0), self.true[scored].shape)
        blind = measuring_targets.measure_numbers(metric, mean, self.true[scored]).value
        return kind_captions.describe_numbers_baseline(metric, blind)

    def draw(self) -> Drawn:
        evidence = self.evidence
        scored, drawn = evidence.scored, Drawn()
        for place, name in enumerate(self.columns):
            true, predicted = self.true[scored, place], evidence.answers[scored, place]
            key = f"-{place}" if place else ""
            given = kind_figures.draw_distributions({"given": self.true[:, place]}, name)
            drawn[f"given{key}"] = given, kind_captions.describe_numbers(name, self.true[:, place])
            pairs = kind_figures.draw_pairs(true, predicted, name)
            drawn[f"pairs{key}"] = pairs, kind_captions.describe_pairs(true, predicted)
            left = kind_figures.draw_residuals(true, predicted, name)
            drawn[f"residuals{key}"] = left, kind_captions.describe_residuals(true, predicted)
            if len(evidence.test_answers):
                test = evidence.test_answers[:, place]
                figure = kind_figures.draw_distributions({"test": test, "train, out of fold": predicted}, name)
                drawn[f"predicted{key}"] = figure, kind_captions.describe_test_numbers(test, predicted, name)
        return drawn

    def _worst(self, count: int, share: float) -> str:
        each = ", each number in its standard deviations" if len(self.columns) > 1 else ""
        return (
            f"The {count} that are the furthest off{each}: together {captions.percent(share)} of all that is missed. "
            "Wrong numbers gather here."
        )

    def context(self) -> Mapping[str, Any]:
        suffixes = ["", *(f"-{place}" for place in range(1, len(self.columns)))]
        return {"numbers": list(zip(self.columns, suffixes, strict=True))}

    def _in_words(self, numbers: _Floats) -> str:
        if len(self.columns) == 1:
            return _figure(numbers[0])
        return ", ".join(f"{name} {_figure(n)}" for name, n in zip(self.columns, numbers.tolist(), strict=True))

    def _lines(self, predicted: _Floats) -> Sequence[tuple[str, str]]:
        if len(self.columns) == 1:
            return [("predicted", _figure(predicted[0]))]
        return [(name, _figure(n)) for name, n in zip(self.columns, predicted.tolist(), strict=True)]

    def _pairs(self, row: int) -> Sequence[tuple[str, str]]:
        numbers = zip(self.columns, self.true[row].tolist(), self.evidence.answers[row].tolist(), strict=True)
        return [(name, f"{_figure(true)}, predicted {_figure(predicted)}") for name, true, predicted in numbers]


def _figure(value: float) -> str:
    return captions.figure(float(value))


def _signed(value: float) -> str:
    sign = "+" if value >= 0 else "\N{MINUS SIGN}"
    return sign + captions.figure(abs(float(value)))

"""Grades on a report: as classes that have an order, and the cut points by which they are called."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from catsdogs.report import captions, figures, kind_captions, kind_figures, ramp
from catsdogs.report.kinds.classes import ClassesView
from catsdogs.report.kinds.view import Drawn, Paint, Rows, Told
from catsdogs.scoring import judging

_Floats = NDArray[np.float64]


class GradesView(ClassesView):
    """The view of a run that grades."""

    template = "ordinal.html"
    cost_title = "grades between the one given and the one called"
    wrong = "called another grade than the one given"
    prior = "the shares of the grades"

    @cached_property
    def values(self) -> _Floats:
        """(grades,) in increasing order."""
        return np.array(judging.grades_of(self.evidence.run.task, self.evidence.run.classes))

    @cached_property
    def distances(self) -> _Floats:
        """(n_train,) grades between the one given and the one called; NaN where none is."""
        apart = np.abs(self.called - self.evidence.labels).astype(np.float64)
        return np.where(self.evidence.scored, apart, np.nan)

    @property
    def costs(self) -> _Floats:
        return self.distances

    @property
    def doubts(self) -> _Floats | None:
        """How far expected grades are from the nearest cut point, where there are any."""
        if not self._cuts:
            return super().doubts
        distances: _Floats = np.abs((self.evidence.answers @ self.values)[:, np.newaxis] - self._cuts).min(axis=1)
        return distances

    @cached_property
    def called(self) -> NDArray[np.int64]:
        decided: NDArray[np.int64] = self.evidence.decided
        return decided

    @cached_property
    def _test_called(self) -> NDArray[np.int64]:
        decided: NDArray[np.int64] = self.evidence.run.rule.decide(self.evidence.test_answers)
        return decided

    def called_test(self, row: int) -> int:
        return int(self._test_called[row])

    @property
    def test_order(self) -> _Floats:
        expected: _Floats = self.evidence.test_answers @ self.values
        return expected

    def tell(self, split: str, row: int) -> Told:
        told = super().tell(split, row)
        if not told.called:
            return told
        answers = (self.evidence.answers if split == "train" else self.evidence.test_answers)[row]
        expected = f"{float(answers @ self.values):.2f}"
        colours = dict(zip(self.columns, ramp.steps(len(self.columns)), strict=True))
        bars = [(name, share, colours[name]) for name, share, _ in told.probabilities]
        return told._replace(figures=[("called", told.called), ("expected grade", expected)], probabilities=bars)

    def cost_in_words(self, row: int, digits: int = 2) -> str:
        apart = int(self.distances[row])
        return f"{apart} {'grade' if apart == 1 else 'grades'} off" if apart else "as given"

    def paint(self, rows: Rows) -> Paint:
        colours = ramp.steps(len(self.columns))
        labels = self.evidence.labels[rows].tolist()
        legend = [(figures.DOT, colour, name) for name, colour in zip(self.columns, colours, strict=True)]
        every = max(1, len(legend) // figures.LEGEND_CLASSES)
        return Paint(
            [colours[label] for label in labels],
            [figures.class_marker(0)] * len(labels),
            [*legend[::every], figures.RINGED],
            " Colours go with the grade given.",
        )

    def baseline(self) -> str:
        blind = "Quadratic weighted kappa: 1 is perfect; to call every photograph the same grade is worth 0. "
        return (blind if self.evidence.run.task.metric == "qwk" else "") + captions.describe_baseline(self.evidence)

    def draw(self) -> Drawn:
        evidence = self.evidence
        expected = (evidence.answers @ self.values)[evidence.scored]
        figure = kind_figures.draw_expected(
            expected, evidence.labels[evidence.scored], self.columns, self._cuts, ramp.steps(len(self.columns))
        )
        caption = kind_captions.describe_expected(expected, self._cuts)
        return {**super().draw(), "expected": (figure, caption)}

    def draw_test(self) -> Drawn:
        evidence = self.evidence
        if not len(evidence.test_answers):
            return {}
        test, train = self.test_order, (evidence.answers @ self.values)[evidence.scored]
        figure = kind_figures.draw_distributions(
            {"test": test, "train, out of fold": train}, "expected grade", self._cuts
        )
        return {"predicted": (figure, kind_captions.describe_test_numbers(test, train, "grade"))}

    def facts(self) -> list[tuple[str, str]]:
        if not self._cuts:
            return [("Grades", f"{captions.listed(self.columns)}; the likeliest is called")]
        cuts = ", ".join(f"{cut:.3f}" for cut in self._cuts)
        how = "a grade is called where its expected grade has passed as many cut points"
        return [("Cut points", f"{cuts}, between the grades {captions.listed(self.columns)}: {how}")]

    @property
    def _cuts(self) -> tuple[float, ...]:
        return self.evidence.run.thresholds

    def _worst(self, count: int, share: float) -> str:
        return f"The {count} that are the most grades off, those of the highest log loss first among equals."

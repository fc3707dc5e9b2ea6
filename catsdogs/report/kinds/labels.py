"""Several labels on a report: a table of them, which go together, and what is missing or extra in a photograph."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs.photographs.label_texts import NO_LABEL
from catsdogs.report import captions, figures, kind_captions, kind_figures, measures
from catsdogs.report.canvas import INK
from catsdogs.report.kinds.view import Drawn, Mark, Paint, Rows, Told, View
from catsdogs.report.measures import Bin, LabelQuality

_Floats = NDArray[np.float64]
_Flags = NDArray[np.bool_]


class LabelsView(View):
    """The view of a run that gives any of several labels."""

    template = "labels.html"
    cost_title = "log loss, the mean over the labels"
    wrong = "with missing or extra labels"
    prior = "the shares of the labels"

    @property
    def costs(self) -> _Floats:
        return self.evidence.losses

    def cost_in_words(self, row: int, digits: int = 2) -> str:
        return f"loss {self.evidence.losses[row]:.{digits}f}"

    @property
    def doubts(self) -> _Floats | None:
        """The mean distance of the labels' probabilities from an even choice."""
        distances: _Floats = np.abs(self.evidence.answers - 0.5).mean(axis=1)
        return distances

    @cached_property
    def given(self) -> _Flags:
        """(n_train, k) whether a row was given a label."""
        given: _Flags = self.evidence.truth > 0
        return given

    @cached_property
    def named(self) -> _Flags:
        """(n_train, k) whether a row is named a label, out of fold."""
        named: _Flags = self.evidence.decided
        return named

    @cached_property
    def _test_named(self) -> _Flags:
        named: _Flags = self.evidence.run.rule.decide(self.evidence.test_answers)
        return named

    @cached_property
    def groups(self) -> list[tuple[str, Rows]]:
        found = [(name, np.flatnonzero(column)) for name, column in zip(self.columns, self.given.T, strict=True)]
        bare = np.flatnonzero(~self.given.any(axis=1))
        return [*found, (NO_LABEL, bare)] if len(bare) else found

    @property
    def test_order(self) -> _Floats:
        return self.evidence.test_answers.sum(axis=1)

    @property
    def is_wrong(self) -> _Flags:
        wrong: _Flags = self.evidence.scored & (self.given != self.named).any(axis=1)
        return wrong

    def label(self, row: int) -> str:
        return self._in_words(self.given[row])

    def tell(self, split: str, row: int) -> Told:
        evidence = self.evidence
        if split == "test":
            answers, named = evidence.test_answers[row], self._test_named[row]
            return Told(called=self._in_words(named), named=self._marks(named, named, answers))
        given, named, answers = self.given[row], self.named[row], evidence.answers[row]
        if not evidence.scored[row]:
            return Told(self.label(row))
        return Told(
            self.label(row),
            self._in_words(named),
            self.cost_in_words(row),
            given=self._marks(given, named, answers, "missing"),
            named=self._marks(named, given, answers, "extra"),
        )

    def tell_sample(self, row: int) -> Told:
        label = self.label(row)
        return Told(label, figures=[("", label)] if self.given[row].sum() != 1 else [])

    def says(self, rows: Rows) -> list[str]:
        named, scored = self.named[rows], self.evidence.scored[rows]
        found = zip(named, scored, strict=True)
        return [f"out of fold: {self._in_words(one)}" if known else "learnt in every fold" for one, known in found]

    def members(self, rows: Rows) -> list[Any]:
        bare = len(self.columns)
        return [np.flatnonzero(row).tolist() or [bare] for row in self.given[rows]]

    def paint(self, rows: Rows) -> Paint:
        rarest = np.argsort(np.argsort(self.given.sum(axis=0), kind="stable"), kind="stable")
        first = np.where(self.given, rarest, len(rarest)).argmin(axis=1)[rows].tolist()
        bare: list[bool] = np.logical_not(self.given[rows].any(axis=1)).tolist()
        legend = figures.map_legend(self.columns)
        if any(bare):
            legend.insert(-1, (figures.DOT, INK, NO_LABEL))
        note = " Colours go with the rarest of the labels given."
        if len(self.columns) > figures.LEGEND_CLASSES:
            note += f" They repeat, for there are {len(self.columns)} labels."
        return Paint(
            [INK if without else figures.class_colour(n) for n, without in zip(first, bare, strict=True)],
            [figures.class_marker(0 if without else n) for n, without in zip(first, bare, strict=True)],
            legend,
            note,
        )

    def baseline(self) -> str:
        return kind_captions.describe_labels_baseline(self.given)

    @cached_property
    def qualities(self) -> list[LabelQuality]:
        """What each label is worth, the most frequent first."""
        evidence = self.evidence
        scored, thresholds = evidence.scored, evidence.run.thresholds
        answers = evidence.answers[scored], self.named[scored], self.given[scored]
        found = measures.label_qualities(self.columns, *answers, thresholds)
        return sorted(found, key=lambda label: -label.rows)

    @cached_property
    def bins(self) -> list[Bin]:
        """Of the calibrated probabilities of all labels."""
        return self._reliability(self.evidence.answers)

    def _reliability(self, answers: _Floats) -> list[Bin]:
        scored = self.evidence.scored
        return measures.reliability(answers[scored].ravel(), self.given[scored].ravel())

    def draw(self) -> Drawn:
        counts, before = self.given.sum(axis=0), self._reliability(self.evidence.raw)
        balance = figures.draw_balance(self.columns, counts, "label")
        together = kind_figures.draw_together(self.columns, self.given)
        stages = {"before calibration": before, "after": self.bins}
        calibration = figures.draw_calibration(stages, "probability of a label", "share that is given", "probabilities")
        drawn: Drawn = {
            "balance": (balance, kind_captions.describe_labels(self.columns, self.given)),
            "together": (together, kind_captions.describe_together(self.columns, self.given)),
            "calibration": (calibration, kind_captions.describe_labels_calibration(before, self.bins)),
        }
        evidence = self.evidence
        if len(evidence.test_answers):
            test, train = evidence.test_answers, evidence.answers[evidence.scored]
            figure = figures.draw_probabilities(test.ravel(), train.ravel(), "probability of a label", "probabilities")
            named = self._test_named.sum(axis=1).mean(), self.named[evidence.scored].sum(axis=1).mean()
            drawn["probabilities"] = figure, kind_captions.describe_test_labels(len(test), *map(float, named))
        return drawn

    def facts(self) -> list[tuple[str, str]]:
        pairs = zip(self.columns, self.evidence.run.thresholds, strict=True)
        found = captions.listed([f"{name} {threshold:.3f}" for name, threshold in pairs])
        one = "; every photograph is named one at least" if self.evidence.run.names_one else ""
        return [("Thresholds", f"from which probability on a label is named: {found}{one}")]

    def _worst(self, count: int, share: float) -> str:
        return (
            f"The {count} that cost most: together {captions.percent(share)} of the whole log loss, the mean over the "
            "labels. Labels that were forgotten or are wrong gather here."
        )

    def context(self) -> Mapping[str, Any]:
        return {"bins": self.bins, "qualities": self.qualities}

    def _in_words(self, shown: _Flags) -> str:
        return ", ".join(name for name, is_shown in zip(self.columns, shown, strict=True) if is_shown) or NO_LABEL

    def _marks(self, shown: _Flags, other: _Flags, answers: _Floats, note: str = "") -> Sequence[Mark]:
        """The labels of one side, those that the other side lacks first and with the note."""
        marks = [
            Mark(self.columns[n], float(answers[n]), "" if other[n] else note) for n in np.flatnonzero(shown).tolist()
        ]
        return sorted(marks, key=lambda mark: (not mark.note, -mark.probability)) or [Mark(NO_LABEL, np.nan, "")]

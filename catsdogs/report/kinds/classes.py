"""Classes on a report, two or many: their balance, who is taken for whom, and the probabilities' calibration."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs.report import captions, figures, measures
from catsdogs.report.kinds.view import Drawn, Paint, Rows, Told, View
from catsdogs.report.measures import Bin

TABLE_CLASSES = 10  # with more, balance and confusion are diagrams
CONFUSIONS = 15

_Floats = NDArray[np.float64]


class ClassesView(View):
    """The view of a run that tells classes apart."""

    template = "classes.html"
    cost_title = "log loss"
    wrong = "called something else than their label"

    @property
    def costs(self) -> _Floats:
        return self.evidence.losses

    @property
    def doubts(self) -> _Floats | None:
        return measures.margins(self.evidence.answers)

    @cached_property
    def groups(self) -> list[tuple[str, Rows]]:
        labels = self.evidence.labels
        return [(name, np.flatnonzero(labels == number)) for number, name in enumerate(self.columns)]

    @property
    def test_order(self) -> _Floats:
        return measures.shown_probabilities(self.evidence.test_answers)

    @cached_property
    def called(self) -> NDArray[np.int64]:
        """(n_train,) the class that each row is called, out of fold."""
        likeliest: NDArray[np.int64] = self.evidence.answers.argmax(axis=1)
        return likeliest

    def called_test(self, row: int) -> int:
        """The class that a test row is called."""
        return int(self.evidence.test_answers[row].argmax())

    @property
    def is_wrong(self) -> NDArray[np.bool_]:
        return self.evidence.scored & (self.evidence.labels != self.called)

    def label(self, row: int) -> str:
        return self.columns[self.evidence.labels[row]]

    def tell(self, split: str, row: int) -> Told:
        evidence, is_train = self.evidence, split == "train"
        label = int(evidence.labels[row]) if is_train else -1
        name = self.columns[label] if is_train else ""
        if is_train and not evidence.scored[row]:
            return Told(name)
        answers = (evidence.answers if is_train else evidence.test_answers)[row]
        called = int(self.called[row]) if is_train else self.called_test(row)
        shown = [called] if label in (-1, called) else [called, label]
        bars = [(self.columns[n], float(answers[n]), figures.class_colour(n)) for n in shown]
        return Told(name, self.columns[called], self.cost_in_words(row) if is_train else "", bars)

    def cost_in_words(self, row: int, digits: int = 2) -> str:
        return f"loss {self.evidence.losses[row]:.{digits}f}"

    def says(self, rows: Rows) -> list[str]:
        evidence = self.evidence
        found = zip(self.called[rows], evidence.answers[rows], evidence.scored[rows], strict=True)
        return [
            f"out of fold: {self.columns[n]} {p[n]:.4f}" if known else "learnt in every fold" for n, p, known in found
        ]

    def paint(self, rows: Rows) -> Paint:
        labels = self.evidence.labels[rows].tolist()
        note = ""
        if len(self.columns) > figures.LEGEND_CLASSES:
            note = f" Colours and markers repeat, for there are {len(self.columns)} classes."
        return Paint(
            [figures.class_colour(label) for label in labels],
            [figures.class_marker(label) for label in labels],
            figures.map_legend(self.columns),
            note,
        )

    def baseline(self) -> str:
        return captions.describe_baseline(self.evidence)

    @cached_property
    def matrix(self) -> NDArray[np.int64]:
        """(classes, classes) photographs by label and by what they are called."""
        from sklearn.metrics import confusion_matrix

        scored, classes = self.evidence.scored, range(len(self.columns))
        counts: NDArray[np.int64] = confusion_matrix(self.evidence.labels[scored], self.called[scored], labels=classes)
        return counts

    @cached_property
    def bins(self) -> list[Bin]:
        """Of the calibrated probabilities."""
        return self._reliability(self.evidence.answers)

    def draw(self) -> Drawn:
        evidence, names, matrix = self.evidence, self.columns, self.matrix
        drawn: Drawn = {}
        if len(names) > TABLE_CLASSES:
            counts = matrix.sum(axis=1)
            drawn["balance"] = figures.draw_balance(names, counts), captions.describe_balance(names, counts)
            drawn["confusion"] = figures.draw_confusion(names, matrix), captions.describe_confusion(matrix)
        label, share = captions.probability_label(evidence), captions.share_label(evidence)
        before = self._reliability(evidence.raw)
        figure = figures.draw_calibration({"before calibration": before, "after": self.bins}, label, share)
        drawn["calibration"] = figure, captions.describe_calibration(before, self.bins, evidence)
        return drawn | self.draw_test()

    def draw_test(self) -> Drawn:
        """The diagram of what is said of the test photographs, if there are any."""
        evidence = self.evidence
        if not len(evidence.test_answers):
            return {}
        answers = evidence.test_answers, evidence.answers[evidence.scored]
        test, train = map(measures.shown_probabilities, answers)
        figure = figures.draw_probabilities(test, train, captions.probability_label(evidence))
        return {"probabilities": (figure, captions.describe_probabilities(test, train, evidence))}

    def _reliability(self, probabilities: _Floats) -> list[Bin]:
        """The bins of some probabilities, of which the second of two classes, of many the likeliest, came true."""
        evidence = self.evidence
        labels, probabilities = evidence.labels[evidence.scored], probabilities[evidence.scored]
        is_second = len(self.columns) == 2
        came_true = labels == 1 if is_second else probabilities.argmax(axis=1) == labels
        return measures.reliability(measures.shown_probabilities(probabilities), came_true)

    def _worst(self, count: int, share: float) -> str:
        return (
            f"The {count} that cost most: together {captions.percent(share)} of the whole log loss. "
            "Wrong labels gather here."
        )

    def context(self) -> Mapping[str, Any]:
        is_table = len(self.columns) <= TABLE_CLASSES
        return {
            "matrix": self.matrix.tolist() if is_table else None,
            "confusion": captions.describe_confusion(self.matrix),
            "mistakes": self._mistakes(),
            "bins": self.bins,
            "names": self.columns,
        }

    def _mistakes(self) -> Sequence[tuple[str, str, int]]:
        found = measures.confusions(self.matrix)[:CONFUSIONS]
        return [(self.columns[label], self.columns[called], rows) for label, called, rows in found]

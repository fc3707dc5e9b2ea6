"""What a report shows of each kind of task: a module for each, and what they share in `view`."""

from catsdogs.photographs.task import BINARY, CLASSES, LABELS, NUMBER, ORDINAL
from catsdogs.report.evidence import Evidence
from catsdogs.report.kinds.classes import ClassesView
from catsdogs.report.kinds.labels import LabelsView
from catsdogs.report.kinds.numbers import NumbersView
from catsdogs.report.kinds.ordinal import GradesView
from catsdogs.report.kinds.view import View

__all__ = ["View", "view_of"]

_VIEWS: dict[str, type[View]] = {
    BINARY: ClassesView,
    CLASSES: ClassesView,
    LABELS: LabelsView,
    ORDINAL: GradesView,
    NUMBER: NumbersView,
}


def view_of(evidence: Evidence) -> View:
    """The view of a run of any kind."""
    return _VIEWS[evidence.run.task.kind](evidence)

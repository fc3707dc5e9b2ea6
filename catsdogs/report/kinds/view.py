"""A view: how a report shows what a run of one kind of task was given, says, and gets wrong."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.report.evidence import Evidence

Drawn = dict[str, tuple[Any, str]]  # name -> a figure and its caption
Rows = NDArray[np.intp]
_Floats = NDArray[np.float64]


class Mark(NamedTuple):
    """A label under a photograph; `note` is `missing` where it is given and not named, `extra` the other way round."""

    name: str
    probability: float
    note: str


class Told(NamedTuple):
    """What stands below a photograph of what it was given and what the run says of it; what it lacks is empty.

    Attributes:
        label: what was given, in words.
        called: what the run calls it, in words.
        cost: how wrong that is, in words.
        probabilities: the bars: of what, how long, in which colour.
        figures: further lines: of what, and a number in words.
        given, named: labels, side by side.
    """

    label: str = ""
    called: str = ""
    cost: str = ""
    probabilities: Sequence[tuple[str, float, str]] = ()
    figures: Sequence[tuple[str, str]] = ()
    given: Sequence[Mark] = ()
    named: Sequence[Mark] = ()


class Paint(NamedTuple):
    """How points of the map look, and what that means: sign, colour and meaning of each."""

    colours: list[str]
    markers: list[str]
    legend: list[tuple[str, str, str]]
    note: str = ""


class View(ABC):
    """The parts of a page that differ by kind of task.

    Attributes:
        template: the page's.
        cost_title: what `Told.cost` says, in full.
        wrong: in words, what is the matter with rows that `is_wrong`; empty where nothing is right or wrong.
        prior: in words, what is said of a photograph of which nothing is known.
    """

    template: ClassVar[str]
    cost_title: ClassVar[str]
    wrong: ClassVar[str] = ""
    prior: ClassVar[str] = "the shares of the classes"

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence

    @property
    def columns(self) -> Sequence[str]:
        """What predictions are of: classes, labels, or names of numbers."""
        return self.evidence.run.classes

    @property
    @abstractmethod
    def costs(self) -> _Floats:
        """(n_train,) how wrong predictions out of fold are; NaN where there are none."""

    @abstractmethod
    def cost_in_words(self, row: int, digits: int = 2) -> str:
        """How wrong a scored train row is."""

    @property
    def doubts(self) -> _Floats | None:
        """(n_train,) the less, the more doubtful; None where that tells nothing."""
        return None

    @property
    @abstractmethod
    def groups(self) -> list[tuple[str, Rows]]:
        """Names and train rows of what photographs are sampled by: a row may be in several."""

    @property
    @abstractmethod
    def test_order(self) -> _Floats:
        """(n_test,) what the sample of test photographs is sorted by."""

    @property
    def is_wrong(self) -> NDArray[np.bool_]:
        """(n_train,) whether a row is called something else than it was given."""
        return np.zeros(len(self.evidence.labels), bool)

    @abstractmethod
    def label(self, row: int) -> str:
        """What a train row was given, in words."""

    @abstractmethod
    def tell(self, split: str, row: int) -> Told:
        """What stands below a photograph; of one that no head could judge, what it was given."""

    def tell_sample(self, row: int) -> Told:
        """What stands below a photograph in the sample of its group, whose name is above."""
        return Told(label=self.label(row))

    @abstractmethod
    def says(self, rows: Rows) -> list[str]:
        """What is said of train rows out of fold, in a few words."""

    @abstractmethod
    def paint(self, rows: Rows) -> Paint:
        """How train rows look on the map."""

    def members(self, rows: Rows) -> list[Any]:
        """For each of the train rows the number of its group, or a list of several."""
        found: list[Any] = [0] * len(self.evidence.labels)
        for number, (_, inside) in enumerate(self.groups):
            for row in inside.tolist():
                found[row] = number
        return [found[row] for row in rows.tolist()]

    @abstractmethod
    def baseline(self) -> str:
        """What the scores can be compared with."""

    @abstractmethod
    def draw(self) -> Drawn:
        """The figures of the page but for sizes and map."""

    def facts(self) -> list[tuple[str, str]]:
        """Terms and texts about how what is said was made of what heads give."""
        return []

    def worst(self, rows: Rows) -> str:
        """What is said above the photographs that cost most."""
        share = float(self.costs[rows].sum() / np.nansum(self.costs))
        return self._worst(len(rows), share)

    @abstractmethod
    def _worst(self, count: int, share: float) -> str: ...

    def context(self) -> Mapping[str, Any]:
        """What the template takes besides."""
        return {}

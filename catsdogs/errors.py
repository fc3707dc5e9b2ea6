"""What a user can do wrong, each with what to do next.

Every error carries two short clauses, the problem (with the file and row where there is one) and the remedy, and
prints as one line. The command line turns them into exit code 1, or 2 for `UsageError`; anything else that is raised
is a defect of ours and keeps its traceback.
"""

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any

SHOWN = 5  # items of a list that grows with the data
CLASSES_SHOWN = 20
_MOST_NAMES = 100  # of those to choose from: there may be thousands of classes


class CatsdogsError(Exception):
    """A mistake a user can mend: `problem` says what is wrong and where, `remedy` what to do.

    Of a list that grows with the data the problem names the first few, and `listed` has all of it.
    """

    exit_code = 1

    def __init__(self, problem: str, remedy: str, listed: Iterable[object] = ()) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy
        self.listed = tuple(map(str, listed))

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by the class itself: a subclass may be made of other arguments than it shows.
        return CatsdogsError.__new__, (type(self), self.problem, self.remedy), self.__dict__

    def __str__(self) -> str:
        return " ".join(f"{self.problem}. {self.remedy}.".split())


class FitWarning(UserWarning):
    """What a user should know of a fit that went on all the same; the command line shows it as a line of its own."""


class UsageError(CatsdogsError):
    """A flag whose value cannot be used."""

    exit_code = 2


class UnknownNameError(CatsdogsError):
    """A backbone, head, run or engine that does not exist; the remedy lists the valid ones."""

    def __init__(self, kind: str, received: str, valid: Collection[str]) -> None:
        choice = to_choose_from(valid, _MOST_NAMES) if valid else "(none yet)"
        super().__init__(
            f"No {kind} is called {received!r}", f"Choose from: {choice}", valid if len(valid) > _MOST_NAMES else ()
        )


class DatasetError(CatsdogsError):
    """A folder, zip or CSV in which no data set can be recognised."""


class UnreadablePhotographError(CatsdogsError):
    """One photograph that cannot be decoded; it is listed and the rest goes on."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "Replace or remove the file")
        self.reason = reason


class WeightsError(CatsdogsError):
    """Weights that are missing, cannot be downloaded, have the wrong hash or shape, or are not what they claim."""


class StoreError(CatsdogsError):
    """A file of ours that is missing or damaged, was written with other settings, or cannot be written."""


class DamagedError(StoreError):
    """A file of ours that is not what was written: torn, cut short or changed by the disk."""


class MissingError(StoreError):
    """A file of ours that is not there."""


class LockedError(CatsdogsError):
    """Another process is writing the same feature files."""


class ClusterError(CatsdogsError):
    """A cluster that does not answer, or was lost."""


class TrainingError(CatsdogsError):
    """Vectors and labels on which no head can be trained, or a run that cannot be used."""


class SubmissionError(CatsdogsError):
    """A submission CSV that Kaggle would reject."""


class FetchError(CatsdogsError):
    """A download, an archive or an upload that failed, or credentials that are missing."""


def in_short(items: Collection[object]) -> str:
    """`a, b, c`, or `a, b, c, d, e, …` beside a number that says how many; `(none)` for nothing."""
    return _first(items, SHOWN) + (", …" if len(items) > SHOWN else "")


def to_choose_from(names: Collection[str], shown: int = CLASSES_SHOWN) -> str:
    """Classes and other names: `a, b, c`, or the first of them and `… (4,231 more)`."""
    more = len(names) - shown
    return _first(names, shown) + (f", … ({more:,} more)" if more > 0 else "")


def and_more(others: Collection[object], what: str) -> str:
    """What follows a sentence about the first of several: ` (3 more rows: 4, 7, 9)`; nothing if it is the only one."""
    return f" ({len(others):,} more {what}: {in_short(others)})" if others else ""


def _first(items: Collection[object], shown: int) -> str:
    return ", ".join(map(str, islice(items, shown))) or "(none)"

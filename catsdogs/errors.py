"""What a user can do wrong, each with what to do next.

Every error carries two short clauses, the problem (with the file and row where there is one) and the remedy, and
prints as one line. The command line turns them into exit code 1, or 2 for `UsageError`; anything else that is raised
is a defect of ours and keeps its traceback.
"""

from typing import Any


class CatsdogsError(Exception):
    """A mistake a user can mend: `problem` says what is wrong and where, `remedy` what to do."""

    exit_code = 1

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.__dict__)  # a subclass may be made of other arguments than it shows

    def __str__(self) -> str:
        return " ".join(f"{self.problem}. {self.remedy}.".split())


class UsageError(CatsdogsError):
    """A flag whose value cannot be used."""

    exit_code = 2


class UnknownNameError(CatsdogsError):
    """A backbone, head, run or engine that does not exist; the remedy lists the valid ones."""

    def __init__(self, kind: str, received: str, valid: list[str]) -> None:
        super().__init__(f"No {kind} is called {received!r}", f"Choose from: {', '.join(valid) or '(none yet)'}")


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


def _again(kind: type[CatsdogsError], content: dict[str, Any]) -> CatsdogsError:
    """An error as it comes out of another process."""
    error = CatsdogsError.__new__(kind, content["problem"], content["remedy"])
    error.__dict__.update(content)
    return error

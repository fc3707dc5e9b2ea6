"""A task: what a competition asks for, as its sample submission says; without one, what most competitions ask."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from catsdogs.errors import to_choose_from
from catsdogs.files.notebook import as_html

BINARY, CLASSES, LABELS, ORDINAL, NUMBER = "binary", "classes", "labels", "ordinal", "number"
KINDS = (BINARY, CLASSES, LABELS, ORDINAL, NUMBER)
PROBABILITY, PROBABILITIES, NAME, BEST_K, NAMES = "probability", "probabilities", "name", "best-k", "names"
NUMBERS = "numbers"
ID_COLUMN, LABEL_COLUMN = "id", "label"  # of a submission for which there is no sample


@dataclass(frozen=True)
class Task:
    """What is wanted of each photograph, and how it is called.

    Attributes:
        kind: `binary`, one of two classes; `classes`, one of several; `labels`, any of several; `ordinal`, a grade;
            or `number`.
        answer: `probability` of the class `positive`; `probabilities`, a column for each class or label; `name` of a
            class; `best-k`, the names of the `best` likeliest classes with blanks between them; `names` of labels in
            one cell; or `numbers`, a column for each.
        id_column, id_form: the sample's column of ids, and in words how they are written, such as `without suffix`.
        targets: the sample's other columns.
        positive: the class that a single probability is of; empty for other answers.
        best: how many names `best-k` asks for; 0 for other answers.
        metric: the name of what answers are scored by, see `scoring.metrics`.
        competition: Kaggle's name of it; empty if it is not known.
        names: the columns of what is learnt, see `label_texts.table_of`: the labels, or what the numbers are of; none
            for classes and grades, which have probabilities for each class.
        separator: what stands between the names in a cell of the answer `names`; empty for other answers.
        may_be_name: the sample's values would do for the names of classes as well as for probabilities.
        given: the flags with which a person answered what the files do not tell, by which they are read so again.

    >>> import catsdogs as cd
    >>> cd.look("pets").kind
    'binary'
    """

    kind: str
    answer: str
    id_column: str = ID_COLUMN
    id_form: str = ""
    targets: tuple[str, ...] = (LABEL_COLUMN,)
    positive: str = ""
    best: int = 0
    metric: str = "log-loss"
    competition: str = ""
    names: tuple[str, ...] = ()
    separator: str = ""
    may_be_name: bool = False
    given: dict[str, str] = field(default_factory=dict)

    @property
    def has_classes(self) -> bool:
        """Whether a photograph is of one class, or grade, so that probabilities add up to 1; else see `names`."""
        return self.kind not in (LABELS, NUMBER)

    @property
    def has_sample(self) -> bool:
        """Whether a sample submission says what is asked for; else the columns are our own."""
        return bool(self.id_form)

    def _repr_html_(self) -> str:
        told = {
            "kind": self.kind,
            "answer": self.answer + (f" of {self.positive}" if self.positive else "") + f" {self.best or ''}".rstrip(),
            "metric": self.metric,
            "names": to_choose_from(self.names) if self.names else "",
            "ids": f"{self.id_column} ({self.id_form})" if self.id_form else self.id_column,
            "columns": to_choose_from(self.targets),
            "competition": self.competition,
            "given": ", ".join(f"{name}={value}" for name, value in self.given.items() if value),
        }
        asked = "as the sample submission asks" if self.has_sample else "without a sample submission"
        return as_html(("", ""), [row for row in told.items() if row[1]], f"Task, {asked}")

    @classmethod
    def of_classes(cls, classes: Sequence[str]) -> "Task":
        """Where there is no sample: the probability of the second of two classes, or those of all classes."""
        if len(classes) == 2:
            return cls(BINARY, PROBABILITY, positive=classes[1])
        return cls(CLASSES, PROBABILITIES, targets=tuple(classes))

"""The metrics of competitions by their names: direction, range, source, and which one fits what is asked for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.photographs import label_texts
from catsdogs.photographs.task import (
    BEST_K,
    BINARY,
    CLASSES,
    LABELS,
    NAME,
    NAMES,
    NUMBER,
    NUMBERS,
    ORDINAL,
    PROBABILITIES,
    PROBABILITY,
    Task,
)

LOG_LOSS, AUC, MEAN_AUC = "log-loss", "auc", "mean-auc"
ACCURACY, F1_MACRO, F1_MICRO, F1_SAMPLES = "accuracy", "f1-macro", "f1-micro", "f1-samples"
QWK, RMSE, MAE = "qwk", "rmse", "mae"
RANKS, GRADE = "ranks", "grade"

_MAP = re.compile(r"map@([1-9][0-9]{0,3})")
_KIND_OF = {QWK: ORDINAL, RMSE: NUMBER, MAE: NUMBER}  # what only one kind is scored by says which kind it is
_OF_NAMES = (ACCURACY, F1_MACRO, F1_MICRO)
OF_LABELS = (F1_MICRO, F1_SAMPLES, F1_MACRO)


@dataclass(frozen=True)
class Metric:
    """What answers are scored by.

    Attributes:
        range: of its values, in words.
        source: where it is defined.
        wants: what it looks at: `probabilities`; `ranks`, of each class's probabilities among all photographs; the
            `name` of a class, or those of labels; `names` of labels alone; `best-k`, names in order; the `grade`; or
            `numbers`.
        best: of how many names; 0 for other metrics than MAP@K.
    """

    name: str
    higher_is_better: bool
    range: str
    source: str
    wants: str
    best: int = 0

    @property
    def takes_a_clip(self) -> bool:
        """Whether a clip, see `calibration`, may help: it ties what only an order keeps apart."""
        return self.wants in (PROBABILITIES, NAME)


METRICS = {
    metric.name: metric
    for metric in (
        Metric(LOG_LOSS, False, "0, perfect, to 34.5", "sklearn.metrics.log_loss, probabilities clipped at 1e-15 "
               "as at https://www.kaggle.com/c/dogs-vs-cats-redux-kernels-edition/overview/evaluation", PROBABILITIES),
        Metric(AUC, True, "0 to 1, blind at 0.5", "sklearn.metrics.roc_auc_score", RANKS),
        Metric(MEAN_AUC, True, "0 to 1, blind at 0.5", "the mean of sklearn.metrics.roc_auc_score over the columns, "
               "each class against the rest", RANKS),
        Metric(ACCURACY, True, "0 to 1", "sklearn.metrics.accuracy_score", NAME),
        Metric(F1_MACRO, True, "0 to 1", 'sklearn.metrics.f1_score(average="macro")', NAME),
        Metric(F1_MICRO, True, "0 to 1", 'sklearn.metrics.f1_score(average="micro")', NAME),
        Metric(F1_SAMPLES, True, "0 to 1", 'sklearn.metrics.f1_score(average="samples", zero_division=0)', NAMES),
        Metric(QWK, True, "-1 to 1, blind at 0", 'sklearn.metrics.cohen_kappa_score(weights="quadratic")', GRADE),
        Metric(RMSE, False, "0, perfect, or more", "sklearn.metrics.root_mean_squared_error", NUMBERS),
        Metric(MAE, False, "0, perfect, or more", "sklearn.metrics.mean_absolute_error", NUMBERS),
    )
}  # fmt: skip


def is_known(name: str) -> bool:
    """Whether `find` finds it."""
    return name in METRICS or _MAP.fullmatch(name) is not None


def find(name: str) -> Metric:
    """The metric of this name, one of `METRICS` or MAP@K, such as `map@5`.

    Raises:
        UnknownNameError: there is none.
    """
    if match := _MAP.fullmatch(name):
        source = "https://www.kaggle.com/c/whale-categorization-playground/overview/evaluation"
        return Metric(name, True, "0 to 1", source, BEST_K, int(match[1]))  # 1 / place of the right name
    if name not in METRICS:
        raise UnknownNameError("metric", name, [*METRICS, "map@K"])
    return METRICS[name]


def default_for(task: Task) -> str:
    """The name of what most competitions score such an answer by."""
    return fitting(task)[0]


def fitting(task: Task) -> list[str]:
    """The names of the metrics that the answer can be scored by, the default first.

    Of probabilities the likeliest class is what accuracy and F1 look at; of those of labels, the ones that reach their
    thresholds.
    """
    if task.kind == NUMBER:
        return [RMSE, MAE]
    if task.kind == ORDINAL:
        return [QWK, *_OF_NAMES]
    if task.kind == LABELS:
        return [*([] if task.answer == NAMES else [LOG_LOSS, MEAN_AUC]), *OF_LABELS]
    if task.answer == BEST_K:
        return [f"map@{task.best}"]
    if task.answer == NAME:
        return [*_OF_NAMES]
    if task.answer == PROBABILITY:
        return [LOG_LOSS, AUC, *_OF_NAMES]
    return [LOG_LOSS, *([AUC] if len(task.targets) == 2 else []), MEAN_AUC, *_OF_NAMES]


def settle(task: Task, metric: str, competition: str, classes: Sequence[str] = ()) -> Task:
    """The task with its competition, and its metric: that of this name, or its default if it is empty.

    Content cannot tell grades and numbers from numbers of classes, so a metric that only they are scored by makes such
    a task one of them. Where the sample's values would do for names as well as for probabilities, a metric of names
    asks for a name.

    Args:
        classes: the texts of the labels, which have to be numbers if they are grades or numbers.

    Raises:
        UsageError: the metric does not fit what is asked for.
        UnknownNameError: there is no such metric.
        DatasetError: a label is not the grade or number that the metric is of.
    """
    chosen = find(metric or default_for(task))
    if task.kind in (BINARY, CLASSES) and _may_be(task, chosen):
        task = label_texts.as_kind(task, _KIND_OF[chosen.name], classes)
    if task.kind in (BINARY, CLASSES) and task.may_be_name and chosen.wants == NAME:
        task = replace(task, answer=NAME, positive="")
    fits = fitting(task)
    if chosen.name not in fits:
        raise UsageError(
            f"--metric {chosen.name} does not fit what is asked for, {_asked(task)}", f"Give {' or '.join(fits)}"
        )
    return replace(task, metric=chosen.name, competition=competition)


def _may_be(task: Task, metric: Metric) -> bool:
    """Whether a task of classes may be one of the kind that the metric is of, which stands in one column."""
    return metric.name in _KIND_OF and len(task.targets) == 1 and task.answer != BEST_K


def _asked(task: Task) -> str:
    """What is asked for, in words."""
    of_kinds = {
        LABELS: "the names of labels" if task.answer == NAMES else "probabilities of labels",
        ORDINAL: "a grade",
        NUMBER: "a number",
    }
    of_answers = {
        PROBABILITY: "a probability",
        PROBABILITIES: f"probabilities of {len(task.targets):,} classes",
        NAME: "the name of a class",
        BEST_K: f"the {task.best} likeliest classes",
    }
    return of_kinds.get(task.kind) or of_answers[task.answer]

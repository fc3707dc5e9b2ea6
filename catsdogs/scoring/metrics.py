"""The metrics of competitions by their names: direction, range, source, and which one fits what is asked for."""

import re
from dataclasses import dataclass, replace

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.photographs.task import BEST_K, NAME, PROBABILITIES, PROBABILITY, Task

LOG_LOSS, AUC, MEAN_AUC = "log-loss", "auc", "mean-auc"
ACCURACY, F1_MACRO, F1_MICRO = "accuracy", "f1-macro", "f1-micro"
RANKS = "ranks"

_MAP = re.compile(r"map@([1-9][0-9]{0,3})")
_NOT_THERE_YET = {
    "qwk": "ordered grades",
    "rmse": "numbers",
    "mae": "numbers",
    "f1-samples": "several labels of a photograph",
}
_OF_NAMES = (ACCURACY, F1_MACRO, F1_MICRO)


@dataclass(frozen=True)
class Metric:
    """What answers are scored by.

    Attributes:
        range: of its values, in words.
        source: where it is defined.
        wants: what it looks at: `probabilities`; `ranks`, of each class's probabilities among all photographs; the
            `name` of a class; or `best-k`, names in order.
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
        return self.wants not in (RANKS, BEST_K)


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
    )
}  # fmt: skip


def is_known(name: str) -> bool:
    """Whether `find` finds it."""
    return name in METRICS or _MAP.fullmatch(name) is not None


def find(name: str) -> Metric:
    """The metric of this name, one of `METRICS` or MAP@K, such as `map@5`.

    Raises:
        UsageError: it is of answers that cannot be given yet.
        UnknownNameError: there is none.
    """
    if match := _MAP.fullmatch(name):
        source = "https://www.kaggle.com/c/whale-categorization-playground/overview/evaluation"
        return Metric(name, True, "0 to 1", source, BEST_K, int(match[1]))  # 1 / place of the right name
    if name in _NOT_THERE_YET:
        raise UsageError(
            f"The metric {name} is of {_NOT_THERE_YET[name]}, which cannot be answered yet",
            f"Choose from: {', '.join(METRICS)}, map@K",
        )
    if name not in METRICS:
        raise UnknownNameError("metric", name, [*METRICS, "map@K"])
    return METRICS[name]


def default_for(task: Task) -> str:
    """The name of what most competitions score such an answer by."""
    return {NAME: ACCURACY, BEST_K: f"map@{task.best}"}.get(task.answer, LOG_LOSS)


def fitting(task: Task) -> list[str]:
    """The names of the metrics that the answer can be scored by, the default first.

    Of probabilities the likeliest class is what accuracy and F1 look at.
    """
    if task.answer == BEST_K:
        return [default_for(task)]
    if task.answer == NAME:
        return [*_OF_NAMES]
    if task.answer == PROBABILITY:
        return [LOG_LOSS, AUC, *_OF_NAMES]
    return [LOG_LOSS, *([AUC] if len(task.targets) == 2 else []), MEAN_AUC, *_OF_NAMES]


def settle(task: Task, metric: str, competition: str) -> Task:
    """The task with its competition, and its metric: that of this name, or its default if it is empty.

    Where the sample's values would do for names as well as for probabilities, a metric of names asks for a name.

    Raises:
        UsageError: the metric does not fit what is asked for; or as `find`.
        UnknownNameError: there is no such metric.
    """
    chosen = find(metric or default_for(task))
    if task.may_be_name and chosen.wants == NAME:
        task = replace(task, answer=NAME, positive="")
    fits = fitting(task)
    if chosen.name not in fits:
        asked = {
            PROBABILITY: "a probability",
            PROBABILITIES: f"probabilities of {len(task.targets):,} classes",
            NAME: "the name of a class",
            BEST_K: f"the {task.best} likeliest classes",
        }[task.answer]
        raise UsageError(f"--metric {chosen.name} does not fit what is asked for, {asked}", f"Give {' or '.join(fits)}")
    return replace(task, metric=chosen.name, competition=competition)

"""Label errors: what was given is doubted by a head that did not learn from it: a class, a label or a number."""

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning.suspect_table import Doubt, Reason
from catsdogs.features import joining
from catsdogs.features.feature_file import Features
from catsdogs.photographs.task import LABELS, NUMBER, ORDINAL

LABEL_ERROR = "label error"
FAR_OFF = "number far off"
# From this score on a label is doubted. Between two classes it says that the head believes in the other one with a
# probability of 0.8; among many classes, that the best other one leads the given one by 0.6; of one of several labels,
# that what was given has less than a fifth of the probability that it usually has where it is given.
DOUBT = 0.8
# A number is doubted so many standard deviations off, the deviation estimated by the median one. Source: B. Iglewicz,
# D. Hoaglin, How to Detect and Handle Outliers (1993), who recommend it for the modified z-score.
FAR = 3.5
_LIKE = 10  # parts of the rows by what is predicted; residuals are often the wider the larger a number is
_LEAST_LIKE = 20  # rows of such a part, which tell how wide

_FAR_GRADES = 2  # grades apart, which are no longer neighbours

_Floats = NDArray[np.floating]


def find_label_errors(probabilities: _Floats, labels: NDArray[np.integer], least: float = DOUBT) -> dict[int, float]:
    """Row -> label-error score, in [`least`, 1], of each row whose given label is doubted, in the order of the rows.

    A row is doubted where the head believes in another class and that class leads the given one clearly: the score is
    1 - the normalized margin of cleanlab, that is (1 + p(best other class) - p(given class)) / 2. The probability of
    the given class alone is low wherever many classes share it, a wrong label or not. Of cleanlab's filters
    `predicted_neq_given` is taken: the others list only rows surer than the average of their class, and a head that
    tells cats from dogs gives the right label 0.99 on average, which few photographs with a wrong one exceed.

    Source: C. G. Northcutt, L. Jiang, I. L. Chuang, Confident Learning, JAIR 70 (2021); J. Kuan, J. Mueller,
    Model-agnostic label quality scoring (2022), for the normalized margin.

    Args:
        probabilities, labels: (n, classes) in [0, 1], each row by heads that did not learn from it; (n,) indices of
            the classes given, two or more of which occur.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    doubted = find_label_issues(labels, probabilities, filter_by="predicted_neq_given", n_jobs=1)
    scores = 1 - get_label_quality_scores(labels, probabilities, method="normalized_margin")
    return {row: float(scores[row]) for row in np.flatnonzero(doubted & (scores >= least)).tolist()}


def score_grades(probabilities: _Floats, grades: NDArray[np.integer]) -> NDArray[np.float64]:
    """(n,) how doubtful each row's grade is, in [0, 1]; from `DOUBT` on it counts.

    The expected distance to the given grade, where two grades off are as far as any, as a share of that. So belief in
    the neighbouring grade alone is no doubt, for people who grade differ by one all the time. Of grades that were
    changed at random it finds more than the margin of `find_label_errors`, which knows no order.

    Args:
        probabilities, grades: (n, grades) in increasing order, each row by heads that did not learn from it; (n,)
            indices of the grades given.
    """
    most = min(_FAR_GRADES, max(1, probabilities.shape[1] - 1))
    distance = np.abs(np.arange(probabilities.shape[1]) - grades[:, np.newaxis])
    scores: NDArray[np.float64] = (probabilities * np.minimum(distance, most)).sum(axis=1) / most
    return np.clip(scores, 0, 1)


def score_labels(probabilities: _Floats, targets: _Floats) -> NDArray[np.float64]:
    """(n, k) how doubtful each label of each row is, in [0, 1], given or not; from `DOUBT` on it counts.

    1 - p(what was given) / the mean of that over the rows which were given the same. Confident Learning compares with
    that mean, too. It keeps back what cannot be known: of a rare label that heads hardly recognise even the photographs
    that show it have a low probability. cleanlab's own filters for each label listed such photographs by the hundred.

    Args:
        probabilities, targets: (n, k) in [0, 1], each row by heads that did not learn from it; 0 or 1. A row of NaN,
            which no head could judge, is not doubted.
    """
    scores = np.zeros(targets.shape)
    known = ~np.isnan(probabilities).any(axis=1)
    believed = np.where(targets > 0, probabilities, 1 - probabilities)
    for value in (0, 1):
        for column in range(targets.shape[1]):
            alike = known & ((targets[:, column] > 0) == value)
            if alike.any():
                mine = believed[alike, column]
                scores[alike, column] = 1 - np.minimum(1, mine / max(mine.mean(), np.finfo(float).tiny))
    return scores


def score_numbers(predictions: _Floats, targets: _Floats) -> NDArray[np.float64]:
    """(n, k) by how many standard deviations each number lies off what was predicted of it; from `FAR` on it counts.

    A residual less the median one, by the median absolute deviation. It is compared with those of all rows and with
    those of the tenth of the rows of which most nearly the same was predicted; the milder judgement counts.

    Args:
        predictions, targets: (n, k), each row by heads that did not learn from it. A row of NaN is not doubted.
    """
    off = np.zeros(targets.shape)
    known = np.flatnonzero(~np.isnan(predictions).any(axis=1))
    for column in range(targets.shape[1]):
        residuals = (targets - predictions)[known, column]
        rounding = float(np.finfo(np.float32).eps) * float(np.abs(targets[:, column]).max(initial=0))
        order = np.argsort(predictions[known, column], kind="stable")
        among_like = np.zeros(len(known))
        for like in np.array_split(order, np.clip(len(known) // _LEAST_LIKE, 1, _LIKE)):
            among_like[like] = _deviations(residuals[like], rounding)
        off[known, column] = np.minimum(_deviations(residuals, rounding), among_like)
    return off


def find_doubted_labels(
    first: Features, judged: Features, out_of_fold: _Floats, least: float = DOUBT
) -> Iterator[Doubt]:
    """A reason for each train row of `first` whose label is doubted, by the kind of task.

    Args:
        out_of_fold: (n_train, columns) predictions, rows and columns in the order of `judged`. A row of NaN, which no
            head could judge, counts as certain of its label.
        least: the score from which on a class counts as doubted.

    Raises:
        StoreError: the rows of the two files differ.
    """
    rows = joining.rows_by_id(first, judged, "train")
    if judged.task.has_classes:
        return _doubted_classes(judged, rows, out_of_fold[rows], least)
    find = _doubted_labels if judged.task.kind == LABELS else _doubted_numbers
    return find(judged, rows, out_of_fold[rows])


def doubt_of(first: Features, judged: Features, out_of_fold: _Floats) -> NDArray[np.float64]:
    """(n_train,) the doubt of each row's label as a share in [0, 1], rows as in `first`; NaN where no head could judge.

    Of classes it is the probability of the best other one by that of the two. Of grades, labels and numbers it is the
    score of the reason that `find_doubted_labels` gives, or would give. Arguments are as there.
    """
    rows = joining.rows_by_id(first, judged, "train")
    predictions = out_of_fold[rows]
    known = ~np.isnan(predictions).any(axis=1)
    if judged.task.kind == LABELS:
        doubt = score_labels(predictions, judged.targets[rows]).max(axis=1)
    elif judged.task.kind == NUMBER:
        off = score_numbers(predictions, judged.targets[rows]).max(axis=1)
        doubt = np.maximum(1 - (1 - DOUBT) * FAR / np.maximum(off, np.finfo(float).tiny), 0)
    elif judged.task.kind == ORDINAL:
        doubt = score_grades(predictions, judged.labels[rows])
    else:
        at = np.arange(len(rows)), judged.labels[rows]
        given, others = predictions[at], predictions.copy()
        others[at] = 0
        best = others.max(axis=1)
        doubt = best / np.maximum(best + given, np.finfo(float).tiny)
    return np.where(known, doubt, np.nan)


def doubted_in(text: str, names: Sequence[str]) -> list[str]:
    """The labels of a task that the text of a reason doubts, given or not."""
    if not text.startswith(f"{LABEL_ERROR}: "):
        return []
    return [name for name in names if re.search(rf"(: out of fold|,) {re.escape(name)} [01]\.\d\d (not )?given", text)]


def _doubted_classes(judged: Features, rows: NDArray[np.intp], probabilities: _Floats, least: float) -> Iterator[Doubt]:
    """Scored as in `find_label_errors`, or of grades as in `score_grades`."""
    labels, unknown = judged.labels[rows], np.isnan(probabilities).any(axis=1)
    probabilities[unknown] = np.eye(len(judged.classes))[labels[unknown]]
    if judged.task.kind == ORDINAL:
        scores = score_grades(probabilities, labels)
        found = {row: float(scores[row]) for row in np.flatnonzero(scores >= DOUBT).tolist()}
    else:
        found = find_label_errors(probabilities, labels, least)
    for row, score in found.items():
        best = int(probabilities[row].argmax())
        believed = f"{judged.classes[best]} {probabilities[row, best]:.3f}"
        yield ("train", row), Reason(score, f"{LABEL_ERROR}: out of fold, {believed}")


def _doubted_labels(judged: Features, rows: NDArray[np.intp], probabilities: _Floats) -> Iterator[Doubt]:
    """One reason for all doubted labels of a row, the most doubtful first, by which it is scored."""
    targets = judged.targets[rows]
    scores = score_labels(probabilities, targets)
    for row in np.flatnonzero((scores >= DOUBT).any(axis=1)).tolist():
        worst = [column for column in np.argsort(-scores[row], kind="stable").tolist() if scores[row, column] >= DOUBT]
        found = [
            f"{judged.columns[column]} {probabilities[row, column]:.2f} {'' if targets[row, column] else 'not '}given"
            for column in worst
        ]
        yield ("train", row), Reason(float(scores[row].max()), f"{LABEL_ERROR}: out of fold, {', '.join(found)}")


def _doubted_numbers(judged: Features, rows: NDArray[np.intp], predictions: _Floats) -> Iterator[Doubt]:
    """One reason for all doubted numbers of a row; at `FAR` it is scored `DOUBT`, and the nearer to 1 the farther."""
    targets = judged.targets[rows]
    off = score_numbers(predictions, targets)
    for row in np.flatnonzero((off >= FAR).any(axis=1)).tolist():
        worst = [column for column in np.argsort(-off[row], kind="stable").tolist() if off[row, column] >= FAR]
        found = [
            f"{f'{judged.columns[column]} ' if targets.shape[1] > 1 else ''}"
            f"out of fold {predictions[row, column]:.4g}, given {targets[row, column]:.6g}"
            for column in worst
        ]
        score = 1 - (1 - DOUBT) * FAR / float(off[row].max())
        yield ("train", row), Reason(score, f"{FAR_OFF}: {', '.join(found)}")


def _deviations(residuals: NDArray[np.float64], rounding: float) -> NDArray[np.float64]:
    """(n,) how many standard deviations, estimated by the median one, lie between each and the median.

    0 where most residuals are equal but for `rounding`, so that there is no deviation to speak of.
    """
    from scipy.stats import median_abs_deviation

    spread = median_abs_deviation(residuals, scale="normal") if residuals.size else 0.0
    return np.abs(residuals - np.median(residuals)) / spread if spread > rounding else np.zeros(len(residuals))

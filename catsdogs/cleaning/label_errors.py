"""Label errors: given labels that are doubted by a head that did not learn from them, found by cleanlab."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning.suspect_table import Doubt, Reason
from catsdogs.features import joining
from catsdogs.features.feature_file import Features

LABEL_ERROR = "label error"
# From this score on a label is doubted. Between two classes it says that the head believes in the other one with a
# probability of 0.8; among many classes, that the best other one leads the given one by 0.6.
DOUBT = 0.8


def find_label_errors(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[int, float]:
    """Row -> label-error score, in [`DOUBT`, 1], of each row whose given label is doubted, in the order of the rows.

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
    return {row: float(scores[row]) for row in np.flatnonzero(doubted & (scores >= DOUBT)).tolist()}


def find_doubted_labels(first: Features, judged: Features, out_of_fold: NDArray[np.floating]) -> Iterator[Doubt]:
    """A reason for each train row of `first` whose label is doubted, scored as in `find_label_errors`.

    Args:
        out_of_fold: (n_train, classes) probabilities, rows and classes in the order of `judged`. A row of NaN, which no
            head could judge, counts as certain of its label.

    Raises:
        StoreError: the rows of the two files differ.
    """
    rows = joining.rows_by_id(first, judged, "train")
    probabilities = out_of_fold[rows]
    unknown = np.isnan(probabilities).any(axis=1)
    probabilities[unknown] = np.eye(len(judged.classes))[judged.labels[rows][unknown]]
    for row, score in find_label_errors(probabilities, judged.labels[rows]).items():
        best = int(probabilities[row].argmax())
        believed = f"{judged.classes[best]} {probabilities[row, best]:.3f}"
        yield ("train", row), Reason(score, f"{LABEL_ERROR}: out of fold, {believed}")

"""Refitting: after a cross-validation has said what a head is worth, one more learns all rows and answers for the test.

Its own score is not known: no row is left that it did not learn. Those of the folds' heads stand for it.
"""

import functools

import numpy as np

from catsdogs import heads
from catsdogs.features import joining
from catsdogs.heads import Head
from catsdogs.scoring import crossval, pseudo_labels
from catsdogs.scoring.calibration import Calibration
from catsdogs.scoring.crossval import CrossValidation
from catsdogs.scoring.training_plan import Plan, TrainingRows, seeds_of, training_vectors


def count(head: Head, repeats: int) -> int:
    """How many heads are refitted: one for each of several seeds, where a seed changes anything."""
    return repeats if heads.is_seeded(head) else 1


def refit(rows: TrainingRows, plan: Plan, crossed: CrossValidation, calibrated: Calibration) -> list[Head]:
    """Heads fitted to all kept rows, and with pseudo-labels to the test rows on which all of the folds' heads agree.

    These are labelled by heads that learnt every training row among them, for nothing is scored by a refitted head.
    They watch no validation set.

    Args:
        crossed, calibrated: the cross-validation by the plan, and the calibration of its heads.

    Raises:
        TrainingError: as `crossval.cross_validate`.
    """
    kind, widths = rows.task.kind, tuple(file.width for file in rows.files)
    learnt = np.flatnonzero(rows.kept)
    X, target, more = training_vectors(rows.files)[learnt], rows.to_learn[learnt], 0
    if plan.pseudo:
        test = joining.Joined(rows.files, "test").read()
        certain = Calibration(calibrated.temperature)  # without the clip, see `pseudo_labels.cross_validate`
        answers = [certain.apply(crossval.predict(head, test, kind)) for head in crossed.heads]
        label = pseudo_labels.agreed(answers, plan.pseudo)
        chosen = label != pseudo_labels.NONE
        X, target = pseudo_labels.extended(X, target, test[chosen], label[chosen])
        more = int(chosen.sum())
    groups = pseudo_labels.grouped(rows.groups, learnt, more)
    weights = rows.balancing if plan.balance else None
    make = functools.partial(heads.create, plan.head, widths=widths, kind=kind, **plan.settings)
    fitted = []
    for seed in seeds_of(plan)[: count(make(), plan.repeats)]:
        head = make(seed=seed)
        crossval.fit(head, X, target, groups=groups, weights=None if weights is None else weights[learnt])
        fitted.append(head)
    return fitted

"""A refitted head is one that was fitted to all kept rows, and to the test rows that all folds agree on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from catsdogs import heads
from catsdogs.features import joining
from catsdogs.scoring import refitting, training_plan
from catsdogs.scoring.calibration import Calibration
from catsdogs.scoring.training_plan import Plan
from tests.support.runs import features


@pytest.mark.parametrize(("head", "repeats", "count"), [("GaussianNB", 3, 1), ("ridge", 2, 2)])
def test_it_learnt_all_kept_rows_once_for_each_seed(tmp_path: Path, head: str, repeats: int, count: int) -> None:
    file = features(tmp_path, apart=1)
    plan = Plan(head, 3, seed=5, drop={"cat.3"}, repeats=repeats, refit=True)
    rows, plan = training_plan.settle(training_plan.check_trainable([file], plan.drop), plan)
    fitted = refitting.refit(rows, plan, training_plan.cross_validate_plan(rows, plan), Calibration())
    X, y = training_plan.training_vectors([file]), rows.learnt
    assert len(fitted) == count == refitting.count(heads.create(head), repeats)
    for number, one in enumerate(fitted):
        known = heads.create(head, 5 + number).fit(X[rows.kept], y[rows.kept])
        assert np.array_equal(one.predict_proba(X), known.predict_proba(X))


def test_it_learns_the_test_rows_that_all_heads_agree_on(tmp_path: Path) -> None:
    file = features(tmp_path, apart=2, test=20)
    plan = Plan("ridge", 3, seed=5, refit=True, pseudo=0.9)
    rows, plan = training_plan.settle(training_plan.check_trainable([file]), plan)
    crossed = training_plan.cross_validate_plan(rows, plan)
    temperature = 0.8
    [fitted] = refitting.refit(rows, plan, crossed, Calibration(temperature, 0.2))
    test, X = joining.Joined([file], "test").read(), training_plan.training_vectors([file])
    powers = [head.predict_proba(test) ** (1 / temperature) for head in crossed.heads]
    shares = [power / power.sum(axis=1, keepdims=True) for power in powers]
    sure = {row: label for row in range(20) for label in (0, 1) if all(share[row, label] >= 0.9 for share in shares)}
    assert 0 < len(sure) < 20
    known = heads.create("ridge", 5).fit(
        np.concatenate((X, test[[*sure]])), np.concatenate((rows.learnt, [*sure.values()]))
    )
    np.testing.assert_allclose(fitted.predict_proba(X), known.predict_proba(X), rtol=0, atol=1e-12)
    [without] = refitting.refit(rows, replace(plan, pseudo=0.0), crossed, Calibration())
    assert not np.allclose(without.predict_proba(X), fitted.predict_proba(X), atol=1e-6)

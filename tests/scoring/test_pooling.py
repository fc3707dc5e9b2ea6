"""Pooled answers: weights that are shares, in every space, and that follow what the rows say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from benchmarks import blends
from catsdogs.photographs.task import BINARY, LABELS, PROBABILITY, Task
from catsdogs.scoring import pooling

BY_ORDER = Task(BINARY, PROBABILITY, metric="auc")


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(sorted(blends.KINDS)), st.sampled_from(sorted(blends.NOISES)), st.integers(0, 99))
def test_weights_are_shares_and_answers_are_of_the_kind(kind: str, noise: str, seed: int) -> None:
    answers, right, fold, task = blends.made_up(kind, noise, 60, seed)
    values = tuple(map(float, range(answers[0].shape[1]))) if kind.endswith("qwk") else ()
    found = pooling.Pooling(answers, right, fold, task, values).cross_fit(range(3))
    assert sum(found.pool.weights) == pytest.approx(1)
    assert min(found.pool.weights) >= 0
    assert np.isfinite(found.answers).all()
    assert found.answers.shape == answers[0].shape
    if task.names == () and len(answers[0][0]) > 1:
        assert found.answers.sum(axis=1) == pytest.approx(1)


def test_a_fold_is_answered_without_its_own_labels() -> None:
    answers, right, fold, task = blends.made_up("5 classes, log-loss", "alike", 80, 0)
    before = pooling.Pooling(answers, right, fold, task).cross_fit(range(3)).answers
    held_out = fold == 2
    changed = np.where(held_out, (right + 1) % 5, right)
    after = pooling.Pooling(answers, changed, fold, task).cross_fit(range(3)).answers
    assert after[held_out] == pytest.approx(before[held_out], abs=1e-12)
    assert not np.allclose(after[~held_out], before[~held_out])


def test_a_blind_run_gets_next_to_nothing_and_equal_runs_share() -> None:
    pool = pooling.Pooling(*blends.made_up("two classes, log-loss", "one blind", 400, 0)).cross_fit(range(3)).pool
    assert pool.weights[2] < 0.05
    answers, right, fold, task = blends.made_up("two classes, log-loss", "alike", 200, 0)
    same = pooling.Pooling([answers[0]] * 2, right, fold, task).cross_fit(range(2)).pool
    assert same.weights == pytest.approx((0.5, 0.5), abs=0.01)


def test_ranks_keep_an_order_beyond_all_that_was_seen() -> None:
    draw = np.random.default_rng(0)
    p = draw.uniform(0.2, 0.8, 50)
    scale = pooling.steps_of(np.stack((1 - p, p), axis=1), BY_ORDER)
    pool = pooling.Pool(BY_ORDER, pooling.RANKS, (1.0,), (scale,), ((4.0, -2.0),))
    new = np.linspace(0.01, 0.99, 99)
    joined = pool.join([np.stack((1 - new, new), axis=1)])[:, 1]
    assert (np.diff(joined) > 0).all()


def test_fixed_weights_are_a_geometric_mean_of_classes_and_a_mean_of_ranks() -> None:
    draw = np.random.default_rng(0)
    one, two = (softmax(draw.normal(size=(9, 3)), axis=1) for _ in range(2))
    joined = pooling.join_fixed([one, two], [0.7, 0.3], Task.of_classes(("a", "b", "c")), pooling.LOGITS)
    product = one**0.7 * two**0.3
    assert joined == pytest.approx(product / product.sum(axis=1, keepdims=True))
    labels = Task(LABELS, PROBABILITY, names=("a", "b", "c"), metric="mean-auc")
    ranked = pooling.join_fixed([one, one**3], [0.5, 0.5], labels, pooling.RANKS)
    assert (ranked.argsort(axis=0) == one.argsort(axis=0)).all()

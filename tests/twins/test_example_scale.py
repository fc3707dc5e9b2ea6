"""The scale of twins' logits on new classes: each example is judged by others alone; few examples move it little."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from catsdogs.heads.twin import EMBEDDING, Matrix, Twin, prototypes, unit
from catsdogs.twins import example_scale
from catsdogs.twins.example_scale import AS_LEARNT, BY_EXAMPLES


def twins_and_examples(
    seed: int, labels: np.ndarray, apart: float = 2.0, scale: float = 1.0
) -> tuple[list[Twin], list[Matrix]]:
    """Two twins, each with embeddings of examples that lie around a place for each class."""
    random = np.random.default_rng(seed)
    twins, examples = [], []
    for _ in range(2):
        twin = Twin()
        noise = 0.1 * random.normal(size=(EMBEDDING, EMBEDDING))
        twin.join_, twin.bias_ = 8 * np.eye(EMBEDDING) + noise + noise.T, np.zeros(1)
        twin.class_scale_ = scale * random.uniform(0.5, 2)
        places = apart * unit(random.normal(size=(int(labels.max()) + 1, EMBEDDING)))
        twins.append(twin)
        examples.append(unit(places[labels] + random.normal(size=(len(labels), EMBEDDING)) / np.sqrt(EMBEDDING)))
    return twins, examples


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 3), min_size=6, max_size=20))
def test_each_example_is_judged_as_if_it_were_not_there(seed: int, more: list[int]) -> None:
    """Those of a class that has others, one after another, each as a query of all others."""
    labels = np.array([*range(4), *more])
    twins, examples = twins_and_examples(seed, labels)
    found = example_scale._left_out(twins, examples, labels)
    for row in np.flatnonzero(np.bincount(labels)[labels] > 1):
        others = np.arange(len(labels)) != row
        expected = [
            twin.class_scale_ * twin.likeness(rows[[row]], prototypes(rows[others], labels[others], 4))
            for twin, rows in zip(twins, examples, strict=True)
        ]
        np.testing.assert_allclose(found[row], np.mean(expected, axis=0)[0], rtol=1e-5, atol=1e-5)


def test_one_example_of_each_class_leaves_the_scale_that_was_learnt() -> None:
    labels = np.arange(5)
    twins, examples = twins_and_examples(0, labels)
    assert example_scale.fitted_scale(twins, examples, labels) == (1.0, AS_LEARNT)
    assert example_scale.fitted_scale(twins, [np.vstack((e, e[:1])) for e in examples], np.append(labels, 0))[1] == (
        BY_EXAMPLES
    )


@pytest.mark.parametrize("learnt", [0.05, 20.0])
def test_a_scale_that_is_far_off_is_mended(learnt: float) -> None:
    """As where the learnt classes were much harder, or easier, to tell apart."""
    labels = np.tile(np.arange(5), 100)
    twins, rows = twins_and_examples(1, labels, apart=0.35, scale=learnt)
    examples, queries, right = [one[:50] for one in rows], [one[50:] for one in rows], labels[50:]
    scale, scaled = example_scale.fitted_scale(twins, examples, labels[:50])
    logits = example_scale.logits_of(twins, queries, examples, labels[:50])

    def log_loss(factor: float) -> float:
        return -float(log_softmax(factor * logits, axis=1)[np.arange(450), right].mean())

    best = min(log_loss(factor) for factor in np.exp(np.linspace(-5, 5, 101)))
    assert scaled == BY_EXAMPLES and (scale > 1) == (learnt < 1)
    assert log_loss(scale) < best + 0.1 and log_loss(scale) < log_loss(1.0) - 0.1


def test_few_examples_move_it_little() -> None:
    """Ten examples without a mistake would ask for certainty."""
    labels = np.repeat(np.arange(2), 5)
    twins, examples = twins_and_examples(2, labels, apart=9.0)
    scale, _ = example_scale.fitted_scale(twins, examples, labels)
    assert 1 <= scale < math.exp(2)

"""The twin head: balanced pairs, a gradient that is the derivative, answers for pairs and for classes never learnt."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from catsdogs.heads import twin
from catsdogs.heads.twin import Twin, Weights, balanced_pairs, pair_loss, prototypes, started

WIDTH = 20


def rows_of(labels: NDArray[np.int64], seed: int, classes: int = 12) -> NDArray[np.float32]:
    """Rows around a centre for each class; the centres are always the same."""
    centres = np.random.default_rng(99).normal(size=(classes, WIDTH))
    noise = np.random.default_rng(seed).normal(size=(len(labels), WIDTH))
    return (2 * centres[labels] + 0.7 * noise).astype(np.float32)


@pytest.fixture(scope="module")
def fitted() -> Twin:
    labels = np.arange(240) % 8
    return Twin(random_state=3).fit(rows_of(labels, 1), labels)


@given(labels=st.lists(st.integers(0, 5), min_size=1, max_size=60), seed=st.integers(0, 1000))
def test_pairs_are_balanced_and_every_row_is_on_the_left_once(labels: list[int], seed: int) -> None:
    known = np.array(labels)
    left, right = balanced_pairs(known, np.random.default_rng(seed))
    assert sorted(left) == list(range(len(known)))
    same = known[left] == known[right]
    counts = np.bincount(known)
    if np.count_nonzero(counts) > 1:
        assert np.array_equal(same, np.arange(len(known)) % 2 == 0)
    alone = counts[known[left]] == 1
    assert (alone | ~same | (left != right)).all() or np.count_nonzero(counts) == 1


def test_every_other_row_of_the_class_and_of_the_others_is_drawn() -> None:
    labels = np.array([0, 1, 0, 2, 1, 0])
    seen: dict[bool, set[tuple[int, int]]] = {True: set(), False: set()}
    for seed in range(300):
        left, right = balanced_pairs(labels, np.random.default_rng(seed))
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            seen[bool(labels[a] == labels[b])].add((a, b))
    pairs = {(a, b) for a in range(6) for b in range(6) if a != b}
    alone = {(3, 3)}
    assert seen[True] == {(a, b) for a, b in pairs if labels[a] == labels[b]} | alone
    assert seen[False] == {(a, b) for a, b in pairs if labels[a] != labels[b]}


def test_the_gradient_is_the_derivative() -> None:
    """Of the loss in float64, by central differences; the join's is that of a change that keeps it symmetric."""
    random = np.random.default_rng(0)
    weights = Weights(*(array.astype(np.float64) for array in started(6, random)))
    weights.join[...] += (other := random.normal(size=weights.join.shape)) + other.T
    weights.path[-1] = random.normal(size=twin.EMBEDDING)
    rows, same = random.normal(size=(10, 6)), np.array([True, False, True, True, False])
    gradient = pair_loss(weights, rows, same)[1]
    for array, slopes in zip(weights, gradient, strict=True):
        direction = random.normal(size=array.shape)
        if array is weights.join:
            direction = direction + direction.T
        there = []
        for step in (1e-5, -1e-5):
            moved = Weights(*(value + step * direction if value is array else value for value in weights))
            there.append(pair_loss(moved, rows, same)[0])
        assert (slopes * direction).sum() == pytest.approx((there[0] - there[1]) / 2e-5, rel=1e-5)


def test_loss_and_gradient_are_those_of_keras() -> None:
    """The same twins from Keras's layers, and the derivative that TensorFlow finds."""
    import keras

    if keras.backend.backend() != "tensorflow":
        pytest.skip("the oracle takes TensorFlow's gradient tape")
    import tensorflow as tf

    from catsdogs.networks.architectures.twin import join_twins

    random = np.random.default_rng(0)
    weights = started(WIDTH, random)
    path = keras.Sequential(
        [keras.Input((WIDTH,)), keras.layers.Dense(twin.EMBEDDING), keras.layers.UnitNormalization()]
    )
    model = join_twins(path)
    path.set_weights([weights.path[:-1], weights.path[-1]])
    model.get_layer("join").set_weights([weights.join, weights.bias])
    rows, same = random.normal(size=(12, WIDTH)).astype(np.float32), np.arange(6) % 3 == 0
    with tf.GradientTape() as tape:
        probabilities = model([rows[:6], rows[6:]])
        truth = same[:, np.newaxis].astype(np.float32)
        expected = keras.ops.mean(keras.losses.binary_crossentropy(truth, probabilities))
    loss, gradient = pair_loss(weights, rows, same)
    kernel, bias, join_slopes, join_bias = tape.gradient(expected, model.trainable_variables)
    assert loss == pytest.approx(float(expected), rel=1e-4)
    assert np.allclose(gradient.path, np.vstack((kernel, bias)), atol=1e-5)
    assert np.allclose(gradient.join, (join_slopes + keras.ops.transpose(join_slopes)) / 2, atol=1e-5)
    assert np.allclose(gradient.bias, join_bias, atol=1e-5)


def test_embeddings_have_length_one_and_likeness_is_symmetric(fitted: Twin) -> None:
    X = rows_of(np.arange(30) % 12, 5)
    embedded = fitted.embed(X)
    assert embedded.shape == (30, twin.EMBEDDING)
    assert np.allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    assert np.allclose(fitted.likeness(embedded, embedded), fitted.likeness(embedded, embedded).T, atol=1e-4)
    assert np.allclose(fitted.same(X[:15], X[15:]), fitted.same(X[15:], X[:15]), atol=1e-5)
    assert np.allclose(
        fitted.prototypes_, prototypes(fitted.embed(rows_of(np.arange(240) % 8, 1)), np.arange(240) % 8, 8)
    )


def test_what_is_said_of_a_pair_does_not_depend_on_the_pairs_beside_it(fitted: Twin) -> None:
    A, B = rows_of(np.arange(60) % 12, 5), rows_of(np.arange(60) % 11, 6)
    alone = np.concatenate([fitted.same(A[row : row + 1], B[row : row + 1]) for row in range(60)])
    np.testing.assert_allclose(fitted.same(A, B), alone, rtol=1e-9)
    embedded = np.concatenate([fitted.embed(A[row : row + 1]) for row in range(60)])
    np.testing.assert_allclose(fitted.embed(A), embedded, atol=1e-12)


@pytest.mark.parametrize(("classes", "least"), [(range(8), 0.9), (range(8, 12), 0.65)])
def test_pairs_are_told_apart_of_classes_learnt_and_never_learnt(fitted: Twin, classes: range, least: float) -> None:
    labels = np.tile(list(classes), 40)
    X = rows_of(labels, 7)
    left, right = balanced_pairs(labels, np.random.default_rng(0))
    probabilities, truth = fitted.same(X[left], X[right]), labels[left] == labels[right]
    assert probabilities.min() >= 0 and probabilities.max() <= 1
    assert ((probabilities > 0.5) == truth).mean() > least
    assert -np.log(np.where(truth, probabilities, 1 - probabilities)).mean() < np.log(2)


def test_a_prototype_is_the_direction_of_the_mean_and_nothing_without_examples() -> None:
    embedded = twin.unit(np.array([[3, 4], [1, 0], [0, 2]], np.float32))
    found = prototypes(embedded, np.array([0, 0, 2]), 3)
    assert np.allclose(found, [np.array([1.6, 0.8]) / np.hypot(1.6, 0.8), [0, 0], [0, 1]])


def test_seeds_give_other_twins_that_agree() -> None:
    labels = np.arange(120) % 3
    X, unseen = rows_of(labels, 1), rows_of(labels, 2)
    first, second = (Twin(random_state=seed).fit(X, labels).predict_proba(unseen) for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert np.array_equal(first.argmax(axis=1), labels) and np.array_equal(second.argmax(axis=1), labels)

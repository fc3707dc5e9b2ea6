"""AdaBound against the paper's algorithm in NumPy, its two limits, and a run that is saved and continued."""

from pathlib import Path

import keras
import numpy as np
import pytest

from catsdogs.finetuning.adabound import AdaBound

SHAPE = (4, 3)
START = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
GRADIENTS = np.random.default_rng(1).normal(size=(30, *SHAPE)).astype(np.float32)
GRADIENTS *= np.logspace(-4, 1, 12).reshape(SHAPE).astype(np.float32)  # so that both bounds bind somewhere


def descend(optimizer: keras.optimizers.Optimizer, gradients: np.ndarray = GRADIENTS) -> np.ndarray:
    """The weights after each step."""
    weight = keras.Variable(START)
    seen = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
        seen.append(keras.ops.convert_to_numpy(weight.value))
    return np.array(seen)


def algorithm_2(rate: float, final: float, gamma: float) -> tuple[np.ndarray, set[str]]:
    """Luo et al. 2019, algorithm 2, with their code's bias correction; also which of the bounds were reached."""
    x, m, v, seen, reached = START.astype(np.float64), 0.0, 0.0, [], set()
    for t, g in enumerate(GRADIENTS.astype(np.float64), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        adam = rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) / (np.sqrt(v) + 1e-8)
        lower, upper = final - final / (gamma * t + 1), final + final / (gamma * t)
        reached |= {
            name
            for name, hit in (("lower", adam < lower), ("upper", adam > upper), ("none", adam < upper))
            if hit.any()
        }
        x = x - np.minimum(np.maximum(adam, lower), upper) * m
        seen.append(x)
    return np.array(seen), reached


@pytest.mark.parametrize("gamma", [1e-3, 1e-1])
def test_steps_are_those_of_the_paper(gamma: float) -> None:
    expected, reached = algorithm_2(0.01, 0.1, gamma)
    assert reached >= ({"lower", "upper", "none"} if gamma == 1e-1 else {"lower", "none"})
    np.testing.assert_allclose(descend(AdaBound(0.01, 0.01, gamma=gamma)), expected, rtol=1e-4, atol=1e-5)


def test_between_wide_bounds_it_is_adam() -> None:
    bounded = descend(AdaBound(0.01, 0.01, final_lr=1.0, gamma=1e-12))
    np.testing.assert_allclose(bounded, descend(keras.optimizers.Adam(0.01, epsilon=1e-8)), rtol=1e-5, atol=1e-6)


def test_with_closed_bounds_it_is_sgd_with_momentum() -> None:
    bounded = descend(AdaBound(0.01, 0.01, final_lr=0.05, gamma=1e12))
    # Its momentum averages (weight 0.1) where Keras's SGD sums.
    momentum = keras.optimizers.SGD(0.05 * 0.1, momentum=0.9)
    np.testing.assert_allclose(bounded, descend(momentum), rtol=1e-4, atol=1e-5)


def test_the_final_rate_follows_a_schedule() -> None:
    halved = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.01, 0.005])
    steps = np.diff(descend(AdaBound(halved, 0.01, gamma=1e12)), axis=0)
    whole = np.diff(descend(AdaBound(0.01, 0.01, gamma=1e12)), axis=0)
    np.testing.assert_allclose(steps, whole / 2, rtol=1e-2, atol=1e-5)


def model() -> keras.Model:
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])
    schedule = keras.optimizers.schedules.CosineDecay(0.01, 40)
    network.compile(AdaBound(schedule, 0.02, final_lr=0.2, gamma=0.1), "mse")
    return network


def test_saved_and_loaded_it_continues_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(32, 3)), rng.normal(size=(32, 1))
    straight = model()
    straight.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    straight.save_weights(tmp_path / "half.weights.h5")
    resumed = model()
    resumed.optimizer.build(resumed.trainable_variables)
    resumed.load_weights(tmp_path / "half.weights.h5")
    for network in (straight, resumed):
        network.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for ours, theirs in zip(straight.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)

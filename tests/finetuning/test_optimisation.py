"""Learning rates step by step, the loss against its formula, and penalties that really enter a model's loss."""

import keras
import numpy as np
import pytest

from catsdogs.finetuning import optimisation
from catsdogs.finetuning.adabound import AdaBound

RATE = 0.001


def rates(*tricks: str, batch_size: int = 32, steps_per_epoch: int = 20, epochs: int = 5) -> np.ndarray:
    """The learning rate at every step of a run."""
    rate = optimisation.optimizer(tricks, RATE, batch_size, steps_per_epoch, epochs)._learning_rate
    steps = range(steps_per_epoch * epochs)
    if callable(rate):
        return np.array([float(rate(step)) for step in steps])
    return np.full(len(steps), float(rate))


def test_without_tricks_the_rate_is_constant() -> None:
    np.testing.assert_allclose(rates(), RATE)
    assert type(optimisation.optimizer((), RATE, 32, 20, 5)) is keras.optimizers.Adam


def test_scaling_is_proportional_to_the_batch() -> None:
    np.testing.assert_allclose(rates("lr-scaling", batch_size=128), 4 * RATE, rtol=1e-6)
    np.testing.assert_allclose(rates("lr-scaling", batch_size=8), RATE / 4, rtol=1e-6)


def test_warmup_climbs_evenly_then_stays() -> None:
    seen = rates("warmup")
    assert seen[0] == pytest.approx(RATE / 10)
    np.testing.assert_allclose(np.diff(seen[:11]), 0.09 * RATE, rtol=1e-3)
    np.testing.assert_allclose(seen[10:], RATE, rtol=1e-6)


def test_cosine_is_half_a_wave() -> None:
    np.testing.assert_allclose(
        rates("cosine"), RATE / 2 * (1 + np.cos(np.pi * np.arange(100) / 100)), rtol=1e-3, atol=1e-9
    )


def test_warmup_scaling_and_cosine_combine() -> None:
    seen = rates("warmup", "lr-scaling", "cosine", batch_size=64)
    assert seen.max() == pytest.approx(2 * RATE) and seen.argmax() == 10
    assert (np.diff(seen[:11]) > 0).all() and (np.diff(seen[10:]) < 0).all()
    assert seen[-1] < 0.01 * RATE


@pytest.mark.parametrize("tricks", [("warmup",), ("cosine",), ("warmup", "cosine", "adabound")])
def test_a_run_of_one_step_has_a_rate(tricks: tuple[str, ...]) -> None:
    assert rates(*tricks, steps_per_epoch=1, epochs=1) == pytest.approx([RATE])


def test_adabound_ends_at_its_final_rate_scaled_like_the_rate() -> None:
    optimizer = optimisation.optimizer(("adabound", "lr-scaling"), RATE, 64, 20, 5)
    assert isinstance(optimizer, AdaBound)
    assert float(optimizer.learning_rate) / optimizer.base_rate == pytest.approx(2)


@pytest.mark.parametrize("smoothed", [False, True])
def test_loss_is_cross_entropy_with_a_tenth_spread(smoothed: bool) -> None:
    rng = np.random.default_rng(0)
    labels, answers = rng.dirichlet(np.ones(4), size=(2, 7)).astype(np.float32)
    target = 0.9 * labels + 0.1 / 4 if smoothed else labels
    seen = optimisation.loss(("label-smoothing",) if smoothed else ())(labels, answers)
    assert float(seen) == pytest.approx(-(target * np.log(answers)).sum(1).mean(), rel=1e-4)


def network() -> keras.Model:
    layers = keras.layers
    pixels = keras.Input((8, 8, 3))
    maps = layers.Conv2D(4, 3, name="conv")(pixels)
    maps = layers.DepthwiseConv2D(3, name="depthwise")(maps)
    maps = layers.BatchNormalization(name="norm")(maps)
    maps = layers.SeparableConv2D(5, 3, name="separable")(maps)
    return keras.Model(pixels, layers.Dense(2, "softmax", name="dense")(layers.GlobalAveragePooling2D()(maps)))


def kernels(model: keras.Model) -> list[np.ndarray]:
    """Every trained weight that is multiplied with the input: all of more than one axis."""
    return [array for weight in model.trainable_weights if (array := keras.ops.convert_to_numpy(weight.value)).ndim > 1]


@pytest.mark.parametrize("tricks", [("l1",), ("l2",), ("l1", "l2")])
def test_penalties_enter_the_loss_of_training(tricks: tuple[str, ...]) -> None:
    model = network()
    optimisation.regularise(model.layers, tricks)
    found = kernels(model)
    assert len(found) == 5
    expected = sum(1e-5 * np.abs(kernel).sum() * ("l1" in tricks) for kernel in found)
    expected += sum(2.5e-4 * np.square(kernel).sum() * ("l2" in tricks) for kernel in found)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)

    images, labels = np.zeros((4, 8, 8, 3), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]
    model.compile("sgd", optimisation.loss(()))
    plain = float(optimisation.loss(())(labels, model.predict(images, verbose=0)))
    assert model.evaluate(images, labels, verbose=0) == pytest.approx(plain + expected, rel=1e-4)


def test_penalties_pull_only_on_the_layers_named() -> None:
    model = network()
    optimisation.regularise([model.get_layer("dense")], ("l2",))
    model.compile(keras.optimizers.SGD(100.0), optimisation.loss(()))
    before = {name: model.get_layer(name).get_weights() for name in ("conv", "dense")}
    # Black photographs: the data pull on no kernel, and equal labels of both classes pull on no bias.
    model.train_on_batch(np.zeros((4, 8, 8, 3), np.float32), np.full((4, 2), 0.5, np.float32))
    np.testing.assert_array_equal(model.get_layer("conv").get_weights()[0], before["conv"][0])
    np.testing.assert_allclose(
        model.get_layer("dense").get_weights()[0], before["dense"][0] * (1 - 100 * 5e-4), rtol=1e-4
    )


def test_without_the_trick_nothing_is_added() -> None:
    model = network()
    optimisation.regularise(model.layers, ("cosine",))
    assert model.losses == []


def test_frozen_kernels_are_left_out() -> None:
    model = network()
    model.get_layer("conv").trainable = False
    optimisation.regularise(model.layers, ("l2",))
    assert float(sum(model.losses)) == pytest.approx(
        sum(2.5e-4 * np.square(kernel).sum() for kernel in kernels(model)), rel=1e-4
    )
    assert len(kernels(model)) == 4


@pytest.mark.parametrize(("trick", "variance"), [("", 2 / 300), ("glorot", 2 / 300), ("he", 2 / 100)])
def test_first_weights_have_the_variance_of_the_paper(trick: str, variance: float) -> None:
    layer = keras.layers.Dense(200, kernel_initializer=optimisation.initializer((trick,)))
    layer.build((None, 100))
    assert layer.get_weights()[0].var() == pytest.approx(variance, rel=0.1)


def test_patience_is_a_fifth_of_the_epochs() -> None:
    assert optimisation.patience((), 20) is None
    assert [optimisation.patience(("early-stopping",), epochs) for epochs in (1, 5, 20)] == [1, 1, 4]

"""Tricks of the optimiser, the loss, the weights, and when training ends."""

from collections.abc import Iterable, Sequence

import keras

from catsdogs.finetuning.adabound import AdaBound
from catsdogs.finetuning.hyperparameters import DEFAULT_BATCH_SIZE

WARMUP = 10
"""One step in so many climbs. Goyal et al. 2017 climb for 5 of 90 epochs; here a run has few epochs and a new top."""

SMOOTHING = 0.1
"""Szegedy et al., CVPR 2016, section 7."""

L1 = 1e-5
"""Ours: it pulls on a weight of 0.02 as hard as `L2` does."""

L2 = 2.5e-4
"""Factor of the squared weights: the weight decay of Krizhevsky et al. 2012, section 5, 0.0005, halves the square."""

PATIENCE = 5
"""One epoch in so many may pass without a better validation loss: ours. Prechelt 1998 finds that slower criteria
generalise a little better and cost much more time."""


def optimizer(
    tricks: Sequence[str], rate: float, batch_size: int, steps_per_epoch: int, epochs: int
) -> keras.optimizers.Optimizer:
    """Adam, or AdaBound, whose learning rate follows the chosen tricks; `rate` is meant for batches of 32.

    lr-scaling multiplies it by batch_size / 32, warmup climbs to it over the first tenth of all steps, cosine then
    falls to zero at the last step. AdaBound's final rate follows the learning rate.
    """
    peak = rate * batch_size / DEFAULT_BATCH_SIZE if "lr-scaling" in tricks else rate
    steps, scheduled = steps_per_epoch * epochs, peak
    climb = steps // WARMUP if "warmup" in tricks else 0
    if climb or "cosine" in tricks:
        scheduled = keras.optimizers.schedules.CosineDecay(
            # The first step already counts: it has the rate of one step's climb, not zero.
            initial_learning_rate=peak / climb if climb else peak,
            decay_steps=steps - climb,
            alpha=0.0 if "cosine" in tricks else 1.0,
            warmup_target=peak if climb else None,
            warmup_steps=climb,
        )
    return AdaBound(scheduled, base_rate=rate) if "adabound" in tricks else keras.optimizers.Adam(scheduled)


def loss(tricks: Sequence[str]) -> keras.losses.Loss:
    """Cross-entropy of probabilities (n, classes) against one-hot or soft labels, smoothed by a tenth on request."""
    return keras.losses.CategoricalCrossentropy(label_smoothing=SMOOTHING if "label-smoothing" in tricks else 0.0)


def regularise(layers: Iterable[keras.Layer], tricks: Sequence[str]) -> None:
    """Adds L1, L2 or both to the loss, for the kernels of these built layers, so far as they are trained.

    Biases and batch normalisation stay free, as in T. He et al., CVPR 2019 ("Bag of Tricks"), section 3.1.
    Compile the model afterwards.
    """
    l1, l2 = L1 if "l1" in tricks else 0.0, L2 if "l2" in tricks else 0.0
    if not l1 and not l2:
        return
    for layer in layers:
        for weight in layer.weights:
            if weight.name.endswith("kernel"):  # depthwise and pointwise ones too
                weight.regularizer = keras.regularizers.L1L2(l1, l2)


def initializer(tricks: Sequence[str]) -> str:
    """Keras's name of the distribution from which first weights are drawn; without a trick, Keras's own default."""
    if "he" in tricks:
        return "he_normal"
    return "glorot_normal" if "glorot" in tricks else "glorot_uniform"


def patience(tricks: Sequence[str], epochs: int) -> int | None:
    """After how many epochs without a better validation loss training ends; None: never early."""
    return max(1, epochs // PATIENCE) if "early-stopping" in tricks else None

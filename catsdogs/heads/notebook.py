"""The recipe of the notebooks that this program follows, to the letter: dropout and a sigmoid in Keras."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import shuffle

from catsdogs.features.scaling import Vectors
from catsdogs.heads import _convex
from catsdogs.heads._linear import Lesson, LinearHead
from catsdogs.networks.quiet import importing_keras

SHUFFLE_SEED = 2018
BATCH_SIZE = 128
EPOCHS = 8
VALIDATION_SPLIT = 0.2
DROPOUT = 0.5
EPSILON = 1e-8  # Keras 1's
LEARNING_RATE = 1.0  # Keras 1's Adadelta; in Keras 3 the name alone means 0.001, which learns next to nothing


@dataclass(eq=False, repr=False)
class Notebook(LinearHead):
    """Shuffled with seed 2018, the last fifth held out, 8 epochs of Adadelta(1.0), batches of 128.

    It is here to be compared with. Columns are not standardised, and a fifth of the rows is never learnt from.

    Attributes:
        history_: one figure per epoch for `loss`, `accuracy`, `val_loss` and `val_accuracy`, on its own held-out fifth.
    """

    random_state: int = 0

    def __post_init__(self) -> None:
        with importing_keras():  # now, or the first of several fits that are timed would be charged with it
            import keras  # noqa: F401

    def _learn(self, X: Vectors, lesson: Lesson) -> None:
        import keras

        target = lesson.target
        keras.utils.set_random_seed(self.random_state)
        X, target = shuffle(X, target, random_state=SHUFFLE_SEED)
        units = _convex.units_of(target)
        model = keras.Sequential(
            [
                keras.Input((X.shape[1],)),
                keras.layers.Dropout(DROPOUT),
                keras.layers.Dense(units, activation="sigmoid" if units == 1 else "softmax"),
            ]
        )
        model.compile(
            optimizer=keras.optimizers.Adadelta(LEARNING_RATE, epsilon=EPSILON),
            loss="binary_crossentropy" if units == 1 else "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        log: Any = model.fit(
            X,
            target[:, np.newaxis],
            batch_size=BATCH_SIZE,
            epochs=EPOCHS,
            validation_split=VALIDATION_SPLIT,
            verbose=0,
        )
        self.history_: dict[str, list[float]] = log.history
        kernel, bias = model.get_weights()
        self.coef_, self.intercept_ = kernel.T.astype(np.float64), bias.astype(np.float64)

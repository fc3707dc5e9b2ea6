"""The mission's head: standardised vectors -> dropout -> one sigmoid unit (a softmax for more classes), in Keras."""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from catsdogs.heads._linear import LinearHead
from catsdogs.quiet import importing_keras

_MIN_BATCHES = 16  # Keras spends 0.1 s on each epoch whatever is in it, so a few hundred rows get smaller batches
_VALIDATION_BATCH = 4096


@dataclass
class DropoutSigmoid(LinearHead):
    """Dropout and a dense layer, trained by Adam; each default has its reason.

    Columns are standardised, or those with large figures would learn long before the others. The learning rate falls
    to 0 along a cosine, so that the end does not depend on the last batches. Many updates overfit, so the weights are
    drawn to 0 as in a logistic regression with the same `C`, and how many epochs there are matters little. Out of 5
    folds on 1,600 photographs and three EfficientNet-Lites, the log loss is 0.024; the notebook's 8 epochs of
    Adadelta(1.0) on raw vectors give 0.042.

    Attributes:
        dropout: the share of columns that is left out of each update.
        C: divides the penalty ½ |coef|², as in `heads.logistic`.
        batch_size: rows to an update, at most a sixteenth of all.
        min_epochs, min_updates: as many epochs as give both; few photographs need more epochs.
    """

    dropout: float = 0.5
    C: float = 0.03
    learning_rate: float = 1e-3
    batch_size: int = 128
    min_epochs: int = 5
    min_updates: int = 400

    def fit(
        self,
        X: NDArray[np.float32],
        y: NDArray[np.int64],
        validation: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None,
    ) -> Self:
        """See `heads.Head`. Deterministic for a seed on one machine and backend; it seeds Keras, NumPy and Python."""
        with importing_keras():
            import keras

        keras.utils.set_random_seed(self.seed)
        self._measure(X)
        classes = int(y.max()) + 1
        batch_size = min(self.batch_size, math.ceil(len(X) / _MIN_BATCHES))
        updates_per_epoch = math.ceil(len(X) / batch_size)
        epochs = max(self.min_epochs, math.ceil(self.min_updates / updates_per_epoch))
        dense = keras.layers.Dense(
            1
            if classes == 2
            else classes,  # logits: the sigmoid is part of the loss, which is exact where it saturates
            kernel_initializer="zeros",
            kernel_regularizer=keras.regularizers.L2(1 / (2 * self.C * len(X))),
        )
        model = keras.Sequential(
            [
                keras.Input((X.shape[1],)),
                keras.layers.Normalization(mean=self.mean, variance=self.scale**2),
                keras.layers.Dropout(self.dropout, seed=self.seed),
                dense,
            ]
        )
        schedule = keras.optimizers.schedules.CosineDecay(self.learning_rate, epochs * updates_per_epoch)
        model.compile(
            keras.optimizers.Adam(schedule),
            **_loss_and_metrics(classes),
            jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",  # XLA costs more than it saves
        )
        log = model.fit(
            X,
            y[:, np.newaxis],  # a unit's output has two dimensions, and Keras's metrics want the classes alike
            batch_size=batch_size,
            epochs=epochs,
            verbose=0,
            validation_data=validation and (validation[0], validation[1][:, np.newaxis]),
            validation_batch_size=_VALIDATION_BATCH,
        ).history
        # Keras's own `loss` holds the penalty too, which no other head's loss does.
        self.history = {name.replace("log_loss", "loss"): log[name] for name in log if name not in ("loss", "val_loss")}
        kernel, bias = (np.asarray(array, np.float64) for array in dense.get_weights())
        self.coef, self.intercept = kernel.T, bias
        return self


def _loss_and_metrics(classes: int) -> dict[str, Any]:
    import keras

    if classes == 2:
        return {
            "loss": keras.losses.BinaryCrossentropy(from_logits=True),
            "metrics": [
                keras.metrics.BinaryCrossentropy(name="log_loss", from_logits=True),
                keras.metrics.BinaryAccuracy(name="accuracy", threshold=0),
            ],
        }
    return {
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "metrics": [
            keras.metrics.SparseCategoricalCrossentropy(name="log_loss", from_logits=True),
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        ],
    }

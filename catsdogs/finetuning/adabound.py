"""AdaBound, the optimiser that starts as Adam and ends as SGD, for any Keras backend. Keras has none."""

from typing import Any

import keras
from keras import ops


class AdaBound(keras.optimizers.Adam):
    """Adam whose rate for each weight is kept between two bounds that close in on SGD's rate.

    Luo, Xiong, Liu and Sun, ICLR 2019, arXiv:1902.09843, algorithm 2. In step t = 1, 2, ... for the gradient g:

        m = beta_1 m + (1 - beta_1) g;    v = beta_2 v + (1 - beta_2) g^2
        rate = clip(alpha / sqrt(v), final_lr (1 - 1 / (gamma t + 1)), final_lr (1 + 1 / (gamma t)))
        weight = weight - rate m

    The defaults are those of the authors' code, github.com/Luolc/AdaBound. As it does, and unlike the algorithm as
    printed, alpha carries Adam's bias correction, sqrt(v) has epsilon added, and the rate is not divided by sqrt(t),
    which serves the proof. Also as there, `final_lr` rises and falls with a schedule, in proportion to
    `learning_rate` / `base_rate`.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        base_rate: float,
        final_lr: float = 0.1,
        gamma: float = 1e-3,
    ) -> None:
        super().__init__(learning_rate, epsilon=1e-8)
        self.base_rate, self.final_lr, self.gamma = base_rate, final_lr, gamma

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        kind = variable.dtype
        learning_rate, gradient = ops.cast(learning_rate, kind), ops.cast(gradient, kind)
        step = ops.cast(self.iterations + 1, kind)
        index = self._get_variable_index(variable)
        m = self.beta_1 * self._momentums[index] + (1 - self.beta_1) * gradient
        v = self.beta_2 * self._velocities[index] + (1 - self.beta_2) * ops.square(gradient)
        unbiased = ops.sqrt(1 - ops.power(self.beta_2, step)) / (1 - ops.power(self.beta_1, step))
        final = self.final_lr * learning_rate / self.base_rate
        rate = ops.clip(
            learning_rate * unbiased / (ops.sqrt(v) + self.epsilon),
            final * (1 - 1 / (self.gamma * step + 1)),
            final * (1 + 1 / (self.gamma * step)),
        )
        self.assign(self._momentums[index], m)
        self.assign(self._velocities[index], v)
        self.assign_sub(variable, rate * m)

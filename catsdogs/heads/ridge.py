"""Least squares on ±1: Fisher's discriminant with a ridge; it errs on other photographs than `logistic` does."""

from dataclasses import dataclass

from catsdogs.features.scaling import Labels, Vectors
from catsdogs.heads import _convex, _linear
from catsdogs.heads._linear import Groups, LabelledRows, LinearHead

RIDGE = 0.1  # times width: a prior variance of 10 / width for each coefficient, and noise of variance 1


@dataclass(eq=False, repr=False)
class Ridge(LinearHead):
    """Ridge regression on standardised columns; logits are its scores, times a scale.

    Attributes:
        scale: None chooses it by the log loss of inner validation.
        scale_: what was taken.
    """

    scale: float | None = None
    random_state: int = 0

    def _learn(self, X: Vectors, target: Labels, validation: LabelledRows | None, groups: Groups) -> None:
        splits = _linear.inner_splits(target, self.random_state, groups)
        fitted = _convex.fit_and_hold_out(X, target, _convex.squared_loss, RIDGE * X.shape[1], splits)
        self.scale_ = self.scale or _linear.best_scale(fitted.held_out, target[_convex.held_out_rows(splits)])
        self.coef_, self.intercept_ = self.scale_ * fitted.coef.T, self.scale_ * fitted.intercept

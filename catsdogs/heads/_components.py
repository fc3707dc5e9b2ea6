"""Principal components of standardised columns: what neighbours and boosted trees look at in the place of columns."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from catsdogs.features.scaling import Array, Scaling, Vectors
from catsdogs.heads._convex import dense

_BEYOND_CACHES = 2**25  # numbers, below which a second thread costs more than it does, see `_linear`


class Components(NamedTuple):
    """A linear map of vectors as they are.

    Attributes:
        axes, offset: (width, components) float32 and (components,).
    """

    axes: Vectors
    offset: Array

    @classmethod
    def of(cls, X: Vectors, count: int, seed: int) -> Self:
        """The first `count` of (n, width) vectors, or as many as rows and columns allow."""
        scaling, count = Scaling([X]), min(count, *X.shape)
        with threadpool_limits(1 if X.size < _BEYOND_CACHES else None):
            axes = PCA(count, random_state=seed).fit(scaling.apply(X)).components_.T
        coef, intercept = scaling.unscaled(axes.astype(np.float64), np.zeros(count))
        return cls(coef.astype(np.float32), intercept)

    def apply(self, X: NDArray[np.float32]) -> Array:
        """(n, components) of (n, width) vectors, which do not depend on the rows beside."""
        return dense(X, self.axes.astype(np.float64), self.offset)

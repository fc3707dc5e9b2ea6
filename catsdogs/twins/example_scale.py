"""How certain twins may be of classes they never learnt: the scale of their logits, fitted to these classes' examples.

The scale that a twin has learnt is that of the classes it learnt. On classes that are easier or harder to tell apart
its probabilities are too timid or too bold, though their order is the same.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from catsdogs.features.scaling import Labels
from catsdogs.heads.twin import Matrix, Twin, paired_logits, prototypes, unit

AS_LEARNT = "as on the classes that the twins learnt"
BY_EXAMPLES = "on the examples, each left out of its class's mean in turn"
# A few examples say little, so that without them doubt is on the side of the scale that was learnt: of its logarithm
# this is the standard deviation beforehand, a factor of two. See docs/twins.md for what it does.
_PRIOR = np.log(2.0)
_FARTHEST = 5.0  # of the logarithm

_Scores = NDArray[np.floating]


def logits_of(twins: Sequence[Twin], queries: Sequence[Matrix], examples: Sequence[Matrix], labels: Labels) -> _Scores:
    """(n, classes) logits of the queries, averaged over twins, each scaled as on the classes that it learnt.

    Args:
        queries, examples: of each twin, (n, 32) and (m, 32) embeddings.
        labels: (m,) of the examples.
    """
    classes = int(labels.max()) + 1
    parts = zip(twins, queries, examples, strict=True)
    logits = [
        twin.class_scale_ * twin.likeness(rows, prototypes(given, labels, classes)) for twin, rows, given in parts
    ]
    mean: _Scores = np.mean(logits, axis=0)
    return mean


def fitted_scale(twins: Sequence[Twin], examples: Sequence[Matrix], labels: Labels) -> tuple[float, str]:
    """What logits of new classes are to be multiplied with, and in words what it was fitted to.

    Each example of a class that has two or more is likened to the mean of the others, and to the means of all other
    classes. The scale is the likeliest by the log loss of these answers and a prior around 1, which it also is where no
    class has two examples.

    Args:
        examples, labels: as in `logits_of`.
    """
    alone = np.bincount(labels)[labels] < 2
    if alone.all():
        return 1.0, AS_LEARNT
    logits = _left_out(twins, examples, labels)[~alone]
    rows, right = np.arange(len(logits)), labels[~alone]

    def cost(power: float) -> float:
        losses = -log_softmax(np.exp(power) * logits, axis=1)[rows, right]
        return float(losses.sum()) + (power / _PRIOR) ** 2 / 2

    found = minimize_scalar(cost, bounds=(-_FARTHEST, _FARTHEST), method="bounded")
    return float(np.exp(found.x)), BY_EXAMPLES


def _left_out(twins: Sequence[Twin], examples: Sequence[Matrix], labels: Labels) -> _Scores:
    """(m, classes) logits of the examples as in `logits_of`, but each is left out of the mean of its own class."""
    logits = logits_of(twins, examples, examples, labels)
    member = (labels == np.arange(logits.shape[1])[:, np.newaxis]).astype(np.float64)
    own = [
        twin.class_scale_ * paired_logits(given, unit((member @ given)[labels] - given), twin.join_, twin.bias_)
        for twin, given in zip(twins, examples, strict=True)
    ]
    logits[np.arange(len(labels)), labels] = np.mean(own, axis=0)
    return logits

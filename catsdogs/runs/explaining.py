"""Why a run answers as it does: a class activation map, which says what each part of a photograph speaks for.

B. Zhou et al., Learning deep features for discriminative localization, CVPR 2016, https://arxiv.org/abs/1512.04150.
Where a network averages a feature map and the head is linear, the logit is an average over places, too: that of
`map(h, w, :) . coef`. The intercept is spread over all places alike, so that 0 is neutral.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import TrainingError
from catsdogs.networks.engines import feature_maps
from catsdogs.photographs import images
from catsdogs.photographs.fitting import CROP, SQUASH, Fit
from catsdogs.photographs.images import Pixels
from catsdogs.photographs.task import LABELS, NUMBER, ORDINAL
from catsdogs.runs.ensemble import TrainedOn
from catsdogs.runs.run_card import TrainedRun

_REMEDY = "Maps need a linear head, such as blend, on networks that average a feature map; see docs/why.md"
Floats = NDArray[np.float64]


class Part(NamedTuple):
    """What one network says: (h, w) shares of the logit, of which the mean counts, and the square they are of."""

    network: str
    shares: Floats
    fit: Fit


class Why(NamedTuple):
    """What the parts of a photograph speak for.

    Attributes:
        speaks_for: in words, such as `dog`; positive shares speak for it.
        parts: of each network, at its own resolution.
        intercept: what is said whatever the photograph shows. With the means of all parts it makes the logit.
        size: width and height of the photograph, in pixels.
    """

    speaks_for: str
    parts: Sequence[Part]
    intercept: float
    size: tuple[int, int]

    @property
    def logit(self) -> float:
        """That of `speaks_for`: against the other of two classes, or against the mean of all."""
        return float(sum(part.shares.mean() for part in self.parts) + self.intercept)

    def joint(self, width: int, height: int) -> Floats:
        """One (height, width) map: the networks' maps, each interpolated linearly, and the intercept, added up.

        Places that no network saw, since they were cut off, have 0.
        """
        total, seen = np.zeros((height, width)), np.zeros((height, width), bool)
        for part in self.parts:
            left, right, top, bottom = _box(part.fit, *self.size)
            down = _weights(part.shares.shape[0], height, top, bottom)
            across = _weights(part.shares.shape[1], width, left, right)
            total += down @ part.shares @ across.T
            seen |= np.outer(down.any(axis=1), across.any(axis=1))
        return np.where(seen, total + self.intercept, 0.0)


class Explainer:
    """Makes the maps of a run; any number of threads may ask it at once."""

    def __init__(self, trained: TrainedRun, networks: Sequence[TrainedOn]) -> None:
        """Load each network up to its pooling.

        Raises:
            TrainingError: the run has no such maps; the message says why.
            WeightsError: a network cannot be exported.
        """
        self._run = trained.run
        self._units = [_linear(head, trained) for head in trained.heads]
        self._networks = []
        for recipe, backbone, weights in networks:
            loaded = None if backbone.fit.view_count > 1 else feature_maps.load(backbone.network, weights)
            if loaded is None:
                raise TrainingError(
                    f"No maps for the run {self._run.name}: {recipe.backbone} does not average one feature map",
                    _REMEDY,
                )
            self._networks.append((recipe.backbone, backbone, loaded))
        self.fits = {backbone.fit for _, backbone, _ in self._networks}

    def explain(self, pixels: Pixels, column: int, fold: int | None = None) -> Why:
        """What speaks for a column of the run's predictions.

        Args:
            column: number of a class or label. Of grades the map is of higher ones, whatever the column.
            fold: whose head is asked; None for the mean of all heads.
        """
        units = self._units if fold is None else [self._units[fold]]
        coefs, intercepts = zip(*(_of_column(*unit, column, self._run.task.kind) for unit in units), strict=True)
        coef, parts, start = np.mean(coefs, axis=0), [], 0
        for name, backbone, network in self._networks:
            found = network(pixels.by_fit[backbone.fit])[..., backbone.columns]
            parts.append(Part(name, found @ coef[start : start + backbone.width], backbone.fit))
            start += backbone.width
        size = int(pixels.statistics[0]), int(pixels.statistics[1])
        return Why(self._words(column), parts, float(np.mean(intercepts)), size)

    def explain_bytes(self, data: bytes, column: int, fold: int | None = None) -> Why:
        """See `explain`; raises as `images.load`."""
        return self.explain(images.load(data, self.fits), column, fold)

    def _words(self, column: int) -> str:
        if self._run.task.kind == ORDINAL:
            return "a higher grade"
        name = self._run.classes[column]
        return f"a larger {name}" if self._run.task.kind == NUMBER else name


def _linear(head: Any, trained: TrainedRun) -> tuple[Floats, Floats]:
    """(units, width) coefficients and (units,) intercepts of a head."""
    from sklearn.linear_model import LogisticRegression

    from catsdogs.heads import is_linear

    part = getattr(head, "parts_", [head])[0]
    run, width = trained.run, sum(trained.run.widths)
    if not (is_linear(part) or isinstance(part, LogisticRegression)) or part.coef_.shape[1] != width:
        raise TrainingError(f"No maps for the run {run.name}: its head {run.head} is not linear", _REMEDY)
    columns = len(run.classes) - (run.task.kind == ORDINAL)
    if len(part.coef_) != (1 if run.task.has_classes and len(run.classes) == 2 else columns):
        raise TrainingError(f"No maps for the run {run.name}: a head lacks some of its classes", _REMEDY)
    return part.coef_, np.asarray(part.intercept_)


def _of_column(coef: Floats, intercept: Floats, column: int, kind: str) -> tuple[Floats, float]:
    """What the logit of a column is computed by; of a softmax against the mean of all classes."""
    if kind == ORDINAL:
        return coef.mean(axis=0), float(intercept.mean())
    if kind in (LABELS, NUMBER):
        return coef[column], float(intercept[column])
    if len(coef) == 1:
        sign = 1 if column else -1
        return sign * coef[0], float(sign * intercept[0])
    return coef[column] - coef.mean(axis=0), float(intercept[column] - intercept.mean())


def _box(fit: Fit, width: int, height: int) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of the square that a network sees, as shares of the photograph's sides."""
    if fit.resize == SQUASH:
        across = down = fit.share
    else:
        side = fit.share * (min if fit.resize == CROP else max)(width, height)
        across, down = side / width, side / height
    return (1 - across) / 2, (1 + across) / 2, (1 - down) / 2, (1 + down) / 2


def _weights(cells: int, pixels: int, start: float, stop: float) -> Floats:
    """(pixels, cells) weights of linear interpolation between the centres of cells; 0 outside of start to stop."""
    shares = ((np.arange(pixels) + 0.5) / pixels - start) / (stop - start)
    at = np.clip(shares * cells - 0.5, 0, cells - 1)
    weights: Floats = np.clip(1 - abs(at[:, np.newaxis] - np.arange(cells)), 0, None)
    weights[(shares < 0) | (shares > 1)] = 0
    return weights

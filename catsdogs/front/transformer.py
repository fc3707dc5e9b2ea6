"""Photographs to vectors as a transformer of scikit-learn's: pretrained networks at the head of a pipeline."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from catsdogs.features import by_digest
from catsdogs.features.extract import Settings
from catsdogs.files import storage
from catsdogs.networks import choice
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import obtain
from catsdogs.photographs import handed

CACHE = "features/.vectors"  # beside `.predict`, where the command line keeps vectors of other photographs


class PretrainedFeatures(TransformerMixin, BaseEstimator):
    """The vectors that pretrained networks make of photographs, computed once and kept in a folder.

    It learns nothing from rows or labels, so it may stand before a cross-validation as well as in it. A row is a path,
    the bytes of a file, a picture of Pillow's, or an array (height, width, 3) of uint8, RGB. What is kept is found
    again by the bytes, wherever the file lies and whatever it is called.

    Args:
        backbones: names as the command line takes them: a list, or a text with commas; `lite` is the three embedded
            EfficientNet-Lites.
        cache: the folder of vectors, as seen from the working folder. Several processes may share it.
        weights_dir: a folder of weights files to look in first; if None, what the environment's CATSDOGS_WEIGHTS names.

    >>> import catsdogs as cd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> paths = ["pets/train/cat.0.jpg", "pets/train/dog.0.jpg"]
    >>> vectors = cd.PretrainedFeatures("EfficientNetLite0")
    >>> vectors.transform(paths).shape
    (2, 1280)
    >>> make_pipeline(vectors, LogisticRegression(C=0.01)).fit(paths, ["cat", "dog"]).predict(paths[1:]).tolist()
    ['dog']
    """

    def __init__(
        self, backbones: str | Sequence[str] = "lite", cache: str | Path = CACHE, weights_dir: str | Path | None = None
    ) -> None:
        self.backbones = backbones
        self.cache = cache
        self.weights_dir = weights_dir

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn nothing; check that the networks and their weights are there, and that X may be photographs.

        Raises:
            UnknownNameError, UsageError, WeightsError: a network, or its weights.
            UsageError, DatasetError: rows of X, see `handed.photographs`. Nothing is read yet.
        """
        settings = self._settings()
        for backbone in self._networks():
            obtain(backbone, settings.weights_dir)
        handed.photographs(X)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Photographs to (n, width) float32, the networks' vectors side by side, in the order of `backbones`.

        Raises:
            UnknownNameError, UsageError, WeightsError: as `fit`.
            DatasetError: photographs that cannot be read, by their rows; the vectors of all others are kept.
            StoreError: the cache has vectors of another recipe, or of a data set, or cannot be written.
        """
        photographs = handed.photographs(X)
        cache = storage.place(self.cache)
        found = by_digest.vectors(photographs, self._networks(), cache, self._settings())
        handed.refuse(found.reasons, photographs)
        return np.concatenate(found.by_network, axis=1)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """(width,) the names of the columns: `EfficientNetLite0_0` and so on; `input_features` is not looked at."""
        return np.array(
            [f"{backbone.name}_{column}" for backbone in self._networks() for column in range(backbone.width)], object
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _networks(self) -> list[Backbone]:
        given = [self.backbones] if isinstance(self.backbones, str) else self.backbones
        names = [name for text in given for name in choice.expand(text)]
        return choice.choose(names, self._settings().weights_dir)

    def _settings(self) -> Settings:
        return Settings(str(self.weights_dir or os.environ.get("CATSDOGS_WEIGHTS") or "") or None)

"""Photographs to vectors as a transformer of scikit-learn's: pretrained networks at the head of a pipeline."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from catsdogs.features import by_digest
from catsdogs.features.extract import Settings
from catsdogs.files import storage
from catsdogs.front.arguments import fitted, in_python
from catsdogs.front.places import weights_folder
from catsdogs.front.vectors import networks
from catsdogs.networks import choice
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import obtain
from catsdogs.photographs import handed

_SETTINGS = ("backbones", "cache", "weights_dir")
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
    >>> photographs = ["pets/train/cat.1.jpg", "pets/train/dog.1.jpg"]
    >>> vectors = cd.PretrainedFeatures("EfficientNetLite0")
    >>> vectors.transform(photographs).shape
    (2, 1280)
    >>> model = make_pipeline(vectors, LogisticRegression(C=0.01))
    >>> model.fit(photographs, ["cat", "dog"]).predict(photographs[1:]).tolist()
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
        with in_python(_SETTINGS):
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
        with in_python(_SETTINGS):
            photographs = handed.photographs(X)
            cache = storage.place(str(fitted("cache", str | Path, self.cache, CACHE)))
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
        given = fitted("backbones", str | Sequence[str], self.backbones, "lite")
        return choice.choose(networks(given), self._settings().weights_dir)

    def _settings(self) -> Settings:
        return Settings(weights_folder(fitted("weights_dir", str | Path | None, self.weights_dir)))

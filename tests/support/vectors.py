"""Feature files with given vectors, and vectors like those of networks."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from catsdogs.features import feature_file
from catsdogs.features.cache import Cache
from tests.support.features import recipe, rows_of, table

Matrix = np.ndarray


def write_vectors(
    folder: Path, name: str, train: Matrix, test: Matrix, order: Sequence[int] | None = None
) -> feature_file.Features:
    """A feature file with these vectors; `order` says in which order its train rows stand."""
    order = range(len(train)) if order is None else order
    entries = table([f"cat.{n}" for n in order], [str(n) for n in range(len(test))])
    vectors = np.concatenate([train[list(order)], test]).astype(np.float32)
    cache = Cache(folder, recipe(name))
    cache.write_shard(dataclasses.replace(rows_of(entries, name=name), vector=vectors), "none")
    cache.assemble(entries, ("a", "b"), [], "photographs")
    return feature_file.read_features(cache.path)


def clusters(count: int, width: int, seed: int = 0) -> Matrix:
    """Rows like those of networks: nowhere negative, a hundred directions in many columns, some of them near others."""
    random = np.random.default_rng(seed)
    vectors = random.random((count, 100)) ** 3 @ random.normal(size=(100, width)) + random.normal(size=(count, width))
    return np.maximum(vectors, 0).astype(np.float32)

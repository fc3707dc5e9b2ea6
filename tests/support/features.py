"""Feature files with known numbers, of photographs that need not exist."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from catsdogs.features import feature_file
from catsdogs.features.cache import Cache, DigestedPhotograph, ShardRows
from catsdogs.features.recipes import Recipe
from catsdogs.files import seal
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Location, Photograph


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """A file to tamper with, sealed again afterwards: what is not what it seems, and still whole."""
    with h5py.File(path, "r+") as file:
        yield file
    if path.read_bytes().startswith(seal.SEAL_MAGIC):
        seal.seal(path)


def table(train: Sequence[str], test: Sequence[str], root: Path = Path("photographs")) -> list[DigestedPhotograph]:
    """Entries of photographs that need not exist, labelled 0 and 1 in turn, with digests that follow from the keys."""
    rows = [Photograph(id, "train", number % 2, Location(root, id)) for number, id in enumerate(train)]
    rows += [Photograph(id, "test", -1, Location(root, id)) for id in test]
    return [DigestedPhotograph(row, images.digest(f"{row.split}/{row.id}".encode())) for row in rows]


def recipe(backbone: str = "ResNet50", **other: object) -> Recipe:
    usual = Recipe(backbone, "ab" * 32, 224, "bicubic", "caffe", "keras", "float32", "float32")
    return Recipe(**{**vars(usual), **other})  # type: ignore[arg-type]


def rows_of(
    entries: Sequence[DigestedPhotograph], width: int = 3, name: str = "ResNet50", labelled: bool = True
) -> ShardRows:
    """Rows whose numbers follow from network, key and digest alone, so that a row in the wrong place shows."""

    def drawn(entry: DigestedPhotograph) -> np.random.Generator:
        seed = hashlib.sha256(f"{name} {entry.key} {entry.digest}".encode()).digest()
        return np.random.default_rng(list(seed))

    return ShardRows(
        key=np.array([entry.key for entry in entries], object),
        digest=np.array([entry.digest for entry in entries], np.uint64),
        vector=np.array([drawn(entry).normal(size=width) for entry in entries], np.float32).reshape(-1, width),
        statistics=np.array([drawn(entry).normal(size=4) for entry in entries], np.float32).reshape(-1, 4),
        topk_class=np.array([drawn(entry).integers(0, 1000, 10) for entry in entries], np.int16) if labelled else None,
        topk_prob=np.array([drawn(entry).random(10) for entry in entries], np.float32) if labelled else None,
    )


def write_features(
    folder: Path,
    entries: Sequence[DigestedPhotograph],
    name: str = "ResNet50",
    width: int = 3,
    classes: Sequence[str] = ("a", "b"),
) -> feature_file.Features:
    """A feature file in one shard, with the numbers of `rows_of`."""
    cache = Cache(folder, recipe(name))
    cache.write_shard(rows_of(entries, width, name), "none")
    cache.assemble(entries, classes, [], "photographs")
    return feature_file.read_features(cache.path)

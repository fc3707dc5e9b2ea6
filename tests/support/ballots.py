"""Photographs drawn as noise, and feature files whose ImageNet labels a test chooses."""

import csv
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from catsdogs.cleaning.suspect_table import Suspect
from catsdogs.features import cache, feature_file, recipes
from catsdogs.networks import imagenet
from catsdogs.photographs import dataset, images
from catsdogs.photographs.task import Task

PETS = sorted(imagenet.PETS)
OTHERS = sorted(set(range(1000)) - imagenet.PETS)
PET_TOP = [*PETS[:1], *OTHERS[:9]]
STRANGE_TOP = OTHERS[:10]
PROBABILITIES = np.linspace(0.15, 0.01, 10, dtype=np.float32)  # 0.8 in all

Key = tuple[str, str]
Tops = Mapping[Key, list[int]]


def photograph(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """Noise, blurred: many colours, much contrast, nothing odd about it."""
    noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def save_dataset(root: Path, pictures: Mapping[str, Image.Image]) -> dataset.Dataset:
    """Real JPEGs under `root`, by relative path, and the table of them."""
    for name, picture in pictures.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=95)
    return dataset.scan(root)


def plain_pictures(train: int = 4, test: int = 3) -> dict[str, Image.Image]:
    names = [f"train/{'cat' if n % 2 else 'dog'}.{n}.jpg" for n in range(train)] + [
        f"test/{n}.jpg" for n in range(test)
    ]
    return {name: photograph(seed) for seed, name in enumerate(names)}


def write_voters(
    folder: Path, data: dataset.Dataset, networks: Mapping[str, Tops | None]
) -> list[feature_file.Features]:
    """A feature file for each network through the real store; None has no classifier, an absent row shows a pet."""
    decoded = [(data.read(photo), photo) for photo in data.photographs]
    entries = [cache.DigestedPhotograph(photo, images.digest(content)) for content, photo in decoded]
    files = []
    for name, tops in networks.items():
        unfinished = cache.Cache(
            folder, recipes.Recipe(name, "0" * 64, 32, "bicubic", "tf", "keras", "float32", "float32")
        )
        voting = tops is not None
        classes = [(tops or {}).get((entry.photograph.split, entry.photograph.id), PET_TOP) for entry in entries]
        unfinished.write_shard(
            cache.ShardRows(
                key=np.array([entry.key for entry in entries], object),
                digest=np.array([entry.digest for entry in entries], np.uint64),
                vector=np.zeros((len(entries), 3), np.float32),
                statistics=np.array([images.statistics(np.asarray(images.decode(content))) for content, _ in decoded]),
                topk_class=np.array(classes, np.int16) if voting else None,
                topk_prob=np.tile(PROBABILITIES, (len(entries), 1)) if voting else None,
            ),
            "none",
        )
        unfinished.assemble(entries, data.classes, [], str(data.root))
        files.append(feature_file.read_features(feature_file.path_of(folder, name)))
    return files


def kinds(suspects: list[Suspect]) -> dict[Key, list[str]]:
    return {(suspect.split, suspect.id): sorted(suspect.kinds) for suspect in suspects}


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def in_memory(name: str, classes: list[list[int]]) -> feature_file.Features:
    """A feature file that never was on disk: the rows are train rows."""
    n = len(classes)
    return feature_file.Features(
        path=Path(f"{name}.h5"),
        recipe=recipes.Recipe(name, "0" * 64, 32, "bicubic", "tf", "keras", "float32", "float32"),
        classes=("cat", "dog"),
        ids={"train": np.array([str(row) for row in range(n)], object), "test": np.array([], object)},
        labels=np.zeros(n, np.int64),
        width=3,
        digests={"train": np.arange(n, dtype=np.uint64), "test": np.array([], np.uint64)},
        topk_class={"train": np.array(classes, np.int16), "test": np.empty((0, 10), np.int16)},
        topk_prob={"train": np.tile(PROBABILITIES, (n, 1)), "test": np.empty((0, 10), np.float32)},
        statistics={
            split: np.tile(np.float32([500, 375, 60, 600]), (m, 1)) for split, m in (("train", n), ("test", 0))
        },
        unreadable=(),
        learnt=0,
        source="",
        task=Task.of_classes(("cat", "dog")),
    )


def of_classes(rows: Mapping[str, list[list[int]]], test: Sequence[list[int]] = ()) -> feature_file.Features:
    """A feature file in memory: class -> the best labels of each of its photographs, filled up with what is no pet."""

    def filled(tops: Iterable[list[int]]) -> list[list[int]]:
        return [[*top, *(label for label in OTHERS[:10] if label not in top)][:10] for top in tops]

    file = in_memory("One", filled(itertools.chain(*rows.values())))
    return dataclasses.replace(
        file,
        classes=tuple(rows),
        labels=np.repeat(np.arange(len(rows)), [len(each) for each in rows.values()]),
        ids=file.ids | {"test": np.array([f"t{row}" for row in range(len(test))], object)},
        digests=file.digests | {"test": 1000 + np.arange(len(test), dtype=np.uint64)},
        topk_class=file.topk_class | {"test": np.array(filled(test), np.int16).reshape(-1, 10)},
        topk_prob=file.topk_prob | {"test": np.tile(PROBABILITIES, (len(test), 1))},
        statistics=file.statistics | {"test": np.tile(np.float32([500, 375, 60, 600]), (len(test), 1))},
    )

"""Old notebooks' feature files `gap_*.h5`: `train`, `test` and `label` without ids, which the data set supplies."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from catsdogs.errors import StoreError
from catsdogs.features import feature_file
from catsdogs.features.feature_file import FORMAT, GAP_DATASETS, SPLITS, UNKNOWN, Features, Recipe
from catsdogs.networks.table import POOLED
from catsdogs.photographs.dataset import Dataset, Photograph


def is_gap_file(path: Path) -> bool:
    """Whether an old notebook wrote this file, so that reading it takes the data set."""
    with feature_file.reading_rows(path) as file:
        return file.attrs.get("format") != FORMAT and set(file) >= GAP_DATASETS


def read_gap_file(path: Path, dataset: Dataset) -> Features:
    """The features of an old notebook: rows in the order of Keras's directory iterator, which sorts names as text.

    Raises:
        StoreError: it does not fit the data set.
    """
    with feature_file.reading_rows(path) as file:
        shapes = feature_file.vector_shapes(path, file)
        feature_file.check_shapes(path, file, {"label": shapes["train"][:1]})
        written_labels = file["label"][...]
    in_order = {split: sorted(dataset.of(split), key=_directory_iterator_key) for split in SPLITS}
    for split in SPLITS:
        if shapes[split][0] != len(in_order[split]):
            raise StoreError(
                f"{path}: {split} has {shapes[split][0]:,} rows, "
                f"{dataset.root} has {len(in_order[split]):,} photographs",
                "Give --data the folder it was made from",
            )
    labels = np.array([photograph.label for photograph in in_order["train"]])
    if not np.array_equal(written_labels, labels):
        raise StoreError(
            f"{path}: label does not fit the names in {dataset.root}", "Give --data the folder it was made from"
        )
    unknown: dict[str, Any] = dict.fromkeys((field.name for field in fields(Recipe)), UNKNOWN)
    return Features(
        path=path,
        recipe=Recipe(**unknown | {"backbone": path.stem, "input_size": 0, "vector": POOLED}),
        classes=dataset.classes,
        ids={split: np.array([photograph.id for photograph in in_order[split]], object) for split in SPLITS},
        labels=labels,
        width=shapes["train"][1],
        source=str(dataset.root),
    )


def _directory_iterator_key(photograph: Photograph) -> tuple[int, str]:
    return photograph.label, photograph.location.name.rsplit("/", 1)[-1]

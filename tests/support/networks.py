"""Networks of the table, their weights on this machine, and the card of one that was trained here."""

from pathlib import Path

import pytest

from catsdogs.networks import choice, weights
from catsdogs.networks.table import Backbone
from catsdogs.networks.trained import Card
from catsdogs.networks.weights import RANDOM_WEIGHTS

LITE = choice.choose(choice.expand("lite"))
RANDOM = weights.Weights(None, RANDOM_WEIGHTS)
CARD = Card(
    name="mine",
    created="2026-01-01T00:00:00+00:00",
    command="catsdogs finetune",
    package_version="1",
    base="four-conv",
    base_weights="",
    input_size=32,
    unfreeze="all",
    tricks=("flip",),
    teacher="",
    classes=("cat", "dog"),
    folds=2,
    seed=1,
    epochs=3,
    batch_size=8,
    rate=0.001,
    source="photographs",
    weights={},
    learnt="",
    scores=("log loss 1",),
)


def lite_file(backbone: Backbone) -> Path:
    path = weights.find_file(backbone, None)
    if path is None:
        pytest.skip(f"{backbone.package} is not installed")
    return path

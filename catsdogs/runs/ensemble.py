"""The networks of a run: the same as it was trained on, and loaded to look at one photograph at a time."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import StoreError, TrainingError
from catsdogs.features import feature_file
from catsdogs.features.feature_file import Recipe
from catsdogs.networks.choice import choose
from catsdogs.networks.engines import selection
from catsdogs.networks.engines.interface import Network, Output
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import Weights, obtain
from catsdogs.photographs import images
from catsdogs.photographs.images import Pixels
from catsdogs.progress import Progress
from catsdogs.runs.run_card import Run


class TrainedOn(NamedTuple):
    """A network that a run was trained on: how its vectors were made, and what makes the same ones here."""

    recipe: Recipe
    backbone: Backbone
    weights: Weights


class Member(NamedTuple):
    """A network of the ensemble, loaded and ready for single photographs."""

    recipe: Recipe
    network: Network


def networks_of(run_folder: Path, run: Run, weights_dir: str | None) -> list[TrainedOn]:
    """The networks a run was trained on, in its order, with the weights at hand.

    Raises:
        TrainingError: an old notebook's vectors, of which nobody knows how they were made.
        StoreError: other weights, or a version of this program that would make other vectors.
        UnknownNameError, WeightsError: no such network, or no weights.
    """
    recipes = [Recipe(**recipe) for recipe in run.backbones.values()]
    if any(recipe.weights == feature_file.UNKNOWN for recipe in recipes):
        raise TrainingError(
            f"{run_folder} was trained on an old notebook's vectors, of unknown origin",
            "Train on vectors that `catsdogs features` wrote",
        )
    networks = []
    for trained, backbone in zip(recipes, choose([recipe.backbone for recipe in recipes]), strict=True):
        weights = obtain(backbone, weights_dir)
        here = replace(
            trained,
            weights=weights.sha256,
            input_size=backbone.input_size,
            resize_filter=images.RESIZE_FILTER,
            preprocessing=backbone.preprocessing,
            vector=backbone.vector,
        )
        if differences := here.differences(trained):
            raise StoreError(
                f"{run_folder} was trained on other vectors of {trained.backbone}: {'; '.join(differences)}",
                "Give --weights-dir the folder with the weights it was trained on"
                if weights.sha256 != trained.weights
                else "Extract the features again with this version, and train on them",
            )
        networks.append(TrainedOn(trained, backbone, weights))
    return networks


def load_members(networks: Sequence[TrainedOn]) -> list[Member]:
    """The networks in their engines, each with a first, slower answer behind it."""
    engine_of = functools.cache(functools.partial(selection.create_engine, batch_size=1))
    members = []
    with Progress(len(networks), "loading", "network") as progress:
        for recipe, backbone, weights in networks:
            members.append(Member(recipe, engine_of(recipe.engine, recipe.precision).load(backbone, weights)))
            progress.update()
    for recipe, network in members:
        network.submit(np.zeros((1, recipe.input_size, recipe.input_size, 3), np.uint8))()
    return members


def look(members: Sequence[Member], pixels: Pixels) -> tuple[list[Output], NDArray[np.float32]]:
    """Each network's output for one photograph, and (1, sum of widths) vectors as its feature files have them."""
    waiting = [network.submit(pixels.by_size[recipe.input_size][np.newaxis]) for recipe, network in members]
    outputs = [result() for result in waiting]
    rounded = [output.vector.astype(member.recipe.dtype) for member, output in zip(members, outputs, strict=True)]
    return outputs, np.concatenate(rounded, axis=1, dtype=np.float32)

"""The networks of a run: the same as it was trained on, and loaded to look at one photograph at a time."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import StoreError, TrainingError
from catsdogs.features import feature_file, recipes
from catsdogs.features.recipes import Recipe
from catsdogs.networks.choice import choose
from catsdogs.networks.engines import selection
from catsdogs.networks.engines.interface import Network, Output, per_photograph
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import Weights, obtain
from catsdogs.photographs.fitting import Fit
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
    backbone: Backbone
    network: Network


def networks_of(run_folder: Path, run: Run, weights_dir: str | None) -> list[TrainedOn]:
    """The networks a run was trained on, in its order, with the weights at hand.

    Raises:
        TrainingError: vectors that no network here makes: made elsewhere, or otherwise as `networks_here`.
        StoreError, UnknownNameError, WeightsError: as `networks_here`.
    """
    refuse_made_elsewhere(run_folder, run)
    return networks_here(run_folder, run, weights_dir)


def made_elsewhere(run: Run) -> list[str]:
    """Those of a run's feature files whose vectors came in a file of another program."""
    return [name for name, recipe in run.backbones.items() if Recipe(**recipe).is_made_elsewhere]


def refuse_made_elsewhere(run_folder: Path, run: Run) -> None:
    """Raise a TrainingError for a run on vectors that came in a file of another program."""
    if outside := made_elsewhere(run):
        raise TrainingError(
            f"{run_folder} was trained on vectors made elsewhere ({', '.join(outside)}), which no network here makes",
            f"Train a run without {outside[0]}",
        )


def networks_here(run_folder: Path, run: Run, weights_dir: str | None) -> list[TrainedOn]:
    """The networks a run was trained on but for vectors made elsewhere, in its order, with the weights at hand.

    Raises:
        TrainingError: an old notebook's vectors, of which nobody knows how they were made.
        StoreError: other weights, or a version of this program that would make other vectors.
        UnknownNameError, WeightsError: no such network, or no weights.
    """
    recipes_of_run = (Recipe(**recipe) for recipe in run.backbones.values())
    written = [recipe for recipe in recipes_of_run if not recipe.is_made_elsewhere]
    if any(recipe.weights == feature_file.UNKNOWN for recipe in written):
        raise TrainingError(
            f"{run_folder} was trained on an old notebook's vectors, of unknown origin",
            "Train on vectors that `catsdogs features` wrote",
        )
    networks: list[TrainedOn] = []
    if not written:
        return networks
    for trained, backbone in zip(written, choose([recipe.backbone for recipe in written], weights_dir), strict=True):
        weights = obtain(backbone, weights_dir)
        here = recipes.of_network(backbone, weights.sha256, trained.engine, trained.precision, trained.dtype)
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
    members, loaded = [], dict[tuple[Backbone, str, str], Network]()
    with Progress(len(networks), "loading", "network") as progress:
        for recipe, backbone, weights in networks:
            key = (backbone.network, recipe.engine, recipe.precision)
            if key not in loaded:
                loaded[key] = engine_of(recipe.engine, recipe.precision).load(backbone.network, weights)
            members.append(Member(recipe, backbone, loaded[key]))
            progress.update()
    for (network, *_), one in loaded.items():
        one.submit(np.zeros((1, network.input_size, network.input_size, 3), np.uint8))()
    return members


def look(members: Sequence[Member], pixels: Pixels) -> tuple[list[Output], NDArray[np.float32]]:
    """Each network's output for one photograph, and (1, sum of widths) vectors as its feature files have them."""
    started: dict[tuple[Network, Fit], list[Callable[[], Output]]] = {}
    for _, backbone, network in members:  # of which several may be vectors of one network
        views = pixels.by_fit[backbone.fit]
        if (network, backbone.fit) not in started:
            started[network, backbone.fit] = [network.submit(view[np.newaxis]) for view in views]
    outputs = [_of_all_views(started[network, backbone.fit], backbone) for _, backbone, network in members]
    rounded = [output.vector.astype(member.recipe.dtype) for member, output in zip(members, outputs, strict=True)]
    return outputs, np.concatenate(rounded, axis=1, dtype=np.float32)


def _of_all_views(waiting: Sequence[Callable[[], Output]], backbone: Backbone) -> Output:
    outputs = [result() for result in waiting]
    names = [name for name in Output._fields if getattr(outputs[0], name) is not None]
    squares = {name: np.concatenate([getattr(output, name) for output in outputs]) for name in names}
    return per_photograph(Output(**squares), backbone)

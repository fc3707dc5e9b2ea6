"""A trained run on new photographs: extract what its networks say of them, and let its heads answer."""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from catsdogs.competition import submission
from catsdogs.errors import StoreError, TrainingError, to_choose_from
from catsdogs.features import feature_file
from catsdogs.features.extract import Settings, extract
from catsdogs.features.feature_file import Recipe, Unreadable
from catsdogs.networks.choice import choose
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import Weights, obtain
from catsdogs.photographs import images
from catsdogs.photographs.dataset import scan_unlabelled
from catsdogs.runs import run_card
from catsdogs.runs.run_card import Run
from catsdogs.scoring import streaming


@dataclass(frozen=True)
class Prediction:
    """What was written: how many rows, whose probability the columns give, and who could not or was not to be read."""

    rows: int
    columns: str
    unreadable: tuple[Unreadable, ...]
    left_alone: tuple[str, ...]


class TrainedOn(NamedTuple):
    """A network of a run's: how its vectors were made, and what makes the same ones here."""

    recipe: Recipe
    backbone: Backbone
    weights: Weights


def predict(run_folder: Path, data: Path, target: Path, cache: Path, weights_dir: str | None = None) -> Prediction:
    """Write `target`, a CSV of ids and probabilities for every photograph of `data`.

    Those that cannot be read get the class prior. Vectors are kept below `cache`, so that a second prediction on the
    same photographs computes none.

    Raises:
        CatsdogsError: no such run or photographs; networks that are not those the run was trained on.
    """
    dataset = scan_unlabelled(data)
    trained = run_card.load_run(run_folder)
    run = trained.run
    recipes = [network.recipe for network in networks_of(run_folder, run, weights_dir)]
    asked = json.dumps([str(data.resolve()), run.backbones])
    folder = cache / hashlib.sha256(asked.encode()).hexdigest()[:16]
    by_settings = defaultdict(list)
    for recipe in recipes:
        settings = Settings(weights_dir, recipe.engine, recipe.precision, dtype=recipe.dtype)
        by_settings[settings].append(recipe.backbone)
    for settings, names in by_settings.items():
        extract(dataset, names, folder, settings)
    files = [feature_file.read_features(feature_file.path_of(folder, recipe.backbone)) for recipe in recipes]
    ids = files[0].ids["test"]
    probabilities = streaming.predicted(trained.predict_proba, files, "test")
    missing = {photograph.id: run.prior for photograph in files[0].unreadable}
    submission.write_submission(target, list(ids), probabilities, run.classes, None, missing)
    columns = run.classes[1] if len(run.classes) == 2 else to_choose_from(run.classes)
    return Prediction(len(ids) + len(missing), columns, files[0].unreadable, dataset.left_alone)


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
    backbones = choose([recipe.backbone for recipe in recipes])
    networks = [TrainedOn(*pair, obtain(pair[1], weights_dir)) for pair in zip(recipes, backbones, strict=True)]
    for network in networks:
        _refuse_other_recipe(run_folder, network)
    return networks


def _refuse_other_recipe(run_folder: Path, network: TrainedOn) -> None:
    trained, backbone, weights = network
    here = replace(
        trained,
        weights=weights.sha256,
        input_size=backbone.input_size,
        resize_filter=images.RESIZE_FILTER,
        preprocessing=backbone.preprocessing,
        vector=backbone.vector,
    )
    differences = here.differences(trained)
    if differences:
        raise StoreError(
            f"{run_folder} was trained on other vectors of {trained.backbone}: {'; '.join(differences)}",
            "Give --weights-dir the folder with the weights it was trained on"
            if weights.sha256 != trained.weights
            else "Extract the features again with this version, and train on them",
        )

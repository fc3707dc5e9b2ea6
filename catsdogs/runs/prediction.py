"""A trained run on new photographs: extract what its networks say of them, and let its heads answer."""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from catsdogs.competition import submission
from catsdogs.errors import to_choose_from
from catsdogs.features import feature_file
from catsdogs.features.extract import Settings, extract
from catsdogs.features.feature_file import Unreadable
from catsdogs.photographs.dataset import scan_unlabelled
from catsdogs.runs import run_card
from catsdogs.runs.ensemble import networks_of
from catsdogs.scoring import streaming


@dataclass(frozen=True)
class Prediction:
    """What was written: how many rows, whose probability the columns give, and who could not or was not to be read."""

    rows: int
    columns: str
    unreadable: tuple[Unreadable, ...]
    left_alone: tuple[str, ...]


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
    key = json.dumps([str(data.resolve()), run.backbones])
    folder = cache / hashlib.sha256(key.encode()).hexdigest()[:16]
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

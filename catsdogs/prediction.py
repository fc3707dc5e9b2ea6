"""A trained run on new photographs: extract what its networks say of them, and let its heads answer."""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from catsdogs import runs, store, submission
from catsdogs.backbones import choose
from catsdogs.backbones.weights import obtain
from catsdogs.dataset import scan_unlabelled
from catsdogs.errors import StoreError, TrainingError
from catsdogs.extract import Settings, extract
from catsdogs.store import Recipe, Unreadable


@dataclass(frozen=True)
class Prediction:
    """What was written: how many rows, whose probability the columns give, and who could not be read."""

    rows: int
    columns: str
    unreadable: tuple[Unreadable, ...]


def predict(run_folder: Path, data: Path, target: Path, cache: Path, weights_dir: str | None = None) -> Prediction:
    """Write `target`, a CSV of ids and probabilities for every photograph of `data`.

    Those that cannot be read get the class prior. Vectors are kept below `cache`, so that a second prediction on the
    same photographs computes none.

    Raises:
        CatsdogsError: no such run or photographs; weights that are not those the run was trained on.
    """
    trained = runs.load(run_folder)
    run = trained.run
    recipes = [Recipe(**recipe) for recipe in run.backbones.values()]
    if any(recipe.weights == store.UNKNOWN for recipe in recipes):
        raise TrainingError(
            f"{run_folder} was trained on an old notebook's vectors, of unknown origin",
            "Train on vectors that `catsdogs features` wrote",
        )
    for backbone, recipe in zip(choose([recipe.backbone for recipe in recipes]), recipes, strict=True):
        _refuse_other_recipe(run_folder, replace(recipe, weights=obtain(backbone, weights_dir).sha256), recipe)
    dataset = scan_unlabelled(data)
    asked = json.dumps([str(data.resolve()), run.backbones])
    folder = cache / hashlib.sha256(asked.encode()).hexdigest()[:16]
    by_settings = defaultdict(list)
    for recipe in recipes:
        settings = Settings(weights_dir, recipe.engine, recipe.precision, dtype=recipe.dtype)
        by_settings[settings].append(recipe.backbone)
    for settings, names in by_settings.items():
        extract(dataset, names, folder, settings)
    files = [store.read(store.path_of(folder, recipe.backbone)) for recipe in recipes]
    for file, recipe in zip(files, recipes, strict=True):
        _refuse_other_recipe(run_folder, file.recipe, recipe)
    ids, vectors = store.join(files, "test")
    missing = {photograph.id: run.prior for photograph in files[0].unreadable}
    submission.write(target, list(ids), trained.predict_proba(vectors), run.classes, None, missing)
    columns = run.classes[1] if len(run.classes) == 2 else ", ".join(run.classes)
    return Prediction(len(ids) + len(missing), columns, files[0].unreadable)


def _refuse_other_recipe(run_folder: Path, found: Recipe, trained: Recipe) -> None:
    differences = found.differences(trained)
    if differences:
        raise StoreError(
            f"{run_folder} was trained on other vectors of {trained.backbone}: {'; '.join(differences)}",
            "Give --weights-dir the folder with the weights it was trained on",
        )

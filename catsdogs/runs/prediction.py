"""A trained run on new photographs: extract what its networks say of them, and let its heads answer."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.competition import submission
from catsdogs.errors import DatasetError, StoreError
from catsdogs.features import feature_file, joining, made_elsewhere
from catsdogs.features.extract import Settings, extract
from catsdogs.features.feature_file import Features, Unreadable
from catsdogs.features.recipes import Recipe
from catsdogs.files import storage
from catsdogs.photographs import answer, description
from catsdogs.photographs.dataset import Dataset, scan_asked, scan_unlabelled
from catsdogs.photographs.locations import ABSENT
from catsdogs.photographs.sample import Sample
from catsdogs.photographs.task import BINARY, CLASSES, ID_COLUMN, Task
from catsdogs.runs import run_card
from catsdogs.runs.ensemble import TrainedOn, networks_here, networks_of
from catsdogs.runs.ensemble import made_elsewhere as made_elsewhere_in
from catsdogs.runs.explained import write_maps
from catsdogs.runs.explaining import Explainer
from catsdogs.runs.run_card import Run
from catsdogs.scoring import likeliest, metrics, streaming


class Answers(NamedTuple):
    """What a run says of photographs.

    Attributes:
        run: what is known of it.
        ids: of the photographs.
        values: (n, columns) probabilities or numbers, a row for each id; the class prior of those that are unreadable.
        unreadable, left_alone: as of `Prediction`.
    """

    run: Run
    ids: list[str]
    values: NDArray[np.float64]
    unreadable: tuple[Unreadable, ...]
    left_alone: tuple[str, ...]


@dataclass(frozen=True)
class Prediction:
    """What was written.

    Attributes:
        rows: how many.
        wanted: what stands in them, in words.
        unreadable: the photographs that could not be read, or that a sample submission asks for and that are not there;
            they got the class prior.
        left_alone: names of pictures of kinds that are not read.
        explained: how many maps were written.
    """

    rows: int
    wanted: str
    unreadable: tuple[Unreadable, ...]
    left_alone: tuple[str, ...]
    explained: int = 0


def predict(
    run_folder: Path,
    data: Path,
    target: Path,
    cache: Path,
    weights_dir: str | None = None,
    explain: Path | None = None,
) -> Prediction:
    """Write `target`, a CSV of ids and answers for every photograph of `data`.

    Where a sample submission lies there, for those that it asks for, in its order and form. Vectors are kept below
    `cache`, so that a second prediction on the same photographs computes none. With `explain`, a folder, class
    activation maps of the least certain photographs are written there, see `explained.write_maps`.

    Raises:
        CatsdogsError: no such run or photographs; networks that are not those the run was trained on, or have no maps.
    """
    trained = run_card.load_run(run_folder)
    run = trained.run
    asked = scan_asked(data, run.task.given.get("images", ""))
    dataset, sample = asked or (scan_unlabelled(data), None)
    # What has no maps is refused before hours of work.
    explainer = Explainer(trained, networks_of(run_folder, run, weights_dir)) if explain else None
    networks, copies = networks_here(run_folder, run, weights_dir), _copies(run)
    task = _task_of(run, sample, str(data)) if sample else _without_sample(run)
    gone = [Unreadable("test", id, ABSENT) for id in sample.ids if id not in sample.asked] if sample else []
    folder = _folder_of(cache, data, run)
    files, unreadable = _files_of(run, dataset, networks, copies, folder, weights_dir, sample)
    ids = files[0].ids["test"].tolist() if files else []
    wanted, text = description.wanted(task, run.classes), sample.text if sample else None
    unreadable += gone
    explained = write_maps(explainer, trained, dataset, files, explain) if explainer and explain and files else 0
    if likeliest.are_kept(task, len(ids), len(run.classes)):
        blocks = streaming.blocks(joining.Joined(files, "test"))
        answers = likeliest.predicted(trained.predict, blocks, len(ids), len(run.classes)).cells(task, run.classes)
        others = likeliest.of_prior(np.array(run.prior), len(unreadable)).cells(task, run.classes)
        names = dict(zip((*ids, *(row.id for row in unreadable)), (*answers, *others), strict=True))
        submission.write_names(target, names, run.classes, text, task)
        return Prediction(len(names), wanted, tuple(unreadable), dataset.left_alone, explained)
    predictions = np.empty((0, len(run.classes)))
    if files:
        predictions = streaming.predicted(trained.predict, files, "test")
    missing = {photograph.id: run.prior for photograph in unreadable}
    rule = replace(run.rule, task=task) if task.kind == run.task.kind else None
    submission.write_submission(target, ids, predictions, run.classes, text, missing, task=task, rule=rule)
    return Prediction(len(ids) + len(missing), wanted, tuple(unreadable), dataset.left_alone, explained)


def ask(run_folder: Path, data: Path, cache: Path, weights_dir: str | None = None) -> Answers:
    """What a run says of every photograph of `data`, in memory; a sample submission there is not looked at.

    Raises:
        CatsdogsError: as `predict`, or all answers would not fit into memory.
    """
    trained = run_card.load_run(run_folder)
    run, dataset = trained.run, scan_unlabelled(data)
    networks, copies = networks_here(run_folder, run, weights_dir), _copies(run)
    streaming.check_tables(len(dataset.photographs), len(run.classes))
    files, unreadable = _files_of(run, dataset, networks, copies, _folder_of(cache, data, run), weights_dir, None)
    priors = np.tile(np.array(run.prior), (len(unreadable), 1))
    values = np.concatenate([streaming.predicted(trained.predict, files, "test"), priors])
    ids = [*files[0].ids["test"].tolist(), *(row.id for row in unreadable)]
    return Answers(run, ids, values, tuple(unreadable), dataset.left_alone)


def _copies(run: Run) -> list[Features]:
    """The run's vectors that were made elsewhere, as the folder of its feature files keeps them.

    Raises:
        StoreError: one is gone, or is not what the run was trained on.
    """
    folder, found = storage.place(run.features), []
    for name in made_elsewhere_in(run):
        copy = feature_file.read_features(feature_file.path_of(folder, name))
        if differences := copy.recipe.differences(Recipe(**run.backbones[name])):
            raise StoreError(
                f"{copy.path} is not what the run {run.name} was trained on: {'; '.join(differences)}",
                feature_file.how_to_write(name),
            )
        found.append(copy)
    return found


def _files_of(
    run: Run,
    dataset: Dataset,
    networks: Sequence[TrainedOn],
    copies: Sequence[Features],
    folder: Path,
    weights_dir: str | None,
    sample: Sample | None,
) -> tuple[list[Features], list[Unreadable]]:
    """What the run's networks and copies have of the photographs, in its order, and those that cannot be read."""
    try:
        # Photographs that a copy has no vectors of are refused before hours of work.
        rows = [made_elsewhere.rows_of(dataset, copies)] if copies and dataset.photographs else []
        files = _extracted(dataset, networks, folder, weights_dir)
    except DatasetError as error:  # not one photograph can be read, which costs the answers to the others nothing
        if not sample:
            raise
        return [], [Unreadable("test", row.id, error.problem) for row in dataset.photographs]
    for copy in copies if rows else ():
        target = feature_file.path_of(folder, copy.name)
        files.append(made_elsewhere.of_photographs(copy, (files or rows)[0], target))
    in_order = [file for name in run.backbones for file in files if file.name == name]
    return in_order, list(files[0].unreadable) if files else []


def _folder_of(cache: Path, data: Path, run: Run) -> Path:
    """Where the vectors of these photographs by the run's networks are kept."""
    key = json.dumps([str(data.resolve()), run.backbones])
    return cache / hashlib.sha256(key.encode()).hexdigest()[:16]


def _task_of(run: Run, sample: Sample, root: str) -> Task:
    """The task of a sample submission: the run's own, unless the sample asks for something else."""
    if sample.targets == run.task.targets:
        return replace(run.task, id_column=sample.id_column)
    task = answer.wanted_by(sample, run.classes, {}, root, answer.form_of(run.task))
    return metrics.settle(task, "", "")


def _without_sample(run: Run) -> Task:
    """What is said of photographs for which nothing asks: probabilities of classes, else what the run is for."""
    if run.task.kind in (BINARY, CLASSES):
        return Task.of_classes(run.classes)
    return replace(run.task, id_column=ID_COLUMN, id_form="")


def _extracted(
    dataset: Dataset, networks: Sequence[TrainedOn], folder: Path, weights_dir: str | None
) -> list[Features]:
    """What the networks say of the photographs, a feature file for each; none without photographs."""
    if not (networks and dataset.photographs):
        return []
    by_settings = defaultdict(list)
    for recipe in (network.recipe for network in networks):
        settings = Settings(weights_dir, recipe.engine, recipe.precision, dtype=recipe.dtype)
        by_settings[settings].append(recipe.backbone)
    for settings, names in by_settings.items():
        extract(dataset, names, folder, settings)
    paths = (feature_file.path_of(folder, network.recipe.backbone) for network in networks)
    return [feature_file.read_features(path) for path in paths]

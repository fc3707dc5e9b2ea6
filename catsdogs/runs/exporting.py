"""A run written as one model that answers without this program, and held against `predict` before it is there."""

import contextlib
import io
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from catsdogs import __version__, heads
from catsdogs.demo.drawings import SIZES, draw_pet, draw_scene
from catsdogs.errors import TrainingError
from catsdogs.files import atomic
from catsdogs.files.cards import as_json
from catsdogs.networks import trained as trained_networks
from catsdogs.networks.engines import deployment
from catsdogs.networks.engines.deployment import Formula, Part
from catsdogs.photographs import images
from catsdogs.photographs.task import NUMBER
from catsdogs.runs import run_card
from catsdogs.runs.ensemble import TrainedOn, load_members, look, networks_of, refuse_made_elsewhere
from catsdogs.runs.run_card import EXPORT_FOLDER, Run, TrainedRun
from catsdogs.scoring.training_plan import OLDEST

EXPORT_FORMAT, VERSION = "catsdogs export", 1
MANIFEST_FILE = "manifest.json"
TOLERANCE = 1e-4  # of a probability; of a number as a share of the range that was learnt
CHECKED_ON = 24  # drawn photographs, of which every third is two over each other, so that not all answers are certain
# What the metadata says of the inputs. The resize stays outside, see docs/deploy.md.
TAKES = (
    "of each photograph, upright, a square for each input: uint8 (photographs, size, size, 3), RGB in 0 to 255, "
    "resized before with a filter that is wider where it shrinks, as Pillow's are"
)
_SEED = 0
_COPIES = 3  # of the weights: what was there before, the new model, and what a converter writes on the way


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: with the model's files and the manifest.
        paths: all of these.
        difference: the largest to what `predict` says of the photographs it was checked on; see `TOLERANCE`.
        inputs: name of each input -> side of the square that it takes, in pixels.
    """

    folder: Path
    paths: tuple[Path, ...]
    difference: float
    inputs: dict[str, int]


def export(run_folder: Path, format: str, weights_dir: str | None = None) -> Exported:
    """Write `export/<format>/` in a run's folder: the model, and `manifest.json` with the SHA-256 of each file.

    Networks, heads and calibration are inside. What was there before is replaced once the model has answered as
    `predict` does.

    Raises:
        UnknownNameError, UsageError: no such run or format, or its packages are not installed.
        TrainingError: a head that is no matrix, or a model that answers otherwise than `predict`.
        CatsdogsError: networks that are not those the run was trained on, or that cannot be exported.
        StoreError: the folder cannot be written.
    """
    deployment.check_format(format)
    refuse(run_folder, run_card.read_run(run_folder))
    trained = run_card.load_run(run_folder)
    formula = formula_of(trained)
    networks = networks_of(run_folder, trained.run, weights_dir)
    for network in networks:
        deployment.check_backbone(network.backbone)
    sizes = [network.weights.path.stat().st_size for network in networks if network.weights.path]
    atomic.check_free_space(run_folder, _COPIES * sum(sizes))
    target = run_folder / EXPORT_FOLDER / format
    work = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    atomic.clear_leftovers(target)
    try:
        with atomic.write_errors(target):
            work.mkdir(parents=True)
            about = _about(trained.run, networks)
            parts = [Part(network.backbone, network.weights, network.recipe.dtype) for network in networks]
            deployment.write(format, parts, formula, as_json(about), work)
            difference = check(format, work, trained, networks)
            _write_manifest(work, about, difference)
            atomic.put_folder(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        with contextlib.suppress(OSError):  # of a folder that holds other formats
            target.parent.rmdir()
    sides = {name: fit.size for name, fit in deployment.inputs_of([one.backbone for one in networks]).items()}
    return Exported(target, tuple(sorted(target.iterdir())), difference, sides)


def formula_of(trained: TrainedRun) -> Formula:
    """The matrices of a run's heads, see `refuse`, and what is done to what they give."""
    run = trained.run
    parts: Sequence[Any] = [getattr(head, "parts_", [head])[0] for head in trained.heads]
    is_number, calibration = run.task.kind == NUMBER, run.submitted_calibration
    ranges = [[getattr(head, name) for head in trained.heads] if is_number else [] for name in ("least_", "most_")]
    return Formula(
        kind=run.task.kind,
        coef=np.stack([part.coef_ for part in parts]),
        intercept=np.stack([part.intercept_ for part in parts]),
        groups=1 if run.refit or run.version == OLDEST else len(parts) // run.repeats,
        temperature=calibration.temperature,
        clip=calibration.clip,
        least=np.array(ranges[0]),
        most=np.array(ranges[1]),
        scores_are_shares=is_number and bool(getattr(parts[0], "is_number_", False)),
    )


def refuse(run_folder: Path, run: Run) -> None:
    """Refuse what `run.json` says cannot be exported, before heads are read and weights looked for.

    Raises:
        TrainingError: heads that are no matrices, a run blended of others, or vectors made elsewhere.
        WeightsError: networks of timm or KerasHub.
    """
    linear = heads.linear_names()
    if run.blend or run.head not in linear:
        what = "is blended of other runs" if run.blend else f"has the head {run.head}, which is no matrix"
        remedy = f"Train a run with --head {', '.join(linear[:-1])} or {linear[-1]}"
        raise TrainingError(f"The run {run.name} cannot be exported: it {what}", remedy)
    refuse_made_elsewhere(run_folder, run)
    for name in run.backbones:
        deployment.check_name(name)


def check(format: str, folder: Path, trained: TrainedRun, networks: Sequence[TrainedOn]) -> float:
    """The largest difference between a written model's answers, in its own runtime, and those of `predict`.

    Raises:
        TrainingError: it is more than `TOLERANCE`.
    """
    fits = deployment.inputs_of([network.backbone for network in networks])
    wanted = {*fits.values(), *(network.backbone.fit for network in networks)}
    pixels = [images.load(data, wanted) for data in drawn()]
    members = load_members(networks)
    right = trained.predict(np.concatenate([look(members, one)[1] for one in pixels]))
    answers = deployment.read(format, folder / deployment.MODEL_FILES[format])
    given = {name: np.concatenate([one.by_fit[fit] for one in pixels]) for name, fit in fits.items()}
    found = difference(np.asarray(answers(given), np.float64), right, trained)
    if not found <= TOLERANCE:  # NaN is none
        precisions = sorted({network.recipe.precision for network in networks} - {"float32"})
        raise TrainingError(
            f"The model as {format} answers otherwise than predict, by {found:.2g}, and {TOLERANCE:g} is allowed",
            f"Extract the features again with --precision float32, not {', '.join(precisions)}, and train on them"
            if precisions
            else "Choose another format",
        )
    return found


def difference(answers: NDArray[np.float64], right: NDArray[np.float64], trained: TrainedRun) -> float:
    """The largest between two (n, columns) answers; of numbers as a share of the range that was learnt."""
    apart = np.abs(answers - right)
    if trained.run.task.kind == NUMBER:
        formula = formula_of(trained)
        apart = apart / np.maximum((formula.most - formula.least).mean(axis=0), np.finfo(float).tiny)
    return float(apart.max())


def drawn() -> list[bytes]:
    """JPEGs of cats, dogs and places, the same each time."""
    random, files = np.random.default_rng(_SEED), []
    for number in range(CHECKED_ON):
        size = SIZES[number % len(SIZES)]
        picture = draw_pet("dog" if number % 2 else "cat", random, size)
        if number % 3 == 2:
            picture = Image.blend(picture, draw_scene(random, size), 0.6)
        picture.save(buffer := io.BytesIO(), "JPEG", quality=90)
        files.append(buffer.getvalue())
    return files


def _about(run: Run, networks: Sequence[TrainedOn]) -> dict[str, Any]:
    """The model's metadata."""
    fits = deployment.inputs_of([network.backbone for network in networks])
    inputs = [{"name": name, **fit._asdict()} for name, fit in fits.items()]
    return {
        "format": EXPORT_FORMAT,
        "version": VERSION,
        "package_version": __version__,
        "run": run.name,
        "created": run.created,
        "kind": run.task.kind,
        "labels": run.classes,
        "thresholds": run.thresholds,
        "takes": TAKES,
        "inputs": [{name: value for name, value in one.items() if name != "views"} for one in inputs],
        "networks": [{"name": one.recipe.backbone, "weights": one.weights.sha256} for one in networks],
        "calibration": asdict(run.submitted_calibration),
    }


def _write_manifest(folder: Path, about: dict[str, Any], difference: float) -> None:
    files = {path.name: trained_networks.file_digest(path) for path in sorted(folder.iterdir())}
    checked = {"photographs": CHECKED_ON, "of": "drawings", "largest_difference_to_predict": difference}
    text = as_json(about | {"checked": checked, "sha256": files})
    (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")

"""Trains a network on photographs and writes its folder, `networks/<name>/`.

Each of its members is finished before the next begins, and goes on where a kill left it.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs import __version__
from catsdogs.errors import TrainingError
from catsdogs.files import atomic, locks, storage
from catsdogs.files.atomic import replacing, write_errors
from catsdogs.finetuning import trainer
from catsdogs.finetuning.hyperparameters import Hyperparameters
from catsdogs.finetuning.lesson import Lesson
from catsdogs.finetuning.objectives import Predictions
from catsdogs.finetuning.trainer import Trainer
from catsdogs.networks import choice, hub_rows, trained, weights
from catsdogs.networks.trained import ALL, Card, Learnt
from catsdogs.scoring import curves, grades
from catsdogs.scoring.curves import Curves
from catsdogs.scoring.grades import Grade

MEMBER_CURVES_FILE = "curves.png"
_SETTINGS_FILE = "plan.json"  # of an unfinished training; earlier versions named it


def finetune(
    lesson: Lesson,
    hyperparameters: Hyperparameters,
    *,
    name: str,
    command: str,
    weights_dir: str | None = None,
    device_choice: str = "one",
    force: bool = False,
    teacher: str = "",
    soft_labels: NDArray[np.float64] | None = None,
) -> Card:
    """Train the members, and write the folder of the network, whole or not at all; returns its card.

    Args:
        device_choice: see `devices`.
        force: replace the network of that name.
        teacher: the run that `soft_labels`, (n_train, c) probabilities, come from: then the network is distilled.

    Raises:
        CatsdogsError: a name that is taken, an unfinished training with other settings, weights that are not at hand.
    """
    trained.check_free(name, force)
    target, work = trained.FOLDER / name, trained.FOLDER / f".{name}.part"
    base = choice.to_train(hyperparameters.base, weights_dir, hyperparameters.input_size)
    with locks.hold_folder(work):
        start = None
        if not hyperparameters.from_scratch:
            start = weights.obtain(base, weights_dir)
            if start.sha256 == weights.RANDOM_WEIGHTS:
                raise TrainingError("Random weights are nothing to start from", "Give --weights-dir a folder, or none")
        base_weights = start.sha256 if start else ""
        settings = {**asdict(hyperparameters), "teacher": teacher, "rows": _digest_of_lesson(lesson, soft_labels)}
        _resume_or_clear(work, settings | {"weights": base_weights}, force)
        if base.folder:
            hub_rows.copy_description(base.folder, work)
        training = Trainer(lesson, hyperparameters, start, work, device_choice, soft_labels)
        provenance = {
            "name": name,
            "base": base.name,
            "command": command,
            "base_weights": base_weights,
            "teacher": teacher,
        }
        card = _train_and_write(training, work, lesson, hyperparameters, **provenance)
        _publish(work, target)
        # Only now, so that a kill before it costs nothing.
        (target / _SETTINGS_FILE).unlink(missing_ok=True)
        trainer.clear_progress(target, card.weights)
    return card


def _train_and_write(
    training: Trainer, work: Path, lesson: Lesson, hyperparameters: Hyperparameters, **provenance: Any
) -> Card:
    """Train, and write what was learnt from, the learning curves, and last the card, which `provenance` is part of."""
    histories, predictions = training.train_all()
    test, held_out = predictions.pop(ALL), list(predictions.values())
    scores = _grades(hyperparameters, held_out, test) or [_grade_of_validation(histories[ALL], training)]
    learnt = Learnt(np.array([row.id for row in lesson.train], object), lesson.digests, lesson.labels, lesson.folds)
    # Probabilities of pairs are none of a photograph.
    columns = {} if hyperparameters.learns_from_pairs else _out_of_fold_columns(lesson, held_out)
    trained.write_learnt(work, learnt, lesson.dataset.classes, columns)
    tricks = f" with {', '.join(hyperparameters.tricks)}" if hyperparameters.tricks else ""
    with replacing(work / MEMBER_CURVES_FILE) as temporary:
        title = f"{provenance['name']}: {provenance['base']}{tricks}\n{scores[0]}"
        curves.draw_curves(temporary, list(histories.values()), title, "members")
    card = Card(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        package_version=__version__,
        classes=lesson.dataset.classes,
        folds=max(1, int(lesson.folds.max())),
        source=str(lesson.dataset.root.resolve()),
        weights={member: trained.file_digest(trained.weights_path(work, member)) for member in histories},
        learnt=trained.file_digest(work / trained.LEARNT_FILE),
        scores=tuple(map(str, scores)),
        **asdict(hyperparameters) | provenance,
    )
    trained.write_card(work, card)
    return card


def _grades(hyperparameters: Hyperparameters, held_out: Sequence[Predictions], test: Predictions) -> list[Grade]:
    """Of photographs that were not learnt from, if there are any; the first is the one to quote."""
    scores: list[Grade] = []
    noun = "pairs of photographs" if hyperparameters.learns_from_pairs else "photographs"
    if held_out:
        joined = Predictions(*map(np.concatenate, zip(*held_out, strict=True)))
        scores.append(grades.score(*joined, f"out of fold, {len(joined.labels):,} {noun}, {len(held_out)} folds"))
    if len(test.labels):
        scores.append(grades.score(*test, f"held out, {len(test.labels):,} {noun}"))
    return scores


def _grade_of_validation(history: Curves, training: Trainer) -> Grade:
    """Of what chose the epoch: a score only where there is nothing else."""
    best, rows = int(np.argmin(history["val_loss"])), training.count_validation()
    measured_on = f"validation, {rows:,} photographs, which also chose the epoch"
    return Grade(history["val_loss"][best], math.nan, history["val_accuracy"][best], rows, measured_on)


def _out_of_fold_columns(lesson: Lesson, held_out: Sequence[Predictions]) -> dict[str, NDArray[np.float64]]:
    """Class -> (n_train,) its out-of-fold probability; nothing where there is none."""
    if not held_out:
        return {}
    probabilities = np.empty((len(lesson.train), len(lesson.dataset.classes)))
    for fold, predictions in enumerate(held_out, start=1):
        probabilities[lesson.folds == fold] = predictions.probabilities
    return {f"p_{name}": probabilities[:, column] for column, name in enumerate(lesson.dataset.classes)}


def _digest_of_lesson(lesson: Lesson, soft_labels: NDArray[np.float64] | None) -> str:
    hashed = hashlib.sha256(json.dumps([lesson.dataset.classes, [row.id for row in lesson.test]]).encode())
    for array in (lesson.digests, lesson.labels, lesson.folds, soft_labels):
        hashed.update(b"" if array is None else array.tobytes())
    return hashed.hexdigest()


def _resume_or_clear(work: Path, settings: dict[str, Any], force: bool) -> None:
    """Go on with an unfinished training of the same settings; begin where there is none."""
    path, settings = work / _SETTINGS_FILE, json.loads(json.dumps(settings))
    if storage.exists(path):
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise storage.read_error(path, error) from None
        if kept == settings:
            return
        if not force:
            names = ", ".join(name for name in settings if kept.get(name) != settings[name])
            raise TrainingError(
                f"{work} holds an unfinished training with other settings ({names})",
                "Repeat its command to go on with it, or give --force to begin anew",
            )
    for leftover in work.iterdir():
        if not leftover.name.startswith(locks.LOCK_FILE):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(settings), encoding="utf-8")


def _publish(work: Path, target: Path) -> None:
    """Give the finished folder its name."""
    with write_errors(target):
        atomic.put_folder(work, target)
        (target / (locks.LOCK_FILE + locks.SOFT)).unlink(missing_ok=True)  # of the work folder, which it was

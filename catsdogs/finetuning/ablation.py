"""Tricks one by one over the same base, on the same folds: what each does to the log loss, and what is noise."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from catsdogs.files import locks, tables
from catsdogs.files.atomic import replacing
from catsdogs.finetuning.hyperparameters import Hyperparameters
from catsdogs.finetuning.lesson import Lesson
from catsdogs.finetuning.objectives import Predictions
from catsdogs.finetuning.trainer import Trainer
from catsdogs.finetuning.tricks import parse_tricks
from catsdogs.networks import choice, trained
from catsdogs.networks.weights import obtain
from catsdogs.scoring import measuring

ABLATION_FILE, ABLATION_CHART_FILE = "ablation.csv", "ablation.png"
BASE, AGAIN = "(base)", "(base again, another seed)"
CLEAR = 2.0  # standard errors
_OTHER_SEED = 1000


class TrickResult(NamedTuple):
    """One training of all folds.

    Attributes:
        trick: its name, `BASE`, or `AGAIN`: the base once more with other random weights and another order, whose
            difference is nothing but chance.
        log_loss, accuracy: of all photographs, each judged by the member that never saw it.
        difference: of the log losses, this less the base's; negative is better. 0 for the base itself.
        standard_error: of the difference, over photographs.
        verdict: better, worse or noise: beyond `CLEAR` standard errors and beyond the difference of `AGAIN`.
    """

    trick: str
    log_loss: float
    accuracy: float
    difference: float
    standard_error: float
    verdict: str


def ablate(
    lesson: Lesson, hyperparameters: Hyperparameters, tricks: Sequence[str], weights_dir: str | None = None
) -> list[TrickResult]:
    """Train the base, the base again, and the base with each trick, by cross-validation; what is done is kept.

    A training that was killed goes on with the cell under way.

    Raises:
        CatsdogsError: as `finetune`; a trick that would do nothing.
    """
    base = choice.to_train(hyperparameters.base, weights_dir, hyperparameters.input_size)
    weights = None if hyperparameters.from_scratch else obtain(base, weights_dir)
    cells = {BASE: hyperparameters, AGAIN: replace(hyperparameters, seed=hyperparameters.seed + _OTHER_SEED)}
    for trick in tricks:
        cells[trick] = replace(hyperparameters, tricks=parse_tricks(",".join((*hyperparameters.tricks, trick))))
    identity = [asdict(hyperparameters), lesson.digests.tolist(), lesson.labels.tolist(), lesson.folds.tolist()]
    root = trained.FOLDER / f".ablation-{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]}"
    losses, accuracy = {}, {}
    with locks.hold_folder(root):
        for number, (name, cell) in enumerate(cells.items(), start=1):
            trainer = Trainer(lesson, cell, weights, root / name.strip("()").replace(" ", "-"), "one")
            predictions = []
            for fold, held_out in lesson.rows_by_fold().items():
                place = f"{name}, {number} of {len(cells)}"
                predictions.append(trainer.train(f"fold-{fold}", place, fold, held_out)[1])
            joined = Predictions(*map(np.concatenate, zip(*predictions, strict=True)))
            losses[name] = measuring.log_losses(*joined)
            accuracy[name] = float((joined.probabilities.argmax(axis=1) == joined.labels).mean())
        shutil.rmtree(root, ignore_errors=True)
    chance = abs(float((losses[AGAIN] - losses[BASE]).mean()))
    results = []
    for name, values in losses.items():
        mean, error = measuring.mean_and_error(values - losses[BASE])
        clear = abs(mean) > CLEAR * error and abs(mean) > chance and name not in (BASE, AGAIN)
        verdict = ("better" if mean < 0 else "worse") if clear else "noise"
        results.append(TrickResult(name, float(values.mean()), accuracy[name], mean, error, verdict))
    return results


def format_ablation(results: Sequence[TrickResult]) -> str:
    """The results as aligned text, best first, the base and the base again on top."""
    lines = [f"{'trick':<28}{'log loss':>9}{'accuracy':>10}{'difference to the base':>26}"]
    for result in _ordered(results):
        difference = "" if result.trick == BASE else f"{result.difference:+.4f} ± {result.standard_error:.4f}"
        verdict = "" if result.trick in (BASE, AGAIN) else f"  {result.verdict}"
        lines.append(f"{result.trick:<28}{result.log_loss:>9.4f}{result.accuracy:>10.2%}{difference:>26}{verdict}")
    return "\n".join(lines)


def write_ablation(path: Path, results: Sequence[TrickResult]) -> None:
    """The results as a CSV, in the order of `format_ablation`."""
    tables.write_table(path, TrickResult._fields, _ordered(results))


def draw_ablation(path: Path, results: Sequence[TrickResult], title: str) -> None:
    """A PNG: each trick's difference to the base with two standard errors, and a band as wide as chance."""
    from matplotlib.figure import Figure

    shown = [result for result in _ordered(results) if result.trick != BASE][::-1]
    colours = {"better": "#228833", "worse": "#cc3311", "noise": "#888888"}
    figure = Figure(figsize=(8, 1.4 + 0.32 * len(shown)), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots()
    chance = next(abs(result.difference) for result in results if result.trick == AGAIN)
    axes.axvspan(-chance, chance, color="#dddddd", label="as far as another seed moves the base")
    for place, result in enumerate(shown):
        error = CLEAR * result.standard_error
        axes.errorbar(result.difference, place, xerr=error, fmt="o", color=colours[result.verdict], capsize=3)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [result.trick for result in shown])
    axes.set_xlabel("log loss less the base's, with two standard errors; left is better")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8, loc="outside lower right")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _ordered(results: Sequence[TrickResult]) -> list[TrickResult]:
    first = [BASE, AGAIN]
    return sorted(results, key=lambda result: (result.trick not in first, result.trick == AGAIN, result.log_loss))

"""Tricks one by one over the same base, on the same folds: what each does to the log loss, and what is noise."""

import csv
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from catsdogs.files import locks
from catsdogs.files.atomic import replacing
from catsdogs.finetuning import fit
from catsdogs.finetuning.finetune import Lesson, Trainer, fold_rows
from catsdogs.finetuning.objectives import Answers
from catsdogs.finetuning.plans import Hyperparameters
from catsdogs.finetuning.tricks import parse
from catsdogs.networks import trained
from catsdogs.networks.table import BACKBONES
from catsdogs.networks.weights import obtain
from catsdogs.scoring import grades

TABLE_FILE, CHART_FILE = "ablation.csv", "ablation.png"
BASE, AGAIN = "(base)", "(base again, another seed)"
CLEAR = 2.0  # standard errors
_OTHER_SEED = 1000


@dataclass(frozen=True)
class TrickResult:
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
    taught: Lesson, plan: Hyperparameters, tricks: Sequence[str], weights_dir: str | None = None
) -> list[TrickResult]:
    """Train the base, the base again, and the base with each trick, by cross-validation; what is done is kept.

    Killed and started again it goes on with the cell under way.

    Raises:
        CatsdogsError: as `finetune`; a trick that would do nothing.
    """
    weights = None if plan.from_scratch else obtain(BACKBONES[plan.base], weights_dir)
    cells = {BASE: plan, AGAIN: replace(plan, seed=plan.seed + _OTHER_SEED)}
    cells |= {trick: replace(plan, tricks=parse(",".join((*plan.tricks, trick)))) for trick in tricks}
    made_of = [asdict(plan), taught.digests.tolist(), taught.labels.tolist(), taught.folds.tolist()]
    root = trained.FOLDER / f".ablation-{hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:12]}"
    losses, accuracy = {}, {}
    with locks.hold_folder(root):
        for number, (name, cell) in enumerate(cells.items(), start=1):
            trainer = Trainer(taught, cell, weights, root / name.strip("()").replace(" ", "-"), "one")
            answers = []
            for fold, held in fold_rows(taught).items():
                which = f"{name}, {number} of {len(cells)}"
                answers.append(trainer.train(f"fold-{fold}", which, fold, held)[1])
            said = Answers(*map(np.concatenate, zip(*answers, strict=True)))
            losses[name] = grades.log_losses(*said)
            accuracy[name] = float((said.probabilities.argmax(axis=1) == said.right).mean())
        fit.clear(root)
    chance = abs(float((losses[AGAIN] - losses[BASE]).mean()))
    entries = []
    for name, values in losses.items():
        differences = values - losses[BASE]
        error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
        mean = float(differences.mean())
        clear = abs(mean) > CLEAR * error and abs(mean) > chance and name not in (BASE, AGAIN)
        verdict = ("better" if mean < 0 else "worse") if clear else "noise"
        entries.append(TrickResult(name, float(values.mean()), accuracy[name], mean, error, verdict))
    return entries


def format_table(entries: Sequence[TrickResult]) -> str:
    """The entries as aligned text, best first, the base and the base again on top."""
    lines = [f"{'trick':<28}{'log loss':>9}{'accuracy':>10}{'difference to the base':>26}"]
    for entry in _ordered(entries):
        difference = "" if entry.trick == BASE else f"{entry.difference:+.4f} ± {entry.standard_error:.4f}"
        verdict = "" if entry.trick in (BASE, AGAIN) else f"  {entry.verdict}"
        lines.append(f"{entry.trick:<28}{entry.log_loss:>9.4f}{entry.accuracy:>10.2%}{difference:>26}{verdict}")
    return "\n".join(lines)


def write_ablation(path: Path, entries: Sequence[TrickResult]) -> None:
    """The entries as a CSV, in the order of `format_table`."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, asdict(entries[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(entry) for entry in _ordered(entries))


def draw_ablation(path: Path, entries: Sequence[TrickResult], title: str) -> None:
    """A PNG: each trick's difference to the base with two standard errors, and a band as wide as chance."""
    from matplotlib.figure import Figure

    shown = [entry for entry in _ordered(entries) if entry.trick != BASE][::-1]
    colours = {"better": "#228833", "worse": "#cc3311", "noise": "#888888"}
    figure = Figure(figsize=(8, 1.4 + 0.32 * len(shown)), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots()
    chance = next(abs(entry.difference) for entry in entries if entry.trick == AGAIN)
    axes.axvspan(-chance, chance, color="#dddddd", label="as far as another seed moves the base")
    for place, entry in enumerate(shown):
        error = CLEAR * entry.standard_error
        axes.errorbar(entry.difference, place, xerr=error, fmt="o", color=colours[entry.verdict], capsize=3)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [entry.trick for entry in shown])
    axes.set_xlabel("log loss less the base's, with two standard errors; left is better")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8, loc="outside lower right")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _ordered(entries: Sequence[TrickResult]) -> list[TrickResult]:
    first = [BASE, AGAIN]
    return sorted(entries, key=lambda entry: (entry.trick not in first, entry.trick == AGAIN, entry.log_loss))

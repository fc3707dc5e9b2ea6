"""Compares heads on sets of networks, all on the same folds, and says which differences are noise: `simultaneous`."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs import heads
from catsdogs.cleaning import duplicates
from catsdogs.cleaning.decisions import Corrections
from catsdogs.errors import TrainingError, UsageError
from catsdogs.features import joining
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import ALWAYS_LEARNT
from catsdogs.features.scaling import Vectors
from catsdogs.photographs.task import Task
from catsdogs.progress import Progress
from catsdogs.scoring import (
    crossval,
    judging,
    kept_heads,
    measuring,
    metrics,
    process_memory,
    simultaneous,
    streaming,
)
from catsdogs.scoring.measuring import Measurement
from catsdogs.scoring.metrics import LOG_LOSS
from catsdogs.scoring.training_plan import TrainingRows, check_trainable

NOISE, WORSE = "noise", "worse"
# A difference named beforehand is noise within as many of its own: chance alone gives that 19 times of 20. It is the
# limit of tables that were written before `noise_limit` stood in them.
STANDARD_ERRORS = simultaneous.BEFOREHAND


@dataclass(frozen=True)
class Entry:
    """A line of the table: one head on one set of networks, out of fold.

    Attributes:
        log_loss, accuracy: over all photographs, each of which counts with its mean over the repeats.
        standard_error: of the log loss, over photographs. It says nothing of other photographs to learn from.
        difference, difference_error: the metric's value minus the first line's, on the same photographs; its standard
            error, see `simultaneous.family`. Copies and groups count as one photograph in it.
        seconds: to fit and ask all folds of one repeat; the median of the repeats.
        verdict: empty for the first line; `NOISE` where the difference is within `Comparison.limit` standard errors;
            else `WORSE`.
        value, value_error: of the metric, where it is not log loss, and its standard error.
        gflops: billions of floating-point operations that the networks take for a photograph, if all are known.
        memory: bytes by which this process grew at most while the folds of a repeat were fitted and asked, the vectors
            themselves not counted; of the repeats the most. See `process_memory.rise`.
    """

    head: str
    backbones: tuple[str, ...]
    log_loss: float
    standard_error: float
    accuracy: float
    difference: float
    difference_error: float
    seconds: float
    verdict: str
    value: float = math.nan
    value_error: float = math.nan
    gflops: float = math.nan
    memory: float = math.nan

    @property
    def networks(self) -> str:
        """`EfficientNetLite0+1+2 + Xception`: names that differ only in the number at their end are joined."""
        parts = [re.fullmatch(r"(.*?)(\d*)", name).groups() for name in self.backbones]  # type: ignore[union-attr]
        groups = [(stem, [number for _, number in group]) for stem, group in groupby(parts, lambda part: part[0])]
        return " + ".join(stem + "+".join(numbers) for stem, numbers in groups)


@dataclass(frozen=True)
class Comparison:
    """The table, best first, and on what and how it was measured.

    Attributes:
        metric: the name of what ranks the entries, see `metrics`.
        measured_on, refused: in words, and a sentence for each head and set of networks that could not be fitted; both
            are empty of a table that was read back.
        written: when that table was written, in seconds since 1970.
        limit: how many of its standard errors a difference may have and still be noise.
    """

    entries: tuple[Entry, ...]
    rows: int
    folds: int
    repeats: int
    measured_on: str = ""
    refused: tuple[str, ...] = ()
    written: float = 0.0
    metric: str = LOG_LOSS
    limit: float = STANDARD_ERRORS

    @property
    def is_by_log_loss(self) -> bool:
        """Whether log loss ranks the entries; else it stands beside what does."""
        return self.metric == LOG_LOSS

    @property
    def ranked_by(self) -> str:
        """The metric as one says it."""
        return "log loss" if self.is_by_log_loss else self.metric

    def value_of(self, entry: Entry) -> tuple[float, float]:
        """What ranks a line, and its standard error."""
        return (entry.log_loss, entry.standard_error) if self.is_by_log_loss else (entry.value, entry.value_error)

    @property
    def networks(self) -> list[str]:
        """The sets of networks that were compared, in short, each once."""
        return list(dict.fromkeys(entry.networks for entry in self.entries))

    def label(self, entry: Entry) -> str:
        """What tells a line from the others: its head, and its networks where there are several sets."""
        return entry.head if len(self.networks) == 1 else f"{entry.head} on {entry.networks}"


class _Outcome(NamedTuple):
    """An entry as if it were the first, and what ranks it.

    Attributes:
        measured: the mean of the deals; what hangs together is one part of it.
        deals: the value of each deal.
    """

    entry: Entry
    measured: Measurement
    deals: list[float]


_Folds = Mapping[int, NDArray[np.int64]]  # the seed of each repeat -> the (n_train,) numbers of its folds


def compare(
    sets: Sequence[Sequence[Features]],
    head_names: Sequence[str],
    folds: int,
    repeats: int,
    seed: int,
    corrections: Corrections,
) -> Comparison:
    """Cross-validate every head on every set of networks, with the same folds for all; repeat r draws them by seed + r.

    Out-of-fold probabilities are calibrated as `train` does, each fold's on the other folds. Heads learn from corrected
    labels and not from dropped photographs, but all photographs are scored, against the labels as given: what a person
    corrected after looking at a head's mistakes would flatter that head. Copies share a fold, and vectors that are too
    much for the memory are streamed, both as in `train`.

    The metric is that of the first feature file's task. A head may bring settings, as in `logistic[C=0.1]`.

    Raises:
        UsageError, UnknownNameError: a head or a set of networks given twice, no such head; folds, repeats or a seed
            that cannot be used.
        TrainingError: as `check_trainable`, `kept_heads.check_heads` and `training.train`; no head at all
            can take the vectors.
        StoreError: files that hold different rows, or are damaged.
    """
    _check_arguments(sets, head_names, repeats, sets[0][0].task.kind)
    seeds = range(seed, seed + repeats)
    files = list({file.path: file for networks in sets for file in networks}.values())
    rows = check_trainable(files, corrections.drop, corrections.relabel)
    rows = rows.with_copies(duplicates.find_copies(rows.files))
    rows.check_folds(folds, seeds)
    for head, settings in map(heads.settled, head_names):  # what `train` would refuse is not recommended to it
        kept_heads.check_heads(sets[0], rows.kept, [head], seed, settings)
    for file in rows.files:
        streaming.check_columns([file])  # 0.6 s for 25,000 x 3,840: no fit is lost to a network found bad after it
    dealt, task = {one: rows.deal(folds, one) for one in seeds}, rows.task
    total = len(sets) * len(head_names) * repeats * folds
    with Progress(total=total, description=head_names[0], unit="fit") as progress:
        outcomes = [
            outcome for networks in sets for outcome in _outcomes(networks, head_names, rows, dealt, task, progress)
        ]
    refusals = [outcome for outcome in outcomes if isinstance(outcome, TrainingError)]
    fitted = [outcome for outcome in outcomes if not isinstance(outcome, TrainingError)]
    if not fitted:
        raise refusals[0]
    refused = tuple(refusal.problem for refusal in refusals)
    measured_on = _measured_on(rows, dealt, folds, task)
    entries, limit = _ranked(fitted, metrics.find(task.metric).higher_is_better, folds)
    scored = int(np.count_nonzero(_scored(dealt)))
    return Comparison(entries, scored, folds, repeats, measured_on, refused, metric=task.metric, limit=limit)


def _check_arguments(sets: Sequence[Sequence[Features]], head_names: Sequence[str], repeats: int, kind: str) -> None:
    _refuse_twice("head", head_names, str)
    _refuse_twice("set of networks", sets, lambda files: ",".join(sorted(file.name for file in files)))
    if repeats < 1:
        raise UsageError(f"{repeats} repeats", "Give --repeats a number of 1 or more")
    for name, settings in map(heads.settled, head_names):
        heads.create(name, kind=kind, **settings)


def _refuse_twice(kind: str, given: Sequence[Any], name_of: Callable[[Any], str]) -> None:
    names = [name_of(item) for item in given]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"The {kind} {name} is given twice", "Name it once")


def _outcomes(
    files: Sequence[Features],
    head_names: Sequence[str],
    rows: TrainingRows,
    dealt: _Folds,
    task: Task,
    progress: Progress,
) -> list[_Outcome | TrainingError]:
    """Of every head on one set of networks, whose vectors are in memory no longer than this takes."""
    X = None if streaming.is_needed(files) else joining.Joined(files, "train", first=rows.first).read()
    outcomes: list[_Outcome | TrainingError] = []
    for name in head_names:
        progress.set_description(name)
        try:
            outcomes.append(_outcome(X, files, name, rows, dealt, task, progress.update))
        except TrainingError as error:  # one head that cannot take these rows does not cost the others' fits
            outcomes.append(error)
    return outcomes


def _outcome(
    X: Vectors | None,
    files: Sequence[Features],
    head: str,
    rows: TrainingRows,
    dealt: _Folds,
    task: Task,
    advance: Callable[..., object],
) -> _Outcome:
    """What one head comes to; without `X` it is streamed."""
    widths, right, target, values = (
        tuple(file.width for file in files),
        rows.truth,
        rows.to_learn,
        judging.grades_of(task, rows.first.classes),
    )
    losses, by_metric, accuracy, seconds, memory = list[Measurement](), list[Measurement](), 0.0, [], []
    scored, (name, settings) = _scored(dealt), heads.settled(head)
    for seed, fold in dealt.items():
        make = partial(heads.create, name, seed, widths, task.kind, **settings)
        of_rows = target, rows.kept, fold
        with process_memory.rise() as rise:
            if X is None:
                crossed = streaming.cross_validate_blocks(files, *of_rows, make, seed, first=rows.first, kind=task.kind)
                advance(len(crossed.heads))
            else:
                crossed = crossval.cross_validate(X, *of_rows, make, advance, pictures=rows.groups, kind=task.kind)
        judged = judging.cross_fitted(crossed.predictions, right, fold, task, values)
        losses.append(judging.measure_log_loss(judged, right, task, scored))
        accuracy += judging.accuracy(judged, right, task, scored) / len(dealt)
        if task.metric != LOG_LOSS:
            by_metric.append(judging.measure(judged, right, task, scored))
        seconds.append(crossed.seconds)
        memory.append(rise.value)
    backbones, typical = tuple(file.name for file in files), float(np.median(seconds))
    loss = measuring.mean_of(losses)
    found = (loss.value, loss.standard_error, accuracy, 0.0, 0.0, typical, "")
    entry = Entry(head, backbones, *found, gflops=_gflops(files), memory=max(memory))
    if task.metric != LOG_LOSS:
        measured = measuring.mean_of(by_metric)
        entry = replace(entry, value=measured.value, value_error=measured.standard_error)
    ranking = by_metric or losses
    together = measuring.mean_of([one.together(rows.pictures[scored]) for one in ranking])
    return _Outcome(entry, together, [one.value for one in ranking])


def _gflops(files: Sequence[Features]) -> float:
    """What a photograph costs in all networks. Several vectors that one of them gives in a pass cost as much as one."""
    cost_of = {
        (recipe.backbone.partition("@")[0], recipe.input_size, recipe.resize, recipe.views): file.gflops
        for file, recipe in ((file, file.recipe) for file in files)
    }
    return sum(cost_of.values()) if all(cost_of.values()) else math.nan


def _scored(dealt: _Folds) -> NDArray[np.bool_]:
    """(n_train,) the rows that are held out once in every repeat."""
    scored: NDArray[np.bool_] = (np.stack([*dealt.values()]) != ALWAYS_LEARNT).all(axis=0)
    return scored


def _ranked(outcomes: Sequence[_Outcome], higher_is_better: bool, folds: int) -> tuple[tuple[Entry, ...], float]:
    """The entries by what ranks them, with their differences to the first, and of how many errors these are noise."""
    sign = -1 if higher_is_better else 1
    ordered = sorted(outcomes, key=lambda outcome: sign * outcome.measured.value)
    measurements, deals = [one.measured for one in ordered], np.array([one.deals for one in ordered])
    family = simultaneous.family(measurements, deals, folds)
    first, *others = ordered
    entries = [first.entry]
    for outcome, error in zip(others, family.errors[0, 1:].tolist(), strict=True):
        difference, _ = outcome.measured.minus(first.measured)
        # Two heads that agree to the last digit differ by 0 ± 0, which is noise as well; so is what is not known.
        verdict = WORSE if abs(difference) > family.limit * error else NOISE
        entries.append(replace(outcome.entry, difference=difference, difference_error=error, verdict=verdict))
    return tuple(entries), family.limit


def _measured_on(rows: TrainingRows, dealt: _Folds, folds: int, task: Task) -> str:
    scored = np.count_nonzero(_scored(dealt))
    sentence = (
        f"out of fold, {scored:,} training photographs, {len(dealt)} x {folds} folds, "
        f"{judging.in_words(task)}, as train does, against the labels as given"
    )
    dropped, relabelled = np.count_nonzero(~rows.kept), np.count_nonzero(rows.learnt != rows.first.labels)
    if rows.is_grouped:
        sentence += f", groups by {rows.grouped_by} in one fold"
    elif rows.groups is not None:
        sentence += ", copies in one fold"
    if alone := len(rows.kept) - scored:
        sentence += f", {alone:,} learnt in every fold and not scored"
    if dropped or relabelled:
        sentence += f", learnt with {dropped:,} photographs dropped and {relabelled:,} relabelled"
    return sentence
